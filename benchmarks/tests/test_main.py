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

"""How benchmarks end, by what each of them wrote."""

import contextlib
import dataclasses
import io
import json
import pathlib
import subprocess
import tempfile
import typing
import unittest
from unittest import mock

from benchmarks import __main__ as program
from benchmarks import results

ROW = results.Row('a case', 'a figure', 3.0, 4.0)


class MainTest(unittest.TestCase):
    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        for name in ('RESULTS', 'TABLES'):
            patch = mock.patch.object(program, name, self.folder)
            patch.start()
            self.addCleanup(patch.stop)

    def run_one(self, status: int, *rows: results.Row) -> tuple[int, str]:
        """Run what ends with a status and writes rows, if there are any."""

        def run(argv: list[str], **_options: typing.Any) -> typing.Any:
            if rows:
                report = {
                    'machine': results.machine(),
                    'rows': [dataclasses.asdict(row) for row in rows],
                }
                pathlib.Path(argv[-1]).write_text(json.dumps(report))
            return subprocess.CompletedProcess(argv, status)

        said = io.StringIO()
        with (
            mock.patch('subprocess.run', run),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            return program.main(['one']), said.getvalue()

    def test_bars_that_are_met_and_missed(self) -> None:
        self.assertEqual(0, self.run_one(0, ROW)[0])
        self.assertIn('a figure', (self.folder / 'one.txt').read_text())
        status, said = self.run_one(1, ROW)
        self.assertEqual(1, status)
        self.assertIn('1 benchmarks, missed: one', said)

    def test_one_that_measures_nothing_is_missed(self) -> None:
        # As one does that is imported, and has nothing to run.
        self.run_one(0, ROW)
        status, said = self.run_one(0)
        self.assertEqual(1, status)
        self.assertIn('one has measured nothing', said)


if __name__ == '__main__':
    unittest.main()
