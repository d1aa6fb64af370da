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

"""Each cause found before, met when forced, explained, and cured.

A test makes one cause for real, sees that the checks name it and nothing
else, migrates all the same, sees that the result and --explain name it
again, undoes it as the remedy says, and sees that nothing is left to find.
"""

import contextlib
import datetime
import re
import signal
import time

import openstack

from osc_lab.tests.functional import compute
from osc_lab.tests.functional import volumes

#: Of libvirt and of QEMU.
LIBVIRT = 'tcp dport 16509'
DATA = 'tcp dport 49152-49215'

#: Of a certificate that is to expire.
LIFE = datetime.timedelta(seconds=25)


class ThroughTest(compute.ComputeTest):
    """Takes a cause through all that a user would do."""

    def setUp(self):
        super().setUp()
        # What a test leaves in ERROR is not the fault of the next one.
        self.addCleanup(self.mended)

    def through(self, cause, *checks, options=(), other=()):
        """Make a cause, and see it named by these checks alone.

        :param other: checks that a forced run may name instead
        """
        with cause:
            found = self.preflight(*options, status=3)
            failed = self.results(found, 'failed')
            self.assertEqual(
                {(check, self.other) for check in checks},
                self.failed(found),
                found,
            )
            for item in failed:
                self.assertTrue(item['Remedy'], item)
            self.forced({*checks, *other}, options)
        self.mended()
        self.wait_for(self.clean, 'a clean preflight')

    def clean(self):
        """Return whether nothing is wrong; follow a remedy on the way."""
        found = self.results(self.preflight(), 'failed')
        for item in found:
            left = re.search(r'file lies at (\S+)/disk ', item['Message'])
            if left and 'remove its folder' in item['Remedy']:
                self.run_on(self.other, 'rm', '-r', left[1])
        return not found

    def wait_for(self, check, what):
        """Wait; libvirt may still try to reach the other end for minutes."""
        limit = time.monotonic() + 240
        while not check():
            self.assertLess(time.monotonic(), limit, what)
            time.sleep(2)

    def forced(self, checks, options=()):
        found = self.live(
            self.server,
            *('--host', self.other, '--wait', '--no-preflight'),
            *options,
            status=5,
        )
        self.assertEqual('outcome', found[0]['Check'])
        self.assertNamed(checks, found)
        migration = self.json(
            *('server', 'migration', 'list', '--server', self.server),
            cloud=self.ADMIN,
        )[0]
        self.assertNamed(
            checks, self.live('--explain', str(migration['Id']), status=5)
        )
        server = self.show()
        self.assertEqual(self.source, server['OS-EXT-SRV-ATTR:host'])
        if server['status'] == 'ERROR':
            self.assertIn('--repair', found[0]['Remedy'])

    def assertNamed(self, checks, found):
        named = {i['Check'] for i in self.results(found, 'failed')}
        self.assertTrue(named & set(checks), found)
        self.assertEqual(set(), named - {'outcome', *checks}, found)

    def mended(self):
        if self.show()['status'] == 'ERROR':
            self.wait_for(
                lambda: (
                    self.failed(
                        self.live(self.server, '--repair', status=None)
                    )
                    == set()
                ),
                'the repair',
            )
        self.assertEqual('ACTIVE', self.show()['status'])


class TestWay(ThroughTest):
    """libvirt and the network between the hosts."""

    def test_libvirt_does_not_listen(self):
        self.through(self.libvirtd(self.other, listen=False), 'libvirt-listen')

    def test_libvirt_is_rejected(self):
        rule = f'{LIBVIRT} reject with tcp reset'
        self.through(self.firewall(self.other, rule), 'libvirt-listen')

    def test_libvirt_is_dropped(self):
        self.through(
            self.firewall(self.other, f'{LIBVIRT} drop'), 'libvirt-listen'
        )

    def test_data_is_rejected(self):
        self.through(
            self.firewall(self.other, f'{DATA} reject'), 'migration-ports'
        )

    def test_data_is_dropped(self):
        self.through(
            self.firewall(self.other, f'{DATA} drop'), 'migration-ports'
        )

    def test_sasl_without_credentials(self):
        self.through(
            self.libvirtd(self.other, auth_tcp='sasl'), 'libvirt-auth'
        )

    def test_host_key_unknown(self):
        self.through(
            self.nova_options(self.source, live_migration_scheme='ssh'),
            'libvirt-auth',
        )

    def test_same_host_uuid(self):
        uuid = self.uuid_of(self.source)
        self.through(self.libvirtd(self.other, uuid=uuid), 'libvirt-identity')

    def test_name_unknown(self):
        self.through(
            self.names(self.source, {'127.0.0.1': ('localhost',)}),
            'libvirt-listen',
            'libvirt-identity',
        )

    def test_libvirt_hangs(self):
        service = f'libvirtd-{self.other}'
        with self.stopped(service, signal.SIGSTOP, signal.SIGCONT):
            found = self.preflight(status=3)
            self.assertEqual(
                {('libvirt-listen', self.other)}, self.failed(found)
            )
            found = self.live(
                self.server,
                *('--host', self.other, '--wait', '--no-preflight'),
                *('--timeout', '20'),
                status=4,
            )
            self.assertIn('goes on', found[0]['Message'])
            [_say, explain] = found[0]['Remedy'].split(' --explain ')
            found = self.live('--explain', explain, status=4)
            self.assertNamed({'libvirt-listen'}, found)
        # What the remedy says: it goes on when libvirtd does.
        self.wait_for_migration()
        found = self.live('--explain', explain)
        self.assertEqual('ok', found[0]['Result'])

    def wait_for_migration(self):
        limit = time.monotonic() + 180
        while time.monotonic() < limit:
            server = self.show()
            if (server['OS-EXT-SRV-ATTR:host'], server['status']) == (
                self.other,
                'ACTIVE',
            ):
                return
            time.sleep(2)
        self.fail(self.show())


