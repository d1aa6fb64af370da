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

"""The ways to an OVSDB: who is at the other end, and for how long."""

import pathlib

import fixtures

from osc_lab.access import ovsdb
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.tests import bounded
from osc_lab.tests.functional import vswitch
from osc_lab.tests import openssl

HOST = 'cmp1'


class TestTls(bounded.TestCase):
    def setUp(self):
        super().setUp()
        self.switch = self.useFixture(vswitch.Switch(daemon=False))
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.ca = openssl.authority(self.folder / 'ca')
        self.client = self.pair('client')

    def pair(self, name, *alternatives, ca=None, days=30):
        pair = openssl.Pair(
            self.folder / f'{name}.pem', self.folder / f'{name}.key'
        )
        return openssl.issue(ca or self.ca, pair, name, alternatives, days)

    def serve(self, server):
        return self.switch.listen_tls(
            server.certificate, server.key, self.ca.certificate
        )

    def ask(self, port, client=True, ca=None):
        settings = channels.Channels(
            ovsdb=f'ssl:127.0.0.1:{port}',
            ovsdb_ca_cert=str((ca or self.ca).certificate),
            ovsdb_cert=str(self.client.certificate) if client else None,
            ovsdb_key=str(self.client.key) if client else None,
            deadline=30,
        )
        with ovsdb.connect(settings.host(HOST), settings) as database:
            return database.bridges()

    def refused(self, port, text, **kwargs):
        error = self.assertRaises(
            exceptions.AccessError, self.ask, port, **kwargs
        )
        self.assertIn(HOST, str(error))
        self.assertIn(text, str(error))

    def test_host_is_named_or_its_address(self):
        for name in ('IP:127.0.0.1', f'DNS:{HOST}'):
            port = self.serve(self.pair('server', name))
            self.assertEqual(
                ['br-int'], [bridge.name for bridge in self.ask(port)]
            )

    def test_another_host_of_the_same_authority(self):
        port = self.serve(self.pair('server', 'DNS:cmp2', 'IP:192.0.2.2'))
        self.refused(port, 'Hostname mismatch')

    def test_certificate_that_is_over(self):
        port = self.serve(self.pair('server', f'DNS:{HOST}', days=-1))
        self.refused(port, 'certificate has expired')

    def test_another_authority(self):
        port = self.serve(self.pair('server', f'DNS:{HOST}'))
        other = openssl.authority(self.folder / 'other')
        self.refused(port, 'self-signed certificate', ca=other)

    def test_client_without_certificate(self):
        port = self.serve(self.pair('server', f'DNS:{HOST}'))
        self.refused(port, '', client=False)


class TestManyPorts(bounded.TestCase):
    def test_finding_one_reads_little(self):
        switch = self.useFixture(vswitch.Switch(daemon=False))
        read = []
        for start in (0, 300):
            words = []
            for number in range(start, start + 300):
                words += ['--', 'add-port', 'br-int', f'tap{number}']
                words += ['--', 'set', 'Interface', f'tap{number}']
                words += [f'external_ids:iface-id=port-{number}']
            switch.vsctl('--no-wait', *words)
            with switch.host() as host:
                (found,) = host.database.attachments('port-123')
                read.append(host.database.connection.received)
            self.assertEqual('tap123', found.port.name)
        self.assertEqual(read[0], read[1])
        self.assertLess(read[0], 65536)
