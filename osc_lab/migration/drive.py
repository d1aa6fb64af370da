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

"""Follow a migration to its end, and read back what it did."""

import collections.abc
import dataclasses
import enum
import functools
import itertools
import time
import typing

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts
from osc_lab.migration import outcome as outcome_
from osc_lab.migration import record as record_
from osc_lab.migration import start
from osc_lab.migration import watch
from osc_lab import workers

Json = dict[str, typing.Any]

#: Looks at a server whose migration failed, before its state counts.
LULL = 5

#: Seconds for which no look may succeed before a watch is given up.
PATIENCE = 60.0

#: Seconds that a look may take when the time limit is near.
LEAST = 5.0


class Compute(start.Compute, typing.Protocol):
    """What is asked of Nova."""

    def progress(self, server_id: str) -> Json | None: ...
    def abort(self, server_id: str, migration_id: int) -> bool: ...
    def force_complete(self, server_id: str, migration_id: int) -> bool: ...
    def action(self, server_id: str, request_id: str) -> Json | None: ...


class OnStall(enum.StrEnum):
    """What to do with a migration that stands still."""

    REPORT = 'report'
    ABORT = 'abort'
    FORCE = 'force-complete'


def overtaken(
    compute: Compute, server: facts.Server, record: record_.Record | None
) -> bool:
    """Return whether a server was moved again, by a migration of any kind."""
    if record is None:
        return False
    for body in compute.migrations(most=1, instance_uuid=server.id):
        return record_.record(body).id > record.id
    return False


