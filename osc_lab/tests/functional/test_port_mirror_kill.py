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

"""Kill what makes and removes mirrors, at every message it sends.

Each run is a process of its own that ends itself by SIGKILL: before a
message to the database, when it is sent and not answered, and when the
answer is there; the same around every command on the host.  The points
are counted, not chosen: a run that survives ends the series.  At the same
points a run is interrupted, and its connection breaks.
"""

import contextlib
import datetime
import os
import pathlib
import signal
import traceback

from osc_lab.access import jsonrpc
from osc_lab.access import ovsdb
from osc_lab.access import shell
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.mirroring import guard
from osc_lab.mirroring import health
from osc_lab.mirroring import host as host_
from osc_lab.mirroring import inventory
from osc_lab.mirroring import maker as making
from osc_lab.mirroring import model
from osc_lab.mirroring import targets
from osc_lab import plan
from osc_lab.tests.functional import test_port_mirror_ovsdb as base
from osc_lab.tests.functional import vswitch
from osc_lab.tests import thorough

#: More than any command needs; a series that gets there does not end.
_POINTS = 200

#: Seconds that the mirrors of killed runs live.
_LIFETIME = 3


class Killer:
    """Ends this process at one point of its run, or fails it there.

    :param at: number of the point; none with 0
    :param do: what happens there
    """

    def __init__(self, at, do):
        self.at = at
        self.passed = 0
        self._do = do

    def point(self):
        self.passed += 1
        if self.passed == self.at:
            self._do()

    @contextlib.contextmanager
    def installed(self):
        """Count points around messages and commands."""
        call, send = jsonrpc.Connection.call, jsonrpc.Connection._send
        run = shell.Shell.run

        def killed_call(connection, *args):
            self.point()
            result = call(connection, *args)
            self.point()
            return result

        def killed_send(connection, *args):
            send(connection, *args)
            self.point()

        def killed_run(there, *args, **kwargs):
            self.point()
            answer = run(there, *args, **kwargs)
            self.point()
            return answer

        jsonrpc.Connection.call = killed_call
        jsonrpc.Connection._send = killed_send
        shell.Shell.run = killed_run
        try:
            yield
        finally:
            jsonrpc.Connection.call = call
            jsonrpc.Connection._send = send
            shell.Shell.run = run


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)


def forked(work):
    """Run in a process of its own; return how it ended, as waitpid does.

    :param work: returns the exit code; None for 0
    """
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    status = 1
    try:
        status = work() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


class KillTest(base.SwitchTest):
    def setUp(self):
        super().setUp()
        self.foreign_mirror('theirs', 'theirs0')
        self.before = self.switch.rows()
        self.addCleanup(self.end_guards)

    @contextlib.contextmanager
    def host(self):
        """Connect as the commands do on the machine itself."""
        settings = channels.Channels(
            ssh='local', ovsdb=self.switch.remote, deadline=60.0
        )
        there = settings.host(vswitch.HOST)
        with ovsdb.connect(there, settings) as database:
            yield host_.Host(
                vswitch.HOST,
                database,
                shell.Shell(there, settings),
                self.switch.remote,
            )

    def make(self, lifetime=_LIFETIME):
        request = making.Request(
            direction=model.Direction.BOTH,
            target=targets.parse('port:watch'),
            lifetime=datetime.timedelta(seconds=lifetime),
        )
        with self.host() as host:
            maker = making.Maker(host, self.port(), request, 'me')
            return maker.make()

    def remove_all(self):
        for entry in self.ours():
            with self.host() as host:
                inventory.remove(host, entry, 'me')

    def guards(self):
        """Return the processes that guard mirrors of this switch."""
        found = []
        for entry in pathlib.Path('/proc').iterdir():
            if not entry.name.isdigit():
                continue
            try:
                argv = (entry / 'cmdline').read_bytes().split(b'\0')
            except OSError:
                continue
            if f'--db={self.switch.remote}'.encode() in argv:
                found.append(int(entry.name))
        return found

    def end_guards(self):
        for pid in self.guards():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def all_or_nothing(self, point):
        """See that there is a whole mirror of ours, or no row at all."""
        rows = self.switch.rows()
        ours = [
            table
            for (table, _uuid), row in rows.items()
            if 'osc-lab-owner' in dict(row['external_ids'][1])
        ]
        self.assertIn(
            sorted(ours),
            ([], ['Interface', 'Mirror', 'Port']),
            f'point {point}',
        )
        for key, row in self.before.items():
            if key[0] != 'Bridge':
                self.assertEqual(row, rows[key], f'point {point}')
        for entry in self.ours():
            self.assertEqual(frozenset(), entry.problems, f'point {point}')
            self.assertEqual(1, len(entry.ports))
            self.assertTrue(entry.mirror.marks.expires)
            self.assertTrue(entry.mirror.marks.guard)
        return bool(ours)

    def series(self, work, prepare=None):
        """Kill the work at one point after the other; yield each."""
        pairs = thorough.Pairs(self)
        for at in range(1, _POINTS):
            if prepare:
                prepare()
            killer = Killer(at, kill_me)

            def run(killer=killer):
                with killer.installed():
                    work()

            status = forked(run)
            with pairs.one():
                yield at
            if os.WIFEXITED(status):
                self.assertEqual(0, status)
                return
            self.assertEqual(signal.SIGKILL, os.WTERMSIG(status))
        self.fail('The series does not end.')


