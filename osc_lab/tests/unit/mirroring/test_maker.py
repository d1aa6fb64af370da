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

"""How a mirror is made on its host, against rows and a shell at hand."""

import datetime
from unittest import mock

import fixtures

from osc_lab import exceptions
from osc_lab.mirroring import guard
from osc_lab.mirroring import health
from osc_lab.mirroring import model
from osc_lab.mirroring import names
from osc_lab.mirroring import targets
from osc_lab.mirroring import transaction
from osc_lab.tests.unit import clock as clock_
from osc_lab.tests.unit.mirroring import making
from osc_lab.tests.unit.mirroring import samples


class TestLook(making.MakerTest):
    def test_wish(self):
        before = datetime.datetime.now(datetime.UTC)
        found, wish = self.maker(
            'interface',
            direction=model.Direction.IN,
            snaplen=96,
            filter='icmp',
            purpose='capture',
        ).look()
        self.assertIs(self.found, found)
        self.database.attachments.assert_called_once_with(samples.PORT_ID)
        created = wish.marks.created
        self.assertEqual(0, created.microsecond)
        self.assertLess(abs((created - before).total_seconds()), 60)
        name = names.default_name(
            samples.PORT_ID, wish.direction, wish.target, 96, 'icmp'
        )
        self.assertEqual(
            transaction.Wish(
                name=name,
                direction=model.Direction.IN,
                target=targets.parse('interface'),
                device=names.device(wish.marks.id),
                marks=samples.marked(
                    id=wish.marks.id,
                    name=name,
                    purpose='capture',
                    direction='in',
                    created=created,
                    expires=created + samples.HOUR,
                ),
                snaplen=96,
                filter='icmp',
            ),
            wish,
        )
        self.assertEqual(36, len(wish.marks.id))

    def test_a_name_and_no_end(self):
        _found, wish = self.maker(name='mine', lifetime=None).look()
        self.assertEqual(('mine', 'mine'), (wish.name, wish.marks.name))
        self.assertIsNone(wish.marks.expires)
        self.assertEqual('mirror', wish.marks.purpose)

    def test_each_has_an_id(self):
        ids = {self.maker().look()[1].marks.id for _number in range(2)}
        self.assertEqual(2, len(ids))

    def test_a_port_that_shall_receive(self):
        output = model.Port('row-out', 'out0')
        self.database.port.return_value = (
            output,
            model.Interface('row-in', 'out0'),
            'row-bridge',
        )
        making = self.maker('port:out0')
        _found, wish = making.look()
        self.database.port.assert_called_with('out0')
        self.assertIs(output, wish.output)
        self.database.statistics_interval.return_value = 0
        self.database.statistics.return_value = {'rx_packets': 1}
        self.database.mirrors.return_value = []
        self.assertRaises(exceptions.Conflict, making.check_output, wish)
        self.database.port.return_value = None
        error = self.assertRaises(exceptions.Conflict, making.look)
        self.assertIn('br-int has no port out0', str(error))
        # Others have none to look at.
        making = self.maker()
        making.check_output(making.look()[1])

    def test_what_cannot_be(self):
        error = self.assertRaises(
            exceptions.InvalidInput, self.maker, 'interface', False
        )
        self.assertIn('cmp1', str(error))
        self.assertIn('--ssh', str(error))
        self.database.overlays.return_value = ('far',)
        self.assertRaises(exceptions.Conflict, self.maker().look)
        self.database.vlan_users.return_value = ('tapx',)
        error = self.assertRaises(
            exceptions.Conflict, self.maker('vlan:9').look
        )
        self.assertIn('VLAN 9 of br-int is in use by tapx', str(error))
        self.database.attachments.side_effect = lambda _port: []
        error = self.assertRaises(exceptions.Conflict, self.maker().look)
        self.assertIn('cmp1 has no interface of port web', str(error))

    def test_rate(self):
        statistics = {'rx_packets': 9, 'tx_packets': 1, 'tx_bytes': 10}
        found = samples.attachment(statistics=statistics)
        self.database.statistics_interval.return_value = 5
        for after, expected in (
            (
                {'rx_packets': 10, 'tx_packets': 5, 'rx_bytes': 20}
                | {'tx_bytes': 40},
                (1, 80),
            ),
            # What is not told counts as none.
            ({'rx_packets': 20, 'rx_bytes': 30}, (2, 32)),
            # The port was made anew.
            ({'rx_packets': 1}, (0, 0)),
        ):
            self.database.statistics.return_value = after
            rate = self.maker().rate(found)
            self.database.statistics.assert_called_with('row-interface')
            self.assertEqual(expected, (rate.packets, rate.bits))


