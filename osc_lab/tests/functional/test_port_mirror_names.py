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

"""Names that would like to be more than names."""

import json
import os
import pathlib

import fixtures

from osc_lab.tests.functional import pair

#: What Open vSwitch takes for a name, as JSON.
HOSTILE = '"-x\\nline\\u001b[31m\\u001b]0;title\\u0007\\u202e"'


class TestNames(pair.PairTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.assert_same, self.snapshot())
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.port = self.ports['hosta']

    def call(self, *argv, status=0):
        """Run a command, and see that its output is only text."""
        run = self.openstack(*('port', *argv), cloud=self.ADMIN, status=status)
        for char in run.stdout + run.stderr:
            self.assertTrue(char == '\n' or char.isprintable(), str(run))
        return run

    def rename(self, server, port):
        for kind, known, name in (
            ('server', self.server, server),
            ('port', self.port, port),
        ):
            self.openstack(
                *(kind, 'set', f'--name={name}', known), cloud=self.ADMIN
            )

    def life(self, name):
        """Call a port, its server and its mirror so; take them through."""
        self.server = self.json(
            'port', 'show', self.port, '-c', 'device_id', cloud=self.ADMIN
        )['device_id']
        before = self.names['hosta']
        self.addCleanup(self.rename, before, before)
        self.rename(name, name)
        made = self.call(
            *('mirror', 'create', '--timeout', '0', f'--name={name}'),
            *('-f', 'json', '--', name),
        ).json()
        for key in ('name', 'port_name', 'server_name'):
            self.assertEqual(name, made[key])
        self.assertIn(name[:40], self.call('mirror', 'list').stdout)
        shown = self.call('mirror', 'show', '-f', 'json', '--', name).json()
        self.assertEqual(made['id'], shown['id'])
        for way in (('--', name), (f'--server={name}',)):
            file = self.folder / f'{len(way)}.pcap'
            self.call(
                *('mirror', 'capture', '--packets', '2'),
                *(f'--file={file}', *way),
            )
            self.assertGreater(file.stat().st_size, 24)
            file.unlink()
        text = self.call('topology', 'show', '--', name).stdout
        self.assertIn(f'mirror {name} (both, osc-lab)', text)
        self.call('mirror', 'delete', '--', name)
        self.assertEqual([], os.listdir(self.folder))

    def test_commands_and_quotes(self):
        owned = self.folder / 'owned'
        self.life(
            f'-x "q" \'s\' \\ $(touch {owned}) `touch {owned}` ;|&>{owned}'
        )

    def test_longest(self):
        self.life('--' + 'é' * 253)

    def test_control_characters_in_the_switch(self):
        """Neutron refuses them; whoever may write to OVSDB does not."""
        mirror = self.on(
            'hosta',
            *('ovs-vsctl', '--', '--id=@m', 'create', 'Mirror'),
            *(f"'name={HOSTILE}'", f"'external_ids:taas={HOSTILE}'"),
            *('--', 'add', 'Bridge', 'br-int', 'mirrors', '@m'),
        ).strip()
        self.addCleanup(
            self.on,
            'hosta',
            *('ovs-vsctl', 'remove', 'Bridge', 'br-int', 'mirrors', mirror),
        )
        name = json.loads(HOSTILE)
        for form in ('table', 'value', 'csv', 'json', 'yaml'):
            run = self.call('mirror', 'list', '--all', '--long', '-f', form)
            self.assertIn('nline', run.stdout)
        self.call('mirror', 'show', '--', name)
        run = self.call('mirror', 'delete', '--', name, status=3)
        self.assertIn('was made by taas', run.stderr)
        self.call('mirror', 'prune')
