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

"""What --to takes."""

import testtools

from osc_lab import exceptions
from osc_lab.mirroring import targets


class TestParse(testtools.TestCase):
    def test_written_and_read(self):
        for text, written in (
            ('interface', 'interface'),
            ('gre:192.0.2.1', 'gre:192.0.2.1'),
            ('gre:192.0.2.1:4294967295', 'gre:192.0.2.1:4294967295'),
            ('gre:2001:db8::1', 'gre:[2001:db8::1]'),
            ('gre:[2001:db8::1]:5', 'gre:[2001:db8::1]:5'),
            ('erspan:192.0.2.1', 'erspan:192.0.2.1:1'),
            ('erspan:192.0.2.1:102', 'erspan:192.0.2.1:102'),
            ('vxlan:192.0.2.1:0', 'vxlan:192.0.2.1:0'),
            ('port:a:b c', 'port:a:b c'),
            ('vlan:4094', 'vlan:4094'),
        ):
            target = targets.parse(text)
            self.assertEqual(written, str(target))
            self.assertEqual(target, targets.parse(written))

    def test_refused(self):
        for text in (
            '',
            'tap',
            'interface:x',
            'port:',
            'vlan:',
            'vlan:0',
            'vlan:4095',
            'vlan:1x',
            'gre:',
            'gre:host.example.org',
            'gre:192.0.2.1:4294967296',
            'gre:192.0.2.1:-1',
            'gre:192.0.2.1:٣',
            'gre:224.0.0.1',
            'gre:0.0.0.0',
            'gre:[2001:db8::1]5',
            'erspan:192.0.2.1:1048576',
            'erspan:192.0.2.1:0x66',
            'vxlan:192.0.2.1:16777216',
        ):
            error = self.assertRaises(
                exceptions.InvalidInput, targets.parse, text
            )
            self.assertIn(f'--to "{text}"', str(error))
            self.assertIn('erspan:IP[:INDEX]', error.remedy)
