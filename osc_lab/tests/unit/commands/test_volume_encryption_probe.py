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

"""What is tried before anything is made: backends, and a key of Barbican."""

from unittest import mock

import testtools

from osc_lab.access import key_manager
from osc_lab.tests.unit import cinder
from osc_lab.tests.unit.commands import presets


class TestProbe(presets.PresetTest):
    def test_backends_that_cannot(self):
        self.cloud.pools = ['ceph', 'nfs']
        for argv in (
            ('--provider', 'luks2'),
            ('--key-size', '512'),
        ):
            run = self.luks(*argv, status=2)
            self.assertIn('qemu-img', run.stderr)
            self.assertEqual([], self.cloud.writes)

    def test_some_backends_that_cannot(self):
        self.cloud.pools = ['ceph', 'iSCSI']
        run = self.luks('--provider', 'luks2')
        self.assertIn('host@ceph#ceph', run.stderr)

    def test_no_probe(self):
        self.cloud.pools = ['ceph']
        self.luks('--provider', 'luks2', '--no-probe')


class TestBarbican(testtools.TestCase):
    """A key is ordered before anything is made."""

    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(
            cinder.Cloud(services=('block-storage', 'key-manager'))
        )
        patcher = mock.patch('time.sleep')
        patcher.start()
        self.addCleanup(patcher.stop)

    def test_key_that_it_can_make(self):
        run = cinder.Run(*presets.LUKS)
        self.assertEqual(0, run.status, str(run))
        self.assertEqual(({}, []), (self.cloud.orders, self.cloud.secrets))

    def test_key_that_it_cannot_make(self):
        self.cloud.order_status = 'ERROR'
        # simple_crypto fails with 500.
        for self.cloud.order_code in ('400', '500'):
            run = cinder.Run(*presets.LUKS, '--key-size', '512')
            self.assertEqual(2, run.status, str(run))
            self.assertIn('key of 512 bits for aes: bad size', run.stderr)
            self.assertEqual([], self.cloud.writes)
            self.assertEqual({}, self.cloud.orders)

    def test_barbican_that_is_slow(self):
        """The proof decides."""
        self.cloud.order_status = 'PENDING'
        with mock.patch.object(key_manager, '_PATIENCE', 0.01):
            run = cinder.Run(*presets.LUKS)
        self.assertEqual(0, run.status, str(run))
        self.assertIn('Barbican made no key (not in', run.stderr)
        self.assertEqual({}, self.cloud.orders)

    def test_barbican_whose_backend_fails(self):
        """That says nothing about the size; the proof decides."""
        self.cloud.order_status, self.cloud.order_code = 'ERROR', '500'
        run = cinder.Run(*presets.LUKS)
        self.assertEqual(0, run.status, str(run))
        self.assertIn('Barbican made no key (bad size)', run.stderr)

    def test_caller_may_not_order(self):
        self.cloud.refused = {('POST', '/orders'): 403}
        run = cinder.Run(*presets.LUKS)
        self.assertEqual(0, run.status, str(run))
        self.assertIn('or a quota is reached', run.stderr)
