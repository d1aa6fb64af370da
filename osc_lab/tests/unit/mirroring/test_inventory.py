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

"""All mirrors of a host, and what goes with one that is removed."""

from unittest import mock

import fixtures
import testtools

from osc_lab import exceptions
from osc_lab.mirroring import guard
from osc_lab.mirroring import health
from osc_lab.mirroring import host as host_
from osc_lab.mirroring import inventory
from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import transaction
from osc_lab.tests.unit.mirroring import samples


def marked(**changes):
    return marks.encode(samples.marked(**changes))


class InventoryTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.database = mock.create_autospec(host_.Database, instance=True)
        self.shell = mock.create_autospec(host_.Shell, instance=True)
        self.host = host_.Host('cmp1', self.database, self.shell)
        self.log = self.useFixture(fixtures.FakeLogger())

    def collect(self, mirrors=(), ports=()):
        """Return the entries of these rows."""
        self.database.snapshot.return_value = model.Snapshot(
            mirrors,
            [(port, 'row-bridge') for port in ports],
            [model.Bridge('row-bridge', 'br-int')],
        )
        return inventory.collect(self.host, samples.NOW)


class TestFound(InventoryTest):
    def test_in_order(self):
        """By name, and by row for two of one; ports alone come last."""
        found = self.collect(
            [
                samples.mirror(False, name='m2', uuid='c'),
                samples.mirror(False, name='m1', uuid='b'),
                samples.mirror(False, name='m1', uuid='a'),
            ],
            [
                samples.own_port(uuid=uuid, external_ids=marked(id=uuid))
                for uuid in ('e', 'd')
            ],
        )
        self.assertEqual(
            ['a', 'b', 'c', 'd', 'e'],
            [(item.mirror or item.ports[0]).uuid for item in found],
        )
        self.assertEqual(
            {('cmp1', 'br-int', 'row-bridge')},
            {(item.host, item.bridge, item.bridge_uuid) for item in found},
        )

    def test_expired_by_now(self):
        self.database.snapshot.return_value = model.Snapshot(
            [samples.mirror()], [], []
        )
        for when, expected in (
            (samples.NOW, health.Health.OK),
            (samples.NOW + samples.HOUR, health.Health.EXPIRED),
        ):
            (found,) = inventory.collect(self.host, when)
            self.assertIs(expected, found.health)

    def test_again(self):
        mirror, port = samples.mirror(packets=1), samples.own_port()
        alone = samples.own_port(uuid='e', external_ids=marked(id='e'))
        first, lost = self.collect([mirror], [port, alone])
        for mirrors, ports, before, after in (
            ([samples.mirror(packets=2)], [port, alone], first, 0),
            ([samples.mirror()], [], first, 0),
            # Its port is left.
            ([], [port], first, 0),
            ([], [alone], first, None),
            ([], [], lost, None),
            ([mirror], [port, alone], lost, 1),
            # Somebody made a mirror for it.
            (
                [samples.mirror(external_ids=marked(id='e'))],
                *([alone], lost, None),
            ),
        ):
            found = self.collect(mirrors, ports)
            again = inventory.again(self.host, before, samples.NOW)
            self.assertEqual(None if after is None else found[after], again)

    def test_ids(self):
        first, foreign, lost = self.collect(
            [samples.mirror(), samples.mirror(False, name='n', uuid='b')],
            [
                samples.own_port(),
                samples.own_port(uuid='e', external_ids=marked(id='e')),
            ],
        )
        for entry, expected in (
            (first, {'mirror-id'}),
            (foreign, set()),
            (lost, {'e'}),
        ):
            self.assertEqual(expected, inventory.ids(entry))

    def test_the_command_for_people(self):
        self.assertEqual(
            "openstack port mirror delete --host 'a b' made",
            inventory.delete_command('a b', 'made'),
        )


class TestRemoved(InventoryTest):
    def removed(self, mirrors=(), ports=(), host=None):
        """Remove the one entry; return what the host was asked to run."""
        (entry,) = self.collect(mirrors, ports)
        inventory.remove(host or self.host, entry, 'me')
        calls, self.shell.run.mock_calls = self.shell.run.mock_calls, []
        return calls

    def assert_rows(self, mirrors, ports):
        self.database.transact.assert_called_once_with(
            transaction.remove('row-bridge', mirrors, ports, 'me')
        )
        self.database.transact.reset_mock()

    def stop(self, known='systemd'):
        return [mock.call(guard.stop('mirror-id', known), check=False)]

    def test_one_of_ours(self):
        """Not its output, which may be another's; its guard once."""
        ids = marked(guard='systemd')
        mirror = samples.mirror(external_ids=ids, output_port='theirs')
        calls = self.removed([mirror], [samples.own_port(external_ids=ids)])
        self.assert_rows(['row-mirror'], ['row-output'])
        self.assertEqual(self.stop(), calls)

    def test_one_without_a_guard(self):
        self.assertEqual([], self.removed([samples.mirror()]))
        self.assert_rows(['row-mirror'], [])

    def test_a_port_alone(self):
        port = samples.own_port(external_ids=marked(guard='pid 5'))
        self.assertEqual(self.stop('pid 5'), self.removed(ports=[port]))
        self.assert_rows([], ['row-output'])

    def test_a_guard_that_the_port_knows(self):
        port = samples.own_port(external_ids=marked(guard='systemd'))
        calls = self.removed([samples.mirror()], [port])
        self.assertEqual(self.stop(), calls)

    def test_what_others_left(self):
        left = samples.mirror(False, output_name='tap-tcpdump')
        calls = self.removed([left])
        self.assert_rows(['row-mirror'], ['row-output'])
        away = mock.call(guard.remove_dummy('tap-tcpdump'), check=True)
        self.assertEqual([away], calls)
        host = host_.Host('cmp1', self.database)
        self.assertEqual([], self.removed([left], host=host))
        self.assert_rows(['row-mirror'], ['row-output'])

    def test_what_others_left_without_an_output(self):
        left = samples.mirror(
            False, name='m_tap', output_port=None, output_name=''
        )
        self.assertEqual([], self.removed([left]))
        self.assert_rows(['row-mirror'], [])

    def test_what_others_use(self):
        self.assertEqual([], self.removed([samples.mirror(False)]))
        self.assert_rows(['row-mirror'], [])

    def test_a_guard_that_cannot_be_told(self):
        ids = marked(guard='systemd')
        mirror = samples.mirror(external_ids=ids)
        self.shell.run.side_effect = exceptions.AccessError('no way')
        self.removed([mirror])
        self.assertIn(
            'cmp1 ends when its time is over: no way', self.log.output
        )
        self.assert_rows(['row-mirror'], [])
        self.removed([mirror], host=host_.Host('cmp1', self.database))
        self.assertIn('cmp1 ends when its time is over.', self.log.output)
