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

"""Live migration in clouds that are older, or that tell less."""

import copy
import re

import fixtures

from osc_lab.tests.unit.commands import migrations
from osc_lab.tests.unit import fake_cloud

FIXED_KEY = '00000000-0000-0000-0000-000000000000'


class TestSecrets(migrations.CommandTest):
    """Whether the destination may read the key of a volume."""

    def check(self, status=0, **volume):
        self.cloud.volumes.clear()
        self.cloud.server['os-extended-volumes:volumes_attached'].clear()
        self.cloud.add_volume('v1', encrypted=True, **volume)
        (found,) = self.findings(
            *('vm1', '--host', 'host2', '--preflight'),
            *('--check', 'volume-secrets'),
            status=status,
        )
        return found['result'], found['message']

    def test_key_that_may_be_read(self):
        self.cloud.secrets['k1'] = 200
        self.assertEqual('ok', self.check(encryption_key_id='k1')[0])
        # Older clouds name it with the encryption alone.
        self.assertEqual('ok', self.check(key='k1')[0])

    def test_key_that_may_not_or_is_gone(self):
        for status in (401, 403, 404):
            self.cloud.secrets['k1'] = status
            self.assertEqual('failed', self.check(3, key='k1')[0], status)

    def test_shared_key_of_the_hosts(self):
        result, message = self.check(key=FIXED_KEY)
        self.assertNotEqual('failed', result)
        self.assertIn('fixed_key', message)

    def test_what_nobody_tells(self):
        self.assertEqual('unknown', self.check(4)[0])
        self.cloud.secrets['k1'] = 500
        result, message = self.check(4, key='k1')
        self.assertEqual('unknown', result)
        self.assertIn('500', message)


class TestVersions(migrations.CommandTest):
    def nova(self, maximum):
        self.useFixture(
            fixtures.MonkeyPatch(
                'osc_lab.tests.unit.fake_cloud.SERVICES',
                {**fake_cloud.SERVICES, 'compute': ('v2.1', maximum)},
            )
        )

    def migrate(self, *argv, status=0):
        self.openstack(
            *('vm1', '--host', 'host2', '--no-preflight', '--no-wait'),
            *argv,
            status=status,
        )
        return [item[4].get('os-migrateLive') for item in self.cloud.writes()]

    def test_that_ask_for_the_kind(self):
        self.nova('2.20')
        self.assertEqual([], self.migrate(status=1))
        self.assertIn('--block-migration', self.err)
        self.assertEqual(
            [
                {
                    'host': 'host2',
                    'block_migration': True,
                    'disk_over_commit': False,
                }
            ],
            self.migrate('--block-migration'),
        )

    def test_that_nobody_tells(self):
        """Without a version Nova would force the host."""
        self.useFixture(fixtures.MockPatch('time.sleep'))
        self.shell = self.useFixture(fake_cloud.Mocked(self.cloud))
        self.shell.http.get(
            re.compile('http://compute.test(/v2.1)?/?$'), status_code=502
        )
        self.assertEqual([], self.migrate('--block-migration', status=1))
        self.assertIn('does not tell its versions', self.err)

    def test_that_force_unless_told(self):
        self.nova('2.40')
        (body,) = self.migrate()
        self.assertEqual(
            {'host': 'host2', 'block_migration': 'auto', 'force': False}, body
        )

    def test_that_name_no_groups(self):
        self.nova('2.60')
        (found,) = self.findings(
            *('vm1', '--host', 'host2', '--preflight'),
            *('--check', 'server-group'),
            status=4,
        )
        self.assertEqual('unknown', found['result'])
        self.assertIn('2.71', found['message'])

    def test_that_know_no_shares(self):
        for version, times in (('2.96', 0), ('2.97', 1)):
            self.nova(version)
            self.openstack('vm1', '--host', 'host2', '--preflight')
            asked = [item.path for item in self.shell.http.request_history]
            shares = [path for path in asked if path.endswith('/shares')]
            self.assertEqual(times, len(shares), version)

    def features(self):
        (found,) = self.findings(
            *('vm1', '--host', 'host2', '--preflight'),
            *('--check', 'server-features'),
        )
        self.assertEqual('skipped', found['result'])
        self.assertIn('--libvirt-uri', found['remedy'])
        return found['message']

    def test_that_show_no_properties_of_an_image(self):
        self.nova('2.97')
        del self.cloud.server['image']['properties']
        self.assertIn('2.98', self.features())

    def test_that_show_no_image_of_a_volume(self):
        self.cloud.server['image'] = ''
        self.assertIn('booted from a volume', self.features())


