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


"""What is read and written about mirrors, with any input."""

import datetime
import json
import re
import shlex

from cliff import columns
import hypothesis
from hypothesis import strategies as st
import testtools

from osc_lab import exceptions
from osc_lab.mirroring import amounts
from osc_lab.mirroring import capture
from osc_lab.mirroring import guard
from osc_lab.mirroring import health
from osc_lab.mirroring import judge
from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import names
from osc_lab.mirroring import table
from osc_lab.mirroring import targets
from osc_lab.mirroring import topology
from osc_lab.mirroring import transaction
from osc_lab.tests import strings
from osc_lab.tests import thorough
from osc_lab.tests.unit.mirroring import samples

#: What options take, in each form.
DURATIONS = st.one_of(
    st.integers(1, 30 * 86400).map(str),
    st.lists(
        st.builds('{}{}'.format, st.integers(1, 9), st.sampled_from('smhd')),
        min_size=1,
        max_size=3,
    ).map(''.join),
)
SIZES = st.builds(
    '{}{}{}'.format,
    st.integers(1, 10**12 - 1),
    st.sampled_from(['', 'K', 'm', 'G']),
    st.sampled_from(['', 'B', 'iB']),
)
TUNNELS = st.sampled_from(['gre', 'erspan', 'vxlan'])
NUMBERS = st.integers(0, 2**20 - 1)
TARGETS = st.one_of(
    st.just('interface'),
    st.builds('vlan:{}'.format, st.integers(1, 4094)),
    st.builds('port:{}'.format, st.text(min_size=1, max_size=15)),
    st.builds('{}:192.0.2.1:{}'.format, TUNNELS, NUMBERS),
    st.builds('{}:[2001:db8::1]:{}'.format, TUNNELS, NUMBERS),
    st.builds('{}:2001:db8::1'.format, TUNNELS),
)
GUARDS = st.just('systemd') | st.builds('pid {}'.format, st.integers(1))


@st.composite
def near(draw, taken):
    """Return such a text, and whether a place of it was exchanged."""
    text = draw(taken)
    if draw(st.integers(0, 3)):
        return text, False
    start = draw(st.integers(0, len(text)))
    end = start + draw(st.integers(0, 2))
    other = draw(
        strings.HOSTILE | st.sampled_from([*':[]- 0²٣sdKB', '9' * 12])
    )
    return text[:start] + other + text[end:], True


IDS = st.dictionaries(
    st.one_of(
        st.sampled_from([marks.PREFIX + 'created', marks.PREFIX + 'expires']),
        st.sampled_from(
            [marks.PREFIX + key for key in ('direction', 'purpose', 'target')]
        ),
        strings.HOSTILE,
    ),
    st.one_of(
        strings.HOSTILE,
        st.datetimes().map(str),
        st.from_regex(r'[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9:+Z-]{0,14}'),
    ),
    max_size=6,
)


