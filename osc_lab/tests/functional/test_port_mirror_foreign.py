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

"""Mirrors of others survive all commands, and go on copying."""

import fixtures

from osc_lab.tests.functional import foreign
from osc_lab.tests.functional import pair


class TestForeign(foreign.ForeignTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.assert_same, self.snapshot())
        self.add_foreign()
        self.before = self.snapshot()
        self.addCleanup(self.delete_mirrors, self.HOST)
        self.port = self.ports[self.HOST]

    def test_from_create_to_delete(self):
        made = self.mirror('create', self.port, '--ttl', '10m')
        self.assert_foreign()
        found = {
            row['Name']: (row['Owner'], row['Health'])
            for row in self.mirror(
                'list', '--all', '--long', '--host', self.HOST
            )
        }
        self.assertEqual(
            {
                'theirs': ('unknown', 'foreign'),
                'ovn': ('ovn', 'foreign'),
                made['name']: ('osc-lab', 'ok'),
            },
            found,
        )
        for name in (made['id'], *self.THEIRS):
            shown = self.mirror('show', name, '--host', self.HOST)
            self.assertGreater(shown['packets'], 0)
        folder = self.useFixture(fixtures.TempDir()).path
        for number, what in enumerate((made['id'], self.port)):
            self.openstack(
                *(*pair.MIRROR, 'capture', what, '--packets', '2'),
                *('--file', f'{folder}/{number}.pcap'),
                cloud=self.ADMIN,
            )
        self.assert_foreign()
        run = self.openstack(
            *(*pair.MIRROR, 'delete', *self.THEIRS, made['id']),
            *('--host', self.HOST),
            cloud=self.ADMIN,
            status=3,
        )
        self.assertIn('"theirs" was made by', run.stderr)
        self.assert_foreign()
        self.openstack(
            *(*pair.MIRROR, 'delete', made['id'], '--host', self.HOST),
            cloud=self.ADMIN,
        )
        self.assert_same(self.before)
        self.assert_foreign()

    def expire(self, made):
        """Let the time of a mirror end without what ends it on the host."""
        kind, group = made['guard'].split()
        self.assertEqual('pid', kind)
        self.on(self.HOST, 'kill', '--', f'-{group}')
        self.on(
            self.HOST,
            *('ovs-vsctl', 'set', 'Mirror', made['name']),
            'external_ids:osc-lab-expires=\'"2020-01-01T00:00:00Z"\'',
        )

    def blind(self, made):
        """Let a mirror lose its port, as when that is made anew."""
        self.on(
            self.HOST,
            *('ovs-vsctl', 'clear', 'Mirror', made['name']),
            *('select_src_port', 'select_dst_port'),
        )

    def test_prune(self):
        for spoil, options, health in (
            (self.expire, ('--expired',), 'expired'),
            (self.blind, ('--orphans',), 'blind'),
            (self.blind, (), 'blind'),
        ):
            made = self.mirror('create', self.port, '--timeout', '0')
            spoil(made)
            self.assertEqual(health, self.listed(self.HOST, made)['Health'])
            removed = self.mirror('prune', *options, '--host', self.HOST)
            self.assertEqual([made['id']], [row['ID'] for row in removed])
            self.assert_same(self.before)
            self.assert_foreign()
