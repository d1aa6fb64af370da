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

import contextlib
import fcntl
import io
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

from lab import apt
from lab import commands
from lab import errors
from lab import progress

#: Stands for apt-get: waits for a file, notes what it was asked.
APT_GET = """#!/bin/sh
echo "$@" >> {folder}/asked
cp {folder}/policy {folder}/seen
until [ -e {folder}/go ]; do sleep 0.02; done
exit {status}
"""


class AptTest(unittest.TestCase):
    """On a real apt-get, of a few lines."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.policy = self.folder / 'policy'
        self.apt_get()
        for patch in (
            mock.patch.object(apt, 'POLICY', self.policy),
            mock.patch.dict('os.environ', PATH=f'{self.folder}:/usr/bin:/bin'),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def apt_get(self, status: int = 0) -> None:
        path = self.folder / 'apt-get'
        path.write_text(APT_GET.format(folder=self.folder, status=status))
        path.chmod(0o755)

    def go(self) -> None:
        (self.folder / 'go').touch()

    def install(self, name: str = 'one') -> None:
        apt.install(['pkg'], self.folder / name, self.folder / 'log')

    def begin(self, name: str = 'one') -> threading.Thread:
        """Install in the background, as far as apt-get."""

        def run() -> None:
            with contextlib.suppress(errors.LabError):
                self.install(name)

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.go)
        self.wait(lambda: (self.folder / 'seen').exists())
        return thread

    def wait(self, done: object) -> None:
        assert callable(done)
        limit = time.monotonic() + 10
        while not done():
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.01)

    def settle(self, name: str = 'one') -> str:
        lines = io.StringIO()
        apt.settle(self.folder / name, progress.Progress(lines))
        return lines.getvalue()

    def test_policy_is_there_only_while_it_installs(self) -> None:
        self.go()
        self.install()
        self.assertIn('exit 101', (self.folder / 'seen').read_text())
        self.assertFalse(self.policy.exists())
        asked = (self.folder / 'asked').read_text().splitlines()
        self.assertEqual('update -q', asked[0])
        self.assertTrue(asked[1].endswith('--no-install-recommends pkg'))

    def test_nobody_is_asked_about_a_changed_file(self) -> None:
        self.go()
        self.install()
        asked = (self.folder / 'asked').read_text().splitlines()[1]
        for choice in ('confdef', 'confold'):
            self.assertIn(f'-o Dpkg::Options::=--force-{choice} ', asked)

    def test_policy_goes_after_a_failure_too(self) -> None:
        self.apt_get(status=100)
        self.go()
        with self.assertRaises(errors.StepError):
            self.install()
        self.assertFalse(self.policy.exists())

    def test_no_time_is_too_long(self) -> None:
        defaults = commands.run.__kwdefaults__
        with mock.patch.dict(defaults, timeout=0.1):
            threading.Timer(0.5, self.go).start()
            self.install()
        self.assertFalse(self.policy.exists())

    def test_policy_can_be_executed_while_it_is_held(self) -> None:
        self.begin()
        self.assertEqual(101, subprocess.run([self.policy]).returncode)

    def test_what_ends_the_lab_does_not_end_apt(self) -> None:
        thread = self.begin()
        commands.kill_all()
        self.assertTrue(self.policy.exists())
        self.assertTrue(thread.is_alive())
        threading.Timer(0.5, self.go).start()
        self.assertIn('waiting for apt-get', self.settle())
        self.assertFalse(self.policy.exists())

    def test_program_that_is_killed(self) -> None:
        """As kill -9 of `lab up`: apt-get goes on, and cleans up."""
        child = subprocess.Popen(
            [
                sys.executable,
                '-c',
                'import pathlib, sys; from lab import apt; '
                'apt.POLICY = pathlib.Path(sys.argv[1]); '
                'folder = apt.POLICY.parent; '
                "apt.install(['pkg'], folder / 'one', folder / 'log')",
                str(self.policy),
            ]
        )
        self.addCleanup(self.go)
        self.wait(lambda: (self.folder / 'seen').exists())
        child.kill()
        child.wait()
        with mock.patch.object(apt, '_PATIENCE', 0.3):
            with self.assertRaisesRegex(errors.LabError, 'still runs'):
                self.settle()
        self.assertTrue(self.policy.exists())
        self.go()
        self.wait(lambda: not self.policy.exists())

    def test_one_lab_does_not_wait_for_the_apt_of_another(self) -> None:
        self.begin('one')
        self.assertEqual('', self.settle('two'))
        self.assertTrue(self.policy.exists())

    def test_left_policy_is_removed_and_a_foreign_one_is_not(self) -> None:
        self.policy.write_text(apt._text(self.folder / 'dead'))
        self.settle()
        self.assertFalse(self.policy.exists())
        self.policy.write_text('#!/bin/sh\nexit 0\n')
        self.settle()
        self.go()
        self.install()
        self.assertEqual('#!/bin/sh\nexit 0\n', self.policy.read_text())

    def test_second_lab_waits_for_the_first(self) -> None:
        self.begin('one')
        (self.folder / 'seen').unlink()
        second = threading.Thread(target=self.install, args=('two',))
        second.start()
        time.sleep(0.2)
        self.assertTrue(second.is_alive())
        self.assertFalse((self.folder / 'seen').exists())
        self.go()
        second.join(10)
        self.assertIn('/two', (self.folder / 'seen').read_text())
        self.assertFalse(self.policy.exists())

    def test_lock_is_kept_by_apt_itself(self) -> None:
        self.begin()
        with open(self.policy) as stream:
            with self.assertRaises(BlockingIOError):
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


if __name__ == '__main__':
    unittest.main()
