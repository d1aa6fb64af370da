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

"""What of a type is not as it was wished."""

import dataclasses

import testtools

from osc_lab.encryption import compare
from osc_lab.encryption import model

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
