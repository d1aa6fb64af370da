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

"""Port mirrors on a real cloud: two servers on two hosts that ping."""

import re

from osc_lab.tests.functional import pair


class TestPortMirror(pair.PairTest):
    def setUp(self):
        super().setUp()
        self.port = self.ports['hosta']
        self.before = self.snapshot()
        self.addCleanup(self.assert_same, self.before)
        self.addCleanup(self.delete_mirrors, 'hosta')

    def delete(self, mirror, *argv):
        self.openstack(
            *(*pair.MIRROR, 'delete', mirror, '--host', 'hosta', *argv),
            cloud=self.ADMIN,
        )

    def addresses_seen(self, device):
        """Return the (source, destination) of ICMP at a device."""
        text = self.on(
            'hosta',
            *('timeout', '100', 'tcpdump', '-i', device, '-nn', '-c', '6'),
            # A switch may flood what others send.
            *('icmp', 'and', 'host', self.addresses['hosta']),
        )
        found = re.findall(r'IP ([\d.]+) > ([\d.]+): ICMP', text)
        self.assertEqual(6, len(found), text)
        return set(found)

    def wait_for_packets(self, mirror):
        pair.wait_until(
            'the first packet',
            lambda: self.mirror('show', mirror, '--host', 'hosta')['packets'],
        )

    def test_from_create_to_delete(self):
        peer = self.addresses['hostb']
        for direction, expected, channel in (
            ('in', (peer, self.addresses['hosta']), ()),
            ('out', (self.addresses['hosta'], peer), ('--ovsdb', 'ssh')),
        ):
            made = self.mirror(
                *('create', self.names['hosta'], '--direction', direction),
                *channel,
            )
            self.assertEqual(
                (self.port, self.names['hosta'], 'hosta', direction),
                tuple(
                    made[key]
                    for key in ('port_id', 'server_name', 'host', 'direction')
                ),
            )
            self.assertEqual({expected}, self.addresses_seen(made['device']))
            self.wait_for_packets(made['id'])
            row = self.listed('hosta', made, *channel)
            self.assertEqual(('ok', []), (row['Health'], row['Problems']))
            self.assertNotEqual(self.before, self.snapshot())
            self.delete(made['id'], *channel)
            self.assert_same(self.before)

    def test_second_create_finds_the_first(self):
        made = self.mirror('create', self.port, '--timeout', '0')
        again = self.mirror(
            *('create', '--server', self.names['hosta'], '--timeout', '0')
        )
        self.assertEqual(made['id'], again['id'])
        self.delete(made['id'])
        self.assert_same(self.before)

    def test_dry_run_changes_nothing(self):
        shown = self.mirror('create', self.port, '--dry-run', '--timeout', '0')
        self.assertEqual('br-int', shown['bridge'])
        self.assertIn('ovs-vsctl', shown['commands'][0])
        operations = [item['op'] for item in shown['transaction']]
        self.assertEqual(3, operations.count('insert'))
        self.assert_same(self.before)

    def test_ends_by_itself(self):
        made = self.mirror(
            'create', self.port, '--ttl', '5s', '--timeout', '0'
        )
        self.assertNotEqual('', made['guard'])
        rows = self.before['hosta'][0]
        pair.wait_until('the guard', lambda: self.rows('hosta') == rows)
        self.assert_same(self.before)

    def test_a_port_that_is_not_plugged_in(self):
        name = self.unique('mir')
        port = self.json(
            *('port', 'create', '--network', 'lab-net', name),
            cloud=self.ADMIN,
        )['id']
        self.later('port', 'delete', port, cloud=self.ADMIN)
        run = self.openstack(
            *(*pair.MIRROR, 'create', name), cloud=self.ADMIN, status=3
        )
        self.assertIn('is not plugged in', run.stderr)
        self.assert_same(self.before)

    def test_a_port_that_is_not_there(self):
        run = self.openstack(
            *(*pair.MIRROR, 'create', self.unique('mir')),
            cloud=self.ADMIN,
            status=1,
        )
        self.assertIn('There is no port', run.stderr)

    def test_a_user_who_sees_no_host(self):
        """Neutron shows them none, and that is no empty list."""
        for words in (('list',), ('prune',), ('show', 'x')):
            run = self.openstack(
                *(*pair.MIRROR, *words), cloud=self.MEMBER, status=1
            )
            self.assertEqual('', run.stdout)
            self.assertIn('Use a user with the admin role', run.stderr)

    def test_a_host_that_does_not_answer(self):
        found = self.mirror(
            *('list', '--host', 'hosta', '--host', 'hostb'),
            *('--ovsdb', 'tcp:{host_ip}:9'),
            status=4,
        )
        self.assertEqual(
            [('hosta', 'unreachable'), ('hostb', 'unreachable')],
            [(item['Host'], item['Health']) for item in found],
        )
