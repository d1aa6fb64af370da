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

"""Preflight a whole fleet: requests, wall time and memory.

A fake API answers after a round trip; a libvirtd of our own, with its test
driver behind a relay that adds the same, stands for every host, and a
socket that accepts and never answers for a dead one.

    python -m benchmarks.preflight_fleet
"""

import argparse
import collections.abc
import contextlib
import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import typing

from benchmarks import relay
from benchmarks import results
from osc_lab import channels
from osc_lab.tests.unit import fake_cloud
from osc_lab.tests.unit import served

#: The guest of libvirt's test driver.
GUEST = '6695eb01-f6a4-8304-79aa-97f2502e193f'

HOSTS = (1, 50, 200, 1000)
ROUND_TRIPS = (0.0, 0.01, 0.05)
DEAD = (0.0, 0.05, 0.2)
#: (hosts, round trip) of which half are dead, too.
HALF = (50, 0.01)

#: (hosts, round trip) -> the most seconds beyond start-up, none dead
SECONDS = {(50, 0.01): 0.6, (200, 0.01): 2.0}
#: Of HTTP, the second look at the server among them, which a preflight that
#: fails takes; and one for each thousand hosts.
REQUESTS = 15
MEMORY_MIB = 300
#: Messages to libvirt for a connection, and calls on it.
MESSAGES = 12
FASTER = 8

#: Of a start, and of a run.
ROUNDS = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def libvirtd(folder: str) -> typing.Iterator[int]:
    """Run a libvirtd for the test driver; return its port on loopback."""
    port = free_port()
    path = pathlib.Path(folder, 'libvirtd.conf')
    path.write_text(
        f'listen_tls = 0\nlisten_tcp = 1\ntcp_port = "{port}"\n'
        'listen_addr = "127.0.0.1"\nauth_tcp = "none"\n'
        f'unix_sock_dir = "{folder}"\nauth_unix_ro = "none"\n'
        'auth_unix_rw = "none"\nmax_clients = 4000\n'
        'max_queued_clients = 4000\nmax_workers = 20\n'
    )
    # Its user is another one, and the umask may keep others from reading.
    path.chmod(0o644)
    program = shutil.which('libvirtd', path='/usr/sbin:/usr/bin')
    if program is None:
        raise SystemExit('libvirtd is not installed')
    # As root it would start the drivers of the system, and end when one of
    # them lacks its user.
    user = 'nobody' if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    process = subprocess.Popen(
        [program, '--listen', '-f', str(path), '-p', f'{folder}/pid'],
        env={
            **os.environ,
            'XDG_RUNTIME_DIR': folder,
            'XDG_CONFIG_HOME': folder,
            'XDG_CACHE_HOME': folder,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=user,
    )
    try:
        for _attempt in range(300):
            with contextlib.suppress(OSError):
                socket.create_connection(('127.0.0.1', port), 1).close()
                break
            time.sleep(0.1)
        else:
            raise SystemExit('libvirtd does not listen')
        yield port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def hole(port: int) -> typing.Iterator[None]:
    """Accept at another address of loopback, and never answer."""
    with socket.socket() as here:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        here.bind(('127.0.0.2', port))
        here.listen(4096)
        yield


def serial(port: int, hosts: int) -> float:
    """Return the seconds of four calls a host, one host after the other."""
    import libvirt

    began = time.monotonic()
    for _host in range(hosts):
        link = libvirt.openReadOnly(f'test+tcp://127.0.0.1:{port}/default')
        link.getCapabilities()
        link.getInfo()
        link.getHostname()
        link.listAllDomains()
        link.close()
    return time.monotonic() - began


def case(
    folder: str,
    port: int,
    counts: relay.Counts,
    hosts: int,
    rtt: float,
    dead: int,
) -> tuple[served.Run, float, int]:
    """Return the run, the seconds beyond start-up and the requests.

    Both times are the shortest of some.
    """
    # The server is on the first host, and each of the others a candidate.
    fleet = fake_cloud.Cloud(hosts + 1)
    fleet.server['id'] = fake_cloud.SERVER = GUEST
    for index, item in enumerate(fleet.hypervisors):
        gone = index > hosts - dead
        item['host_ip'] = '127.0.0.2' if gone else '127.0.0.1'
    access = {'libvirt_uri': f'test+tcp://{{host_ip}}:{port}/default'}
    with served.serve(fleet, rtt) as server:
        shell = served.Shell(folder, server.url, access)
        live = ('server', 'migrate', 'live')
        base = shell.start(*live, '--list-checks', rounds=ROUNDS)
        runs = []
        for _round in range(ROUNDS):
            counts.reset()
            before = server.count
            runs.append(shell.run(*live, GUEST, '--preflight', '-f', 'json'))
            requests = server.count - before
        run = min(runs, key=lambda item: item.seconds)
        return run, run.seconds - base, requests


def rows(
    folder: str, port: int, counts: relay.Counts, rtt: float, hosts: int
) -> collections.abc.Iterator[results.Row]:
    alive = 0.0
    shares = (*DEAD, 0.5) if (hosts, rtt) == HALF else DEAD
    for share in shares:
        dead = int(hosts * share)
        if share and not dead:
            continue
        run, beyond, requests = case(folder, port, counts, hosts, rtt, dead)
        name = f'{hosts} hosts, {rtt * 1000:.0f} ms, {dead} dead'
        found = json.loads(run.output)
        ranked = {r['Subject'] for r in found if r['Check'] == 'candidate'}
        yield results.Row(
            name, 'hosts ranked', len(ranked), least=hosts, most=hosts
        )
        # A check fails: hosts of the test driver are no destinations.
        yield results.Row(name, 'exit status', run.status, 3, 3)
        yield results.Row(
            name, 'HTTP requests', requests, REQUESTS + hosts // 1000, 1
        )
        most: float | None = channels.DEADLINE * 1.1
        if not dead:
            alive, most = beyond, SECONDS.get((hosts, rtt))
        elif share < 0.5:
            # What the dead may add; with half of them, it is of all.
            most += alive
        yield results.Row(name, 'beyond start-up, s', beyond, most)
        yield results.Row(name, 'memory, MiB', run.memory, MEMORY_MIB)
        live = hosts + 1 - dead
        yield results.Row(
            name,
            'TCP connections a live host, a probe among them',
            counts.connections.value / live,
            2,
            1,
        )
        yield results.Row(
            name,
            'libvirt messages a live host',
            counts.messages.value / live,
            MESSAGES,
            1,
        )
        if (hosts, rtt, dead) == (50, 0.01, 0):
            one_by_one = serial(port, hosts)
            yield results.Row(
                name,
                'times faster than host by host',
                one_by_one / beyond,
                least=FASTER,
            )


def measure(
    args: argparse.Namespace,
) -> collections.abc.Iterator[results.Row]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    with (
        tempfile.TemporaryDirectory() as folder,
        libvirtd(folder) as upstream,
    ):
        for rtt in args.rtt or ROUND_TRIPS:
            with (
                relay.relay(('127.0.0.1', upstream), rtt, relay.sized) as (
                    port,
                    counts,
                ),
                hole(port),
            ):
                for hosts in args.hosts or HOSTS:
                    yield from rows(folder, port, counts, rtt, hosts)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument('--hosts', type=int, nargs='+')
    parser.add_argument('--rtt', type=float, nargs='+', help='in seconds')
    return results.main(measure, __doc__, parser)


if __name__ == '__main__':
    sys.exit(main())
