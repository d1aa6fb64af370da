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

"""The command, in the real shell, against answers at the HTTP level."""

import json

import fixtures
import testtools

from osc_lab.tests.unit import fake_cloud

LIVE = ('server', 'migrate', 'live')


class CommandTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.cloud = fake_cloud.Cloud()
        self.shell = None

    def openstack(self, *argv, status=0, settings=None):
        if self.shell is None:
            self.shell = self.useFixture(
                fake_cloud.Mocked(self.cloud, settings)
            )
        code, out, err = self.shell.run(*LIVE, *argv)
        self.assertNotIn('Traceback', out + err)
        self.assertNotIn('canary', out + err)
        self.assertEqual(status, code, out + err)
        self.err = err
        return out

    def findings(self, *argv, **kwargs):
        return [
            {key.lower(): value for key, value in item.items()}
            for item in json.loads(
                self.openstack(*argv, '-f', 'json', **kwargs)
            )
        ]

    def by_result(self, findings, result='failed'):
        return {
            (item['check'], item['subject'])
            for item in findings
            if item['result'] == result
        }


class TestPreflight(CommandTest):
    def test_clean_pair(self):
        found = self.findings('vm1', '--host', 'host2', '--preflight')
        self.assertEqual(set(), self.by_result(found))
        self.assertEqual(set(), self.by_result(found, 'unknown'))
        self.assertEqual([], self.cloud.writes())

    def test_all_hosts_are_ranked_by_room(self):
        found = self.findings(fake_cloud.SERVER, '--preflight')
        ranked = [
            item['subject'] for item in found if item['check'] == 'candidate'
        ]
        self.assertEqual(['host3', 'host2'], ranked)
        self.assertEqual([], self.cloud.writes())

    def test_failing_host_is_last_and_says_why(self):
        self.cloud.services[2]['state'] = 'down'
        found = self.findings('vm1', '--preflight')
        last = [i for i in found if i['check'] == 'candidate'][-1]
        self.assertEqual(
            ('host3', 'failed'), (last['subject'], last['result'])
        )
        self.assertIn('destination-service', last['message'])

    def test_no_host_passes(self):
        for service in self.cloud.services[1:]:
            service['status'] = 'disabled'
        self.openstack('vm1', '--preflight', status=3)

    def test_capacity_says_what_is_missing(self):
        self.cloud.excluded.add(fake_cloud.provider(2))
        self.cloud.usages['MEMORY_MB'] = 15900
        found = self.findings(
            'vm1', '--host', 'host2', '--preflight', status=3
        )
        self.assertEqual(
            {('destination-capacity', 'host2')}, self.by_result(found)
        )
        [text] = [
            i['message'] for i in found if i['check'] == 'destination-capacity'
        ]
        self.assertIn('156 MEMORY_MB too little', text)

    def test_requests_do_not_grow_with_hosts(self):
        counts = []
        for hosts in (3, 60):
            self.cloud = fake_cloud.Cloud(hosts)
            if self.shell:
                self.shell.cloud = self.cloud
                self.shell.http.reset()
            self.openstack('vm1', '--preflight')
            counts.append(len(self.shell.http.request_history))
        self.assertEqual(counts[0], counts[1])
        self.assertLessEqual(counts[0], 17)

    def test_bandwidth_of_ports_is_asked_of_placement(self):
        bandwidth = {'NET_BW_EGR_KILOBIT_PER_SEC': 1000}
        traits = ['CUSTOM_PHYSNET_P', 'CUSTOM_VNIC_TYPE_NORMAL']
        self.cloud.ports[0]['resource_request'] = {
            'request_groups': [
                {'id': 'g1', 'required': traits, 'resources': bandwidth},
                {'id': 'g2', 'resources': {'NET_PACKET_RATE_KILOPACKET': 5}},
            ],
            'same_subtree': ['g1', 'g2'],
        }
        self.cloud.excluded.add(fake_cloud.provider(2))
        found = self.findings(
            'vm1', '--host', 'host2', '--preflight', status=3
        )
        [query] = [
            item[3] for item in self.cloud.log if 'candidates' in item[2]
        ]
        self.assertEqual(
            {
                'resources_g1': 'NET_BW_EGR_KILOBIT_PER_SEC:1000',
                'required_g1': ','.join(traits),
                'resources_g2': 'NET_PACKET_RATE_KILOPACKET:5',
                'group_policy': 'none',
                'same_subtree': '_g1,_g2',
            },
            {k: v for k, v in query.items() if '_g' in k or 'same' in k}
            | {'group_policy': query['group_policy']},
        )
        [text] = [
            i['message'] for i in found if i['check'] == 'destination-capacity'
        ]
        self.assertIn('1000 NET_BW_EGR_KILOBIT_PER_SEC', text)
        self.cloud.ports[0]['resource_request'] = {
            'required': traits,
            'resources': bandwidth,
        }
        self.cloud.log.clear()
        self.openstack('vm1', '--preflight')
        [query] = [
            item[3] for item in self.cloud.log if 'candidates' in item[2]
        ]
        self.assertIn('resources_port-1', query)
        self.assertNotIn('group_policy', query)

    def test_unreadable_secret(self):
        self.cloud.add_volume('v1', encrypted=True, encryption_key_id='s1')
        self.cloud.secrets['s1'] = 403
        found = self.findings(
            'vm1', '--host', 'host2', '--preflight', status=3
        )
        [item] = [i for i in found if i['check'] == 'volume-secrets']
        self.assertEqual('failed', item['result'])
        self.assertIn(
            'openstack acl user add --user u-admin --operation-type read '
            'http://key-manager.test/v1/secrets/s1',
            item['remedy'],
        )

    def test_service_that_fails_is_unknown(self):
        for path, check in (
            ('aggregates', 'aggregates-and-zone'),
            ('allocation_candidates', 'destination-capacity'),
        ):
            self.cloud.faults = {
                (name, path): 500 for name in fake_cloud.SERVICES
            }
            found = self.findings(
                'vm1', '--host', 'host2', '--preflight', status=4
            )
            self.assertEqual(
                {(check, 'host2')}, self.by_result(found, 'unknown')
            )

    def test_ignored_failure_is_a_warning(self):
        self.cloud.server['locked'] = True
        args = ('vm1', '--host', 'host2', '--preflight')
        self.openstack(*args, status=3)
        self.openstack(*args, '--ignore-check', 'server-lock')
        self.openstack(*args, '--ignore-check', 'all', '--strict', status=4)
        self.openstack(*args, '--skip-check', 'server-lock')

    def test_one_check_alone(self):
        found = self.findings(
            'vm1', '--host', 'host2', '--preflight', '--check', 'server-lock'
        )
        self.assertEqual(['server-lock'], [i['check'] for i in found])

    def test_unknown_names(self):
        self.openstack('vm1', '--preflight', '--check', 'nope', status=2)
        self.openstack('other', '--preflight', status=1)
        self.openstack('vm1', '--host', 'nope', '--preflight', status=1)
        self.openstack('--preflight', status=2)

    def test_name_that_two_servers_have(self):
        self.cloud.others.append({**self.cloud.server, 'id': 'other'})
        self.openstack('vm1', '--preflight', status=1)
        self.assertIn('2 servers', self.err)

    def test_name_with_escape_sequence(self):
        self.cloud.server['name'] = 'evil\x1b[2J'
        self.openstack(fake_cloud.SERVER, '--preflight')


