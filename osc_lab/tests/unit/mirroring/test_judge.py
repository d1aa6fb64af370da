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

"""What is refused, and with which way out."""

import dataclasses

import testtools

from osc_lab import exceptions
from osc_lab.mirroring import judge
from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import targets
from osc_lab.tests.unit.mirroring import samples


class JudgeTest(testtools.TestCase):
    def refused(self, text, function, *args, kind=exceptions.Conflict):
        error = self.assertRaises(kind, function, *args)
        self.assertIn(text, error.message)
        self.assertNotIn('None', str(error))
        self.assertTrue(error.remedy)
        return error


class TestPort(JudgeTest):
    def test_host(self):
        self.assertEqual('cmp1', judge.port(samples.neutron()))
        moving = samples.neutron(moving_to='cmp2')
        for host in ('cmp1', 'cmp2'):
            self.assertEqual(host, judge.port(moving, host))
        for vnic_type in ('normal', 'macvtap-ovs', 'virtio-forwarder-ovs'):
            self.assertEqual(
                'cmp1', judge.port(samples.neutron(vnic_type=vnic_type))
            )

    def test_refused(self):
        for text, host, changes in (
            ('port web is not plugged in (vif_type ovs)', '', {'host': ''}),
            ('(vif_type unbound)', '', {'vif_type': ''}),
            (f'port {samples.PORT_ID} is', '', {'name': '', 'host': ''}),
            ('not plugged in', '', {'vif_type': 'unbound'}),
            ('not plugged in', '', {'vif_type': 'binding_failed'}),
            ('vnic_type direct', '', {'vnic_type': 'direct'}),
            ('vnic_type vdpa', '', {'vnic_type': 'vdpa'}),
            ('moving from cmp1 to cmp2', '', {'moving_to': 'cmp2'}),
            ('is on cmp1, not on cmp9', 'cmp9', {}),
        ):
            self.refused(text, judge.port, samples.neutron(**changes), host)


class TestAttachment(JudgeTest):
    def choose(self, *candidates):
        return judge.attachment(candidates, samples.neutron(), 'cmp1')

    def test_device_of_a_trunk_not_its_patch(self):
        device = samples.attachment()
        patch = samples.attachment(type='patch', name='tpi')
        self.assertIs(device, self.choose(patch, device))
        self.refused('is inside a trunk', self.choose, patch)

    def test_port_inside_a_trunk_of_ovn(self):
        error = self.assertRaises(
            exceptions.Conflict,
            judge.attachment,
            (),
            samples.neutron(subport=True),
            'cmp1',
        )
        self.assertEqual(
            'The port web is inside a trunk and has no interface of its own '
            'in Open vSwitch. Mirror the parent; its copies carry the VLAN of '
            'this port.',
            str(error),
        )

    def test_working_one_of_two(self):
        good = samples.attachment(ofport=1)
        for broken in (
            samples.attachment(ofport=-1),
            samples.attachment(ofport=0),
            samples.attachment(ofport=None),
            samples.attachment(error='No such device'),
        ):
            self.assertIs(good, self.choose(broken, good))
            self.assertIs(broken, self.choose(broken))

    def test_refused(self):
        self.refused('on cmp1 has no interface of port web', self.choose)
        for ofport in (3, -1):
            self.refused(
                'Port web has several interfaces on cmp1: tapone, qvo',
                self.choose,
                samples.attachment(ofport=ofport),
                samples.attachment(ofport=ofport, name='qvo'),
            )
        unnamed = samples.neutron(name='')
        for candidates in ((), (samples.attachment(),) * 2):
            self.refused(
                samples.PORT_ID, judge.attachment, candidates, unnamed, 'cmp1'
            )


class TestExisting(JudgeTest):
    def test_same_wish(self):
        mirror = samples.mirror()
        other = samples.mirror(False, uuid='other', name='o')
        found = samples.attachment([other, mirror])
        self.assertIs(mirror, judge.existing(found, samples.wish()))
        self.assertIsNone(judge.existing(found, samples.wish(name='other')))
        self.assertTrue(judge.same_source(mirror, found))
        moved = samples.mirror(select_src=('x',), select_dst=())
        self.assertFalse(judge.same_source(moved, found))

    def test_a_namesake_of_others_does_not_hide_it(self):
        mirrors = [samples.mirror(False, uuid='theirs'), samples.mirror()]
        for order in (mirrors, mirrors[::-1]):
            found = judge.existing(samples.attachment(order), samples.wish())
            self.assertIs(mirrors[1], found)

    def test_name_in_use(self):
        wish = samples.wish()

        def marked(**changes):
            ours = marks.encode(samples.marked(**changes))
            return samples.mirror(external_ids=ours)

        for mirror in (
            samples.mirror(False),
            samples.mirror(snaplen=64),
            samples.mirror(filter='icmp'),
            marked(port='another'),
            marked(direction='in'),
            marked(target='gre:192.0.2.1'),
            marked(purpose='capture'),
        ):
            self.refused(
                'bridge br-int has a different mirror named m',
                judge.existing,
                samples.attachment([mirror]),
                wish,
            )


