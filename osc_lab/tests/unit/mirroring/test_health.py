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

"""Whether mirrors do their work, and whose they are."""

import testtools

from osc_lab.mirroring import health
from osc_lab.mirroring import marks
from osc_lab.tests.unit.mirroring import samples

LATER = samples.NOW + 2 * samples.HOUR


def entries(mirrors, ports=(), now=samples.NOW):
    return health.entries(
        'cmp1', mirrors, ports, now, {'row-bridge': 'br-int'}
    )


class TestHealth(testtools.TestCase):
    def one(self, neutron=None, now=samples.NOW, **changes):
        found = entries(
            [samples.mirror(**changes)],
            [(samples.own_port(), 'row-bridge')],
            now,
        )
        port = neutron or samples.neutron()
        (entry,) = health.with_ports(found, {port.id: port}, ('cmp1',))
        return entry

    def test_words(self):
        gone = samples.neutron(id='another')
        for expected, neutron, changes in (
            ('ok', None, {}),
            ('idle', None, {'packets': 0}),
            ('idle', None, {'packets': None}),
            ('blind', None, {'select_src': (), 'select_dst': ()}),
            ('no-output', None, {'output_port': None}),
            ('orphan', gone, {}),
            ('orphan', samples.neutron(host='cmp2'), {}),
            # Made on the destination, while the server moves there.
            ('ok', samples.neutron(host='cmp2', moving_to='cmp1'), {}),
            ('ok', samples.neutron(moving_to='cmp2'), {}),
            ('orphan', samples.neutron(host='cmp2', moving_to='cmp3'), {}),
            ('orphan', samples.neutron(server='another'), {}),
            ('expired', None, {'now': LATER}),
            ('expired', gone, {'now': LATER, 'output_port': None}),
        ):
            entry = self.one(neutron, **changes)
            self.assertEqual(expected, entry.health.value)

    def test_a_port_that_nobody_sees(self):
        found = entries([samples.mirror()])
        for ports, hosts, health_, unseen in (
            ({}, (), 'ok', True),
            ({}, ('cmp2',), 'ok', True),
            ({}, ('cmp1',), 'orphan', False),
            ({samples.PORT_ID: samples.neutron()}, (), 'ok', False),
            (
                {samples.PORT_ID: samples.neutron(host='cmp2')},
                *((), 'orphan', False),
            ),
        ):
            (entry,) = health.with_ports(found, ports, hosts)
            self.assertEqual(
                (health_, unseen, False),
                (entry.health.value, entry.unseen, entry.misplaced),
            )
            self.assertEqual(
                [entry] if health_ == 'orphan' else [],
                health.to_prune([entry], True, True, True),
            )

    def test_one_that_another_host_has_made(self):
        """A channel may lead there; whether the port moved is unknown."""
        ids = marks.encode(samples.marked(host='cmp9'))
        found = entries([samples.mirror(external_ids=ids)])
        for port, health_, unseen in (
            (samples.neutron(host='cmp9'), 'ok', True),
            (samples.neutron(host='cmp2'), 'ok', True),
            # It is gone wherever the mirror is, or is here.
            (None, 'orphan', False),
            (samples.neutron(), 'ok', False),
            (samples.neutron(host='cmp9', moving_to='cmp1'), 'ok', False),
            (samples.neutron(server='another'), 'orphan', False),
        ):
            ports = {port.id: port} if port else {}
            (entry,) = health.with_ports(found, ports, ('cmp1',))
            self.assertEqual(
                (health_, unseen, True),
                (entry.health.value, entry.unseen, entry.misplaced),
            )
            self.assertEqual(
                [entry] if health_ == 'orphan' else [],
                health.to_prune([entry], True, True, True),
            )
        (entry,) = entries([samples.mirror(False)])
        self.assertFalse(entry.misplaced)

    def test_which_port(self):
        """Known of a mirror of ours alone, before anybody asks Neutron."""
        found = entries(
            [samples.mirror(), samples.mirror(False, uuid='theirs')],
            [
                (
                    samples.own_port(
                        external_ids=marks.encode(samples.marked(id='lost'))
                    ),
                    'row-bridge',
                )
            ],
        )
        self.assertEqual(
            [(samples.PORT_ID, False), ('', False), ('', False)],
            [(entry.port, entry.unseen) for entry in found],
        )
        self.assertEqual([False] * 3, [entry.misplaced for entry in found])

    def test_all_problems_are_kept(self):
        entry = self.one(
            samples.neutron(id='another'),
            LATER,
            output_port=None,
            select_src=(),
            select_dst=(),
        )
        self.assertEqual(
            {'expired', 'orphan', 'no-output', 'blind'}, entry.problems
        )

    def test_words_of_the_column_are_an_interface(self):
        self.assertEqual(
            [
                *('expired', 'orphan', 'no-output', 'blind', 'idle', 'ok'),
                *('foreign', 'unreachable'),
            ],
            list(health.Health),
        )

    def test_where_it_is(self):
        port = samples.own_port()
        (entry,) = entries([samples.mirror()], [(port, 'row-bridge')])
        self.assertEqual(
            ('cmp1', 'br-int', 'row-bridge', (port,)),
            (entry.host, entry.bridge, entry.bridge_uuid, entry.ports),
        )
        self.assertEqual('ok', entry.health)

    def test_a_port_on_another_bridge_is_not_its_own(self):
        port = samples.own_port()
        found = entries([samples.mirror()], [(port, 'another')])
        self.assertEqual(
            [('row-bridge', ()), ('another', (port,))],
            [(entry.bridge_uuid, entry.ports) for entry in found],
        )

    def test_the_neutron_port(self):
        for expected, mirrors, ports in (
            (samples.PORT_ID, [samples.mirror()], ()),
            ('', [samples.mirror(False)], ()),
            # What is left of one says it, but it copies nothing.
            ('', [], [(samples.own_port(), 'row-bridge')]),
        ):
            (entry,) = entries(mirrors, ports)
            self.assertEqual(expected, entry.port)
            self.assertFalse(entry.unseen)

    def test_a_foreign_one_is_not_judged(self):
        found = entries([samples.mirror(False, output_port=None)])
        (entry,) = health.with_ports(found, {}, ())
        self.assertEqual([entry], found)
        self.assertEqual('foreign', entry.health)

    def test_a_port_that_lost_its_mirror(self):
        port = samples.own_port()
        for bridge, name in (('row-bridge', 'br-int'), ('gone', '')):
            found = entries([], [(port, bridge)])
            (entry,) = health.with_ports(found, {}, ())
            self.assertEqual(
                health.Entry(
                    'cmp1',
                    None,
                    (port,),
                    name,
                    bridge,
                    health.Owner.OSC_LAB,
                    health.Health.BLIND,
                    frozenset((health.Health.BLIND,)),
                ),
                entry,
            )
        self.assertEqual([entry], health.to_prune([entry], False, True, False))
        (entry,) = entries([], [(port, 'row-bridge')], LATER)
        self.assertEqual(health.Health.EXPIRED, entry.health)
        self.assertEqual({'expired', 'blind'}, entry.problems)


