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


"""Mirrors in a real OVSDB stay what a model of them says.

Mirrors are made, deleted, pruned; runs break off at any message; others
change rows by plain transactions; time passes.  After each step the rows
and the list are those of the model, and what is not ours is as it was.
"""

import datetime
import json

import fixtures
from hypothesis import stateful
from hypothesis import strategies as st

from osc_lab.access import jsonrpc
from osc_lab.access import mirror_hosts
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.mirroring import health
from osc_lab.mirroring import maker as making
from osc_lab.mirroring import marks
from osc_lab.mirroring import model as rows_
from osc_lab.mirroring import names
from osc_lab.mirroring import table
from osc_lab.mirroring import targets
from osc_lab.tests import bounded
from osc_lab.tests.functional import mirror_model
from osc_lab.tests.functional import toxics
from osc_lab.tests.functional import vswitch
from osc_lab.tests import thorough

PORTS = {
    'tapone': '6f1c2d3e-0000-4000-8000-000000000001',
    'taptwo': '6f1c2d3e-0000-4000-8000-000000000002',
}
SERVER = 'server-id'
TABLES = ('Bridge', 'Port', 'Interface', 'Mirror')

#: What the switch writes when it likes.
_VOLATILE = (
    *('statistics', 'status', 'link_resets', 'duplex', 'link_state'),
    *('admin_state', 'mac_in_use', 'ifindex', 'mtu', 'link_speed'),
    *('rstp_status', '_version', 'error', 'ofport'),
)


def _usable(name):
    try:
        return names.check(name) == name
    except exceptions.InvalidInput:
        return False


NAMES = st.one_of(
    st.sampled_from(['m', 'm', 'mirror of 数据 🐍', '-x $(id) "\'\\;', 'ü']),
    st.text(min_size=1, max_size=30).filter(_usable),
)
TARGETS = st.sampled_from(
    [
        *('gre:192.0.2.9', 'gre:[2001:db8::9]:7', 'erspan:192.0.2.9:102'),
        *('vxlan:192.0.2.9:55', 'port:watch', 'vlan:77'),
    ]
)
DIRECTIONS = st.sampled_from(['in', 'out', 'both'])
LIVES = st.sampled_from([None, 1, 24])
TAPS = st.sampled_from(sorted(PORTS))
PICK = st.integers(0, 1000)


class Neutron:
    """The ports that the model says the API shows."""

    def __init__(self, machine):
        self._machine = machine

    def hosts(self):
        return [vswitch.HOST]

    def ports(self, ids):
        wanted = set(ids)
        return {
            found: self._machine.port(found)
            for found in self._machine.model.neutron
            if found in wanted
        }


