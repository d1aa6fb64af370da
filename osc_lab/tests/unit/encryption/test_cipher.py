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

"""Ciphers: what is weak, and how strong a key makes them."""

import testtools

from osc_lab.encryption import cipher


class TestCipher(testtools.TestCase):
    def test_weakness(self):
        for text, why in (
            ('aes-xts-plain64', ''),
            ('aes-xts-plain', '2 TiB'),
            ('aes-cbc-essiv:sha256', 'flip'),
            ('serpent-cbc-plain64', 'watermarks'),
        ):
            weakness = cipher.parse(text).weakness()
            self.assertEqual(bool(why), bool(weakness))
            self.assertIn(why, weakness)

    def test_strength(self):
        self.assertEqual(256, cipher.parse('aes-xts-plain64').strength(512))
        self.assertEqual(256, cipher.parse('aes-cbc-plain64').strength(256))
