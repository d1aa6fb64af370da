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

"""Database servers that start anew, that only read, and that are old."""

import json
import pathlib

import fixtures

from osc_lab import exceptions
from osc_lab.mirroring import maker as making
from osc_lab.tests.functional import test_port_mirror_ovsdb
from osc_lab.tests.functional import vswitch
from osc_lab.tests import thorough

#: Nobody listens there.
NOWHERE = 'tcp:127.0.0.1:1'


class TestRestart(test_port_mirror_ovsdb.SwitchTest):
    def settled(self, rows):
        """See the same rows; the switch writes some columns again."""
        vswitch.ready('the same', lambda: self.switch.rows() == rows, 20)

    def test_mirror_stays(self):
        made = self.create()
        rows = self.switch.rows()
        self.switch.restart_database()
        self.settled(rows)
        again = self.create()
        self.assertEqual(made.entry.mirror.uuid, again.entry.mirror.uuid)
        self.assertFalse(again.new)
        (entry,) = self.entries()
        self.delete(entry)
        self.assertEqual([], self.ours())

    def test_in_the_middle(self):
        """Each exchange of a run finds a server that has started anew."""
        pairs = thorough.Pairs(self)
        rows = self.switch.rows()
        # A run has 17 exchanges, and one more each time it finds no port yet.
        for number in range(1, 60):
            with pairs.one():
                done = self.restarted_at(number)
                for entry in self.entries():
                    self.delete(entry)
                self.settled(rows)
            if done:
                break
        else:
            self.fail('No run came to its end')
        self.assertGreater(number, 3)

    def restarted_at(self, number):
        """Return whether a run was over before that exchange."""
        left = [number]
        with self.switch.host() as host:
            call = host.database.connection.call

            def restart(*args):
                left[0] -= 1
                if not left[0]:
                    self.switch.restart_database()
                return call(*args)

            host.database.connection.call = restart
            maker = making.Maker(host, self.port(), self.request(), 'me')
            try:
                maker.make()
            except exceptions.LabError as error:
                self.assertIn(vswitch.HOST, str(error))
                self.assertNotEqual('', error.remedy)
                return False
        return left[0] > 0


class TestReadOnly(test_port_mirror_ovsdb.SwitchTest):
    def setUp(self):
        super().setUp()
        self.made = self.create()
        self.switch.control('set-active-ovsdb-server', NOWHERE)
        self.switch.control('connect-active-ovsdb-server')

    def test_nothing_is_written(self):
        rows = self.switch.rows()
        (entry,) = self.entries()
        self.assertEqual(self.made.entry.mirror.uuid, entry.mirror.uuid)
        for refused in (
            lambda: self.create('gre:192.0.2.9:1'),
            lambda: self.delete(entry),
        ):
            error = self.assertRaises(exceptions.LabError, refused)
            self.assertIn('read', f'{error.message} {error.remedy}')
            self.assertIn('--ovsdb', error.remedy)
        self.assertEqual(rows, self.switch.rows())
        self.switch.control('disconnect-active-ovsdb-server')
        self.delete(entry)
        self.assertEqual([], self.ours())


class TestOld(test_port_mirror_ovsdb.SwitchTest):
    """A server whose schema lacks a column of a mirror."""

    def schema(self):
        data = json.loads(pathlib.Path(vswitch.SCHEMA).read_text())
        del data['tables']['Mirror']['columns']['snaplen']
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'old')
        path.write_text(json.dumps(data))
        return path

    def test_what_it_can(self):
        made = self.create()
        (entry,) = self.entries()
        self.assertEqual(made.entry.mirror.uuid, entry.mirror.uuid)
        rows = self.switch.rows()
        error = self.assertRaises(
            exceptions.LabError, self.create, 'gre:192.0.2.9:1', snaplen=96
        )
        self.assertIn('too old', error.remedy)
        self.assertEqual(rows, self.switch.rows())
        self.delete(entry)
        self.assertEqual([], self.ours())
