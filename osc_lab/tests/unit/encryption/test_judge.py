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
from unittest import mock

import testtools

from osc_lab.encryption import cipher
from osc_lab.encryption import compare
from osc_lab.encryption import model
from osc_lab.encryption import presets
from osc_lab.encryption import probe
from osc_lab import exceptions

GOOD = model.Encryption('luks', 'aes-xts-plain64', 256, 'front-end')


class TestCompare(testtools.TestCase):
    WISH = model.Wish('n', GOOD, 'text', False, frozenset({'p'}), {'a': '1'})
    FOUND = model.VolumeType(
        'i', 'n', 'text', False, {'a': '1'}, GOOD, frozenset({'p', 'q'})
    )

    def compare(self, wish=None, **changes):
        found = dataclasses.replace(self.FOUND, **changes)
        return compare.differences(
            found, dataclasses.replace(self.WISH, **(wish or {}))
        )

    def test_as_wished(self):
        self.assertEqual([], self.compare())
        legacy = dataclasses.replace(GOOD, provider='LuksEncryptor')
        self.assertEqual([], self.compare(encryption=legacy))

    def test_each_field(self):
        for changes, difference in (
            (
                {'encryption': None},
                ('encryption', 'none: it stores plain data', 'yes'),
            ),
            ({'is_public': True}, ('is_public', 'True', 'False')),
            ({'description': None}, ('description', '', 'text')),
            ({'description': 'x'}, ('description', 'x', 'text')),
            ({'extra_specs': {}}, ('property a', '', '1')),
            ({'extra_specs': {'a': '2'}}, ('property a', '2', '1')),
            ({'projects': None}, ('projects', 'not shared with', 'p')),
            (
                {'projects': frozenset({'q'})},
                ('projects', 'not shared with', 'p'),
            ),
        ):
            self.assertEqual([difference], self.compare(**changes))
        for name, value, found, wished in (
            ('provider', 'plain', 'plain', 'luks'),
            ('provider', 'NoOpEncryptor', 'NoOpEncryptor', 'luks'),
            ('cipher', None, 'None', 'aes-xts-plain64'),
            ('key_size', 512, '512', '256'),
            ('control_location', 'back-end', 'back-end', 'front-end'),
        ):
            other = dataclasses.replace(GOOD, **{name: value})
            self.assertEqual(
                [(name, found, wished)], self.compare(encryption=other)
            )

    def test_all_projects_are_named_and_properties_sorted(self):
        wish = {
            'projects': frozenset({'b', 'a', 'q'}),
            'properties': {'y': '1', 'x': '2'},
        }
        self.assertEqual(
            ['property x', 'property y', 'projects'],
            [item.field for item in self.compare(wish)],
        )
        self.assertEqual('a b', self.compare(wish)[-1].wished)

    def test_what_nobody_can_see_or_asked_for_is_no_difference(self):
        self.assertEqual([], self.compare(is_public=None))
        careless = {'description': None}
        self.assertEqual([], self.compare(careless, description='other'))
        none = {'description': ''}
        self.assertEqual([], self.compare(none, description=None))

    def test_a_public_type_is_shared_with_everybody(self):
        wish = {'is_public': True}
        found = {'is_public': True, 'projects': None}
        self.assertEqual([], self.compare(wish, **found))

    def test_sentence(self):
        found = self.compare(is_public=True, description=None)
        self.assertEqual(
            'is_public is "True", not "False"; description is "", not "text"',
            compare.sentence(found),
        )


class TestPresets(testtools.TestCase):
    def load(self, *points):
        with mock.patch(
            'importlib.metadata.entry_points', return_value=points
        ) as listed:
            found = presets.load()
        listed.assert_called_once_with(group='osc_lab.encryption.presets')
        return found

    def point(self, name, value):
        point = mock.Mock(value='module:it')
        point.name = name
        point.load.side_effect = [value]
        return point

    def test_broken_ones_stop_nobody(self):
        found = self.load(
            self.point('luks', presets.LUKS),
            self.point('gone', ImportError('no module')),
            self.point('odd', 'text'),
            self.point('other', presets.LUKS2),
            self.point('luks', presets.LUKS),
        )
        self.assertEqual((presets.LUKS,), found.presets)
        for text, line in zip(
            ('gone: no module', 'not a Preset', "name is 'luks2'", 'taken'),
            found.broken,
            strict=True,
        ):
            self.assertIn(text, line)

    def test_unknown(self):
        self.assertRaises(exceptions.NotFound, self.load().get, 'luks')


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
