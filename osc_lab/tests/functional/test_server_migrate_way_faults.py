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


"""Every cause on the way between two hosts, made, found, undone."""

import contextlib
import datetime
import pathlib
import signal
import subprocess
import time

import fixtures
from lab import machine
from lab import network

from osc_lab.tests.functional import through

#: Of libvirt and of QEMU.
LIBVIRT = 'tcp dport 16509'
DATA = f'tcp dport {network.MIGRATION_PORTS}'

#: Waits on a port as QEMU does, and sees whether the next one stays free.
WAITING = '''
import select, socket, sys
calls = taken = 0
with socket.create_server(('', 49152)) as server:
    print(flush=True)
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        while select.select([server], [], [], 0)[0]:
            server.accept()[0].close()
            calls += 1
        try:
            socket.create_server(('', 49153)).close()
        except OSError:
            taken += 1
print(calls, taken)
'''

#: Of a certificate that is to expire.
LIFE = datetime.timedelta(seconds=25)


class TestWay(through.ThroughTest):
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
            self.firewall(self.other, f'{DATA} drop'),
            'migration-ports',
            slow=True,
        )

    @contextlib.contextmanager
    def undisturbed(self):
        """Have the destination begin two migrations of other servers."""
        process = subprocess.Popen(
            [
                *machine.enter_argv(self.layout, self.other),
                *('python3', '-c', WAITING),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            process.stdout.readline()
            yield
        finally:
            out, _err = process.communicate()
        self.assertEqual('0 0', out.strip(), 'calls, times that one was taken')

    def test_ports_of_other_migrations(self):
        with self.undisturbed():
            self.preflight(status=0)
        # Nor where nothing can listen for us.
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'config')
        known = (self.state / 'ssh' / 'config').read_text()
        path.write_text(f'Host {self.other}\n  Port 1\n{known}')
        with self.undisturbed():
            found = self.preflight('--ssh-config', str(path))
        (item,) = [i for i in found if i['Check'] == 'migration-ports']
        self.assertEqual('unknown', item['Result'], item)

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
            self.assertNamed({'libvirt-listen'}, found)
            # Nova does not keep which host it was asked for.
            [_say, explain] = found[0]['Remedy'].split(' --explain ')
            found = self.live('--explain', explain, status=4)
            self.assertEqual(
                {('libvirt-listen', self.other)}, self.failed(found)
            )
            self.assertIn('names no destination', found[-1]['Message'])
            self.assertIn('--preflight', found[-1]['Remedy'])
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


class TestCertificates(through.ThroughTest):
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

    def test_qemu_is_older_than_its_certificates(self):
        with self.nova_options(
            self.source,
            live_migration_scheme='tls',
            live_migration_with_native_tls=True,
        ):
            with self.libvirtd(self.source, unseen='/etc/pki/qemu'):
                self.started_anew()
            found = self.preflight(status=3)
            self.assertEqual(
                {('qemu-processes', self.source)}, self.failed(found), found
            )
            for item in self.results(found, 'failed'):
                self.assertIn('stop SERVER, then start', item['Remedy'])
            self.forced({'qemu-processes'})
            self.mended()
            # What the remedy says.
            self.started_anew()
            found = self.preflight(status=0)
            self.assertEqual([], self.results(found, 'warning'), found)
            self.live(self.server, '--host', self.other, '--wait')

    def started_anew(self):
        """Stop the server and start it, as a user does."""
        for verb, status in (('stop', 'SHUTOFF'), ('start', 'ACTIVE')):
            self.openstack('server', verb, self.server, cloud=self.ADMIN)
            self.wait_for(lambda s=status: self.show()['status'] == s, status)
