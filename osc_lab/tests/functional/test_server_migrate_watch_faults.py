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

"""A migration that takes its time, and a user who watches or does not."""

import os
import pathlib
import re
import signal
import uuid

import fixtures

from osc_lab.tests.functional import compute
from osc_lab.tests.functional import pair
from osc_lab.tests.functional import terminal
from osc_lab.tests.functional import through

#: Seconds for a migration on a machine that has more to do.
PATIENCE = 300

ITERATION = r'memory iteration (\d+), (\d+) of \d+ MiB left'


class SlowTest(through.ThroughTest):
    """Has a guest that writes to its memory, and a narrow way for it."""

    IMAGE = 'guest-dirty'

    #: MiB/s that Nova lets QEMU send.  The guest writes 20 of 64 MiB.
    LINK = 30

    @classmethod
    def boot(cls, name, *options):
        for host in pair.HOSTS:
            limit = {'live_migration_bandwidth': cls.LINK}
            cls.enterClassContext(cls.nova_options(host, **limit))
        return super().boot(name, *options)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.over)

    def watch(self, *argv, **environ):
        """Run the command at a terminal, where it waits by itself."""
        self.temporary = self.useFixture(fixtures.TempDir()).path
        self.mark = uuid.uuid4().hex
        shown = terminal.Terminal(
            *(*compute.LIVE, self.server, '--host', self.other, *argv),
            OS_CLOUD=self.ADMIN,
            TMPDIR=self.temporary,
            OSC_LAB_TEST=self.mark,
            **environ,
        )
        self.addCleanup(shown.close)
        return shown

    def migration(self):
        """Return the newest migration of the server."""
        found = self.json(
            *('server', 'migration', 'list', '--server', self.server),
            cloud=self.ADMIN,
        )
        return found[0] if found else None

    def under_way(self):
        found = self.migration()
        ended = ('completed', 'failed', 'error', 'cancelled')
        return found is not None and found['Status'] not in ended

    def over(self):
        """End what still goes on, and put the server right."""
        if self.under_way():
            self.abort()
        pair.wait_until('the end', lambda: not self.under_way(), PATIENCE)
        self.mended()

    def abort(self):
        number = str(self.migration()['Id'])
        self.openstack(
            *('--os-compute-api-version', '2.65', 'server', 'migration'),
            *('abort', self.server, number),
            cloud=self.ADMIN,
            status=None,
        )

    def processes(self):
        """Return what the command started on this machine."""
        found = []
        for path in pathlib.Path('/proc').glob('[0-9]*/environ'):
            try:
                if self.mark.encode() in path.read_bytes():
                    found.append((path.parent / 'cmdline').read_text())
            except OSError:
                continue
        return found

    def probes(self):
        """Return what a shell channel runs on hosts of this lab."""
        return [
            line
            for host in pair.HOSTS
            for line in self.run_on(
                host, 'ps', '-e', '-ww', '-o', 'args='
            ).splitlines()
            if re.search(r'python3 -c |^sshd: [^/]*@notty', line)
        ]

    def assert_nothing_left(self):
        pair.wait_until(
            'the end of processes', lambda: not self.processes(), 60
        )
        try:
            pair.wait_until('the end of probes', lambda: not self.probes(), 60)
        except AssertionError as error:
            raise AssertionError(f'{error}: {self.probes()}') from None
        self.assertEqual([], os.listdir(self.temporary))


class TestProgress(SlowTest):
    def test_iterations_on_a_terminal(self):
        shown = self.watch()
        self.assertEqual(0, shown.end(PATIENCE), shown.text)
        lines = re.split(r'[\r\n]+', shown.text)
        for line in lines:
            if re.match(r'\d+ of \d+ s, ', line):
                self.assertLess(len(line), terminal.COLUMNS, line)
        rounds = [int(n) for n, _left in re.findall(ITERATION, shown.text)]
        self.assertEqual(sorted(rounds), rounds, shown.text)
        self.assertGreater(len(set(rounds)), 2, shown.text)
        # The first one has all memory before it, the last one little.
        left = [int(left) for _n, left in re.findall(ITERATION, shown.text)]
        self.assertGreater(max(left), 100)
        self.assertLess(left[-1], 20)
        # Some are too short to be seen each time.
        self.assertRegex(
            shown.text,
            r'(?s) s, (requested|accepted|queued|preparing)'
            r'.* s, memory iteration.* s, (post|completed)',
        )
        self.assertIn('Moved from', ' '.join(shown.text.split()))
        self.assertEqual(self.other, self.show()['OS-EXT-SRV-ATTR:host'])
        self.assert_nothing_left()


