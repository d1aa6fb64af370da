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

"""Why a live migration of the past ended as it did."""

from osc_lab.tests.unit.commands import migrations
from osc_lab.tests.unit import fake_cloud
from osc_lab.tests.unit import fake_libvirt


class TestExplain(migrations.MoveTest):
    def asked_for(self, request_id, second):
        self.cloud.actions[request_id] = {
            'request_id': request_id,
            'action': 'live-migration',
            'start_time': f'2026-01-01T00:00:{second:02}',
            'events': [],
        }

    def test_no_record_yet(self):
        """The request waits for the conductor; an older one has ended."""
        self.asked_for('req-0', 0)
        self.asked_for('req-1', 4)
        self.cloud.migrations = [
            self.step('error', created_at='2026-01-01T00:00:01')
        ]
        found = self.findings('vm1', '--explain', 'req-1', status=4)
        self.assertEqual('unknown', found[0]['result'])
        self.assertIn('has no migration yet', found[0]['message'])
        (item,) = [item for item in found if item['check'] == 'reason']
        self.assertIn('nova-conductor', item['message'])

    def test_two_requests_within_seconds(self):
        self.asked_for('req-0', 10)
        self.asked_for('req-1', 13)
        self.cloud.migrations = [
            self.step(status, number, created_at=f'2026-01-01T00:00:{at}')
            for number, status, at in ((6, 'completed', 14), (5, 'error', 11))
        ]
        for request_id, number, status in (('req-0', 5, 5), ('req-1', 6, 0)):
            for reference in (request_id, str(number)):
                found = self.findings(
                    'vm1', '--explain', reference, '--long', status=status
                )
                evidence = found[0]['evidence']
                self.assertEqual(
                    (request_id, number),
                    (evidence['request_id'], evidence['migration_id']),
                )

    def test_the_same_number_in_two_cells(self):
        self.cloud.migrations = [
            self.step('completed', uuid=f'uuid-{cell}') for cell in 'ab'
        ]
        self.openstack('--explain', '5', status=1)
        self.assertIn('uuid-a, uuid-b', self.err)
        self.openstack('--explain', 'uuid-a')

    def test_no_destination_yet(self):
        self.cloud.migrations = [self.step('accepted', dest_compute=None)]
        found = self.findings('vm1', '--explain', '5', status=4)
        (item,) = [item for item in found if item['check'] == 'reason']
        self.assertEqual('unknown', item['result'])
        self.assertIn('names no destination', item['message'])
        self.assertIn('--preflight', item['remedy'])

    def test_no_destination_yet_and_libvirt_is_silent(self):
        self.cloud.migrations = [self.step('accepted', dest_compute=None)]
        self.cloud.services[2]['status'] = 'disabled'
        silent = fake_libvirt.Host('host1')
        silent.refuses = fake_libvirt.Error()
        self.useFixture(fake_libvirt.Library(silent=silent))
        uri = ('--libvirt-uri', 'test:///silent')
        found = self.findings('vm1', '--explain', '5', *uri, status=4)
        self.assertEqual(
            {('libvirt-listen', 'host1'), ('libvirt-listen', 'host2')},
            self.by_result(found),
        )

    def test_refused_by_the_conductor(self):
        self.event_failed(
            'conductor_live_migrate_instance',
            'conductor',
            'NoValidHost: No valid host was found.',
        )
        found = self.findings(
            'vm1', '--host', 'host2', '--wait', '--no-preflight', status=5
        )
        self.assertIn(('destination-capacity', 'vm1'), self.by_result(found))

    def no_valid_host(self):
        # Nova names the host that was asked for only once the scheduler
        # has let the server onto it (nova.compute.api.API.live_migrate).
        self.cloud.steps = [
            self.step(status, dest_compute=None)
            for status in ('accepted', 'error')
        ]
        self.event_failed(
            'conductor_live_migrate_instance',
            'conductor',
            'No valid host was found. There are not enough hosts available.',
        )

    def apart(self):
        """Put a member of its group, which keeps them apart, on host2."""
        self.cloud.server['server_groups'] = ['g1']
        self.cloud.groups['g1'] = {
            'name': 'apart',
            'policy': 'anti-affinity',
            'members': [fake_cloud.SERVER, 'other'],
        }
        self.cloud.others.append(
            {
                **self.cloud.server,
                'id': 'other',
                'name': 'other',
                'OS-EXT-SRV-ATTR:host': 'host2',
            }
        )

    def test_no_valid_host_is_explained_by_what_the_checks_see(self):
        """Of the host that was asked for, and of no other."""
        self.no_valid_host()
        for number in (1, 2):
            self.cloud.services[number]['status'] = 'disabled'
        self.apart()
        expected = {
            ('outcome', 'vm1'),
            ('destination-service', 'host2'),
            ('server-group', 'host2'),
        }
        asked = ('--host', 'host2')
        found = self.findings(
            'vm1', *asked, '--wait', '--no-preflight', status=5
        )
        self.assertEqual(expected, self.by_result(found))
        found = self.findings('--explain', '5', *asked, status=5)
        self.assertEqual(expected, self.by_result(found))

    def test_no_valid_host_of_many(self):
        """Each check speaks once, and none while a host passes."""
        self.no_valid_host()
        for number in (1, 2):
            self.cloud.services[number]['status'] = 'disabled'
        found = self.findings('vm1', '--wait', '--no-preflight', status=5)
        self.assertEqual(
            {('outcome', 'vm1'), ('destination-service', 'host3')},
            self.by_result(found),
        )
        self.assertIn('seen now on 2 hosts', found[1]['message'])
        self.cloud.services[1]['status'] = 'enabled'
        found = self.findings('--explain', '5', status=5)
        self.assertEqual(
            {('outcome', 'vm1'), ('destination-capacity', 'vm1')},
            self.by_result(found),
        )
        self.assertIn('now 1 of 2 hosts fail', found[2]['message'])

    def test_no_valid_host_where_the_best_was_asked_for(self):
        """It is named when another one fails its checks."""
        self.cloud.services[2]['status'] = 'disabled'
        self.no_valid_host()
        found = self.findings('vm1', '--wait', status=5)
        self.assertIn('now 0 of 1 hosts fail', found[2]['message'])

    def test_no_valid_host_and_nothing_to_see_now(self):
        self.no_valid_host()
        found = self.findings(
            'vm1', '--host', 'host2', '--wait', '--no-preflight', status=5
        )
        self.assertIn(('destination-capacity', 'vm1'), self.by_result(found))
        self.assertEqual({('reason', 'vm1')}, self.by_result(found, 'warning'))
        self.cloud.faults['compute', 'servers/detail'] = 500
        self.cloud.faults['compute', 'os-services'] = 500
        found = self.findings('--explain', '5', status=5)
        self.assertIn(('destination-capacity', 'vm1'), self.by_result(found))

    def test_real_reason_beside_no_valid_host(self):
        """Nova tries another host, and says then that there is none."""
        self.no_valid_host()
        event = self.cloud.actions['req-1']['events'][0]
        scheduler = (event['event'], event['host'], event['details'])
        asked = 'compute_check_can_live_migrate_destination'
        for details, failed in (
            (
                'Migration pre-check error: Unacceptable CPU info: CPU '
                "doesn't have compatibility.\n\n0\n\nRefer to http://x/",
                {('cpu', 'vm1')},
            ),
            ('Migration pre-check error: of no known cause', set()),
        ):
            self.events_failed((asked, 'host2', details), scheduler)
            self.cloud.migrations = [self.step('error', dest_compute=None)]
            found = self.findings('--explain', '5', status=5)
            self.assertEqual(
                {('outcome', 'vm1')} | failed, self.by_result(found)
            )
            self.assertIn(
                f'{asked} (host2): {details.splitlines()[0]}',
                [item['message'] for item in found],
            )

    def test_unknown_migration(self):
        self.openstack('vm1', '--explain', '77', status=1)
        self.assertIn('server migration list', self.err)
        for reference in ('77', 'req-77'):
            self.openstack('--explain', reference, status=1)
            self.assertIn('give the server, too', self.err)
