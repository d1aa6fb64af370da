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

"""The command that makes mirrors against an OVSDB and a cloud."""

import json
import os
import re
import shlex
import signal

import fixtures

from osc_lab.tests.unit.commands import mirrors
from osc_lab.tests.unit import fake_cloud


class TestCreate(mirrors.MirrorTest):
    def test_life(self):
        before = self.database.rows()
        made = self.create()
        self.assertEqual(
            ('one', 'vm', 'host1', 'br-int', 'both', 'interface', 'idle'),
            tuple(
                made[key]
                for key in (
                    *('port_name', 'server_name', 'host', 'bridge'),
                    *('direction', 'target', 'health'),
                )
            ),
        )
        (mirror,) = self.ours()['Mirror']
        (port,) = self.ours()['Port']
        (interface,) = self.ours()['Interface']
        self.assertEqual([['uuid', self.tap]], mirror['select_src_port'])
        self.assertEqual([3], port['tag'])
        self.assertEqual(
            ('internal', [1450]),
            (
                interface['type'],
                interface['mtu_request'],
            ),
        )
        guard, bring_up = (
            self.calls.read_text().split('ssh -T')[0].split('-T')[1:3]
        )
        self.assertIn('osc-lab-guard', guard)
        self.assertIn(made['device'], bring_up)
        mirror['statistics'] = {}
        (row,) = self.json('list')
        self.assertEqual(('idle', 'one'), (row['Health'], row['Port']))
        shown = self.json('show', made['name'])
        self.assertEqual(made, shown)
        self.run_command('delete', made['name'])
        self.assertEqual(before, self.database.rows())
        self.assertIn('.timer', self.calls.read_text())

    def test_dry_run(self):
        before = self.database.rows()
        made = self.create('--dry-run')
        self.assertEqual(
            (False, 'tapone'), (made['exists'], made['interface'])
        )
        self.assertIn('ovs-vsctl', made['commands'][0])
        self.assertIn('comment', [item['op'] for item in made['transaction']])
        self.assertEqual(before, self.database.rows())
        self.create()
        made = self.create('--dry-run')
        self.assertEqual((True, []), (made['exists'], made['transaction']))

    def test_port_inside_a_trunk_of_ovn(self):
        """Its server runs there all the same."""
        self.database.unplug(self.tap)
        self.cloud.ports[0]['device_owner'] = 'trunk:subport'
        _out, err = self.run_command('create', 'one', status=3)
        self.assertIn('The port one is inside a trunk', err)
        self.assertIn('Mirror the parent', err)
        status, _out, err = self.shell.run('port', 'topology', 'show', 'one')
        self.assertEqual(1, status)
        self.assertIn('inside a trunk: show its parent', err)

    def test_packets_are_waited_for(self):
        self.useFixture(
            fixtures.MonkeyPatch(
                'osc_lab.access.ovsdb.Database.statistics_interval',
                lambda _self: 0.1,
            )
        )

        def traffic(operations):
            for row in self.database.tables['Mirror'].values():
                row['statistics'] = {'tx_packets': 3, 'tx_bytes': 300}
            for row in self.database.tables['Interface'].values():
                if row['name'] == 'tapone':
                    row['statistics']['rx_packets'] += 100000

        self.database.before = traffic
        out, err = self.run_command(
            'create', 'one', '--timeout', '5', '-f', 'json'
        )
        made = json.loads(out)
        self.assertEqual(
            (3, 300, 'ok'), (made['packets'], made['bytes'], made['health'])
        )
        self.assertIn('packets/s', err)
        self.assertIn('costs the host much CPU', err)

    def test_no_packet(self):
        self.useFixture(
            fixtures.MonkeyPatch(
                'osc_lab.access.ovsdb.Database.statistics_interval',
                lambda _self: 0.1,
            )
        )
        _out, err = self.run_command('create', 'one', '--timeout', '0.3')
        self.assertIn('the port carried none before either', err)

    def test_shell_that_is_killed(self):
        """Nobody knows then whether there is a guard."""
        before = self.database.rows()
        (self.folder / 'calls.killed').touch()
        _out, err = self.run_command(
            'create', 'one', '--timeout', '0', status=1
        )
        self.assertIn('No shell on host1: status -9', err)
        self.assertEqual(before, self.database.rows())

    def test_interrupted_while_it_waits(self):
        # Ignored by what a shell runs in the background.
        shell = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, shell)
        before = self.database.rows()
        asked = []

        def interrupt(operations):
            ours = self.ours()['Mirror'] and not asked
            if ours and operations[0]['table'] == 'Mirror':
                asked.append(self.ours())
                os.kill(os.getpid(), signal.SIGINT)

        self.database.before = interrupt
        self.run_command('create', 'one', '--timeout', '30', status=130)
        self.assertEqual(1, len(asked))
        self.assertEqual(before, self.database.rows())
        self.assertIn('.timer', self.calls.read_text())

    def test_without_a_shell(self):
        del self.settings['ssh']
        shell = self.useFixture(
            fake_cloud.Mocked(self.cloud, {'ovsdb': self.remote})
        )
        status, _out, err = shell.run(
            'port', 'mirror', 'create', 'one', '--timeout', '0'
        )
        self.assertEqual(2, status)
        self.assertIn('can only be brought up by a shell', err)
        status, _out, err = shell.run(
            *('port', 'mirror', 'create', 'one', '--timeout', '0'),
            *('--to', 'gre:192.0.2.1'),
        )
        self.assertEqual(0, status, err)
        self.assertIn('only "openstack port mirror prune" removes it', err)
        self.assertEqual('', self.calls.read_text())
        status, _out, err = shell.run(
            'port', 'mirror', 'capture', 'one', '--file', 'x'
        )
        self.assertEqual(2, status)
        self.assertIn('Use --ssh', err)

    def test_no_channel(self):
        shell = self.useFixture(fake_cloud.Mocked(self.cloud))
        status, _out, err = shell.run('port', 'mirror', 'create', 'one')
        self.assertEqual(1, status)
        self.assertIn('There is no way to the OVSDB of host1', err)

    def test_an_old_switch(self):
        _out, err = self.run_command(
            'create', 'one', '--filter', 'icmp', '--timeout', '0', status=1
        )
        self.assertIn('too old', err)
        self.assert_none()

    def test_others_change_the_bridge(self):
        left = [3]

        def intrude(operations):
            kinds = [item['op'] for item in operations]
            if left[0] and 'insert' in kinds:
                left[0] -= 1
                self.database.mirror(self.bridge, f'theirs{left[0]}')

        self.database.before = intrude
        self.create()
        self.assertEqual(4, len(self.database.tables['Mirror']))

    def test_they_never_stop(self):
        def intrude(operations):
            if 'insert' in [item['op'] for item in operations]:
                self.database.tables['Bridge'][self.bridge]['mirrors'] = []
                self.database.mirror(self.bridge, 'theirs')

        self.database.before = intrude
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.mirroring.maker._ATTEMPTS', 2)
        )
        _out, err = self.run_command(
            'create', 'one', '--timeout', '0', status=3
        )
        self.assertIn('keep changing the bridge', err)
        self.assertIn('.timer', self.calls.read_text())

    def test_switch_makes_no_port(self):
        self.database.works = False
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.mirroring.maker._PORT_DEADLINE', 0.2)
        )
        _out, err = self.run_command(
            'create', 'one', '--timeout', '0', status=5
        )
        self.assertIn('made no port', err)
        self.assert_none()

    def test_it_cannot_be_undone(self):
        """The guard stays, and so does the command that is shown."""
        self.database.works = False
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.mirroring.maker._PORT_DEADLINE', 0.2)
        )
        real = self.refuse_removal()
        _out, err = self.run_command(
            'create', 'one', '--timeout', '0', status=5
        )
        self.assertIn('made no port', err)
        self.assertNotIn('.timer', self.calls.read_text())
        self.database.transact = real
        self.assertEqual(1, len(self.json('list')))
        (command,) = re.findall('remove it with: openstack ([^;\n]+)', err)
        words = shlex.split(command)
        self.assertEqual(['port', 'mirror'], words[:2])
        self.run_command(*words[2:])
        self.assert_none()
        self.assertIn('.timer', self.calls.read_text())

    def test_an_answer_that_is_lost(self):
        """The guard goes on, unless what it is for was found and removed."""
        real = self.database.transact
        for carried_out in (False, True):
            self.calls.write_text('')

            def lose(operations, carried_out=carried_out):
                if 'insert' not in [item['op'] for item in operations]:
                    return real(operations)
                if carried_out:
                    real(operations)
                # Ends the connection.
                raise SystemExit

            self.database.transact = lose
            _out, err = self.run_command(
                'create', 'one', '--timeout', '0', status=1
            )
            self.assertEqual(not carried_out, 'may still be carried' in err)
            self.assertEqual(carried_out, '.timer' in self.calls.read_text())
            self.assert_none()

    def test_a_request_that_is_refused(self):
        real = self.database.transact

        def refuse(operations):
            if 'insert' not in [item['op'] for item in operations]:
                return real(operations)
            return [{'error': 'permission error', 'details': ''}]

        self.database.transact = refuse
        _out, err = self.run_command(
            'create', 'one', '--timeout', '0', status=1
        )
        self.assertNotIn('may still be carried', err)
        self.assertIn('.timer', self.calls.read_text())

    def test_somebody_removes_it_at_once(self):
        def gone(operations):
            if operations[0].get('table') == 'Mirror':
                where = operations[0]['where']
                if where and where[0][0] == '_uuid':
                    found = where[0][2][1]
                    self.database.tables['Mirror'].pop(found, None)

        self.database.before = gone
        _out, err = self.run_command(
            'create', 'one', '--timeout', '0', status=5
        )
        self.assertIn('was removed again', err)
        self.database.before = lambda operations: None
        self.assert_none()

    def test_no_guard(self):
        (self.folder / 'calls.noguard').touch()
        _out, err = self.run_command('create', 'one', '--timeout', '0')
        self.assertIn('No guard on host1', err)
        self.assertIn('only "openstack port mirror prune"', err)

    def test_ssh_is_broken(self):
        (self.folder / 'calls.fail').touch()
        _out, err = self.run_command(
            'create', 'one', '--timeout', '0', status=1
        )
        self.assertIn('No shell on host1: broken pipe', err)
        self.assert_none()
