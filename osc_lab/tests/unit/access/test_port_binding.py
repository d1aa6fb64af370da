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

"""Agents as Neutron shows those of its drivers."""

import re

from osc_lab.tests.unit.commands import migrations
from osc_lab.tests.unit import fake_cloud

VLAN = {
    'id': 'net-1',
    'provider:network_type': 'vlan',
    'provider:physical_network': 'physnet1',
}


def ovn(number, mappings='physnet2:br-x, physnet1:br-ex', **changes):
    """Return an agent as neutron...ovn.agent.neutron_agent.as_dict does."""
    return {
        'id': f'chassis-{number}',
        'binary': 'ovn-controller',
        'host': f'host{number}.test',
        'heartbeat_timestamp': '2026-01-01 00:00:00',
        'availability_zone': '',
        'topic': 'n/a',
        'description': '',
        'configurations': {
            'chassis_name': f'chassis-{number}',
            'bridge-mappings': mappings,
        },
        'start_flag': True,
        'agent_type': 'OVN Controller agent',
        'alive': True,
        'admin_state_up': True,
        **changes,
    }


class TestAgents(migrations.CommandTest):
    def check(self, *agents, network=VLAN, status=0):
        self.cloud.agents = list(agents)
        self.cloud.networks = [network]
        (found,) = self.findings(
            *('vm1', '--host', 'host2', '--preflight'),
            *('--check', 'port-binding'),
            status=status,
        )
        return found['message']

    def test_physical_networks_of_ovn(self):
        self.assertIn('can bind', self.check(ovn(1), ovn(2)))
        for mappings in ('', 'physnet2:br-x', 'physnet12:br-x'):
            self.assertIn(
                'physnet1 of port port-1 is not mapped',
                self.check(ovn(1), ovn(2, mappings), status=3),
            )

    def test_network_of_several_segments(self):
        # As neutron.plugins.ml2.managers shows it.
        network = {
            'id': 'net-1',
            'segments': [
                {
                    'provider:network_type': 'vlan',
                    'provider:physical_network': name,
                    'provider:segmentation_id': 7,
                }
                for name in ('rack1', 'rack2')
            ],
        }
        for mappings, words, status in (
            ('rack1:br-ex, rack2:br-x', 'can bind', 0),
            ('rack2:br-ex', 'only rack2 is there', 4),
            ('rack9:br-ex', 'is there: rack1, rack2.', 3),
        ):
            self.assertIn(
                words,
                self.check(
                    *(ovn(1), ovn(2, mappings)), network=network, status=status
                ),
            )

    def test_agents_of_all_pages(self):
        """Neutron may give no more at once (pagination_max_limit)."""
        self.shell = self.useFixture(fake_cloud.Mocked(self.cloud))
        agents = [ovn(1), ovn(2)]

        def page(request, context):
            if 'marker' in request.qs:
                return {'agents': agents[1:]}
            return {'agents': agents[:1], 'agents_links': [{'rel': 'next'}]}

        self.shell.http.get(re.compile('network.test/.*/agents'), json=page)
        self.assertIn('can bind', self.check())

    def test_physical_networks_of_others(self):
        for key in ('bridge_mappings', 'interface_mappings'):
            agents = [
                self.cloud._agent(number) | {'configurations': {key: known}}
                for number, known in ((1, {}), (2, {'physnet1': 'br-ex'}))
            ]
            self.assertIn('can bind', self.check(*agents))
