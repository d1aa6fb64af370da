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

"""No command about migrations shows a secret, even if it fails."""

import json
import os
import pathlib

import fixtures

from osc_lab.tests import inside
from osc_lab.tests.unit.commands import migrations
from osc_lab.tests.unit.commands import secrecy
from osc_lab.tests.unit import fake_cloud


class TestMigration(migrations.CommandTest):
    LIVE = migrations.LIVE

    def setUp(self):
        super().setUp()
        self.shell = self.useFixture(fake_cloud.Mocked(self.cloud))
        self.secrecy = self.useFixture(secrecy.Secrecy(self))
        # Nothing sleeps here, so a minute of looks would be a busy one.
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.migration.drive.PATIENCE', 0.0)
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
        # This machine has no OVSDB to look for mirrors in.
        self.secrecy.through(*live, '--no-preflight', status=4)

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
        status, out, err = inside.openstack(
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
            fixtures.EnvironmentVariable('OSC_LAB_LIBVIRT_URI', address)
        )
        self.assertEqual(2, self.secrecy.look(*live)[0])
