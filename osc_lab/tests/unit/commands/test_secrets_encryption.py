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

"""No command of volume encryption shows a secret, even if it fails."""

import json
import os
import pathlib
from unittest import mock

import fixtures
import testtools

from osc_lab.tests.unit.access import test_disk
from osc_lab.tests.unit import cinder
from osc_lab.tests.unit.commands import secrecy
from osc_lab.tests.unit.commands import test_volume_encryption_attach


class TestVolumeEncryption(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(
            cinder.Cloud(services=('block-storage', 'key-manager', 'compute'))
        )
        self.secrecy = self.useFixture(secrecy.Secrecy(self))
        self.settings()

    def settings(self, **more):
        path = pathlib.Path(self.cloud._path)
        clouds = json.loads(path.read_text())
        clouds['clouds']['test']['osc_lab'] = {
            'ssh': 'local',
            'local_hosts': ['hosta'],
            'config_files': {
                host: list(self.secrecy.files.values())
                for host in ('hosta', 'local')
            },
            **more,
        }
        path.write_text(json.dumps(clouds))

    def preset(self, name):
        self.secrecy.through(
            *('volume', 'encryption', 'preset', name, '-f', 'json')
        )

    def test_luks(self):
        self.preset('luks')

    def test_luks_aes256(self):
        self.preset('luks-aes256')

    def test_luks2(self):
        self.preset('luks2')

    def test_plan_and_list(self):
        preset = ('volume', 'encryption', 'preset')
        self.secrecy.look(*preset, 'luks', '--dry-run')
        self.secrecy.through(*preset, 'list')
        self.secrecy.through(*preset, 'show', 'luks')

    def test_audit(self):
        self.cloud.add('LUKS-gold')
        self.secrecy.through(
            *('volume', 'encryption', 'audit', '--long', '-f', 'json'),
            status=3,
        )

    def test_proof_on_a_host(self):
        host = self.useFixture(test_disk.Host())
        self.useFixture(
            test_volume_encryption_attach.NamedDisk(self.cloud, host)
        )
        size = 2**30 - test_disk.PAYLOAD
        host.block({'image': {'virtual-size': size}})
        self.secrecy.through(
            *('volume', 'encryption', 'preset', 'luks', '--key-size', '512'),
            *('--verify', 'attach', '--server', 's1'),
        )

    def test_key_check(self):
        check = ('volume', 'encryption', 'key', 'check', '--long')
        self.secrecy.through(*check, '--host', 'local', status=4)
        self.secrecy.look(*check, '-f', 'json')

    def test_keys_that_are_wrong(self):
        """The files are wrong in ways that invite to show the line."""
        check = ('volume', 'encryption', 'key', 'check', '--long')
        key = self.secrecy.canaries.key
        nova = pathlib.Path(self.secrecy.files['nova'])
        section = '[key_manager]\nfixed_key'
        for number, text in enumerate(
            (
                f'{section} {{}}\n',
                f'{section} = {{}}g\n',
                f'{section} = {{}}1\n',
                '[key_manager\nfixed_key = {}\n',
                f'{section} = "{{}}\n',
                'backend = x\nfixed_key: {}{}\n',
            )
        ):
            value = key(f'wrong-{number}')
            nova.write_text(text.replace('{}', value))
            status, _out, _err = self.secrecy.look(*check, '--host', 'local')
            self.assertIn(status, (3, 4))

    def test_file_that_shrinks_while_it_is_read(self):
        """What follows is not what the header said."""
        value = self.secrecy.canaries.key('late')
        folder = pathlib.Path(self.cloud._path).parent
        program = folder / 'head'
        # As much as was announced, and then what should not be there.
        program.write_text(
            '#!/bin/sh\nprintf "%$(($2 - 1))s\\n" ""\n'
            f'echo "fixed_key = {value}"\n'
        )
        program.chmod(0o755)
        self.useFixture(
            fixtures.EnvironmentVariable(
                'PATH', f'{folder}:{os.environ["PATH"]}'
            )
        )
        status, out, _err = self.secrecy.look(
            *('volume', 'encryption', 'key', 'check', '--host', 'local')
        )
        self.assertEqual(4, status)
        self.assertIn('cannot be understood', out)

    def test_key_generate(self):
        generate = ('volume', 'encryption', 'key', 'generate')
        folder = pathlib.Path(self.cloud._path).parent / 'k'
        made = []

        def key(bits):
            made.append(self.secrecy.canaries.key(f'new-{bits}', bits // 4))
            return made[-1]

        with mock.patch('osc_lab.encryption.shared_key.new_key', key):
            for status in (0, 2):
                found = self.secrecy.look(
                    *(*generate, '--output', folder, '-f', 'json')
                )
                self.assertEqual(status, found[0])
        self.assertEqual(2, len(made))
        self.assertIn(made[0], (folder / 'nova-key-manager.conf').read_text())
