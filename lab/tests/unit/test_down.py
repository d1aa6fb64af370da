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

"""What is ended on the way down, how, and in which order."""

import contextlib
import io
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest
from unittest import mock

from lab import apt
from lab import cli
from lab import down
from lab import errors
from lab import model
from lab import process
from lab import progress

STATE = pathlib.Path('/nowhere/state')

#: Beyond the highest pid of any kernel: never in /proc.
FIRST = 2**22 + 1


class Machine:
    """Has processes, and ends those that get the right signal."""

    def __init__(self, *rows: tuple[str, str]) -> None:
        self.alive = [
            process.Process(FIRST + number, service, command)
            for number, (service, command) in enumerate(rows)
        ]
        self.sent: list[tuple[str, str, int]] = []
        self.deaf: set[str] = set()

    def find(self, state: pathlib.Path) -> list[process.Process]:
        return list(self.alive) if state == STATE else []

    def send(
        self, target: process.Process, state: pathlib.Path, number: int
    ) -> None:
        self.sent.append((target.service, target.command, number))
        if target.command not in self.deaf or number == signal.SIGKILL:
            self.alive.remove(target)
            # Wrappers wait for what they started.
            self.alive = [
                each
                for each in self.alive
                if each.service != target.service
                or each.command not in down._WRAPPERS
            ]


class DownTest(unittest.TestCase):
    def down(self, machine: Machine, orderly: float = 20.0) -> str:
        lines = io.StringIO()
        with (
            mock.patch.object(process, 'find', machine.find),
            mock.patch.object(process, 'send', machine.send),
            mock.patch.object(apt, 'settle'),
            mock.patch.object(down, '_ORDERLY_TIME', orderly),
            mock.patch.object(down, '_KILL_TIME', 0.3),
        ):
            down.down(STATE, progress.Progress(lines))
        return lines.getvalue()

    def test_services_first_then_the_database_then_the_machines(self) -> None:
        machine = Machine(
            ('', 'unshare'),
            ('', 'lab-control'),
            ('database', 'nsenter'),
            ('database', 'mariadbd'),
            ('rabbitmq', 'beam.smp'),
            ('cinder-api', 'uwsgi'),
        )
        self.down(machine)
        self.assertEqual([], machine.alive)
        self.assertEqual(
            [
                ('cinder-api', 'uwsgi', signal.SIGKILL),
                ('database', 'mariadbd', signal.SIGTERM),
                ('rabbitmq', 'beam.smp', signal.SIGTERM),
            ],
            machine.sent[:3],
        )
        self.assertIn(('', 'lab-control', signal.SIGKILL), machine.sent[3:])

    def test_wrappers_are_left_to_end_by_themselves(self) -> None:
        machine = Machine(('nova-api', 'nsenter'), ('nova-api', 'uwsgi'))
        self.down(machine)
        self.assertNotIn(
            'nsenter', [command for _, command, _ in machine.sent]
        )

    def test_a_database_that_does_not_end_is_killed(self) -> None:
        machine = Machine(('database', 'mariadbd'))
        machine.deaf.add('mariadbd')
        self.down(machine, orderly=0.2)
        self.assertEqual(
            [signal.SIGTERM, signal.SIGKILL],
            [number for _, _, number in machine.sent],
        )

    def test_one_that_cannot_be_killed_is_named(self) -> None:
        machine = Machine(('nova-api', 'uwsgi'))
        machine.send = mock.Mock()  # type: ignore[method-assign]
        with self.assertRaisesRegex(errors.LabError, rf'{FIRST} \(uwsgi\)'):
            self.down(machine)

    def test_nothing_there_is_said_and_no_error(self) -> None:
        self.assertIn('was down', self.down(Machine()))


class FindTest(unittest.TestCase):
    """On real processes: what carries the mark, and nothing else."""

    def start(self, state: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            ['sleep', '60'],
            env={
                'PATH': os.environ['PATH'],
                model.MARK: state,
                model.SERVICE_MARK: 'sleeper',
            },
        )
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        # The kernel shows its environment only a moment after the program
        # was started.
        deadline = time.monotonic() + 10
        environ = pathlib.Path(f'/proc/{child.pid}/environ')
        while not environ.read_bytes() and time.monotonic() < deadline:
            time.sleep(0.001)
        return child

    def test_a_lab_sees_its_own_processes_alone(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            # One folder's name begins with the other's.
            mine, other = self.start(folder), self.start(f'{folder}2')
            found = process.find(pathlib.Path(folder))
            self.assertEqual(
                [process.Process(mine.pid, 'sleeper', 'sleep')], found
            )
            wrong = process.Process(other.pid, 'sleeper', 'sleep')
            process.send(wrong, pathlib.Path(folder), signal.SIGKILL)
            process.send(found[0], pathlib.Path(folder), signal.SIGKILL)
            self.assertEqual(-signal.SIGKILL, mine.wait(10))
            self.assertIsNone(other.poll())
            self.assertEqual([], process.find(pathlib.Path(folder)))

    def test_what_this_program_started_itself_is_buried_too(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            mine = self.start(folder)
            with mock.patch.object(apt, 'settle'):
                down.down(
                    pathlib.Path(folder), progress.Progress(io.StringIO())
                )
            self.assertFalse(pathlib.Path(f'/proc/{mine.pid}').exists())

    def test_a_lab_whose_folder_is_gone_ends_all_the_same(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            pass
        mine = self.start(folder)
        with (
            mock.patch.object(apt, 'settle'),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            args = cli.parser().parse_args(['down', '--purge'])
            self.assertEqual(0, cli._down(pathlib.Path(folder), args))
        self.assertFalse(pathlib.Path(f'/proc/{mine.pid}').exists())
        self.assertFalse(pathlib.Path(folder).exists())


if __name__ == '__main__':
    unittest.main()
