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

"""The commands for mirrors that are there against OVSDBs and a cloud."""

import datetime
import json
import os
from unittest import mock

from osc_lab.mirroring import marks
from osc_lab.tests.unit.commands import mirrors
from osc_lab.tests.unit import fake_cloud


class TestOthers(mirrors.MirrorTest):
    """list, show, delete and prune."""

    def change(self, **values):
        """Change the marks of our rows."""
        for table in ('Mirror', 'Port', 'Interface'):
            for row in self.database.tables[table].values():
                if row['external_ids'].get(marks.OWNER):
                    row['external_ids'].update(
                        {marks.PREFIX + k: v for k, v in values.items()}
                    )

    def long_ago(self):
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        self.change(expires=past.isoformat())

    def test_list_all_and_long(self):
        self.create()
        self.database.mirror(
            self.bridge, 'theirs\x1b[31m', select_all=True, output_vlan=[7]
        )
        self.assertEqual(1, len(self.json('list')))
        rows = self.json('list', '--all', '--long', '--host', 'host1')
        self.assertEqual(
            {('idle', 'osc-lab'), ('foreign', 'unknown')},
            {(row['Health'], row['Owner']) for row in rows},
        )
        (theirs,) = [row for row in rows if row['Owner'] == 'unknown']
        self.assertEqual(
            ('both', 'vlan:7', 'theirs\\x1b[31m'),
            (theirs['Direction'], theirs['Target'], theirs['Name']),
        )
        out, _err = self.run_command('list')
        self.assertIn('1h', out.replace('60m', '1h').replace('59m', '1h'))

    def test_one_that_never_ends(self):
        made = self.create('--ttl', 'none')
        self.assertIsNone(made['expires_at'])
        self.assertIsNone(self.json('list')[0]['Expires'])
        for command in ('list', f'show {made["id"]}'):
            out, _err = self.run_command(*command.split())
            self.assertIn('never', out)

    def test_list_is_in_order(self):
        """The rows of OVSDB are in none."""
        for name in ('m2', 'm3', 'm1'):
            self.database.mirror(self.bridge, name, select_all=True)
        found = self.json('list', '--all', '-c', 'Name')
        self.assertEqual(['m1', 'm2', 'm3'], [row['Name'] for row in found])

    def test_a_mirror_without_an_output(self):
        self.database.mirror(self.bridge, 'theirs', select_all=True)
        shown = self.json('show', 'theirs')
        self.assertEqual(
            ('', ['no-output']), (shown['target'], shown['problems'])
        )

    def test_a_host_that_does_not_answer(self):
        os.unlink(self.folder / 'host3.sock')
        self.create()
        rows = self.json('list', '--long', status=4)
        self.assertEqual(
            [('host1', 'idle'), ('host3', 'unreachable')],
            [(row['Host'], row['Health']) for row in rows],
        )
        self.assertEqual(
            (None, None, None, []),
            tuple(
                rows[1][key]
                for key in ('Packets', 'Age', 'Expires', 'Problems')
            ),
        )
        out, _err = self.run_command('list', '--long', status=4)
        self.assertNotIn('None', out)
        _out, err = self.run_command('show', 'nothing', status=1)
        self.assertIn('on a host that did not answer: host3', err)
        self.json('prune', status=4)

    def test_delete_by_name_while_a_host_does_not_answer(self):
        """A mirror of the same name may be there."""
        os.unlink(self.folder / 'host3.sock')
        made = self.create()
        _out, err = self.run_command('delete', made['name'], status=4)
        self.assertIn('host3', err)
        self.assert_none()
        self.run_command('delete', self.create()['id'])
        self.assert_none()

    def test_what_is_refused_before_the_log_in(self):
        for command in ('list', 'show x', 'delete x', 'prune', 'create one'):
            _out, err = self.run_command(
                *command.split(), '--host-timeout', 'x', status=2
            )
            self.assertIn('--host-timeout: "x"', err)
        self.assertEqual([], self.shell.http.request_history)

    def test_show_by_name_while_a_host_does_not_answer(self):
        """Two of one name are refused: nobody knows that it is the one."""
        os.unlink(self.folder / 'host3.sock')
        made = self.create()
        self.assertEqual(made, self.json('show', made['name'], status=4))
        self.assertEqual(made, self.json('show', made['id']))

    def test_which_one(self):
        made = self.create()
        for name in (made['id'], made['name']):
            self.assertEqual(made, self.json('show', name))
        _out, err = self.run_command('show', 'nothing', status=1)
        self.assertIn('There is no mirror "nothing"', err)
        for _number in range(2):
            self.database.mirror(self.bridge, 'twice')
        _out, err = self.run_command('show', 'twice', status=1)
        self.assertIn('There are 2 mirrors "twice"', err)

    def test_delete_is_not_for_others(self):
        theirs = self.database.mirror(
            self.bridge, 'ovn', external_ids={'ovn-owned': 'true'}
        )
        made = self.create()
        before = self.database.rows()
        _out, err = self.run_command('delete', made['id'], 'ovn', status=3)
        self.assertIn('was made by ovn', err)
        self.assertEqual(before, self.database.rows())
        self.run_command('delete', made['id'], made['name'])
        self.assertEqual([theirs], list(self.database.tables['Mirror']))

    def test_what_is_left_without_a_mirror(self):
        made = self.create()
        self.database.tables['Bridge'][self.bridge]['mirrors'] = []
        self.database._collect()
        (row,) = self.json('list', '--long')
        self.assertEqual(('blind', made['id']), (row['Health'], row['ID']))
        self.json('show', made['name'])
        self.assertEqual(1, len(self.json('prune')))
        self.assert_none()

    def test_one_that_is_just_being_made(self):
        """Its port is seen with it, or not at all."""
        whole = self.database.rows
        before = whole()
        self.create()
        after, self.database.tables = whole(), before

        def commit(operations):
            if any(item.get('table') == 'Mirror' for item in operations):
                # What comes after the first look sees all of it.
                self.database.before = self.replace(after)

        self.database.before = commit
        self.assertEqual([], self.json('prune'))
        self.assertEqual('idle', self.json('list')[0]['Health'])
        self.assertEqual(after, whole())

    def replace(self, tables):
        def commit(_operations):
            self.database.tables = tables
            self.database.before = lambda operations: None

        return commit

    def test_prune_chooses(self):
        self.create()
        self.assertEqual([], self.json('prune'))
        self.long_ago()
        self.assertEqual([], self.json('prune', '--orphans'))
        (shown,) = self.json('prune', '--dry-run')
        self.assertEqual(
            (['expired'], False),
            (
                shown['Problems'],
                shown['Removed'],
            ),
        )
        self.assertEqual(1, len(self.json('prune', '--expired')))
        self.assert_none()
        self.create()
        self.cloud.ports[0]['binding:host_id'] = 'host2'
        (row,) = self.json('list')
        self.assertEqual('orphan', row['Health'])
        self.assertEqual([], self.json('prune', '--expired'))
        self.assertEqual(1, len(self.json('prune', '--orphans')))
        self.assert_none()

    def test_who_may_not_see_calls_nothing_an_orphan(self):
        made = self.create()
        agents = self.cloud.agents
        ports = self.cloud.ports
        # Ports without bindings, and none, as others and other regions
        # show them; agents of hosts that are not these.
        bare = [dict(port) for port in ports]
        del bare[0]['binding:host_id']
        elsewhere = [{**agents[0], 'host': 'far'}]
        for shown, seen in ((bare, []), ([], []), ([], elsewhere)):
            self.cloud.ports, self.cloud.agents = shown, seen
            before = self.database.rows()
            for verb in ('list', 'prune'):
                out, err = self.run_command(
                    verb, '--host', 'host1', '-f', 'json', status=4
                )
                self.assertEqual(1, err.count('admin role'), err)
                self.assertNotIn('orphan', out)
            self.assertEqual([], json.loads(out))
            self.run_command('show', made['id'], '--host', 'host1', status=4)
            self.assertEqual(
                [], self.json('prune', '--expired', '--host', 'host1')
            )
            self.assertEqual(before, self.database.rows())
        self.long_ago()
        self.assertEqual(1, len(self.json('prune', '--host', 'host1')))
        self.cloud.ports, self.cloud.agents = ports, agents
        made = self.create()
        self.cloud.ports, self.cloud.agents = [], []
        _out, err = self.run_command('delete', made['id'], '--host', 'host1')
        self.assertNotIn('admin role', err)
        self.assert_none()

    def test_an_expired_one_is_made_anew(self):
        made = self.create()
        self.long_ago()
        shown = self.create('--dry-run')
        self.assertFalse(shown['exists'])
        self.assertIn(made['id'], shown['commands'][0])
        self.assertNotEqual([], shown['transaction'])
        self.assertNotEqual(made['id'], self.create()['id'])
        self.assertEqual(1, len(self.ours()['Mirror']))

    def test_one_without_its_output_is_made_anew(self):
        made = self.create()
        (mirror,) = self.ours()['Mirror']
        self.database.unplug(mirror['output_port'][0][1])
        (row,) = self.json('list')
        self.assertEqual('no-output', row['Health'])
        self.assertNotEqual(made['id'], self.create()['id'])
        (row,) = self.json('list')
        self.assertEqual('idle', row['Health'])

    def test_left_overs_of_others(self):
        output = self.database.plug(self.bridge, 'mitapone')
        self.database.mirror(
            self.bridge, 'm_tapone', output_port=[['uuid', output]]
        )
        before = self.database.rows()
        self.assertEqual([], self.json('prune'))
        with mock.patch('sys.stdin.isatty', lambda: False):
            _out, err = self.run_command('prune', '--foreign', status=2)
        self.assertIn('Not ours: m_tapone on host1, 0 packets', err)
        self.assertIn('use --auto-approve', err)
        for answer, status in (('n\n', 130), ('y\n', 0)):
            self.assertEqual(before, self.database.rows())
            with mock.patch('sys.stdin') as stdin:
                stdin.isatty.return_value = True
                stdin.readline.return_value = answer
                out, err = self.run_command(
                    'prune', '--foreign', '-f', 'json', status=status
                )
        self.assertEqual(True, json.loads(out)[0]['Removed'])
        self.assertEqual({}, self.database.tables['Mirror'])
        self.assertNotIn(output, self.database.tables['Port'])
        self.assertIn('ip link delete dev', self.calls.read_text())

    def test_left_overs_that_nobody_is_asked_about(self):
        self.database.mirror(self.bridge, 'm_tapone')
        with mock.patch('sys.stdin.isatty', lambda: False):
            out, err = self.run_command(
                'prune', '--foreign', '--auto-approve', '-f', 'json'
            )
        self.assertIn('Not ours: m_tapone on host1', err)
        self.assertEqual(True, json.loads(out)[0]['Removed'])
        self.assertEqual({}, self.database.tables['Mirror'])

    def test_what_was_made_anew_while_somebody_thought(self):
        """The port that was an output is one of another mirror now."""
        output = self.database.plug(self.bridge, 'mitapone')
        refer = [['uuid', output]]
        self.database.mirror(self.bridge, 'm_tapone', output_port=refer)

        def think():
            self.database.tables['Bridge'][self.bridge]['mirrors'] = []
            self.database._collect()
            self.database.mirror(self.bridge, 'theirs', output_port=refer)
            return 'y\n'

        with mock.patch('sys.stdin') as stdin:
            stdin.isatty.return_value = True
            stdin.readline = think
            self.run_command('prune', '--foreign')
        (left,) = self.database.tables['Mirror'].values()
        self.assertEqual(
            ('theirs', refer), (left['name'], left['output_port'])
        )
        self.assertNotIn('ip link delete dev', self.calls.read_text())

    def test_a_host_that_goes_away(self):
        made = self.create()
        self.refuse_removal('read-only')
        _out, err = self.run_command('delete', made['id'], status=5)
        self.assertIn('read-only', err)
        self.long_ago()
        (row,) = self.json('prune', status=5)
        self.assertEqual(False, row['Removed'])

    def test_the_guard_cannot_be_told(self):
        made = self.create()
        (self.folder / 'calls.fail').touch()
        _out, err = self.run_command('delete', made['id'])
        self.assertIn('The guard on host1 ends when its time is over', err)
        self.assert_none()


