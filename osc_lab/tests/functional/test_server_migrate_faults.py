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


"""Every cause in a server and at its destination, made, found, undone."""

import contextlib
import re
import signal
import time

from lab import hosts
import openstack

from osc_lab.tests.functional import compute
from osc_lab.tests.functional import through
from osc_lab.tests.functional import volumes


class TestGuest(through.ThroughTest):
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

    def test_folder_that_is_left(self):
        self.through(self.folder_left(self.other), 'migration-storage')

    @contextlib.contextmanager
    def folder_left(self, host):
        """Have an empty folder of the server be on a host, as is left."""
        path = str(hosts.instances_path(self.layout) / self.server)
        self.run_on(host, 'mkdir', path)
        try:
            yield
        finally:
            # Nova may have taken it away itself.
            self.run_on(host, 'rm', '-rf', path)


class TestMedium(through.ThroughTest):
    """A guest with a drive, for Nova gives it its configuration on one."""

    @classmethod
    def options(cls):
        return ('--use-config-drive',)

    def test_only_at_the_source(self):
        self.through(self.medium(self.source), 'guest-devices')


class TestScheduler(through.ThroughTest):
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


class GroupTest(through.ThroughTest):
    """A server in a group."""

    POLICY = ''

    @classmethod
    def options(cls):
        run = cls.admin(
            *('--os-compute-api-version', '2.64', 'server', 'group'),
            *('create', '--policy', cls.POLICY, '-f', 'value'),
            *('-c', 'id', f'{cls.POLICY}-{cls.name}'),
        )
        cls.group = run.stdout.split()[0]
        cls.addClassCleanup(
            cls.admin, *('server', 'group', 'delete', cls.group)
        )
        return ('--hint', f'group={cls.group}')


class TestLonely(GroupTest):
    """A server that is alone in the group that keeps it together."""

    POLICY = 'affinity'

    def test_nova_lets_it_go_nowhere(self):
        found = self.preflight(status=3)
        self.assertEqual({('server-group', self.other)}, self.failed(found))
        self.forced({'server-group'})
        self.mended()


class TestGroup(GroupTest):
    """A server group that keeps two servers apart."""

    POLICY = 'anti-affinity'

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


class TestBinding(through.ThroughTest):
    """A migration whose roll-back breaks leaves a binding behind."""

    def test_left_there(self):
        self.through(self.bound(self.other), 'port-binding')

    @contextlib.contextmanager
    def bound(self, host):
        with (
            self.service_role(),
            openstack.connect(cloud=self.ADMIN) as sdk,
        ):
            [port] = sdk.network.ports(device_id=self.server)
            answer = sdk.network.post(
                f'/ports/{port.id}/bindings', json={'binding': {'host': host}}
            )
            self.assertEqual(201, answer.status_code, answer.text)
        yield
        found = self.live(self.server, '--repair', status=3)
        self.assertEqual({('port-bindings', port.id)}, self.failed(found))
        self.assertIn('the role "service"', found[1]['Remedy'])
        self.assertTrue(self.repair())


class TestRefused(through.ThroughTest):
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


class TestSecret(through.ThroughTest):
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
