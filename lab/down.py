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

"""Take a lab down, whatever state it is in."""

import collections.abc
import contextlib
import os
import pathlib
import shutil
import signal
import time

from lab import apt
from lab import errors
from lab import process
from lab import progress

#: What is asked to end before it is killed, and the process that is asked.
_ORDERLY = {'database': 'mariadbd', 'rabbitmq': 'beam.smp'}

#: These end by themselves, and wait for what they started: when they are
#: killed first, the dead are left to a pid 1 that may be slow to bury them.
_WRAPPERS = ('nsenter', 'unshare')
_WRAPPER_TIME = 1.0

#: Seconds for the orderly end, for everything to be gone after it was
#: killed, and for pid 1 to bury the dead.
_ORDERLY_TIME = 20.0
_KILL_TIME = 30.0
_BURIAL_TIME = 5.0


def _kill(
    state: pathlib.Path,
    chosen: collections.abc.Callable[[process.Process], bool],
) -> None:
    """Kill the chosen processes until a look finds none of them.

    :raises LabError: one does not end
    """
    start = time.monotonic()
    while True:
        left = [p for p in process.find(state) if chosen(p)]
        if not left:
            return
        spent = time.monotonic() - start
        if spent > _KILL_TIME:
            names = ', '.join(f'{p.pid} ({p.command})' for p in left)
            raise errors.LabError(f'these processes do not end: {names}')
        for each in left:
            if each.command not in _WRAPPERS or spent > _WRAPPER_TIME:
                process.send(each, state, signal.SIGKILL)
        time.sleep(0.05)


def _stop_orderly(state: pathlib.Path) -> None:
    """Ask the database and the message queue to end, and wait a while."""
    deadline = time.monotonic() + _ORDERLY_TIME
    asked: set[int] = set()
    while time.monotonic() < deadline:
        mine = [
            p
            for p in process.find(state)
            if _ORDERLY.get(p.service) == p.command
        ]
        if not mine:
            return
        for each in mine:
            if each.pid not in asked:
                asked.add(each.pid)
                process.send(each, state, signal.SIGTERM)
        time.sleep(0.1)


def _wait_buried(dead: collections.abc.Iterable[process.Process]) -> None:
    """Wait until ``ps`` does not show the killed processes any more."""
    deadline = time.monotonic() + _BURIAL_TIME
    left = {each.pid for each in dead}
    while left and time.monotonic() < deadline:
        for pid in left:
            # ``run`` ends what it started itself, so it is the parent.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        left = {pid for pid in left if pathlib.Path(f'/proc/{pid}').exists()}
        time.sleep(0.05 if left else 0)


def down(
    state: pathlib.Path, report: progress.Progress, purge: bool = False
) -> None:
    """End all processes of a lab; with them go its machines and mounts.

    It needs no file of the state folder.

    :param purge: remove the state folder too
    :raises LabError: a process does not end
    """
    found = process.find(state)
    if found:
        services = {p.service for p in found if p.service} - _ORDERLY.keys()
        _kill(state, lambda p: p.service in services)
        report.line(f'{len(services)} services stopped')
        _stop_orderly(state)
        report.line('database and message queue stopped')
        _kill(state, lambda p: True)
        _wait_buried(found)
        report.line(f'lab {state} is down')
    else:
        report.line(f'lab {state} was down')
    apt.settle(state, report)
    if purge:
        shutil.rmtree(state, ignore_errors=True)
        report.line(f'removed {state}')