class TestKilled(SlowTest):
    """The command dies, the migration is Nova's and goes on."""

    MOMENTS = (
        r'\d s, (accepted|preparing|queued)',
        r'memory iteration 1,',
        # A second one may be over before it is shown.
        r'memory iteration ([2-9],|1, (1[0-4])?[0-9]{1,2} of)',
        r'\d s, (post|completed)',
    )

    def killed(self, shown):
        os.kill(shown.process.pid, signal.SIGKILL)
        self.assertEqual(-signal.SIGKILL, shown.end(20))
        self.assert_nothing_left()

    def test_while_it_looks(self):
        """Nothing has been asked of Nova, so nothing happens."""
        before = self.migration()
        shown = self.watch()
        pair.wait_until('a look at the hosts', self.probes, 60)
        self.killed(shown)
        self.assertEqual(before, self.migration())

    def test_while_it_follows(self):
        told = set()
        for moment in self.MOMENTS:
            shown = self.watch()
            shown.wait_for(
                lambda text, moment=moment: re.search(moment, text), PATIENCE
            )
            self.killed(shown)
            number = str(self.migration()['Id'])
            told.add(self.explained(number))
            pair.wait_until('the end', lambda: not self.under_way(), PATIENCE)
            found = self.live('--explain', number)
            self.assertEqual('ok', found[0]['Result'], found)
            self.assertIn(f'to {self.other}', found[0]['Message'])
            self.assertEqual(self.other, self.show()['OS-EXT-SRV-ATTR:host'])
            self.source, self.other = self.other, self.source
        self.assertIn(4, told)

    def explained(self, number):
        """Return the exit status of a look at what may go on, or end."""
        run = self.openstack(
            *(*compute.LIVE, '--explain', number, '-f', 'json'),
            cloud=self.ADMIN,
            status=None,
        )
        if run.status == 4:
            self.assertIn('goes on', run.json()[0]['Message'])
        else:
            self.assertFalse(self.under_way(), str(run))
        return run.status


class TestBusy(SlowTest):
    """A guest that writes more than the network carries."""

    LINK = 5

    def started(self, *argv):
        shown = self.watch(*argv)
        shown.wait_for(lambda text: re.search(ITERATION, text), PATIENCE)
        return shown

    def stays(self, shown, status, *texts):
        """See the command end, and the server stay where it was."""
        self.assertEqual(status, shown.end(PATIENCE), shown.text)
        self.assertNotIn('Traceback', shown.text)
        text = ' '.join(shown.text.split())
        for wanted in texts:
            self.assertIn(wanted, text)
        self.assert_nothing_left()
        server = self.show()
        self.assertEqual(self.source, server['OS-EXT-SRV-ATTR:host'])
        # Nova 34 takes what libvirt cancelled for an error of its own.
        if server['status'] == 'ERROR':
            self.assertIn('--repair', text)
            [found] = self.live(self.server, '--repair')
            self.assertEqual('ok', found['Result'])
        self.assertEqual('ACTIVE', self.show()['status'])
        self.wait_for(self.clean, 'a clean preflight')

    def test_interrupted_once(self):
        shown = self.started()
        shown.press(terminal.INTERRUPT)
        self.stays(shown, 130, 'Asked Nova to abort', 'Not moved')
        self.assertIn(self.migration()['Status'], ('cancelled', 'error'))
        number = str(self.migration()['Id'])
        found = self.live('--explain', number, status=5)
        self.assertIn('Not moved', found[0]['Message'])

    def test_interrupted_twice(self):
        shown = self.started()
        # Nova has not been asked when the second one comes at once.
        shown.press(terminal.INTERRUPT)
        shown.wait_for(lambda text: 'Interrupt again' in text, 20)
        shown.press(terminal.INTERRUPT)
        self.assertEqual(130, shown.end(60), shown.text)
        self.assert_nothing_left()
        self.assertIn('--explain', shown.text)

    def test_stall_is_reported(self):
        shown = self.started('--on-stall', 'report', '--timeout', '120')
        self.assertEqual(4, shown.end(PATIENCE), shown.text)
        self.assertIn('has not become less', shown.text)
        self.assertTrue(self.under_way())
        self.assert_nothing_left()

    def test_stall_aborts(self):
        shown = self.started('--on-stall', 'abort')
        self.stays(shown, 5, 'has not become less', 'Not moved')

    def test_stall_is_forced_to_its_end(self):
        shown = self.started('--on-stall', 'force-complete')
        self.assertEqual(0, shown.end(PATIENCE), shown.text)
        self.assertIn('has not become less', shown.text)
        self.assertEqual(self.other, self.show()['OS-EXT-SRV-ATTR:host'])
        self.assert_nothing_left()
