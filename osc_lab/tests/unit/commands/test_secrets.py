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

"""No command shows a secret, whether it succeeds or fails."""

import configparser
import json
import logging
import os
import pathlib
import re
import shutil
import stat
import struct
import subprocess
import sys
from unittest import mock

from benchmarks import cloud

import fixtures
import testtools

import osc_lab
from osc_lab.tests.unit.access import test_disk
from osc_lab.tests.unit import canary
from osc_lab.tests.unit import cinder
from osc_lab.tests.unit.commands import migrations
from osc_lab.tests.unit.commands import mirrors
from osc_lab.tests.unit.commands import test_volume_encryption_attach
from osc_lab.tests.unit import fake_cloud

#: The commands that the tests below take through all faults.
LOOKED_AT = {
    'port_mirror_capture',
    'port_mirror_create',
    'port_mirror_delete',
    'port_mirror_list',
    'port_mirror_prune',
    'port_mirror_show',
    'port_topology_show',
    'server_migrate_live',
    'volume_encryption_audit',
    'volume_encryption_key_check',
    'volume_encryption_key_generate',
    'volume_encryption_preset_list',
    'volume_encryption_preset_luks',
    'volume_encryption_preset_luks-aes256',
    'volume_encryption_preset_luks2',
    'volume_encryption_preset_show',
}

NOVA_CONF = """[DEFAULT]
transport_url = rabbit://nova:{rabbit}@192.0.2.1:5672/
[key_manager]
backend = nova.keymgr.conf_key_mgr.ConfKeyManager
fixed_key = {fixed_key}
[libvirt]
live_migration_uri = qemu+tcp://nova:{migration_uri}@%s/system
[neutron]
password = {neutron}
"""

CINDER_CONF = """[key_manager]
backend = cinder.keymgr.conf_key_mgr.ConfKeyManager
fixed_key = {fixed_key}
[database]
connection = mysql://cinder:{database}@192.0.2.1/cinder
"""


class Secrecy(fixtures.Fixture):
    """What the tests of all commands share.

    :ivar run: called with arguments, gives (status, stdout, stderr)
    """

    def __init__(self, test, run):
        self.test, self.run = test, run
        self.canaries = canary.Canaries()

    def _setUp(self):
        self.watch = self.useFixture(canary.Watch(self.canaries))
        self.useFixture(
            fixtures.MonkeyPatch('time.sleep', lambda seconds: None)
        )
        root = logging.getLogger()
        self.addCleanup(root.setLevel, root.level)
        self.addCleanup(setattr, root, 'handlers', list(root.handlers))
        self.files = {}
        self.canaries.key('fixed_key')
        for name, text in (('nova', NOVA_CONF), ('cinder', CINDER_CONF)):
            path = self.watch.home.parent / f'{self.watch.home.name}.{name}'
            self.addCleanup(path.unlink)
            path.touch(0o640)
            path.write_text(
                text.format_map(
                    {
                        key: self.canaries[key]
                        for key in re.findall(r'{(\w+)}', text)
                    }
                )
            )
            self.files[name] = str(path)

    def look(self, *argv, allowed=(), secret=()):
        """Run a command and insist that nothing came out.

        :param allowed: names of secrets that the shell itself may show
        :param secret: what else must not come out
        """
        root = logging.getLogger()
        handlers = list(root.handlers)
        log = self.watch.home / 'log'
        log.unlink(missing_ok=True)
        try:
            status, out, err = self.run('--debug', '--log-file', log, *argv)
        finally:
            root.handlers = handlers
        text = log.read_text()
        log.unlink()
        self.test.assertIn('END return value', text)
        found = self.watch.leaks(
            out, err, text, allowed=('auth-url', *allowed)
        )
        self.test.assertEqual(
            set(), found, f'{argv} {self.watch.fault}: {status}'
        )
        return status, out, err

    def through(self, *argv, status=0, **kwargs):
        """Run a command that works, and with every fault from the start.

        The answer that repeats what it got comes once in place of the
        last one, too.
        """
        self.watch.count = 0
        found, out, err = self.look(*argv, **kwargs)
        self.test.assertEqual(status, found, (out + err)[-2000:])
        requests = self.watch.count
        for fault, first in (
            *((fault, 1) for fault in canary.FAULTS if requests),
            *((fault, requests) for fault in (403, 500) if requests > 1),
        ):
            self.watch.count = 0
            self.watch.fault, self.watch.first = fault, first
            self.look(*argv, **kwargs)
        self.watch.fault = None


