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

"""What rows say about themselves."""

import dataclasses
import datetime

import testtools

from osc_lab.mirroring import marks
from osc_lab.tests.unit.mirroring import samples


class TestMarks(testtools.TestCase):
    def test_there_and_back(self):
        for found in (
            samples.marked(),
            samples.marked(expires=None, guard='pid 5'),
            *(
                samples.marked(port_name=name, server_name=name)
                for name in samples.HOSTILE
            ),
        ):
            self.assertEqual(found, marks.decode(marks.encode(found)))

    def test_every_field_is_there(self):
        keys = marks.encode(samples.marked(guard='systemd'))
        self.assertEqual(len(dataclasses.fields(marks.Marks)) + 1, len(keys))
        for key in keys:
            self.assertTrue(key.startswith(marks.PREFIX), key)

    def test_zero_bytes_go(self):
        found = marks.encode(samples.marked(port_name='a\0b'))
        self.assertEqual('ab', found['osc-lab-port-name'])

    def test_others_are_not_ours(self):
        for ids in (
            {},
            {'ovn-owned': 'true'},
            {marks.OWNER: 'someone', marks.ID: 'x'},
            {marks.OWNER: marks.OURS},
            {marks.ID: 'x'},
        ):
            self.assertIsNone(marks.decode(ids), ids)

    def test_damaged_marks_are_ours_and_expired(self):
        for expires in ('', 'soon', '9999-99-99'):
            found = marks.decode(
                {
                    marks.OWNER: marks.OURS,
                    marks.ID: 'x',
                    'osc-lab-expires': expires,
                }
            )
            self.assertTrue(found.expired(samples.NOW), expires)

    def test_time_without_zone_is_utc(self):
        ids = marks.encode(samples.marked())
        ids['osc-lab-expires'] = '2026-05-04T12:00:01'
        found = marks.decode(ids)
        self.assertFalse(found.expired(samples.NOW))
        later = samples.NOW + datetime.timedelta(seconds=1)
        self.assertTrue(found.expired(later))
