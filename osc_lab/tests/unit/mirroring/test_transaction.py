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

from osc_lab import exceptions
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

    def test_guards_what_was_seen(self):
        """The mirrors of the bridge, and that the port is the same row."""
        operations = create(mirrors=(samples.mirror(False, uuid='theirs'),))
        bridge = [['_uuid', '==', ['uuid', 'row-bridge']]]
        guard = {'op': 'wait', 'until': '==', 'timeout': 0}
        self.assertEqual(
            [
                {
                    **guard,
                    'table': 'Bridge',
                    'where': bridge,
                    'columns': ['mirrors'],
                    'rows': [{'mirrors': ['set', [['uuid', 'theirs']]]}],
                },
                {
                    **guard,
                    'table': 'Port',
                    'where': [['_uuid', '==', ['uuid', 'row-port']]],
                    'columns': ['name'],
                    'rows': [{'name': 'tapone'}],
                },
            ],
            operations[:2],
        )
        self.assertEqual(
            [bridge],
            [item['where'] for item in operations[2:] if 'where' in item],
        )

    def test_rows_refer_to_each_other(self):
        operations = create()
        self.assertEqual(
            ['interface', 'port', 'mirror'],
            [item['uuid-name'] for item in operations[2:5]],
        )
        self.assertEqual(
            ['named-uuid', 'interface'], row(operations, 'Port')['interfaces']
        )
        self.assertEqual(
            [
                ['ports', 'insert', ['named-uuid', 'port']],
                ['mirrors', 'insert', ['named-uuid', 'mirror']],
            ],
            operations[5]['mutations'],
        )
        for table in ('Interface', 'Port'):
            self.assertEqual('tpm0123456789', row(operations, table)['name'])

    def test_says_who_does_what(self):
        for verb, operations in (
            ('create', create()),
            ('delete', transaction.remove('b', ['m'], ['p'], 'me')),
        ):
            comment = {
                'op': 'comment',
                'comment': f'osc-lab: port mirror {verb} by me',
            }
            self.assertEqual(comment, operations[-1])

    def test_directions(self):
        source, target = 'select_src_port', 'select_dst_port'
        for direction, columns in (
            ('in', {target}),
            ('out', {source}),
            ('both', {source, target}),
        ):
            mirror = row(create(direction=direction), 'Mirror')
            self.assertEqual(columns, {source, target} & set(mirror))
            for column in columns:
                self.assertEqual(['uuid', 'row-port'], mirror[column])

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
                ids = row(operations, table)['external_ids']
                self.assertEqual('map', ids[0])
                self.assertEqual(
                    marks.encode(samples.marked(target=to)), dict(ids[1])
                )

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

    def test_devices(self):
        """What is made for each target: type, options, MTU and VLAN."""
        there = {'remote_ip': '192.0.2.1'}
        for to, *expected in (
            ('interface', 'internal', None, 1450, 7),
            ('gre:192.0.2.1', 'gre', there, None, 7),
            ('gre:192.0.2.1:9', 'gre', {**there, 'key': '9'}, None, 7),
            ('vxlan:192.0.2.1:5', 'vxlan', {**there, 'key': '5'}, None, 7),
            (
                # The session has 10 bits; the index is read as hexadecimal.
                *('erspan:192.0.2.1:1026', 'erspan'),
                {
                    **there,
                    'erspan_ver': '1',
                    'erspan_idx': '0x402',
                    'key': '2',
                },
                *(None, 7),
            ),
            ('vlan:9', 'internal', None, None, None),
            ('port:watch', 'internal', None, None, None),
        ):
            output = model.Port('row-watch', 'watch')
            operations = create(to, output=output if 'port:' in to else None)
            interface = row(operations, 'Interface')
            port = row(operations, 'Port')
            options = interface.get('options')
            self.assertEqual(
                expected,
                [
                    interface['type'],
                    options and dict(options[1]),
                    interface.get('mtu_request'),
                    port.get('tag'),
                ],
                to,
            )
            # What a host that starts anew removes, see ovs-ctl(8).
            self.assertEqual(
                ['map', [['transient', 'true']]], port['other_config']
            )

    def test_is_json_with_any_name(self):
        for name in samples.HOSTILE:
            operations = create(name=name)
            self.assertEqual(operations, json.loads(json.dumps(operations)))
            self.assertEqual(name, row(operations, 'Mirror')['name'])


