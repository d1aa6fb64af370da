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

"""The transactions of mirrors."""

import dataclasses
import json
import shlex

import testtools

from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import transaction
from osc_lab.tests.unit.mirroring import samples


def create(to='interface', direction='both', mirrors=(), **changes):
    return transaction.create(
        samples.attachment(mirrors),
        samples.wish(to, direction, **changes),
        'me',
    )


def row(operations, table):
    (found,) = [
        item['row']
        for item in operations
        if item['op'] == 'insert' and item['table'] == table
    ]
    return found


class TestCreate(testtools.TestCase):
    def test_adds_and_never_replaces(self):
        for operation in create():
            self.assertIn(
                operation['op'], ('wait', 'insert', 'mutate', 'comment')
            )
        (change,) = [item for item in create() if item['op'] == 'mutate']
        self.assertEqual('Bridge', change['table'])
        self.assertEqual(
            [('ports', 'insert'), ('mirrors', 'insert')],
            [(item[0], item[1]) for item in change['mutations']],
        )

    def test_guards_the_mirrors_that_were_seen(self):
        operations = create(mirrors=(samples.mirror(False, uuid='theirs'),))
        guard = operations[0]
        self.assertEqual(('wait', '=='), (guard['op'], guard['until']))
        self.assertEqual(
            [{'mirrors': ['set', [['uuid', 'theirs']]]}], guard['rows']
        )

    def test_directions(self):
        source, target = 'select_src_port', 'select_dst_port'
        for direction, columns in (
            ('in', {target}),
            ('out', {source}),
            ('both', {source, target}),
        ):
            mirror = row(create(direction=direction), 'Mirror')
            self.assertEqual(columns, {source, target} & set(mirror))

    def test_what_is_cut_and_what_is_left_out(self):
        mirror = row(create(filter='icmp', snaplen=96), 'Mirror')
        self.assertEqual(('icmp', 96), (mirror['filter'], mirror['snaplen']))
        self.assertEqual(
            set(), {'filter', 'snaplen'} & set(row(create(), 'Mirror'))
        )

    def test_every_row_is_marked(self):
        for to in ('interface', 'gre:192.0.2.1', 'vlan:5'):
            operations = create(to)
            for table in ('Interface', 'Port', 'Mirror'):
                ids = dict(row(operations, table)['external_ids'][1])
                self.assertEqual(samples.marked().id, ids[marks.ID])
                self.assertNotIn('ovn-owned', ids)
                self.assertNotIn('iface-id', ids)

    def test_outputs(self):
        output = model.Port('row-watch', 'watch')
        for to, column, value in (
            ('interface', 'output_port', ['named-uuid', 'port']),
            ('vxlan:192.0.2.1', 'output_port', ['named-uuid', 'port']),
            ('vlan:9', 'output_vlan', 9),
            ('port:watch', 'output_port', ['uuid', 'row-watch']),
        ):
            mirror = row(
                create(to, output=output if 'port:' in to else None), 'Mirror'
            )
            self.assertEqual(value, mirror[column])
            self.assertEqual(
                1, len({'output_port', 'output_vlan'} & set(mirror))
            )

    def test_device_is_like_the_port(self):
        operations = create()
        interface = row(operations, 'Interface')
        self.assertEqual('internal', interface['type'])
        self.assertEqual(1450, interface['mtu_request'])
        port = row(operations, 'Port')
        self.assertEqual(7, port['tag'])
        # What a host that starts anew removes, see ovs-ctl(8).
        self.assertEqual(
            ['map', [['transient', 'true']]], port['other_config']
        )

    def test_erspan_index_is_written_as_the_switch_reads_it(self):
        options = dict(
            row(create('erspan:192.0.2.1:102'), 'Interface')['options'][1]
        )
        self.assertEqual(102, int(options['erspan_idx'], 16))

    def test_is_json_with_any_name(self):
        for name in samples.HOSTILE:
            operations = create(name=name)
            self.assertEqual(operations, json.loads(json.dumps(operations)))
            self.assertEqual(name, row(operations, 'Mirror')['name'])


class TestRemove(testtools.TestCase):
    def test_takes_what_is_named_and_no_more(self):
        (change, _comment) = transaction.remove('b', ['m'], ['p', 'q'], 'me')
        self.assertEqual([['_uuid', '==', ['uuid', 'b']]], change['where'])
        self.assertEqual(
            [
                ['mirrors', 'delete', ['set', [['uuid', 'm']]]],
                ['ports', 'delete', ['set', [['uuid', 'p'], ['uuid', 'q']]]],
            ],
            change['mutations'],
        )


class TestCommands(testtools.TestCase):
    def test_names_stay_one_word(self):
        for name in samples.HOSTILE:
            command = transaction.create_commands(
                samples.attachment(), samples.wish(name=name)
            )[0]
            words = shlex.split(command)
            (word,) = [w for w in words if w.startswith('name="')]
            plain = word.removeprefix('name=')[1:-1]
            self.assertEqual(
                name, plain.replace('\\"', '"').replace('\\\\', '\\')
            )

    def test_shell_lines_only_for_a_device(self):
        for to, count in (('interface', 3), ('gre:192.0.2.1', 1)):
            self.assertEqual(
                count,
                len(
                    transaction.create_commands(
                        samples.attachment(), samples.wish(to)
                    )
                ),
            )

    def test_each_column_has_its_word(self):
        output = model.Port('row-out', 'out0')
        for wish, words in (
            (
                samples.wish('vlan:9', snaplen=96, filter='icmp'),
                ('output_vlan=9', 'snaplen=96', 'filter="icmp"'),
            ),
            (
                samples.wish('port:out0', output=output),
                ('--id=@output', 'row-out', 'output_port=@output'),
            ),
            (
                samples.wish('erspan:192.0.2.1:10'),
                ('options:erspan_idx="0xa"', 'output_port=@port'),
            ),
        ):
            line = transaction.create_commands(samples.attachment(), wish)[0]
            for word in words:
                self.assertIn(word, shlex.split(line))

    def test_a_port_without_vlan_or_mtu(self):
        found = samples.attachment(mtu=None)
        found = dataclasses.replace(
            found, port=dataclasses.replace(found.port, tag=None)
        )
        (line, *_more) = transaction.create_commands(found, samples.wish())
        for word in ('tag=', 'mtu_request='):
            self.assertNotIn(word, line)
