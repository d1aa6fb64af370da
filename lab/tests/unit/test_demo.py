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

"""What the demo leaves when something fails."""

import contextlib
import io
import pathlib
import shutil
import subprocess
import tempfile
import unittest
from unittest import mock

from lab import cli
from lab import demo


class DemoTest(unittest.TestCase):
    """With a lab's program that only writes a log, and removes it."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name).resolve()
        self.state = self.folder / 'state'
        self.status = {'up': 1, 'down': 0}
        for patch in (
            mock.patch.object(demo, 'STATE', self.state),
            mock.patch.object(demo, 'JOBS', ()),
            mock.patch.object(demo.subprocess, 'run', self.run_lab),
            mock.patch.object(cli, '_LOGS', self.folder / 'kept'),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def run_lab(
        self, argv: list[str], **_options: object
    ) -> subprocess.CompletedProcess[str]:
        if argv[1] == '-c':
            return subprocess.CompletedProcess(argv, 0, f'{self.folder}/x\n')
        verb = argv[3]
        log = self.state / 'log' / 'nova-api.out'
        if verb == 'up':
            log.parent.mkdir(parents=True)
            log.write_text('why')
        elif not self.status[verb]:
            shutil.rmtree(self.state)
        return subprocess.CompletedProcess(argv, self.status[verb])

    def demo(self, *arguments: str) -> tuple[int, str]:
        err = io.StringIO()
        with (
            mock.patch('sys.argv', ['demo', *arguments]),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(err),
        ):
            return demo.main(), err.getvalue()

    def test_the_log_of_a_failure_is_kept(self) -> None:
        code, err = self.demo()
        self.assertEqual(1, code)
        self.assertIn('The demo failed: lab up failed.', err)
        self.assertIn(f'logs are kept in {self.folder}/kept', err)
        log = self.folder / 'kept' / 'nova-api.out'
        self.assertEqual('why', log.read_text())
        self.assertFalse(self.state.exists())

    def test_a_lab_that_does_not_end_is_told_in_a_line(self) -> None:
        for status in (0, 1):
            self.status = {'up': status, 'down': 1}
            code, err = self.demo()
            self.assertEqual(1, code)
            self.assertIn('stays: lab down failed.', err)
            shutil.rmtree(self.state)

    def test_nothing_is_kept_after_a_success(self) -> None:
        self.status = {'up': 0, 'down': 0}
        self.assertEqual((0, ''), self.demo())
        self.assertFalse((self.folder / 'kept').exists())
        self.assertFalse(self.state.exists())

    def test_where_no_lab_can_live_it_goes_elsewhere(self) -> None:
        """As in a checkout whose path is long, or has a blank."""
        self.status = {'up': 0, 'down': 0}
        other = self.folder / 'other'
        for name in ('x' * 70, 'my work'):
            other.mkdir(exist_ok=True)
            with (
                mock.patch.object(demo, 'STATE', self.folder / name),
                mock.patch.object(
                    demo.tempfile, 'mkdtemp', return_value=str(other)
                ),
            ):
                self.state = other
                self.assertEqual((0, ''), self.demo())
                self.assertFalse(other.exists())

    def test_a_lab_of_a_demo_is_not_used_again(self) -> None:
        self.state.mkdir()
        (self.state / 'lab.json').touch()
        code, err = self.demo()
        self.assertEqual(1, code)
        self.assertIn(f'down --purge --state {self.state}', err)
        self.assertTrue(self.state.exists())

    def test_keep_leaves_the_lab(self) -> None:
        self.status = {'up': 0, 'down': 0}
        self.assertEqual((0, ''), self.demo('--keep'))
        self.assertTrue(self.state.exists())


if __name__ == '__main__':
    unittest.main()
