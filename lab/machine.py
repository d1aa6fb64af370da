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

"""Machines made of namespaces, held by nothing but their processes.

A machine is an ``unshare`` process whose only child, the reaper, is the
first process in the new namespaces.  No namespace has a name, no mount is
in the root's table.  When the outer process dies the kernel kills the
reaper, with it the pid namespace, and so everything inside.
"""

import collections.abc
import dataclasses
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

from lab import errors
from lab import model

#: Environment variable that only the two processes of a machine carry (and
#: helpers that are no machine, such as the forwarder): its name.
ROLE = 'OSC_LAB_ROLE'

#: What a machine may have of its own; also the file names in /proc/PID/ns.
NAMESPACES = ('mnt', 'uts', 'ipc', 'net', 'pid')

_OPTION = {
    'mnt': '--mount',
    'uts': '--uts',
    'ipc': '--ipc',
    'net': '--net',
    'pid': '--pid',
}

_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

_REAPER = pathlib.Path(__file__).with_name('reaper.py')


_BIND_EXPORT = """\
#!/bin/sh
# mount.nfs SOURCE TARGET ...: this kernel has no NFS; the export is here
exec mount --bind {export} "$2"
"""


class MachineError(errors.LabError):
    """A machine did not start, or is not there."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a machine has of its own.

    :param name: unique in a lab
    :param namespaces: out of NAMESPACES
    :param hostname: name in its uts namespace
    :param overlays: (folder, target): the folder's files lie over the
        target's, all of it read-only
    :param binds: (source, target), mounted after the overlays
    """

    name: str
    namespaces: tuple[str, ...]
    hostname: str | None = None
    overlays: tuple[tuple[pathlib.Path, str], ...] = ()
    binds: tuple[tuple[pathlib.Path, str], ...] = ()


def environment(
    layout: model.Layout, extra: collections.abc.Mapping[str, str] = {}
) -> dict[str, str]:
    """What every process of a lab finds in its environment, and no more."""
    return {
        'PATH': _PATH,
        'HOME': '/root',
        'LC_ALL': 'C.UTF-8',
        model.MARK: str(layout.state),
        **extra,
    }


def _environ(pid: int) -> frozenset[bytes]:
    try:
        data = pathlib.Path(f'/proc/{pid}/environ').read_bytes()
    except OSError:
        return frozenset()
    return frozenset(data.split(b'\0'))


def marked(layout: model.Layout, role: str | None = None) -> list[int]:
    """Pids of the lab's processes, found by their environment alone.

    :param role: only those that carry this ROLE
    """
    wanted = {f'{model.MARK}={layout.state}'.encode()}
    if role is not None:
        wanted.add(f'{ROLE}={role}'.encode())
    pids = [int(p) for p in os.listdir('/proc') if p.isdigit()]
    return [p for p in pids if p != os.getpid() and wanted <= _environ(p)]


def _comm(pid: int) -> str:
    try:
        return pathlib.Path(f'/proc/{pid}/comm').read_text().strip()
    except OSError:
        return ''


_known: dict[tuple[pathlib.Path, str], int] = {}


def init_pid(layout: model.Layout, name: str) -> int | None:
    """The pid, seen from outside, of a ready machine's first process."""
    key = (layout.state, name)
    mark = f'{model.MARK}={layout.state}'.encode()
    pid = _known.get(key)
    if pid and _comm(pid) == f'lab-{name}' and mark in _environ(pid):
        return pid
    for pid in marked(layout, name):
        if _comm(pid) == f'lab-{name}':
            _known[key] = pid
            return pid
    return None


def export(layout: model.Layout) -> pathlib.Path:
    """The folder that stands for the NFS export with the volumes."""
    return layout.data / 'cinder' / 'export'


def control(layout: model.Layout) -> Machine:
    """The control plane's machine; its network is the root's.

    It has its own ``mount.nfs``, so that ``mount -t nfs`` shows the folder
    of ``export``, and what it mounts is seen nowhere else.
    """
    sbin = layout.state / model.CONTROL / 'sbin'
    write_helper(
        sbin / 'mount.nfs',
        _BIND_EXPORT.format(export=shlex.quote(str(export(layout)))),
    )
    export(layout).mkdir(parents=True, exist_ok=True)
    return Machine(
        model.CONTROL, ('mnt', 'pid'), overlays=((sbin, '/usr/sbin'),)
    )


