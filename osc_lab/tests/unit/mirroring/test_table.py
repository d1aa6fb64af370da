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

"""What is shown of mirrors, and which one a user means."""

import dataclasses
import json

from cliff import columns
import testtools

from osc_lab import exceptions
from osc_lab.mirroring import health
from osc_lab.mirroring import maker
from osc_lab.mirroring import marks
from osc_lab.mirroring import table
from osc_lab.tests.unit.mirroring import samples

#: Of a mirror that is not ours.
THEIRS = {
    'ours': False,
    'uuid': 'row-theirs',
    'name': 'theirs\x1b',
    'select_dst': (),
    'output_port': None,
    'output_name': '',
}
#: Shown where nothing is known.
NOBODY = {
    key: '' for key in ('Port', 'Server', 'ID', 'Purpose', 'Creator', 'Filter')
}


def entry(*mirrors, ports=(), now=samples.NOW):
    """Return the one entry of these rows."""
    (found,) = health.entries(
        'cmp1',
        mirrors,
        [(port, 'row-bridge') for port in ports],
        now,
        {'row-bridge': 'br-int'},
    )
    return found


def ours(mirror=None, **changes):
    made = marks.encode(samples.marked(**changes))
    return entry(samples.mirror(external_ids=made, **(mirror or {})))


def read(cell):
    """Return what programs are given, with what people see of a time."""
    if not isinstance(cell, columns.FormattableColumn):
        return cell
    found = cell.machine_readable(), cell.human_readable()
    timed = isinstance(cell, table.Seconds) or found == (None, 'never')
    return found if timed else found[0]


def people(names, cells):
    """Return what people see."""
    return {
        name: cell.human_readable()
        if isinstance(cell, columns.FormattableColumn)
        else cell
        for name, cell in zip(names, cells, strict=True)
    }


