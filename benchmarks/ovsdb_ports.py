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

"""Measure how a port is found and mirrored on a host with many of them.

A private ovsdb-server, without privileges.  The lookup and the transaction
of ``port mirror create`` stand beside ``ovs-vsctl``, beside ovsdbapp, and
beside a single select over a socket, which is the least that OVSDB can do.

    python -m benchmarks.ovsdb_ports
"""

import argparse
import collections.abc
import contextlib
import datetime
import json
import multiprocessing
import multiprocessing.connection
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import typing

from benchmarks import results
from osc_lab.access import jsonrpc
from osc_lab.access import ovsdb
from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import targets
from osc_lab.mirroring import transaction

SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'

PORTS = (10, 1000, 10000)

#: With the most ports the lookup may take this part of ovs-vsctl's time.
SHARE = 0.3
READ = 65536
MEMORY_MIB = 2
#: Ours looks through the interfaces, through the ports and through those of
#: the bridge: three times what one select of an interface does.
SELECTS = 3
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


@contextlib.contextmanager
def server(folder: str) -> typing.Iterator[str]:
    """Run an ovsdb-server with an empty database; return its remote."""
    database, path = f'{folder}/conf.db', f'{folder}/db.sock'
    for old in (database, path):
        pathlib.Path(old).unlink(missing_ok=True)
    subprocess.run(['ovsdb-tool', 'create', database, SCHEMA], check=True)
    process = subprocess.Popen(
        [
            *('ovsdb-server', f'--remote=punix:{path}', database),
            *(f'--unixctl={folder}/ctl', '-vsyslog:off', '-vconsole:off'),
        ]
    )
    try:
        while not pathlib.Path(path).exists():
            if process.poll() is not None:
                raise SystemExit('ovsdb-server does not start')
            time.sleep(0.05)
        yield f'unix:{path}'
    finally:
        process.terminate()
        process.wait()


