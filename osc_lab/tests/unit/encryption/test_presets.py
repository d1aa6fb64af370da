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

"""Presets come through entry points, and some may be broken."""

from unittest import mock

import testtools

from osc_lab.encryption import presets
from osc_lab import exceptions


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
