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

"""After a migration: what may be mended."""

import dataclasses

import testtools

from osc_lab import exceptions
from osc_lab.migration import facts
from osc_lab.migration import record
from osc_lab.migration import repair
from osc_lab.tests.unit.migration import samples

GAP = facts.Gap('no answer', 'wait')


class TestRepair(testtools.TestCase):
    def answer(self, running, moving=False, **server):
        server = samples.server(**{'vm_state': 'error', **server}).server
        item = repair.repairable(server, running, moving)
        self.assertEqual(
            ('repair', 'vm1', 'libvirt'),
            (item.check, item.subject, item.source),
        )
        self.assertEqual(
            {
                'runs_on': [h for h in sorted(running) if running[h] is True],
                'nova_host': server.host,
            },
            item.evidence,
        )
        for text in (item.message, item.remedy):
            self.assertNotIn('None', text)
        return item.result.value, item.message, item.remedy

    def refused(self, words, remedy, running, **given):
        result, message, told = self.answer(running, **given)
        self.assertEqual('failed', result)
        self.assertIn(words, message)
        self.assertIn(remedy, told)

    def test_runs_where_nova_says(self):
        for state, words in (
            ('error', 'set to active'),
            ('active', 'nothing'),
        ):
            result, message, remedy = self.answer(
                {'b': False, 'a': True}, vm_state=state
            )
            self.assertEqual(('ok', ''), (result, remedy))
            self.assertIn(words, message)

    def test_guest_that_was_paused(self):
        """To Nova it is active then, and cannot be unpaused."""
        for state, words in (
            ('error', 'Its guest is paused on a; the state is set to active.'),
            ('active', 'Its guest is paused on a; Nova says active.'),
        ):
            result, message, remedy = self.answer(
                {'a': True, 'b': False}, vm_state=state, power_state=3
            )
            self.assertEqual(('warning', words), (result, message))
            self.assertEqual(
                'openstack server pause s1, so that Nova says so, too; that '
                'it goes on, then: openstack server unpause s1',
                remedy,
            )
        self.refused(
            'runs on b, Nova', 'Do not stop', {'b': True}, power_state=3
        )

    def test_nova_that_did_not_confirm(self):
        server = samples.clean().server
        why = exceptions.ServiceError('silence', status=504)
        item = repair.unconfirmed(server, why)
        self.assertEqual(
            ('repair', server.name, 'unknown', 'api', {'nova_host': 'a'}),
            (
                *(item.check, item.subject, item.result),
                *(item.source, item.evidence),
            ),
        )
        self.assertEqual(
            'Nova did not confirm that the state is set to active: silence',
            item.message,
        )
        self.assertIn('again with --repair', item.remedy)

    def test_binding_that_is_left(self):
        server = samples.clean().server
        item = repair.repairable(server, {'a': True}, False, [('p', 'b')])
        self.assertEqual('ok', item.result.value)
        self.assertEqual('Its guest runs on a, as Nova says.', item.message)
        for permitted, result, words, remedy in (
            (True, 'ok', 'The binding on b is removed.', ''),
            (False, 'failed', 'not let you remove the binding on b', 'role'),
        ):
            item = repair.unbound('p', 'b', permitted)
            self.assertEqual(
                ('port-bindings', 'p', result, 'api', {'host': 'b'}),
                (
                    *(item.check, item.subject, item.result),
                    *(item.source, item.evidence),
                ),
            )
            self.assertIn(words, item.message)
            self.assertIn(remedy, item.remedy)
            self.assertEqual(bool(remedy), bool(item.remedy))

    def test_guest_that_runs_twice(self):
        for host, told in (('a', 'on a is left'), ('', 'on - is left')):
            server = dataclasses.replace(samples.clean().server, host=host)
            item = repair.repairable(server, {'b': True, 'c': True}, False, [])
            self.assertIn(told, item.remedy)

    def test_binding_of_which_neutron_says_nothing(self):
        for status, result in ((409, 'failed'), (500, 'unknown')):
            error = exceptions.ServiceError('Busy', status=status)
            item = repair.unbound('p', 'b', error)
            self.assertEqual(result, item.result)
            self.assertIn('on b is removed: Busy', item.message)
            self.assertIn('--repair', item.remedy)

    def test_whether_one_is_left_is_not_known(self):
        server = samples.clean().server
        for asked, result in ((True, 'unknown'), (False, 'skipped')):
            gap = facts.Gap('silence', 'ask again', asked)
            (item,) = repair.unseen(server, gap)
            self.assertEqual(
                ('port-bindings', server.name, result, 'api'),
                (item.check, item.subject, item.result, item.source),
            )
            self.assertEqual(
                ('silence', 'ask again'), (item.message, item.remedy)
            )
        self.assertEqual((), repair.unseen(server, {}))

    def test_migration_that_had_ended_when_another_began(self):
        def found(uuid, began, ended, status='error'):
            return record.record(
                samples.migration(
                    status,
                    uuid=uuid,
                    created_at=f'2026-01-01T00:00:{began}',
                    updated_at=ended and f'2026-01-01T00:00:{ended}',
                )
            )

        last = found('b', 20, 29)
        for expected, other in (
            (True, found('a', 10, 20)),
            (False, found('a', 10, 21)),
            (False, found('a', 10, 19, 'running')),
            (False, found('a', 10, None)),
            (False, found('b', 10, 20)),
            (False, last),
        ):
            self.assertEqual(expected, other.ended_before(last), other)

    def test_migration_that_goes_on(self):
        """Nova may know it, or have given up."""
        for given in (
            {'vm_state': 'active', 'task_state': 'migrating'},
            {'moving': True},
            {'moving': True, 'vm_state': 'active'},
        ):
            self.refused('still goes on', 'has ended', {'a': True}, **given)
        self.refused(
            f'on a does not tell whether it goes on: {GAP.message}',
            'has an answer',
            {'a': True},
            moving=GAP,
        )

    def test_nova_has_given_up(self):
        """Its task stays for ever then."""
        result, _message, _remedy = self.answer(
            {'a': True}, task_state='migrating'
        )
        self.assertEqual('ok', result)

    def test_in_another_state(self):
        self.refused(
            'is stopped', 'Only ERROR', {'a': True}, vm_state='stopped'
        )

    def test_nobody_confirms(self):
        for gap, remedy in (
            (GAP, 'wait'),
            (facts.Gap('silence'), 'then try again'),
        ):
            self.refused(
                f'on b does not confirm anything: {gap.message}',
                remedy,
                {'a': True, 'b': gap},
            )

    def test_runs_elsewhere(self):
        """What helps one of these cases does harm in another."""
        for running, words, remedy in (
            ({'a': False, 'b': True}, 'runs on b, Nova', 'Do not stop it'),
            ({'a': True, 'b': True}, 'runs on a, b, Nova', 'Stop one of them'),
            ({'a': False, 'b': False}, 'on no host, Nova', 'reboot --hard s1'),
        ):
            self.refused(words, remedy, running)
        self.refused('Nova says -.', 'Do not stop', {'a': True}, host='')
