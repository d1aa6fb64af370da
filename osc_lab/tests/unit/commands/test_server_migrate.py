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

import itertools
import json

from osc_lab.tests.unit.commands import migrations
from osc_lab.tests.unit import fake_cloud


class TestPreflight(migrations.CommandTest):
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

    def requests(self, hosts, status=0):
        self.cloud = fake_cloud.Cloud(hosts)
        if status:
            for service in self.cloud.services:
                service['status'] = 'disabled'
        if self.shell:
            self.shell.cloud = self.cloud
            self.shell.http.reset()
        self.openstack('vm1', '--preflight', status=status)
        return [item.path for item in self.shell.http.request_history]

    def test_requests_do_not_grow_with_hosts(self):
        few, many = self.requests(3), self.requests(60)
        self.assertEqual(sorted(few), sorted(many))
        self.assertLessEqual(len(few), 15)

    def test_failed_preflight_reads_the_server_again(self):
        """As a migration may have begun meanwhile; nothing else changes."""
        found = self.requests(3, status=3)
        for path in self.requests(3):
            found.remove(path)
        self.assertEqual([f'/v2.1/servers/{fake_cloud.SERVER}'], found)

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

    def test_pinned_server_and_hosts_without_dedicated_cpus(self):
        """As the scheduler asks, whose second question finds them."""
        specs = self.cloud.server['flavor']['extra_specs']
        specs['hw:cpu_policy'] = 'dedicated'
        found = self.findings(
            *('vm1', '--host', 'host2', '--preflight'),
            *('--check', 'destination-capacity'),
        )
        self.assertEqual(['warning'], [item['result'] for item in found])
        asked = [
            {
                part.partition(':')[0]
                for part in item[3]['resources'].split(',')
            }
            & {'PCPU', 'VCPU'}
            for item in self.cloud.log
            if 'candidates' in item[2]
        ]
        self.assertEqual([{'PCPU'}, {'VCPU'}], asked)
        self.cloud.inventories['PCPU'] = self.cloud._inventory(8, 1.0)
        (item,) = self.findings(
            *('vm1', '--host', 'host2', '--preflight'),
            *('--check', 'destination-capacity'),
        )
        self.assertEqual('ok', item['result'])

    def test_groups_of_the_flavor_are_not_asked_of_placement(self):
        specs = self.cloud.server['flavor']['extra_specs']
        specs['resources1:VGPU'] = '1'
        found = self.findings(
            'vm1', '--host', 'host2', '--preflight', status=4
        )
        self.assertEqual(
            {('destination-capacity', 'host2')},
            self.by_result(found, 'unknown'),
        )
        self.assertEqual(
            [], [item for item in self.cloud.log if 'candidates' in item[2]]
        )

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

    def test_secret_that_nobody_knows_about(self):
        """What is neither given nor refused says nothing."""
        self.cloud.add_volume('v1', encrypted=True, encryption_key_id='s1')
        for status, result in (
            *((200, 'ok'), (204, 'ok'), (401, 'failed'), (404, 'failed')),
            *((status, 'unknown') for status in (300, 400, 406, 413, 429)),
            *((status, 'unknown') for status in (500, 503)),
        ):
            self.cloud.secrets['s1'] = status
            [item] = self.findings(
                *('vm1', '--host', 'host2', '--preflight'),
                *('--check', 'volume-secrets'),
                status={'ok': 0, 'failed': 3, 'unknown': 4}[result],
            )
            self.assertEqual(result, item['result'], status)
            if result == 'unknown':
                self.assertIn(f'Barbican answered {status}.', item['message'])

    def test_shares_that_nobody_knows_about(self):
        for status, result in (
            *((200, 'ok'), (404, 'ok')),
            *((400, 'unknown'), (403, 'unknown'), (409, 'unknown')),
        ):
            self.cloud.shares = status
            [item] = self.findings(
                *('vm1', '--host', 'host2', '--preflight'),
                *('--check', 'server-features'),
                status=0 if result == 'ok' else 4,
            )
            self.assertEqual(result, item['result'], status)
            if result == 'unknown':
                self.assertIn('shares of the server', item['message'])

    def test_hypervisor_that_nova_refuses(self):
        for changes, words in (
            ({'hypervisor_version': 7002021}, 'older than 7.2.22'),
            ({'hypervisor_type': 'LXC'}, 'there is LXC'),
        ):
            known = dict(self.cloud.hypervisors[1])
            self.cloud.hypervisors[1].update(changes)
            found = self.findings(
                'vm1', '--host', 'host2', '--preflight', status=3
            )
            self.cloud.hypervisors[1] = known
            self.assertEqual(
                {('qemu-version', 'host2')}, self.by_result(found)
            )
            [item] = [i for i in found if i['check'] == 'qemu-version']
            self.assertIn(words, item['message'])

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
        for option in ('--check', '--skip-check'):
            self.openstack('vm1', '--preflight', option, 'nope', status=2)
            self.assertIn('there is no check "nope"', self.err)
        self.assertEqual([], self.shell.http.request_history)
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


