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

"""The whole procedure on a real cloud, and the audit of it."""

import os
import pathlib
import uuid

import fixtures

from osc_lab.encryption import mark
from osc_lab.tests.functional import volumes

AUDIT = ('volume', 'encryption', 'audit', '--all-projects')
KEY_CHECK = ('volume', 'encryption', 'key', 'check')

GOOD = {
    'provider': 'luks',
    'cipher': 'aes-xts-plain64',
    'key_size': 256,
    'control_location': 'front-end',
}


class TestPreset(volumes.VolumesTest):
    def test_proven_type_and_a_volume_of_it(self):
        run = self.inside(*(*volumes.LUKS, '--name', self.name, '-f', 'json'))
        result = run.json()
        self.assertEqual('api', result['verified'], str(run))
        self.assertIn(result['key_manager'], ('barbican', 'fixed-key'))
        self.assertEqual(
            'fixed-key' == result['key_manager'],
            'opens every volume' in run.stderr,
        )
        volume = self.json(
            *('volume', 'create', '--type', self.name, '--size', '1'),
            self.name,
        )
        self.addCleanup(self.delete_volume, volume['id'])
        self.assertTrue(volume['encrypted'])

    def test_header_that_comes_with_the_first_attach(self):
        """The backend "blank" leaves it to Nova, "files" makes it."""
        for backend, later in (('blank', True), ('files', False)):
            name = f'{self.name}-{backend}'
            self.addCleanup(self.inside, 'volume', 'type', 'delete', name)
            run = self.inside(
                *(*volumes.LUKS, '--name', name),
                *('--property', f'volume_backend_name={backend}'),
            )
            self.assertEqual(0, run.status, str(run))
            self.assertEqual(later, 'first attach' in run.stderr, str(run))

    def test_second_run_writes_nothing(self):
        web, environ = self.proxy()
        argv = (*volumes.LUKS, '--name', self.name, '-f', 'json')
        self.assertTrue(self.inside(*argv, **environ).json()['changed'])
        web.log.clear()
        run = self.inside(*argv, **environ)
        self.assertEqual([], web.writes)
        self.assertFalse(run.json()['changed'])

    def test_difference_is_left_alone(self):
        argv = (*volumes.LUKS, '--name', self.name, '--no-verify')
        self.inside(*argv)
        run = self.inside(*argv, '--cipher', 'aes-cbc-essiv:sha256')
        self.assertEqual(3, run.status, str(run))
        self.assertIn('cipher is "aes-xts-plain64"', run.stderr)
        self.assertFinished()

    def test_name_in_other_letters(self):
        """MariaDB does not tell them apart, and Cinder says 409."""
        for name in (self.name.upper(), self.name):
            run = self.inside(
                *(*volumes.LUKS, '--name', name, '--no-verify', '--no-probe')
            )
        self.addCleanup(
            self.inside, 'volume', 'type', 'delete', self.name.upper()
        )
        self.assertEqual(3, run.status, str(run))
        self.assertIn(f'Volume type "{self.name.upper()}" exists', run.stderr)
        self.assertEqual([], self.types())

    def test_member_is_refused(self):
        for name in (self.name, 'no-such'):
            run = self.inside(
                *(*volumes.LUKS, '--name', name, '--no-verify'),
                OS_CLOUD=self.MEMBER,
            )
            self.assertEqual(1, run.status, str(run))
            self.assertIn('admin role', run.stderr)
        self.assertEqual([], self.types())

    def test_proof_that_fails_undoes_the_type(self):
        # 512 bits: Barbican's simple_crypto has no such key, and the
        # backend "files" has no such cipher.
        run = self.inside(
            *(*volumes.LUKS, '--name', self.name, '--key-size', '512'),
            *('--property', 'volume_backend_name=files', '--no-probe'),
        )
        self.assertEqual(5, run.status, str(run))
        self.assertEqual([], self.types())
        self.assertEqual([], self.scratch())

    def test_key_that_barbican_cannot_make(self):
        """Its simple_crypto has no keys of 512 bits; others may."""
        argv = (
            *(*volumes.LUKS[:-1], 'luks-aes256', '--name', self.name),
            *('--property', 'volume_backend_name=blank'),
        )
        run = self.inside(*argv)
        if not self.has_barbican():
            self.assertEqual(0, run.status, str(run))
            return
        self.assertEqual(2, run.status, str(run))
        self.assertIn('Barbican cannot make a key of 512 bits', run.stderr)
        self.assertEqual([], self.types())
        orders = self.sdk.key_manager.get('/orders?limit=100').json()
        self.assertEqual(
            [],
            [
                item
                for item in orders['orders']
                if (item['meta']['name'] or '').startswith('osc-lab-')
            ],
        )


