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

import os
import pathlib
import signal
import threading
import time

import fixtures
from oslo_config import cfg
import testtools

from osc_lab.access import host_config
from osc_lab import channels
from osc_lab import exceptions


class TestGather(testtools.TestCase):
    """This machine, with a process list of our own."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.useFixture(
            fixtures.EnvironmentVariable(
                'PATH', f'{self.folder}:{os.environ["PATH"]}'
            )
        )
        self.processes()

    def tool(self, name, script):
        path = self.folder / name
        path.write_text(f'#!/bin/sh\n{script}\n')
        path.chmod(0o700)

    def processes(self, *lines):
        text = '\n'.join(lines)
        self.tool('ps', f"cat <<'END'\n{text}\nEND")

    def file(self, name, text='[key_manager]\nfixed_key = ab\n'):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    def gather(self, name='nova', **files):
        (found,) = host_config.gather(
            {'h': {name}}, channels.Channels(), files, {'h'}
        )
        return found

    def test_files_that_the_processes_name(self):
        one, two = self.file('one.conf'), self.file('more/two.conf')
        self.processes(
            f'30 /usr/bin/python3 /usr/bin/nova-compute --config-file {one}',
            f'20 nova-compute --config-dir={self.folder}/more',
            '10 /usr/bin/nova-api',
            'odd line',
        )
        found = self.gather()
        self.assertEqual([one, two], [file.path for file in found.files])
        self.assertEqual(2, len(found.started))
        self.assertAlmostEqual(
            10, found.started[1][1] - found.started[0][1], delta=1
        )

    def test_what_is_read_beside_what_is_named(self):
        """oslo.config itself says which key counts, for each command."""
        usual = self.file('nova.conf', '[key_manager]\nfixed_key = 1\n')
        folder = str(self.folder / 'nova.conf.d')
        self.file('nova.conf.d/key.conf', '[key_manager]\nfixed_key = 2\n')
        bare = self.file('bare.conf', '[DEFAULT]\n')
        other = self.file('other.conf', '[key_manager]\nfixed_key = 3\n')
        self.file('dir/key.conf', '[key_manager]\nfixed_key = 4\n')
        empty = self.folder / 'empty'
        empty.mkdir()
        for table, path in (('FILES', usual), ('FOLDERS', folder)):
            self.useFixture(
                fixtures.MockPatchObject(host_config, table, {'nova': (path,)})
            )
        for words, key in (
            ([], '2'),
            ([f'--config-file={usual}'], '1'),
            ([f'--config-file={bare}'], '2'),
            (['--config-file', other], '3'),
            (['--config-dir', f'{self.folder}/dir'], '4'),
            ([f'--config-dir={empty}'], '1'),
            (
                [f'--config-dir={self.folder}/dir', f'--config-file={other}'],
                '3',
            ),
            (
                [f'--config-file={other}', f'--config-dir={self.folder}/dir'],
                '4',
            ),
            ([f'--config-file={bare}', f'--config-dir={empty}'], None),
        ):
            judge = cfg.ConfigOpts()
            judge.register_opt(cfg.StrOpt('fixed_key'), 'key_manager')
            judge(
                words,
                default_config_files=[usual],
                default_config_dirs=[folder],
            )
            self.assertEqual(key, judge.key_manager.fixed_key)
            self.processes('30 nova-compute ' + ' '.join(words))
            found = self.gather().key
            self.assertEqual(key, found and found[0], words)

    def test_process_with_other_files_belongs_to_another_service(self):
        mine, other = self.file('nova.conf'), self.file('other.conf')
        self.processes(
            f'30 nova-compute --config-file {mine}',
            f'20 nova-compute --config-file {other}',
            '10 nova-compute',
        )
        self.assertEqual(2, len(self.gather(h=[mine]).started))

    def test_container_whose_paths_are_its_own(self):
        """Kolla starts cinder-volume so, and keeps the file elsewhere."""
        kolla = self.file('kolla/cinder.conf')
        other = self.file('other.conf')
        self.useFixture(
            fixtures.MockPatchObject(
                host_config, 'FILES', {'cinder': ('/none/cinder.conf', kolla)}
            )
        )
        self.useFixture(
            fixtures.MockPatchObject(host_config, 'FOLDERS', {'cinder': ()})
        )
        inside = f'30 cinder-volume --config-file {self.folder}/cinder.conf'
        for lines, paths, started in (
            ([inside], [kolla], 1),
            ([inside, f'20 cinder-api --config-file {other}'], None, 2),
        ):
            self.processes(*lines)
            found = self.gather('cinder')
            self.assertEqual(
                paths or [kolla, other], [file.path for file in found.files]
            )
            self.assertEqual(started, len(found.started))
            # As it is configured for this host.
            found = self.gather('cinder', h=[kolla])
            self.assertEqual([kolla], [file.path for file in found.files])
            self.assertEqual(
                ['cinder-volume'], [program for program, _at in found.started]
            )

    def test_one_path_that_is_there(self):
        """A file that is missing beside it changes nothing."""
        mine = self.file('nova.conf')
        self.processes(
            f'30 nova-compute --config-file {self.folder}/none.conf '
            f'--config-file {mine}'
        )
        found = self.gather()
        self.assertEqual([mine], [file.path for file in found.files])
        given = self.file('given/nova.conf')
        self.assertEqual(0, len(self.gather(h=[given]).started))

    def test_no_file(self):
        missing = f'{self.folder}/nova/none.conf'
        self.assertIn(missing, self.gather(h=[missing]).problem)

    def test_no_process_list(self):
        self.tool('ps', 'exit 0')
        self.tool('date', 'exit 0')
        self.assertIn('procps', self.gather().problem)

    def test_file_that_cannot_be_read(self):
        path = self.file('nova.conf')
        # Root may read anything.
        self.tool('stat', f'echo "unreadable 0 0 0 {path}"; exit 0')
        self.assertIn('cannot be read', self.gather(h=[path]).problem)

    def test_answer_that_is_cut_off(self):
        self.tool('head', 'kill -9 $PPID')
        self.tool('sh', 'exec /bin/sh "$@"')
        path = self.file('nova.conf')
        self.assertNotEqual('', self.gather(h=[path]).problem)

    def many(self, ssh, count, deadline):
        """Return what is said about hosts with this for an OpenSSH."""
        self.tool('ssh', ssh)
        return host_config.gather(
            {f'h{number:02}': {'nova'} for number in range(count)},
            channels.Channels('root@{host}', deadline=deadline),
            {},
        )

    def test_hosts_do_not_wait_for_each_other(self):
        """Each ends when all have begun."""
        begun = self.folder / 'begun'
        begun.mkdir()
        found = self.many(
            f'cd {begun}; : > $$\n'
            'while set -- *; [ $# -lt 20 ]; do sleep 0.1; done\n'
            'echo refused >&2; exit 255',
            *(20, 30.0),
        )
        self.assertEqual(
            [f'h{number:02} nova' for number in range(20)],
            [item.subject for item in found],
        )
        for item in found:
            self.assertIn('refused', item.problem)

    def test_interrupt_waits_for_no_host(self):
        begun = self.folder / 'begun'
        main = threading.main_thread().ident

        def interrupt():
            while not begun.exists():
                time.sleep(0.1)
            signal.pthread_kill(main, signal.SIGINT)

        began = time.monotonic()
        threading.Thread(target=interrupt, daemon=True).start()
        self.assertRaises(
            KeyboardInterrupt,
            self.many,
            f': > {begun}; exec sleep 9',
            *(1, 9.0),
        )
        self.assertLess(time.monotonic() - began, 5)

    def test_host_that_hangs_is_left_behind(self):
        self.useFixture(fixtures.MockPatchObject(host_config, '_CALLS', 0.1))
        (found,) = self.many('exec sleep 2', 1, 1.0)
        self.assertEqual('no answer within 0.3 s', found.problem)

    def test_folder_of_configuration(self):
        self.file('nova.conf.d/a.conf', '[keymgr]\nfixed_key = 1\n')
        self.file('nova.conf.d/b.conf', '[key_manager]\nfixed_key = 2\n')
        found = self.gather(h=[f'{self.folder}/nova.conf.d'])
        self.assertEqual(2, len(found.files))
        self.assertEqual('2', found.key[0])


class TestLocalHosts(testtools.TestCase):
    def test_this_machine_is_always_one(self):
        self.assertEqual({'local'}, host_config.local_hosts({}))
        self.assertEqual(
            {'local', 'a'}, host_config.local_hosts({'local_hosts': ['a']})
        )

    def test_no_list(self):
        self.assertRaises(
            exceptions.InvalidInput,
            host_config.local_hosts,
            {'local_hosts': 'a'},
        )
