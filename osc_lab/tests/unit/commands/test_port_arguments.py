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

"""The arguments of the commands for ports: what is refused, and how."""

import testtools

from osc_lab.tests.unit import test_command

CAPTURE = 'port mirror capture --file f.pcap'


class TestArguments(testtools.TestCase):
    """They are judged before anybody logs in."""

    def test_what_cannot_be_is_refused_by_name(self):
        for option, value in (
            ('--packets', '0'),
            ('--duration', '31d'),
            ('--duration', '0s'),
            ('--max-size', 'much'),
            ('--snaplen', '13'),
            ('--ring', '1'),
            ('--network', 'blue'),
        ):
            status, out, err = test_command.openstack(
                f'{CAPTURE} web {option} {value}'
            )
            self.assertEqual((2, ''), (status, out), err)
            self.assertEqual(1, err.count('\n'), err)
            self.assertIn(f'{option}: ', err)

    def test_one_port_and_one_place(self):
        for line in (
            CAPTURE,
            f'{CAPTURE} web --server s',
            f'{CAPTURE} web --wireshark',
            'port mirror capture web',
        ):
            status, _out, err = test_command.openstack(line)
            self.assertEqual(2, status, line)
            self.assertIn('usage: ', err, line)

    def test_what_does_not_go_together(self):
        for line, option in (
            ('--ring 3 --force', '--ring'),
            ('--ring 3 --max-size 64K', '--max-size'),
            ('--both-ends other --host hosta', '--host'),
        ):
            status, out, err = test_command.openstack(f'{CAPTURE} web {line}')
            self.assertEqual((2, ''), (status, out), err)
            self.assertIn(f'{option}: ', err)
        for where in ('--wireshark', '--file -'):
            status, out, err = test_command.openstack(
                f'port mirror capture web {where} --ring 3'
            )
            self.assertEqual((2, ''), (status, out), err)
            self.assertIn('--ring: ', err)

    def test_network_alone_chooses_nothing(self):
        for line in (
            'port mirror create web --network blue',
            'port mirror create --address 192.0.2.1 --network blue',
            'port topology show web --network blue',
        ):
            status, out, err = test_command.openstack(line)
            self.assertEqual((2, ''), (status, out), err)
            self.assertIn('--network: ', err)

    def test_what_is_no_address(self):
        for line in (
            'port mirror create --address web',
            'port mirror capture --file f.pcap --address 192.0.2.256',
            'port topology show --address 2001:db8::/64',
        ):
            status, out, err = test_command.openstack(line)
            self.assertEqual((2, ''), (status, out), err)
            self.assertIn('--address: "', err)

    def test_nothing_is_no_name(self):
        for words, option in (
            ("''", '<port>'),
            ("--server ''", '--server'),
            ("--address ''", '--address'),
            ("--server vm --network ''", '--network'),
            ("web --both-ends ''", '--both-ends'),
        ):
            for verb in ('create', 'capture --file f.pcap'):
                if verb == 'create' and option == '--both-ends':
                    continue
                status, out, err = test_command.openstack(
                    f'port mirror {verb} {words}'
                )
                self.assertEqual((2, ''), (status, out), err)
                self.assertEqual(
                    f'{option}: it is empty. Give a name or an ID.',
                    err.strip(),
                )

    def test_create_is_judged_too(self):
        for option, value in (
            ('--timeout', '-1'),
            ('--timeout', 'nan'),
            ('--ttl', '0s'),
            ('--to', 'carrier-pigeon'),
            ('--snaplen', '13'),
            ('--filter', 'in_port=1'),
        ):
            status, out, err = test_command.openstack(
                f'port mirror create web {option} {value}'
            )
            self.assertEqual((2, ''), (status, out), err)
            self.assertIn(option, err)