class TestAudit(volumes.VolumesTest):
    """Defects that are planted in the cloud are found, each of them."""

    def setUp(self):
        super().setUp()
        self.before = self.findings()

    def findings(self):
        run = self.inside(*AUDIT, '-f', 'json')
        self.assertIn(run.status, (0, 3, 4), str(run))
        return {(row['Check'], row['Subject']) for row in run.json()}

    def new(self):
        return self.findings() - self.before

    def plant(self, suffix, description='', specs=(), **encryption):
        answer = self.sdk.block_storage.post(
            '/types',
            json={
                'volume_type': {
                    'name': f'{self.name}-{suffix}',
                    'description': description,
                    'extra_specs': dict(specs),
                }
            },
        )
        item = answer.json()['volume_type']
        self.addCleanup(self.sdk.block_storage.delete, f'/types/{item["id"]}')
        if encryption:
            self.sdk.block_storage.post(
                f'/types/{item["id"]}/encryption',
                json={'encryption': encryption},
            )
        return item

    def test_nothing_is_found_in_a_clean_cloud(self):
        """Every user gets an encrypted volume, whatever they ask for."""
        self.inside(*(*volumes.LUKS, '--name', self.name, '--no-verify'))
        if self.has_barbican():
            self.volume()
        with self.default_type(self.name):
            run = self.inside(*AUDIT, '--strict', '-f', 'json')
        self.assertEqual([], run.json(), str(run))
        self.assertEqual(0, run.status, str(run))
        self.assertIn('0 failed, 0 warnings', run.stderr)

    def test_sound_types_add_nothing(self):
        for preset in ('luks', 'luks2', 'luks-aes256'):
            name = f'{self.name}-{preset}'
            run = self.inside(
                *(*volumes.LUKS[:-1], preset, '--name', name),
                *('--no-verify', '--no-probe'),
            )
            self.assertEqual(0, run.status, str(run))
            self.addCleanup(self.inside, 'volume', 'type', 'delete', name)
        self.plant('slow', 'not encrypted')
        self.assertEqual(set(), self.new())

    def test_planted_defects_are_found(self):
        planted = {
            'type-not-encrypted': [
                self.plant('encrypted'),
                self.plant('a', 'with LUKS inside'),
            ],
            'type-extra-specs': [
                self.plant('b', specs={'encryption-provider': 'luks'}),
                self.plant('c', specs={'encryption-cipher': 'x'}, **GOOD),
            ],
            'type-unfinished': [self.plant('d', str(mark.new('gone', 1)))],
            'type-no-op': [
                self.plant('e', **{**GOOD, 'provider': 'NoOpEncryptor'})
            ],
            'type-provider': [
                self.plant('f', **{**GOOD, 'provider': 'LuksEncryptor'}),
                self.plant('g', **{**GOOD, 'provider': 'lucks'}),
                self.plant('h', **{**GOOD, 'provider': 'plain'}),
            ],
            'type-control-location': [
                self.plant('i', **{**GOOD, 'control_location': 'back-end'})
            ],
            'type-cipher': [
                self.plant('j', **{**GOOD, 'cipher': None}),
                self.plant('k', **{**GOOD, 'cipher': 'aes-cbc-plain'}),
                self.plant('l', **{**GOOD, 'cipher': 'rot13'}),
            ],
            'type-key-size': [self.plant('m', **{**GOOD, 'key_size': 128})],
            'default-type': [self.default()],
        }
        wanted = {
            (check, f'type {item["name"]} ({item["id"]})')
            for check, items in planted.items()
            for item in items
        }
        wanted |= self.planted_types() | self.planted_volumes()
        # Cinder names the project its own alone.
        wanted.add(('default-type', 'default type'))
        found = self.new()
        self.assertEqual(wanted, found)
        self.assertGreaterEqual(len(wanted), 12)
        print(f'{len(wanted)} planted defects, all found')

    def test_default_that_does_not_exist(self):
        """Cinder answers 500, and the rest is looked at."""
        with self.default_type(f'{self.name}-none'):
            found = self.new()
        self.assertIn(('default-type', 'default type'), found)

    def default(self):
        """Make a plain type the default of a project."""
        item = self.plant('n')
        path = f'/default-types/{self.sdk.current_project_id}'
        self.sdk.block_storage.put(
            path,
            json={'default_type': {'volume_type': item['id']}},
            microversion='3.62',
        )
        self.addCleanup(
            self.sdk.block_storage.delete, path, microversion='3.62'
        )
        return item

    def planted_types(self):
        """Make two types of one name, as two requests at once may."""
        first, second = sorted(
            (self.plant('o'), self.plant('p')), key=lambda item: item['id']
        )
        self.sql(
            f"UPDATE volume_types SET name = '{first['name']}' "
            f"WHERE id = '{second['id']}'"
        )
        pair = [
            item['id']
            for item in self.types(first['name'])
            if item['id'] in (first['id'], second['id'])
        ]
        self.assertEqual(2, len(pair))
        return {('type-twins', f'type {first["name"]} ({pair[1]})')}

    def planted_volumes(self):
        """Make a plain volume, a keyless one, and backups of them."""
        self.inside(*(*volumes.LUKS, '--name', self.name, '--no-verify'))
        plain, keyless = self.volume(), self.volume()
        self.sql(
            'UPDATE volumes SET encryption_key_id = NULL '
            f"WHERE id = '{plain['id']}'"
        )
        backup = self.backup(keyless)
        key_id = keyless.get('encryption_key_id')
        subject = f'volume {self.name} ({keyless["id"]})'
        found = {
            ('volume-not-encrypted', f'volume {self.name} ({plain["id"]})')
        }
        if key_id is None:
            return found | {
                ('volume-zero-key', subject),
                ('backup-zero-key', backup),
            }
        # A key that Barbican has shows that it is the key manager.
        self.volume()
        self.sdk.key_manager.delete_secret(key_id)
        return found | {
            ('volume-key-unknown', subject),
            ('backup-no-key', backup),
        }

    def volume(self):
        volume = self.sdk.block_storage.create_volume(
            size=1, name=self.name, volume_type=self.name
        )
        self.addCleanup(self.delete_volume, volume.id)
        self.sdk.block_storage.wait_for_status(volume, 'available', wait=120)
        return self.sdk.block_storage.get(
            f'/volumes/{volume.id}', microversion='3.64'
        ).json()['volume']

    def backup(self, volume):
        """Make a backup without a key; the lab has no cinder-backup."""
        backup = str(uuid.uuid4())
        self.sql(
            'INSERT INTO backups (id, created_at, deleted, user_id, '
            'project_id, volume_id, display_name, status, size, '
            f"object_count, num_dependent_backups) VALUES ('{backup}', "
            f"NOW(), 0, 'nobody', '{self.sdk.current_project_id}', "
            f"'{volume['id']}', '{self.name}', 'available', 1, 1, 0)"
        )
        self.addCleanup(self.sql, f"DELETE FROM backups WHERE id = '{backup}'")
        return f'backup {self.name} ({backup})'


