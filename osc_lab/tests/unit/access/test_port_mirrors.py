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

"""Mirrors of some ports, by what they select and by their marks."""

import fixtures
import testtools

from osc_lab.access import port_mirrors
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.mirroring import marks
from osc_lab.tests.unit import fake_ovsdb

ONE, TWO, GONE = 'port-1', 'port-2', 'port-3'
MARKED = marks.PREFIX + 'port'


class TestLook(testtools.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.useFixture(fixtures.TempDir()).path
        server = self.useFixture(fake_ovsdb.Server(folder, 'h'))
        self.database = server.database
        self.bridge = self.database.bridge()
        self.ports = {
            port: self.database.plug(
                self.bridge, f'tap-{port}', external_ids={'iface-id': port}
            )
            for port in (ONE, TWO)
        }
        self.settings = channels.Channels(ovsdb=f'unix:{server.path}')

    def mirror(self, name, **columns):
        found = self.database.add('Mirror', name=name, **columns)
        row = self.database.tables['Bridge'][self.bridge]
        row['mirrors'].append(['uuid', found])

    def look(self, *ports, names=()):
        found = port_mirrors.look(
            self.settings.host('h'), self.settings, ports or (ONE, TWO), names
        )
        self.assertEqual({'h'}, {item.host for item in found} or {'h'})
        return {(item.name, item.port_id, item.follows) for item in found}

    def selected(self, port):
        return [['uuid', self.ports[port]]]

    def test_either_direction_selects(self):
        self.mirror('in', select_dst_port=self.selected(ONE))
        self.mirror('out', select_src_port=self.selected(TWO))
        self.mirror(
            'both',
            select_src_port=self.selected(ONE),
            select_dst_port=self.selected(ONE),
        )
        self.mirror('other')
        self.assertEqual(
            {('in', ONE, False), ('out', TWO, False), ('both', ONE, False)},
            self.look(),
        )
        self.assertEqual({('out', TWO, False)}, self.look(TWO))

    def test_marks_count_when_the_port_has_left(self):
        ours = {marks.OWNER: marks.OURS, marks.ID: 'x', MARKED: GONE}
        self.mirror('ours', external_ids=ours)
        self.assertEqual(set(), self.look())
        self.assertEqual({('ours', GONE, False)}, self.look(GONE))

    def test_name_counts_when_nothing_else_tells(self):
        self.mirror('known')
        self.mirror('selects', select_src_port=self.selected(ONE))
        self.assertEqual(
            {('known', '', False), ('selects', ONE, False)},
            self.look(names=('known', 'selects')),
        )

    def test_those_of_ovn_follow(self):
        self.mirror(
            'ovn',
            select_src_port=self.selected(ONE),
            external_ids={'ovn-owned': 'true'},
        )
        self.assertEqual({('ovn', ONE, True)}, self.look())

    def test_nobody_answers(self):
        self.settings = channels.Channels(ovsdb='unix:/none')
        self.assertRaises(exceptions.AccessError, self.look)
