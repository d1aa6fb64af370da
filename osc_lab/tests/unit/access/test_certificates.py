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

"""Certificates of hosts as facts: who signed them, and for whom."""

import pathlib
import time

import fixtures
import testtools

from osc_lab.access import certificates
from osc_lab.migration import facts
from osc_lab.tests import openssl

CA = '/etc/pki/CA/cacert.pem'
SERVER = '/etc/pki/libvirt/servercert.pem'
QEMU = '/etc/pki/qemu/server-cert.pem'


class TestRead(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.ca = openssl.authority(self.folder / 'ca')

    def pair(self, *alternatives, ca=None, days=30):
        pair = openssl.Pair(self.folder / 'c.pem', self.folder / 'c.key')
        openssl.issue(ca or self.ca, pair, 'cmp1', alternatives, days)
        return pair.certificate.read_text()

    def read(self, **files):
        paths = {'ca': CA, 'server': SERVER, 'qemu': QEMU}
        found = certificates.read(
            {paths[name]: {'pem': text} for name, text in files.items()}
        )
        return {(item.stack, item.role): item for item in found}

    def test_good_one(self):
        found = self.read(
            ca=self.ca.certificate.read_text(),
            server=self.pair('DNS:cmp1', 'IP:192.0.2.1'),
        )
        server = found['libvirt', 'server']
        self.assertEqual({'cmp1', '192.0.2.1'}, server.names)
        self.assertEqual(found['libvirt', 'ca'].key_id, server.signed_by)
        self.assertEqual(SERVER, server.path)
        self.assertTrue(server.not_before <= time.time() < server.not_after)

    def test_one_that_is_over(self):
        server = self.read(server=self.pair(days=-1))['libvirt', 'server']
        self.assertLess(server.not_after, time.time())
        self.assertEqual('', server.signed_by)

    def test_common_name_where_no_other_name_is(self):
        for names, alternatives in (
            ({'cmp1'}, ()),
            ({'192.0.2.1'}, ('IP:192.0.2.1',)),
            ({'other'}, ('DNS:other',)),
        ):
            server = self.read(server=self.pair(*alternatives))
            self.assertEqual(names, server['libvirt', 'server'].names)

    def test_another_authority(self):
        other = openssl.authority(self.folder / 'other')
        found = self.read(
            ca=self.ca.certificate.read_text(), server=self.pair(ca=other)
        )
        self.assertEqual('', found['libvirt', 'server'].signed_by)

    def test_one_signed_by_itself(self):
        """It is nobody's but for the authority beside it."""
        alone = openssl.authority(self.folder / 'alone', 'cmp1')
        found = self.read(
            ca=self.ca.certificate.read_text(),
            server=alone.certificate.read_text(),
        )
        self.assertEqual('', found['libvirt', 'server'].signed_by)

    def test_authority_of_the_other_stack(self):
        found = self.read(
            ca=self.ca.certificate.read_text(), qemu=self.pair('DNS:cmp1')
        )
        self.assertEqual('', found['qemu', 'server'].signed_by)

    def test_several_authorities_in_a_file(self):
        other = openssl.authority(self.folder / 'other')
        found = self.read(
            ca=other.certificate.read_text() + self.ca.certificate.read_text(),
            server=self.pair(),
        )
        self.assertNotEqual('', found['libvirt', 'server'].signed_by)
        self.assertNotEqual(
            found['libvirt', 'ca'].key_id,
            found['libvirt', 'server'].signed_by,
        )

    def test_what_is_not_there_or_not_asked_for(self):
        self.assertEqual(
            (),
            certificates.read(
                {
                    SERVER: {},
                    '/etc/other.pem': {'pem': 'x'},
                    CA: {'pem': ''},
                }
            ),
        )

    def test_what_nobody_can_see(self):
        found = certificates.unseen(
            {
                SERVER: {'error': 'Permission denied'},
                '/etc/other.pem': {'error': 'Permission denied'},
                QEMU: {'pem': ''},
                CA: {},
            }
        )
        self.assertEqual([('libvirt', 'server')], list(found))
        self.assertEqual(
            facts.Gap(
                f'Nobody can see whether {SERVER} is there: Permission '
                'denied.',
                'Use a user who may see the files of libvirt, with --ssh.',
            ),
            found['libvirt', 'server'],
        )

    def test_what_a_guest_sees(self):
        self.assertIsNone(certificates.of_guest(None))
        self.assertEqual((), certificates.of_guest({QEMU: {}}))
        [found] = certificates.of_guest({QEMU: {'pem': self.pair()}})
        self.assertEqual((QEMU, 'qemu'), (found.path, found.stack))
        hidden = certificates.of_guest({SERVER: {}, QEMU: {'error': 'no'}})
        self.assertIsInstance(hidden, facts.Gap)
        self.assertIn(QEMU, hidden.message)

    def test_what_is_no_certificate(self):
        text = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
        found = certificates.read({SERVER: {'pem': text}})
        self.assertIsInstance(found, facts.Gap)
        self.assertIn(SERVER, found.message)