class TestKeys(volumes.VolumesTest):
    """Keys on the hosts of the cloud: nova's, and cinder's."""

    def test_all_hosts(self):
        run = self.inside(*KEY_CHECK, '-f', 'json')
        self.assertEqual(0, run.status, str(run))
        subjects = {row['Subject'] for row in run.json()}
        self.assertTrue(any(name.endswith('cinder') for name in subjects))
        if os.environ.get('OSC_LAB_PROFILE', 'full') == 'full':
            self.assertIn('hosta nova', subjects)
            self.assertIn('hostb nova', subjects)

    def test_backend_that_nobody_set(self):
        """It is Barbican then, and not every lab has one."""
        folder = self.useFixture(fixtures.TempDir()).path
        path = pathlib.Path(folder, 'nova.conf')
        path.write_text('[key_manager]\n')
        _web, environ = self.proxy(
            local_hosts=['one'], config_files={'one': [str(path)]}
        )
        run = self.inside(
            *(*KEY_CHECK, '--host', 'one', '-f', 'json'), **environ
        )
        found = {
            row['Result']
            for row in run.json()
            if (row['Check'], row['Subject']) == ('key-backend', 'one nova')
        }
        wanted = 'ok' if self.has_barbican() else 'failed'
        self.assertEqual({wanted}, found, str(run))

    def test_a_host_with_another_key(self):
        """Files that "key generate" made stand for those of hosts."""
        folder = self.useFixture(fixtures.TempDir()).path
        paths = {}
        for host in ('one', 'two'):
            run = self.inside(
                *('volume', 'encryption', 'key', 'generate'),
                *('--output', f'{folder}/{host}', '-f', 'json'),
            )
            paths[host] = [run.json()['nova'], run.json()['cinder']]
        _web, environ = self.proxy(
            local_hosts=['one', 'two'], config_files=paths
        )
        run = self.inside(
            *(*KEY_CHECK, '--host', 'one', '--host', 'two', '-f', 'json'),
            **environ,
        )
        self.assertEqual(3, run.status, str(run))
        self.assertIn(
            'not the one that most have',
            [row['Message'] for row in run.json()][-1],
        )
        for files in paths.values():
            for path in files:
                key = pathlib.Path(path).read_text().split()[-1]
                self.assertNotIn(key, str(run))