class TestMaker(testtools.TestCase):
    def test_of_all_kinds(self):
        for expected, changes in (
            ('ovn', {'external_ids': {'ovn-owned': 'true'}}),
            ('ovs-tcpdump', {'name': 'm_tap1', 'output_name': 'mitap1'}),
            ('ovs-tcpdump', {'name': 'm_x', 'output_name': 'ovsmi123456'}),
            ('recipe', {'output_name': 'br-int-tcpdump'}),
            ('taas', {'external_ids': {'taas-id': '1'}}),
            ('unknown', {}),
            ('ovs-tcpdump', {'name': 'm_x', 'output_port': None}),
            ('unknown', {'name': 'm_customer', 'output_name': 'probe'}),
            # Those of an IDS, and of a VLAN for a probe.
            ('unknown', {'name': 'm_ids', 'output_name': 'mirror0'}),
            ('unknown', {'name': 'm_ids', 'output_name': 'mids'}),
            ('unknown', {'name': 'm_ids', 'output_name': 'ovsmi1'}),
            ('unknown', {'name': 'm_ids', 'output_name': ''}),
            (
                'unknown',
                {'name': 'm_rspan', 'output_port': None, 'output_vlan': 7},
            ),
            ('unknown', {'output_name': 'br-tcpdump0'}),
            ('unknown', {'external_ids': {marks.OWNER: 'someone'}}),
        ):
            found = samples.mirror(False, **changes)
            self.assertEqual(expected, health.owner(found).value)
        self.assertEqual('osc-lab', health.owner(samples.mirror()).value)


class TestPrune(testtools.TestCase):
    def choose(self, now=samples.NOW, foreign=False):
        found = entries(
            [
                samples.mirror(),
                samples.mirror(uuid='blind', select_src=(), select_dst=()),
                samples.mirror(False, uuid='theirs', select_src=()),
                samples.mirror(
                    False, uuid='ovn', external_ids={'ovn-owned': 'true'}
                ),
                samples.mirror(
                    False, uuid='left', name='m_a', output_name='mia'
                ),
            ],
            now=now,
        )
        return [
            entry.mirror.uuid
            for entry in health.to_prune(found, True, True, foreign)
        ]

    def test_what_works_stays(self):
        self.assertEqual(['blind'], self.choose())

    def test_what_is_over_goes(self):
        self.assertEqual(['row-mirror', 'blind'], self.choose(LATER))

    def test_foreign_only_when_known_and_asked_for(self):
        self.assertEqual(['blind', 'left'], self.choose(foreign=True))