def vsctl(remote: str, *argv: str) -> float:
    """Return the seconds of one ovs-vsctl."""
    began = time.monotonic()
    subprocess.run(
        ['ovs-vsctl', f'--db={remote}', '--no-wait', *argv],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.monotonic() - began


def select(remote: str, port: str) -> float:
    """Return the seconds of one select, without any of our code."""
    where = ['external_ids', 'includes', ['map', [['iface-id', port]]]]
    operation = {
        'op': 'select',
        'table': 'Interface',
        'where': [where],
        'columns': ['_uuid', 'name'],
    }
    request = {
        'method': 'transact',
        'params': ['Open_vSwitch', operation],
        'id': 0,
    }
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(remote.removeprefix('unix:'))
        link.sendall(json.dumps(request).encode())
        data = b''
        while True:
            data += link.recv(65536)
            try:
                (found,) = json.loads(data)['result']
                break
            except ValueError:
                continue
    assert len(found['rows']) == 1
    return time.monotonic() - began


def with_ovsdbapp(remote: str, port: str) -> float:
    """Return the seconds of a lookup with ovsdbapp.

    It copies no rows but this port's and no columns but those that tell
    its name, and leaves the bridge out, which would be more.
    """
    receiver, sender = multiprocessing.Pipe(False)
    # A second connection of one process waits before it is made.
    process = multiprocessing.Process(
        target=_ovsdbapp, args=(remote, port, sender)
    )
    process.start()
    # Without another writer, a process that dies ends the waiting.
    sender.close()
    seconds: float = receiver.recv()
    process.join()
    return seconds


def _ovsdbapp(
    remote: str, port: str, sender: multiprocessing.connection.Connection
) -> None:
    from ovs.db import idl
    from ovsdbapp.backend.ovs_idl import connection
    from ovsdbapp.backend.ovs_idl import idlutils
    from ovsdbapp.schema.open_vswitch import impl_idl

    began = time.monotonic()
    helper = idlutils.get_schema_helper(remote, 'Open_vSwitch')
    helper.register_columns('Interface', ['name', 'external_ids'])
    link = idl.Idl(remote, helper)
    wire = ['map', [['iface-id', port]]]
    link.cond_change('Interface', [['external_ids', 'includes', wire]])
    client = impl_idl.OvsdbIdl(connection.Connection(link, 60))
    (row,) = client.db_find(
        'Interface', ('external_ids', '=', {'iface-id': port})
    ).execute(check_error=True)
    sender.send(time.monotonic() - began)
    client.ovsdb_connection.stop()
    assert row['external_ids']['iface-id'] == port


class Lookup(typing.NamedTuple):
    seconds: float
    read: int
    grown: int


def lookup(remote: str, port: str) -> Lookup:
    """Find a port as ``port mirror create`` does."""
    before = resident()
    began = time.monotonic()
    with jsonrpc.Connection(remote, 'here', jsonrpc.Files(), 60) as link:
        (found,) = ovsdb.Database(link, 'here').attachments(port)
        read = link.received
    seconds = time.monotonic() - began
    assert found.interface.external_ids['iface-id'] == port
    return Lookup(seconds, read, resident() - before)


def create(remote: str, wanted: str) -> float:
    """Return the seconds of making a mirror; it is removed again.

    As ovs-vsctl, it connects and looks the port up first.
    """
    now = datetime.datetime.now(datetime.UTC)
    wish = transaction.Wish(
        name='bench',
        direction=model.Direction.BOTH,
        target=targets.parse('interface'),
        device='tpmbench',
        marks=marks.Marks(
            id='bench',
            name='bench',
            purpose='mirror',
            creator='bench',
            port='bench',
            port_name='bench',
            server='',
            server_name='',
            host='here',
            direction='both',
            target='interface',
            created=now,
            expires=None,
            guard='',
        ),
    )
    began = time.monotonic()
    with jsonrpc.Connection(remote, 'here', jsonrpc.Files(), 60) as link:
        database = ovsdb.Database(link, 'here')
        (found,) = database.attachments(wanted)
        database.transact(transaction.create(found, wish, 'bench'))
        seconds = time.monotonic() - began
        seen = database.snapshot()
        (mirror,), ((port, bridge),) = seen.mirrors, seen.own_ports
        database.transact(
            transaction.remove(bridge, [mirror.uuid], [port.uuid], 'bench')
        )
    return seconds


def by_hand(remote: str) -> float:
    """Return the seconds of the same with ovs-vsctl; removed again."""
    seconds = vsctl(
        remote,
        *('add-port', 'br-int', 'byhand', '--'),
        *('--id=@s', 'get', 'Port', 'tap1', '--'),
        *('--id=@o', 'get', 'Port', 'byhand', '--'),
        *('--id=@m', 'create', 'Mirror', 'name=byhand'),
        *('select_src_port=@s', 'select_dst_port=@s', 'output_port=@o'),
        *('--', 'add', 'Bridge', 'br-int', 'mirrors', '@m'),
    )
    vsctl(
        remote,
        *('--', 'clear', 'Bridge', 'br-int', 'mirrors'),
        *('--', 'del-port', 'byhand'),
    )
    return seconds


def measure(
    _args: argparse.Namespace,
) -> collections.abc.Iterator[results.Row]:
    # What our lookup takes with the fewest ports, and what a select does.
    smallest: tuple[float, float] | None = None
    for count in PORTS:
        with tempfile.TemporaryDirectory() as folder, server(folder) as remote:
            # In a process of its own: what it leaves free would hide what
            # the lookup takes.
            filler = multiprocessing.Process(target=fill, args=(remote, count))
            filler.start()
            filler.join()
            port = f'port-{count // 2}'
            most = count == PORTS[-1]
            name = f'{count:,} ports'
            # In turns, for the server is faster the more it has been asked.
            found, selects = [], []
            for _round in range(ROUNDS):
                found.append(lookup(remote, port))
                selects.append(select(remote, port))
            floor = statistics.median(selects)
            theirs = statistics.median(
                vsctl(
                    remote,
                    'find',
                    'Interface',
                    f'external_ids:iface-id={port}',
                )
                for _round in range(ROUNDS)
            )
            app = statistics.median(
                with_ovsdbapp(remote, port) for _round in range(ROUNDS)
            )
            ours = statistics.median(item.seconds for item in found)
            smallest = smallest or (ours, floor)
            yield results.Row(name, 'find: one select, ms', floor * 1000)
            yield results.Row(name, 'find: ours, ms', ours * 1000)
            yield results.Row(name, 'find: ovsdbapp, ms', app * 1000)
            yield results.Row(name, 'find: ovs-vsctl, ms', theirs * 1000)
            yield results.Row(
                name,
                'find: ours as part of ovs-vsctl',
                ours / theirs,
                SHARE if most else None,
            )
            yield results.Row(
                name, 'find: bytes read', max(i.read for i in found), READ
            )
            yield results.Row(
                name,
                'find: memory, MiB',
                max(item.grown for item in found) / 2**20,
                MEMORY_MIB,
            )
            if most:
                yield results.Row(
                    name,
                    'find: times the time with 10 ports',
                    ours / smallest[0],
                    # The server looks through all rows for what a map holds.
                    floor / smallest[1],
                )
                yield results.Row(
                    name, 'find: times one select', ours / floor, SELECTS
                )
            made = statistics.median(
                create(remote, port) for _round in range(ROUNDS)
            )
            hand = statistics.median(
                by_hand(remote) for _round in range(ROUNDS)
            )
            yield results.Row(name, 'create: ours, ms', made * 1000)
            yield results.Row(name, 'create: ovs-vsctl, ms', hand * 1000)
            yield results.Row(
                name,
                'create: ours as part of ovs-vsctl',
                made / hand,
                SHARE if most else None,
            )


if __name__ == '__main__':
    sys.exit(results.main(measure, __doc__))
