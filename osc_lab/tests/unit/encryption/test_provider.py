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

"""What the names of encryption providers mean to os-brick."""

import testtools

from osc_lab.encryption import provider

#: As os-brick maps them (os_brick/encryptors), and as it imports the rest.
NAMES = {
    'luks': 'luks',
    'luks2': 'luks2',
    'plain': 'plain',
    'LuksEncryptor': 'luks',
    'nova.volume.encryptors.luks.LuksEncryptor': 'luks',
    'os_brick.encryptors.luks.LuksEncryptor': 'luks',
    'CryptsetupEncryptor': 'plain',
    'nova.volume.encryptors.cryptsetup.CryptsetupEncryptor': 'plain',
    'os_brick.encryptors.cryptsetup.CryptsetupEncryptor': 'plain',
    'NoOpEncryptor': None,
    'NoopEncryptor': None,
    'nova.volume.encryptors.nop.NoOpEncryptor': None,
    'nova.volume.encryptors.nop.NoopEncryptor': None,
    'os_brick.encryptors.nop.NoOpEncryptor': None,
    'os_brick.encryptors.nop.NoopEncryptor': None,
    None: None,
    # Nobody knows these: they are kept as they are.
    'LUKS': 'LUKS',
    'vendor.Encryptor': 'vendor.Encryptor',
    '': '',
}


class TestCanonical(testtools.TestCase):
    def test_every_name(self):
        self.assertEqual(
            NAMES, {name: provider.canonical(name) for name in NAMES}
        )
        known = {*provider.KNOWN, *provider.LEGACY, *provider.NO_OP}
        self.assertEqual(set(), known - set(NAMES))

    def test_what_a_new_type_may_have(self):
        self.assertEqual(('luks', 'luks2', 'plain'), provider.KNOWN)
