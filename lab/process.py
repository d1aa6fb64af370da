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

"""Start processes of a lab, find them by their mark, and end them.

No pid is ever written to a file: a process belongs to a lab because its
environment says so, or because it is in a machine whose first process
does.
"""

import collections.abc
import contextlib
import dataclasses
import functools
import os
import pathlib
import signal
import subprocess
import time
import typing

from lab import errors
from lab import machine
from lab import model

_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


@dataclasses.dataclass(frozen=True)
class Process:
    """A process of a lab, seen from the root pid namespace.

    :param service: name of the service it belongs to, or ''
    :param command: its short name, as the kernel has it
    """

    pid: int
    service: str
    command: str


def parse(environ: bytes) -> dict[str, str]:
    """The variables in a /proc/PID/environ."""
    pairs = [item.partition(b'=') for item in environ.split(b'\0') if item]
    return {
        key.decode(errors='replace'): value.decode(errors='replace')
        for key, _, value in pairs
    }


def _look(pid: int, state: str) -> Process | None:
    """The process, when it carries the mark of the lab."""
    folder = pathlib.Path(f'/proc/{pid}')
    with contextlib.suppress(OSError):
        raw = (folder / 'environ').read_bytes()
        if model.MARK.encode() in raw:
            env = parse(raw)
            if env.get(model.MARK) == state:
                return Process(
                    pid,
                    env.get(model.SERVICE_MARK, ''),
                    (folder / 'comm').read_text().strip(),
                )
    return None


def find(state: pathlib.Path) -> list[Process]:
    """All processes that carry the mark, but this one and its parents."""
    own = set(_ancestors())
    pids = [int(name) for name in os.listdir('/proc') if name.isdigit()]
    found = [_look(pid, str(state)) for pid in pids if pid not in own]
    return [process for process in found if process]


def _ancestors() -> typing.Iterator[int]:
    pid = os.getpid()
    while pid > 1:
        yield pid
        # The command's name may hold blanks and brackets, what follows not.
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
        pid = int(stat.rpartition(')')[2].split()[1])


def send(process: Process, state: pathlib.Path, number: int) -> None:
    """Send a signal to this very process, not to a later one of its pid."""
    _send(process.pid, number, lambda: bool(_look(process.pid, str(state))))


def _send(
    pid: int, number: int, same: collections.abc.Callable[[], bool]
) -> None:
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if same():
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def _carries(pid: int, variable: bytes) -> bool:
    try:
        environ = pathlib.Path(f'/proc/{pid}/environ').read_bytes()
    except OSError:
        return False
    return variable in environ.split(b'\0')


def end(name: str, value: str, patience: float = 30.0) -> None:
    """End all processes with a variable in their environment.

    :param patience: seconds from SIGTERM to SIGKILL; what is not gone as
        many seconds later stays
    """
    variable = f'{name}={value}'.encode()
    start = time.monotonic()
    asked: set[int] = set()
    while (spent := time.monotonic() - start) < 2 * patience:
        pids = [int(entry) for entry in os.listdir('/proc') if entry.isdigit()]
        left = [pid for pid in pids if _carries(pid, variable)]
        if not left:
            return
        for pid in left:
            same = functools.partial(_carries, pid, variable)
            if spent > patience:
                _send(pid, signal.SIGKILL, same)
            elif pid not in asked:
                _send(pid, signal.SIGTERM, same)
        asked.update(left)
        time.sleep(0.05)


def environment(
    layout: model.Layout, service: model.Service
) -> dict[str, str]:
    """All of a service's environment: nothing of the caller's leaks in."""
    return {
        'HOME': str(layout.run),
        'LC_ALL': 'C.UTF-8',
        'PATH': f'{layout.tools}:{layout.venv}/bin:{_PATH}',
        'PYTHONUNBUFFERED': '1',
        # Without it a process that renames itself overwrites the mark.
        'SPT_NOENV': '1',
        'TMPDIR': str(layout.temporary),
        'no_proxy': '*',
        **service.env,
        model.MARK: str(layout.state),
        model.SERVICE_MARK: service.name,
    }


def log_of(layout: model.Layout, service: str) -> pathlib.Path:
    """The file that gets all a service prints."""
    return layout.log / f'{service}.out'


def spawn(
    layout: model.Layout, service: model.Service
) -> subprocess.Popen[bytes]:
    """Start a service in its machine; it outlives this program.

    :raises StepError: the command cannot be started
    """
    log = log_of(layout, service.name)
    for folder in (layout.log, layout.temporary):
        folder.mkdir(parents=True, exist_ok=True)
    if service.prepare:
        service.prepare()
    prefix = machine.enter_argv(layout, service.machine)
    with open(log, 'ab') as sink:
        try:
            return subprocess.Popen(
                [*prefix, *service.argv],
                cwd='/',
                env=environment(layout, service),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        except OSError as error:
            raise errors.StepError(f'cannot start: {error}', log) from None


def start(layout: model.Layout, service: model.Service) -> bool:
    """Start a service unless it runs, and wait until it answers.

    :returns: False when it was there already
    :raises StepError: it ended, or did not answer in time
    """
    running = any(p.service == service.name for p in find(layout.state))
    child = None if running else spawn(layout, service)
    log = log_of(layout, service.name)
    deadline = time.monotonic() + service.timeout
    while service.ready and not service.ready():
        if child and child.poll() is not None:
            raise errors.StepError(f'ended with {child.returncode}', log)
        if time.monotonic() > deadline:
            raise errors.StepError(
                f'gave no answer in {service.timeout:.0f} s', log
            )
        time.sleep(0.1)
    return not running
