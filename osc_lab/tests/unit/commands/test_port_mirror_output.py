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

"""Where "port mirror create" lets copies go, and where it does not."""

import fixtures

from osc_lab.tests.unit.commands import mirrors


class TestOutputs(mirrors.MirrorTest):
    def setUp(self):
        super().setUp()
        self.useFixture(
            fixtures.MonkeyPatch(
                'osc_lab.access.ovsdb.Database.statistics_interval',
                lambda _self: 0.1,
            )
        )

    def traffic(self, name, key):
        """Let a statistic of an interface grow whenever anybody looks."""

        def grow(_operations):
            for row in self.database.tables['Interface'].values():
                if row['name'] == name:
                    row['statistics'][key] = row['statistics'].get(key, 0) + 1

        self.database.before = grow

    def test_an_output_that_carries_traffic(self):
        self.database.plug(self.bridge, 'out0', statistics={'rx_packets': 1})
        words = ('create', 'one', '--to', 'port:out0', '--timeout', '0')
        for key in ('rx_packets', 'tx_packets'):
            self.traffic('out0', key)
            _out, err = self.run_command(*words, status=3)
            self.assertIn('it carries traffic', err)
        self.database.before = lambda operations: None
        self.create('--to', 'port:out0')
        self.assert_kept_output('out0')
        # What it sends now are copies; what it receives are none.
        self.traffic('out0', 'tx_packets')
        self.create('--to', 'port:out0', '--direction', 'in')
        self.traffic('out0', 'rx_packets')
        _out, err = self.run_command(*words, '--direction', 'out', status=3)
        self.assertIn('it carries traffic', err)

    def test_an_output_outlives_its_mirrors(self):
        """It was there before, and others may use it."""
        self.database.plug(self.bridge, 'out0')
        before = self.database.rows()
        made = self.create('--to', 'port:out0')
        self.run_command('delete', made['id'])
        self.assertEqual(before, self.database.rows())
        self.assertNotIn('link delete', self.calls.read_text())

    def assert_kept_output(self, name):
        (mirror,) = self.ours()['Mirror']
        ((_kind, output),) = mirror['output_port']
        self.assertEqual(name, self.database.tables['Port'][output]['name'])

    def test_a_vlan_in_use(self):
        _out, err = self.run_command(
            'create', 'one', '--to', 'vlan:3', '--timeout', '0', status=3
        )
        self.assertIn('VLAN 3 of br-int is in use by tapone', err)
        self.create('--to', 'vlan:4')

    def test_a_tunnel_to_a_node_of_the_overlay(self):
        there = {'remote_ip': '192.0.2.9'}
        overlay = self.database.bridge('br-tun')
        for name, kind, options in (
            ('vxlan-1', 'vxlan', {**there, 'in_key': 'flow'}),
            ('gre-1', 'gre', {**there, 'key': 'flow'}),
            ('gre-2', 'gre', {'remote_ip': '192.0.2.8', 'key': '7'}),
        ):
            self.database.plug(overlay, name, type=kind, options=options)
        before = self.database.rows()
        for to, name in (
            ('vxlan:192.0.2.9', 'vxlan-1'),
            ('gre:192.0.2.9:7', 'gre-1'),
        ):
            _out, err = self.run_command(
                'create', 'one', '--to', to, '--timeout', '0', status=3
            )
            self.assertIn(f'The tunnel {name} to 192.0.2.9', err)
        self.assertEqual(before, self.database.rows())
        for to in ('erspan:192.0.2.9', 'vxlan:192.0.2.8', 'gre:192.0.2.8:9'):
            self.create('--to', to)

    def test_a_vlan_that_goes_to_vms(self):
        database, words = self.database, ('create', 'one', '--timeout', '0')
        for name, bridge, ids in (
            # No port of Neutron, and one on another bridge.
            ('far0', self.bridge, {}),
            ('taptwo', database.bridge('br-two'), {'iface-id': 'two'}),
        ):
            database.plug(bridge, name, external_ids=ids)
        self.run_command(*words, '--to', 'vlan:4')
        late = database.plug(
            self.bridge, 'taplate', external_ids={'iface-id': 'late'}
        )
        before = database.rows()
        _out, err = self.run_command(*words, '--to', 'vlan:5', status=3)
        self.assertIn('of their own: taplate.', err)
        database.tables['Port'][late]['trunks'] = [7]
        self.run_command(*words, '--to', 'vlan:5')
        # As OVN leaves its ports; what is asked does not grow with them.
        database.tables['Port'] = before['Port']
        database.tables['Port'][self.tap]['tag'] = []
        database.before = lambda operations: self.assertNotIn(
            'trunks', [where[0] for o in operations for where in o['where']]
        )
        _out, err = self.run_command(*words, '--to', 'vlan:6', status=3)
        self.assertIn('of their own: tapone.', err)
