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

"""Measure how a port is found on a host with many of them.

A private ovsdb-server, without privileges.  Prints the time of
``ovs-vsctl find`` and of the lookup that ``port mirror create`` makes,
the bytes that it read and the memory that it took, and fails when a bar
is missed:

    python benchmarks/ovsdb_ports.py [--ports 10000]
"""

import argparse
import multiprocessing
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import typing

from osc_lab.access import jsonrpc
from osc_lab.access import ovsdb

SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'

#: The lookup may take this part of what ovs-vsctl takes.
SHARE = 0.3
READ = 65536
MEMORY = 2 << 20
ROUNDS = 5


def fill(remote: str, count: int) -> None:
    """Make a bridge with many ports in one transaction."""
    operations: list[typing.Any] = []
    ports = []
    for number in range(count):
        name = f'tap{number}'
        operations += [
            {
                'op': 'insert',
                'table': 'Interface',
                'uuid-name': f'i{number}',
                'row': {
                    'name': name,
                    'external_ids': [
                        'map',
                        [
                            ['iface-id', f'port-{number}'],
                            ['iface-status', 'active'],
                            ['vm-uuid', f'vm-{number}'],
                        ],
                    ],
                },
            },
            {
                'op': 'insert',
                'table': 'Port',
                'uuid-name': f'p{number}',
                'row': {
                    'name': name,
                    'interfaces': ['named-uuid', f'i{number}'],
                },
            },
        ]
        ports.append(['named-uuid', f'p{number}'])
    operations += [
        {
            'op': 'insert',
            'table': 'Bridge',
            'uuid-name': 'bridge',
            'row': {'name': 'br-int', 'ports': ['set', ports]},
        },
        {
            'op': 'insert',
            'table': 'Open_vSwitch',
            'row': {'bridges': ['named-uuid', 'bridge']},
        },
    ]
    with jsonrpc.Connection(remote, 'here', jsonrpc.Files(), 300) as link:
        ovsdb.Database(link, 'here').transact(operations)


def resident() -> int:
    """Return the bytes of memory that this process has now."""
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize()


def measure(remote: str, port: str) -> bool:
    """Print the numbers; return whether every bar is met."""
    theirs, ours, read, grown = [], [], [], []
    for _round in range(ROUNDS):
        start = time.monotonic()
        subprocess.run(
            [
                *('ovs-vsctl', f'--db={remote}', '--no-wait', 'find'),
                *('Interface', f'external_ids:iface-id={port}'),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        theirs.append(time.monotonic() - start)
        before = resident()
        start = time.monotonic()
        with jsonrpc.Connection(remote, 'here', jsonrpc.Files(), 60) as link:
            (found,) = ovsdb.Database(link, 'here').attachments(port)
            read.append(link.received)
        ours.append(time.monotonic() - start)
        grown.append(resident() - before)
        assert found.interface.external_ids['iface-id'] == port
    share = statistics.median(ours) / statistics.median(theirs)
    print(f'ovs-vsctl find: {statistics.median(theirs) * 1000:.1f} ms')
    print(f'lookup:         {statistics.median(ours) * 1000:.1f} ms')
    print(f'share:          {share:.2f} (bar: {SHARE})')
    print(f'read:           {max(read)} bytes (bar: {READ})')
    print(f'memory:         {max(grown)} bytes (bar: {MEMORY})')
    return share <= SHARE and max(read) <= READ and max(grown) <= MEMORY


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--ports', type=int, default=10000)
    count = parser.parse_args().ports
    with tempfile.TemporaryDirectory() as folder:
        database, socket = f'{folder}/conf.db', f'{folder}/db.sock'
        remote = f'unix:{socket}'
        subprocess.run(['ovsdb-tool', 'create', database, SCHEMA], check=True)
        server = subprocess.Popen(
            [
                *('ovsdb-server', f'--remote=p{remote}', database),
                *(f'--unixctl={folder}/ctl', '-vsyslog:off'),
                '-vconsole:off',
            ]
        )
        try:
            while not pathlib.Path(socket).exists():
                time.sleep(0.05)
            # In a process of its own: what it leaves free would hide what
            # the lookup takes.
            filler = multiprocessing.Process(target=fill, args=(remote, count))
            filler.start()
            filler.join()
            return 0 if measure(remote, f'port-{count // 2}') else 1
        finally:
            server.terminate()
            server.wait()


if __name__ == '__main__':
    sys.exit(main())
