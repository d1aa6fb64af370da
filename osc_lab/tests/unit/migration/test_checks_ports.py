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


"""The checks of the ports and the volumes of a server."""

import dataclasses

from osc_lab.migration.checks import network
from osc_lab.migration.checks import storage
from osc_lab.migration import facts
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import samples

GATEWAY = 'OVN Controller Gateway agent'
GAP = facts.Gap('the service does not answer')


def secret(access):
    return samples.volume(
        encrypted=True, secret=facts.Secret('k1', 'http://k/k1', access)
    )


def bound(*bindings, **server):
    """Return facts with bindings of the port."""
    found = samples.server(**server)
    network = dataclasses.replace(found.network, bindings={'port1': bindings})
    return dataclasses.replace(found, network=network)


def unbound():
    """Return facts without the bindings."""
    found = samples.clean()
    network = dataclasses.replace(found.network, bindings=GAP)
    return dataclasses.replace(found, network=network)


#: (check, facts, results that are not ok, words in message or remedy)
NO_SEGMENT = 'No segment of the network of port port1 is there: rack2, gre.'

CASES = (
    (
        network.PortBinding,
        samples.agents(samples.agent('a')),
        ['failed'],
        'No Open vSwitch agent',
        {'port': 'port1'},
    ),
    (
        network.PortBinding,
        samples.agents(samples.agent('a'), samples.agent('b', alive=False)),
        ['failed'],
        'not alive',
        {'port': 'port1'},
    ),
    (
        network.PortBinding,
        samples.port(physical_network='physnet9'),
        ['failed'],
        'physnet9',
        {'port': 'port1'},
    ),
    (network.PortBinding, samples.port(physical_network='physnet1'), [], ''),
    *(
        (
            network.PortBinding,
            samples.port(network_type='', segments=segments),
            results,
            words,
            {'port': 'port1'} if results == ['failed'] else {},
            '"openstack network segment list'
            if results == ['unknown']
            else '',
        )
        for segments, results, words in (
            ((('vlan', 'rack2'), ('gre', '')), ['failed'], NO_SEGMENT),
            (
                (('vlan', 'physnet1'), ('vlan', 'rack2'), ('vxlan', '')),
                ['unknown'],
                'network of port port1 only physnet1, vxlan is there;',
            ),
            ((('vlan', 'physnet1'), ('vxlan', '')), [], 'can bind its ports'),
        )
    ),
    (
        network.PortBinding,
        samples.ports(
            ({'segments': (('vlan', 'physnet1'), ('vlan', 'rack2'))},),
            *(samples.agent('b', alive=False), samples.agent('a')),
        ),
        ['failed'],
        'not alive',
        {'port': 'port1'},
    ),
    (
        network.PortBinding,
        samples.port(
            vif_type='unheard-of',
            segments=(('vlan', 'physnet1'), ('local', '')),
        ),
        [],
        'can bind its ports',
    ),
    (
        network.PortBinding,
        samples.port(network_type='gre'),
        ['failed'],
        'gre',
        {'port': 'port1'},
    ),
    (
        network.PortBinding,
        samples.agents(samples.agent('b.test', type='OVN Controller agent')),
        [],
        '',
    ),
    (
        network.PortBinding,
        samples.clean(network=facts.Network((), GAP)),
        [],
        'no port',
    ),
    (network.PortBinding, samples.agents(*()), [], 'can bind its ports'),
    (
        network.PortBinding,
        samples.clean(
            network=facts.Network(samples.port().network.ports, GAP)
        ),
        ['unknown'],
        'does not answer',
    ),
    (
        network.PortBinding,
        bound(('a', 'ACTIVE'), ('b', 'INACTIVE')),
        ['failed'],
        'has left a binding of port port1 there',
        {'port': 'port1'},
        'openstack server migrate live s1 --repair',
    ),
    (
        network.PortBinding,
        bound(('a', 'ACTIVE'), ('c', 'INACTIVE')),
        [],
        'can bind its ports',
    ),
    (
        network.PortBinding,
        bound(('b', 'INACTIVE'), task_state='migrating'),
        [],
        'can bind its ports',
    ),
    (network.PortBinding, unbound(), ['unknown'], 'does not answer'),
    (
        network.PortBinding,
        samples.port(vif_type='unheard-of', physical_network='physnet9'),
        [],
        'can bind its ports',
    ),
    (
        network.PortBinding,
        samples.agents(samples.agent('a'), samples.agent('b', admin_up=False)),
        ['failed'],
        'Open vSwitch agent is not alive there; port port1',
        {'port': 'port1'},
    ),
    (
        network.PortBinding,
        samples.port(physical_network='physnet2', network_type='vxlan'),
        ['failed'],
        'physical network physnet2 of port port1',
        {'port': 'port1'},
    ),
    (
        network.PortBinding,
        samples.ports(
            ({'physical_network': 'physnet7', 'vif_type': 'hw_veb'},),
            samples.agent(
                'b',
                type='NIC Switch agent',
                device_mappings=frozenset({'physnet7'}),
            ),
        ),
        [],
        '',
    ),
    (
        network.PortBinding,
        samples.ports(
            ({'vif_type': 'hw_veb'},),
            samples.agent('a', type='NIC Switch agent'),
        ),
        ['failed'],
        'No NIC Switch agent',
        {'port': 'port1'},
    ),
    (
        network.PortBinding,
        samples.agents(samples.agent('b', tunnel_types=frozenset({'gre'}))),
        ['failed'],
        'no vxlan tunnels',
        {'port': 'port1'},
    ),
    (
        network.PortBinding,
        samples.ports(
            ({'vif_type': 'macvtap', 'network_type': 'vlan'},),
            samples.agent('b', type='Macvtap agent'),
        ),
        [],
        '',
    ),
    *(
        (
            network.PortBinding,
            samples.ports(
                ({'vif_type': 'macvtap'},), samples.agent('a', type=kind)
            ),
            ['failed'],
            f'No {kind} is there',
            {'port': 'port1'},
        )
        for kind in ('Macvtap agent', 'NIC Switch agent')
    ),
    (
        network.PortBinding,
        samples.ports(
            ({'vif_type': 'bridge'},),
            samples.agent('a', type='Linux bridge agent'),
        ),
        ['failed'],
        'No Linux bridge agent',
        {'port': 'port1'},
    ),
    (
        network.PortBinding,
        samples.ports(
            ({'vif_type': 'vhostuser'}, {'id': 'port2'}),
            samples.agent('a', type='OVN Controller agent'),
        ),
        ['failed', 'failed'],
        'No OVN Controller agent is there for port port2',
        {'port': 'port1'},
    ),
    (
        network.PortBinding,
        samples.port(network_type='geneve'),
        ['failed'],
        'no geneve tunnels, which port port1',
        {'port': 'port1'},
    ),
    (
        network.PortBinding,
        samples.ports(
            ({'network_type': 'geneve'},),
            samples.agent(
                'b', type='OVN Controller agent', tunnel_types=frozenset()
            ),
        ),
        [],
        '',
    ),
    (
        network.PortBinding,
        samples.ports(
            ({'network_type': 'geneve'},),
            samples.agent('a', type='OVN Controller agent'),
            samples.agent('b', type=GATEWAY, tunnel_types=frozenset()),
        ),
        [],
        'can bind its ports',
    ),
    (
        network.PortBinding,
        samples.agents(
            samples.agent('a', type=GATEWAY),
            samples.agent('b', type=GATEWAY, alive=False),
        ),
        ['failed'],
        'The OVN Controller Gateway agent is not alive there',
        {'port': 'port1'},
    ),
    (
        network.PortBinding,
        samples.agents(samples.agent('a', type=GATEWAY)),
        ['failed'],
        'No OVN Controller Gateway agent is there',
        {'port': 'port1'},
    ),
    (network.PortBinding, samples.port(network_type='vlan'), [], ''),
    (
        network.PortBinding,
        samples.destination(hypervisor=GAP),
        [],
        'can bind its ports',
    ),
    (network.PortBinding, samples.clean(network=GAP), ['unknown'], ''),
    (
        network.Mirrors,
        samples.clean(mirrors=(facts.Mirror('m', 'port1', 'a', False),)),
        ['warning'],
        'blind',
        {'mirror': 'm', 'port': 'port1'},
    ),
    (
        network.Mirrors,
        samples.clean(mirrors=(facts.Mirror('m', 'port1', 'a', True),)),
        [],
        '',
    ),
    (
        network.Mirrors,
        samples.clean(mirrors=facts.Gap('no', asked=False)),
        ['skipped'],
        '--ovsdb',
        {},
        'Use --ovsdb.',
    ),
    (storage.Volumes, samples.volume(), [], 'Its volumes are in use'),
    (storage.Volumes, samples.clean(), [], 'no volume'),
    (
        storage.Volumes,
        samples.volume(name='', status='error'),
        ['failed'],
        'is error',
        {'volume': 'v1'},
        'openstack volume show v1',
    ),
    (
        storage.Volumes,
        samples.volume(multiattach=True),
        [],
        'as they should be',
    ),
    (
        storage.Volumes,
        samples.volume(attached_to=('s1', 's2')),
        [],
        'as they should be',
    ),
    (storage.VolumeSecrets, samples.volume(), [], 'No volume is encrypted'),
    (storage.VolumeSecrets, samples.clean(volumes=GAP), ['unknown'], ''),
    (
        storage.VolumeSecrets,
        samples.volume(name='', encrypted=True),
        ['unknown'],
        'has no key',
    ),
    (
        storage.Volumes,
        samples.volume(status='error'),
        ['failed'],
        'error',
        {'volume': 'v1'},
        'Wait, or mend it: openstack volume show v1',
    ),
    (
        storage.Volumes,
        samples.volume(attached_to=()),
        ['failed'],
        'Cinder',
        {'volume': 'v1'},
        'openstack volume attachment list --volume-id v1',
    ),
    (
        storage.Volumes,
        samples.volume(multiattach=True, attached_to=('s1', 's2')),
        ['warning'],
        '2 servers',
        {'volume': 'v1'},
        'support it; try it in a quiet hour.',
    ),
    (storage.Volumes, samples.clean(volumes=GAP), ['unknown'], ''),
    (
        storage.VolumeSecrets,
        secret(facts.Access.ALLOWED),
        [],
        '',
        {'volume': 'v1', 'secret': 'k1'},
    ),
    (
        storage.VolumeSecrets,
        secret(facts.Access.FIXED_KEY),
        [],
        'fixed_key',
        {'volume': 'v1'},
    ),
    (
        storage.VolumeSecrets,
        secret(facts.Access.DENIED),
        ['failed'],
        'openstack acl user add --user u1 --operation-type read http://k/k1',
        {'volume': 'v1', 'secret': 'k1', 'project': 'p1'},
        'u1 --operation-type read http://k/k1',
    ),
    (
        storage.VolumeSecrets,
        secret(facts.Access.ABSENT),
        ['failed'],
        'not exist',
        {'volume': 'v1', 'secret': 'k1'},
        'stops; look for a backup of Barbican.',
    ),
    (
        storage.VolumeSecrets,
        samples.volume(encrypted=True, secret=GAP),
        ['unknown'],
        '',
    ),
)

ALL = (
    network.PortBinding,
    network.Mirrors,
    storage.Volumes,
    storage.VolumeSecrets,
)


class TestChecks(check_cases.CasesTest):
    CASES = CASES
    ALL = ALL
    CLEAN = samples.clean

    def test_a_volume_that_is_not_fine_is_all_that_is_said(self):
        found = self.judge(storage.Volumes(), samples.volume(status='error'))
        self.assertEqual(['failed'], [item.result for item in found])
