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

"""Two servers on two hosts that ping each other, and the hosts."""

import atexit
import functools
import json
import os
import pathlib
import re
import subprocess
import time
import uuid

import fixtures

from osc_lab.tests.functional import base

MIRROR = ('port', 'mirror')
HOSTS = ('hosta', 'hostb')

#: Tables and columns that change while nobody changes a configuration.
_VOLATILE = {
    'statistics',
    'status',
    'link_resets',
    'cur_cfg',
    'next_cfg',
    'lacp_current',
    'rstp_status',
    'rstp_statistics',
    'bond_active_slave',
    'datapaths',
}

#: Command lines of what runs on a host for a mirror; the services of the
#: lab have its name in their paths.
_OURS = re.compile(r'(^|\s)osc-lab(-guard)?(\s|$)|tcpdump')

#: Seconds for what takes moments on a machine that has nothing else to do.
PATIENCE = 120


def command(*argv):
    """Run a command of the administrator, and insist that it works."""
    run = base.openstack(*argv, cloud=base.CloudTest.ADMIN)
    assert run.status == 0, str(run)
    return run.stdout


def wait_until(what, check, seconds=PATIENCE):
    limit = time.monotonic() + seconds
    while not check():
        if time.monotonic() > limit:
            raise AssertionError(f'{what} took more than {seconds} s')
        time.sleep(0.5)


class Pair:
    """Two servers, their ports and addresses, by host.

    A guest takes its address from the last three bytes of its MAC, and
    pings the one whose last byte differs in the lowest bit.
    """

    def __init__(self):
        token = uuid.uuid4().bytes
        self.names = {}
        self.ports = {}
        self.addresses = {}
        for index, host in enumerate(HOSTS):
            octets = (token[0], token[1], (token[2] & 0x7E | 2) + index)
            self.names[host] = f'pair-{token[:4].hex()}-{host}'
            self.addresses[host] = '10.' + '.'.join(map(str, octets))
            suffix = ':'.join(f'{octet:02x}' for octet in octets)
            self.make(host, suffix)
        for name in self.names.values():
            self.wait_for(name)

    def make(self, host, suffix):
        name = self.names[host]
        port = command(
            *('port', 'create', '--network', 'lab-net', '-f', 'json'),
            *('--mac-address', f'fa:16:3e:{suffix}'),
            *('--no-security-group', '--disable-port-security', name),
        )
        self.ports[host] = json.loads(port)['id']
        command(
            *('--os-compute-api-version', '2.90', 'server', 'create'),
            *('--flavor', 'lab.tiny', '--image', 'guest'),
            *('--port', self.ports[host], '--host', host, name),
        )

    def wait_for(self, name):
        def active():
            status = command(
                *('server', 'show', '-f', 'value', '-c', 'status', name)
            ).strip()
            assert status != 'ERROR', name
            return status == 'ACTIVE'

        wait_until(f'server {name}', active, 240)

    def remove(self):
        for kind, names in (('server', self.names), ('port', self.ports)):
            wait = ['--wait'] if kind == 'server' else []
            base.openstack(
                *(kind, 'delete', *wait, *names.values()),
                cloud=base.CloudTest.ADMIN,
            )


@functools.cache
def shared():
    """Return the pair that the classes of a process share."""
    pair = Pair()
    atexit.register(pair.remove)
    return pair


