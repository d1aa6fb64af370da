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

"""Show the jobs of osc-lab on a lab cloud: ``tox -e demo``.

Brings a lab up, types the commands as an operator would, and takes the
lab down again.  Ends with the status of the first command that failed.
"""

import argparse
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time
import typing

from lab import allot
from lab import cli
from lab import errors

STATE = pathlib.Path('.lab-demo')


class DemoFailed(Exception):
    """A command of the demo did not do what it should."""


def say(text: str) -> None:
    print(f'\n# {text}', flush=True)


def lab(*arguments: str) -> None:
    """Run the lab's own command, visibly.

    :raises DemoFailed: when it fails
    """
    argv = [sys.executable, '-m', 'lab', *arguments]
    print(f'$ python3 -m lab {shlex.join(arguments)}', flush=True)
    if subprocess.run(argv, check=False).returncode:
        raise DemoFailed(f'lab {arguments[0]} failed')


class Operator:
    """Somebody at a shell with the clouds.yaml of the lab.

    :param installed: folder where the plugin is imported from, such as the
        site-packages of a package; by default what Python finds itself
    """

    def __init__(
        self, state: pathlib.Path, installed: pathlib.Path | None = None
    ) -> None:
        self._environ = {
            **os.environ,
            'OS_CLIENT_CONFIG_FILE': str(state / 'clouds.yaml'),
            'OS_CLOUD': 'lab',
            # The services of all hosts share this machine, which may be busy.
            'OSC_LAB_HOST_TIMEOUT': '60',
        }
        self._folder = None
        if installed:
            self._environ['PYTHONPATH'] = str(installed)
            # Python looks into the current folder first.
            self._folder = state

    def imports_from(self) -> pathlib.Path:
        """Return the folder that the plugin is imported from."""
        code = 'import osc_lab; print(*osc_lab.__path__)'
        done = subprocess.run(
            [sys.executable, '-c', code],
            env=self._environ,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return pathlib.Path(done.stdout.strip()).resolve().parent

    def types(self, *arguments: str, quiet: bool = False) -> str:
        """Run an openstack command and show what it prints.

        :returns: its standard output
        :raises DemoFailed: when it fails
        """
        if not quiet:
            print(f'$ openstack {shlex.join(arguments)}', flush=True)
        done = subprocess.run(
            [sys.executable, '-m', 'openstackclient.shell', *arguments],
            env=self._environ,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if not quiet:
            print(done.stdout, end='', flush=True)
        if done.returncode:
            raise DemoFailed(f'openstack {shlex.join(arguments)} failed')
        return done.stdout

    def asks(self, *arguments: str) -> typing.Any:
        """Return what an openstack command knows, as JSON says it."""
        return json.loads(self.types(*arguments, '-f', 'json', quiet=True))


def encrypted_volume(operator: Operator) -> None:
    """Make an encrypted volume type, prove it, and run it again.

    :raises DemoFailed: when a volume of the type is not encrypted
    """
    say('An encrypted volume type: one command, proven before it is public')
    operator.types('volume', 'encryption', 'preset', 'luks')
    say('A volume of that type')
    operator.types(
        *('volume', 'create', '--type', 'LUKS', '--size', '1'),
        *('-c', 'name', '-c', 'type', '-c', 'status', 'demo'),
    )
    deadline = time.monotonic() + 120
    while operator.asks('volume', 'show', 'demo')['status'] != 'available':
        if time.monotonic() > deadline:
            raise DemoFailed('the volume did not become available')
        time.sleep(1)
    columns = ('-c', 'name', '-c', 'status', '-c', 'type', '-c', 'encrypted')
    operator.types('volume', 'show', *columns, 'demo')
    if operator.asks('volume', 'show', 'demo')['encrypted'] is not True:
        raise DemoFailed('the volume is not encrypted')
    say('The same command again changes nothing')
    operator.types('volume', 'encryption', 'preset', 'luks')


def port_mirror(operator: Operator) -> None:
    """Mirror the port of a server, and leave nothing behind.

    :raises DemoFailed: when the mirror is not seen, or stays
    """
    say('A server, and a mirror of its traffic')
    operator.types(
        *('server', 'create', '--image', 'guest', '--flavor', 'lab.tiny'),
        *('--network', 'lab-net', '--wait'),
        *('-c', 'name', '-c', 'status', 'demo'),
    )
    operator.types(
        *('port', 'mirror', 'create', '--server', 'demo', '--ttl', '15m'),
        *('--name', 'demo', '-c', 'host', '-c', 'device', '-c', 'packets'),
    )
    columns = ('-c', 'Name', '-c', 'Host', '-c', 'Packets', '-c', 'Health')
    operator.types('port', 'mirror', 'list', *columns)
    if not operator.asks('port', 'mirror', 'list'):
        raise DemoFailed('no mirror is listed')
    operator.types('port', 'mirror', 'delete', 'demo')
    if operator.asks('port', 'mirror', 'list'):
        raise DemoFailed('the mirror is still there')


def live_migration(operator: Operator) -> None:
    """Move the server: look before, watch during, verify after.

    :raises DemoFailed: when the server is not where it should be
    """
    say('Could the server move to another host?')
    host = 'OS-EXT-SRV-ATTR:host'
    before = operator.asks('server', 'show', 'demo')[host]
    operator.types(
        *('server', 'migrate', 'live', '--preflight'),
        *('-c', 'Check', '-c', 'Subject', '-c', 'Result', '-c', 'Message'),
        *('--max-width', '79', 'demo'),
    )
    say('Move it, and hear the truth about it')
    operator.types('server', 'migrate', 'live', '--wait', 'demo')
    if operator.asks('server', 'show', 'demo')[host] == before:
        raise DemoFailed('the server is where it was')


JOBS = (encrypted_volume, port_mirror, live_migration)


def place() -> pathlib.Path:
    """Return the usual folder, or a new one where no lab can live there."""
    state = STATE.resolve()
    try:
        allot.check_state(state)
    except errors.LabError:
        return pathlib.Path(tempfile.mkdtemp(prefix='osc-lab-')).resolve()
    return state


def show(state: pathlib.Path, installed: pathlib.Path | None) -> None:
    """Bring the lab up and do all jobs.

    :raises DemoFailed: at the first thing that is not as it should be
    """
    say('A real, throw-away OpenStack on this machine')
    lab('up', '--profile', 'full', '--state', str(state))
    operator = Operator(state, installed)
    folder = operator.imports_from()
    say(f'The plugin is that of {folder}')
    if installed and folder != installed:
        raise DemoFailed(f'the plugin is not that of {installed}')
    for job in JOBS:
        job(operator)


def take_down(state: pathlib.Path, failed: bool) -> bool:
    """End the lab; the logs of a failure are kept.

    :returns: False when it did not end
    """
    say('Take it down')
    if failed:
        cli.keep_logs(state)
    try:
        lab('down', '--purge', '--state', str(state))
    except DemoFailed as error:
        print(f'\nThe lab of the demo stays: {error}.', file=sys.stderr)
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='tox -e demo --', description=__doc__
    )
    parser.add_argument(
        '--keep', action='store_true', help='leave the lab up at the end'
    )
    parser.add_argument(
        '--installed',
        metavar='<folder>',
        type=pathlib.Path,
        help='site-packages of the plugin to show, such as those of the RPM '
        '(default: this checkout)',
    )
    options = parser.parse_args()
    if options.installed and not (options.installed / 'osc_lab').is_dir():
        parser.error(f'--installed: no osc_lab in {options.installed}')
    keep = options.keep
    state = place()
    end = ('down', '--purge', '--state', str(state))
    if state.exists() and any(state.iterdir()):
        print(
            'A lab of a demo is there already. Take it down first:\n'
            f'python3 -m lab {shlex.join(end)}',
            file=sys.stderr,
        )
        return 1
    status = 1
    try:
        show(state, options.installed and options.installed.resolve())
        status = 0
    except DemoFailed as error:
        print(f'\nThe demo failed: {error}.', file=sys.stderr)
    finally:
        if not keep and not take_down(state, bool(status)):
            status = 1
    if keep and not status:
        say('The lab is up. To use it, type:')
        print(
            f'eval "$(python3 -m lab env --state {shlex.quote(str(state))})"\n'
            f'. .tox/demo/bin/activate\n'
            'openstack volume list\n'
            f'python3 -m lab {shlex.join(end)}'
        )
    return status


if __name__ == '__main__':
    sys.exit(main())
