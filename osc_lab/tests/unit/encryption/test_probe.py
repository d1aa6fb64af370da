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

"""What an order of a key shows, before a type is made."""

import testtools

from osc_lab.encryption import model
from osc_lab.encryption import probe
from osc_lab import exceptions

GOOD = model.Encryption('luks', 'aes-xts-plain64', 256, 'front-end')


class TestProbe(testtools.TestCase):
    def test_order(self):
        self.assertEqual([], probe.order(GOOD, probe.KeyOrder(True)))
        (line,) = probe.order(GOOD, probe.KeyOrder(False, 'no', True))
        self.assertIn('member or creator', line)
        (line,) = probe.order(GOOD, probe.KeyOrder(None, 'it failed'))
        self.assertEqual(
            'Barbican made no key (it failed): nobody knows yet whether it '
            'can make one of 256 bits.',
            line,
        )

    def test_key_that_is_refused(self):
        """The remedy names what may be the reason, and only that."""
        for cipher_, size, name, remedy in (
            ('aes-xts-plain64', 256, 'aes', 'See the log of barbican-worker'),
            (None, None, 'aes', 'See the log of barbican-worker'),
            ('aes-xts-plain64', 512, 'aes', 'Use --key-size 256'),
            (
                *('serpent-xts-plain64', 256, 'serpent'),
                'Use --cipher aes-xts-plain64',
            ),
            (
                *('twofish-xts-plain64', 512, 'twofish'),
                'Use --cipher aes-xts-plain64 --key-size 256',
            ),
        ):
            error = self.assertRaises(
                exceptions.InvalidInput,
                probe.order,
                model.Encryption('luks', cipher_, size, 'front-end'),
                probe.KeyOrder(False, 'no plugin'),
            )
            self.assertEqual(
                (
                    f'Barbican cannot make a key of {size} bits for {name}: '
                    'no plugin',
                    f'{remedy}, or use --no-probe when Cinder does not keep '
                    'its keys there.',
                ),
                (error.message, error.remedy),
            )