class Driver:
    """One migration to its end.

    :param compute: the adapter of Nova
    :param say: tells the user something
    :param job: returns libvirt's statistics of the guest, or nothing
    :param progress: takes each sample
    :param interval: seconds between two looks
    """

    def __init__(
        self,
        compute: Compute,
        say: collections.abc.Callable[[str], None],
        job: collections.abc.Callable[[], watch.Job | None] = lambda: None,
        progress: collections.abc.Callable[[watch.Sample], None] = (
            lambda sample: None
        ),
        interval: float = 1.0,
        on_stall: OnStall = OnStall.REPORT,
        stall_window: float = 40.0,
    ) -> None:
        self._compute = compute
        self._job = job
        self._progress = progress
        self._interval = interval
        self._on_stall = on_stall
        self._say = say
        self._window = stall_window
        self._stall = watch.Stall(stall_window)
        self._peak = watch.Peak()
        self._stalled = False
        self._id: int | None = None
        self._record: record_.Record | None = None
        self._to_abort = False
        self._unclear = False
        self._blind: float | None = None

    def follow(
        self,
        server: facts.Server,
        request_id: str,
        newest: int,
        timeout: float | None = None,
    ) -> outcome_.Outcome:
        """Watch until the end, the time limit or a second interrupt.

        A cloud that no longer answers ends the watch, not the migration.
        """
        started = time.monotonic()
        interrupted = left = False
        while not left:
            try:
                if self._over(server, request_id, newest, started, timeout):
                    break
                if self._to_abort and self._record:
                    self._to_abort = not self._abort(server, self._record)
                if timeout and time.monotonic() - started > timeout:
                    left = True
                time.sleep(self._interval)
            except KeyboardInterrupt:
                left = interrupted
                interrupted = self._to_abort = True
                if not left:
                    self._say(
                        _(
                            'Interrupted: Nova will be asked to abort. '
                            'Interrupt again to leave it alone.'
                        )
                    )
            except exceptions.LabError as error:
                self._lost(error)
                left = True
        seen = outcome_.Outcome(
            request_id=request_id,
            record=self._record,
            action=None,
            before=server,
            after=server,
            seconds=time.monotonic() - started,
            sent_bytes=self._peak.bytes,
            iterations=self._peak.iterations,
            stalled=self._stalled,
            interrupted=interrupted,
            left_running=left,
        )
        if left:
            return seen
        try:
            return self._ended(seen, newest)
        except exceptions.LabError as error:
            self._lost(error)
            return dataclasses.replace(seen, left_running=True)

    def _over(
        self,
        server: facts.Server,
        request_id: str,
        newest: int,
        started: float,
        timeout: float | None,
    ) -> bool:
        """Look once; return whether it has ended, or never begins.

        :raises LabError: when no look succeeded for a while, or one takes
            longer than the time limit allows
        """
        look = functools.partial(
            self._seen, server, request_id, newest, started
        )
        try:
            if timeout is None:
                self._record, over = look()
            else:
                left = started + timeout - time.monotonic()
                self._record, over = workers.call(look, max(left, LEAST))
        except workers.Late as error:
            raise exceptions.AccessError(str(error)) from error
        except exceptions.LabError:
            now = time.monotonic()
            if self._blind is None:
                self._blind = now
            if now - self._blind >= PATIENCE:
                raise
            return False
        self._blind = None
        return over

    def _seen(
        self,
        server: facts.Server,
        request_id: str,
        newest: int,
        started: float,
    ) -> tuple[record_.Record | None, bool]:
        """Return the latest record, and whether nothing follows it."""
        record = self._look(server, newest, started) or self._record
        if record is None:
            return None, self._refused(server, request_id)
        return record, record.ended

    def _ended(self, seen: outcome_.Outcome, newest: int) -> outcome_.Outcome:
        """Return what is to be seen when it is over."""
        server = seen.before
        after = self._settled(server, seen.record)
        # Nova turns what was cancelled into an error a moment later.
        record = self._look_up(server, newest) or seen.record
        return dataclasses.replace(
            seen,
            record=record,
            action=self._action(server, seen.request_id),
            after=after,
            overtaken=overtaken(self._compute, server, record),
        )

    def _lost(self, error: exceptions.LabError) -> None:
        self._say(_('Lost sight of the migration: %s') % error)

    def _look(
        self, server: facts.Server, newest: int, started: float
    ) -> record_.Record | None:
        record = self._look_up(server, newest)
        if record is not None and record.status == 'running':
            running = self._compute.progress(server.id)
            if running is not None and int(running['id']) == record.id:
                record = dataclasses.replace(
                    record,
                    memory=record_.record(running, running).memory,
                    disk=record_.record(running, running).disk,
                )
        job = None
        if record is not None and not record.ended:
            job = self._job()
        sample = watch.sample(
            time.monotonic() - started, record, job, self._peak.iterations > 0
        )
        self._peak.take(sample)
        self._progress(sample)
        if record is not None and not self._stalled:
            if self._stall.stands_still(sample):
                self._stalled = True
                self._act_on_stall(server, record)
        return record

    def _act_on_stall(
        self, server: facts.Server, record: record_.Record
    ) -> None:
        self._say(
            _('What remains has not become less for %d seconds.')
            % self._window
        )
        if self._on_stall is OnStall.ABORT:
            self._to_abort = True
        elif self._on_stall is OnStall.FORCE:
            forced = self._asked(
                lambda: self._compute.force_complete(server.id, record.id)
            )
            if forced:
                self._say(
                    _('Asked Nova to force it: by post-copy, or a pause.')
                )
            elif forced is False:
                self._say(_('Nova says that it cannot be forced now.'))

    def _abort(self, server: facts.Server, record: record_.Record) -> bool:
        """Ask to abort; False when it has to be asked again.

        Nova may not be that far yet, or nobody knows whether it took it.
        """
        aborted = self._asked(
            lambda: self._compute.abort(server.id, record.id)
        )
        if aborted:
            self._say(_('Asked Nova to abort.'))
        elif aborted is False:
            if record.status in record_.WAITING:
                return False
            self._say(_('Nova says that it can no longer be aborted.'))
        return not self._unclear

    def _asked(
        self, request: collections.abc.Callable[[], bool]
    ) -> bool | None:
        """Return Nova's answer, None for an error, which ends no watch."""
        before, self._unclear = self._unclear, False
        try:
            return request()
        except exceptions.LabError as error:
            self._unclear = getattr(error, 'unclear', False)
            if not self._unclear:
                self._say(_('Nova did not take the request: %s') % error)
            elif not before:
                # It is asked again, and may not answer for long.
                self._say(
                    _('Nobody knows whether Nova took the request: %s') % error
                )
            return None

    def _refused(self, server: facts.Server, request_id: str) -> bool:
        found = self._action(server, request_id)
        return found is not None and found.refused

    def _look_up(
        self, server: facts.Server, newest: int
    ) -> record_.Record | None:
        """Return the record of this migration, None when there is none.

        The first one after the newest of before is it; the server may be
        moved again, by somebody else, while the end is awaited.
        """
        later = itertools.takewhile(
            lambda item: item.id > newest,
            start.records(self._compute, server.id),
        )
        ours = [item for item in later if self._id in (None, item.id)]
        if not ours:
            return None
        self._id = ours[-1].id
        return ours[-1]

    def _action(
        self, server: facts.Server, request_id: str
    ) -> record_.Action | None:
        if not request_id:
            return None
        body = self._compute.action(server.id, request_id)
        return record_.action(body) if body else None

    def _settled(
        self, server: facts.Server, record: record_.Record | None
    ) -> facts.Server:
        """Return the server when no task is left, or after 30 seconds.

        When libvirt fails, Nova ends the task first and sets the server to
        ERROR a moment later.  What is completed has no task of its own any
        more (nova.compute.manager._post_live_migration): one that is seen
        is the next move.
        """
        failed = record is not None and not record.succeeded
        limit = time.monotonic() + 30
        quiet = 0
        while True:
            found = self._compute.server(server.id)
            if found.task_state is None:
                quiet += 1
            if record is not None and not failed:
                if found.host == record.destination:
                    return found
            if time.monotonic() > limit or quiet > (LULL if failed else 0):
                return found
            if failed and found.vm_state == 'error':
                return found
            time.sleep(self._interval)
