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

import dataclasses
import json
import os
import pathlib
from unittest import mock

import fixtures
import openstack
import requests
import testtools

from osc_lab.access import key_manager
from osc_lab.encryption import model
from osc_lab.encryption import probe
from osc_lab import exceptions
from osc_lab.tests.unit import cinder

WISHED = model.Encryption('luks', 'aes-xts-plain64', 512, 'front-end')


class TestKeyManager(testtools.TestCase):
    """Barbican, through the real SDK."""

    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(
            cinder.Cloud(services=('block-storage', 'key-manager'))
        )
        patcher = mock.patch('time.sleep')
        patcher.start()
        self.addCleanup(patcher.stop)
        self.manager = self.connect()

    def connect(self):
        sdk = openstack.connect(cloud='test')
        self.addCleanup(sdk.close)
        return key_manager.KeyManager(sdk, 5)

    def try_order(self, **changes):
        found = self.manager.try_order(dataclasses.replace(WISHED, **changes))
        self.assertEqual([], self.cloud.secrets)
        return found

    def test_available(self):
        self.assertTrue(self.manager.available())

    def test_not_in_the_catalog(self):
        self.useFixture(cinder.Cloud())
        self.assertFalse(self.connect().available())

    def test_of_clouds_yaml_alone(self):
        cloud = self.useFixture(cinder.Cloud())
        path = pathlib.Path(os.environ['OS_CLIENT_CONFIG_FILE'])
        found = json.loads(path.read_text())
        url = 'http://elsewhere.test/v1'
        found['clouds']['test']['key_manager_endpoint_override'] = url
        path.write_text(json.dumps(found))
        cloud.http.get(url, json={})
        cloud.http.get(
            f'{url}/secrets', json={'secrets': [{'secret_ref': 'x/1'}]}
        )
        manager = self.connect()
        self.assertTrue(manager.available())
        self.assertEqual(['1'], list(manager.secrets()))

    def test_order_as_cinder_sends_it(self):
        orders = {}
        self.cloud.orders = mock.MagicMock(wraps=orders)
        self.cloud.orders.__setitem__.side_effect = orders.__setitem__
        self.assertEqual(probe.KeyOrder(True), self.try_order())
        ((_order, meta),) = [
            call.args for call in self.cloud.orders.__setitem__.mock_calls
        ]
        self.assertEqual(
            ('aes', 512, 'application/octet-stream'),
            (
                meta['algorithm'],
                meta['bit_length'],
                meta['payload_content_type'],
            ),
        )

    def test_order_that_fails_is_removed_too(self):
        self.cloud.order_status = 'ERROR'
        for code, size, made in (
            ('400', 256, False),
            (None, 256, False),
            # Barbican fails at a size that its backend does not know.
            ('500', 257, False),
            ('500', 256, None),
        ):
            self.cloud.order_code = code
            self.assertEqual(
                probe.KeyOrder(made, 'bad size'),
                self.try_order(key_size=size),
            )
            self.assertEqual({}, self.cloud.orders)

    def test_order_that_does_not_end(self):
        self.cloud.order_status = 'PENDING'
        with mock.patch.object(key_manager, '_PATIENCE', 0.01):
            found = self.try_order()
        self.assertIsNone(found.made)
        self.assertIn('"osc-lab-probe-', found.reason)
        self.assertEqual({}, self.cloud.orders)

    def test_order_that_is_refused(self):
        for status, forbidden in ((403, True), (400, False), (501, False)):
            self.cloud.refused = {('POST', '/orders'): status}
            found = self.try_order()
            self.assertEqual((False, forbidden), (found.made, found.forbidden))

    def test_no_answer_is_no_verdict(self):
        self.cloud.refused = {('POST', '/orders'): 500}
        self.assertRaises(exceptions.ServiceError, self.try_order)

    def test_order_that_stays_is_named(self):
        self.cloud.refused = {('DELETE', '/orders'): 403}
        log = self.useFixture(fixtures.FakeLogger())
        self.assertTrue(self.try_order().made)
        self.assertIn('test order o0 remains', log.output)

    def test_lost_answer_leaves_no_order(self):
        self.cloud.orders = {f'x{n}': {'name': 'x'} for n in range(120)}
        self.cloud.lost = requests.exceptions.ConnectionError('reset')
        self.assertRaises(exceptions.ServiceError, self.try_order)
        self.assertEqual(([], 120), self.kept())
        self.cloud.lost = KeyboardInterrupt()
        self.assertRaises(KeyboardInterrupt, self.try_order)
        self.assertEqual(([], 120), self.kept())

    def kept(self):
        return self.cloud.secrets, len(self.cloud.orders)

    def test_order_that_may_remain_is_named(self):
        self.cloud.refused = {('GET', '/orders'): 500}
        self.cloud.lost = requests.exceptions.ConnectionError('reset')
        log = self.useFixture(fixtures.FakeLogger())
        self.assertRaises(exceptions.ServiceError, self.try_order)
        self.assertIn('osc-lab-probe-', log.output)

    def test_secrets_page_by_page(self):
        self.cloud.secrets = [f's{number}' for number in range(250)]
        self.assertEqual(self.cloud.secrets, list(self.manager.secrets()))

    def test_knows(self):
        self.cloud.secrets = ['a']
        self.assertIs(True, self.manager.knows('a'))
        self.assertIs(False, self.manager.knows('b'))
        self.cloud.refused = {('GET', '/secrets/'): 403}
        self.assertIsNone(self.manager.knows('a'))
        self.cloud.refused = {('GET', '/secrets/'): 500}
        self.assertRaises(exceptions.ServiceError, self.manager.knows, 'a')
