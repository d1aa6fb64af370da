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

"""Timestamps, with and without an offset."""

import testtools

from osc_lab import timestamps


class TestTimestamps(testtools.TestCase):
    def test_seconds(self):
        for text, expected in (
            ('1970-01-01T00:01:00', 60.0),
            ('1970-01-01T00:01:00.250000', 60.25),
            ('1970-01-01 00:01:00Z', 60.0),
            ('1970-01-01T00:01:00+00:00', 60.0),
            # An offset that is there counts.
            ('1970-01-01T01:01:00+01:00', 60.0),
            ('1969-12-31T19:01:00-05:00', 60.0),
            ('0001-01-01T00:00:00+14:00', -62135647200.0),
            ('9999-12-31T23:59:59-14:00', 253402351199.0),
        ):
            self.assertEqual(expected, timestamps.seconds(text), text)

    def test_no_timestamp(self):
        for value in (None, '', 'none', 7, '1970-13-01T00:00:00', {}):
            self.assertIsNone(timestamps.read(value))
            self.assertIsNone(timestamps.seconds(value))

    def test_read_is_aware(self):
        for text in ('2026-01-01T00:00:00', '2026-01-01T00:00:00+02:00'):
            self.assertIsNotNone(timestamps.read(text).utcoffset())