class Machine(stateful.RuleBasedStateMachine):
    """One life of a bridge.  Subclasses give the switch and the proxy."""

    switch = None
    proxy = None
    steps = 0

    def __init__(self):
        super().__init__()
        self.model = mirror_model.Model()
        self.raw = jsonrpc.Connection(
            self.switch.remote, vswitch.HOST, jsonrpc.Files(), 60
        )
        mirror_model.Clock.ahead = datetime.timedelta()
        self.once = set()
        self.proxy.arm()
        self.tidy()
        self.model.neutron = {
            found: (vswitch.HOST, SERVER) for found in PORTS.values()
        }
        self.foreign = self.not_ours(self.rows())

    def tidy(self):
        """Make the bridge as every life finds it."""
        found = self.rows()
        words = ['clear', 'Bridge', 'br-int', 'mirrors']
        here = {row['name'] for (t, _), row in found.items() if t == 'Port'}
        for name in here - {'br-int', 'watch', *PORTS}:
            words += ['--', 'del-port', name]
        self.switch.vsctl(*words)
        for name in sorted({'watch', *PORTS} - here):
            self.switch.add_port(name, PORTS.get(name, ''))

    def teardown(self):
        self.raw.close()

    # -- what is there

    def rows(self):
        results = self.raw.call(
            'transact',
            [
                'Open_vSwitch',
                *({'op': 'select', 'table': t, 'where': []} for t in TABLES),
            ],
        )
        found = {}
        for name, result in zip(TABLES, results, strict=True):
            for row in result['rows']:
                for column in _VOLATILE:
                    row.pop(column, None)
                found[name, row['_uuid'][1]] = row
        return found

    def marked(self, rows, name):
        """Return id -> UUIDs of the rows of a table with our marks."""
        found = {}
        for (where, uuid), row in rows.items():
            if where == name and _mark(row):
                found.setdefault(_mark(row), []).append(uuid)
        return found

    def not_ours(self, rows):
        """Return all rows without our marks; of bridges, what is foreign.

        A port that we made may be the output of a mirror that lost our
        marks; it goes with the port.
        """
        ours = {uuid for (_, uuid), row in rows.items() if _mark(row)}
        self.once |= ours
        kept = {}
        for key, row in rows.items():
            if key[0] == 'Bridge':
                row = {**row}
                for column in ('ports', 'mirrors'):
                    row[column] = sorted(_uuids(row[column]) - ours)
            elif key[0] == 'Mirror':
                output = _uuids(row['output_port']) - self.once
                row = {**row, 'output_port': sorted(output)}
            if key[1] not in ours:
                kept[key] = row
        return json.dumps(sorted(kept.items()), sort_keys=True)

    def uuid_of(self, name):
        for (where, uuid), row in self.rows().items():
            if where == 'Port' and row['name'] == name:
                return uuid
        return None

    def port(self, found):
        host, server = self.model.neutron.get(found, (vswitch.HOST, SERVER))
        return rows_.NeutronPort(
            id=found, host=host, server=server, vif_type='ovs', name='päört'
        )

    # -- what we do

    def hosts(self):
        settings = channels.Channels(ovsdb=self.proxy.remote, deadline=60.0)
        return mirror_hosts.Hosts(settings, Neutron(self))

    def survey(self):
        found, dead = self.hosts().survey(None, foreign=True)
        assert not dead, dead
        return found

    def create(self, tap, name, direction, to, hours):
        life = None if hours is None else datetime.timedelta(hours=hours)
        request = making.Request(
            rows_.Direction(direction),
            targets.parse(to),
            name=name,
            lifetime=life,
        )
        port = rows_.NeutronPort(
            id=PORTS[tap],
            host=vswitch.HOST,
            server=SERVER,
            vif_type='ovs',
            name='päört',
        )
        with self.hosts().open(vswitch.HOST) as host:
            return making.Maker(host, port, request, 'me').make()

    def learn(self, tap, name, direction, to, hours):
        """Take what is new into the model; return it, or None."""
        known = {item.id for item in self.model.ours}
        rows = self.rows()
        ports = self.marked(rows, 'Port')
        mirrors = self.marked(rows, 'Mirror')
        new = (set(ports) | set(mirrors)) - known
        if not new:
            return None
        (found,) = new
        ((mirror,), (port,)) = mirrors[found], ports[found]
        item = mirror_model.Ours(
            found,
            name,
            PORTS[tap],
            direction,
            to,
            mirror_model.expiry(rows['Mirror', mirror]),
            mirror,
            port,
        )
        if hours is None:
            assert item.expires is None
        else:
            left = item.expires - mirror_model.Clock.now(datetime.UTC)
            assert abs(left.total_seconds() - hours * 3600) < 60, left
        self.model.ours.append(item)
        return item

    def twins(self, name):
        """Return UUIDs of the mirrors of a name."""
        return [
            uuid
            for (where, uuid), row in self.rows().items()
            if where == 'Mirror' and row['name'] == name
        ]

    @stateful.rule(
        tap=TAPS, name=NAMES, direction=DIRECTIONS, to=TARGETS, hours=LIVES
    )
    def make(self, tap, name, direction, to, hours):
        wish = (tap, name, direction, str(targets.parse(to)))
        same = self.same(*wish)
        twins = self.twins(name)
        stopped = twins and not same
        if same and not same.working():
            # What is made in its place would have a namesake.
            stopped = len(twins) > 1
        if self.uuid_of(tap) is None or stopped:
            self.refused(exceptions.Conflict, self.create, *wish, hours)
            return
        made = self.create(*wish, hours)
        if same and same.working():
            assert not made.new
            assert made.entry.mirror.uuid == same.mirror
            return
        if same:
            self.model.remove(same)
        item = self.learn(*wish, hours)
        assert made.new
        assert item.mirror == made.entry.mirror.uuid
        assert not made.entry.problems, made.entry.problems

    def same(self, tap, name, direction, to):
        found = [
            item
            for item in self.model.ours
            if item.same(name, PORTS[tap], direction, to)
        ]
        assert len(found) < 2, found
        return found[0] if found else None

    def refused(self, kind, work, *args):
        try:
            work(*args)
        except kind:
            return
        raise AssertionError(f'no {kind.__name__}')

    def a_mirror(self, pick):
        """Return one of the mirrors that the list shows, or None."""
        return _pick(self.model.shown(), pick)

    @stateful.rule(pick=PICK, hours=LIVES)
    def make_again(self, pick, hours):
        item = self.a_mirror(pick)
        if item is None:
            return
        taps = {found: tap for tap, found in PORTS.items()}
        self.make(
            taps[item.source], item.name, item.direction, item.target, hours
        )

    @stateful.rule(pick=PICK)
    def delete(self, pick):
        item = self.a_mirror(pick)
        if item is None:
            return
        found = table.pick(self.survey(), item.id, [])
        done = self.hosts().remove([found], 'me')
        assert [error for _, error in done] == [None], done
        self.model.remove(item)

    @stateful.rule(
        expired=st.booleans(), orphans=st.booleans(), foreign=st.booleans()
    )
    def prune(self, expired, orphans, foreign):
        chosen = health.to_prune(self.survey(), expired, orphans, foreign)
        done = self.hosts().remove(chosen, 'me')
        assert not any(error for _, error in done), done
        for item in self.model.shown():
            problems = self.model.problems(item, vswitch.HOST, SERVER)
            if (expired and health.Health.EXPIRED in problems) or (
                orphans and problems & health.FORGOTTEN
            ):
                self.model.remove(item)

    # -- what breaks

    @stateful.rule(
        tap=TAPS,
        name=NAMES,
        direction=DIRECTIONS,
        to=TARGETS,
        hours=LIVES,
        number=st.integers(1, 20),
        where=st.sampled_from([toxics.UP, toxics.DOWN]),
        kind=st.sampled_from(['down', 'reset_peer', 'limit_data']),
    )
    def make_and_break(
        self, tap, name, direction, to, hours, number, where, kind
    ):
        """With "down" it is as if the run were killed there."""
        wish = (tap, name, direction, str(targets.parse(to)))
        same = self.same(*wish)
        twins = self.twins(name)
        mirror = same.mirror if same else None
        self.proxy.arm(number, where, kind)
        try:
            made = self.create(*wish, hours)
        except exceptions.LabError as error:
            made = None
            if kind != 'down':
                assert not isinstance(error, exceptions.UndoFailed), error
        self.proxy.arm()
        left = self.twins(name)
        if same and mirror not in left:
            # It was of no use, and the new one comes after its end.
            assert not same.working()
            self.model.remove(same)
        new = self.learn(*wish, hours)
        if new and made is None:
            assert kind == 'down', 'a run that failed left a mirror'
        if new:
            assert set(twins) <= ({mirror} if same else set())
        elif made is not None:
            assert not made.new and made.entry.mirror.uuid == mirror

    @stateful.rule(
        pick=PICK,
        number=st.integers(1, 10),
        where=st.sampled_from([toxics.UP, toxics.DOWN]),
        kind=st.sampled_from(['down', 'reset_peer', 'limit_data']),
    )
    def delete_and_break(self, pick, number, where, kind):
        item = self.a_mirror(pick)
        if item is None:
            return
        found = table.pick(self.survey(), item.id, [])
        self.proxy.arm(number, where, kind)
        ((_entry, error),) = self.hosts().remove([found], 'me')
        self.proxy.arm()
        rows = self.rows()
        left = [
            item.listed and ('Mirror', item.mirror) in rows,
            item.port_known and ('Port', item.port) in rows,
        ]
        if not any(left):
            self.model.remove(item)
        else:
            assert error is not None, 'it was not removed'

    # -- what others do, and what time does

    def others(self, *words):
        self.switch.vsctl(*words)
        self.foreign = self.not_ours(self.rows())

    @stateful.rule(name=NAMES, output=st.booleans())
    def foreign_mirror(self, name, output):
        quoted = json.dumps(name, ensure_ascii=False)
        if len(self.twins(name)) > 1:
            return
        words = ['--id=@m', 'create', 'Mirror', f'name={quoted}']
        if output:
            words = ['--id=@o', 'get', 'Port', 'watch', '--', *words]
            words.append('output_port=@o')
        self.others(
            '--', *words, '--', 'add', 'Bridge', 'br-int', 'mirrors', '@m'
        )

    @stateful.rule(pick=PICK)
    def remove_a_mirror(self, pick):
        item = _pick(self.model.with_mirror(), pick)
        if item is None:
            return
        self.others('remove', 'Bridge', 'br-int', 'mirrors', item.mirror)
        item.mirror = None

    @stateful.rule(pick=PICK)
    def remove_an_output(self, pick):
        item = _pick(self.model.with_port(), pick)
        if item is None:
            return
        self.others('del-port', names.device(item.id))
        item.port = None
        if targets.parse(item.target).tunnel:
            item.sends = False

    @stateful.rule(pick=PICK, mirror=st.booleans())
    def clear_marks(self, pick, mirror):
        model = self.model
        items = model.with_mirror() if mirror else model.with_port()
        item = _pick(items, pick)
        if item is None:
            return
        if mirror:
            self.others('clear', 'Mirror', item.mirror, 'external_ids')
            item.known = False
        else:
            device = names.device(item.id)
            self.others(
                *('clear', 'Port', item.port, 'external_ids', '--'),
                *('clear', 'Interface', device, 'external_ids'),
            )
            item.port_known = False

    @stateful.rule(tap=TAPS)
    def plug_or_unplug(self, tap):
        if self.uuid_of(tap) is None:
            self.switch.add_port(tap, PORTS[tap])
        else:
            self.switch.vsctl('del-port', tap)
            for item in self.model.ours:
                if item.source == PORTS[tap]:
                    item.sees = False
        self.foreign = self.not_ours(self.rows())

    @stateful.rule(
        tap=TAPS,
        change=st.sampled_from(['gone', 'moved', 'other server', 'back']),
    )
    def change_the_port(self, tap, change):
        if change == 'gone':
            self.model.neutron.pop(PORTS[tap], None)
            return
        self.model.neutron[PORTS[tap]] = {
            'moved': ('cmp2', SERVER),
            'other server': (vswitch.HOST, 'another'),
            'back': (vswitch.HOST, SERVER),
        }[change]

    @stateful.rule(minutes=st.sampled_from([10, 30, 60, 24 * 60]))
    def time_passes(self, minutes):
        mirror_model.Clock.ahead += datetime.timedelta(minutes=minutes)

    # -- what must hold

    @stateful.invariant()
    def rows_are_those_of_the_model(self):
        type(self).steps += 1
        rows = self.rows()
        assert self.not_ours(rows) == self.foreign, 'foreign rows changed'
        for name, expected in (
            (
                'Mirror',
                {i.id: [i.mirror] for i in self.model.ours if i.listed},
            ),
            (
                'Port',
                {
                    i.id: [i.port]
                    for i in self.model.ours
                    if i.port and i.port_known
                },
            ),
        ):
            assert self.marked(rows, name) == expected, name
        interfaces = self.marked(rows, 'Interface')
        assert set(interfaces) == set(self.marked(rows, 'Port'))
        assert all(len(item) == 1 for item in interfaces.values())
        for item in self.model.ours:
            if item.listed:
                self.is_whole(rows['Mirror', item.mirror], item)
        wishes = [
            (i.name, i.source, i.direction, i.target)
            for i in self.model.ours
            if i.listed
        ]
        assert len(wishes) == len(set(wishes)), 'the same mirror twice'

    def is_whole(self, row, item):
        columns = rows_.Direction(item.direction).columns
        tap = next(tap for tap, found in PORTS.items() if found == item.source)
        for column in ('select_src_port', 'select_dst_port'):
            found = _uuids(row[column])
            if column in columns and item.sees:
                assert found == {self.uuid_of(tap)}, row
            else:
                assert not found, row
        output = _uuids(row['output_port'])
        kind = targets.parse(item.target).kind
        if kind is targets.Kind.VLAN:
            assert (output, row['output_vlan']) == (set(), 77), row
        elif kind is targets.Kind.PORT:
            assert output == {self.uuid_of('watch')}, row
        else:
            assert output == ({item.port} if item.sends else set()), row

    @stateful.invariant()
    def list_says_what_the_model_says(self):
        found = [
            (table.identity(entry), table.name(entry), entry.health)
            for entry in self.survey()
            if entry.owner is health.Owner.OSC_LAB
        ]
        expected = []
        for item in self.model.shown():
            problems = self.model.problems(item, vswitch.HOST, SERVER)
            word = min(problems, key=list(health.Health).index, default='idle')
            expected.append((item.id, item.name, str(word)))
        assert sorted(found) == sorted(expected), (found, expected)


def _pick(items, number):
    # No precondition: how far a run came is not the same twice, and what
    # hypothesis draws must be.
    return items[number % len(items)] if items else None


def _mark(row):
    ids = dict(row.get('external_ids', ['map', []])[1])
    return ids.get(marks.ID) if ids.get(marks.OWNER) == marks.OURS else None


def _uuids(value):
    return {item[1] for item in value[1]} if value[0] == 'set' else {value[1]}


class TestModel(bounded.TestCase):
    def test_mirrors(self):
        switch = self.useFixture(vswitch.Switch())
        for module in (making, mirror_hosts):
            self.useFixture(
                fixtures.MonkeyPatch(
                    f'{module.__name__}.datetime', mirror_model.CLOCK
                )
            )
        proxy = self.useFixture(toxics.Ovsdb(switch.socket))
        life = type('Life', (Machine,), {'switch': switch, 'proxy': proxy})
        stateful.run_state_machine_as_test(
            life, settings=thorough.model(runs=6, steps=30)
        )
        print(f'{life.steps} steps')