class PairTest(base.CloudTest):
    """Has a pair of servers at hand, and their hosts."""

    #: Whether the class needs a pair of its own, because it spoils it.
    OWN = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = os.environ.get('OS_CLIENT_CONFIG_FILE')
        if not path:
            return
        cls.state = pathlib.Path(path).parent
        cls.ssh_config = cls.state / 'ssh' / 'config'
        if cls.OWN:
            pair = Pair()
            cls.addClassCleanup(pair.remove)
        else:
            pair = shared()
        cls.names = pair.names
        cls.ports = pair.ports
        cls.addresses = pair.addresses

    def setUp(self):
        super().setUp()
        # Hosts of a lab share one machine, which may be busy.
        self.useFixture(
            fixtures.EnvironmentVariable('OSC_LAB_HOST_TIMEOUT', '60')
        )

    def ssh(self, host, *argv):
        """Return the command line that runs a command on a host."""
        return ['ssh', '-F', str(self.ssh_config), host, '--', *argv]

    def on(self, host, *argv, status=0):
        """Run a command on a host and return what it prints."""
        done = subprocess.run(
            self.ssh(host, *argv),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
        )
        if status is not None:
            self.assertEqual(status, done.returncode, done.stderr)
        return done.stdout

    def rows(self, host):
        """Return (table, UUID) -> row of a host's OVSDB."""
        text = self.on(
            host,
            *('ovsdb-client', '-f', 'json', 'dump'),
            *('unix:/run/openvswitch/db.sock', 'Open_vSwitch'),
        )
        found = {}
        for line in text.splitlines():
            if not line.startswith('{'):
                continue
            data = json.loads(line)
            table = data['caption'].removesuffix(' table')
            for values in data['data']:
                row = dict(zip(data['headings'], values, strict=True))
                found[table, row['_uuid'][1]] = {
                    column: value
                    for column, value in row.items()
                    if column not in _VOLATILE
                }
        return found

    def belongings(self, host):
        """Return what of a mirror may be on a host beside the rows."""
        links = re.findall(r'tpm[0-9a-f]+', self.on(host, 'ip', 'link'))
        processes = [
            line
            for line in self.on(
                host, 'ps', '-e', '-ww', '-o', 'args='
            ).splitlines()
            if _OURS.search(line)
        ]
        # What else is there is shared by all hosts of the lab.
        files = self.on(host, 'find', '/run', '-name', "'*osc-lab-*'").split()
        return sorted({*links, *processes, *files})

    def snapshot(self):
        return {
            host: (self.rows(host), self.belongings(host)) for host in HOSTS
        }

    def assert_rows(self, before, after):
        """See that rows are the same, and show only those that are not."""
        changed = {
            key: (before.get(key), after.get(key))
            for key in before.keys() | after.keys()
            if before.get(key) != after.get(key)
        }
        self.assertEqual({}, changed)

    def assert_same(self, before, seconds=20):
        """See that nothing is left of what a test made.

        :param seconds: what was told to end, or ends itself, may take
        """
        for host in HOSTS:
            rows, others = before[host]
            self.assert_rows(rows, self.rows(host))

            def nothing(host=host, others=others):
                return self.belongings(host) == others

            try:
                wait_until('the end of what was there', nothing, seconds)
            except AssertionError:
                self.assertEqual(others, self.belongings(host))

    def marked(self, host):
        """Return our rows: id of the mirror -> the tables they are in."""
        found = {}
        for (table, _uuid), row in self.rows(host).items():
            ids = dict(row.get('external_ids', ['map', []])[1])
            if 'osc-lab-owner' in ids:
                found.setdefault(ids['osc-lab-id'], []).append(table)
        return found

    def assert_whole(self, host):
        """See that each mirror of ours is whole, marked and listed."""
        found = self.marked(host)
        for tables in found.values():
            self.assertEqual(
                ['Interface', 'Mirror', 'Port'], sorted(tables), found
            )
        if found:
            listed = self.mirror('list', '--long', '--host', host)
            # A guard may have removed one meanwhile.
            stayed = set(found) & set(self.marked(host))
            self.assertLessEqual(stayed, {row['ID'] for row in listed})

    def mirror(self, *argv, **kwargs):
        return self.json(*MIRROR, *argv, cloud=self.ADMIN, **kwargs)

    def listed(self, host, made, *argv):
        """Return the row of a mirror in the list of a host."""
        (row,) = [
            item
            for item in self.mirror('list', '--long', '--host', host, *argv)
            if item['ID'] == made['id']
        ]
        return row

    def delete_mirrors(self, host):
        """Remove what a failing test may have left."""
        rows = self.mirror('list', '--long', '--host', host)
        names = set(self.names.values())
        ours = [item['ID'] for item in rows if item['Server'] in names]
        if ours:
            base.openstack(
                *(*MIRROR, 'delete', *ours, '--host', host), cloud=self.ADMIN
            )


def pairs(path):
    """Return the (source, destination) of the packets of a capture."""
    done = subprocess.run(
        ['tcpdump', '-n', '-r', '-'],
        input=path.read_bytes(),
        capture_output=True,
        check=True,
    )
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    return {(line[2], line[4].rstrip(':')) for line in lines}