class TestMake(making.MakerTest):
    def test_made(self):
        made = self.maker('interface').make()
        ours = self.made_marks()
        device = names.device(ours.id)
        self.assertEqual(
            (device, True, True), (made.device, made.new, made.guarded)
        )
        self.assertEqual('systemd', ours.guard)
        entry = made.entry
        self.assertEqual(
            ('cmp1', (), 'br-int', 'row-bridge', health.Owner.OSC_LAB),
            (
                *(entry.host, entry.ports, entry.bridge, entry.bridge_uuid),
                entry.owner,
            ),
        )
        self.assertEqual(
            (health.Health.IDLE, frozenset()), (entry.health, entry.problems)
        )
        self.assertEqual(
            ('row-new', 'br-int', 'row-bridge'),
            (
                *(entry.mirror.uuid, entry.mirror.bridge),
                entry.mirror.bridge_uuid,
            ),
        )
        self.assertEqual(
            [
                mock.call(
                    guard.start(ours.id, 3600.0, 'row-bridge', 'unix:/db'),
                    check=False,
                ),
                mock.call(guard.bring_up(device), check=True),
            ],
            self.asked(),
        )
        self.database.interface.assert_called_once_with(device)
        comment = self.database.transact.mock_calls[0].args[0][-1]
        self.assertIn('create by me', comment['comment'])
        self.assertEqual('', self.log.output)

    def test_without_a_guard(self):
        for shell, lifetime, guarded in (
            (False, samples.HOUR, False),
            (True, None, True),
        ):
            made = self.maker(shell=shell, lifetime=lifetime).make()
            self.assertEqual(guarded, made.guarded)
            self.assertEqual([], self.asked())
            self.assertEqual('', self.made_marks().guard)

    def test_a_guard_that_cannot_be(self):
        for told, reason in (
            (making.answer(3, 'systemd', 'no vsctl'), '(no vsctl)'),
            (making.answer(3, ''), '(status 3)'),
            (making.answer(0, 'nonsense'), '(status 0)'),
        ):
            self.shell.run.return_value = told
            made = self.maker().make()
            self.assertFalse(made.guarded)
            self.assertIn(f'No guard on cmp1 {reason}', self.log.output)

    def test_packets_are_waited_for(self):
        clock = self.useFixture(clock_.Clock())
        seen = []

        def look(uuid):
            seen.append(clock.now)
            clock.now += 1
            return self.mirror(uuid)

        self.database.mirror.side_effect = look
        self.maker().make()
        self.assertEqual(1, len(seen))
        self.maker().make(5)
        self.assertEqual(1 + 5, len(seen))


