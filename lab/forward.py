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

"""Starts the forwarder between the root's loopback and the hosts."""

import collections.abc
import json
import pathlib
import subprocess
import sys
import time

from lab import machine
from lab import model
from lab import network

#: The forwarder's name among the lab's processes.
ROLE = 'forwarder'

_PROGRAM = pathlib.Path(__file__).with_name('forwarder.py')


def specification(
    layout: model.Layout,
    pids: collections.abc.Mapping[str, int],
    ports: collections.abc.Iterable[int],
) -> dict[str, object]:
    """What the forwarder has to do, as its program reads it.

    :param pids: host -> pid of its first process
    :param ports: of the control plane, to be reached from the hosts
    """
    return {
        'hosts': dict(pids),
        'outward': [
            [host, layout.address, port]
            for host in pids
            for port in sorted(ports)
        ],
        'inward': [
            [
                layout.host_loopback(host),
                layout.host_ports[name],
                host,
                layout.host_address(host),
                port,
            ]
            for host in pids
            for name, port in model.HOST_PORTS.items()
        ],
    }


def _argv(pid: int) -> list[str]:
    try:
        data = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()
    except OSError:
        return []
    return data.decode(errors='replace').rstrip('\0').split('\0')


def start(
    layout: model.Layout,
    ports: collections.abc.Collection[int],
    timeout: float = 20.0,
) -> bool:
    """Have the forwarder run for the hosts that are up now.

    One that does already what is wanted is left alone; another one is
    replaced, for instance after a restart of a host.

    :param ports: of the control plane, to be reached from the hosts
    :returns: False when nothing was to be done
    :raises machine.MachineError: it does not listen in time
    """
    found = {h: machine.init_pid(layout, h) for h in model.HOSTS}
    pids = {h: pid for h, pid in found.items() if pid is not None}
    spec = json.dumps(specification(layout, pids, ports), sort_keys=True)
    argv = [sys.executable, '-I', '-S', str(_PROGRAM), spec]
    # Which Python runs it does not matter: that of a tox environment is
    # another one than that of a shell.
    if any(_argv(p)[1:] == argv[1:] for p in machine.marked(layout, ROLE)):
        return False
    machine.kill(layout, ROLE)
    if not pids:
        return False
    path = layout.log / 'forwarder.out'
    with open(path, 'wb') as log:
        process = subprocess.Popen(
            argv,
            cwd='/',
            env=machine.environment(layout, {machine.ROLE: ROLE}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    wanted = {(layout.address, port) for port in ports}
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.poll() is None:
        if all(wanted <= network.listeners(p) for p in pids.values()):
            return True
        time.sleep(0.02)
    raise machine.MachineError(f'the forwarder did not start (log: {path})')
