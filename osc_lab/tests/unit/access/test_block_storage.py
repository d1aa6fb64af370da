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

import openstack
import testtools

from osc_lab.access import block_storage
from osc_lab.encryption import model
from osc_lab import exceptions
from osc_lab.tests.unit import cinder


class TestBlockStorage(testtools.TestCase):
    """Cinder, through the real SDK."""

    def setUp(self):
        super().setUp()
        self.http = self.useFixture(cinder.Cloud()).http
        sdk = openstack.connect(cloud='test')
        self.addCleanup(sdk.close)
        self.store = block_storage.BlockStorage(sdk, 5)

    def answer(self, path, body, status=200):
        self.http.get(cinder.CINDER + path, json=body, status_code=status)

    def test_bodies_that_nobody_documents(self):
        for path, call in (
            ('/types/t/os-volume-type-access', lambda s: s.projects('t')),
            ('/volumes/v', lambda s: s.volume('v')),
            ('/scheduler-stats/get_pools', lambda s: s.pools()),
            ('/default-types', lambda s: s.default_types()),
            ('/os-services', lambda s: s.volume_hosts()),
        ):
            self.answer(path, {})
            error = self.assertRaises(
                exceptions.ServiceError, call, self.store
            )
            self.assertIn('not what the API documents', error.message)

    def test_encryption_of_a_volume(self):
        self.answer('/volumes/v/encryption', {'encryption_key_id': 'k'})
        self.assertEqual((None, 'k'), self.store.volume_encryption('v'))
        self.answer(
            '/volumes/v/encryption', {'provider': 'luks', 'key_size': None}
        )
        self.assertEqual(
            (model.Encryption('luks', None, None, None), None),
            self.store.volume_encryption('v'),
        )

    def test_when_a_volume_was_made(self):
        """Cinder means UTC and does not say so; an offset counts."""
        for text, expected in (
            ('1970-01-01T00:01:00.000000', 60.0),
            ('1970-01-01T01:01:00+01:00', 60.0),
            ('soon', None),
            (None, None),
        ):
            volume = {'id': 'v', 'created_at': text}
            self.answer('/volumes/v', {'volume': volume})
            self.assertEqual(expected, self.store.volume('v').created)

    def test_complaint(self):
        self.answer('/messages', {}, 404)
        self.assertEqual('', self.store.complaint('v'))
        self.answer('/messages', {'messages': []})
        self.assertEqual('', self.store.complaint('v'))
        self.answer(
            '/messages', {'messages': [{'id': 1, 'user_message': 'x'}]}
        )
        self.assertEqual('x', self.store.complaint('v'))

    def test_backups(self):
        self.answer(
            '/backups/detail',
            {
                'backups': [
                    {
                        'id': 'b',
                        'name': None,
                        'volume_id': 'v',
                        'status': 'creating',
                    }
                ]
            },
        )
        self.assertEqual(
            [model.Backup('b', '', 'v', None, 'creating')],
            list(self.store.backups(True)),
        )
        self.assertEqual(['1'], self.http.last_request.qs['all_tenants'])
        list(self.store.backups(False))
        self.assertNotIn('all_tenants', self.http.last_request.qs)

    def test_default_type(self):
        self.assertEqual(model.Default(), self.store.default_type())
        self.answer('/types/default', {'volume_type': {'id': 't'}})
        self.assertEqual(model.Default('t'), self.store.default_type())
        self.answer('/types/default', {}, 403)
        self.assertRaises(exceptions.ServiceError, self.store.default_type)

    def test_hosts(self):
        self.answer(
            '/os-services',
            {'services': [{'host': 'a@lvm'}, {'host': 'a@x'}, {'host': 'b'}]},
        )
        self.assertEqual(frozenset('ab'), self.store.volume_hosts())

    def test_visibility_that_is_hidden(self):
        self.answer(
            '/types', {'volume_types': [{'id': 't', 'extra_specs': None}]}
        )
        (item,) = self.store.types()
        self.assertEqual((None, {}), (item.is_public, item.extra_specs))
