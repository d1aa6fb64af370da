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

"""Which configuration files a service reads, and what is in them."""

import os

import fixtures

from osc_lab.access import remote_probe
from osc_lab.tests.unit.access import probing


class TestConfiguration(probing.ProbeTest):
    def ask(self, *files):
        wanted = {
            'DEFAULT': ('host',),
            'libvirt': ('live_migration_uri', 'cpu_mode'),
        }
        return remote_probe.configuration(
            {'files': list(files), 'options': wanted}
        )

    def test_what_is_asked_for_and_nothing_else(self):
        path = self.write(
            'nova.conf',
            '[DEFAULT]\nhost = a\npassword = x\n[libvirt]\ncpu_mode\n'
            '[key_manager]\nfixed_key = x\n',
        )
        found = self.ask(path)
        self.assertEqual(
            {'DEFAULT': {'host': 'a'}, 'libvirt': {'cpu_mode': None}},
            found['options'],
        )
        self.assertEqual(('', [path]), (found['cell'], found['files']))

    def test_quotes_around_a_value(self):
        for value, expected in (
            ('"qemu+tls://%s/system"', 'qemu+tls://%s/system'),
            ("'a'", 'a'),
            ('"a', '"a'),
            ('"a\'', '"a\''),
            ('""', ''),
            ('"', ''),
        ):
            path = self.write(
                'nova.conf', f'[libvirt]\nlive_migration_uri = {value}\n'
            )
            found = self.ask(path)['options']['libvirt']
            self.assertEqual(expected, found['live_migration_uri'])

    def test_the_last_file_counts(self):
        one = self.write('1', '[DEFAULT]\nhost = a\n')
        two = self.write('2', '[DEFAULT]\nhost = b\n')
        found = self.ask(one, two)
        self.assertEqual('b', found['options']['DEFAULT']['host'])

    def test_files_that_cannot_be_used(self):
        broken = self.write('broken', 'no section\n')
        binary = self.folder / 'binary'
        binary.write_bytes(b'[DEFAULT]\nhost = \xff\n')
        found = self.ask(broken, str(binary), str(self.folder / 'none'))
        self.assertEqual([], found['files'])
        self.assertEqual([broken, str(binary)], found['unread'])

    def test_folder(self):
        (self.folder / 'd').mkdir()
        files = [
            self.write(f'd/{name}', f'[DEFAULT]\nhost = {name}\n')
            for name in ('a.conf', 'b.conf', 'c.conf~')
        ]
        found = self.ask(str(self.folder / 'd'))
        self.assertEqual(files[:2], found['files'])
        self.assertEqual('b.conf', found['options']['DEFAULT']['host'])

    def test_no_password_leaves(self):
        path = self.write(
            'nova.conf',
            '[libvirt]\nlive_migration_uri = qemu+tcp://u:p@ss@%s/system\n',
        )
        self.assertEqual(
            'qemu+tcp://u@%s/system',
            self.ask(path)['options']['libvirt']['live_migration_uri'],
        )

    def cell(self, url):
        path = self.write('c', f'[DEFAULT]\ntransport_url = {url}\n')
        return self.ask(path)['cell']

    def test_of_the_message_queue_the_place_counts(self):
        one = self.cell('rabbit://u:p@h:1,u:p@i:1/v')
        self.assertEqual(one, self.cell('rabbit://x:y@h:1,z:z@i:1/v'))
        self.assertNotEqual(one, self.cell('rabbit://u:p@h:1,u:p@j:1/v'))
        self.assertEqual(one, self.cell('"rabbit://u:p@h:1,u:p@i:1/v"'))
        self.assertEqual(16, len(one))

    def test_one_message_queue_that_is_written_in_many_ways(self):
        """As oslo.messaging reads it; brokers are rotated over the nodes."""
        one = self.cell('rabbit://u:p@h:5672,u:p@i:5671/')
        for url in (
            'rabbit://u:p@i:5671,u:p@h:5672/',
            'rabbit://u:p@h,u:p@i:5671/',
            'rabbit://h:5672,u:p@I:5671,/',
            'rabbit://u:p@h:5672,u:p@i:5671',
            'rabbit://u:p@h:5672,u:p@i:5671//',
            'rabbit://u:p@h:5672,u:p@i:5671/%2F',
            'rabbit://u:p@h:5672,u:p@i:5671/?ssl=1&a=/b',
            'rabbit://u:p@h:5672,u:p@i:5671?ssl=1',
        ):
            self.assertEqual(one, self.cell(url), url)
        for url in (
            'rabbit://u:p@h:5672,u:p@i:5671/v',
            'rabbit://u:p@h:5672,u:p@i:5672/',
            'rabbit://u:p@h:5672/',
            'kafka://u:p@h:5672,u:p@i:5671/',
        ):
            self.assertNotEqual(one, self.cell(url), url)
        named = self.cell('rabbit://[::1]:5672/a%20b')
        self.assertEqual(named, self.cell('rabbit://u@[::1]/a b'))

    def own(self, *paths):
        for name, value in zip(('FILES', 'FOLDERS'), paths, strict=True):
            self.useFixture(
                fixtures.MonkeyPatch(
                    f'osc_lab.access.remote_probe.{name}', (value,)
                )
            )

    def test_process_whose_interpreter_has_options(self):
        for argv, expected in (
            (['/bin/nova-compute', '-s'], ['nova-compute', '-s']),
            (['python3', '-s', '/bin/x', 'y'], ['python3', 'x']),
            (['python3', '-sP', '-W', 'ignore', 'x'], ['python3', 'x']),
            (['python3', '-Wignore', '-X', 'dev', 'x'], ['python3', 'x']),
            (['python3', '-c', 'x'], ['python3', '-c']),
            (['pgrep', '-f', 'x'], ['pgrep', '-f']),
            (['python3', '-s'], ['python3']),
            ([''], ['']),
        ):
            self.assertEqual(expected, remote_probe.started(argv), argv)

    def test_files_that_the_process_names(self):
        one = self.write('1', '[DEFAULT]\nhost = a\n')
        two = self.write('2', '[libvirt]\ncpu_mode = none\n')
        self.service(
            'nova-compute', f'--config-file={one}', '--config-file', two
        )
        self.assertEqual([one, two], self.ask()['files'])

    def test_what_is_read_beside_what_is_named(self):
        self.own('/own', '/own.d')
        for expected, argv in (
            (['/own', '/own.d'], ()),
            (
                ['/own.d', '/a', '/b'],
                ('--config-file=/a', '--config-file', '/b'),
            ),
            (['/own', '/d'], ('--config-dir', '/d')),
            (['/d', '/a'], ('--config-dir=/d', '--config-file=/a')),
            (['/own', ''], ('--config-dir',)),
        ):
            self.service('nova-compute', *argv)
            self.assertEqual(
                ('', expected), remote_probe.of_nova_compute(), argv
            )

    def test_without_a_process(self):
        self.own('/own', '/own.d')
        self.useFixture(fixtures.MonkeyPatch('glob.glob', lambda _x: []))
        self.assertEqual(
            ('', ['/own', '/own.d']), remote_probe.of_nova_compute()
        )

    def test_process_in_a_container(self):
        path = self.write('nova.conf', '[DEFAULT]\nhost = a\n')
        self.own(path, str(self.folder / 'none'))
        running = self.service('nova-compute')
        spaces = {
            f'/proc/{running}/ns/mnt': 'mnt:[2]',
            '/proc/self/ns/mnt': 'mnt:[1]',
        }
        self.useFixture(
            fixtures.MonkeyPatch('os.readlink', lambda name: spaces[name])
        )
        self.assertEqual(
            f'/proc/{running}/root', remote_probe.of_nova_compute()[0]
        )
        self.assertEqual([path], self.ask()['files'])

    def test_process_of_somebody_else(self):
        def refuse(name):
            raise PermissionError(name)

        self.useFixture(fixtures.MonkeyPatch('os.readlink', refuse))
        self.assertIsNone(remote_probe.container(os.getpid()))
        path = self.write('nova.conf', '[DEFAULT]\nhost = a\n')
        self.own(path, str(self.folder / 'none'))
        self.service('nova-compute')
        self.assertEqual([path], self.ask()['files'])