class TestGuest(ThroughTest):
    """The guest, and what the destination has for it."""

    def test_machine_type_missing(self):
        self.through(self.machine_type_hidden(self.other), 'machine-type')

    def test_cpu_model_missing(self):
        self.through(self.cpu_model_hidden(self.other), 'cpu')

    def test_tunnelled_with_block_migration(self):
        self.through(
            self.nova_options(self.source, live_migration_tunnelled=True),
            'migration-options',
            other=('migration-storage',),
        )

    def test_disk_too_small(self):
        self.through(
            self.small_disk(self.other),
            'migration-storage',
            # nova-compute tells Placement of it after a while.
            other=('destination-capacity',),
        )


class TestMedium(ThroughTest):
    """A guest with a drive, for Nova gives it its configuration on one."""

    @classmethod
    def options(cls):
        return ('--use-config-drive',)

    def test_only_at_the_source(self):
        self.through(self.medium(self.source), 'guest-devices')


class TestScheduler(ThroughTest):
    """What Nova calls "No valid host"."""

    def test_service_disabled(self):
        self.through(self.disabled(self.other), 'destination-service')

    def test_service_down(self):
        self.through(self.down(self.other), 'destination-service')

    def test_memory(self):
        self.through(
            self.inventory_full(self.other, 'MEMORY_MB'),
            'destination-capacity',
        )

    def test_cpus(self):
        self.through(
            self.inventory_full(self.other, 'VCPU'), 'destination-capacity'
        )

    def test_disk(self):
        self.through(
            self.inventory_full(self.other, 'DISK_GB'),
            'destination-capacity',
        )


class TestGroup(ThroughTest):
    """A server group that keeps two servers apart."""

    @classmethod
    def options(cls):
        run = cls.admin(
            *('--os-compute-api-version', '2.64', 'server', 'group'),
            *('create', '--policy', 'anti-affinity', '-f', 'value'),
            *('-c', 'id', f'apart-{cls.name}'),
        )
        cls.group = run.stdout.split()[0]
        cls.addClassCleanup(
            cls.admin, *('server', 'group', 'delete', cls.group)
        )
        return ('--hint', f'group={cls.group}')

    def test_other_member_there(self):
        self.through(self.member(), 'server-group')

    @contextlib.contextmanager
    def member(self):
        name = f'{self.name}-2'
        self.boot(name, '--hint', f'group={self.group}')
        try:
            yield
        finally:
            self.admin('server', 'delete', '--wait', name)


class TestRefused(ThroughTest):
    """What Nova refuses at once; there is no migration to explain."""

    def refused(self, check, cause):
        with cause:
            found = self.preflight(status=3)
            self.assertEqual({(check, self.name)}, self.failed(found), found)
            [item] = self.results(found, 'failed')
            run = self.openstack(
                *(*compute.LIVE, self.server, '--host', self.other),
                '--no-preflight',
                cloud=self.ADMIN,
                status=1,
            )
            self.assertIn(check, run.stderr)
        found = self.preflight(status=0)
        self.assertEqual(set(), self.failed(found))
        return item['Remedy']

    def test_shut_off(self):
        remedy = self.refused('server-state', self.between('stop', 'start'))
        self.assertEqual(f'openstack server start {self.server}', remedy)

    def test_task_under_way(self):
        self.refused('server-state', self.task())

    @contextlib.contextmanager
    def between(self, before, after):
        self.openstack('server', before, self.server, cloud=self.ADMIN)
        try:
            self.settled()
            yield
        finally:
            self.openstack('server', after, self.server, cloud=self.ADMIN)
            self.settled()

    @contextlib.contextmanager
    def task(self):
        """Nova is to pause it, and its compute service does not listen."""
        service = f'nova-compute-{self.source}'
        with self.stopped(service, signal.SIGSTOP, signal.SIGCONT):
            self.openstack('server', 'pause', self.server, cloud=self.ADMIN)
            yield
        self.settled()
        self.openstack('server', 'unpause', self.server, cloud=self.ADMIN)
        self.settled()

    def settled(self):
        limit = time.monotonic() + 60
        while self.show()['OS-EXT-STS:task_state'] is not None:
            self.assertLess(time.monotonic(), limit)
            time.sleep(1)


