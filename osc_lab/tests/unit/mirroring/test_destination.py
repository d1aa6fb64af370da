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

"""Where copies may go, as the OVSDB of the host tells."""

import dataclasses
from unittest import mock

import testtools

from osc_lab import exceptions
from osc_lab.mirroring import destination
from osc_lab.mirroring import host
from osc_lab.mirroring import model
from osc_lab.mirroring import targets
from osc_lab.tests.unit.mirroring import samples


class DatabaseTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.database = mock.create_autospec(host.Database, instance=True)


class TestCheck(DatabaseTest):
    def check(self, to, found=None):
        destination.check(
            self.database, found or samples.attachment(), targets.parse(to)
        )

    def refused(self, *args):
        error = self.assertRaises(exceptions.Conflict, self.check, *args)
        return str(error)

    def test_a_vlan(self):
        self.database.vlan_users.return_value = ()
        self.database.open_ports.return_value = ()
        self.check('vlan:9')
        self.assertEqual(
            [
                mock.call.vlan_users('row-bridge', 9),
                mock.call.open_ports('row-bridge'),
            ],
            self.database.mock_calls,
        )
        self.database.open_ports.return_value = ('tapopen',)
        text = self.refused('vlan:9')
        self.assertIn('in VLAN 9 of br-int', text)
        self.assertIn('tapopen', text)
        self.database.vlan_users.return_value = ('tapuser',)
        self.assertIn(
            'VLAN 9 of br-int is in use by tapuser', self.refused('vlan:9')
        )

    def test_a_vlan_that_goes_to_the_port_itself(self):
        """Nobody is asked which others there are: they may be thousands."""
        found = samples.attachment()
        found = dataclasses.replace(
            found, port=dataclasses.replace(found.port, tag=None)
        )
        self.database.vlan_users.return_value = ()
        text = self.refused('vlan:9', found)
        self.assertIn('in VLAN 9 of br-int', text)
        self.assertIn('tapone', text)
        self.database.open_ports.assert_not_called()

    def test_a_tunnel(self):
        for kind in ('gre', 'erspan', 'vxlan'):
            self.database.overlays.return_value = ()
            self.check(f'{kind}:192.0.2.1:5')
            self.database.overlays.assert_called_with(kind, '192.0.2.1')
            self.database.overlays.return_value = ('far',)
            text = self.refused(f'{kind}:192.0.2.1:5')
            self.assertIn('The tunnel far to 192.0.2.1', text)

    def test_what_is_nobody_elses(self):
        for to in ('interface', 'port:out0'):
            self.check(to)
        self.assertEqual([], self.database.mock_calls)


class TestQuiet(DatabaseTest):
    def quiet(self, before, after, *outputs):
        output = model.Port('row-out', 'out0')
        self.database.statistics_interval.return_value = 0
        self.database.port.return_value = (
            output,
            model.Interface('row-in', 'out0', statistics=before),
            'row-bridge',
        )
        self.database.statistics.return_value = after
        self.database.mirrors.return_value = [
            samples.mirror(output_port=port) for port in outputs
        ]
        destination.quiet(self.database, output)
        self.database.port.assert_called_with('out0')
        self.database.statistics.assert_called_with('row-in')

    def test_one_that_carries_traffic(self):
        for key, outputs in (
            ('rx_packets', ()),
            ('tx_packets', (None, 'row-other')),
            ('rx_packets', ('row-out',)),
        ):
            error = self.assertRaises(
                exceptions.Conflict, self.quiet, {}, {key: 1}, *outputs
            )
            self.assertIn('out0 cannot receive copies', str(error))

    def test_one_that_carries_none(self):
        self.quiet({'tx_packets': 1}, {'tx_packets': 1})
        # Those are copies.
        self.quiet({'tx_packets': 1}, {'tx_packets': 2}, None, 'row-out')

    def test_one_that_is_gone(self):
        self.database.port.return_value = None
        destination.quiet(self.database, model.Port('row-out', 'out0'))
        self.database.statistics.assert_not_called()
