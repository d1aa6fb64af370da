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

"""Measure ``openstack port mirror list`` over many hosts.

A fake API, and an ovsdb-server of our own with a mirror in it behind a
relay that adds a round trip, which stands for every host.

    python -m benchmarks.mirror_list [--hosts 200]
"""

import argparse
import collections.abc
import json
import resource
import sys
import tempfile
import time

from benchmarks import ovsdb_ports
from benchmarks import preflight_fleet
from benchmarks import relay
from benchmarks import results
from osc_lab.access import jsonrpc
from osc_lab.access import ovsdb
from osc_lab import channels
from osc_lab.tests.unit import fake_cloud
from osc_lab.tests.unit import served

RTT = 0.01
REQUESTS = 10
#: Transactions, and the echo that servers may ask for.
MESSAGES = 6
#: Hosts -> the least speed-up; the fewer hosts, the more HTTP counts.
FASTER = {200: 2}
SIZES = (1, 50)


def serial(port: int, hosts: int) -> float:
    """Return the seconds of one select a host, one host after the other."""
    began = time.monotonic()
    for _host in range(hosts):
        remote = f'tcp:127.0.0.1:{port}'
        with jsonrpc.Connection(remote, 'here', jsonrpc.Files(), 60) as link:
            ovsdb.Database(link, 'here').mirrors()
    return time.monotonic() - began


def rows(
    folder: str,
    port: int,
    counts: relay.Counts,
    hosts: int,
    dead: int,
    most: float | None,
) -> collections.abc.Iterator[results.Row]:
    fleet = fake_cloud.Cloud(hosts)
    for index, item in enumerate(fleet.hypervisors):
        item['host_ip'] = f'127.0.0.{2 if index >= hosts - dead else 1}'
    access = {
        'ovsdb': f'tcp:{{host_ip}}:{port}',
        'host_addresses': {
            item['host']: fleet.hypervisors[index]['host_ip']
            for index, item in enumerate(fleet.agents)
        },
    }
    name = f'{hosts} hosts, {RTT * 1000:.0f} ms, {dead} dead'
    with served.serve(fleet, RTT) as server:
        shell = served.Shell(folder, server.url, access)
        base = shell.start('port', 'mirror', 'list', '--help')
        counts.reset()
        run = shell.run('port', 'mirror', 'list', '--all', '-f', 'json')
        requests = server.count
    found = json.loads(run.output)
    # "Could not decide" is what is said of hosts that do not answer.
    status = 4 if dead else 0
    yield results.Row(name, 'exit status', run.status, status, status)
    beyond = run.seconds - base
    yield results.Row(
        name, 'hosts listed', len({row['Host'] for row in found}), least=hosts
    )
    yield results.Row(name, 'HTTP requests', requests, REQUESTS, 1)
    alive = hosts - dead
    yield results.Row(
        name,
        'OVSDB connections a live host',
        counts.connections.value / alive,
        1,
        1,
    )
    yield results.Row(
        name,
        'OVSDB messages a live host',
        counts.messages.value / alive,
        MESSAGES,
        1,
    )
    yield results.Row(name, 'memory, MiB', run.memory)
    yield results.Row(name, 'beyond start-up, s', beyond, most)
    if not dead:
        yield results.Row(
            name,
            'times faster than one request to host by host',
            serial(port, hosts) / beyond,
            least=FASTER.get(hosts),
        )


def measure(
    args: argparse.Namespace,
) -> collections.abc.Iterator[results.Row]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    with (
        tempfile.TemporaryDirectory() as folder,
        ovsdb_ports.server(folder) as remote,
    ):
        ovsdb_ports.fill(remote, 10)
        ovsdb_ports.vsctl(
            remote,
            *('--', '--id=@m', 'create', 'Mirror', 'name=other'),
            *('select_all=true', 'output_vlan=9'),
            *('--', 'add', 'Bridge', 'br-int', 'mirrors', '@m'),
        )
        socket = remote.removeprefix('unix:')
        with (
            relay.relay(socket, RTT, relay.braced) as (port, counts),
            preflight_fleet.hole(port),
        ):
            for hosts in (*SIZES, args.hosts):
                alive = 0.0
                for row in rows(folder, port, counts, hosts, 0, None):
                    if row.what.startswith('beyond'):
                        alive = row.value
                    yield row
            # What is dead is waited for once, all at the same time.
            most = alive + channels.DEADLINE * 1.1
            dead = args.hosts // 5
            yield from rows(folder, port, counts, args.hosts, dead, most)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument('--hosts', type=int, default=200)
    return results.main(measure, __doc__, parser)


if __name__ == '__main__':
    sys.exit(main())
