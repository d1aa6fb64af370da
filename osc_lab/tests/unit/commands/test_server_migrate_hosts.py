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

"""A live migration with channels to its hosts: libvirt, and a shell."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import fixtures

from osc_lab import exceptions
from osc_lab.tests import openssl
from osc_lab.tests.unit.commands import migrations
from osc_lab.tests.unit import fake_cloud
from osc_lab.tests.unit import fake_libvirt

#: Runs here what OpenSSH would run on the host, unless it shall fail; what
#: is called /instances is elsewhere on host2.
SSH = """#!/bin/sh
for command; do :; done
case "$*" in
    *"$(cat "$0.fails") --"*) echo refused >&2; exit 255;;
    *'host2 --'*)
        command=$(printf %s "$command" | sed 's,/instances/,/other/,g')
        sed -u 's,/instances/,/other/,g' | sh -c "$command" |
            sed -u 's,/other/,/instances/,g'
        exit;;
esac
exec sh -c "$command"
"""


class TestLibvirt(migrations.HostsTest):
    def test_clean_pair(self):
        found = self.findings(
            *('vm1', '--host', 'host2', '--preflight'), settings=self.settings
        )
        self.assertEqual(set(), self.by_result(found))
        passed = {check for check, _host in self.by_result(found, 'ok')}
        self.assertLessEqual(
            {'cpu', 'machine-type', 'host-memory', 'libvirt-listen'}, passed
        )
        for name in ('host1', 'host2'):
            self.assertEqual(1, self.hosts[name].closed)

    def test_more_hosts_than_are_asked_at_once(self):
        """Nobody is connected to before the source has answered."""
        self.useFixture(fixtures.MonkeyPatch('osc_lab.workers.WIDTH', 1))
        found = self.findings('vm1', '--preflight', settings=self.settings)
        ranked = {
            item['subject']: item['result']
            for item in found
            if item['check'] == 'candidate'
        }
        self.assertEqual({'host2': 'ok', 'host3': 'ok'}, ranked)
        for name in self.hosts:
            self.assertEqual(1, self.hosts[name].closed)

    def test_source_that_hangs(self):
        """It holds nobody: the others have told what they know."""
        stop = threading.Event()
        self.addCleanup(stop.set)
        self.hosts['host1'].getHostname = lambda: stop.wait(60)
        found = self.check('libvirt-listen', '--host-timeout', '1', status=3)
        self.assertEqual({'host1': 'failed', 'host2': 'ok'}, found)
        self.assertEqual(1, self.hosts['host2'].closed)

    def test_destination_that_refuses(self):
        self.hosts['host2'].refuses = fake_libvirt.Error(
            'authentication failed: no'
        )
        found = self.check('libvirt-auth', status=3)
        self.assertEqual({'host1': 'ok', 'host2': 'failed'}, found)

    def test_source_that_refuses(self):
        """Nothing of the guest is known, which is no failure of others."""
        self.hosts['host1'].refuses = fake_libvirt.Error(
            'authentication failed: no'
        )
        found = self.check('cpu', status=3)
        self.assertNotEqual('ok', found['host2'])

    def test_destination_that_hangs(self):
        stop = threading.Event()
        self.addCleanup(stop.set)
        self.hosts['host2'].getHostname = lambda: stop.wait(60)
        found = self.check('libvirt-listen', '--host-timeout', '1', status=3)
        self.assertEqual({'host1': 'ok', 'host2': 'failed'}, found)

    def test_source_that_is_the_destination(self):
        """It is compared with itself, so its guest is there already."""
        found = self.check('domain-conflict', '--host', 'host1', status=3)
        self.assertEqual({'host1': 'failed'}, found)

    def test_cpu_that_is_less(self):
        self.hosts['host2'].compared = [
            fake_libvirt.Error('missing features: avx512', 91)
        ]
        self.assertEqual({'host2': 'failed'}, self.check('cpu', status=3))

    def test_guest_that_is_there_already(self):
        other = fake_libvirt.Guest('other')
        self.hosts['host2'].guests['other'] = other
        found = self.check('domain-conflict', status=3)
        self.assertEqual({'host2': 'failed'}, found)

    def test_machine_type_that_is_not_there(self):
        self.hosts['host2'].models = fake_libvirt.Error('invalid', 8)
        found = self.check('machine-type', status=3)
        self.assertEqual({'host2': 'failed'}, found)

    def test_forecast(self):
        self.useFixture(
            fixtures.MonkeyPatch('time.sleep', lambda seconds: None)
        )
        found = self.check('convergence', '--forecast', '--bandwidth', '500')
        # Nobody read the options of Nova.
        self.assertEqual({'host2': 'warning'}, found)
        self.guest.rates = fake_libvirt.Error('not supported')
        found = self.check(
            'convergence', '--forecast', '--bandwidth', '500', status=4
        )
        self.assertEqual({'host2': 'unknown'}, found)


class MoveTest(migrations.HostsTest):
    def setUp(self):
        super().setUp()
        sleep = time.sleep
        self.useFixture(
            fixtures.MonkeyPatch(
                'time.sleep', lambda seconds: sleep(min(seconds, 0.02))
            )
        )
        self.guest.jobs = [{'type': 2, 'memory_remaining': 1}]

    def move(self, *options, status=0, arrives=True):
        arrive = self.cloud._arrive

        def arrived():
            arrive()
            if arrives and self.cloud.migrations[0]['status'] == 'completed':
                guests = self.hosts['host1'].guests
                self.hosts['host2'].guests.update(guests)
                guests.clear()

        self.cloud._arrive = arrived
        self.cloud.steps = [
            fake_cloud.migration(name)
            for name in ('preparing', 'running', 'completed')
        ]
        found = self.findings(
            *('vm1', '--host', 'host2', '--wait', *options),
            status=status,
            settings=self.settings,
        )
        self.assertEqual('outcome', found[0]['check'])
        return {
            (item['check'], item['subject']): item['result'] for item in found
        }


class TestMove(MoveTest):
    def test_guest_runs_there_and_only_there(self):
        found = self.move()
        self.assertEqual('ok', found['domain', 'host1'])
        self.assertEqual('ok', found['domain', 'host2'])
        self.assertEqual('skipped', found['left-overs', 'host1'])

    def attached(self, *hosts, status=0):
        """Return what is said of a volume that another server has, too."""
        self.cloud.add_volume(
            'v1',
            multiattach=True,
            attachments=[{'server_id': 'other', 'host_name': 'host3'}]
            + [
                {'server_id': fake_cloud.SERVER, 'host_name': host}
                for host in hosts
            ],
        )
        found = self.move('--no-preflight', status=status)
        return found['volume-attachments', 'v1']

    def test_volume_that_servers_share(self):
        self.assertEqual('ok', self.attached('host2'))

    def test_volume_that_servers_share_and_the_old_host(self):
        self.assertEqual('failed', self.attached('host1', 'host2', status=5))

    def test_volume_that_only_another_server_has(self):
        self.assertEqual('failed', self.attached(status=5))

    def test_guest_stayed_behind_all_the_same(self):
        found = self.move(status=5, arrives=False)
        self.assertEqual('failed', found['domain', 'host2'])


class TestNoLibrary(migrations.HostsTest):
    """libvirt_uri stands in clouds.yaml, libvirt-python is not there."""

    def setUp(self):
        super().setUp()

        def library():
            raise exceptions.MissingLibrary('libvirt-python is missing')

        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.access.libvirt.library', library)
        )

    def refused(self, *argv):
        self.openstack(*argv, status=1, settings=self.settings)
        self.assertIn('libvirt-python is missing', self.err)
        self.assertEqual([], self.cloud.writes())

    def test_told_before_anything_is_done(self):
        self.refused('vm1', '--host', 'host2', '--no-preflight', '--wait')

    def test_no_fault_of_the_hosts(self):
        self.cloud.migrations = [fake_cloud.migration('error')]
        self.refused('--explain', '5')


class TestLostSight(MoveTest):
    """What fails here after the request is no failure of the migration."""

    def fails(self, where, status):
        def fail(*args):
            raise KeyError('identities')

        self.useFixture(fixtures.MonkeyPatch(where, fail))
        return self.move('--no-preflight', status=status)

    def test_of_the_migration(self):
        found = self.fails('osc_lab.migration.drive.Driver._settled', 4)
        self.assertEqual({('outcome', 'vm1'): 'unknown'}, found)

    def test_of_what_it_left(self):
        found = self.fails('osc_lab.migration.verify.verify', 4)
        self.assertEqual(
            {('outcome', 'vm1'): 'ok', ('reason', 'vm1'): 'unknown'}, found
        )


class ShellTest(MoveTest):
    """All hosts are this machine, seen through a stand-in for OpenSSH."""

    def setUp(self):
        super().setUp()
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.ssh = folder / 'ssh'
        self.ssh.write_text(SSH)
        self.ssh.chmod(0o755)
        (folder / 'ssh.fails').write_text('nobody')
        self.useFixture(
            fixtures.EnvironmentVariable(
                'PATH', f'{folder}:{os.environ["PATH"]}'
            )
        )
        self.files = {}
        for name in self.hosts:
            self.files[name] = folder / f'nova-{name}.conf'
            self.configure(name)
        # What the guest has is at the source, and only there.
        self.instances = folder / 'instances'
        self.folder = self.instances / fake_cloud.SERVER
        self.folder.mkdir(parents=True)
        disk = self.folder / 'disk'
        disk.touch()
        self.guest.disk = str(disk)
        self.settings.update(
            {
                'ssh': '{host}',
                'ovsdb': f'unix:{folder}/none',
                'config_files': {
                    name: [str(path)] for name, path in self.files.items()
                },
            }
        )

    def configure(self, name, default='', libvirt=''):
        # No name is looked up, and no packet leaves this machine.
        self.files[name].write_text(
            f'[DEFAULT]\nhost = {name}\n{default}\n'
            f'instances_path = {self.files[name].parent}/instances\n'
            '[libvirt]\nlive_migration_inbound_addr = 127.0.0.1\n'
            f'{libvirt}\n'
        )


class TestShell(ShellTest):
    def test_options_that_break_a_migration(self):
        self.configure('host1', libvirt='live_migration_tunnelled = true')
        found = self.check('migration-options', status=3)
        self.assertEqual({'host2': 'failed'}, found)

    def test_options_in_a_folder(self):
        folder = self.ssh.parent / 'nova.conf.d'
        folder.mkdir()
        self.settings['config_files']['host1'].append(str(folder))
        (folder / 'flags.conf').write_text(
            '[libvirt]\nlive_migration_tunnelled = true\n'
        )
        found = self.check('migration-options', status=3)
        self.assertEqual({'host2': 'failed'}, found)

    def test_no_options_are_no_defaults(self):
        self.files['host1'].unlink()
        wanted = ('qemu-processes', 'libvirt-tls', 'migration-options')
        found = self.findings(
            *('vm1', '--host', 'host2', '--preflight'),
            *(f'--check={name}' for name in wanted),
            status=4,
            settings=self.settings,
        )
        self.assertEqual(set(wanted), {item['check'] for item in found})
        self.assertEqual({'unknown'}, {item['result'] for item in found})

    def test_certificates_that_nobody_can_see(self):
        loop = self.ssh.parent / 'loop'
        loop.symlink_to(loop)
        paths = {
            f'{loop}/{role}': ('libvirt', role)
            for role in ('ca', 'server', 'client')
        }
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.access.certificates.PATHS', paths)
        )
        self.configure('host1', libvirt='live_migration_scheme = tls')
        found = self.check('libvirt-tls', status=3)
        self.assertEqual({'host1': 'unknown', 'host2': 'unknown'}, found)

    def test_certificates_that_the_guest_sees(self):
        authority = openssl.authority(self.ssh.parent / 'ca')
        path = str(authority.certificate)
        for name, value in (
            ('PATHS', {path: ('qemu', 'ca')}),
            ('OF_GUEST', (path,)),
        ):
            self.useFixture(
                fixtures.MonkeyPatch(
                    f'osc_lab.access.certificates.{name}', value
                )
            )
        self.configure(
            'host1', libvirt='live_migration_with_native_tls = true'
        )
        look = ('qemu-processes', '--check', 'qemu-processes')
        self.assertEqual({'host1': 'unknown'}, self.check(*look, status=4))
        with subprocess.Popen(
            [sys.executable, '-c', 'input()', '-uuid', fake_cloud.SERVER],
            stdin=subprocess.PIPE,
        ) as guest:
            self.assertEqual({'host1': 'ok'}, self.check(*look))
            guest.communicate(b'\n')

    def test_files_of_cinder_are_no_files_of_nova(self):
        other = self.ssh.parent / 'cinder.conf'
        other.write_text('[libvirt]\nlive_migration_tunnelled = true\n')
        for paths in self.settings['config_files'].values():
            paths.append(str(other))
        self.assertEqual(
            {'host2': 'ok'}, self.check('migration-options', status=3)
        )

    def test_files_that_are_no_mapping(self):
        self.settings['config_files'] = ['/etc/nova/nova.conf']
        self.openstack('vm1', '--preflight', status=2, settings=self.settings)
        self.assertIn('config_files', self.err)

    def test_cells_that_differ(self):
        for name, place in (('host1', 'one'), ('host2', 'two')):
            self.configure(name, f'transport_url = rabbit://u:p@{place}:5672/')
        self.assertEqual(
            {'host2': 'unknown'},
            self.check('same-cell', '--check', 'same-cell', status=4),
        )

    def test_host_without_a_shell(self):
        (self.ssh.parent / 'ssh.fails').write_text('host2')
        found = self.check('migration-options', status=3)
        self.assertEqual({'host2': 'unknown'}, found)


class TestAftermath(ShellTest):
    """What the shells of the hosts tell when it is over."""

    def arrives(self, call):
        """Do something as soon as the server is at the destination."""
        arrive = self.cloud._arrive

        def arrived():
            arrive()
            if self.cloud.migrations[0]['status'] == 'completed':
                call()

        self.cloud._arrive = arrived

    def left_overs(self):
        # Nobody answers at the OVSDB, so the mirrors are not seen.
        found = self.move('--ignore-check', 'all', status=4)
        self.assertEqual('unknown', found['mirrors', 'vm1'])
        return found.get(('left-overs', 'host1'))

    def test_nothing_is_left(self):
        self.arrives(lambda: shutil.rmtree(self.folder))
        self.assertEqual('ok', self.left_overs())

    def test_folder_that_stays(self):
        self.assertEqual('warning', self.left_overs())

    def test_folder_that_the_shell_never_saw(self):
        shutil.rmtree(self.folder)
        self.assertEqual('unknown', self.left_overs())

    def test_shared_storage(self):
        """It is the same folder on both hosts."""
        (self.ssh.parent / 'other').symlink_to(self.instances)
        self.assertIsNone(self.left_overs())

    def test_host_that_does_not_answer_any_more(self):
        fails = self.ssh.parent / 'ssh.fails'
        self.arrives(lambda: fails.write_text('host1'))
        self.assertEqual('unknown', self.left_overs())

    def test_folder_that_nobody_has_read(self):
        found = self.move('--no-preflight', status=4)
        self.assertEqual('skipped', found['left-overs', 'host1'])

    def test_log_without_a_reason(self):
        """Each says why there is none."""
        self.cloud.migrations = [fake_cloud.migration('error')]
        none = 'No file was found there that nova-compute logs to.'
        for answer, text in (
            ({}, none),
            ({'log': {'files': [], 'unread': [], 'lines': []}}, none),
            ({'log': {'files': ['/a.log'], 'lines': []}}, 'tells none'),
            (
                {'log': {'files': ['/a.log'], 'unread': ['/a.log']}},
                'This user may not read /a.log there.',
            ),
        ):
            self.ssh.write_text(
                f"#!/bin/sh\ncat >/dev/null; echo '{json.dumps(answer)}'\n"
            )
            found = self.findings(
                *('vm1', '--explain', '5'), status=5, settings=self.settings
            )
            (item,) = [item for item in found if item['check'] == 'reason']
            self.assertIn('Nova keeps no reason', item['message'])
            self.assertIn(text, item['message'])
            self.assertIn('by hand', item['remedy'])

    def test_log_of_this_machine(self):
        """That of the process, for the host tells which it has open."""
        self.cloud.migrations = [fake_cloud.migration('error')]
        log = self.ssh.parent / 'nova-compute.log'
        log.write_text(
            f'1 ERROR {fake_cloud.SERVER} Live Migration failure: '
            'libvirtError: so it was\n'
        )
        program = self.ssh.parent / 'nova-compute'
        program.write_text('import sys; print(flush=True); sys.stdin.read()')
        with (
            open(log, 'a') as stream,
            subprocess.Popen(
                [sys.executable, program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
            ) as process,
        ):
            process.stdout.readline()
            found = self.findings(
                *('vm1', '--explain', '5'), status=5, settings=self.settings
            )
        self.assertIn('so it was', ' '.join(item['message'] for item in found))

    def test_log_that_cannot_be_read(self):
        (self.ssh.parent / 'ssh.fails').write_text('host1')
        self.cloud.migrations = [fake_cloud.migration('error')]
        found = self.findings(
            *('vm1', '--explain', '5'), status=5, settings=self.settings
        )
        self.assertIn(
            'Try it by hand', ' '.join(item['remedy'] for item in found)
        )
