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


class TestClock(testtools.TestCase):
    def test_what_counts(self):
        """Two GiB at least for each part, and no part is rounded."""
        gib = 1024**3
        options = nova_options.Options(timeout_s=7, delay_s=3, steps=10)
        for ram, files, data, timeout, step in (
            (1024, [], 2.0, 14, 6),
            (2560, [], 2.5, 17, 7),
            (1024, [0, gib], 6.0, 42, 18),
            (4096, [5 * gib // 2], 6.5, 45, 19),
        ):
            found = options.data_gib(ram, files)
            self.assertEqual(data, found)
            self.assertEqual(timeout, options.completion_timeout(found))
            self.assertEqual(step, options.downtime_steps(found)[1][0])


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


class TestRead(testtools.TestCase):
    def read(self, **values):
        return nova_options.read({'libvirt': values})

    def test_flags_of_the_cpu(self):
        """In any order and case; what has no sign is on."""
        for value, expected in (
            (None, ''),
            ('', ''),
            (' , ', ''),
            ('pcid', 'pcid'),
            ('-HLE, +ssbd,mtrr', '-hle, mtrr, ssbd'),
            ('mtrr,SSBD,-hle,ssbd', '-hle, mtrr, ssbd'),
        ):
            found = self.read(cpu_model_extra_flags=value)
            self.assertEqual(expected, found.cpu_model_extra_flags, value)

    def test_memory_in_files(self):
        for value, expected in (('0', False), ('x', False), ('1024', True)):
            self.assertIs(expected, self.read(file_backed_memory=value).files)


class TestSubstitution(testtools.TestCase):
    """As oslo.config puts options into others."""

    def inbound(self, value, **default):
        return nova_options.read(
            {
                'DEFAULT': default,
                'libvirt': {
                    'live_migration_inbound_addr': value,
                    'live_migration_scheme': 'tls',
                },
            }
        ).inbound

    def test_names(self):
        for value in (
            '$my_ip',
            '${my_ip}',
            '$DEFAULT.my_ip',
            '${DEFAULT.my_ip}',
        ):
            self.assertEqual(
                '192.0.2.9', self.inbound(value, my_ip='192.0.2.9')
            )
        self.assertEqual(
            'mig-h1.test', self.inbound('mig-${host}.test', host='h1')
        )
        self.assertEqual('tls', self.inbound('$live_migration_scheme'))
        self.assertEqual(
            'h2', self.inbound('$my_ip', my_ip='$host', host='h2')
        )

    def test_what_is_not_known_stays(self):
        for value in ('$my_ip', '${my_ip}', '$other.my_ip', 'a$', '$1'):
            self.assertEqual(value, self.inbound(value))
        self.assertEqual('$my_ip', self.inbound('$$my_ip', my_ip='x'))
        self.assertEqual('$my_ip', self.inbound(r'\$my_ip', my_ip='x'))

    def test_that_name_each_other(self):
        found = self.inbound('$host', host='$my_ip' * 999, my_ip='$host' * 999)
        self.assertGreaterEqual(4096, len(found))

    def test_paths(self):
        for expected, default in (
            ('/var/lib/nova/instances', {}),
            ('/s/instances', {'state_path': '/s'}),
            ('/s/i', {'state_path': '/s', 'instances_path': '$state_path/i'}),
            ('/var/lib/nova/i', {'instances_path': '${state_path}/i'}),
            ('/i', {'instances_path': '/i'}),
        ):
            found = nova_options.read({'DEFAULT': default})
            self.assertEqual(expected, found.instances_path)