def write_helper(path: pathlib.Path, script: str) -> None:
    """Write an executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)


def _spawn(layout: model.Layout, machine: Machine) -> subprocess.Popen[bytes]:
    own = machine.namespaces
    spec = {
        'name': machine.name,
        'proc': 'pid' in own,
        'sysfs': 'net' in own and 'mnt' in own,
        'loopback': 'net' in own,
        'hostname': machine.hostname,
        'overlays': [(str(f), t) for f, t in machine.overlays],
        'binds': [(str(s), t) for s, t in machine.binds],
    }
    argv = ['unshare', *(_OPTION[n] for n in own), '--fork', '--kill-child']
    if 'mnt' in own:
        argv += ['--propagation', 'private']
    argv += ['--', sys.executable, '-I', '-S', str(_REAPER)]
    layout.log.mkdir(parents=True, exist_ok=True)
    with open(layout.log / f'machine-{machine.name}.out', 'wb') as log:
        return subprocess.Popen(
            [*argv, json.dumps(spec)],
            cwd='/',
            env=environment(layout, {ROLE: machine.name}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def start(
    layout: model.Layout, machine: Machine, timeout: float = 20.0
) -> int:
    """Make a machine, or find it when it is there already.

    :returns: pid of its first process, seen from outside
    :raises MachineError: with the reason, from the machine's log
    """
    process = None
    if not marked(layout, machine.name):
        process = _spawn(layout, machine)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        pid = init_pid(layout, machine.name)
        if pid is not None:
            return pid
        if process and process.poll() is not None:
            break
        time.sleep(0.02)
    kill(layout, machine.name)
    log = layout.log / f'machine-{machine.name}.out'
    reason = log.read_text(errors='replace').strip() if log.exists() else ''
    raise MachineError(
        f'machine {machine.name} did not start: {reason or "no answer"}'
        f' (log: {log})'
    )


def enter_argv(layout: model.Layout, name: str) -> list[str]:
    """What to put before a command so that it runs inside a machine.

    The command then has the machine's root as its working directory.

    :raises MachineError: the machine is not there
    """
    pid = init_pid(layout, name)
    if pid is None:
        raise MachineError(f'machine {name} is not running')
    argv = ['nsenter', '--target', str(pid)]
    for namespace, option in _OPTION.items():
        theirs = os.readlink(f'/proc/{pid}/ns/{namespace}')
        if theirs != os.readlink(f'/proc/self/ns/{namespace}'):
            argv.append(option)
    return [*argv, '--']


def run(
    layout: model.Layout,
    name: str,
    argv: collections.abc.Sequence[str],
    *,
    env: collections.abc.Mapping[str, str] = {},
    check: bool = True,
    timeout: float = 60.0,
    stdin: str = '',
) -> subprocess.CompletedProcess[str]:
    """Run a command inside a machine and wait for it.

    :raises MachineError: it failed (unless ``check`` is False), or took
        longer than ``timeout`` seconds
    """
    try:
        done = subprocess.run(
            [*enter_argv(layout, name), *argv],
            check=False,
            env=environment(layout, env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise MachineError(
            f'{argv[0]} on {name} took longer than {timeout:.0f} s'
        ) from None
    if check and done.returncode:
        raise MachineError(
            f'{argv[0]} on {name} failed: {done.stderr.strip()}'
        )
    return done


def kill(layout: model.Layout, name: str, timeout: float = 10.0) -> None:
    """End what has a role, a machine with everything in it.

    Nothing to do is no error.

    :raises MachineError: a process is still there after the time
    """
    _known.pop((layout.state, name), None)
    deadline = time.monotonic() + timeout
    while pids := marked(layout, name):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
            except (ProcessLookupError, ChildProcessError):
                continue
        if time.monotonic() > deadline:
            raise MachineError(f'machine {name} does not end: {pids}')
        time.sleep(0.02)
