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

import signal


from osc_lab.tests.functional import compute


class TestClean(compute.ComputeTest):
    def test_no_false_alarm(self):
        for _round in range(5):
            found = self.preflight(status=0)
            self.assertEqual(set(), self.failed(found))
            self.assertEqual([], self.results(found, 'unknown'))
            # libvirt of the lab asks nobody for a password, and says so.
            self.assertEqual(
                {'libvirt-auth'},
                {i['Check'] for i in self.results(found, 'warning')},
            )

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
    """Each cause is made for real, found, and gone when it is undone."""

    def assertCause(self, *expected, options=()):
        found = self.preflight(*options, status=3)
        self.assertEqual(
            {(check, subject) for check, subject in expected},
            self.failed(found),
            found,
        )
        for item in self.results(found, 'failed'):
            self.assertTrue(item['Remedy'], item)
        return found

    def test_libvirt_does_not_listen(self):
        with self.libvirtd(self.other, listen=False):
            self.assertCause(('libvirt-listen', self.other))

    def test_firewall_rejects_libvirt(self):
        rule = 'tcp dport 16509 reject with tcp reset'
        with self.firewall(self.other, rule):
            self.assertCause(('libvirt-listen', self.other))

    def test_firewall_drops_libvirt_of_the_source_alone(self):
        with self.firewall(self.other, 'tcp dport 16509 drop'):
            found = self.assertCause(('libvirt-listen', self.other))
        [item] = self.results(found, 'failed')
        self.assertIn(f'from {self.source}', item['Message'])

    def test_firewall_rejects_the_data(self):
        rule = 'tcp dport 49152-49215 reject'
        with self.firewall(self.other, rule):
            self.assertCause(('migration-ports', self.other))

    def test_firewall_drops_the_data(self):
        with self.firewall(self.other, 'tcp dport 49152-49215 drop'):
            self.assertCause(('migration-ports', self.other))

    def test_sasl_without_credentials(self):
        with self.libvirtd(self.other, auth_tcp='sasl'):
            self.assertCause(('libvirt-auth', self.other))

    def test_same_host_uuid(self):
        with self.libvirtd(self.other, uuid=self.uuid_of(self.source)):
            self.assertCause(('libvirt-identity', self.other))

    def test_machine_type_missing(self):
        with self.machine_type_hidden(self.other):
            self.assertCause(('machine-type', self.other))

    def test_libvirt_hangs(self):
        service = f'libvirtd-{self.other}'
        with self.stopped(service, signal.SIGSTOP, signal.SIGCONT):
            found = self.preflight(status=3)
        self.wait_for_services()
        self.assertIn(('libvirt-listen', self.other), self.failed(found))

    def test_name_unknown_at_the_source(self):
        table = {'127.0.0.1': ('localhost',)}
        with self.names(self.source, table):
            found = self.preflight(status=3)
        self.assertIn(('libvirt-listen', self.other), self.failed(found))
        self.assertIn(('libvirt-identity', self.other), self.failed(found))

    def test_service_disabled(self):
        switch = ('compute', 'service', 'set', self.other, 'nova-compute')
        self.openstack(*switch, '--disable', cloud=self.ADMIN)
        try:
            found = self.preflight(status=3)
        finally:
            self.openstack(*switch, '--enable', cloud=self.ADMIN)
        self.assertIn(('destination-service', self.other), self.failed(found))

    def test_service_forced_down(self):
        switch = (
            *('--os-compute-api-version', '2.53', 'compute', 'service'),
            *('set', self.other, 'nova-compute'),
        )
        self.openstack(*switch, '--down', cloud=self.ADMIN)
        try:
            found = self.preflight(status=3)
        finally:
            self.openstack(*switch, '--up', cloud=self.ADMIN)
        self.assertIn(('destination-service', self.other), self.failed(found))

    def test_locked(self):
        self.openstack('server', 'lock', self.server, cloud=self.ADMIN)
        try:
            self.assertCause(('server-lock', self.name))
        finally:
            self.openstack('server', 'unlock', self.server, cloud=self.ADMIN)

    def test_too_little_in_placement(self):
        for name in ('MEMORY_MB', 'VCPU', 'DISK_GB'):
            with self.inventory_full(self.other, name):
                found = self.preflight(
                    *('--check', 'destination-capacity'), status=3
                )
            [item] = self.results(found, 'failed')
            self.assertIn(name, item['Message'])


