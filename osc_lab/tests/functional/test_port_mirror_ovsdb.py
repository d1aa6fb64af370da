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

"""Mirrors in a real, private Open vSwitch."""

import concurrent.futures
import datetime
import shlex

from osc_lab import exceptions
from osc_lab.mirroring import health
from osc_lab.mirroring import inventory
from osc_lab.mirroring import maker as making
from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import targets
from osc_lab.mirroring import transaction
from osc_lab.tests import bounded
from osc_lab.tests.functional import vswitch

PORT = '6f1c2d3e-0000-4000-8000-000000000001'
OTHER = '6f1c2d3e-0000-4000-8000-000000000002'

#: Ethernet addresses of the two servers.
MAC = '0a0000000001'
OTHER_MAC = '0a0000000002'

HOSTILE = '-x $(touch /tmp/owned) "\'\\\n\x1b[31m; `id` ' + 'ä' * 200


class SwitchTest(bounded.TestCase):
    def setUp(self):
        super().setUp()
        self.switch = self.useFixture(vswitch.Switch(schema=self.schema()))
        self.switch.add_port('tapone', PORT)
        self.switch.add_port('taptwo', OTHER)
        self.switch.add_port('watch')

    def schema(self):
        """Return the path of the schema that the database has."""
        return vswitch.SCHEMA

    def port(self, **changes):
        values = {
            'id': PORT,
            'name': 'one',
            'host': vswitch.HOST,
            'vif_type': 'ovs',
            'server': 'server-id',
            'server_name': 'vm',
        }
        return model.NeutronPort(**{**values, **changes})

    def request(self, to='port:watch', direction='both', **more):
        return making.Request(
            direction=model.Direction(direction),
            target=targets.parse(to),
            lifetime=datetime.timedelta(hours=1),
            **more,
        )

    def create(self, *args, port=None, **more):
        request = self.request(*args, **more)
        with self.switch.host() as host:
            maker = making.Maker(host, port or self.port(), request, 'me')
            return maker.make()

    def entries(self):
        with self.switch.host() as host:
            return inventory.collect(host, datetime.datetime.now(datetime.UTC))

    def delete(self, entry):
        with self.switch.host() as host:
            inventory.remove(host, entry, 'me')

    def ours(self):
        return [
            entry
            for entry in self.entries()
            if entry.owner is health.Owner.OSC_LAB
        ]

    def foreign_mirror(self, name, device, *columns):
        """Mirror the other server; with its port in one transaction."""
        self.switch.add_port(
            device,
            '',
            *('--', '--id=@s', 'get', 'Port', 'taptwo'),
            *('--', '--id=@o', 'get', 'Port', device),
            *('--', '--id=@m', 'create', 'Mirror', f'name={name}'),
            *('select_src_port=@s', 'output_port=@o', *columns),
            *('--', 'add', 'Bridge', 'br-int', 'mirrors', '@m'),
        )