class TestCertificates(ThroughTest):
    """Nova is set to TLS, and the destination has a bad certificate."""

    @contextlib.contextmanager
    def tls(self, pair, **kwargs):
        with (
            self.certificate(self.other, pair, **kwargs),
            self.nova_options(self.source, live_migration_scheme='tls'),
        ):
            yield

    def test_good(self):
        with self.nova_options(self.source, live_migration_scheme='tls'):
            found = self.preflight(status=0)
            self.assertEqual([], self.results(found, 'warning'), found)
            self.live(self.server, '--host', self.other, '--wait')

    def test_other_name(self):
        pair = self.pair(self.other, ['DNS:other'])
        self.through(self.tls(pair), 'libvirt-tls')

    def test_foreign_authority(self):
        foreign = self.foreign()
        pair = self.pair(self.other, authority=foreign)
        self.through(self.tls(pair, authority=foreign), 'libvirt-tls')

    def test_expires_while_libvirtd_runs(self):
        pair = self.pair(self.other)
        self.expire(pair, datetime.datetime.now(datetime.UTC) + LIFE)
        # Making the cause takes longer than the certificate lives.
        self.through(self.tls(pair), 'libvirt-tls')


class TestSecret(ThroughTest):
    """An encrypted volume of a project, and an administrator."""

    @classmethod
    def setUpClass(cls):
        super(compute.ComputeTest, cls).setUpClass()

    def setUp(self):
        super(compute.ComputeTest, self).setUp()
        self.name = self.unique('secret')
        self.admin_sdk = openstack.connect(cloud=self.ADMIN)
        self.addCleanup(self.admin_sdk.close)
        self.sdk = openstack.connect(cloud=self.MEMBER)
        self.addCleanup(self.sdk.close)
        self.server = self.with_volume()
        self.source = self.show()['OS-EXT-SRV-ATTR:host']
        self.other = {'hosta': 'hostb', 'hostb': 'hosta'}[self.source]

    def with_volume(self):
        """Have the member make a server with an encrypted volume."""
        later = ('volume', 'type', 'delete', self.name)
        self.later(*later, cloud=self.ADMIN)
        self.openstack(
            *(*volumes.LUKS, '--name', self.name, '--public'),
            *('--property', 'volume_backend_name=blank'),
            cloud=self.ADMIN,
        )
        create = ('server', 'create', '--wait', '--flavor', 'lab.tiny')
        self.later(
            *('server', 'delete', '--wait', self.name), cloud=self.MEMBER
        )
        found = self.json(
            *(*create, '--image', 'guest', '--network', 'lab-net'),
            self.name,
            cloud=self.MEMBER,
        )
        volume = self.sdk.block_storage.create_volume(
            size=1, name=self.name, volume_type=self.name
        )
        self.addCleanup(self.remove, volume)
        self.sdk.block_storage.wait_for_status(volume, 'available', wait=120)
        self.sdk.compute.create_volume_attachment(
            found['id'], volume_id=volume.id
        )
        self.sdk.block_storage.wait_for_status(volume, 'in-use', wait=120)
        return found['id']

    def remove(self, volume):
        """Detach and delete it, before its server and its type go."""
        self.openstack(
            *('server', 'remove', 'volume', self.server, volume.id),
            cloud=self.MEMBER,
            status=None,
        )
        self.sdk.block_storage.wait_for_status(volume, 'available', wait=120)
        self.sdk.block_storage.delete_volume(volume)
        self.sdk.block_storage.wait_for_delete(volume, wait=120)

    def test_of_another_project(self):
        found = self.preflight(status=3)
        [item] = self.results(found, 'failed')
        self.assertEqual('volume-secrets', item['Check'])
        self.forced({'volume-secrets'})
        self.mended()
        # What the remedy says, without its client.
        told = re.search(
            r'acl user add --user (\S+) --operation-type read (\S+)',
            item['Remedy'],
        )
        user, secret = told.groups()
        answer = self.sdk.session.put(
            f'{secret}/acl',
            json={'read': {'users': [user], 'project-access': True}},
        )
        self.assertEqual(200, answer.status_code)
        self.assertEqual(set(), self.failed(self.preflight(status=0)))
        found = self.live(self.server, '--host', self.other, '--wait')
        self.assertEqual(set(), self.failed(found))
