# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""Which host to take: judge each destination by its findings."""

import collections.abc
import dataclasses

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts as facts_
from osc_lab.preflight import finding
from osc_lab.preflight import report as report_

CHECK = 'candidate'

_WORST = (
    finding.Result.FAILED,
    finding.Result.UNKNOWN,
    finding.Result.WARNING,
)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A destination and what was found about it."""

    host: facts_.Host
    report: report_.Report

    @property
    def result(self) -> finding.Result:
        for result in _WORST:
            if self.report.count(result):
                return result
        return finding.Result.OK

    @property
    def _order(self) -> tuple[object, ...]:
        steps = (
            finding.Result.OK,
            finding.Result.WARNING,
            finding.Result.UNKNOWN,
            finding.Result.FAILED,
        )
        known = self.host.hypervisor
        ram = vcpus = 0
        if not isinstance(known, facts_.Gap):
            ram, vcpus = known.free_ram_mib or 0, known.free_vcpus or 0
        return (
            steps.index(self.result),
            self.report.count(finding.Result.FAILED),
            # A host of which less was seen has fewer warnings, too.
            self.report.count(finding.Result.UNKNOWN),
            self.report.count(finding.Result.WARNING),
            -ram,
            -vcpus,
            self.host.name,
        )

    def finding(self, place: int) -> finding.Finding:
        """Return one line about the host.

        :param place: 1 for the best
        """
        reasons = [
            item
            for item in self.report.findings
            if item.result is self.result
            and self.result is not finding.Result.OK
        ]
        known = self.host.hypervisor
        room = ''
        if not isinstance(known, facts_.Gap) and known.free_ram_mib:
            room = _(', %d MiB of RAM free') % known.free_ram_mib
        text = '; '.join(f'{item.check}: {item.message}' for item in reasons)
        return finding.Finding(
            CHECK,
            self.host.name,
            self.result,
            _('rank %d') % place + (f': {text}' if text else room),
            reasons[0].remedy if reasons else '',
            evidence={
                'rank': place,
                'findings': [
                    dict(zip(finding.COLUMNS, finding.row(item), strict=True))
                    for item in self.report.findings
                ],
            },
        )


@dataclasses.dataclass(frozen=True)
class Ranking:
    """All destinations, the best first, and what holds for any.

    :param general: findings about the server, the source or the caller
    """

    general: report_.Report
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate | None:
        return self.candidates[0] if self.candidates else None

    def verdict(self, strict: bool = False) -> exceptions.ExitCode:
        """Return the exit code: one host that passes is enough."""
        best = self.best.report.findings if self.best else ()
        return report_.Report((*self.general.findings, *best)).exit_code(
            strict
        )

    def full(self) -> report_.Report:
        """Return every finding."""
        found = list(self.general.findings)
        for item in self.candidates:
            found.extend(item.report.findings)
        return report_.Report(
            tuple(sorted(found, key=lambda item: item.check))
        )

    def report(self) -> report_.Report:
        """Return the general findings and one line for each host."""
        return report_.Report(
            (
                *self.general.findings,
                *(
                    item.finding(place)
                    for place, item in enumerate(self.candidates, 1)
                ),
            )
        )


def rank(
    facts: facts_.Facts,
    report: report_.Report,
    host_checks: collections.abc.Collection[str],
) -> Ranking:
    """Divide a report by destination and rank them.

    :param host_checks: ids of the checks that speak about destinations;
        a server may bear the name of a host
    """
    names = {host.name for host in facts.destinations}
    by_host: dict[str, list[finding.Finding]] = {name: [] for name in names}
    general = []
    for item in report.findings:
        if item.check in host_checks and item.subject in names:
            by_host[item.subject].append(item)
        else:
            general.append(item)
    candidates = sorted(
        (
            Candidate(host, report_.Report(tuple(by_host[host.name])))
            for host in facts.destinations
        ),
        key=lambda item: item._order,
    )
    return Ranking(report_.Report(tuple(general)), tuple(candidates))
