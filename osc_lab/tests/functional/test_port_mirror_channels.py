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
"""A mirror's whole life over each way to the OVSDB of a host."""

import pathlib

import fixtures

from lab import allot
from osc_lab.tests.functional import pair


class TestChannels(pair.PairTest):
    def setUp(self):
        super().setUp()
        self.before = self.snapshot()
        self.addCleanup(self.assert_same, self.before)
        self.addCleanup(self.delete_mirrors, 'hosta')
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.file = folder / 'f.pcap'

    def life(self, remote, direction):
        """Create, list, show, capture, delete; return what was captured."""
        way = ('--ovsdb', remote)
        made = self.mirror(
            *('create', self.names['hosta'], '--direction', direction, *way),
        )
        self.assertNotEqual(self.before, self.snapshot())
        self.assertNotEqual('', made['guard'])
        row = self.listed('hosta', made, *way)
        self.assertEqual(
            (made['name'], self.names['hosta'], 'hosta', direction, 'ok', []),
            tuple(
                row[column]
                for column in (
                    *('Name', 'Port', 'Host', 'Direction', 'Health'),
                    'Problems',
                )
            ),
        )
        shown = self.mirror('show', made['id'], '--host', 'hosta', *way)
        self.assertEqual(
            {**made, 'packets': None, 'bytes': None},
            {**shown, 'packets': None, 'bytes': None},
        )
        self.assertGreaterEqual(shown['packets'], made['packets'])
        self.openstack(
            *(*pair.MIRROR, 'capture', made['id'], '--duration', '5s'),
            *('--host', 'hosta', '--file', str(self.file), *way),
            *('--capture-filter', f'icmp and host {self.addresses["hosta"]}'),
            cloud=self.ADMIN,
        )
        self.openstack(
            *(*pair.MIRROR, 'delete', made['name'], '--host', 'hosta', *way),
            cloud=self.ADMIN,
        )
        self.assert_same(self.before)
        return pair.pairs(self.file)

    def directions(self, *wanted):
        one, two = self.addresses['hosta'], self.addresses['hostb']
        both = {'in': (two, one), 'out': (one, two)}
        return {both[direction] for direction in wanted}

    def remote(self, scheme, name):
        port = allot.load(self.state).host_ports[name]
        return f'{scheme}:{{host_ip}}:{port}'

    def test_ssl(self):
        found = self.life(self.remote('ssl', 'ovsdb-tls'), 'both')
        self.assertEqual(self.directions('in', 'out'), found)

    def test_tcp(self):
        found = self.life(self.remote('tcp', 'ovsdb'), 'in')
        self.assertEqual(self.directions('in'), found)

    def test_unix(self):
        # A host of the lab has its /run in a folder of this machine.
        path = self.state / 'hosts' / '{host}' / 'run/openvswitch/db.sock'
        found = self.life(f'unix:{path}', 'out')
        self.assertEqual(self.directions('out'), found)

    def test_ssh(self):
        found = self.life('ssh', 'both')
        self.assertEqual(self.directions('in', 'out'), found)
