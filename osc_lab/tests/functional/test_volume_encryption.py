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

import json
import os
import pathlib
import subprocess
import time

import fixtures

from osc_lab.encryption import mark
from osc_lab.encryption import proof
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
        self.later('volume', 'delete', self.name)
        volume = self.json(
            *('volume', 'create', '--type', self.name, '--size', '1'),
            self.name,
        )
        self.assertTrue(volume['encrypted'])

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

    def scratch(self):
        answer = self.sdk.block_storage.get('/volumes/detail').json()
        return [
            item
            for item in answer['volumes']
            if proof.MARK in item['metadata']
        ]


class TestAudit(volumes.VolumesTest):
    """Defects that are planted in the cloud are found, each of them."""

    def setUp(self):
        super().setUp()
        self.before = self.findings()

    def findings(self):
        run = self.inside(*AUDIT, '-f', 'json')
        self.assertIn(run.status, (0, 3), str(run))
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

    def test_clean_types_and_volumes_give_nothing(self):
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
        wanted |= self.keyless()
        found = self.new()
        self.assertEqual(set(), wanted - found)
        self.assertEqual(set(), found - wanted)
        print(f'{len(wanted)} planted defects, all found')

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

    def keyless(self):
        """Make a volume whose key Barbican lost; or the fixed key's."""
        self.inside(*(*volumes.LUKS, '--name', self.name, '--no-verify'))
        volume = self.sdk.block_storage.create_volume(
            size=1, name=self.name, volume_type=self.name
        )
        self.addCleanup(self.delete_volume, volume.id)
        self.sdk.block_storage.wait_for_status(volume, 'available', wait=120)
        shown = self.sdk.block_storage.get(
            f'/volumes/{volume.id}', microversion='3.64'
        ).json()['volume']
        key_id = shown.get('encryption_key_id')
        subject = f'volume {self.name} ({volume.id})'
        if key_id is None:
            return {('volume-zero-key', subject)}
        self.sdk.key_manager.delete_secret(key_id)
        return {('volume-key-unknown', subject)}

    def delete_volume(self, volume_id):
        self.sdk.block_storage.delete_volume(volume_id)
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            path = f'/volumes/{volume_id}'
            if self.sdk.block_storage.get(path).status_code == 404:
                return
            time.sleep(0.5)


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


class TestWalkThrough(volumes.VolumesTest):
    """The manual procedure, end to end; doc/source/user/encryption.rst."""

    def server(self):
        image = next(
            item for item in self.sdk.image.images() if item.name == 'guest'
        )
        flavor = next(iter(self.sdk.compute.flavors()))
        network = next(iter(self.sdk.network.networks()))
        server = self.sdk.compute.create_server(
            name=self.name,
            image_id=image.id,
            flavor_id=flavor.id,
            networks=[{'uuid': network.id}],
        )
        self.addCleanup(self.delete_server, server)
        return self.sdk.compute.wait_for_server(server, wait=240)

    def delete_server(self, server):
        self.sdk.compute.delete_server(server)
        self.sdk.compute.wait_for_delete(server, wait=120)

    def test_attached_and_proven(self):
        """Keys, type, volume, attach, proof: on the raw file."""
        self.assertEqual(0, self.inside(*KEY_CHECK).status)
        server = self.server()
        barbican = self.has_barbican()
        size = '256' if barbican else '512'
        argv = (
            *(*volumes.LUKS, '--name', self.name, '--key-size', size),
            *('--property', 'volume_backend_name=blank'),
            *('--verify', 'attach', '--server', server.name, '-f', 'json'),
        )
        run = self.openstack(*argv)
        result = run.json()
        self.assertEqual('attach', result['verified'], str(run))
        self.assertIn(f'aes-xts-plain64, {size} bits', run.stderr)
        self.assertEqual(
            'barbican' if barbican else 'fixed-key', result['key_manager']
        )
        self.assertEqual([], list(self.sdk.compute.volume_attachments(server)))
        self.own_look(server)

    def own_look(self, server):
        """Do without our program: a volume, attached, read on disk."""
        volume = self.sdk.block_storage.create_volume(
            size=1, name=self.name, volume_type=self.name
        )
        self.addCleanup(self.sdk.block_storage.delete_volume, volume.id)
        self.sdk.block_storage.wait_for_status(volume, 'available', wait=120)
        self.sdk.compute.create_volume_attachment(server, volume_id=volume.id)
        self.sdk.block_storage.wait_for_status(volume, 'in-use', wait=120)
        try:
            (path,) = pathlib.Path(os.environ['OSC_LAB_STATE_DIR']).rglob(
                f'data/**/volume-{volume.id}'
            )
            info = json.loads(
                subprocess.check_output(
                    ['qemu-img', 'info', '-U', '--output=json', str(path)]
                )
            )
            self.assertEqual('luks', info['format'])
        finally:
            self.sdk.compute.delete_volume_attachment(server, volume)
            self.sdk.block_storage.wait_for_status(
                volume, 'available', wait=120
            )

    def test_volume_that_shrinks_is_seen_and_nothing_is_left(self):
        server = self.server()
        run = self.inside(
            *(*volumes.LUKS, '--name', self.name),
            *('--property', 'volume_backend_name=files'),
            *('--verify', 'attach', '--server', server.id),
        )
        self.assertEqual(5, run.status, str(run))
        self.assertIn('shrank', run.stderr)
        self.assertEqual([], self.types())
        self.assertEqual([], list(self.sdk.compute.volume_attachments(server)))