class TestChannels(mirrors.MirrorTest):
    """Channels that cannot be those of the hosts."""

    def reach(self, **settings):
        self.shell = self.useFixture(fake_cloud.Mocked(self.cloud, settings))

    def refused(self, text, status, *commands):
        """See that each command ends with one line, and changes nothing."""
        before = self.database.rows()
        for command in commands:
            out, err = self.run_command(*command.split(), status=status)
            self.assertEqual(('', text), (out, err.strip()))
        self.assertEqual(before, self.database.rows())

    def test_one_that_names_one_machine(self):
        """Its mirrors would be orphans of all the others."""
        self.create()
        remote = f'unix:{self.folder}/host1.sock'
        forwarded = f'ssh:{self.folder}/host1.sock'
        for flag, value, settings in (
            ('--ovsdb', remote, {'ovsdb': remote}),
            ('--ovsdb', remote, {'ovsdb': remote, 'ssh': '{host}'}),
            ('--ssh', 'local', {'ssh': 'local'}),
            ('--ssh', 'local', {'ssh': 'local', 'ovsdb': forwarded}),
            ('--ssh', 'root@cmp', {'ssh': 'root@cmp', 'ovsdb': 'ssh'}),
        ):
            self.reach(**settings)
            self.refused(
                f'{flag}: "{value}" is one machine, not 3 hosts. Name the '
                'host that it is with --host, or write {host}.',
                *(2, 'prune'),
            )

    def test_one_machine_that_is_named(self):
        self.create()
        forwarded = f'ssh:{self.folder}/host1.sock'
        self.reach(ssh='local', ovsdb=forwarded)
        host = ('--host', 'host1')
        (row,) = self.json('list', *host, *host)
        self.assertEqual('idle', row['Health'])
        self.assertEqual([], self.json('prune', *host))
        self.cloud.agents = self.cloud.agents[:1]
        self.assertEqual(1, len(self.json('list')))

    def test_one_machine_that_another_name_is_for(self):
        """What is not where it was made may be no orphan."""
        self.create()
        before = self.database.rows()
        self.reach(ssh='local', ovsdb=f'ssh:{self.folder}/host1.sock')
        for verb in ('list', 'prune'):
            out, err = self.run_command(
                *(verb, '--host', 'host2', '-f', 'json'), status=4
            )
            self.assertIn(
                'Whether the ports of 1 mirrors are gone is unknown, on '
                'host2: they were made on other hosts. See that --ssh and '
                '--ovsdb lead to the host of that name.',
                err,
            )
            self.assertNotIn('admin role', err)
            self.assertNotIn('orphan', out)
        self.assertEqual([], json.loads(out))
        self.assertEqual(before, self.database.rows())

    def test_sockets_of_several_hosts_on_this_machine(self):
        self.create()
        for number, host in enumerate(self.HOSTS, 1):
            path = self.folder / f'192.0.2.{number}.sock'
            path.symlink_to(f'{host}.sock')
        for settings in (
            {'ssh': 'local', 'ovsdb': f'ssh:{self.folder}/{{host}}.sock'},
            {'ovsdb': f'unix:{self.folder}/{{host_ip}}.sock'},
        ):
            self.reach(**settings)
            self.assertEqual(1, len(self.json('list')))

    def test_none(self):
        text = 'There is no way to the OVSDB of hosts. Use --ovsdb, or --ssh.'
        for settings in ({}, {'ovsdb': 'ssh'}, {'ovsdb': 'ssh:/run/db'}):
            self.reach(**settings)
            self.refused(text, 1, 'prune')
        self.refused(text, 1, 'list', 'show x', 'delete x')

    def test_what_is_no_channel(self):
        """It is said once, and no host is called unreachable."""
        for remote, text in (
            (
                'foo:{host}',
                '--ovsdb: "foo:host1" is not a remote. Use ssl:{host}:6640, '
                'tcp:{host}:6640, unix:PATH or ssh.',
            ),
            (
                'ssl:{host}:6640',
                'OVSDB over ssl needs a CA certificate. Use '
                '--ovsdb-ca-cert, or ovsdb_ca_cert in clouds.yaml.',
            ),
        ):
            self.reach(ovsdb=remote)
            self.refused(text, 2, 'prune')
        self.refused(text, 2, 'list', 'show x', 'delete x')