class TestLimits(JudgeTest):
    def test_room(self):
        mirrors = [
            samples.mirror(False, uuid=str(number))
            for number in range(model.MAX_MIRRORS)
        ]
        judge.room(samples.attachment(mirrors[1:]))
        self.refused(
            'bridge br-int has 32 mirrors',
            judge.room,
            samples.attachment(mirrors),
        )

    def test_snaplen(self):
        for value in (None, 14, 65535):
            self.assertEqual(value, judge.snaplen(value))
        for value in (-1, 0, 13, 65536):
            error = self.refused(
                f'--snaplen: {value} bytes',
                judge.snaplen,
                value,
                kind=exceptions.InvalidInput,
            )
            self.assertIn('14 to 65535', error.remedy)

    def test_filter(self):
        self.assertEqual('icmp', judge.flow_filter('icmp'))
        for text in ('in_port=1', 'icmp\n', '\x1b[31m'):
            self.refused(
                '--filter',
                judge.flow_filter,
                text,
                kind=exceptions.InvalidInput,
            )

    def test_burden(self):
        device = targets.parse('interface')
        tunnel = targets.parse('gre:192.0.2.1')
        self.assertEqual('', judge.burden(device, 100_000, 2e9))
        self.assertEqual('', judge.burden(tunnel, 10, 1e9))
        self.assertIn('link', judge.burden(tunnel, 10, 1e9 + 1))
        self.assertIn('100001 packets/s', judge.burden(device, 100_001, 10))


class TestOutput(JudgeTest):
    def candidate(self, bridge='row-bridge', **changes):
        values = {'uuid': 'row-watch', 'name': 'watch'}
        port = model.Port(**{**values, **changes})
        return port, model.Interface('i', port.name), bridge

    def test_taken(self):
        for interfaces in ((), ('a',)):
            found = self.candidate(interfaces=interfaces)
            self.assertIs(
                found[0], judge.output(samples.attachment(), 'watch', found)
            )

    def test_refused(self):
        for text, candidate in (
            ('bridge br-int has no port watch', None),
            ('has no port watch', self.candidate('another')),
            ('mirrored port itself', self.candidate(uuid='row-port')),
            ('the bridge itself', self.candidate(name='br-int')),
            ('Neutron', self.candidate(external_ids={'iface-id': 'x'})),
            ('a bond', self.candidate(interfaces=('a', 'b'))),
            (
                'another mirror made it',
                self.candidate(external_ids=samples.own_port().external_ids),
            ),
        ):
            self.refused(
                text,
                judge.output,
                samples.attachment(),
                'watch',
                candidate,
            )

    def test_a_patch(self):
        port, interface, bridge = self.candidate()
        patch = dataclasses.replace(interface, type='patch')
        self.refused(
            'a patch to another bridge',
            judge.output,
            samples.attachment(),
            'watch',
            (port, patch, bridge),
        )

    def test_quiet(self):
        before = {'rx_packets': 1, 'tx_packets': 1}
        sends = {'rx_packets': 1, 'tx_packets': 2}
        receives = {'rx_packets': 2, 'tx_packets': 1}
        judge.quiet('watch', before, before, (), 'u')
        judge.quiet('watch', before, sends, ('u',), 'u')
        judge.quiet('watch', {}, {}, (), 'u')
        for after, outputs in ((sends, ()), (receives, ('u',))):
            self.refused(
                'port watch cannot receive copies: it carries traffic',
                judge.quiet,
                'watch',
                before,
                after,
                outputs,
                'u',
            )

    def test_what_was_never_counted_before(self):
        for key in ('rx_packets', 'tx_packets'):
            self.refused(
                'carries traffic', judge.quiet, 'watch', {}, {key: 1}, (), 'u'
            )

    def test_copies_that_would_go_to_a_vm(self):
        judge.closed(samples.attachment(), 5, ())
        error = self.refused(
            'would receive the copies in VLAN 5 of br-int, for they have no '
            'VLAN of their own: ',
            judge.closed,
            samples.attachment(),
            5,
            ('a', 'b', 'c', 'd'),
        )
        self.assertTrue(error.message.endswith(': a, b, c'))

    def test_a_tunnel_to_a_node_of_the_overlay(self):
        target = targets.parse('vxlan:192.0.2.9')
        judge.tunnel(target, ())
        self.refused(
            'The tunnel vxlan-1 to 192.0.2.9 is one of the overlay',
            *(judge.tunnel, target, ('vxlan-1', 'vxlan-2')),
        )

    def test_vlan(self):
        judge.vlan(samples.attachment(), 5, ())
        error = self.refused(
            'VLAN 5 of br-int is in use by a, b, c',
            judge.vlan,
            samples.attachment(),
            5,
            ('a', 'b', 'c', 'd'),
        )
        self.assertNotIn('d', error.message.rpartition('by')[2])
