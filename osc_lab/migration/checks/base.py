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

"""What the checks of a live migration have in common."""

import abc
import collections.abc
import typing

from osc_lab.i18n import _
from osc_lab.migration import facts as facts_
from osc_lab.preflight import check
from osc_lab.preflight import finding

Evidence = dict[str, typing.Any]
Found = collections.abc.Iterator[finding.Finding]

OK = finding.Result.OK
WARNING = finding.Result.WARNING
UNKNOWN = finding.Result.UNKNOWN
FAILED = finding.Result.FAILED
SKIPPED = finding.Result.SKIPPED


class ServerCheck(check.Check[facts_.Facts]):
    """A question about the server, wherever it goes."""

    def missing(self, subject: str, gap: facts_.Gap) -> finding.Finding:
        """Return the finding for facts that are not there."""
        remedy = gap.remedy
        if not remedy and not gap.asked and self.channel:
            remedy = _('Use %s.') % self.channel
        return self.answer(
            subject, UNKNOWN if gap.asked else SKIPPED, gap.message, remedy
        )


class HostCheck(ServerCheck):
    """A question about each destination."""

    def judge(self, facts: facts_.Facts) -> Found:
        if not facts.destinations:
            yield self.answer(
                facts.server.name,
                SKIPPED,
                _('No host besides the source is known.'),
                _('See destination-service.'),
            )
        for host in facts.destinations:
            yield from self.host(facts, host)

    @abc.abstractmethod
    def host(self, facts: facts_.Facts, host: facts_.Host) -> Found:
        """Return at least one finding about one destination."""


class BothEndsCheck(HostCheck):
    """A question about each destination and, once, about the source."""

    def judge(self, facts: facts_.Facts) -> Found:
        yield from self.source_host(facts, facts.source)
        yield from super().judge(facts)

    @abc.abstractmethod
    def source_host(self, facts: facts_.Facts, host: facts_.Host) -> Found:
        """Return the findings about the source, if any."""


def mib(amount: float) -> str:
    """Return an amount of MiB for people."""
    if amount >= 10240:
        return f'{amount / 1024:.1f} GiB'
    return f'{amount:.0f} MiB'


def version(number: int) -> str:
    """Return a version that libvirt encodes as a number, as text."""
    return f'{number // 1000000}.{number // 1000 % 1000}.{number % 1000}'


def gap_of(value: typing.Any) -> facts_.Gap | None:
    return value if isinstance(value, facts_.Gap) else None


def unread(host: facts_.Host) -> facts_.Gap | None:
    """Return why the options of Nova on a host are not known, if so."""
    if isinstance(host.shell, facts_.Gap):
        return host.shell
    if host.shell.unread:
        return facts_.Gap(
            _('%(files)s on %(host)s cannot be read.')
            % {'files': ', '.join(host.shell.unread), 'host': host.name},
            _('Use a user who may, with --ssh.'),
        )
    if not host.shell.config_files:
        return facts_.Gap(
            _('No nova.conf was found on %s.') % host.name,
            _('Name it under osc_lab: config_files in clouds.yaml.'),
        )
    return None


def hosts_unseen(facts: facts_.Facts) -> facts_.Gap | None:
    """Return why no compute host is known at all, if so."""
    if facts.destinations or not gap_of(facts.source.hypervisor):
        return None
    return gap_of(facts.source.service)