class TestListChecks(CommandTest):
    def test_needs_no_cloud(self):
        out = json.loads(self.openstack('--list-checks', '-f', 'json'))
        self.assertEqual([], self.shell.http.request_history)
        for item in out:
            for column in ('ID', 'Question', 'Source', 'Reason', 'Remedy'):
                self.assertTrue(item[column], item)
        self.assertIn('server-lock', [item['ID'] for item in out])


class TestMigrate(CommandTest):
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
        self.cloud.actions['req-1'] = {
            'request_id': 'req-1',
            'action': 'live-migration',
            'start_time': '2026-01-01T00:00:00',
            'events': [
                {
                    'event': 'compute_pre_live_migration',
                    'host': 'host2',
                    'result': 'Error',
                    'finish_time': 'x',
                    'start_time': 'y',
                    'details': 'Traceb\nKeyManagerError: Forbidden',
                }
            ],
        }
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

    def test_refused_by_the_conductor(self):
        self.cloud.actions['req-1'] = {
            'request_id': 'req-1',
            'events': [
                {
                    'event': 'conductor_live_migrate_instance',
                    'host': 'conductor',
                    'result': 'Error',
                    'finish_time': 'x',
                    'details': 'NoValidHost: No valid host was found.',
                }
            ],
        }
        found = self.findings(
            'vm1', '--host', 'host2', '--wait', '--no-preflight', status=5
        )
        self.assertIn(('destination-capacity', 'vm1'), self.by_result(found))

    def no_valid_host(self):
        self.run_through('preparing', 'error')
        self.cloud.actions['req-1'] = {
            'request_id': 'req-1',
            'action': 'live-migration',
            'start_time': '2026-01-01T00:00:00',
            'events': [
                {
                    'event': 'conductor_live_migrate_instance',
                    'host': 'conductor',
                    'result': 'Error',
                    'finish_time': 'x',
                    'details': 'NoValidHost: No valid host was found.',
                }
            ],
        }

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

    def test_without_waiting(self):
        self.run_through('preparing')
        [found] = self.findings('vm1', '--host', 'host2', '--no-wait')
        self.assertIn('--explain req-1', found['remedy'])

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
        self.openstack('--explain', 'req-77', status=1)

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
        self.run_through('running', 'completed')
        self.cloud.server['OS-EXT-STS:task_state'] = 'migrating'
        self.interrupt_at(2)
        self.openstack('vm1', '--no-preflight', '--wait', status=130)
        self.assertIn('--explain req-1', self.err)

    def test_cloud_that_falls_silent(self):
        self.run_through(*['running'] * 20)
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

    def test_left_over_binding_and_port_down(self):
        self.run_through('completed')
        self.cloud.ports[0]['status'] = 'DOWN'
        found = self.findings('vm1', '--host', 'host2', '--wait')
        self.assertIn(
            ('port-status', 'port-1'), self.by_result(found, 'warning')
        )

    def test_repair_needs_libvirt(self):
        self.cloud.server['OS-EXT-STS:vm_state'] = 'error'
        self.findings('vm1', '--repair', status=3)
        self.assertEqual([], self.cloud.writes())

    def test_bad_options(self):
        self.openstack('vm1', '--timeout', 'soon', status=2)
        self.openstack('vm1', '--preflight', '--no-preflight', status=2)


class TestHook(CommandTest):
    def stock(self, *argv, status=0):
        if self.shell is None:
            self.shell = self.useFixture(fake_cloud.Mocked(self.cloud))
        code, out, err = self.shell.run('server', 'migrate', *argv)
        self.assertNotIn('Traceback', out + err)
        self.assertEqual(status, code, out + err)
        return out + err

    def test_stops_before_anything_is_done(self):
        self.cloud.server['locked'] = True
        out = self.stock('--live-migration', '--preflight', 'vm1', status=3)
        self.assertIn('server-lock', out)
        self.assertEqual([], self.cloud.writes())

    def test_goes_on_when_all_is_well(self):
        self.stock(
            *('--live-migration', '--host', 'host2', '--preflight'), 'vm1'
        )
        self.assertEqual(1, len(self.cloud.writes()))

    def test_is_off(self):
        self.cloud.server['locked'] = True
        self.stock('--live-migration', '--host', 'host2', 'vm1')
        self.assertEqual(1, len(self.cloud.writes()))

    def test_has_no_meaning_for_a_cold_migration(self):
        self.stock('--preflight', 'vm1', status=1)
        self.assertEqual([], self.cloud.writes())
