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

import collections.abc
import dataclasses
import logging
import sys
import typing

from osc_lab.access import aftermath
from osc_lab.access import cloud
from osc_lab.access import dirty_pages
from osc_lab.access import host_config
from osc_lab.access import hosts as hosts_
from osc_lab.access import libvirt
from osc_lab.access import migration
from osc_lab.access import past_migration
from osc_lab.access import progress as progress_
from osc_lab.access import repair
from osc_lab.access import settings
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import drive
from osc_lab.migration import examine
from osc_lab.migration import explain
from osc_lab.migration import facts as facts_
from osc_lab.migration import gather
from osc_lab.migration import nova_options
from osc_lab.migration import outcome as outcome_
from osc_lab.migration import ranking
from osc_lab.migration import result
from osc_lab.migration import start
from osc_lab.migration import storage
from osc_lab.migration import verify
from osc_lab.migration import wish
from osc_lab.preflight import finding
from osc_lab.preflight import registry
from osc_lab.preflight import report as report_

LOG = logging.getLogger(__name__)

Answer = tuple[report_.Report, exceptions.ExitCode]


class Flow:
    """One call of the command.

    :param connection: to the cloud
    :param options: what the user asked for
    :param reach: how hosts are reached
    :param checks: the checks that are wanted
    :param say: tells the user something
    """

    def __init__(
        self,
        connection: typing.Any,
        options: wish.Options,
        reach: channels.Channels,
        checks: registry.Registry,
        say: collections.abc.Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._options = options
        self._checks = checks
        self._say = say
        if reach.libvirt_uri:
            # What is missing here must not end the look at a migration.
            libvirt.library()
        files = settings.config_files(settings.cloud(connection))
        self._hosts = hosts_.Hosts(
            reach,
            {
                # Those of Cinder may stand there, too.
                host: host_config.of_service(paths, 'nova')
                for host, paths in files.items()
            },
        )
        services = migration.services(connection)
        self._compute = services.compute
        self._aftermath = aftermath.Aftermath(
            services, self._hosts, reach.deadline
        )
        self._repair = repair.Repair(
            self._compute, services.network, self._aftermath
        )
        self._past = past_migration.PastMigration(
            self._compute, self._aftermath, self._look_at
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
        if self._options.unchecked:
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
        request = dataclasses.replace(facts.request, host=host)
        return self._move(dataclasses.replace(facts, request=request))

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

    def _move(self, facts: facts_.Facts) -> Answer:
        server = facts.server
        wait = self._options.wait
        if wait is None:
            wait = sys.stdout.isatty()
        job = self._aftermath.job(server, facts.source) if wait else None
        progress = progress_.Progress(sys.stderr, self._say)
        timeout = _timeout(facts)
        driver = drive.Driver(
            self._compute,
            progress.say,
            job=job or (lambda: None),
            progress=lambda sample: progress.show(
                sample.line(timeout, progress.columns)
            ),
            on_stall=self._options.on_stall,
        )
        begun = start.Begun('', 0)
        try:
            begun = self._start(facts, progress.say)
            if begun.doubt is not None:
                return self._doubted(server, begun.doubt)
            if not wait:
                return self._accepted(server, begun.request_id)
            return self._watched(driver, progress, facts, begun)
        except KeyboardInterrupt:
            progress.say(_interrupted(server, begun.request_id))
            raise
        finally:
            progress.end()
            if job is not None:
                job.stop()

    def _start(
        self,
        facts: facts_.Facts,
        say: collections.abc.Callable[[str], None],
    ) -> start.Begun:
        """Start it; a refusal names the check that sees it before."""
        try:
            return start.start(
                self._compute,
                facts.server,
                facts.request.host,
                facts.request.storage,
                say,
            )
        except exceptions.ServiceError as error:
            name = explain.refusal(error.message)
            if error.status is None or name is None:
                raise
            known = {item.id: item for item in registry.load().checks}
            raise exceptions.AccessError(
                f'{name}: {error.message}',
                known[name].remedy if name in known else error.remedy,
            ) from error

    def _doubted(
        self, server: facts_.Server, doubt: exceptions.ServiceError
    ) -> Answer:
        """Return that nobody knows whether a migration began."""
        self._say(_interrupted(server, ''))
        item = result.doubtful(server, doubt)
        return report_.Report((item,)), exceptions.ExitCode.UNDECIDED

    def _accepted(self, server: facts_.Server, request_id: str) -> Answer:
        """Return what is known of a migration that nobody follows.

        Done is what was asked for with --no-wait; who did not say so wants
        to know whether the server moved, and that is open.
        """
        item = result.accepted(server, request_id)
        self._say(f'{item.message} {_ended(server, request_id)}')
        code = exceptions.ExitCode.UNDECIDED
        if self._options.wait is False:
            code = exceptions.ExitCode.DONE
        return report_.Report((item,)), code

    def _watched(
        self,
        driver: drive.Driver,
        progress: progress_.Progress,
        facts: facts_.Facts,
        begun: start.Begun,
    ) -> Answer:
        """Follow a migration to its end, and tell what came of it.

        Whatever happens here, Nova has been asked: an error leaves open
        what could not be seen.
        """
        seen = None
        try:
            seen = driver.follow(
                facts.server,
                begun.request_id,
                begun.newest,
                self._options.timeout,
            )
            progress.end()
            return self._told(facts, seen)
        except BrokenPipeError:
            raise
        except Exception as error:
            LOG.debug('failed', exc_info=True)
            why = cloud.explain(error)
        if seen is None:
            item = result.unseen(facts.server, begun.request_id, why)
            return report_.Report((item,)), exceptions.ExitCode.UNDECIDED
        item = result.unjudged(seen, why)
        return (
            report_.Report((result.outcome(seen, {}, {}), item)),
            result.exit_code(seen, [item]),
        )

    def _told(self, facts: facts_.Facts, seen: outcome_.Outcome) -> Answer:
        """Return the result of a migration that was followed."""
        # Nova names the destination when both ends have been asked.
        name = (seen.record and seen.record.destination) or (
            facts.request.host or ''
        )
        destination = facts.destination(name) or facts_.Host(
            name, facts_.Gap(''), facts_.Gap('')
        )
        ends = [facts.source, *([destination] if name else [])]
        completed: dict[str, typing.Any] = {}
        findings = []
        if seen.moved or seen.broken:
            after = self._aftermath.after(
                seen.after, facts.source, destination, facts.mirrors
            )
            completed = self._aftermath.completed(seen.after, destination)
            findings = verify.verify(after)
            running = after.running
        else:
            running = self._aftermath.running(seen.after, ends)
        first = result.outcome(seen, completed, running)
        if not seen.moved:
            findings += self._past.causes(
                seen, facts.source, running, facts.request.host
            )
        return (
            report_.Report((first, *findings)),
            result.exit_code(seen, findings),
        )

    # -- a migration of the past

    def explain(self, reference: str) -> Answer:
        """Tell how a migration ended, by its id or its request id."""
        record, action, server = self._past.find(
            reference, self._options.server
        )
        seen = result.past(
            server,
            record,
            action,
            drive.overtaken(self._compute, server, record),
        )
        ends = self._past.ends(seen)
        running = self._aftermath.running(server, ends)
        findings = []
        if seen.broken:
            findings = verify.verify(
                self._aftermath.after(server, ends[0], ends[-1], ())
            )
        if not seen.moved and ends:
            findings += self._past.causes(
                seen, ends[0], running, self._options.host
            )
        first = result.outcome(seen, {}, running)
        code = exceptions.ExitCode.DONE
        if seen.left_running:
            code = exceptions.ExitCode.UNDECIDED
        elif not seen.moved:
            code = exceptions.ExitCode.OPERATION_FAILED
        return report_.Report((first, *findings)), code

    def repair(self) -> Answer:
        """Set a server right whose guest runs where Nova says."""
        report = self._repair.of(self._options.server)
        return report, report.exit_code()

    # -- common

    def _look(self) -> facts_.Facts:
        return self._look_at(self._options.server, self._options.host)

    def _look_at(self, server: str, host: str | None) -> facts_.Facts:
        return migration.look(
            self._connection,
            server,
            facts_.Request(
                host=host,
                storage=self._options.storage,
                bandwidth_mib_s=self._options.bandwidth,
                forecast=self._options.forecast,
            ),
        )

    def _examine(self) -> tuple[facts_.Facts, ranking.Ranking]:
        """Look and judge.

        What a migration that begins meanwhile makes at the destination is
        no left-over: then the server itself speaks against another one.
        """
        facts, ranked = self._examined()
        if ranked.verdict(
            self._options.strict
        ) is exceptions.ExitCode.CHECK_FAILED and self._changed(facts.server):
            return self._examined()
        return facts, ranked

    def _changed(self, server: facts_.Server) -> bool:
        """Return whether something has begun, or ended, since then."""
        now = gather.attempt(lambda: self._compute.server(server.id))
        return not isinstance(now, facts_.Gap) and (
            (now.task_state, now.host) != (server.task_state, server.host)
        )

    def _examined(self) -> tuple[facts_.Facts, ranking.Ranking]:
        facts = self._look()
        # Hosts that the APIs rule out are not worth a connection each.
        names = examine.promising(facts, self._checks)
        facts = self._hosts.look(facts, names)
        if facts.request.forecast:
            facts = dirty_pages.measure(self._hosts, facts)
        return facts, examine.examine(
            facts, self._checks, self._options.ignored
        )


def _timeout(facts: facts_.Facts) -> float | None:
    """Return the seconds after which Nova acts, when that is known."""
    if base.unread(facts.source):
        return None
    assert isinstance(facts.source.shell, facts_.Shell)
    options = nova_options.read(facts.source.shell.options)
    disks: list[int] = []
    for there in facts.destinations:
        if facts.request.host in (None, there.name):
            copied = storage.copied(facts, there)
            disks = disks or [disk.length or 0 for disk in copied]
    ram = float(facts.server.flavor.ram_mib)
    return options.completion_timeout(options.data_gib(ram, disks)) or None


def _interrupted(server: facts_.Server, request_id: str) -> str:
    """Return how to go on where nobody waited for the answer."""
    told = _ended(server, request_id)
    return told if request_id else _('Nova may have been asked. %s') % told


def _ended(server: facts_.Server, request_id: str) -> str:
    return _('How it ended: %s') % result.telling(server, request_id)


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
