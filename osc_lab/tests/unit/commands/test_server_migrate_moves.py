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

"""A live migration from the request to the truth about it."""

import fixtures

from osc_lab.tests.unit.commands import migrations
from osc_lab.tests.unit import fake_cloud
from osc_lab.tests.unit import fake_libvirt


class TestMigrate(migrations.CommandTest):
    def setUp(self):
        super().setUp()
        # A watch that never ends fails, and does not wait for ever.
        left = iter(range(1000))
        self.useFixture(
            fixtures.MonkeyPatch('time.sleep', lambda seconds: next(left))
        )

    def step(self, status, number=5, **fields):
        return {
            'id': number,
            'uuid': f'uuid-{number}',
            'status': status,
            'migration_type': 'live-migration',
            'instance_uuid': fake_cloud.SERVER,
            'source_compute': 'host1',
            'dest_compute': 'host2',
            'created_at': '2026-01-01T00:00:00',
            'updated_at': '2026-01-01T00:00:09',
            **fields,
        }

    def event_failed(self, event, host, details):
        """Let Nova keep an action with an event that failed."""
        self.cloud.actions['req-1'] = {
            'request_id': 'req-1',
            'action': 'live-migration',
            'start_time': '2026-01-01T00:00:00',
            'events': [
                {
                    'event': event,
                    'host': host,
                    'result': 'Error',
                    'start_time': 'y',
                    'finish_time': 'x',
                    'details': details,
                }
            ],
        }

    def run_through(self, *statuses):
        self.cloud.steps = [self.step(status) for status in statuses]

    def test_moves(self):
        self.run_through('accepted', 'preparing', 'running', 'completed')
        found = self.findings('vm1', '--host', 'host2', '--wait')
        self.assertEqual('outcome', found[0]['check'])
        self.assertIn('Moved from host1 to host2', found[0]['message'])
        self.assertEqual(set(), self.by_result(found))
        [write] = self.cloud.writes()
        self.assertEqual(
            {'os-migrateLive': {'host': 'host2', 'block_migration': 'auto'}},
            write[4],
        )

    def test_nothing_is_done_when_a_check_fails(self):
        self.cloud.server['locked'] = True
        found = self.findings('vm1', '--host', 'host2', '--wait', status=3)
        self.assertEqual({('server-lock', 'vm1')}, self.by_result(found))
        self.assertEqual([], self.cloud.writes())

    def test_a_good_host_is_named_when_others_fail(self):
        self.cloud.services[2]['status'] = 'disabled'
        self.run_through('completed')
        self.openstack('vm1', '--wait')
        [write] = self.cloud.writes()
        self.assertEqual('host2', write[4]['os-migrateLive']['host'])

    def test_the_scheduler_chooses_when_all_pass(self):
        self.run_through('completed')
        self.openstack('vm1', '--wait', '--block-migration')
        [write] = self.cloud.writes()
        self.assertEqual(
            {'host': None, 'block_migration': True},
            write[4]['os-migrateLive'],
        )

    def test_failure_is_a_failure(self):
        self.run_through('preparing', 'failed')
        self.event_failed(
            'compute_pre_live_migration',
            'host2',
            'Traceb\nKeyManagerError: Forbidden',
        )
        found = self.findings(
            'vm1', '--host', 'host2', '--wait', '--no-preflight', status=5
        )
        self.assertEqual(
            {('outcome', 'vm1'), ('volume-secrets', 'vm1')},
            self.by_result(found),
        )
        found = self.findings('vm1', '--explain', '5', status=5)
        self.assertIn(('volume-secrets', 'vm1'), self.by_result(found))
        found = self.findings('--explain', 'req-1', status=5)
        self.assertIn(('volume-secrets', 'vm1'), self.by_result(found))

    def test_moved_and_then_broken(self):
        """What is left behind is told, as after any other move."""
        self.run_through('running', 'error')
        self.cloud.server.update(
            {
                'OS-EXT-SRV-ATTR:host': 'host2',
                'OS-EXT-STS:vm_state': 'error',
            }
        )
        self.event_failed('compute_live_migration', 'host1', 'Error: boom')
        expected = {
            *(('outcome', 'vm1'), ('server-host', 'vm1')),
            *(('port-bindings', 'port-1'), ('allocations', 'vm1')),
        }
        self.cloud.migrations = [self.step('error')]
        found = self.findings('vm1', '--explain', '5', status=5)
        self.assertIn('Nova failed afterwards', found[0]['message'])
        self.assertEqual(expected, self.by_result(found))
        self.assertEqual({('reason', 'vm1')}, self.by_result(found, 'warning'))

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
        self.run_through('preparing', 'error')
        self.event_failed(
            'conductor_live_migrate_instance',
            'conductor',
            'NoValidHost: No valid host was found.',
        )

    def test_no_valid_host_is_explained_by_what_the_checks_see(self):
        self.no_valid_host()
        self.cloud.services[1]['status'] = 'disabled'
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
        expected = {
            ('outcome', 'vm1'),
            ('destination-service', 'host2'),
            ('server-group', 'host2'),
        }
        found = self.findings(
            'vm1', '--host', 'host2', '--wait', '--no-preflight', status=5
        )
        self.assertEqual(expected, self.by_result(found))
        found = self.findings('--explain', '5', status=5)
        self.assertEqual(expected, self.by_result(found))

    def test_no_valid_host_and_nothing_to_see_now(self):
        self.no_valid_host()
        found = self.findings(
            'vm1', '--host', 'host2', '--wait', '--no-preflight', status=5
        )
        self.assertIn(('destination-capacity', 'vm1'), self.by_result(found))
        self.cloud.faults['compute', 'servers/detail'] = 500
        self.cloud.faults['compute', 'os-services'] = 500
        found = self.findings('--explain', '5', status=5)
        self.assertIn(('destination-capacity', 'vm1'), self.by_result(found))

    def test_refusal_names_the_check(self):
        for status, message, check in (
            (409, 'Instance s1 is locked', 'server-lock'),
            (
                409,
                "Cannot 'os-migrateLive' instance s1 while it is in "
                'vm_state stopped',
                'server-state',
            ),
            (403, "Policy doesn't allow it", 'caller-rights'),
            (400, 'Compute host nope could not be found', 'Compute host'),
        ):
            self.cloud.faults['compute', '/action$'] = (status, message)
            self.openstack(
                'vm1', '--host', 'host2', '--no-preflight', status=1
            )
            self.assertIn(check, self.err)

    def test_answer_that_was_lost(self):
        """The conductor may take longer than anybody waits."""
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.migration.start.PATIENCE', 0.0)
        )
        self.cloud.faults['compute', '/action$'] = 504
        for wait in ('--wait', '--no-wait'):
            (found,) = self.findings(
                'vm1', '--host', 'host2', '--no-preflight', wait, status=4
            )
            self.assertEqual('unknown', found['result'])
            self.assertIn('Nobody knows whether', found['message'])
            self.assertIn('server migration list', found['remedy'])
            self.assertIn('Nova may have been asked', self.err)

    def test_without_waiting(self):
        self.run_through('preparing')
        [found] = self.findings('vm1', '--host', 'host2', '--no-wait')
        self.assertIn('--explain req-1', found['remedy'])
        self.assertIn('Nova accepted', self.err)
        self.assertIn('--explain req-1', self.err)

    def test_without_a_word_about_waiting_and_a_terminal(self):
        """Whether it moved is open, and so is the answer."""
        self.run_through('completed')
        [found] = self.findings('vm1', '--host', 'host2', status=4)
        self.assertEqual('unknown', found['result'])
        self.assertIn('Nova accepted', self.err)

    def test_moved_and_something_could_not_be_seen(self):
        self.run_through('completed')
        self.cloud.faults['placement', '/allocations/'] = 500
        found = self.findings(
            'vm1', '--host', 'host2', '--wait', '--no-preflight', status=4
        )
        self.assertEqual('ok', found[0]['result'])
        self.assertEqual(
            {('allocations', 'vm1')}, self.by_result(found, 'unknown')
        )

    def test_time_limit_leaves_it_running(self):
        self.run_through(*['running'] * 50)
        found = self.findings(
            'vm1',
            '--host',
            'host2',
            '--wait',
            '--timeout',
            '0.0001',
            status=4,
        )
        self.assertIn('goes on', found[0]['message'])

    def test_unknown_migration(self):
        self.openstack('vm1', '--explain', '77', status=1)
        self.assertIn('server migration list', self.err)
        for reference in ('77', 'req-77'):
            self.openstack('--explain', reference, status=1)
            self.assertIn('give the server, too', self.err)

    def test_interrupt_aborts(self):
        self.run_through('running', 'running', 'cancelled')
        calls = []

        def sleep(seconds):
            calls.append(seconds)
            if len(calls) == 1:
                raise KeyboardInterrupt

        self.useFixture(fixtures.MonkeyPatch('time.sleep', sleep))
        found = self.findings('vm1', '--host', 'host2', '--wait', status=130)
        self.assertEqual({('outcome', 'vm1')}, self.by_result(found))
        self.assertIn('DELETE', [item[1] for item in self.cloud.writes()])

    def interrupt_at(self, *calls):
        count = []

        def sleep(seconds):
            count.append(seconds)
            if len(count) in calls:
                raise KeyboardInterrupt

        self.useFixture(fixtures.MonkeyPatch('time.sleep', sleep))

    def test_interrupt_before_nova_began_aborts_later(self):
        self.run_through('accepted', 'running', 'running', 'cancelled')
        compute = self.cloud
        newest, calls = compute._migrations, []

        def migrations(method, query, body):
            calls.append(query)
            # The record comes late.
            if len(calls) < 4:
                return 200, {'migrations': []}
            return newest(method, query, body)

        compute._migrations = migrations
        self.interrupt_at(1)
        self.openstack('vm1', '--host', 'host2', '--wait', status=130)
        self.assertIn('DELETE', [item[1] for item in self.cloud.writes()])

    def test_second_interrupt_leaves_it_running(self):
        self.run_through(*['running'] * 20)
        self.interrupt_at(1, 2)
        found = self.findings('vm1', '--host', 'host2', '--wait', status=130)
        self.assertIn('goes on', found[0]['message'])
        self.assertIn('--explain 5', found[0]['remedy'])

    def test_interrupt_after_the_end_says_how_to_go_on(self):
        self.run_through('running', 'failed')
        self.cloud.server['OS-EXT-STS:task_state'] = 'migrating'
        self.interrupt_at(2)
        self.openstack('vm1', '--no-preflight', '--wait', status=130)
        self.assertIn('--explain req-1', self.err)

    def test_cloud_that_falls_silent(self):
        self.run_through(*['running'] * 20)
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.migration.drive.PATIENCE', 0.0)
        )
        compute, calls = self.cloud, []
        newest = compute._migrations

        def migrations(method, query, body):
            calls.append(query)
            if len(calls) > 3:
                return 500, {'error': {'message': 'out of order'}}
            return newest(method, query, body)

        compute._migrations = migrations
        found = self.findings('vm1', '--host', 'host2', '--wait', status=4)
        self.assertIn('goes on', found[0]['message'])
        self.assertIn('Lost sight', self.err)

    def port_down(self, before, text):
        self.run_through('completed')
        self.cloud.ports[0]['status'] = 'DOWN'
        self.cloud.ports[0]['description'] = before
        found = self.findings('vm1', '--host', 'host2', '--wait')
        self.assertIn(
            ('port-status', 'port-1'), self.by_result(found, 'warning')
        )
        (item,) = [i for i in found if i['check'] == 'port-status']
        self.assertIn(f'--description {text} port-1', item['remedy'])

    def test_port_down(self):
        self.port_down('', "' '")

    def test_port_down_again(self):
        self.port_down("it's ", """'it'"'"'s'""")

    def test_repair_needs_libvirt(self):
        self.cloud.server['OS-EXT-STS:vm_state'] = 'error'
        self.findings('vm1', '--repair', status=3)
        self.assertEqual([], self.cloud.writes())

    def test_bad_options(self):
        self.openstack('vm1', '--timeout', 'soon', status=2)
        self.openstack('vm1', '--preflight', '--no-preflight', status=2)
