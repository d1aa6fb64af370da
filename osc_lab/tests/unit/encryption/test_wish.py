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

"""Which options make a wish, of what is warned, and what is refused."""

import dataclasses

import testtools

from osc_lab.encryption import mark
from osc_lab.encryption import model
from osc_lab.encryption import presets
from osc_lab.encryption import wish
from osc_lab import exceptions


def judged(preset=presets.LUKS, **options):
    return wish.judge(preset, wish.Options(**options))


class TestWish(testtools.TestCase):
    def judge(self, *properties):
        return judged(properties=properties).wish.properties

    def test_properties(self):
        self.assertEqual(
            {'volume_backend_name': 'ceph', 'a': 'b=c'},
            self.judge('volume_backend_name=ceph', 'a=b=c'),
        )
        longest = 'v' * 255
        self.assertEqual({'k': longest}, self.judge(f'k={longest}'))
        for key in ('nimble:encryption', 'netapp_flexvol_encryption'):
            self.assertEqual({key: 'yes'}, self.judge(f'{key}=yes'))

    def test_bad_properties(self):
        for text, why in (
            ('a', 'key=value'),
            ('=b', 'key=value'),
            ('a=' + 'x' * 256, 'key=value'),
            ('a' * 256 + '=b', 'key=value'),
            ('encryption-provider=luks', 'only a word'),
            ('encryption-x=y', 'only a word'),
            ('Encryption=true', 'only a word'),
            ('luks=1', 'only a word'),
            ('encryption:key_size=256', 'only a word'),
        ):
            error = self.assertRaises(
                exceptions.InvalidInput, self.judge, text
            )
            self.assertIn(why, error.message)
            self.assertNotIn(error.remedy, ('', 'None'))
            self.assertIn(text.partition('=')[0], error.message)

    def test_preset_alone(self):
        for preset in (presets.LUKS, presets.LUKS_AES256, presets.LUKS2):
            self.assertEqual(
                wish.Judged(model.Wish(preset.type_name, preset.encryption)),
                judged(preset),
            )

    def test_preset_that_lacks_something(self):
        """It is of another package, and is judged as options are."""
        for field in ('provider', 'cipher', 'control_location'):
            preset = dataclasses.replace(
                presets.LUKS,
                encryption=dataclasses.replace(
                    presets.LUKS.encryption, **{field: None}
                ),
            )
            error = self.assertRaises(exceptions.InvalidInput, judged, preset)
            self.assertIn(': "" is not ', error.message)

    def test_all_options(self):
        found = judged(
            name='N',
            provider='CryptsetupEncryptor',
            cipher='serpent-cbc-essiv:sha256',
            key_size='192',
            control_location='back-end',
            description='D',
            is_public=False,
            projects=('p', 'q', 'p'),
            properties=('a=b',),
            allow_plain=True,
            allow_back_end=True,
        )
        self.assertEqual(
            model.Wish(
                'N',
                model.Encryption(
                    'plain', 'serpent-cbc-essiv:sha256', 192, 'back-end'
                ),
                'D',
                False,
                frozenset({'p', 'q'}),
                {'a': 'b'},
            ),
            found.wish,
        )
        provider, location, cipher = found.warnings
        self.assertIn('"CryptsetupEncryptor" is a legacy name', provider)
        self.assertIn('"plain" is used', provider)
        self.assertIn('--control-location: ', location)
        self.assertIn('--cipher: CBC', cipher)

    def test_texts(self):
        for text in ('a b', 'ü' * 255):
            found = judged(name=text, description=text).wish
            self.assertEqual((text, text), (found.name, found.description))
        self.assertEqual('', judged(description='').wish.description)

    def test_refused(self):
        sizes = 'these numbers of bits: 256 (AES-128), 512 (AES-256).'
        for options, message, remedy in (
            ({'provider': 'NoOpEncryptor'}, '"NoOpEncryptor" does not', ''),
            ({'provider': ''}, '"" is not known', 'luks, luks2, plain.'),
            ({'provider': 'x'}, '"x" is not known', 'luks, luks2, plain.'),
            ({'provider': 'plain'}, 'no header', '--allow-plain'),
            ({'cipher': ''}, '"" is not of the form', 'aes-xts-plain64'),
            ({'key_size': '384'}, '"384" is not a key size of aes-xts', sizes),
            ({'key_size': '٢٥٦'}, '"٢٥٦" is not a key size of aes-xts', sizes),
            ({'key_size': '-256'}, '"-256" is not a', sizes),
            ({'key_size': ''}, '"" is not a key size', sizes),
            # More digits than int() takes.
            ({'key_size': '9' * 5000}, '--key-size: "9999', sizes),
            (
                {'control_location': 'x'},
                '"x" is not known',
                'one of: front-end, back-end.',
            ),
            (
                {'control_location': 'back-end'},
                'no compute host encrypts',
                '--allow-back-end',
            ),
            ({'projects': ('p',)}, '--project: a public', '--private'),
            ({'name': ''}, '--name: it is empty', '1 to 255 char'),
            ({'name': ' '}, '--name: it is empty', '1 to 255 char'),
            ({'name': 'n' * 256}, '--name: it has 256 char', '255 at most'),
            ({'name': ' n'}, '--name: it begins or ends', ''),
            ({'name': 'n\x1b'}, '--name: "n', ''),
            ({'description': 'd '}, '--description: it begins', ''),
            ({'description': 'd' * 256}, '--description: it has 256', ''),
            (
                {'description': str(mark.new('h', 1))},
                '--description: this text marks',
                '',
            ),
        ):
            error = self.assertRaises(
                exceptions.InvalidInput, judged, **options
            )
            self.assertIn(message, error.message)
            self.assertIn(remedy, error.remedy)
            self.assertNotIn(error.remedy, ('', 'None'))
