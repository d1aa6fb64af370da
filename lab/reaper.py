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

"""The first process of a machine: mounts, name, then reaping.

It is run by path, without site packages, as pid 1 of its namespaces::

    python3 -I -S reaper.py SPECIFICATION

SPECIFICATION is JSON: name, proc, sysfs, loopback (booleans for the
latter three), hostname (or null), overlays (list of [folder on top,
target]) and binds (list of [source, target]), mounted in that order.
When all is done the process renames itself to ``lab-NAME``, which is how
the others see that the machine is ready.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import typing


def _run(*argv: str) -> None:
    done = subprocess.run(
        argv,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f'{" ".join(argv)}: {done.stderr.strip()}')


def _set_up(spec: dict[str, typing.Any]) -> None:
    if spec['proc']:
        _run('mount', '-t', 'proc', 'proc', '/proc')
    if spec['sysfs']:
        _run('mount', '-t', 'sysfs', 'sysfs', '/sys')
    # Read-only overlays, the private folder above the machine's own: there
    # is no upper folder, so any file system can hold the state folder.
    for folder, target in spec['overlays']:
        layers = f'lowerdir={folder}:{target}'
        _run('mount', '-t', 'overlay', '-o', layers, 'overlay', target)
    for source, target in spec['binds']:
        _run('mount', '--bind', source, target)
    if spec['hostname']:
        socket.sethostname(spec['hostname'])
    if spec['loopback']:
        _run('ip', 'link', 'set', 'lo', 'up')


def _reap() -> None:
    """Wait for orphans until SIGTERM."""
    waited = {signal.SIGCHLD, signal.SIGTERM}
    while signal.sigwait(waited) != signal.SIGTERM:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            continue


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    spec = json.loads(sys.argv[1])
    _set_up(spec)
    with open('/proc/self/comm', 'w') as comm:
        comm.write('lab-' + spec['name'])
    _reap()


if __name__ == '__main__':
    main()