class TestCertificates(compute.ComputeTest):
    """Nova is set to TLS, and the destination has a bad certificate."""

    def assertTls(self, words, pair, restarted=True):
        with (
            self.nova_options(self.source, live_migration_scheme='tls'),
            self.certificate(self.other, pair, restarted),
        ):
            found = self.preflight(status=3)
        self.assertIn(('libvirt-tls', self.other), self.failed(found))
        text = ' '.join(
            i['Message']
            for i in self.results(found, 'failed')
            if i['Check'] == 'libvirt-tls'
        )
        self.assertIn(words, text)

    def test_good(self):
        with self.nova_options(self.source, live_migration_scheme='tls'):
            found = self.preflight(status=0)
        self.assertEqual([], self.results(found, 'warning'), found)

    def test_expired(self):
        # libvirtd would not even start with it.
        pair = self.pair(self.other, days=-1)
        self.assertTls('expired', pair, restarted=False)

    def test_other_name(self):
        self.assertTls('is not for', self.pair(self.other, ['DNS:other']))

    def test_foreign_authority(self):
        pair = self.pair(self.other, authority=self.foreign())
        # Nor with this one.
        self.assertTls('not signed', pair, restarted=False)


class TestForced(compute.ComputeTest):
    """What --no-preflight runs into, --explain tells; --repair mends."""

    def forced(self, *options):
        found = self.live(
            self.server,
            *('--host', self.other, '--wait', '--no-preflight'),
            *options,
            status=5,
        )
        self.assertEqual('outcome', found[0]['Check'])
        return found

    def explained(self):
        migration = self.json(
            *('server', 'migration', 'list', '--server', self.server),
            cloud=self.ADMIN,
        )[0]
        found = self.live('--explain', str(migration['Id']), status=5)
        return {i['Check'] for i in found if i['Result'] == 'failed'}

    def assertForced(self, check):
        found = self.forced()
        self.assertIn(
            check, {i['Check'] for i in self.results(found, 'failed')}, found
        )
        self.assertIn(check, self.explained())
        self.assertEqual(self.source, self.show()['OS-EXT-SRV-ATTR:host'])
        if self.show()['status'] == 'ERROR':
            self.assertIn('--repair', found[0]['Remedy'])

    def mended(self):
        self.live(self.server, '--repair')
        self.assertEqual('ACTIVE', self.show()['status'])

    def test_libvirt_does_not_listen(self):
        with self.libvirtd(self.other, listen=False):
            self.assertForced('libvirt-listen')
        self.mended()

    def test_firewall_rejects_the_data(self):
        rule = 'tcp dport 49152-49215 reject'
        with self.firewall(self.other, rule):
            self.assertForced('migration-ports')
        self.mended()

    def test_sasl(self):
        with self.libvirtd(self.other, auth_tcp='sasl'):
            self.assertForced('libvirt-auth')
        self.mended()

    def test_same_host_uuid(self):
        with self.libvirtd(self.other, uuid=self.uuid_of(self.source)):
            self.assertForced('libvirt-identity')
        self.mended()

    def test_machine_type(self):
        with self.machine_type_hidden(self.other):
            self.assertForced('machine-type')
        self.mended()

    def test_tunnelled(self):
        with self.nova_options(self.source, live_migration_tunnelled=True):
            found = self.preflight(status=3)
            self.assertEqual(
                {('migration-options', self.other)}, self.failed(found)
            )
            found = self.forced()
            self.assertTrue(
                {'migration-options', 'migration-storage'}
                & {i['Check'] for i in self.results(found, 'failed')}
            )
        self.mended()