class TestRows(testtools.TestCase):
    def row(self, found, now=samples.NOW):
        """Return the long row, and hold the short one against it."""
        cells = list(map(read, table.row(found, now, True)))
        self.assertEqual(
            cells[: len(table.LIST)], list(map(read, table.row(found, now)))
        )
        return dict(zip(table.LONG, cells, strict=True))

    def show(self, found):
        cells = map(read, table.show(found))
        return dict(zip(table.SHOW, cells, strict=True))

    def test_one_of_ours(self):
        found = ours(
            {'snaplen': 96, 'filter': 'icmp'}, direction='out', guard='systemd'
        )
        self.assertEqual(
            {
                'Name': 'm',
                'Port': 'web',
                'Server': 'vm',
                'Host': 'cmp1',
                'Direction': 'out',
                'Target': 'interface',
                'Packets': 5,
                'Bytes': 500,
                'Age': (600, '10m'),
                'Expires': (3000, '50m'),
                'Health': 'ok',
                'ID': 'mirror-id',
                'Owner': 'osc-lab',
                'Purpose': 'mirror',
                'Creator': 'me',
                'Bridge': 'br-int',
                'Device': 'tpm0123456789',
                'Snaplen': 96,
                'Filter': 'icmp',
                'Problems': [],
            },
            self.row(found, samples.NOW + samples.HOUR / 6),
        )
        self.assertEqual(
            {
                'id': 'mirror-id',
                'name': 'm',
                'port_id': samples.PORT_ID,
                'port_name': 'web',
                'server_id': 'server-id',
                'server_name': 'vm',
                'host': 'cmp1',
                'bridge': 'br-int',
                'direction': 'out',
                'target': 'interface',
                'device': 'tpm0123456789',
                'snaplen': 96,
                'filter': 'icmp',
                'packets': 5,
                'bytes': 500,
                'health': 'ok',
                'problems': [],
                'owner': 'osc-lab',
                'purpose': 'mirror',
                'creator': 'me',
                'created_at': '2026-05-04T12:00:00+00:00',
                'expires_at': '2026-05-04T13:00:00+00:00',
                'guard': 'systemd',
            },
            self.show(found),
        )

    def test_one_without_names_or_an_end(self):
        found = ours(port_name='', server_name='', expires=None)
        row = self.row(found)
        self.assertEqual(
            (samples.PORT_ID, 'server-id', (None, 'never')),
            (row['Port'], row['Server'], row['Expires']),
        )
        self.assertEqual((None, 'never'), self.show(found)['expires_at'])

    def test_a_foreign_one(self):
        found = entry(samples.mirror(**THEIRS))
        row = self.row(found)
        self.assertEqual(
            {
                **NOBODY,
                'Name': 'theirs\\x1b',
                'Host': 'cmp1',
                'Direction': 'out',
                'Target': '',
                'Packets': 5,
                'Bytes': 500,
                'Age': None,
                'Expires': None,
                'Health': 'foreign',
                'ID': 'row-theirs',
                'Owner': 'unknown',
                'Bridge': 'br-int',
                'Device': '',
                'Snaplen': None,
                'Problems': ['no-output'],
            },
            row,
        )
        shown = self.show(found)
        self.assertEqual(
            ('row-theirs', None, None, ['no-output']),
            tuple(
                shown[key]
                for key in ('id', 'created_at', 'expires_at', 'problems')
            ),
        )
        for names, cells in (
            (table.LONG, table.row(found, samples.NOW, True)),
            (table.SHOW, table.show(found)),
        ):
            seen = people(names, cells)
            for name in ('Age', 'Expires', 'Snaplen', 'snaplen', 'expires_at'):
                self.assertEqual('', seen.get(name, ''), name)

    def test_a_port_that_lost_its_mirror(self):
        found = entry(ports=(samples.own_port(),))
        row = self.row(found, samples.NOW)
        self.assertEqual(
            ('m', 'both', 'interface', 'mirror-id', 'tpm0123456789', 'br-int'),
            tuple(
                row[key]
                for key in (
                    *('Name', 'Direction', 'Target', 'ID', 'Device'),
                    'Bridge',
                )
            ),
        )
        shown = self.show(found)
        for key in ('packets', 'bytes', 'snaplen'):
            self.assertIsNone(row[key.capitalize()])
            self.assertIsNone(shown[key])
        self.assertEqual(('', ''), (row['Filter'], shown['filter']))

    def test_directions_of_foreign_ones(self):
        some = ('row-port',)
        for expected, all_, source, target in (
            ('both', True, (), ()),
            ('both', False, some, some),
            ('out', False, some, ()),
            ('in', False, (), some),
            ('', False, (), ()),
        ):
            found = entry(
                samples.mirror(
                    False,
                    select_all=all_,
                    select_src=source,
                    select_dst=target,
                )
            )
            for cells in (self.row(found), self.show(found)):
                word = cells.get('Direction', cells.get('direction'))
                self.assertEqual(expected, word)

    def test_targets_of_foreign_ones(self):
        for expected, changes in (
            ('port:tpm0123456789', {}),
            ('vlan:0', {'output_vlan': 0}),
            ('', {'output_name': ''}),
        ):
            found = entry(samples.mirror(False, **changes))
            self.assertEqual(expected, self.row(found)['Target'])

    def test_all_problems_in_order(self):
        found = ours({'output_port': None, 'select_src': (), 'select_dst': ()})
        self.assertEqual(['blind', 'no-output'], self.row(found)['Problems'])
        self.assertEqual('no-output', self.row(found)['Health'])

    def test_a_host_that_does_not_answer(self):
        for names, cells in (
            (table.LIST, table.unreachable('cmp1')),
            (table.LONG, table.unreachable('cmp1', True)),
        ):
            row = dict(zip(names, map(read, cells), strict=True))
            values = ('Packets', 'Bytes', 'Age', 'Expires', 'Snaplen')
            self.assertEqual(
                {
                    **dict.fromkeys(names, ''),
                    **{key: None for key in values if key in names},
                    **({'Problems': []} if 'Problems' in names else {}),
                    'Host': 'cmp1',
                    'Health': 'unreachable',
                },
                row,
            )
            self.assertEqual(
                {'', 'cmp1', 'unreachable'}, set(people(names, cells).values())
            )


