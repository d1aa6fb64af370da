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

"""A volume that is to prove a type comes and goes, by our own clock."""

import dataclasses
import time

from osc_lab.encryption import scratch
from osc_lab import exceptions
from osc_lab.tests.unit.encryption import proofs


class TestScratch(proofs.ProofTest):
    def scratch(self):
        with scratch.scratch(self.store, 'T') as item:
            self.seen = item, self.store.second
            self.assertEqual({'name': item.name}, self.store.filters)

    def test_comes_and_goes(self):
        self.store = proofs.Store({0: 'creating', 3: 'available'})
        self.scratch()
        item, second = self.seen
        self.assertEqual(
            ('available', 1, 'T', proofs.MARKED, 3.0),
            (item.status, item.size, item.type_id, item.metadata, second),
        )
        self.assertRegex(item.name, 'osc-lab-proof-[0-9a-f]{8}$')
        self.assertEqual({'name': item.name}, self.store.filters)
        self.assertEqual([3.0], self.store.asked)
        self.assertEqual(3.5, self.store.second)

    def test_errors(self):
        for status in ('error', 'error_extending'):
            self.store = proofs.Store({0: 'creating', 2: status})
            self.fails(
                exceptions.OperationFailed,
                self.scratch,
                text=f'ends in status "{status}": why',
                remedy='cinder-volume',
                after=2.5,
            )
            self.assertEqual([2.0], self.store.asked)

    def test_error_without_a_reason(self):
        self.store = proofs.Store({0: 'error'})
        self.store.found = ({}, (), '')
        self.fails(
            exceptions.OperationFailed,
            self.scratch,
            text='no reason given',
            after=0.5,
        )

    def test_refused(self):
        self.store = proofs.Store({9: 'available'})
        self.store.errors = {'create_volume': [proofs.error(413)]}
        self.fails(
            exceptions.OperationFailed,
            self.scratch,
            text='is refused: broken',
            remedy='--no-verify',
        )

    def test_answer_is_lost(self):
        """What comes late is waited for, and removed."""
        self.store = proofs.Store({4: 'available'})
        self.store.errors = {'create_volume': [proofs.error()]}
        self.scratch()
        # Looks after 0.5, 1.5, 3.5 and 5.5 seconds.
        self.assertEqual(5.5, self.seen[1])
        self.assertEqual([5.5], self.store.asked)

    def test_never_comes(self):
        for lost, after in ((True, 11.0), (False, 0.0)):
            self.store = proofs.Store({99: 'available'})
            self.store.errors = {'create_volume': [proofs.error()][:lost]}
            self.fails(
                exceptions.OperationFailed,
                self.scratch,
                text='never came',
                remedy='cinder-api',
                after=after,
            )
            self.assertEqual([], self.store.asked)

    def test_slow(self):
        self.store = proofs.Store({0: 'creating', 300: 'available'})
        self.scratch()
        self.store = proofs.Store({0: 'creating', 302: 'available'})
        self.fails(
            exceptions.OperationFailed,
            self.scratch,
            text='still "creating" after 300 s',
            remedy='cinder-volume',
            after=302.5,
        )

    def test_slow_for_ever(self):
        """A volume that is being made cannot be deleted."""
        self.store = proofs.Store({0: 'creating'})
        found = self.fails(
            exceptions.UndoFailed,
            self.scratch,
            text='volume v does not go away',
            after=2 * 300.5,
        )
        ((what, command),) = found.left
        self.assertEqual(f'volume {self.store.item.name}', what)
        self.assertEqual(
            f'openstack volume delete --force {self.store.item.name}', command
        )
        self.assertEqual([], self.store.asked)

    def test_deletion_that_fails(self):
        self.store = proofs.Store(None, {0: 'deleting', 2: 'error_deleting'})
        found = self.fails(exceptions.UndoFailed, self.scratch, after=2.0)
        ((_what, command),) = found.left
        self.assertEqual(
            f'openstack volume delete --force {self.store.item.name}', command
        )

    def test_nobody_tells_what_is_left(self):
        self.store = proofs.Store()
        self.store.errors = {'find_volumes': [proofs.error(), proofs.error()]}
        found = self.fails(exceptions.UndoFailed, self.scratch)
        ((_what, command),) = found.left
        self.assertEqual(
            f'openstack volume delete {self.store.item.name}', command
        )

    def test_held(self):
        """Who says what to do by hand is not disturbed."""
        self.store = proofs.Store()

        def held():
            with scratch.scratch(self.store, 'T'):
                raise exceptions.UndoFailed('held', [])

        self.fails(exceptions.UndoFailed, held, text='held')
        self.assertEqual([], self.store.asked)

    def test_interrupted(self):
        self.store = proofs.Store()

        def interrupted():
            with scratch.scratch(self.store, 'T'):
                raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, interrupted)
        self.assertEqual([0.0], self.store.asked)


