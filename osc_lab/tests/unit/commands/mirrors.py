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

"""A cloud and OVSDBs of hosts at hand, for the commands of port mirrors.

The program in place of OpenSSH writes down what it is asked to run; for
tcpdump it gives packets.
"""

import json
import os
import pathlib
import struct
import typing

import fixtures

from osc_lab.mirroring import marks
from osc_lab.tests import bounded
from osc_lab.tests.unit import fake_cloud
from osc_lab.tests.unit import fake_ovsdb

PORT = '6f1c2d3e-0000-4000-8000-000000000001'
OTHER = '6f1c2d3e-0000-4000-8000-000000000002'
SERVER = '11111111-aaaa-4aaa-8aaa-111111111111'

#: Answers as hosts do: a guard tells what it is, tcpdump gives packets.
SSH = """#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
[ ! -e "$CALLS.fail" ] || { echo broken pipe >&2; exit 255; }
case "$*" in
    *'tcpdump -i'*)
        cat "$CALLS.pcap"
        cat "$CALLS.told" >&2
        exit "$(cat "$CALLS.status")";;
    *ovs-vsctl*)
        [ ! -e "$CALLS.killed" ] || kill -9 $$
        [ ! -e "$CALLS.noguard" ] || exit 3
        echo systemd;;
esac
"""


class MirrorTest(bounded.TestCase):
    HOSTS = ('host1', 'host2', 'host3')

    #: More for the mapping osc_lab of clouds.yaml.
    SETTINGS: typing.ClassVar = {}

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (self.folder / 'bin').mkdir()
        program = self.folder / 'bin' / 'ssh'
        program.write_text(SSH)
        program.chmod(0o755)
        self.calls = self.folder / 'calls'
        self.calls.touch()
        (self.folder / 'calls.status').write_text('0')
        self.databases = {}
        for host in self.HOSTS:
            server = fake_ovsdb.Server(str(self.folder), host)
            self.databases[host] = self.useFixture(server).database
        self.cloud = fake_cloud.Cloud()
        self.cloud.server['name'] = 'vm'
        self.cloud.ports = [
            self.neutron_port(PORT, 'one'),
            self.neutron_port(OTHER, 'two', host='host2'),
        ]
        self.cloud._network = self.neutron
        self.remote = f'unix:{self.folder}/{{host}}.sock'
        self.settings = {
            **self.SETTINGS,
            'ovsdb': self.remote,
            'ssh': '{host}',
        }
        self.shell = self.useFixture(
            fake_cloud.Mocked(self.cloud, self.settings)
        )
        for name, value in (
            ('PATH', f'{self.folder}/bin:{os.environ["PATH"]}'),
            ('CALLS', str(self.calls)),
        ):
            self.useFixture(fixtures.EnvironmentVariable(name, value))
        self.database = self.databases['host1']
        self.bridge = self.database.bridge()
        self.tap = self.database.plug(
            self.bridge,
            'tapone',
            tag=3,
            mtu=[1450],
            external_ids={'iface-id': PORT},
            statistics={'rx_packets': 5, 'tx_packets': 5},
        )
        second = self.databases['host2']
        second.plug(
            second.bridge(), 'taptwo', external_ids={'iface-id': OTHER}
        )

    def neutron_port(self, found, name, host='host1', **values):
        return {
            'id': found,
            'name': name,
            'network_id': 'net-1',
            'mac_address': 'fa:16:3e:00:00:01',
            'device_id': SERVER,
            'device_owner': 'compute:nova',
            'fixed_ips': [],
            'binding:host_id': host,
            'binding:vif_type': 'ovs',
            'binding:vnic_type': 'normal',
            'binding:profile': {},
            **values,
        }

    def neutron(self, method, path, query, body):
        if path != '/ports':
            return fake_cloud.Cloud._network(
                self.cloud, method, path, query, body
            )
        ports = [
            port
            for port in self.cloud.ports
            if all(
                str(port.get(key, value)) == value
                for key, value in query.items()
            )
        ]
        return 200, {'ports': ports}

    def packets(self):
        """Let tcpdump give three packets, until its time is over."""
        header = struct.pack('<IHHiIII', 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
        record = struct.pack('<IIII', 1, 2, 4, 4) + b'ping'
        data = header + 3 * record
        (self.folder / 'calls.pcap').write_bytes(data)
        (self.folder / 'calls.told').write_text('0 packets dropped by kernel')
        (self.folder / 'calls.status').write_text('124')
        return data

    def run_command(self, *argv, status=0):
        found, out, err = self.shell.run('port', 'mirror', *argv)
        self.assertNotIn('Traceback', out + err)
        self.assertEqual(status, found, out + err)
        return out, err

    def json(self, *argv, status=0):
        return json.loads(
            self.run_command(*argv, '-f', 'json', status=status)[0]
        )

    def create(self, *argv, **kwargs):
        return self.json('create', 'one', '--timeout', '0', *argv, **kwargs)

    def ours(self):
        """Return marks -> how many rows of each table carry them."""
        rows = self.database.rows()
        return {
            table: [
                row
                for row in rows[table].values()
                if row['external_ids'].get(marks.OWNER)
            ]
            for table in ('Mirror', 'Port', 'Interface')
        }

    def refuse_removal(self, details=''):
        """Let OVSDB refuse to take rows away; return what it did before."""
        real = self.database.transact

        def refuse(operations):
            if operations[0]['op'] == 'mutate':
                return [{'error': 'permission error', 'details': details}]
            return real(operations)

        self.database.transact = refuse
        return real

    def assert_none(self):
        self.assertEqual(
            {'Mirror': [], 'Port': [], 'Interface': []}, self.ours()
        )