class TestListChecks(migrations.CommandTest):
    def test_needs_no_cloud(self):
        out = json.loads(self.openstack('--list-checks', '-f', 'json'))
        self.assertEqual([], self.shell.http.request_history)
        for item in out:
            for column in ('ID', 'Question', 'Source', 'Reason', 'Remedy'):
                self.assertTrue(item[column], item)
        self.assertIn('server-lock', [item['ID'] for item in out])

    def test_of_some(self):
        argv = ('--list-checks', '--check', 'cpu', '--check', 'mirrors')
        out = json.loads(self.openstack(*argv, '-f', 'json'))
        self.assertEqual(['cpu', 'mirrors'], [item['ID'] for item in out])
        self.openstack('--list-checks', '--check', 'nope', status=2)


class TestWrongCommandLine(migrations.CommandTest):
    """Nobody is asked, let alone that something is changed."""

    def refused(self, *argv):
        self.openstack('vm1', *argv, status=2)
        self.assertEqual([], self.shell.http.request_history, argv)
        return self.err

    def test_one_thing_at_a_time(self):
        modes = (
            ('--preflight',),
            ('--no-preflight',),
            ('--explain', '5'),
            ('--repair',),
            ('--list-checks',),
        )
        for one, other in itertools.combinations(modes, 2):
            for argv in ((*one, *other), (*other, *one)):
                self.assertIn('not allowed with', self.refused(*argv), argv)

    def test_what_would_have_no_effect(self):
        checks = (
            *(('--check', 'cpu'), ('--skip-check', 'cpu')),
            *(('--ignore-check', 'all'), ('--strict',)),
            *(('--forecast',), ('--forecast', '--bandwidth', '1')),
        )
        watch = (
            *(('--wait',), ('--no-wait',)),
            *(('--timeout', '9'), ('--on-stall', 'abort')),
        )
        where = (
            *(('--host', 'host2'), ('--block-migration',)),
            ('--shared-migration',),
        )
        for mode, others in (
            (('--no-preflight',), checks),
            (('--explain', '5'), (*checks, *watch)),
            (('--repair',), (*checks, *watch, *where)),
            (('--no-wait',), watch[2:]),
        ):
            for other in others:
                self.assertIn(
                    f'{other[0]} has no effect with {mode[0]}',
                    self.refused(*mode, *other),
                )

    def test_bandwidth_of_no_forecast(self):
        self.assertIn(
            '--bandwidth has no effect without --forecast',
            self.refused('--bandwidth', '100'),
        )

    def test_numbers(self):
        for value in ('soon', '0', '-1', 'nan', '1e9', ''):
            self.assertIn(
                f'--timeout: "{value}" is not a number above 0',
                self.refused(f'--timeout={value}'),
            )
            self.assertIn(
                f'--bandwidth: "{value}" is not a number above 0',
                self.refused('--forecast', f'--bandwidth={value}'),
            )

    def test_no_migration_to_explain(self):
        """As from an empty variable of a script."""
        self.assertIn('no migration was named', self.refused('--explain', ''))

    def test_what_is_added_to_the_command_line_of_a_migration(self):
        argv = ('--host', 'host2', '--wait', '--timeout', '9', '--on-stall')
        self.openstack('vm1', *argv, 'abort', '--preflight')
        self.assertEqual([], self.cloud.writes())


class TestHook(migrations.CommandTest):
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

    def test_goes_on_when_something_could_not_be_seen(self):
        """As "server migrate live" does, with the report before."""
        self.cloud.faults['placement', '/allocation_candidates'] = 500
        argv = ('--host', 'host2', '--preflight')
        out = self.openstack('vm1', *argv, status=4)
        self.assertIn('unknown', out)
        out = self.stock('--live-migration', *argv, 'vm1')
        self.assertIn('unknown', out)
        self.assertEqual(1, len(self.cloud.writes()))

    def test_stops_when_nothing_could_be_seen(self):
        argv = ('--live-migration', '--host', 'host2', '--preflight')
        self.stock(*argv, 'nobody', status=1)
        self.assertEqual([], self.cloud.writes())

    def test_is_off(self):
        self.cloud.server['locked'] = True
        self.stock('--live-migration', '--host', 'host2', 'vm1')
        self.assertEqual(1, len(self.cloud.writes()))

    def test_has_no_meaning_for_a_cold_migration(self):
        out = self.stock('--preflight', 'vm1', status=2)
        self.assertIn('--preflight needs --live-migration', out)
        self.assertEqual([], self.cloud.writes())
