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

"""The work of the command, with everything that it needs put together."""

import argparse
import collections.abc
import os
import sys
import typing

from osc_lab.access import aftermath
from osc_lab.access import compute
from osc_lab.access import hosts as hosts_

from osc_lab.access import migration
from osc_lab.access import settings
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import drive
from osc_lab.migration import examine
from osc_lab.migration import explain
from osc_lab.migration import facts as facts_
from osc_lab.migration import nova_options
from osc_lab.migration import ranking
from osc_lab.migration import record as record_
from osc_lab.migration import result
from osc_lab.migration import verify
from osc_lab.migration import watch
from osc_lab.preflight import finding
from osc_lab.preflight import registry
from osc_lab.preflight import report as report_

Answer = tuple[report_.Report, exceptions.ExitCode]


class Flow:
    """One call of the command.

    :param connection: to the cloud
    :param options: the parsed arguments
    :param checks: the checks that are wanted
    :param say: tells the user something
    """

    def __init__(
        self,
        connection: typing.Any,
        options: argparse.Namespace,
        checks: registry.Registry,
        say: collections.abc.Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._options = options
        self._checks = checks
        self._say = say
        found = settings.cloud(connection)
        self._settings = channels.resolve(options, os.environ, found)
        files = found.get('config_files') or {}
        self._hosts = hosts_.Hosts(
            self._settings,
            {
                str(host): [str(path) for path in paths]
                for host, paths in files.items()
            },
        )
        services = migration.services(connection)
        self._compute = typing.cast(compute.Compute, services.compute)
        self._aftermath = aftermath.Aftermath(
            services, self._hosts, self._settings.deadline
        )

    def preflight(self) -> Answer:
        """Check and report; nothing is changed."""
        _facts, ranked = self._examine()
        report = (
            ranked.full()
            if self._options.host is not None
            else ranked.report()
        )
        return report, ranked.verdict(self._options.strict)

    def migrate(self) -> Answer:
        """Check, migrate, follow, verify."""
        host = self._options.host
        if self._options.no_preflight:
            facts = self._look()
        else:
            facts, ranked = self._examine()
            verdict = ranked.verdict(self._options.strict)
            if verdict is exceptions.ExitCode.CHECK_FAILED or (
                self._options.strict and verdict
            ):
                report = ranked.full() if host is not None else ranked.report()
                return _problems(report), verdict
            self._warn(ranked)
            host = host or _choice(ranked)
        return self._move(facts, host)

    def _warn(self, ranked: ranking.Ranking) -> None:
        best = ranked.best.report.findings if ranked.best else ()
        for item in (*ranked.general.findings, *best):
            if item.result in (
                finding.Result.WARNING,
                finding.Result.UNKNOWN,
            ):
                self._say(
                    f'{item.result.value}: {item.check} ({item.subject}): '
                    f'{item.message}'
                )

    def _move(self, facts: facts_.Facts, host: str | None) -> Answer:
        server = facts.server
        wait = self._options.wait
        if wait is None:
            wait = sys.stdout.isatty()
        job = self._aftermath.job(server, facts.source) if wait else None
        progress = _Progress(_timeout(facts))
        driver = drive.Driver(
            self._compute,
            job=job or (lambda: None),
            progress=progress.show,
            on_stall=drive.OnStall(self._options.on_stall),
        )
        request_id, newest = driver.start(server, host, facts.request.storage)
        if not wait:
            return self._accepted(server, request_id)
        try:
            seen = driver.follow(
                server, request_id, newest, self._options.timeout
            )
        finally:
            progress.end()
            if job is not None:
                job.stop()
        return self._told(facts, seen)

    def _accepted(self, server: facts_.Server, request_id: str) -> Answer:
        item = finding.Finding(
            explain.CHECK,
            server.name,
            finding.Result.UNKNOWN,
            _('Nova accepted the migration; nobody waits for it.'),
            _('openstack server migrate live %(server)s --explain %(id)s')
            % {'server': server.id, 'id': request_id},
            evidence={'request_id': request_id},
        )
        return report_.Report((item,)), exceptions.ExitCode.DONE

    def _told(self, facts: facts_.Facts, seen: drive.Outcome) -> Answer:
        """Return the result of a migration that was followed."""
        name = seen.record.destination if seen.record else ''
        destination = facts.destination(name) or facts_.Host(
            name, facts_.Gap(''), facts_.Gap('')
        )
        ends = [facts.source, *([destination] if name else [])]
        if seen.moved:
            after = self._aftermath.after(
                seen.after, facts.source, destination
            )
            completed = self._aftermath.completed(seen.after, destination)
            findings = verify.verify(after)
            first = result.outcome(seen, completed, after.running)
        else:
            running = self._aftermath.running(seen.after, ends)
            first = result.outcome(seen, {}, running)
            findings = self._causes(seen, facts.source)
        return (
            report_.Report((first, *findings)),
            result.exit_code(seen, findings),
        )

    def _causes(
        self, seen: drive.Outcome, source: facts_.Host
    ) -> list[finding.Finding]:
        """Return why a migration failed, from events and the log."""
        lines = self._aftermath.log(seen.after, source, seen.request_id)
        said = explain.reasons(
            seen.action, lines if isinstance(lines, list) else ()
        )
        found = explain.findings(
            seen.after.name,
            said,
            {item.id: item.remedy for item in registry.load().checks},
        )
        known = {item.evidence.get('text') for item in found}
        for where, text in said:
            if text not in known:
                found.append(
                    finding.Finding(
                        'reason',
                        seen.after.name,
                        finding.Result.WARNING,
                        f'{where}: {text}',
                        _('See "openstack server event show".'),
                    )
                )
        if not said and not seen.left_running:
            gap = lines if isinstance(lines, facts_.Gap) else None
            found.append(
                finding.Finding(
                    'reason',
                    seen.after.name,
                    finding.Result.UNKNOWN,
                    _(
                        'Nova keeps no reason; it stands in the log of '
                        'nova-compute on %s.'
                    )
                    % source.name,
                    gap.remedy if gap else _('Look there by hand.'),
                )
            )
        return found

    # -- a migration of the past

    def explain(self, reference: str) -> Answer:
        """Tell how a migration ended, by its id or its request id."""
        record, action, server = self._past(reference)
        seen = result.past(server, record, action)
        names = [seen.before.host]
        if record is not None and record.destination:
            names.append(record.destination)
        hypervisors = self._compute.hypervisors()
        ends = [
            facts_.Host(
                name,
                facts_.Gap(''),
                hypervisors.get(name) or facts_.Gap(''),
            )
            for name in dict.fromkeys(names)
            if name
        ]
        running = self._aftermath.running(server, ends)
        findings = []
        if not seen.moved and ends:
            findings = self._causes(seen, ends[0])
        first = result.outcome(seen, {}, running)
        code = exceptions.ExitCode.DONE
        if seen.left_running:
            code = exceptions.ExitCode.UNDECIDED
        elif not seen.moved:
            code = exceptions.ExitCode.OPERATION_FAILED
        return report_.Report((first, *findings)), code

    def _past(
        self, reference: str
    ) -> tuple[record_.Record | None, record_.Action | None, facts_.Server]:
        server = None
        filters: dict[str, typing.Any] = {'migration_type': 'live-migration'}
        if self._options.server:
            server = self._compute.server(self._options.server)
            filters['instance_uuid'] = server.id
        wanted_action = reference.startswith('req-')
        asked: set[str] = set()
        for body in self._compute.migrations(**filters):
            record = record_.record(body)
            if not wanted_action:
                if reference not in (str(record.id), record.uuid):
                    continue
                server = server or self._compute.server(record.server_id)
                return record, self._action_of(record), server
            if record.server_id in asked:
                continue
            asked.add(record.server_id)
            found = self._compute.action(record.server_id, reference)
            if found is not None:
                action = record_.action(found)
                server = server or self._compute.server(record.server_id)
                return self._record_of(server, action), action, server
        if wanted_action and server is not None:
            found = self._compute.action(server.id, reference)
            if found is not None:
                return None, record_.action(found), server
        raise exceptions.NotFound(
            _('--explain: there is no live migration "%s"') % reference,
            _('See "openstack server migration list".'),
        )

    def _action_of(self, record: record_.Record) -> record_.Action | None:
        """Return the action that made a record: the last one before it."""
        for body in self._compute.actions(record.server_id):
            action = record_.action(body)
            if (
                action.action == 'live-migration'
                and action.started <= record.created + 5
            ):
                found = self._compute.action(
                    record.server_id, action.request_id
                )
                return record_.action(found) if found else None
        return None

    def _record_of(
        self, server: facts_.Server, action: record_.Action
    ) -> record_.Record | None:
        """Return the record that an action made: the first one after it."""
        found = None
        for body in self._compute.migrations(
            instance_uuid=server.id, migration_type='live-migration'
        ):
            record = record_.record(body)
            if record.created >= action.started - 5:
                found = record
        return found

    # -- repair

    def repair(self) -> Answer:
        """Set a server right whose guest runs where Nova says."""
        server = self._compute.server(self._options.server)
        hypervisors = self._compute.hypervisors()
        names = {server.host}
        for body in self._compute.migrations(
            most=5, instance_uuid=server.id, migration_type='live-migration'
        ):
            record = record_.record(body)
            names |= {record.source, record.destination} - {''}
        running = self._aftermath.running(
            server,
            [
                facts_.Host(
                    name,
                    facts_.Gap(''),
                    hypervisors.get(name) or facts_.Gap(''),
                )
                for name in sorted(names)
                if name
            ],
        )
        item = repairable(server, running)
        code = exceptions.ExitCode.CHECK_FAILED
        if item.result is finding.Result.OK:
            code = exceptions.ExitCode.DONE
            if server.vm_state == 'error':
                self._compute.reset_state(server.id)
        return report_.Report((item,)), code

    # -- common

    def _look(self) -> facts_.Facts:
        return migration.look(
            self._connection,
            self._options.server,
            facts_.Request(
                host=self._options.host,
                storage=facts_.Storage(self._options.storage or 'auto'),
                bandwidth_mib_s=self._options.bandwidth,
                forecast=self._options.forecast,
            ),
        )

    def _examine(self) -> tuple[facts_.Facts, ranking.Ranking]:
        facts = self._look()
        # Hosts that the APIs rule out are not worth a connection each.
        names = examine.promising(facts, self._checks)
        facts = self._hosts.look(facts, names)
        if facts.request.forecast:
            facts = self._hosts.measure(facts)
        return facts, examine.examine(
            facts, self._checks, self._options.ignore_check
        )


def repairable(
    server: facts_.Server,
    running: collections.abc.Mapping[str, bool | facts_.Gap],
) -> finding.Finding:
    """Return whether a server's state may be set to active.

    Only when libvirt confirms that its guest runs on the host that Nova
    names, and on no other that took part.
    """
    alive = sorted(host for host, runs in running.items() if runs is True)
    gaps = {
        host: runs
        for host, runs in running.items()
        if isinstance(runs, facts_.Gap)
    }

    def answer(
        outcome: finding.Result, message: str, remedy: str = ''
    ) -> finding.Finding:
        return finding.Finding(
            'repair',
            server.name,
            outcome,
            message,
            remedy,
            finding.Source.LIBVIRT,
            {'runs_on': alive, 'nova_host': server.host},
        )

    failed = finding.Result.FAILED
    if server.vm_state not in ('error', 'active'):
        return answer(
            failed,
            _('The server is %s; nothing is repaired.') % server.vm_state,
            _('Only ERROR after a live migration can be put right.'),
        )
    if gaps:
        host, gap = next(iter(gaps.items()))
        return answer(
            failed,
            _('libvirt on %(host)s does not confirm anything: %(text)s')
            % {'host': host, 'text': gap.message},
            gap.remedy or _('Reach it, then try again.'),
        )
    if alive != [server.host]:
        return answer(
            failed,
            _('Its guest runs on %(hosts)s, Nova says %(nova)s.')
            % {
                'hosts': ', '.join(alive) or _('no host'),
                'nova': server.host or '-',
            },
            _('Stop one guest or evacuate; a state alone would be a lie.'),
        )
    if server.vm_state == 'active':
        return answer(finding.Result.OK, _('There is nothing to repair.'))
    return answer(
        finding.Result.OK,
        _('Its guest runs on %s; the state is set to active.') % server.host,
    )


class _Progress:
    """One line on a terminal, written over and over."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._terminal = sys.stderr.isatty()
        self._width = 0

    def show(self, sample: watch.Sample) -> None:
        if not self._terminal:
            return
        line = sample.line(self._timeout)
        sys.stderr.write('\r' + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)

    def end(self) -> None:
        if self._terminal and self._width:
            sys.stderr.write('\n')


def _timeout(facts: facts_.Facts) -> float | None:
    """Return the seconds after which Nova acts, when that is known."""
    if isinstance(facts.source.shell, facts_.Gap):
        return None
    options = nova_options.read(facts.source.shell.options)
    disks: list[int] = []
    ram = float(facts.server.flavor.ram_mib)
    if isinstance(facts.source.libvirt, facts_.Libvirt):
        domain = facts.source.libvirt.domain
        if isinstance(domain, facts_.Domain):
            disks = [disk.size or 0 for disk in domain.disks if disk.copied]
    return options.completion_timeout(options.data_gib(ram, disks)) or None


def _problems(report: report_.Report) -> report_.Report:
    """Return what speaks against a migration, and nothing else."""
    return report_.Report(
        tuple(
            item
            for item in report.findings
            if item.result not in (finding.Result.OK, finding.Result.SKIPPED)
        )
    )


def _choice(ranked: ranking.Ranking) -> str | None:
    """Return the host to name when the scheduler could choose a bad one."""
    failing = [
        item
        for item in ranked.candidates
        if item.result is finding.Result.FAILED
    ]
    return ranked.best.host.name if failing and ranked.best else None