class TestNames(migrations.CommandTest):
    def test_two_servers_of_one_name(self):
        self.cloud.others = [{**self.cloud.server, 'id': 'other'}]
        self.openstack('vm1', '--preflight', status=1)
        self.assertIn('2 servers are named "vm1"', self.err)

    def test_none(self):
        self.openstack('vm', '--preflight', status=1)
        self.assertIn('no server "vm"', self.err)


class TestManager(migrations.CommandTest):
    """A manager of the project may migrate, and sees no hosts."""

    def setUp(self):
        super().setUp()
        self.cloud.roles = ('manager', 'member', 'reader')
        self.cloud.server['tenant_id'] = 'p-admin'
        for name in list(self.cloud.server):
            if name.startswith('OS-EXT-SRV-ATTR:'):
                del self.cloud.server[name]

    def test_hosts_that_nobody_shows(self):
        found = self.findings('vm1', '--preflight', status=4)
        self.assertEqual(set(), self.by_result(found))
        by_check = {item['check']: item for item in found}
        item = by_check['destination-service']
        self.assertEqual(('vm1', 'unknown'), (item['subject'], item['result']))
        self.assertIn('refused', item['message'])
        self.assertEqual(
            {('destination-service', 'vm1'), ('source-service', 'vm1')},
            self.by_result(found, 'unknown'),
        )
        self.assertEqual('warning', by_check['caller-rights']['result'])
        self.assertEqual('skipped', by_check['server-group']['result'])

    def test_migrates(self):
        self.openstack('vm1', '--no-wait')
        self.assertEqual(1, len(self.cloud.writes()))
        (body,) = [item[4]['os-migrateLive'] for item in self.cloud.writes()]
        self.assertIsNone(body['host'])

    def test_of_an_administrator_all_projects_are_asked(self):
        self.cloud.roles = ('admin',)
        self.openstack('vm1', '--preflight', status=4)
        queries = [
            item[3] for item in self.cloud.log if item[2] == '/servers/detail'
        ]
        self.assertEqual(['1'], [query['all_tenants'] for query in queries])

    def test_other_errors_are_told(self):
        self.cloud.faults = {('compute', '/servers/detail'): 500}
        self.openstack('vm1', '--preflight', status=1)
        self.assertIn('500', self.err)


class TestMeanwhile(migrations.CommandTest):
    """Something happens to the server while it is looked at."""

    def happens(self, **fields):
        """Let it be so, and host2 bad, when the server has been read."""
        answer = self.cloud._one_server
        self.looks = 0

        def read(*request):
            found = copy.deepcopy(answer(*request))
            self.looks += 1
            self.cloud.server.update(fields)
            self.cloud.services[1]['status'] = 'disabled'
            return found

        self.cloud._one_server = read

    def found(self):
        found = self.findings(
            *(fake_cloud.SERVER, '--host', 'host2', '--wait'), status=3
        )
        self.assertEqual([], self.cloud.writes())
        return found

    def test_migration_that_begins(self):
        """What it does on host2 is not what stands in the way."""
        self.happens(**{'OS-EXT-STS:task_state': 'migrating'})
        self.assertIn(('server-state', 'vm1'), self.by_result(self.found()))

    def test_migration_that_ends(self):
        self.happens(**{'OS-EXT-SRV-ATTR:host': 'host2'})
        self.assertIn('runs there already', str(self.found()))

    def test_nothing(self):
        """It is looked at once more, and no more."""
        self.happens()
        self.assertEqual(
            {('destination-service', 'host2')}, self.by_result(self.found())
        )
        self.assertEqual(2, self.looks)