class TestKill(KillTest):
    def test_create_and_again(self):
        left = set()
        for at in self.series(self.make):
            left.add(self.all_or_nothing(at))
            # Whatever is there, the next run brings it to the end.
            made = self.make(3600)
            self.assertEqual(1, len(self.ours()), f'point {at}')
            self.assertEqual(frozenset(), made.entry.problems)
            self.remove_all()
            self.assertEqual(self.before, self.switch.rows(), f'point {at}')
        self.assertEqual({True, False}, left)
        self.assertGreater(at, 20)
        vswitch.ready('the end of the guards', lambda: not self.guards())

    def test_create_and_the_guard(self):
        for at in self.series(self.make):
            self.all_or_nothing(at)
        # All runs but the last were killed; one mirror is there at most,
        # for all asked for the same.
        self.assertGreater(at, 20)
        vswitch.ready('the end of the guards', lambda: not self.guards())
        self.assertEqual(self.before, self.switch.rows())

    def test_delete_and_prune(self):
        def prune():
            now = datetime.datetime.now(datetime.UTC)
            with self.host() as host:
                found = inventory.collect(
                    host, now + datetime.timedelta(hours=2)
                )
                for entry in health.to_prune(found, True, True, False):
                    inventory.remove(host, entry, 'me')

        for work in (self.remove_all, prune):
            for at in self.series(work, lambda: self.make(3600)):
                self.all_or_nothing(at)
                prune()
                self.assertEqual(
                    self.before, self.switch.rows(), f'point {at}'
                )
            self.assertGreater(at, 6)


class TestGuard(KillTest):
    def waiting(self):
        """Return whether a guard waits for the database."""
        for pid in self.guards():
            argv = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()
            if argv.startswith(b'ovs-vsctl'):
                return True
        return False

    def test_waits_for_a_database_that_starts_anew(self):
        self.make(2)
        self.switch.stop_database()
        vswitch.ready('the time of the mirror', self.waiting)
        self.switch.start_database()
        vswitch.ready('the end of the guards', lambda: not self.guards())
        self.assertEqual(self.before, self.switch.rows())

    def test_none_that_cannot_open_the_database(self):
        here = f'{self.switch.folder}/nothing.sock'
        with self.host() as host:
            answer = host.shell.run(
                guard.start('id', 1, 'br-int', f'unix:{here}'), check=False
            )
        self.assertEqual(3, answer.status)
        self.assertIn('database connection failed', answer.stderr)


class TestBrokenConnection(KillTest):
    """The database goes away in the middle; the command lives on."""

    def test_create(self):
        def drop():
            raise exceptions.AccessError('the connection broke')

        for at in range(1, _POINTS):
            killer = Killer(at, drop)
            try:
                with killer.installed():
                    # A guard that cannot be told to end ends in time.
                    self.make(30)
            except exceptions.LabError:
                self.assertEqual(
                    self.before, self.switch.rows(), f'point {at}'
                )
                continue
            self.assertEqual(1, len(self.ours()))
            self.remove_all()
            self.assertEqual(self.before, self.switch.rows(), f'point {at}')
            if killer.passed < at:
                break
        else:
            self.fail('The series does not end.')
        self.assertGreater(at, 20)
        vswitch.ready('the end of the guards', lambda: not self.guards())


class TestInterrupted(KillTest):
    """Ctrl-C and its like at each point: all of it is undone at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def test_create(self):
        pairs = thorough.Pairs(self)
        for at in range(1, _POINTS):
            # By default another one at each point.
            turn = self.SIGNALS[at % len(self.SIGNALS)]
            ended = False
            for number in self.SIGNALS if thorough.THOROUGH else (turn,):
                with pairs.one():
                    ended = self.interrupted(at, number)
            if ended:
                break
        else:
            self.fail('The series does not end.')
        self.assertGreater(at, 20)
        vswitch.ready('the end of the guards', lambda: not self.guards())

    def interrupted(self, at, number):
        """Interrupt a run; return whether it had ended before."""
        killer = Killer(at, lambda: os.kill(os.getpid(), number))
        try:
            with killer.installed(), plan.interruptible():
                # A guard that cannot be told to end ends in time.
                self.make(30)
        except KeyboardInterrupt:
            where = f'{number.name} at point {at}'
            self.assertEqual(self.before, self.switch.rows(), where)
            return False
        # Nobody is told of an end that came too late.
        self.assertLess(killer.passed, at)
        self.remove_all()
        return True