class TestPlan(testtools.TestCase):
    def plan(self, mirrors=(), rate=None):
        cells = table.plan(
            samples.attachment(mirrors), samples.wish(), 'me', rate
        )
        return dict(zip(table.PLAN, cells, strict=True))

    def test_what_would_be_made(self):
        plan = self.plan(rate=maker.Rate(1.26, 99.7))
        transaction = plan.pop('transaction')
        operations = transaction.machine_readable()
        self.assertIn('port mirror create by me', operations[-1]['comment'])
        text = transaction.human_readable()
        self.assertEqual(['[', ' {'], text.splitlines()[:2])
        self.assertEqual(operations, json.loads(text))
        commands = plan.pop('commands')
        lines = commands.machine_readable()
        self.assertEqual(
            ['ovs-vsctl', 'ip', 'ip'], [line.split()[0] for line in lines]
        )
        self.assertEqual(lines, commands.human_readable().splitlines())
        self.assertEqual(
            {
                'name': 'm',
                'exists': False,
                'host': 'cmp1',
                'bridge': 'br-int',
                'interface': 'tapone',
                'packets_per_second': 1.3,
                'bits_per_second': 100,
            },
            plan,
        )

    def test_what_is_there(self):
        live = marks.encode(samples.marked(expires=None))
        plan = self.plan((samples.mirror(external_ids=live),))
        self.assertEqual(
            (True, [], [], None, None),
            tuple(
                read(plan[key])
                for key in (
                    *('exists', 'transaction', 'commands'),
                    *('packets_per_second', 'bits_per_second'),
                )
            ),
        )

    def test_what_is_there_and_of_no_use(self):
        """It has to go first."""
        old = samples.marked(id='old', expires=marks.EPOCH)
        plan = self.plan((samples.mirror(external_ids=marks.encode(old)),))
        self.assertFalse(plan['exists'])
        self.assertNotEqual([], read(plan['transaction']))
        commands = read(plan['commands'])
        self.assertEqual(
            'openstack port mirror delete --host cmp1 old', commands[0]
        )
        self.assertTrue(commands[1].startswith('ovs-vsctl '))


class TestPick(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.ours = ours()
        self.theirs = entry(samples.mirror(**{**THEIRS, 'name': 'theirs'}))
        self.lost = entry(
            ports=(
                samples.own_port(
                    external_ids=marks.encode(
                        samples.marked(id='lost-id', name='lost')
                    )
                ),
            )
        )

    def pick(self, wanted, dead=(), more=()):
        found = [self.ours, self.theirs, self.lost, *more]
        return table.pick(found, wanted, dead)

    def test_by_name_and_by_id(self):
        for wanted, expected, sure in (
            ('m', self.ours, False),
            ('mirror-id', self.ours, True),
            ('row-mirror', self.ours, True),
            ('theirs', self.theirs, False),
            ('row-theirs', self.theirs, True),
            ('lost', self.lost, False),
            ('lost-id', self.lost, True),
        ):
            self.assertIs(expected, self.pick(wanted))
            self.assertEqual(sure, table.matches_id(expected, wanted))

    def test_none(self):
        for wanted in ('', 'row-output', 'tpm0123456789'):
            error = self.assertRaises(exceptions.NotFound, self.pick, wanted)
            self.assertIn(f'"{wanted}"', str(error))
            self.assertNotIn('answer', str(error))
            self.assertIn('"openstack port mirror list"', str(error))
        error = self.assertRaises(
            exceptions.NotFound, self.pick, 'x', ['cmp8', 'cmp9']
        )
        self.assertIn('did not answer: cmp8, cmp9', str(error))

    def test_more_than_one(self):
        elsewhere = [
            dataclasses.replace(self.ours, host=host)
            for host in ('cmp2', 'cmp1')
        ]
        error = self.assertRaises(
            exceptions.NotFound, self.pick, 'm', (), elsewhere
        )
        self.assertIn('3 mirrors "m", on cmp1, cmp2', str(error))
        self.assertIn('port mirror list --long', str(error))


class TestSeconds(testtools.TestCase):
    def test_for_people_and_for_programs(self):
        for value, expected in (
            (0.0, (0, '0s')),
            (89.6, (90, '1m 30s')),
        ):
            self.assertEqual(expected, read(table.Seconds(value)))

    def test_what_is_not_there_comes_last(self):
        """As the shell sorts, which knows None alone."""
        one, two = table.Seconds(1.0), table.Seconds(2.0)
        never, unknown = table.Nothing('never'), table.Nothing()
        self.assertEqual(
            [one, two, never, unknown], sorted([never, two, unknown, one])
        )
        self.assertEqual([3, 7, unknown], sorted([7, unknown, 3]))
        self.assertFalse(never > unknown)
        self.assertEqual(
            ('never', ''), (never.human_readable(), unknown.human_readable())
        )


class TestNames(testtools.TestCase):
    def test_nothing_raw_reaches_a_terminal(self):
        for name in samples.HOSTILE:
            ids = marks.encode(
                samples.marked(port_name=name, server_name=name, creator=name)
            )
            mirror = samples.mirror(
                name=name, external_ids=ids, output_name=name, filter=name
            )
            (entry,) = health.entries(name, [mirror], [], samples.NOW, {})
            cells = (*table.row(entry, samples.NOW, True), *table.show(entry))
            for cell in cells:
                if isinstance(cell, str):
                    self.assertEqual(exceptions.printable(cell), cell)
