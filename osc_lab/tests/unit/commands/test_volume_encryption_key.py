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

"""The key commands: real files, the local shell, no cloud."""

import os
import pathlib
import re
import resource
import signal
import stat

import fixtures
import testtools

from osc_lab.access import host_config
from osc_lab.encryption import shared_key
from osc_lab.preflight import finding
from osc_lab.tests.unit import cinder

GENERATE = ('volume', 'encryption', 'key', 'generate')
CHECK = ('volume', 'encryption', 'key', 'check')
KEY = 'c0ffee' * 10 + 'cafe'


class TestGenerate(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.addCleanup(os.umask, os.umask(0))

    def generate(self, *argv, status=0):
        run = cinder.Run(*GENERATE, '--output', str(self.folder / 'k'), *argv)
        self.assertEqual(status, run.status, str(run))
        return run

    def keys(self):
        return {
            re.search('fixed_key = (.+)', path.read_text())[1]
            for path in (self.folder / 'k').iterdir()
        }

    def test_writes_the_same_key_for_both_and_never_shows_it(self):
        run = self.generate('-f', 'json')
        (key,) = self.keys()
        self.assertEqual(64, len(key))
        self.assertNotIn(key, str(run))
        for path in (run.json['nova'], run.json['cinder']):
            self.assertEqual(0o600, stat.S_IMODE(os.stat(path).st_mode))
        self.assertEqual(
            0o700, stat.S_IMODE(os.stat(self.folder / 'k').st_mode)
        )

    def test_size(self):
        self.generate('--key-size', '512')
        (key,) = self.keys()
        self.assertEqual(128, len(key))
        self.assertIn(
            '"513"', self.generate('--key-size', '513', status=2).stderr
        )

    def test_never_overwrites(self):
        self.generate()
        before = self.keys()
        self.assertIn('File exists', self.generate(status=2).stderr)
        self.assertEqual(before, self.keys())

    def test_second_file_in_the_way_leaves_nothing(self):
        (self.folder / 'k').mkdir()
        (self.folder / 'k' / 'cinder-key-manager.conf').write_text('mine')
        self.generate(status=2)
        (left,) = (self.folder / 'k').iterdir()
        self.assertEqual('mine', left.read_text())

    def test_full_disk_leaves_nothing(self):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        # A limit for files is for write() what a full disk is.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
        try:
            run = self.generate(status=2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        self.assertIn('File too large', run.stderr)
        self.assertEqual([], list((self.folder / 'k').iterdir()))

    def test_interrupt_leaves_nothing(self):
        fsync = os.fsync

        def interrupted(handle):
            fsync(handle)
            if len(list((self.folder / 'k').iterdir())) == 2:
                os.kill(os.getpid(), signal.SIGTERM)

        with fixtures.MonkeyPatch('os.fsync', interrupted):
            self.generate(status=130)
        self.assertEqual([], list((self.folder / 'k').iterdir()))

    def test_follows_no_link(self):
        (self.folder / 'k').mkdir()
        (self.folder / 'k' / 'nova-key-manager.conf').symlink_to(
            self.folder / 'target'
        )
        self.generate(status=2)
        self.assertFalse((self.folder / 'target').exists())


class CheckTest(testtools.TestCase):
    """Has files of this machine, and the local shell."""

    services = ('block-storage',)

    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(cinder.Cloud(services=self.services))
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def check(
        self, nova, cinder_, mode=0o640, status=3, argv=(), host='local'
    ):
        paths = []
        for name, text in (('nova', nova), ('cinder', cinder_)):
            path = self.folder / f'{name}.conf'
            path.write_text(text)
            path.chmod(mode)
            paths.append(str(path))
        self.cloud.settings(config_files={host: paths}, local_hosts=[host])
        run = cinder.Run(
            *(*CHECK, '--host', host, '--long', '-f', 'json', *argv)
        )
        self.assertNotIn('Traceback', str(run))
        self.assertNotIn(KEY, str(run))
        self.assertEqual(status, run.status, str(run))
        return {(row['Check'], row['Subject']): row for row in run.json}

    def conf(self, key=KEY, service='nova', section='key_manager'):
        option = 'backend' if section == 'key_manager' else 'api_class'
        return (
            f'[DEFAULT]\nhost = x\n[{section}]\n'
            f'{option} = {service}.keymgr.conf_key_mgr.ConfKeyManager\n'
            f'fixed_key = {key}\n'
        )


class TestCheck(CheckTest):
    """A cloud without a key manager, but for the shared key."""

    def test_sound(self):
        # No process of the services runs here: that stays open.
        rows = self.check(self.conf(), self.conf(service='cinder'), status=4)
        for check in ('key-backend', 'key-same', 'key-format'):
            self.assertEqual('ok', rows[check, 'local nova']['Result'])
        self.assertEqual(
            'fixed-key', rows['key-backend', 'local nova']['Message']
        )

    def test_different_keys(self):
        rows = self.check(self.conf(), self.conf(KEY[::-1]))
        results = {
            row['Result']
            for row in rows.values()
            if row['Check'] == 'key-same'
        }
        self.assertEqual({'ok', 'failed'}, results)

    def test_case_is_no_difference(self):
        self.check(self.conf(), self.conf(KEY.upper()), status=4)

    def test_malformed(self):
        for key, text in (
            (KEY[:-1], 'odd number'),
            ('xy' * 32, 'not hexadecimal'),
            ('', 'empty'),
            ('ab' * 20, '160 bits'),
        ):
            rows = self.check(self.conf(key), self.conf(key))
            self.assertIn(text, rows['key-format', 'local nova']['Message'])

    def test_size_for_the_cipher(self):
        rows = self.check(self.conf(), self.conf(), argv=('--key-size', '512'))
        self.assertIn('not 512', rows['key-format', 'local nova']['Message'])

    def test_readable_by_others(self):
        rows = self.check(self.conf(), self.conf(), mode=0o644)
        self.assertIn('0644', rows['key-file-mode', 'local nova']['Message'])

    def test_legacy_section(self):
        rows = self.check(
            self.conf(section='keymgr'), self.conf(section='keymgr'), status=4
        )
        self.assertEqual(
            'warning', rows['key-backend', 'local nova']['Result']
        )

    def test_mixed_backends(self):
        rows = self.check('[DEFAULT]\n', self.conf(service='cinder'))
        self.assertIn(
            'there are also', rows['key-same', 'local nova']['Message']
        )

    def test_no_key_manager_at_all(self):
        """Nothing is set, which means a Barbican that is not there."""
        rows = self.check('[key_manager]\n', '[DEFAULT]\n', status=3)
        for name in ('nova', 'cinder'):
            row = rows['key-backend', f'local {name}']
            self.assertEqual('failed', row['Result'])
            self.assertIn('the catalog has no key manager', row['Message'])
            self.assertIn('Set backend and fixed_key', row['Remedy'])

    def test_fixed_key_of_a_backend_that_nobody_set(self):
        """Since castellan there is a default, and it is Barbican."""
        conf = f'[key_manager]\nfixed_key = {KEY}\n'
        rows = self.check(conf, conf, status=3)
        self.assertEqual('failed', rows['key-backend', 'local nova']['Result'])

    def test_barbican_that_is_not_in_the_catalog(self):
        conf = '[key_manager]\nbackend = barbican\n'
        rows = self.check(conf, conf, status=4)
        row = rows['key-backend', 'local nova']
        self.assertEqual('unknown', row['Result'])
        self.assertIn('barbican_endpoint', row['Message'])

    def test_barbican_whose_endpoint_is_set(self):
        for more in ('', '[key_manager]\nbackend = barbican\n'):
            conf = f'{more}[barbican]\nbarbican_endpoint = http://b.test\n'
            rows = self.check(conf, conf, status=4)
            row = rows['key-backend', 'local nova']
            self.assertEqual(
                ('ok', 'barbican'), (row['Result'], row['Message'])
            )

    def test_malformed_file_names_the_line_and_not_its_text(self):
        rows = self.check(f'[key_manager]\n{KEY}\n', self.conf(), status=4)
        self.assertIn('line 2', rows['key-config', 'local cinder']['Message'])

    def test_unknown_host_is_unknown(self):
        run = cinder.Run(*CHECK, '--host', 'nowhere', '-f', 'json')
        self.assertEqual(4, run.status, str(run))
        self.assertIn('--ssh', run.stdout)

    def addressed(self, host, known='a', **settings):
        cloud = self.useFixture(
            cinder.Cloud(services=('block-storage', 'compute'))
        )
        cloud.settings(ssh='root@{host_ip}', **settings)
        cloud.hypervisor(known, '192.0.2.7')
        program = self.folder / 'ssh'
        program.write_text('#!/bin/sh\nexit 255\n')
        program.chmod(0o755)
        self.useFixture(
            fixtures.EnvironmentVariable(
                'PATH', f'{self.folder}:{os.environ["PATH"]}'
            )
        )
        run = cinder.Run(*CHECK, '--host', host, '-f', 'json')
        self.assertEqual(4, run.status, str(run))
        return run.stdout

    def test_address_that_nova_tells(self):
        self.assertIn('root@192.0.2.7 -- true', self.addressed('a'))

    def test_address_that_nova_does_not_know(self):
        self.assertIn('root@b -- true', self.addressed('b'))

    def test_address_that_is_configured(self):
        there = {'host_addresses': {'a': '192.0.2.8'}}
        self.assertIn('root@192.0.2.8 -- true', self.addressed('a', **there))

    def test_address_of_a_host_with_a_hyphen(self):
        """The SDK changes the keys of clouds.yaml."""
        name = 'cmp-1.my-cloud'
        there = {'host_addresses': {name: '192.0.2.8', 'cmp-1': 'no'}}
        for known in ('a', name):
            found = self.addressed(name, known=known, **there)
            self.assertIn('root@192.0.2.8 -- true', found)

    def test_files_of_a_host_with_a_hyphen(self):
        name = 'cmp-1.my-cloud'
        rows = self.check(self.conf(), self.conf(), status=4, host=name)
        self.assertEqual('ok', rows['key-same', f'{name} nova']['Result'])


class TestBarbican(CheckTest):
    services = ('block-storage', 'key-manager')

    def test_everywhere(self):
        rows = self.check('[DEFAULT]\n', '[DEFAULT]\n', status=4)
        row = rows['key-backend', 'local cinder']
        self.assertEqual(('ok', 'barbican'), (row['Result'], row['Message']))
        self.assertNotIn(('key-same', 'local nova'), rows)


class TestHosts(testtools.TestCase):
    """Which hosts and services are checked."""

    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(
            cinder.Cloud(services=('block-storage', 'compute'))
        )
        nowhere = ['/none/x/nova/cinder']
        self.cloud.settings(
            local_hosts=['a'],
            config_files={'a': nowhere, 'local': nowhere},
        )
        self.answer(cinder.CINDER, json={'services': [{'host': 'a@lvm'}]})
        self.answer(
            cinder.NOVA,
            json={'services': [{'binary': 'nova-compute', 'host': 'a'}]},
        )

    def answer(self, service, **services):
        self.cloud.http.get(service + '/os-services', **services)

    def check(self, *argv, status=4):
        run = cinder.Run(*CHECK, '-f', 'json', *argv)
        self.assertEqual(status, run.status, str(run))
        return run

    def subjects(self, *argv):
        return [row['Subject'] for row in self.check(*argv).json]

    def test_all_that_the_services_name(self):
        self.assertEqual(['a cinder', 'a nova'], self.subjects())

    def unknown(self, url, name, other):
        self.answer(url, status_code=503)
        row, seen = self.check().json
        self.assertEqual(
            ('key-config', name, 'unknown'),
            (row['Check'], row['Subject'], row['Result']),
        )
        self.assertIn('503', row['Message'])
        self.assertEqual(f'a {other}', seen['Subject'])

    def test_nobody_knows_the_hosts_of_cinder(self):
        self.unknown(cinder.CINDER, 'cinder', 'nova')

    def test_nobody_knows_the_hosts_of_nova(self):
        self.unknown(cinder.NOVA, 'nova', 'cinder')

    def test_host_is_looked_at_for_what_nobody_knows(self):
        self.answer(cinder.CINDER, status_code=503)
        self.assertEqual(['a cinder', 'a nova'], self.subjects('--host', 'a'))

    def test_host_that_nobody_names_is_looked_at_for_both(self):
        both = ['local cinder', 'local nova']
        self.assertEqual(both, self.subjects('--host', 'local'))
        for url in (cinder.CINDER, cinder.NOVA):
            self.answer(url, status_code=403)
            self.assertEqual(both, self.subjects('--host', 'local'))

    def test_host_is_looked_at_for_what_it_has(self):
        self.answer(cinder.CINDER, json={'services': []})
        self.assertEqual(['a nova'], self.subjects('--host', 'a'))

    def test_none(self):
        for url in (cinder.CINDER, cinder.NOVA):
            self.answer(url, status_code=403)
        run = self.check(status=1)
        self.assertIn('Name them with --host', run.stderr)


class TestJudge(testtools.TestCase):
    def service(self, started, changed=100.0, **options):
        return shared_key.Service(
            'h',
            'nova',
            (shared_key.File('/n', 0o640, changed, options),),
            (('nova-compute', started),),
        )

    def restart(self, started):
        (found,) = (
            item
            for item in shared_key.judge([self.service(started)])
            if item.check == 'key-service-restart'
        )
        return found.result

    def test_restart(self):
        self.assertIs(finding.Result.FAILED, self.restart(50.0))
        self.assertIs(finding.Result.OK, self.restart(99.5))
        self.assertIs(finding.Result.OK, self.restart(150.0))

    def test_both_backends_means_migration(self):
        service = shared_key.Service(
            'h',
            'nova',
            (
                shared_key.File(
                    '/n', 0o640, 1.0, {('key_manager', 'fixed_key'): KEY}
                ),
            ),
            (('nova-compute', 2.0),),
        )
        messages = [item.message for item in shared_key.judge([service])]
        self.assertIn('being moved', messages[0])
        self.assertNotIn(KEY, repr(service))


class TestParse(testtools.TestCase):
    def test_last_value_counts(self):
        self.assertEqual(
            {('DEFAULT', 'a'): '1', ('b', 'c'): '3'},
            host_config.parse('a = 1\n# x\n[b]\nc=2\nc = "3"\n'),
        )

    def test_process_arguments(self):
        self.assertEqual(
            [('--config-file', '/a'), ('--config-dir', '/b')],
            host_config._named(
                ['nova', '--config-file', '/a', '--config-dir=/b', '--x']
            ),
        )
