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

"""Measure what the plugin adds to the start of the openstack shell.

The shell runs in processes of its own with a finder in front that times
every import of ours, with all that it brings along.  Nothing is compared
between processes but processor time: wall time moves by a tenth.

    python -m benchmarks.startup
"""

import argparse
import collections.abc
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from benchmarks import results

ROUNDS = 15

#: Runs the shell; writes what imports of ours took and brought, and the
#: processor time up to the first connection and in all.
WATCH = """
import json, os, socket, sys, time
import importlib.abc, importlib.machinery

seen = {'ms': 0.0, 'all': 0.0, 'ours': 0, 'foreign': [], 'first': None}
depth = 0

class Loader(importlib.abc.Loader):
    def __init__(self, inner):
        self.inner = inner
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def create_module(self, spec):
        return self.inner.create_module(spec)
    def exec_module(self, module):
        with Timer():
            self.inner.exec_module(module)

class Timer:
    def __enter__(self):
        global depth
        depth += 1
        if depth == 1:
            self.before = set(sys.modules)
            self.begin = time.process_time()
    def __exit__(self, *_error):
        global depth
        depth -= 1
        if not depth:
            seen['ms'] += (time.process_time() - self.begin) * 1000
            new = set(sys.modules) - self.before
            seen['foreign'] += [
                n for n in new
                if n.partition('.')[0] not in ('osc_lab', 'cliff', *STANDARD)
            ]

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in BLOCKED:
            raise ModuleNotFoundError('No module named ' + name, name=name)
        if name.partition('.')[0] != 'osc_lab':
            return None
        for finder in sys.meta_path:
            if finder is not self:
                with Timer():
                    spec = finder.find_spec(name, path, target)
                if spec is not None:
                    if spec.loader is not None:
                        spec.loader = Loader(spec.loader)
                    return spec
        return None

STANDARD = set(sys.stdlib_module_names)
BLOCKED = set(os.environ.get('BENCH_BLOCKED', '').split())
sys.meta_path.insert(0, Finder())
connect = socket.socket.connect

def first(self, address):
    if seen['first'] is None:
        seen['first'] = (time.process_time() - began) * 1000
    return connect(self, address)

socket.socket.connect = first
import openstackclient.shell
began = time.process_time()
try:
    openstackclient.shell.main(sys.argv[1:])
finally:
    seen['all'] = time.process_time() * 1000
    # Packages are empty files; what they hold counts.
    seen['ours'] = sorted(
        n for n, m in sys.modules.items()
        if n.partition('.')[0] == 'osc_lab' and not hasattr(m, '__path__')
    )
    with open(os.environ['BENCH_OUT'], 'w') as stream:
        json.dump(seen, stream)
"""

#: Calls of people who use none of our commands, the modules of ours that may
#: be loaded, and the milliseconds that they may take: the plugin's own where
#: no command is looked up, otherwise also the modules of commands.
FOREIGN = (
    ('--version', 1, 1.0),
    ('--help', 12, 3.0),
    ('complete', 12, 3.0),
    ('command list', 12, 3.0),
)

#: What any command may have added, in percent of what "--version" takes.
SHARE = 0.3

#: What may be missing -> modules that cannot be imported then.
MISSING = {
    'libvirt': 'libvirt libvirtmod',
    'ovsdbapp': 'ovs ovsdbapp',
    'both': 'libvirt libvirtmod ovs ovsdbapp',
}

#: A command of ours, a stock one that asks the same service first, and the
#: processor time that ours may take beyond it until the first connection.
OWN = (
    ('volume encryption preset luks', 'volume type list', 25.0),
    ('port mirror list', 'network agent list', 25.0),
    ('server migrate live --preflight vm1', 'server list', 25.0),
)


class Shell:
    """The shell with a cloud that refuses connections."""

    def __init__(self, folder: str) -> None:
        self.out = pathlib.Path(folder, 'seen.json')
        clouds = pathlib.Path(folder, 'clouds.yaml')
        auth = {
            'auth_url': 'http://127.0.0.1:1/identity/v3',
            'username': 'u',
            'password': 'p',
            'project_name': 'p',
            'user_domain_id': 'default',
            'project_domain_id': 'default',
        }
        entry = {
            'auth': auth,
            'region_name': 'R',
            'osc_lab': {'libvirt_uri': 'qemu+tcp://{host}/system'},
        }
        clouds.write_text(json.dumps({'clouds': {'bench': entry}}))
        self.env = {
            **os.environ,
            'BENCH_OUT': str(self.out),
            'OS_CLIENT_CONFIG_FILE': str(clouds),
            'OS_CLOUD': 'bench',
        }

    def run(self, line: str, blocked: str = '') -> tuple[dict, int]:
        """Return what was seen, and the bytes on standard error."""
        self.out.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, '-c', WATCH, *line.split()],
            env={**self.env, 'BENCH_BLOCKED': blocked},
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        return json.loads(self.out.read_text()), len(done.stderr)


def foreign(shell: Shell) -> collections.abc.Iterator[results.Row]:
    whole = 0.0
    for line, modules, most in FOREIGN:
        runs = [shell.run(line) for _round in range(ROUNDS)]
        case = f'openstack {line}'
        seen = runs[0][0]
        # None would be a plugin that is not installed.
        yield results.Row(
            case, 'modules of ours', len(seen['ours']), modules, 1
        )
        yield results.Row(
            case, 'modules of others', len(set(seen['foreign'])), 0
        )
        added = statistics.median(seen['ms'] for seen, _bytes in runs)
        yield results.Row(case, 'added, ms (median)', added, most)
        # The first is --version, which takes the least of all.
        whole = whole or statistics.median(
            seen['all'] for seen, _bytes in runs
        )
        if line == 'command list':
            yield results.Row(
                case,
                'added, % of the CPU of openstack --version',
                100 * added / whole,
                SHARE,
            )
        for name, blocked in MISSING.items():
            yield results.Row(
                case,
                f'bytes on stderr without {name}',
                shell.run(line, blocked)[1],
                0,
            )


def own(shell: Shell) -> collections.abc.Iterator[results.Row]:
    """Compare with a stock command, one after the other in each round."""
    times: dict[str, list[float]] = {}
    for _round in range(ROUNDS):
        for line in (line for pair in OWN for line in pair[:2]):
            times.setdefault(line, []).append(shell.run(line)[0]['first'])
    for line, stock, most in OWN:
        floor = statistics.median(times[stock])
        yield results.Row(
            f'openstack {stock}', 'CPU to the first connection, ms', floor
        )
        yield results.Row(
            f'openstack {line}',
            'CPU to the first connection beyond that, ms',
            statistics.median(times[line]) - floor,
            most,
        )


def measure(
    _args: argparse.Namespace,
) -> collections.abc.Iterator[results.Row]:
    with tempfile.TemporaryDirectory() as folder:
        shell = Shell(folder)
        # Byte code and the cache of entry points are made by the first run.
        shell.run('command list')
        yield from foreign(shell)
        yield from own(shell)


if __name__ == '__main__':
    sys.exit(results.main(measure, __doc__))
