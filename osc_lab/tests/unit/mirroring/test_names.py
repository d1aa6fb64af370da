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

"""Names, amounts and the guard."""

import datetime
import subprocess

import testtools

from osc_lab import exceptions
from osc_lab.mirroring import amounts
from osc_lab.mirroring import guard
from osc_lab.mirroring import model
from osc_lab.mirroring import names
from osc_lab.mirroring import targets
from osc_lab.tests.unit.mirroring import samples


class TestNames(testtools.TestCase):
    def default(self, to='interface', snaplen=None, flow=''):
        return names.default_name(
            samples.PORT_ID,
            model.Direction.IN,
            targets.parse(to),
            snaplen,
            flow,
        )

    def test_default_tells_wishes_apart(self):
        found = {
            self.default(),
            self.default(snaplen=64),
            self.default(flow='icmp'),
            self.default('gre:192.0.2.1'),
            self.default('gre:192.0.2.1:2'),
        }
        self.assertEqual(5, len(found))
        self.assertEqual(self.default(), self.default())

    def test_device_fits_linux(self):
        device = names.device('mirror-id')
        self.assertRegex(device, r'\Atpm[0-9a-f]{10}\Z')
        self.assertNotEqual(device, names.device('another'))

    def test_device_is_no_port_of_a_vm_in_a_trunk(self):
        # As neutron.services.trunk.drivers.openvswitch.agent has it in
        # is_trunk_service_port: all others keep the bridge of a trunk.
        device = names.device('mirror-id')
        self.assertIn(device[:2], ('tp', 'sp'))
        # Its own patches, which it looks for by these.
        for patch in ('tpt-', 'tpi-', 'spt-', 'spi-'):
            self.assertFalse(device.startswith(patch))

    def test_check(self):
        for name in ('m', 'ä b', '--x', '$(id)', 'x' * 255):
            self.assertEqual(name, names.check(name))
        for name in ('', '  ', 'a\nb', '\x1b[0m', 'a\u202eb', 'x' * 256):
            self.assertRaises(exceptions.InvalidInput, names.check, name)


class TestAmounts(testtools.TestCase):
    def test_durations(self):
        for text, seconds in (
            ('90', 90),
            ('90s', 90),
            ('15m', 900),
            ('1h30m', 5400),
            ('30d', 30 * 86400),
        ):
            self.assertEqual(
                datetime.timedelta(seconds=seconds),
                amounts.duration('--ttl', text),
            )
        self.assertIsNone(amounts.lifetime('--ttl', 'none'))
        for text in ('', '0', '-1', '1x', 'm', '31d', '9' * 40, '1h 5m'):
            self.assertRaises(
                exceptions.InvalidInput, amounts.duration, '--ttl', text
            )

    def test_sizes(self):
        for text, size in (('1500', 1500), ('64K', 65536), ('2GiB', 2**31)):
            self.assertEqual(size, amounts.size('--max-size', text))
        for text in ('', '0', '-5', '1T', 'K'):
            self.assertRaises(
                exceptions.InvalidInput, amounts.size, '--max-size', text
            )

    def test_for_people(self):
        self.assertEqual('1h 5m', amounts.show_duration(3905))
        self.assertEqual('0s', amounts.show_duration(-3))
        self.assertEqual('1.5 KiB', amounts.show_size(1536))
        self.assertEqual('12.5 Mbit/s', amounts.show_rate(12.5e6))


class TestGuard(testtools.TestCase):
    def test_scripts_are_those_of_a_plain_shell(self):
        for command in (
            guard.start('id', 5, 'bridge', ''),
            guard.stop('id', 'pid 5'),
            guard.bring_up('tpm0'),
        ):
            self.assertEqual(['sh', '-c'], command[:2])
            subprocess.run(['sh', '-n', '-c', command[2]], check=True)

    def test_values_are_arguments(self):
        command = guard.start('$(id)', 0.2, '`b`', 'unix:/x y')
        self.assertNotIn('$(id)', command[2])
        self.assertEqual(
            ['$(id)', '`b`', '--db=unix:/x y'],
            [command[4], *command[8:]],
        )
        self.assertEqual('1', command[5])

    def test_answers(self):
        for text, expected in (
            ('systemd\n', 'systemd'),
            ('pid 12\n', 'pid 12'),
            ('pid x', ''),
            ('pid \u0661', ''),
            ('', ''),
            ('pid 1; rm', ''),
        ):
            self.assertEqual(expected, guard.known(text))

    def test_all_are_looked_at_when_the_process_is_not_known(self):
        for text in ('pid x', 'pid \u0661', ''):
            self.assertEqual('', guard.stop('id', text)[-1])
        self.assertEqual('7', guard.stop('id', 'pid 7')[-1])
        self.assertEqual('0', guard.stop('id', 'systemd')[-1])
