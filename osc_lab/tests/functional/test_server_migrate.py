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

"""A real server moves between real hosts, and the checks are right."""

import openstack

from osc_lab.tests.functional import compute


class TestClean(compute.ComputeTest):
    def test_no_false_alarm(self):
        self.assert_clean()

    def test_hosts_are_ranked(self):
        found = self.live(self.server, '--preflight')
        ranked = [i['Subject'] for i in found if i['Check'] == 'candidate']
        self.assertEqual([self.other], ranked)

    def test_moves_there_and_back(self):
        for host in (self.other, self.source):
            found = self.live(self.server, '--host', host, '--wait')
            self.assertEqual(set(), self.failed(found))
            self.assertEqual(
                ('outcome', 'ok'), (found[0]['Check'], found[0]['Result'])
            )
            self.assertEqual(host, self.show()['OS-EXT-SRV-ATTR:host'])
            migration = self.json(
                *('server', 'migration', 'list', '--server', self.server),
                cloud=self.ADMIN,
            )[0]
            told = self.live('--explain', str(migration['Id']))
            self.assertIn(f'to {host}', told[0]['Message'])


class TestCauses(compute.ComputeTest):
    """Three causes, quickly; the others are among the faults."""

    def assertCause(self, *expected):
        found = self.preflight(status=3)
        self.assertEqual(
            {(check, subject) for check, subject in expected},
            self.failed(found),
            found,
        )
        for item in self.results(found, 'failed'):
            self.assertTrue(item['Remedy'], item)

    def test_libvirt_does_not_listen(self):
        with self.libvirtd(self.other, listen=False):
            self.assertCause(('libvirt-listen', self.other))

    def test_firewall_rejects_libvirt(self):
        rule = 'tcp dport 16509 reject with tcp reset'
        with self.firewall(self.other, rule):
            self.assertCause(('libvirt-listen', self.other))

    def test_locked(self):
        self.openstack('server', 'lock', self.server, cloud=self.ADMIN)
        try:
            self.assertCause(('server-lock', self.name))
        finally:
            self.openstack('server', 'unlock', self.server, cloud=self.ADMIN)


class TestNuma(compute.ComputeTest):
    """A server that Nova fits into the NUMA nodes of a host."""

    FLAVOR = 'lab.numa'

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(
            cls.admin, 'flavor', 'delete', cls.FLAVOR, check=False
        )
        cls.admin(
            *('flavor', 'create', '--ram', '128', '--vcpus', '1'),
            *('--disk', '1', '--property', 'hw:numa_nodes=1', cls.FLAVOR),
        )
        super().setUpClass()

    def test_says_what_is_not_known_and_moves(self):
        found = self.preflight(status=4)
        (item,) = self.results(found, 'unknown')
        self.assertEqual('numa-and-sriov', item['Check'])
        self.assertIn('hw:numa_nodes', item['Message'])
        found = self.live(self.server, '--host', self.other, '--wait')
        self.assertEqual(set(), self.failed(found))
        self.assertEqual(self.other, self.show()['OS-EXT-SRV-ATTR:host'])


class TestNumaOfVolume(compute.ComputeTest):
    """Nova does not show what the image of a volume asks for."""

    @classmethod
    def setUpClass(cls):
        sdk = openstack.connect(cloud=cls.ADMIN)
        cls.addClassCleanup(sdk.close)
        # Nothing is on it: what QEMU is told, and not what runs, is the point.
        made = sdk.create_volume(1, bootable=True, timeout=120)
        cls.volume = made.id
        cls.addClassCleanup(sdk.delete_volume, cls.volume)
        asked = '--image-property', 'hw_numa_nodes=1'
        cls.admin('volume', 'set', *asked, cls.volume)
        super().setUpClass()

    @classmethod
    def disk(cls):
        return '--volume', cls.volume

    def test_the_guest_shows_it(self):
        (item,) = self.preflight('--check', 'numa-and-sriov', status=4)
        self.assertEqual('unknown', item['Result'])
        self.assertIn('(numatune', item['Message'])