class TestOptions(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.reached = thorough.Reached(self)

    def take(self, given, function, *options):
        """Return whether a text is taken, and as what."""
        text, spoiled = given
        good, found = strings.attempt(function, *options, text)
        self.assertTrue(good or spoiled, found)
        self.reached.count(good)
        return good, found

    @thorough.prop()
    @hypothesis.given(near(DURATIONS))
    def test_durations(self, given):
        good, found = self.take(given, amounts.duration, '--ttl')
        if good:
            self.assertLess(datetime.timedelta(), found)
            self.assertLessEqual(found, amounts.LONGEST)
            self.assertEqual(found, amounts.lifetime('--ttl', given[0]))

    @thorough.prop()
    @hypothesis.given(near(SIZES))
    def test_sizes(self, given):
        good, found = self.take(given, amounts.size, '--max-size')
        if good:
            self.assertGreater(found, 0)

    @thorough.prop()
    @hypothesis.given(st.integers(1, 30 * 86400))
    def test_durations_are_read_as_they_are_shown(self, seconds):
        text = amounts.show_duration(seconds).replace(' ', '')
        shown = amounts.duration('--ttl', text).total_seconds()
        # Two units are shown, and the rest is less than one of the second.
        self.assertLessEqual(shown, seconds)
        self.assertLess(seconds - shown, 3600 if seconds >= 86400 else 60)

    @thorough.prop()
    @hypothesis.given(st.floats(allow_nan=False, allow_infinity=False))
    def test_numbers_are_shown(self, number):
        for show in (
            amounts.show_duration,
            amounts.show_size,
            amounts.show_rate,
        ):
            self.assertEqual(set(), strings.moves_terminals(show(number)))

    @thorough.prop()
    @hypothesis.given(near(TARGETS))
    def test_targets(self, given):
        good, target = self.take(given, targets.parse)
        if good:
            self.assertEqual(target, targets.parse(str(target)))
            transaction.interface_type(target)
            if target.tunnel:
                transaction.tunnel_options(target)

    @thorough.prop()
    @hypothesis.given(strings.HOSTILE)
    def test_names_and_filters(self, text):
        for check in (names.check, judge.flow_filter):
            good, found = strings.attempt(check, text)
            if good:
                self.assertEqual(text, found)
                self.assertEqual(set(), strings.moves_terminals(found))
        self.assertRegex(names.device(text), r'^tpm[0-9a-f]{10}\Z')
        name = names.default_name(
            text, model.Direction.IN, targets.parse('vlan:7'), None, text
        )
        self.assertRegex(name[-5:], '-[0-9a-f]{4}')

    @thorough.prop()
    @hypothesis.given(near(GUARDS))
    def test_what_a_guard_says(self, given):
        text, spoiled = given
        found = guard.known(text)
        self.assertTrue(found or spoiled, text)
        self.reached.count(found)
        self.assertEqual(set(), strings.moves_terminals(found))
        self.assertRegex(guard.stop('id', text)[-1], r'^[0-9]*\Z')
        self.assertIsInstance(capture.dropped(text), int | None)


class TestMarks(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(
        st.builds(
            samples.marked,
            name=strings.HOSTILE,
            creator=strings.HOSTILE,
            port_name=strings.HOSTILE,
            server_name=strings.HOSTILE,
            created=st.datetimes(
                min_value=datetime.datetime(1971, 1, 1),
                timezones=st.just(datetime.UTC),
            ),
            expires=st.none()
            | st.datetimes(
                min_value=datetime.datetime(1971, 1, 1),
                timezones=st.just(datetime.UTC),
            ),
        )
    )
    def test_are_read_as_they_were_written(self, made):
        found = marks.decode(marks.encode(made))
        self.assertEqual(made.name.replace('\0', ''), found.name)
        self.assertEqual(made.creator.replace('\0', ''), found.creator)
        self.assertEqual(made.created.replace(microsecond=0), found.created)
        if made.expires is None:
            self.assertIsNone(found.expires)
        else:
            self.assertEqual(
                made.expires.replace(microsecond=0), found.expires
            )

    @thorough.prop()
    @hypothesis.given(IDS)
    def test_that_others_wrote(self, ids):
        ids = {**ids, marks.OWNER: marks.OURS, marks.ID: 'x'}
        found = marks.decode(ids)
        self.assertIsInstance(found.expired(samples.NOW), bool)


ROWS = st.builds(
    samples.mirror,
    name=strings.HOSTILE,
    bridge=strings.HOSTILE,
    output_name=strings.HOSTILE,
    output_port=st.none() | st.just('row-output'),
    output_vlan=st.none() | st.integers(0, 4095),
    filter=strings.HOSTILE,
    packets=st.none() | st.integers(0, 2**64),
    select_src=st.sampled_from([(), ('row-port',), ('other',)]),
    external_ids=IDS.flatmap(
        lambda ids: st.sampled_from(
            [ids, {**ids, marks.OWNER: marks.OURS, marks.ID: 'mirror-id'}]
        )
    ),
)
PORTS = st.builds(
    samples.own_port,
    name=strings.HOSTILE,
    external_ids=IDS.map(
        lambda ids: {**ids, marks.OWNER: marks.OURS, marks.ID: 'mirror-id'}
    ),
)


class TestRendered(testtools.TestCase):
    """No cell moves a terminal, whatever the rows hold."""

    def assertSafe(self, cells):
        for cell in cells:
            seen = [cell]
            if isinstance(cell, columns.FormattableColumn):
                # For people, and as -f value writes it.
                seen = [cell.human_readable(), cell.machine_readable()]
            for text in seen:
                self.assertEqual(set(), strings.moves_terminals(text), cells)

    @thorough.prop()
    @hypothesis.given(
        st.lists(ROWS, max_size=2),
        st.lists(PORTS, max_size=2, unique_by=lambda port: port.name),
        strings.HOSTILE,
    )
    def test_mirrors(self, mirrors, ports, wanted):
        entries = health.entries(
            'cmp1\x1b',
            mirrors,
            [(port, 'row-bridge') for port in ports],
            samples.NOW,
            {'row-bridge': 'br\x9b'},
        )
        for entry in health.with_ports(entries, {}, ()):
            self.assertSafe(table.row(entry, samples.NOW, True))
            self.assertSafe(table.show(entry))
        self.assertSafe(table.unreachable('cmp1\x1b', True))
        strings.attempt(table.pick, entries, wanted, ['cmp\x1b'])

    @thorough.prop()
    @hypothesis.given(
        strings.HOSTILE,
        st.sampled_from(['gre:192.0.2.9', 'erspan:192.0.2.9:3', 'interface']),
    )
    def test_plan(self, text, to):
        found = samples.attachment(name=text)
        wish = samples.wish(
            to,
            name=text,
            filter=text,
            marks=samples.marked(name=text, creator=text),
        )
        self.assertSafe(table.plan(found, wish, text, None))
        argv = shlex.split(transaction.create_commands(found, wish)[0])
        quoted = next(
            word for word in argv if word.startswith('name="')
        ).removeprefix('name=')
        self.assertEqual(text, json.loads(quoted))


class TestGraphs(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(
        strings.HOSTILE,
        st.lists(ROWS, max_size=2),
        st.lists(
            st.tuples(
                st.sampled_from(['patch', 'vxlan', 'internal', '', '\x1b']),
                st.integers(0, 3),
                st.integers(0, 3),
                st.integers(0, 5),
            ),
            max_size=12,
        ),
    )
    def test_any_bridges(self, text, mirrors, plugs):
        bridges = [
            model.Bridge(f'b{n}', f'br{n}{text}', text, text) for n in range(4)
        ]
        facts = topology.Facts(
            (samples.attachment(name=f'qvo{text}', error=text),),
            tuple(
                topology.Plug(
                    model.Interface(
                        f'i{at}',
                        f'p{number}',
                        kind,
                        options={'peer': f'p{peer}', 'remote_ip': text},
                    ),
                    model.Port(f'o{at}', f'p{number}'),
                    bridges[bridge],
                )
                for at, (kind, bridge, peer, number) in enumerate(plugs)
            ),
            tuple(mirrors),
        )
        graph = topology.graph(
            samples.neutron(name=text, server_name=text), text, facts
        )
        tree = topology.text(graph)
        self.assertEqual(set(), strings.moves_terminals(tree))
        dot = topology.dot(graph)
        self.assertEqual(set(), strings.moves_terminals(dot))
        for line in dot.splitlines():
            # Quotes come in pairs, so that no label ends early; a backslash
            # takes the next character with it, be it one as well.
            self.assertEqual(0, re.sub(r'\\.', '', line).count('"') % 2, line)


class TestErrors(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(strings.TEXT)
    def test_are_one_safe_line(self, text):
        for error in (
            exceptions.LabError(text, text),
            exceptions.UndoFailed(text, [(text, text)]),
        ):
            self.assertEqual(set(), strings.moves_terminals(error))
            self.assertEqual(1, len(f'{error}x'.splitlines()))