class TestLeft(proofs.ProofTest):
    """Volumes that an ended run left."""

    def left(self, *args, **changes):
        self.store = proofs.Store(*args).holds(
            proofs.volume(metadata=proofs.MARKED, **changes)
        )
        return self.store

    def remove(self):
        return scratch.remove_scratch(self.store, 'T')

    def test_none(self):
        for changes in (
            {'type_id': 'other'},
            {'metadata': {}},
            {'metadata': {scratch.MARK: 'other'}},
        ):
            self.left()
            self.store.item = dataclasses.replace(self.store.item, **changes)
            self.assertFalse(self.remove(), changes)
            self.assertEqual([], self.store.asked)
        self.assertEqual(
            {'metadata': "{'osc-lab:scratch': 'T'}"}, self.store.filters
        )

    def test_removed(self):
        for status, asked in (
            ('available', 0.0),
            ('error_managing', 0.0),
            ('creating', 4.0),
            ('reserved', 4.0),
            ('attaching', 4.0),
            ('deleting', 4.0),
            ('detaching', 4.0),
        ):
            self.left({0: status, 4: 'available'}, {0: 'deleting', 2: None})
            self.assertTrue(self.remove(), status)
            self.assertEqual([asked], self.store.asked, status)
            self.assertEqual(asked + 2, self.store.second)

    def conflict(self, why, after, *args, command=None, **changes):
        self.fails(
            exceptions.Conflict,
            self.remove,
            *args,
            text=f'left cannot be removed: {why}',
            remedy=command or 'again: openstack volume delete --force v',
            after=after,
        )

    def test_what_cinder_refuses(self):
        """A deletion with force is what works then."""
        self.left({0: 'error_deleting'})
        self.conflict('broken', 0.0)
        for status in ('creating', 'reserved', 'attaching', 'deleting'):
            self.left({0: status})
            self.conflict('volume v does not go away', 300.5)
        self.assertEqual([], self.store.asked)

    def test_stays(self):
        self.left(None, {0: 'deleting'})
        self.conflict('volume v does not go away', 300.5)
        self.assertEqual([0.0], self.store.asked)
        self.left(None, {0: 'deleting', 2: 'error_deleting'})
        self.conflict('volume v does not go away', 2.0)

    def test_list_that_fails_when_it_seems_to_be_gone(self):
        self.left()
        find = self.store.find_volumes

        def find_volumes(**filters):
            if self.store.asked:
                raise exceptions.ServiceError('broken', status=403)
            return find(**filters)

        self.store.find_volumes = find_volumes
        self.conflict(
            'broken', 0.5, command='again: openstack volume delete v'
        )

    def test_attached(self):
        self.left({0: 'attaching', 2: 'in-use'}, servers=('s', 't'))
        self.conflict(
            'broken',
            2.0,
            command=(
                'again: openstack server remove volume s v; '
                'openstack server remove volume t v; '
                'openstack volume delete v'
            ),
        )

    def test_not_found_and_yet_listed(self):
        """Whoever answered it may know less than the other one."""
        self.left()
        self.store.errors = {'volume': [proofs.error(404)]}
        self.assertTrue(self.remove())
        self.assertEqual([0.5], self.store.asked)
        self.assertEqual({'name': 'osc-lab-proof-x'}, self.store.filters)

    def test_chances(self):
        self.left()
        self.store.errors = {'volume': [proofs.error(), proofs.error(None)]}
        self.assertTrue(self.remove())
        self.left()
        self.store.errors = {
            'volume': [proofs.error(), proofs.error(None), proofs.error(502)]
        }
        plain = 'again: openstack volume delete v'
        self.conflict('broken', 1.0, command=plain)
        self.assertEqual([], self.store.asked)

    def test_deletion_whose_answer_is_lost(self):
        self.left(None, {0: 'available'})
        self.store.errors = {'delete_volume': [proofs.error(), proofs.error()]}
        plain = 'again: openstack volume delete v'
        self.conflict('volume v does not go away', 300.5, command=plain)
        # It is asked for again, until it is answered.
        self.assertEqual([0.0, 0.5, 1.0], self.store.asked)

    def test_warning(self):
        text = scratch.left_warning(proofs.volume())
        self.assertIn('Volume v was made', text)
        self.assertIn('at work: openstack volume delete v', text)

    def test_command_that_removes_it(self):
        for status, force in (
            *(
                (status, '')
                for status in (*proofs.DELETABLE, 'in-use', 'detaching')
            ),
            *(
                (status, '--force ')
                for status in ('creating', 'reserved', 'attaching', 'deleting')
            ),
            ('error_deleting', '--force '),
            ('error_attaching', '--force '),
        ):
            command = f'openstack volume delete {force}v'
            self.assertEqual(command, scratch.removal('v', status))
            text = scratch.left_warning(proofs.volume(status=status))
            self.assertTrue(text.endswith(command), text)

    def test_at_work(self):
        now = time.time()
        for status, created, expected in (
            ('creating', now, True),
            ('in-use', None, True),
            ('in-use', now - 1200 + 9, True),
            ('in-use', now - 1200 - 9, False),
            ('error', now, False),
            ('error_deleting', None, False),
        ):
            self.left({0: status}, created=created)
            self.assertEqual(
                expected, scratch.at_work(self.store, 'T'), (status, created)
            )
            self.assertFalse(scratch.at_work(self.store, 'other'))