class TestFailures(making.MakerTest):
    def fail(self, kind=exceptions.LabError, **request):
        """Make one in vain; return the error."""
        return self.assertRaises(kind, self.maker(**request).make)

    def stopped(self):
        """Return whether the guard was ended."""
        calls = self.asked()
        self.assertIn('osc-lab-guard', calls[0].args[0][2])
        return any('.timer' in call.args[0][2] for call in calls[1:])

    def test_others_change_the_bridge(self):
        self.useFixture(
            fixtures.MonkeyPatch('random.uniform', lambda *ends: ends)
        )
        self.problems = [model.Stale('x'), model.Stale('x')]
        self.maker().make()
        self.assertEqual(3, len(self.database.transact.mock_calls))
        self.assertEqual([(0, 0.02), (0, 0.04)], self.slept)
        self.assertFalse(self.stopped())

    def test_they_never_stop(self):
        self.problems = [model.Stale('x')] * 99
        error = self.fail(exceptions.Conflict)
        self.assertEqual(60, len(self.slept))
        self.assertIn('keep changing the bridge on cmp1', str(error))
        self.assertIn('again', error.remedy)
        self.assertTrue(self.stopped())

    def test_refused(self):
        self.problems = [model.Refused('no')]
        self.fail(model.Refused)
        self.assertTrue(self.stopped())
        self.assertEqual('', self.log.output)

    def test_a_port_that_goes_away(self):
        self.database.attachments.side_effect = [[self.found], []]
        self.fail(exceptions.Conflict)
        self.assertTrue(self.stopped())
        self.database.transact.assert_not_called()

    def test_one_that_others_removed(self):
        self.database.mirror.side_effect = lambda _uuid: None
        error = self.fail(exceptions.OperationFailed)
        self.assertIn('removed again', str(error))
        self.assertIn('port mirror list', str(error))
        self.assertTrue(self.stopped())

    def test_one_without_an_end(self):
        self.problems = [model.Refused('no')]
        self.fail(model.Refused, lifetime=None)
        self.assertEqual([], self.asked())

    def test_an_answer_that_is_lost(self):
        self.problems = [exceptions.AccessError('gone')]
        self.fail(exceptions.AccessError)
        self.assertFalse(self.stopped())
        self.assertIn('The guard on cmp1 goes on', self.log.output)

    def test_no_port(self):
        clock = self.useFixture(clock_.Clock())
        for interface, reason, waited in (
            (None, 'does not answer', True),
            (model.Interface('i', 'tpm'), 'does not answer', True),
            (model.Interface('i', 'tpm', ofport=0), 'does not', True),
            (
                model.Interface('i', 'tpm', ofport=-1, error='bad'),
                'bad',
                False,
            ),
        ):
            self.database.interface.return_value = interface
            self.database.snapshot.side_effect = self.left
            began = clock.now
            error = self.fail(exceptions.OperationFailed)
            self.assertIn('cmp1 made no port: ', str(error))
            self.assertIn(reason, str(error))
            self.assertIn('log of ovs-vswitchd', str(error))
            self.assertEqual(waited, clock.now - began > 15)
            self.assertLess(clock.now - began, 15.2)
            self.assertTrue(self.stopped())
            comment = self.database.transact.mock_calls[-1].args[0][-1]
            self.assertIn('delete by me', comment['comment'])
        self.assertEqual(
            4 * [[[['uuid', 'row-new']], []]],
            self.removals(),
        )

    def left(self):
        """Return the row that was made beside one of others."""
        return model.Snapshot(
            [
                samples.mirror(False, uuid='theirs'),
                samples.mirror(uuid='another'),
                self.mirror('row-new'),
            ],
            [],
            [self.found.bridge],
        )

    def test_one_that_cannot_be_removed(self):
        """Its guard goes on, and a person is told what to do."""
        self.database.interface.return_value = model.Interface(
            'i', 'tpm', error='bad'
        )
        self.database.snapshot.side_effect = self.left
        self.problems = [None, model.Refused('no')]
        error = self.fail()
        self.assertIn(
            f'mirror delete --host cmp1 {self.made_marks().id}', str(error)
        )
        self.assertIn('make the mirror', str(error))
        self.assertFalse(self.stopped())
        self.assertNotIn('goes on', self.log.output)

    def test_a_lost_answer_that_did_its_work(self):
        def lose(operations):
            if operations[0]['op'] == 'wait':
                self.transact(operations)
                raise exceptions.AccessError('gone')
            return [{}]

        self.database.transact.side_effect = lose
        self.database.snapshot.side_effect = self.left
        self.fail(exceptions.AccessError)
        self.assertTrue(self.stopped())