class TestRows(SwitchTest):
    def test_foreign_rows_survive_byte_for_byte(self):
        self.foreign_mirror('theirs', 'theirs0')
        self.foreign_mirror('ovn', 'ovn0', 'external_ids:ovn-owned=true')
        before = self.switch.rows()
        made = self.create()
        during = self.switch.rows()
        for key, row in before.items():
            if key[0] != 'Bridge':
                self.assertEqual(row, during[key])
        bridge = made.entry.bridge_uuid
        self.assertEqual(
            3, len(during['Bridge', bridge]['mirrors'][1]), during
        )
        new = set(during) - set(before)
        self.assertEqual(
            ['Interface', 'Mirror', 'Port'], sorted(key[0] for key in new)
        )
        for key in new:
            ids = dict(during[key]['external_ids'][1])
            self.assertEqual(marks.OURS, ids[marks.OWNER])
            self.assertEqual('me', ids['osc-lab-creator'])
            self.assertEqual(PORT, ids['osc-lab-port'])
        self.assertEqual(3, len(self.entries()))
        (entry,) = self.ours()
        self.delete(entry)
        self.assertEqual(before, self.switch.rows())

    def test_every_target_leaves_nothing(self):
        before = self.switch.rows()
        for to in (
            'gre:192.0.2.9:7',
            'erspan:192.0.2.9:102',
            'vxlan:192.0.2.9:55',
            'port:watch',
            'vlan:77',
        ):
            made = self.create(to)
            self.assertTrue(made.new, to)
            (entry,) = self.ours()
            self.assertEqual(frozenset(), entry.problems, to)
            self.delete(entry)
            self.assertEqual(before, self.switch.rows(), to)

    def refused(self, text, to):
        before = self.switch.rows()
        error = self.assertRaises(exceptions.Conflict, self.create, to)
        self.assertIn(text, str(error))
        self.assertEqual(before, self.switch.rows())

    def test_a_vlan_that_goes_to_a_vm(self):
        for name in ('taptwo', 'tapone'):
            self.switch.vsctl('clear', 'Port', name, 'tag')
            self.refused(f'of their own: {name}.', 'vlan:77')
            self.switch.vsctl('set', 'Port', name, 'trunks=5')
        self.create('vlan:77')

    def test_a_tunnel_to_a_node_of_the_overlay(self):
        self.switch.vsctl(
            *('add-port', 'br-int', 'overlay', '--', 'set', 'Interface'),
            *('overlay', 'type=vxlan', 'options:remote_ip=192.0.2.9'),
            *('options:in_key=flow', 'options:out_key=flow'),
        )
        self.refused('The tunnel overlay to 192.0.2.9', 'vxlan:192.0.2.9')
        self.create('vxlan:192.0.2.8')

    def test_erspan_index_is_decimal(self):
        made = self.create('erspan:192.0.2.9:102')
        options = self.switch.vsctl(
            'get', 'Interface', made.device, 'options:erspan_idx'
        )
        self.assertEqual(102, int(options.strip().strip('"'), 16))

    def test_second_create_says_it_exists(self):
        first = self.create()
        rows = self.switch.rows()
        second = self.create()
        self.assertEqual((True, False), (first.new, second.new))
        self.assertEqual(first.entry.mirror.uuid, second.entry.mirror.uuid)
        self.assertEqual(rows, self.switch.rows())

    def create_at_once(self, count):
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            made = [
                item.result()
                for item in [pool.submit(self.create) for _ in range(count)]
            ]
        self.assertEqual(1, sum(item.new for item in made))
        self.assertEqual(1, len({item.entry.mirror.uuid for item in made}))
        (entry,) = self.entries()
        self.assertEqual(1, len(entry.ports))

    def test_many_at_once_give_one(self):
        for count in (2, 8, 32):
            self.create_at_once(count)
            for entry in self.entries():
                self.delete(entry)

    def test_different_ones_at_once_are_all_there(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for item in [
                pool.submit(self.create, f'gre:192.0.2.9:{number}')
                for number in range(8)
            ]:
                item.result()
        self.assertEqual(8, len(self.entries()))

    def test_no_more_than_the_bridge_takes(self):
        self.switch.vsctl(
            *(
                word
                for number in range(model.MAX_MIRRORS)
                for word in (
                    *('--', f'--id=@m{number}', 'create', 'Mirror'),
                    *(f'name=m{number}', '--', 'add', 'Bridge'),
                    *('br-int', 'mirrors', f'@m{number}'),
                )
            )
        )
        before = self.switch.rows()
        error = self.assertRaises(exceptions.Conflict, self.create)
        self.assertIn('32 mirrors', str(error))
        self.assertEqual(before, self.switch.rows())

    def test_hostile_names_are_only_text(self):
        port = self.port(name=HOSTILE, server_name=HOSTILE)
        before = self.switch.rows()
        made = self.create(
            'gre:192.0.2.9', port=port, name='-x $(id) "\' \\ ; ' + 'é' * 200
        )
        (entry,) = self.ours()
        self.assertEqual(HOSTILE, entry.mirror.marks.port_name)
        self.assertEqual(made.entry.mirror.name, entry.mirror.name)
        self.delete(entry)
        self.assertEqual(before, self.switch.rows())

    def test_mirror_of_a_port_that_is_gone(self):
        self.create('gre:192.0.2.9')
        self.switch.vsctl('del-port', 'tapone')
        before = self.switch.rows()
        (entry,) = self.ours()
        self.assertIn(health.Health.BLIND, entry.problems)
        self.delete(entry)
        after = self.switch.rows()
        self.assertEqual([], self.entries())
        self.assertEqual(
            ['Interface', 'Mirror', 'Port'],
            sorted(key[0] for key in set(before) - set(after)),
        )

    def test_refuses_a_port_that_is_not_there(self):
        port = self.port(id='6f1c2d3e-0000-4000-8000-00000000dead')
        error = self.assertRaises(exceptions.Conflict, self.create, port=port)
        self.assertIn('has no interface of port', str(error))

    def test_refuses_an_output_in_use(self):
        before = self.switch.rows()
        for to, why in (
            ('port:taptwo', 'belongs to a Neutron port'),
            ('port:tapone', 'is the mirrored port itself'),
            ('port:br-int', 'is the bridge itself'),
            ('port:nothing', 'has no port nothing'),
        ):
            error = self.assertRaises(exceptions.Conflict, self.create, to)
            self.assertIn(why, str(error))
        self.assertEqual(before, self.switch.rows())

    def test_shown_command_does_the_same(self):
        request = making.Request(
            direction=model.Direction.IN,
            target=targets.parse('gre:192.0.2.9:7'),
            snaplen=96,
        )
        with self.switch.host() as host:
            maker = making.Maker(host, self.port(), request, 'me')
            found, wish = maker.look()
            (command,) = transaction.create_commands(found, wish)
            self.switch.vsctl(*shlex.split(command)[1:])
            by_hand = self._made(wish.device)
            (entry,) = self.ours()
            inventory.remove(host, entry, 'me')
            host.database.transact(transaction.create(found, wish, 'me'))
        self.assertEqual(by_hand, self._made(wish.device))

    def _made(self, device):
        """Return what matters of the rows of a mirror."""
        rows = self.switch.rows()
        kept = {}
        for (table, _uuid), row in rows.items():
            ids = dict(row['external_ids'][1])
            if marks.OWNER not in ids:
                continue
            for column in (
                *('name', 'type', 'options', 'mtu_request', 'tag'),
                *('select_src_port', 'select_dst_port', 'snaplen', 'filter'),
                'external_ids',
            ):
                if column in row:
                    kept[table, column] = row[column]
        self.assertEqual(device, kept['Interface', 'name'])
        return kept


class TestPackets(SwitchTest):
    """One server sends odd numbers, the other one even numbers."""

    def setUp(self):
        super().setUp()
        # Both addresses are learned, and flows for them are cached.
        self.talk(1, 2)

    def talk(self, *numbers):
        """Send frames, and wait until each has reached the other side."""
        for number in numbers:
            odd = number % 2
            if odd:
                self.switch.send('tapone', number, MAC, OTHER_MAC)
            else:
                self.switch.send('taptwo', number, OTHER_MAC, MAC)
            other = 'taptwo' if odd else 'tapone'
            self.wait_for(number, other)

    def wait_for(self, number, device):
        vswitch.ready(
            f'number {number} at {device}',
            lambda: number in self.switch.sent(device),
        )

    def copies(self, *numbers, device='watch'):
        """Return those of these numbers that were copied, in order."""
        return [n for n in self.switch.sent(device) if n in numbers]

    def test_directions_are_those_of_the_server(self):
        for first, direction, expected in (
            (10, 'out', [11, 13]),
            (20, 'in', [20, 22]),
            (30, 'both', [30, 31, 32, 33]),
        ):
            made = self.create(direction=direction)
            numbers = range(first, first + 4)
            self.talk(*numbers)
            self.wait_for(expected[-1], 'watch')
            self.assertEqual(expected, self.copies(*numbers), direction)
            self.delete(made.entry)

    def test_flows_in_the_cache_follow_at_once(self):
        self.talk(*range(3, 9))
        self.create()
        self.talk(20, 21)
        self.wait_for(21, 'watch')
        self.assertEqual([20, 21], self.copies(20, 21))
        (entry,) = self.ours()
        self.delete(entry)
        self.talk(30, 31, 32, 33)
        self.assertEqual([], self.copies(30, 31, 32, 33))

    def test_foreign_mirror_goes_on(self):
        self.foreign_mirror('theirs', 'theirs0')
        self.talk(40, 42)
        self.create()
        self.talk(44, 45)
        (entry,) = self.ours()
        self.delete(entry)
        self.talk(46)
        self.wait_for(46, 'theirs0')
        self.assertEqual(
            [40, 42, 44, 46],
            self.copies(40, 42, 44, 45, 46, device='theirs0'),
        )
