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

"""The audit, through the whole shell, at the HTTP level."""

from unittest import mock

import testtools

from osc_lab.encryption import mark
from osc_lab.encryption import model
from osc_lab.tests.unit import cinder

GOOD = {
    'provider': 'luks',
    'cipher': 'aes-xts-plain64',
    'key_size': 256,
    'control_location': 'front-end',
}


class TestAudit(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(cinder.Cloud())
        patcher = mock.patch('time.sleep')
        patcher.start()
        self.addCleanup(patcher.stop)

    def audit(self, *argv, status=3):
        run = self.rows(*argv, status=status)
        return [row['Check'] for row in run.json]

    def rows(self, *argv, status):
        run = cinder.Run(
            *('volume', 'encryption', 'audit', '-f', 'json', *argv)
        )
        self.assertNotIn('Traceback', str(run))
        self.assertEqual(status, run.status, str(run))
        self.assertEqual([], self.cloud.writes)
        return run

    def volume(self, type_, encrypted, key_id, **more):
        volume_id = f'v{len(self.cloud.volumes)}'
        self.cloud.volumes[volume_id] = {
            'id': volume_id,
            'name': 'x',
            'size': 1,
            'status': 'available',
            'volume_type_id': type_['id'],
            'encrypted': encrypted,
            'encryption_key_id': key_id,
            **more,
        }

    def test_clean(self):
        good = self.cloud.add('LUKS', 'Encrypted', **GOOD)
        plain = self.cloud.add('plain', 'Not encrypted')
        self.cloud.add('fast', 'unencrypted, without encryption')
        self.volume(good, True, 'k1')
        self.volume(plain, False, None)
        self.assertEqual([], self.audit(status=0))

    def test_types(self):
        for check, name, description, encryption in (
            ('type-not-encrypted', 'LUKS-gold', '', {}),
            ('type-not-encrypted', 'a', 'encrypted disks', {}),
            ('type-unfinished', 'b', str(mark.new('h', 1)), {}),
            ('type-no-op', 'c', '', {'provider': 'NoOpEncryptor'}),
            ('type-provider', 'd', '', {'provider': 'LuksEncryptor'}),
            ('type-provider', 'e', '', {'provider': 'plain'}),
            ('type-provider', 'f', '', {'provider': 'lukz'}),
            (
                'type-control-location',
                'g',
                '',
                {'control_location': 'back-end'},
            ),
            ('type-cipher', 'h', '', {'cipher': None}),
            (
                'type-cipher',
                'i',
                '',
                {'cipher': 'aes-cbc-plain', 'key_size': 256},
            ),
            ('type-key-size', 'j', '', {'key_size': 128}),
            ('type-key-size', 'k', '', {'key_size': None}),
        ):
            self.cloud.types.clear()
            self.cloud.encryptions.clear()
            self.cloud.add(
                name,
                description,
                **({**GOOD, **encryption} if encryption else {}),
            )
            found = cinder.Run('volume', 'encryption', 'audit', '-f', 'json')
            self.assertEqual(
                [check], [row['Check'] for row in found.json], name
            )

    def test_extra_specs(self):
        item = self.cloud.add('gold')
        item['extra_specs'] = {'encryption-provider': 'luks'}
        self.assertEqual(['type-extra-specs'], self.audit())

    def test_type_that_goes_meanwhile(self):
        gone = self.cloud.add('LUKS-gold')
        self.cloud.add('a', 'encrypted')
        self.cloud.http.get(
            f'{cinder.CINDER}/types/{gone["id"]}/encryption',
            status_code=404,
            json={'itemNotFound': {'message': 'no such type'}},
        )
        self.assertEqual(['type-not-encrypted'], self.audit())

    def test_twins(self):
        self.cloud.add('t', **GOOD)
        self.cloud.add('t', **GOOD)
        self.assertEqual(['type-twins'], self.audit())

    def test_defaults(self):
        item = self.cloud.add('t')
        self.cloud.default = item['id']
        self.cloud.defaults = {'p9': item['id']}
        self.assertEqual(['default-type'] * 2, self.audit(status=0))
        self.assertEqual(
            ['default-type'] * 2, self.audit('--strict', status=4)
        )

    def test_own_default_is_not_that_of_every_project(self):
        item = self.cloud.add('t')
        self.cloud.default = item['id']
        self.cloud.defaults = {'p1': item['id']}
        run = self.rows(status=4)
        self.assertEqual(
            [('default-type', 'warning'), ('default-type', 'unknown')],
            [(row['Check'], row['Result']) for row in run.json],
        )
        self.assertIn('1 warnings, 1 unknown', run.stderr)

    def test_defaults_that_the_caller_may_not_see(self):
        self.cloud.default = self.cloud.add('t')['id']
        self.cloud.http.get(
            cinder.CINDER + '/default-types', status_code=403, json={}
        )
        own, unseen = self.rows(status=4).json
        self.assertIn('default of project p1', own['Message'])
        self.assertEqual('unknown', unseen['Result'])

    def test_default_that_does_not_exist(self):
        """Cinder answers 500; the rest is looked at all the same."""
        self.cloud.http.get(
            cinder.CINDER + '/types/default', status_code=500, json={}
        )
        self.assertEqual(['default-type'], self.audit(status=4))
        self.cloud.add('LUKS-gold')
        self.volume(self.cloud.add('t', **GOOD), True, None)
        self.assertEqual(
            ['type-not-encrypted', 'default-type', 'volume-zero-key'],
            self.audit(),
        )

    def test_volumes(self):
        good = self.cloud.add('LUKS', **GOOD)
        self.volume(good, False, None)
        self.volume(good, True, None)
        self.volume(good, True, None, status='creating')
        self.assertEqual(
            ['volume-not-encrypted', 'volume-zero-key'], self.audit()
        )

    def test_zero_key(self):
        self.volume(self.cloud.add('t', **GOOD), True, model.ZERO_KEY)
        self.assertEqual(['volume-zero-key'], self.audit(status=0))

    def test_one_type_alone(self):
        self.cloud.add('LUKS-gold')
        good = self.cloud.add('t', **GOOD)
        self.volume(self.cloud.add('u', **GOOD), True, None)
        self.assertEqual([], self.audit('--type', 't', status=0))
        self.assertEqual([], self.audit('--type', good['id'], status=0))
        run = cinder.Run('volume', 'encryption', 'audit', '--type', 'nope')
        self.assertEqual(1, run.status)
        self.assertIn('no volume type "nope"', run.stderr)

    def test_defaults_of_projects_that_an_old_cinder_has_not(self):
        url = cinder.CINDER + '/default-types'
        for status in (403, 404, 406):
            self.cloud.http.get(url, status_code=status, json={})
            self.assertEqual([], self.audit(status=0))
        self.cloud.http.get(url, status_code=500, json={})
        run = cinder.Run('volume', 'encryption', 'audit')
        self.assertEqual(1, run.status, str(run))

    def test_backups(self):
        good = self.cloud.add('t', **GOOD)
        self.volume(good, True, 'k')
        self.cloud.http.get(
            cinder.CINDER + '/backups/detail',
            json={
                'backups': [
                    {'id': 'b', 'volume_id': 'v0', 'status': 'available'},
                    {'id': 'c', 'volume_id': 'v0', 'status': 'creating'},
                ]
            },
        )
        self.assertEqual(['backup-no-key'], self.audit())

    def test_backups_that_cannot_be_read(self):
        url = cinder.CINDER + '/backups/detail'
        for status, code in ((404, 0), (403, 4), (500, 4)):
            self.cloud.http.get(url, status_code=status, json={})
            run = cinder.Run('volume', 'encryption', 'audit')
            self.assertEqual(code, run.status, str(run))
            self.assertEqual(
                code != 0, 'backups could not be read: ' in run.stderr
            )
        # What is wrong counts for more.
        self.volume(self.cloud.add('t', **GOOD), False, None)
        self.assertEqual(['volume-not-encrypted'], self.audit())

    def test_member_is_told(self):
        self.cloud.faults = {2: 403}
        self.cloud.add('t')
        run = cinder.Run('volume', 'encryption', 'audit')
        self.assertEqual(1, run.status, str(run))
        self.assertIn('admin', run.stderr)


class TestBarbican(testtools.TestCase):
    """Whether Barbican knows the keys."""

    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(
            cinder.Cloud(services=('block-storage', 'key-manager'))
        )
        self.cloud.secrets = ['known']
        good = self.cloud.add('t', **GOOD)
        for key in ('known', 'lost'):
            self.cloud.volumes[key] = {
                'id': key,
                'status': 'available',
                'volume_type_id': good['id'],
                'encrypted': True,
                'encryption_key_id': key,
            }

    def audit(self, status):
        run = cinder.Run('volume', 'encryption', 'audit', '-f', 'json')
        self.assertEqual(status, run.status, str(run))
        return run

    def test_lost_key(self):
        (row,) = self.audit(3).json
        self.assertEqual(
            ('volume-key-unknown', 'volume - (lost)'),
            (row['Check'], row['Subject']),
        )

    def test_caller_may_not_look(self):
        self.cloud.refused = {('GET', '/secrets'): 403}
        run = self.audit(0)
        self.assertIn('Keys cannot be looked up', run.stderr)
        self.assertIn('keys of 2 could not be looked up', run.stderr)

    def test_secret_that_the_caller_may_not_see(self):
        """One of the list that is private, or made meanwhile (an ACL)."""
        self.cloud.refused = {('GET', '/secrets/'): 403}
        run = self.audit(0)
        self.assertEqual([], run.json)
        self.assertIn('keys of 1 could not be looked up', run.stderr)

    def test_barbican_does_not_answer_for_one(self):
        self.cloud.refused = {('GET', '/secrets/'): 500}
        plain = self.cloud.add('LUKS-gold')
        run = self.audit(3)
        (row,) = run.json
        self.assertEqual(f'type LUKS-gold ({plain["id"]})', row['Subject'])
        self.assertIn('Keys cannot be looked up: ', run.stderr)
        self.assertIn('keys of 1 could not be looked up', run.stderr)
        del self.cloud.types[plain['id']]
        self.audit(4)

    def test_barbican_does_not_answer(self):
        self.cloud.refused = {('GET', '/secrets'): 500}
        run = self.audit(4)
        self.assertIn('keys of 2 could not be looked up', run.stderr)
        # Where there is no key to look up, nothing is open.
        self.cloud.volumes.clear()
        self.audit(0)