def in_cinder(*argv):
    found = cinder.Run(*map(str, argv))
    return found.status, found.stdout, found.stderr


class TestVolumeEncryption(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(
            cinder.Cloud(services=('block-storage', 'key-manager', 'compute'))
        )
        self.secrecy = self.useFixture(Secrecy(self, in_cinder))
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


class TestMigration(migrations.CommandTest):
    LIVE = migrations.LIVE

    def setUp(self):
        super().setUp()
        self.shell = self.useFixture(fake_cloud.Mocked(self.cloud))
        self.secrecy = self.useFixture(
            Secrecy(self, lambda *argv: self.shell.run(*map(str, argv)))
        )
        path = pathlib.Path(os.environ['OS_CLIENT_CONFIG_FILE'])
        clouds = json.loads(path.read_text())
        clouds['clouds']['test']['osc_lab'] = {
            'ssh': 'local',
            'host_timeout': 20,
            'config_files': {
                f'host{number}': [self.secrecy.files['nova']]
                for number in (1, 2, 3)
            },
        }
        path.write_text(json.dumps(clouds))
        # Its answers hold the secret of a volume.
        self.cloud.add_volume('v1', encrypted=True, key='k1')
        self.cloud.secrets['k1'] = 200
        original = self.cloud._key_manager

        def key_manager(method, path, query, body):
            status, _body = original(method, path, query, body)
            return status, {'payload': self.secrecy.canaries['passphrase']}

        self.cloud._key_manager = key_manager

    def test_preflight(self):
        live = (*migrations.LIVE, 'vm1', '--preflight', '--long')
        _status, out, err = self.secrecy.look(*live, '-f', 'json')
        self.assertIn('volume-secrets', out)
        self.assertIn('qemu+tcp://nova@host2/system', out + err)
        self.secrecy.through(*live, '--host', 'host2', status=3)

    def test_migration(self):
        self.cloud.steps = [
            fake_cloud.migration('running'),
            fake_cloud.migration('completed'),
        ]
        live = (*migrations.LIVE, 'vm1', '--host', 'host2', '--wait')
        self.secrecy.through(*live, '--no-preflight')

    def failed(self):
        """Let a migration have failed."""
        self.cloud.migrations = [fake_cloud.migration('error')]
        self.cloud.server['status'] = 'ERROR'
        address = f'qemu+tcp://u:{self.secrecy.canaries["event"]}@host2/system'
        event = {
            'event': 'compute_live_migration',
            'host': 'host1',
            'result': 'Error',
            'start_time': '2026-01-01T00:00:01',
            'finish_time': '2026-01-01T00:00:02',
            'details': f'libvirtError: cannot reach {address}',
        }
        self.cloud.actions['req-1'] = {
            'request_id': 'req-1',
            'action': 'live-migration',
            'start_time': '2026-01-01T00:00:00',
            'events': [event],
        }
        self.cloud.server['fault'] = {'message': f'no {address}'}

    def test_explanation(self):
        self.failed()
        self.secrecy.through(*migrations.LIVE, '--explain', '5', status=5)

    def test_repair(self):
        self.failed()
        self.secrecy.through(*migrations.LIVE, 'vm1', '--repair', status=3)

    def test_option_of_the_stock_command(self):
        # With --debug the stock command shows what it does itself.
        status, out, err = self.secrecy.run(
            *('server', 'migrate', '--live-migration', '--preflight', 'vm1')
        )
        self.assertEqual(3, status)
        self.assertEqual(set(), self.secrecy.watch.leaks(out, err))

    def test_password_in_an_address(self):
        """It is refused, and not shown."""
        address = f'qemu+tcp://u:{self.secrecy.canaries["address"]}@{{host}}/'
        live = (*migrations.LIVE, 'vm1', '--preflight')
        for option in ('--libvirt-uri', '--ssh'):
            status, _out, err = self.secrecy.look(
                *live, option, address, allowed=['address']
            )
            self.assertEqual(2, status)
            self.assertIn('a password has no place', err)
        self.useFixture(
            fixtures.EnvironmentVariable('OS_LAB_LIBVIRT_URI', address)
        )
        self.assertEqual(2, self.secrecy.look(*live)[0])


class TestLogin(testtools.TestCase):
    """Each way to log in, when it works and when Keystone refuses."""

    PRESET = ('volume', 'encryption', 'audit')

    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(cinder.Cloud())
        self.secrecy = self.useFixture(Secrecy(self, in_cinder))
        self.useFixture(fixtures.EnvironmentVariable('OS_PASSWORD'))
        self.secrecy.watch.echoed = ('token',)

    def log_in(self, *argv, **allowed):
        """Use a cloud without a password of its own."""
        status, _out, err = self.secrecy.look(*argv, *self.PRESET, **allowed)
        self.assertEqual(0, status, err)
        for fault in canary.FAULTS:
            self.secrecy.watch.keystone = fault
            status, _out, err = self.secrecy.look(
                *argv, *self.PRESET, **allowed
            )
            self.assertEqual(1, status, err)

    def without_password(self, **auth):
        """Let clouds.yaml have this in place of a user and a password."""
        path = pathlib.Path(self.cloud._path)
        (path.parent / 'secure.yaml').write_text('{}')
        clouds = json.loads(path.read_text())
        cloud = clouds['clouds']['test']
        url = cloud['auth']['auth_url']
        project = {
            'project_name': 'p',
            'project_domain_id': 'default',
        }
        cloud['auth'] = {'auth_url': url, **(auth or project)}
        path.write_text(json.dumps(clouds))

    def environment(self, **names):
        for name, value in names.items():
            self.useFixture(fixtures.EnvironmentVariable(name, value))

    def test_files(self):
        self.log_in()

    def test_environment(self):
        value = self.secrecy.canaries['OS_PASSWORD']
        self.environment(OS_PASSWORD=value)
        self.log_in()

    def test_option(self):
        value = self.secrecy.canaries['option']
        self.log_in('--os-password', value, allowed=['option'])

    def test_token(self):
        self.without_password()
        self.environment(
            OS_AUTH_TYPE='token', OS_TOKEN=self.secrecy.canaries['OS_TOKEN']
        )
        self.log_in()

    def test_application_credential(self):
        self.without_password(
            application_credential_id='a',
            application_credential_secret=self.secrecy.canaries['app'],
        )
        self.environment(OS_AUTH_TYPE='v3applicationcredential')
        self.log_in()

    def test_password_with_quotes(self):
        """The shell itself ends at the first quote."""
        value = self.secrecy.canaries['quoted']
        value = self.secrecy.canaries.values['quoted'] = f'a"b\'c{value}'
        self.environment(OS_PASSWORD=value)
        self.log_in(allowed=['quoted'])


class TestMirrors(mirrors.MirrorTest):
    def setUp(self):
        super().setUp()
        self.secrecy = self.useFixture(
            Secrecy(self, lambda *argv: self.shell.run(*map(str, argv)))
        )
        header = struct.pack('<IHHiIII', 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
        record = struct.pack('<IIII', 1, 2, 4, 4) + b'ping'
        (self.folder / 'calls.pcap').write_bytes(header + 3 * record)
        (self.folder / 'calls.status').write_text('124')

    def mirror(self, *argv, **kwargs):
        self.secrecy.through('port', 'mirror', *argv, **kwargs)

    def test_create_and_delete(self):
        create = ('create', 'one', '--name', 'm', '--wait', '0')
        self.mirror(*create, '--dry-run')
        self.mirror(*create, '-f', 'json')
        self.mirror('show', 'm')
        self.mirror('list', '--long')
        self.mirror('prune', '--dry-run')
        self.secrecy.look('port', 'mirror', 'delete', 'm')

    def test_capture(self):
        file = self.folder / 'f.pcap'
        self.mirror('capture', 'one', '--file', file, '--force')
        self.assertEqual(0o600, stat.S_IMODE(file.stat().st_mode))

    def test_topology(self):
        show = ('port', 'topology', 'show', 'one')
        self.secrecy.through(*show)
        self.secrecy.look(*show, '--format-graph', 'svg')

    def test_host_that_fails(self):
        (self.folder / 'calls.fail').touch()
        self.mirror('create', 'one', '--wait', '0', status=1)
        self.assertTrue(self.secrecy.watch.children)


class TestProcess(mirrors.MirrorTest):
    """The shell in a process, and programs that tell what they are given."""

    #: What is started here, or by the local shell of the last command.
    PROGRAMS = ('ssh', 'dot', 'wireshark', 'sh', 'python3', 'virsh')

    def setUp(self):
        super().setUp()
        self.canaries = canary.Canaries()
        self.server = self.enter(cloud.serve(self.cloud))
        self.server.token = self.canaries['token']
        self.home = self.folder / 'home'
        self.home.mkdir()
        self.record = self.folder / 'record'
        self.record.touch()
        (self.folder / 'told').mkdir()
        drain = self.folder / 'drain'
        drain.write_text('#!/bin/sh\nexec cat >/dev/null\n')
        drain.chmod(0o755)
        for name in self.PROGRAMS:
            self.stand_in(name)
        self.configuration = self.folder / 'nova.conf'
        values = {
            name: self.canaries[name]
            for name in re.findall(r'{(\w+)}', NOVA_CONF)
        }
        self.configuration.write_text(NOVA_CONF.format_map(values))
        header = struct.pack('<IHHiIII', 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
        record = struct.pack('<IIII', 1, 2, 4, 4) + b'ping'
        (self.folder / 'calls.pcap').write_bytes(header + 3 * record)
        (self.folder / 'calls.status').write_text('124')

    def enter(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def stand_in(self, name):
        program = shutil.which(name) or self.folder / 'drain'
        path = self.folder / 'told' / name
        path.write_text(
            canary.STAND_IN.format(record=self.record, program=program)
        )
        path.chmod(0o755)

    def environment(self, **access):
        secret = self.canaries
        auth = {
            'auth_url': f'{self.server.url}/identity/v3',
            'username': 'u',
            'project_name': 'p',
            'user_domain_id': 'default',
            'project_domain_id': 'default',
            'password': secret['clouds-yaml'],
        }
        clouds = {
            'test': {'auth': auth, 'region_name': 'R', 'osc_lab': access}
        }
        path = self.folder / 'clouds.yaml'
        path.write_text(json.dumps({'clouds': clouds}))
        return {
            **os.environ,
            'PATH': f'{self.folder}/told:{os.environ["PATH"]}',
            'HOME': str(self.home),
            'TMPDIR': str(self.home),
            'OS_CLIENT_CONFIG_FILE': str(path),
            'OS_CLOUD': 'test',
            'OS_PASSWORD': secret['OS_PASSWORD'],
        }

    def look(self, *argv, status=0, **access):
        log = self.home / 'log'
        done = subprocess.run(
            [
                *(sys.executable, '-m', 'openstackclient.shell'),
                *('--debug', '--log-file', str(log), *argv),
            ],
            env=self.environment(**access),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual(status, done.returncode, done.stderr[-3000:])
        texts = [done.stdout, done.stderr, self.record.read_text()]
        texts += [
            path.read_text(errors='replace')
            for path in self.home.rglob('*')
            if path.is_file()
        ]
        for text in texts:
            for line in text.splitlines():
                self.assertEqual(set(), self.canaries.found(line), line)
        return self.record.read_text()

    def test_programs(self):
        told = self.look(
            *('port', 'mirror', 'capture', 'one', '--wireshark'),
            **self.settings,
        )
        told += self.look(
            *('port', 'topology', 'show', 'one', '--format-graph', 'svg'),
            **self.settings,
        )
        for program in ('ssh', 'wireshark', 'dot'):
            self.assertIn(f'{self.folder}/told/{program}', told)
        self.assertNotIn('OS_CLOUD', told)

    def test_probe_on_this_machine(self):
        told = self.look(
            *('server', 'migrate', 'live', 'vm', '--preflight'),
            status=3,
            ssh='local',
            host_timeout=20,
            config_files={
                name: [str(self.configuration)] for name in self.HOSTS
            },
        )
        self.assertIn(f'{self.folder}/told/python3', told)
        self.assertIn('qemu+tcp://nova@host2/system', told)


class TestAll(testtools.TestCase):
    def test_each_command_is_looked_at(self):
        """A command that is new has to be taken through above."""
        parser = configparser.ConfigParser()
        root = pathlib.Path(osc_lab.__file__).parent.parent
        parser.read(root / 'setup.cfg')
        commands = {
            line.partition('=')[0].strip()
            for line in parser['entry_points']['openstack.lab.v1'].split('\n')
            if line
        }
        self.assertEqual(LOOKED_AT, commands)
