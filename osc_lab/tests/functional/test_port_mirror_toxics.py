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


"""Every message to a real OVSDB, on its way and back, with every toxic."""

import contextlib
import datetime
import time

from osc_lab.access import ovsdb
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.mirroring import host as host_
from osc_lab.mirroring import inventory
from osc_lab.mirroring import maker as making
from osc_lab.mirroring import model
from osc_lab.mirroring import targets
from osc_lab.tests.functional import test_port_mirror_ovsdb as base
from osc_lab.tests.functional import toxics
from osc_lab.tests.functional import vswitch
from osc_lab.tests import thorough

#: Seconds that the database may take to answer.
DEADLINE = 1.0


class TestToxics(base.SwitchTest):
    def setUp(self):
        super().setUp()
        self.foreign_mirror('theirs', 'theirs0')
        self.proxy = self.useFixture(toxics.Ovsdb(self.switch.socket))
        self.before = self.switch.rows()

    @contextlib.contextmanager
    def through(self):
        """Connect as the commands do, through the proxy."""
        settings = channels.Channels(
            ovsdb=self.proxy.remote, deadline=DEADLINE
        )
        with ovsdb.connect(settings.host(vswitch.HOST), settings) as database:
            yield host_.Host(vswitch.HOST, database)

    def make(self):
        request = making.Request(
            direction=model.Direction.BOTH,
            target=targets.parse('port:watch'),
            lifetime=datetime.timedelta(hours=1),
        )
        with self.through() as host:
            return making.Maker(host, self.port(), request, 'me').make()

    def collect(self):
        with self.through() as host:
            now = datetime.datetime.now(datetime.UTC)
            # Counters change by themselves.
            return [
                (entry.mirror.uuid, entry.ports, entry.owner, entry.problems)
                for entry in inventory.collect(host, now)
            ]

    def remove(self):
        (entry,) = self.ours()
        with self.through() as host:
            inventory.remove(host, entry, 'me')

    def pairs(self, work):
        """Yield each pair for the messages of a work."""
        self.proxy.arm()
        work()
        pairs = thorough.Pairs(self)
        for pair in toxics.pairs(self.proxy.count):
            with pairs.one():
                yield pair

    def spoil(self, pair, work):
        """Return what a work gives with a toxic, or its error."""
        self.proxy.arm(*pair)
        began = time.monotonic()
        try:
            return work()
        except exceptions.LabError as error:
            return error
        finally:
            # What cannot be undone is tried, too: two deadlines more.
            took = time.monotonic() - began
            self.assertLess(took, 4 * DEADLINE + 1, pair)
            self.proxy.arm()

    def whole_or_nothing(self, pair):
        """Return whether a mirror is there; there is no part of one."""
        rows = self.switch.rows()
        for key, row in self.before.items():
            if key[0] != 'Bridge':
                self.assertEqual(row, rows[key], pair)
        ours = self.ours()
        new = sorted(key[0] for key in set(rows) - set(self.before))
        expected = ['Interface', 'Mirror', 'Port'] if ours else []
        self.assertEqual(expected, new, pair)
        return bool(ours)

    def test_create(self):
        for pair in self.pairs(self.made_and_removed):
            found = self.spoil(pair, self.make)
            failed = isinstance(found, exceptions.LabError)
            there = self.whole_or_nothing(pair)
            _number, _where, kind = pair
            if kind in toxics.HARMLESS:
                self.assertFalse(failed, (pair, found))
            if failed and kind != 'down':
                self.assertFalse(there, (pair, found))
            if not failed:
                self.assertTrue(there, pair)
            # The next run brings it to the end.
            self.assertEqual(not there, self.make().new, pair)
            self.assertEqual(1, len(self.ours()), pair)
            self.remove()
            self.assertEqual(self.before, self.switch.rows(), pair)

    def made_and_removed(self):
        self.make()
        count = self.proxy.count
        self.remove()
        self.proxy.count = count

    def test_list(self):
        self.make()
        expected = self.collect()
        for pair in self.pairs(self.collect):
            found = self.spoil(pair, self.collect)
            if pair[2] in toxics.HARMLESS:
                self.assertEqual(expected, found, pair)
            else:
                self.assertIsInstance(found, exceptions.AccessError, pair)

    def test_delete(self):
        self.make()
        for pair in self.pairs(self.remove):
            self.make()
            found = self.spoil(pair, self.remove)
            there = self.whole_or_nothing(pair)
            if pair[2] in toxics.HARMLESS:
                self.assertIsNone(found, pair)
            if found is None:
                self.assertFalse(there, pair)
            elif pair[1] == toxics.UP:
                self.assertTrue(there, (pair, found))
            if there:
                self.remove()
            self.assertEqual(self.before, self.switch.rows(), pair)
