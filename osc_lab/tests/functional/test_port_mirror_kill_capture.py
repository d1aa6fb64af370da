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

"""Kill and interrupt a capture of a real server, at every message."""

import os
import pathlib
import signal
import sys

import fixtures
from openstackclient import shell

from osc_lab.tests.functional import pair
from osc_lab.tests.functional import test_port_mirror_kill as kill
from osc_lab.tests import thorough

#: More than a capture needs; a series that gets there does not end.
MOST = 100

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: What is added to the exit code of a run that no signal came to.
UNTOUCHED = 100


class TestKillCapture(pair.PairTest):
    def setUp(self):
        super().setUp()
        self.before = self.snapshot()
        self.addCleanup(self.delete_mirrors, 'hosta')
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def capture(self, path):
        """Run the command in this process."""
        null = open(os.devnull, 'w')
        sys.stdout = sys.stderr = null
        return shell.OpenStackShell().run(
            [
                *('--os-cloud', self.ADMIN, *pair.MIRROR, 'capture'),
                *(self.ports['hosta'], '--file', str(path)),
                *('--duration', '1s'),
            ]
        )

    def test_each_message(self):
        pairs = thorough.Pairs(self)
        for at in range(1, MOST):
            path = self.folder / f'{at}.pcap'
            killer = kill.Killer(at, kill.kill_me)

            def run(killer=killer, path=path):
                with killer.installed():
                    return self.capture(path)

            status = kill.forked(run)
            with pairs.one():
                self.assert_whole('hosta')
                if path.exists() and path.stat().st_size:
                    # It fails when a packet is there in part.
                    pair.pairs(path)
            if os.WIFEXITED(status):
                break
            self.assertEqual(signal.SIGKILL, os.WTERMSIG(status))
        else:
            self.fail('The series does not end.')
        self.assertEqual(0, status)
        self.assertGreater(at, 20)
        # Each mirror is made for a second, and lives one minute longer; so
        # does the guard of one that was killed when the mirror had gone.
        rows = self.before['hosta'][0]
        pair.wait_until('the guards', lambda: self.rows('hosta') == rows, 90)
        self.assert_same(self.before, 90)

    def test_interrupted_at_each_message(self):
        """All of it is undone at once, and what arrived is there."""
        pairs = thorough.Pairs(self)
        codes = set()
        for at in range(1, MOST):
            with pairs.one():
                codes.add(self.interrupted(at, SIGNALS[at % len(SIGNALS)]))
            if UNTOUCHED in codes:
                break
        else:
            self.fail('The series does not end.')
        self.assertGreater(at, 20)
        # What comes while the mirror is removed takes nothing from the file.
        self.assertEqual({130, 0, UNTOUCHED}, codes)

    def interrupted(self, at, number):
        """Interrupt a capture at a point; return its exit code."""
        path = self.folder / f'{at}-{number.name}.pcap'
        killer = kill.Killer(at, lambda: os.kill(os.getpid(), number))

        def run():
            with killer.installed():
                status = self.capture(path)
            return status if killer.passed >= at else UNTOUCHED + status

        status = kill.forked(run)
        where = f'{number.name} at point {at}'
        self.assertTrue(os.WIFEXITED(status), where)
        self.assertIn(os.WEXITSTATUS(status), (0, 130, UNTOUCHED), where)
        self.assert_same(self.before)
        if path.exists() and path.stat().st_size:
            pair.pairs(path)
        return os.WEXITSTATUS(status)
