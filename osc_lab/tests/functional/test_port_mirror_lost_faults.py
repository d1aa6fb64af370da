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

"""Mirrors that lose their server, and what prune makes of them."""

from osc_lab.tests.functional import base
from osc_lab.tests.functional import foreign
from osc_lab.tests.functional import pair


class TestLost(foreign.ForeignTest):
    """A server is rebooted, moved and deleted while it is mirrored."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.assert_same, self.snapshot())
        self.add_foreign()
        self.before = self.snapshot()
        self.name = self.unique('lost')
        for host in pair.HOSTS:
            self.addCleanup(self.delete_mirrors, host)

    def boot(self):
        """Boot a server with a port of ours and one that Nova makes."""
        self.later('port', 'delete', self.name, cloud=self.ADMIN)
        self.later('server', 'delete', '--wait', self.name, cloud=self.ADMIN)
        mine = self.json(
            *('port', 'create', '--network', 'lab-net', self.name),
            cloud=self.ADMIN,
        )['id']
        self.openstack(
            *('--os-compute-api-version', '2.90', 'server', 'create'),
            *('--wait', '--flavor', 'lab.tiny', '--image', 'guest'),
            *('--port', mine, '--network', 'lab-net'),
            *('--host', 'hosta', self.name),
            cloud=self.ADMIN,
        )
        ports = self.json(
            'port', 'list', '--server', self.name, cloud=self.ADMIN
        )
        (other,) = {port['ID'] for port in ports} - {mine}
        return mine, other

    def make(self, port):
        return self.mirror('create', port, '--timeout', '0')

    def assert_lost(self, host, problems, *made):
        """See mirrors named as what they are, and removed alone."""
        for item in made:
            row = self.listed(host, item)
            self.assertEqual(problems, row['Problems'])
            self.assertIn(row['Health'], problems)
        removed = self.mirror('prune', '--orphans')
        self.assertEqual(
            {(item['id'], host, True) for item in made},
            {(row['ID'], row['Host'], row['Removed']) for row in removed},
        )
        self.assertEqual([], self.mirror('list'))
        for name in pair.HOSTS:
            self.assertEqual(self.before[name][1], self.belongings(name))
        self.assert_foreign()

    def test_reboot_move_and_delete(self):
        mine, other = self.boot()
        made = self.make(mine)
        self.openstack(
            *('server', 'reboot', '--hard', '--wait', self.name),
            cloud=self.ADMIN,
        )
        self.assert_lost('hosta', ['blind'], made)
        made = self.make(mine)
        self.openstack(
            *('--os-compute-api-version', '2.30', 'server', 'migrate'),
            *('--live-migration', '--block-migration', '--host', 'hostb'),
            *('--wait', self.name),
            cloud=self.ADMIN,
        )
        self.assert_lost('hosta', ['blind', 'orphan'], made)
        left = [self.make(port) for port in (mine, other)]
        run = self.openstack(
            *('server', 'delete', '--wait', self.name), cloud=self.ADMIN
        )
        self.assertEqual('', run.stderr)
        # One port is gone with the server, the other one is bound nowhere.
        run = base.openstack('port', 'show', other, cloud=self.ADMIN)
        self.assertEqual(1, run.status)
        self.assert_lost('hostb', ['blind', 'orphan'], *left)
        self.assert_same(self.before)
