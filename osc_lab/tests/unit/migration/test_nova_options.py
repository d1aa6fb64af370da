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

"""Options of Nova, as Nova itself takes them."""

import testtools

from osc_lab.migration import nova_options


class TestDestination(testtools.TestCase):
    def test_address_of_ipv6(self):
        """In brackets, also in a URI of one's own."""
        for uri in ('', 'qemu+tcp://%s/system'):
            options = nova_options.Options(uri=uri)
            for host, expected in (
                ('2001:db8::1', '[2001:db8::1]'),
                ('b', 'b'),
            ):
                self.assertEqual(
                    f'qemu+tcp://{expected}/system',
                    options.destination_uri(host),
                )
