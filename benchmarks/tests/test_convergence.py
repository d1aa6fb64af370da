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

"""What is made of the migrations that were measured."""

import contextlib
import importlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

from benchmarks import convergence_table

MACHINE = {
    'processors': 4,
    'model': 'EPYC',
    'memory_gib': 16,
    'python': '3.12.1',
    'qemu': '8.2.0',
}
WINDOWS = [[1.0, 3584.0], [2.0, 4096.0], [4.0, 8192.0], [7.0, 16128.0]]


def row(**fields):
    return {
        'case': [64, 8, 25],
        'date': '2026-01-01',
        'idle': 0.9,
        'load': 1.0,
        'windows': WINDOWS,
        'total_pages': 262144,
        'touched_pages': 43008,
        'link_mib_s': 249.8,
        'given_before': 0.3,
        'converged': True,
        'seconds': 9.1,
        'downtime_ms': 21,
        **fields,
    }


class ConvergenceTest(unittest.TestCase):
    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        folder = pathlib.Path(holder.name)
        for name in ('RESULTS', 'TABLE', 'PAGE'):
            patch = mock.patch.object(convergence_table, name, folder / name)
            patch.start()
            self.addCleanup(patch.stop)

    def tell(self, *rows: object) -> tuple[int, str]:
        """Return the exit status, and the table for the documents."""
        convergence_table.RESULTS.write_text(json.dumps(rows))
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            status = convergence_table.main()
        page = convergence_table.PAGE
        return status, ' '.join(page.read_text().split()) if rows else ''

    def test_machine_is_that_of_the_rows(self) -> None:
        status, page = self.tell(row(machine=MACHINE))
        self.assertEqual(0, status)
        where = 'QEMU 8.2.0 on 4 processors (EPYC), 16 GiB, Python 3.12.1'
        self.assertIn(f'without KVM (TCG); {where}. 1 ended', page)
        page = self.tell(row())[1]
        self.assertIn('; machine and QEMU not recorded. 1 ended', page)
        page = self.tell(row(), row(machine=MACHINE), row())[1]
        self.assertIn(
            f'; 2: machine and QEMU not recorded, 1: {where}. 3', page
        )

    def test_no_row_is_a_failure(self) -> None:
        self.assertEqual(1, self.tell()[0])

    def test_each_wrong_answer_is_a_failure(self) -> None:
        ends, never = {'converges': True}, {'converges': False}
        for answer, converged, status in (
            (ends, True, 0),
            (ends, False, 1),
            (never, True, 1),
            (never, False, 0),
        ):
            told = {**convergence_table.told(row()), **answer}
            with mock.patch.object(
                convergence_table, 'told', return_value=told
            ):
                found = self.tell(row(converged=converged))[0]
            self.assertEqual(status, found, (answer, converged))

    def test_guests_that_do_not_exist(self) -> None:
        with mock.patch.dict(sys.modules, libvirt=mock.Mock()):
            module = importlib.import_module('benchmarks.convergence')
            self.addCleanup(sys.modules.pop, module.__name__, None)
        self.assertEqual(module.GUESTS, module.chosen())
        self.assertEqual(module.GUESTS[11:], module.chosen('11'))
        self.assertEqual(module.GUESTS[2:4], module.chosen('2', '4'))
        for words in (('12',), ('3', '3')):
            with self.assertRaisesRegex(SystemExit, 'guests 0 to 11'):
                module.chosen(*words)


if __name__ == '__main__':
    unittest.main()
