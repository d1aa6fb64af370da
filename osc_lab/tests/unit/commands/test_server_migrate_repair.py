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

"""What a failed live migration has left is put right."""

import functools

from osc_lab.tests.unit.commands import migrations
from osc_lab.tests.unit import fake_cloud


class TestRepair(migrations.HostsTest):
    def test_repair(self):
        self.cloud.server['status'] = 'ERROR'
        self.cloud.server['OS-EXT-STS:vm_state'] = 'error'
        self.openstack('vm1', '--repair', settings=self.settings)
        self.assertEqual('ACTIVE', self.cloud.server['status'])

    def test_answer_that_is_lost(self):
        """The state is looked at again before anything else is said."""
        for done, status, results in (
            (True, 0, [('repair', 'ok')]),
            (False, 4, [('repair', 'unknown')]),
        ):
            self.cloud.server['status'] = 'ERROR'
            self.cloud.server['OS-EXT-STS:vm_state'] = 'error'
            self.cloud._action = functools.partial(self.lost, done)
            found = self.findings(
                'vm1', '--repair', status=status, settings=self.settings
            )
            self.assertEqual(
                results, [(i['check'], i['result']) for i in found]
            )
        self.assertIn('did not confirm', found[0]['message'])
        self.assertIn('--repair', found[0]['remedy'])

    def lost(self, done, *request):
        if done:
            fake_cloud.Cloud._action(self.cloud, *request)
        return 504, {'error': {'message': 'a proxy gave up'}}

    def test_repair_that_nova_refuses(self):
        self.cloud.server['status'] = 'ERROR'
        self.cloud.server['OS-EXT-STS:vm_state'] = 'error'
        self.cloud.faults['compute', 'action$'] = 403
        self.openstack('vm1', '--repair', status=1, settings=self.settings)
        self.assertIn('fault', self.err)

    def test_repair_of_what_a_migration_left(self):
        left = [{'host': 'host2', 'status': 'INACTIVE'}]
        active = list(self.cloud.bindings['port-1'])
        self.cloud.bindings['port-1'] = active + left
        self.cloud.may_unbind = False
        found = self.findings(
            'vm1', '--repair', status=3, settings=self.settings
        )
        self.assertIn('role "service"', found[1]['remedy'])
        self.assertEqual(active + left, self.cloud.bindings['port-1'])
        self.cloud.may_unbind = True
        self.assertEqual(
            {'host2': 'failed'}, self.check('port-binding', status=3)
        )
        found = self.findings('vm1', '--repair', settings=self.settings)
        self.assertEqual(
            [('repair', 'vm1', 'ok'), ('port-bindings', 'port-1', 'ok')],
            [(i['check'], i['subject'], i['result']) for i in found],
        )
        self.assertEqual(active, self.cloud.bindings['port-1'])
        self.assertEqual({'host2': 'ok'}, self.check('port-binding'))

    def test_repair_without_neutron(self):
        """The state is put right; of the bindings nobody knows."""
        self.cloud.server['status'] = 'ERROR'
        self.cloud.server['OS-EXT-STS:vm_state'] = 'error'
        self.cloud.faults['network', 'ports'] = 500
        found = self.findings(
            'vm1', '--repair', status=4, settings=self.settings
        )
        self.assertEqual(
            [('repair', 'ok'), ('port-bindings', 'unknown')],
            [(i['check'], i['result']) for i in found],
        )
        self.assertEqual('ACTIVE', self.cloud.server['status'])

    def test_repair_when_neutron_fails_at_a_binding(self):
        """The state is set by then, which is told all the same."""
        self.cloud.bindings['port-1'].append(
            {'host': 'host2', 'status': 'INACTIVE'}
        )
        for fault, status, result in ((500, 4, 'unknown'), (409, 3, 'failed')):
            self.cloud.server['status'] = 'ERROR'
            self.cloud.server['OS-EXT-STS:vm_state'] = 'error'
            self.cloud.faults['network', 'bindings/host2'] = fault
            found = self.findings(
                'vm1', '--repair', status=status, settings=self.settings
            )
            self.assertEqual(
                [('repair', 'ok'), ('port-bindings', result)],
                [(i['check'], i['result']) for i in found],
            )
            self.assertIn('--repair', found[1]['remedy'])
            self.assertEqual('ACTIVE', self.cloud.server['status'])

    def test_binding_of_a_migration_that_goes_on(self):
        left = {'host': 'host2', 'status': 'INACTIVE'}
        self.cloud.bindings['port-1'].append(left)
        self.cloud.server['OS-EXT-STS:task_state'] = 'migrating'
        self.findings('vm1', '--repair', status=3, settings=self.settings)
        self.assertIn(left, self.cloud.bindings['port-1'])

    def test_repair_while_libvirt_still_tries(self):
        self.cloud.server['status'] = 'ERROR'
        self.cloud.server['OS-EXT-STS:vm_state'] = 'error'
        self.cloud.server['OS-EXT-STS:task_state'] = 'migrating'
        self.guest.control = 2
        self.openstack('vm1', '--repair', status=3, settings=self.settings)
        self.assertEqual('ERROR', self.cloud.server['status'])
        self.guest.control = 0
        self.openstack('vm1', '--repair', settings=self.settings)
        self.assertEqual('ACTIVE', self.cloud.server['status'])

    def test_repair_of_a_guest_that_does_not_run(self):
        self.cloud.server['status'] = 'ERROR'
        self.cloud.server['OS-EXT-STS:vm_state'] = 'error'
        self.hosts['host1'].guests.clear()
        self.openstack('vm1', '--repair', status=3, settings=self.settings)
        self.assertEqual('ERROR', self.cloud.server['status'])

    def test_repair_of_a_guest_that_was_paused(self):
        """Nova has it for active then, which only a pause sets right."""
        self.guest.state_ = [3, 1]
        self.cloud.server['OS-EXT-STS:power_state'] = 3
        self.cloud.server['status'] = 'ERROR'
        self.cloud.server['OS-EXT-STS:vm_state'] = 'error'
        for _again in range(2):
            (item,) = self.findings('vm1', '--repair', settings=self.settings)
            self.assertEqual('warning', item['result'])
            self.assertIn('is paused on host1', item['message'])
            self.assertIn('openstack server pause', item['remedy'])
            self.assertEqual('ACTIVE', self.cloud.server['status'])

    def took_part(self, *steps):
        """Let each host take part at a time, in a migration of a status."""
        self.cloud.migrations = [
            {
                **fake_cloud.migration(status),
                'uuid': f'uuid-{began}',
                'dest_compute': host,
                'created_at': f'2026-01-01T00:00:{began}',
                'updated_at': f'2026-01-01T00:00:{ended}',
            }
            for host, status, began, ended in steps
        ]
        self.cloud.server['status'] = 'ERROR'
        self.cloud.server['OS-EXT-STS:vm_state'] = 'error'

    def test_host_that_is_gone(self):
        """It counts no more when a later migration began after it."""
        last = ('host2', 'error', 30, 39)
        before = ('gone', 'completed', 10, 19)
        for steps in (
            (last, before),
            (last, ('host3', 'error', 20, 29), before),
            (last, ('gone', 'failed', 10, 30)),
        ):
            self.took_part(*steps)
            self.openstack('vm1', '--repair', settings=self.settings)
            self.assertEqual('ACTIVE', self.cloud.server['status'])

    def test_host_that_is_gone_and_may_run_the_guest(self):
        last = ('host2', 'error', 30, 39)
        for steps in (
            [('gone', 'error', 30, 39)],
            [('gone', 'error', 30, 39), ('host2', 'error', 10, 19)],
            [('gone', 'error', 30, 39), ('gone', 'error', 10, 19)],
            [last, ('gone', 'error', 10, 31)],
            [last, ('gone', 'running', 10, 19)],
        ):
            self.took_part(*steps)
            self.stays_in_error(steps)

    def stays_in_error(self, steps):
        (item,) = self.findings(
            'vm1', '--repair', status=3, settings=self.settings
        )
        self.assertIn('libvirt on gone does not confirm', item['message'])
        self.assertEqual('ERROR', self.cloud.server['status'], steps)

    def test_host_that_is_down(self):
        """Nova still has it, so it may come back, and its guest with it."""
        steps = (
            ('host2', 'error', 30, 39),
            ('gone', 'completed', 10, 19),
        )
        self.took_part(*steps)
        self.cloud.services.append(
            {**self.cloud.services[0], 'host': 'gone', 'state': 'down'}
        )
        self.stays_in_error(steps)
        # Nobody knows then what Nova has.
        self.cloud.services.pop()
        self.cloud.faults['compute', 'os-services'] = 403
        self.stays_in_error(steps)