class TestRemove(testtools.TestCase):
    def test_takes_what_is_named_and_no_more(self):
        (change, _comment) = transaction.remove('b', ['m'], ['p', 'q'], 'me')
        self.assertEqual([['_uuid', '==', ['uuid', 'b']]], change['where'])
        self.assertEqual(('mutate', 'Bridge'), (change['op'], change['table']))
        self.assertEqual(
            [
                ['mirrors', 'delete', ['set', [['uuid', 'm']]]],
                ['ports', 'delete', ['set', [['uuid', 'p'], ['uuid', 'q']]]],
            ],
            change['mutations'],
        )


class TestCommands(testtools.TestCase):
    def test_names_stay_one_word(self):
        for name in (*samples.HOSTILE, 'a\x7fb'):
            command = transaction.create_commands(
                samples.attachment(),
                samples.wish(
                    name=name, marks=samples.marked(server_name=name)
                ),
            )[0]
            self.assertEqual(exceptions.printable(command), command)
            words = shlex.split(command)
            for start, count in (
                ('name=', 1),
                ('external_ids:osc-lab-server-name=', 3),
            ):
                # As ovs-vsctl reads it: quoted as in JSON.
                found = [
                    json.loads(word.removeprefix(start))
                    for word in words
                    if word.startswith(f'{start}"')
                ]
                self.assertEqual([name] * count, found)

    def commands(self, wish, found=None):
        """Return the words of each part of the commands."""
        first, *rest = transaction.create_commands(
            found or samples.attachment(), wish
        )
        marked = {
            f'external_ids:{key}="{value}"'
            for key, value in marks.encode(wish.marks).items()
        }
        parts = []
        for part in f' {first} '.split(' -- '):
            words = shlex.split(part)
            if 'create' in words:
                self.assertEqual(marked, marked & set(words))
            parts.append(' '.join(w for w in words if w not in marked))
        return [*parts, *rest]

    def test_words(self):
        device = 'name=tpm0123456789'
        interface = f'--id=@interface create Interface {device} type='
        port = f'--id=@port create Port {device} interfaces=@interface '
        source = '--id=@source get Port row-port'
        mirror = '--id=@mirror create Mirror name="m" select_'
        add = [
            'add Bridge row-bridge ports @port',
            'add Bridge row-bridge mirrors @mirror',
        ]
        up = 'ip link set dev tpm0123456789 '
        for wish, *expected in (
            (
                samples.wish(),
                f'{interface}internal mtu_request=1450',
                f'{port}tag=7 other_config:transient=true',
                source,
                f'{mirror}src_port=@source select_dst_port=@source '
                'output_port=@port',
                *add,
                *(f'{up}addrgenmode none', f'{up}up'),
            ),
            (
                samples.wish('vlan:9', 'in', snaplen=96, filter='icmp'),
                f'{interface}internal',
                f'{port}other_config:transient=true',
                source,
                f'{mirror}dst_port=@source output_vlan=9 snaplen=96 '
                'filter="icmp"',
                *add,
            ),
            (
                samples.wish(
                    'port:out0', 'out', output=model.Port('row-out', 'out0')
                ),
                f'{interface}internal',
                f'{port}other_config:transient=true',
                source,
                '--id=@output get Port row-out',
                f'{mirror}src_port=@source output_port=@output',
                *add,
            ),
            (
                samples.wish('erspan:192.0.2.1:10', 'out'),
                f'{interface}erspan options:remote_ip="192.0.2.1" '
                'options:erspan_ver="1" options:erspan_idx="0xa" '
                'options:key="10"',
                f'{port}tag=7 other_config:transient=true',
                source,
                f'{mirror}src_port=@source output_port=@port',
                *add,
            ),
        ):
            self.assertEqual(['ovs-vsctl', *expected], self.commands(wish))

    def test_a_port_without_vlan_or_mtu(self):
        found = samples.attachment(mtu=None)
        found = dataclasses.replace(
            found, port=dataclasses.replace(found.port, tag=None)
        )
        line = ' '.join(self.commands(samples.wish(), found))
        for word in ('tag=', 'mtu_request='):
            self.assertNotIn(word, line)
