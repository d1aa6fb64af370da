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

"""A volume that proves a type comes, is judged and goes, by our own clock."""

import dataclasses
import time

import fixtures
import testtools

from osc_lab.encryption import model
from osc_lab.encryption import proof
from osc_lab import exceptions
from osc_lab.tests.unit import clock

WISHED = model.Encryption('luks', 'aes-xts-plain64', 256, 'front-end')
MARKED = {proof.MARK: 'T'}

#: Cinder deletes nothing else (volume.api.API.delete).
DELETABLE = (
    *('available', 'error', 'error_restoring'),
    *('error_extending', 'error_managing'),
)


def error(status=500):
    return exceptions.ServiceError('broken', status=status)


class Store:
    """One volume, whose status is that of the second.

    :ivar statuses: second -> status, from then on; None before it is there,
        and when it is gone
    :ivar going: what comes after a deletion, by seconds since then
    :ivar errors: method -> what it answers first
    :ivar asked: seconds at which somebody asked for the deletion
    """

    def __init__(self, statuses=None, going=None):
        self.second = 0.0
        self.statuses = statuses or {0: 'available'}
        self.going = going or {0: None}
        self.errors = {}
        self.asked = []
        self.item = None
        self.found = ({'host@lvm#pool': 'iSCSI'}, (WISHED, 'k'), 'why')

    def sleep(self, seconds):
        self.second += seconds

    def monotonic(self):
        return self.second

    def holds(self, item):
        self.item = item
        return self

    def _answer(self, name):
        errors = self.errors.get(name)
        if errors:
            raise errors.pop(0)

    def _now(self):
        if self.item is None:
            return []
        began, times = 0, self.statuses
        if self.asked:
            began, times = self.asked[0], self.going
        since = [at for at in times if at <= self.second - began]
        status = times[max(since)] if since else None
        return [dataclasses.replace(self.item, status=status)][: bool(status)]

    def create_volume(self, name, type_id, size, metadata):
        self.item = volume(
            name=name, type_id=type_id, size=size, metadata=metadata
        )
        self._answer('create_volume')

    def find_volumes(self, **filters):
        self._answer('find_volumes')
        self.filters = filters
        # Whatever is asked for: a filter may be ignored, a name be taken.
        return [
            volume('other', 'mine', metadata=MARKED, type_id='other'),
            volume('other', filters.get('name', 'mine')),
            *self._now(),
        ]

    def volume(self, volume_id):
        self._answer('volume')
        for item in self._now():
            if item.id == volume_id:
                return item
        raise error(404)

    def delete_volume(self, volume_id):
        assert volume_id == self.item.id
        if not any(item.status in DELETABLE for item in self._now()):
            raise error(400)
        self.asked.append(self.second)
        self._answer('delete_volume')

    def volume_encryption(self, volume_id):
        assert volume_id == 'v'
        return self.found[1]

    def complaint(self, volume_id):
        assert volume_id == 'v'
        return self.found[2]

    def pools(self):
        self._answer('pools')
        return [model.Pool(*item) for item in self.found[0].items()]


def volume(id_='v', name='osc-lab-proof-x', status='available', **more):
    more = {'type_id': 'T', 'encrypted': True, 'key_id': 'k', **more}
    return model.Volume(id_, name, status, **more)


class ProofTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.FakeLogger())
        self.useFixture(clock.Instead(lambda: self.store))

    def fails(self, kind, call, *args, text='', remedy='', after=0.0):
        """See how a call fails, and after how many seconds."""
        found = self.assertRaises(kind, call, *args)
        self.assertIn(text, found.message)
        self.assertIn(remedy, found.remedy)
        self.assertEqual(after, self.store.second)
        return found


class TestScratch(ProofTest):
    def scratch(self):
        with proof.scratch(self.store, 'T') as item:
            self.seen = item, self.store.second
            self.assertEqual({'name': item.name}, self.store.filters)

    def test_comes_and_goes(self):
        self.store = Store({0: 'creating', 3: 'available'})
        self.scratch()
        item, second = self.seen
        self.assertEqual(
            ('available', 1, 'T', MARKED, 3.0),
            (item.status, item.size, item.type_id, item.metadata, second),
        )
        self.assertRegex(item.name, 'osc-lab-proof-[0-9a-f]{8}$')
        self.assertEqual({'name': item.name}, self.store.filters)
        self.assertEqual([3.0], self.store.asked)
        self.assertEqual(3.5, self.store.second)

    def test_errors(self):
        for status in ('error', 'error_extending'):
            self.store = Store({0: 'creating', 2: status})
            self.fails(
                exceptions.OperationFailed,
                self.scratch,
                text=f'ends in status "{status}": why',
                remedy='cinder-volume',
                after=2.5,
            )
            self.assertEqual([2.0], self.store.asked)

    def test_error_without_a_reason(self):
        self.store = Store({0: 'error'})
        self.store.found = ({}, (), '')
        self.fails(
            exceptions.OperationFailed,
            self.scratch,
            text='no reason given',
            after=0.5,
        )

    def test_refused(self):
        self.store = Store({9: 'available'})
        self.store.errors = {'create_volume': [error(413)]}
        self.fails(
            exceptions.OperationFailed,
            self.scratch,
            text='is refused: broken',
            remedy='--no-verify',
        )

    def test_answer_is_lost(self):
        """What comes late is waited for, and removed."""
        self.store = Store({4: 'available'})
        self.store.errors = {'create_volume': [error()]}
        self.scratch()
        # Looks after 0.5, 1.5, 3.5 and 5.5 seconds.
        self.assertEqual(5.5, self.seen[1])
        self.assertEqual([5.5], self.store.asked)

    def test_never_comes(self):
        for lost, after in ((True, 11.0), (False, 0.0)):
            self.store = Store({99: 'available'})
            self.store.errors = {'create_volume': [error()][:lost]}
            self.fails(
                exceptions.OperationFailed,
                self.scratch,
                text='never came',
                remedy='cinder-api',
                after=after,
            )
            self.assertEqual([], self.store.asked)

    def test_slow(self):
        self.store = Store({0: 'creating', 300: 'available'})
        self.scratch()
        self.store = Store({0: 'creating', 302: 'available'})
        self.fails(
            exceptions.OperationFailed,
            self.scratch,
            text='still "creating" after 300 s',
            remedy='cinder-volume',
            after=302.5,
        )

    def test_slow_for_ever(self):
        """A volume that is being made cannot be deleted."""
        self.store = Store({0: 'creating'})
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
        self.store = Store(None, {0: 'deleting', 2: 'error_deleting'})
        found = self.fails(exceptions.UndoFailed, self.scratch, after=2.0)
        ((_what, command),) = found.left
        self.assertEqual(
            f'openstack volume delete --force {self.store.item.name}', command
        )

    def test_nobody_tells_what_is_left(self):
        self.store = Store()
        self.store.errors = {'find_volumes': [error(), error()]}
        found = self.fails(exceptions.UndoFailed, self.scratch)
        ((_what, command),) = found.left
        self.assertEqual(
            f'openstack volume delete {self.store.item.name}', command
        )

    def test_held(self):
        """Who says what to do by hand is not disturbed."""
        self.store = Store()

        def held():
            with proof.scratch(self.store, 'T'):
                raise exceptions.UndoFailed('held', [])

        self.fails(exceptions.UndoFailed, held, text='held')
        self.assertEqual([], self.store.asked)

    def test_interrupted(self):
        self.store = Store()

        def interrupted():
            with proof.scratch(self.store, 'T'):
                raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, interrupted)
        self.assertEqual([0.0], self.store.asked)


class TestLeft(ProofTest):
    """Volumes that an ended run left."""

    def left(self, *args, **changes):
        self.store = Store(*args).holds(volume(metadata=MARKED, **changes))
        return self.store

    def remove(self):
        return proof.remove_scratch(self.store, 'T')

    def test_none(self):
        for changes in (
            {'type_id': 'other'},
            {'metadata': {}},
            {'metadata': {proof.MARK: 'other'}},
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
        self.store.errors = {'volume': [error(404)]}
        self.assertTrue(self.remove())
        self.assertEqual([0.5], self.store.asked)
        self.assertEqual({'name': 'osc-lab-proof-x'}, self.store.filters)

    def test_chances(self):
        self.left()
        self.store.errors = {'volume': [error(), error(None)]}
        self.assertTrue(self.remove())
        self.left()
        self.store.errors = {'volume': [error(), error(None), error(502)]}
        plain = 'again: openstack volume delete v'
        self.conflict('broken', 1.0, command=plain)
        self.assertEqual([], self.store.asked)

    def test_deletion_whose_answer_is_lost(self):
        self.left(None, {0: 'available'})
        self.store.errors = {'delete_volume': [error(), error()]}
        plain = 'again: openstack volume delete v'
        self.conflict('volume v does not go away', 300.5, command=plain)
        # It is asked for again, until it is answered.
        self.assertEqual([0.0, 0.5, 1.0], self.store.asked)

    def test_warning(self):
        text = proof.left_warning(volume())
        self.assertIn('Volume v was made', text)
        self.assertIn('at work: openstack volume delete v', text)

    def test_command_that_removes_it(self):
        for status, force in (
            *((status, '') for status in (*DELETABLE, 'in-use', 'detaching')),
            *(
                (status, '--force ')
                for status in ('creating', 'reserved', 'attaching', 'deleting')
            ),
            ('error_deleting', '--force '),
            ('error_attaching', '--force '),
        ):
            command = f'openstack volume delete {force}v'
            self.assertEqual(command, proof.removal('v', status))
            text = proof.left_warning(volume(status=status))
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
                expected, proof.at_work(self.store, 'T'), (status, created)
            )
            self.assertFalse(proof.at_work(self.store, 'other'))


class TestJudge(ProofTest):
    def setUp(self):
        super().setUp()
        self.store = Store()

    def judge(self, found=WISHED, told='k', own='k', knows=None, **changes):
        self.store.found = ({}, (found, told), '')
        return proof.judge(
            self.store, volume(key_id=own, **changes), WISHED, knows
        )

    def test_key(self):
        """The id of the fixed key is hidden in the volume (Cinder)."""
        zero, asked = model.ZERO_KEY, []

        def knows(key_id):
            asked.append(key_id)
            return {'k': True, 'j': False, 'i': None}[key_id]

        def fails(key_id):
            raise error()

        for told, own, ask, expected in (
            ('k', None, knows, 'barbican'),
            (None, 'k', knows, 'barbican'),
            ('k', 'j', knows, 'barbican'),
            ('j', 'k', knows, 'unknown'),
            ('i', None, knows, 'unknown'),
            ('k', None, None, 'unknown'),
            ('k', None, fails, 'unknown'),
            (zero, None, knows, 'fixed-key'),
            (zero, 'k', None, 'fixed-key'),
        ):
            found = self.judge(told=told, own=own, knows=ask)
            self.assertEqual(
                ('api', expected), (found.level, found.key_manager), told
            )
            warnings = [proof.fixed_key_warning()] * (told == zero)
            self.assertEqual(warnings, list(found.notes))
        self.assertEqual(['k', 'k', 'k', 'j', 'i'], asked)

    def test_denied(self):
        other = dataclasses.replace(WISHED, key_size=512)
        for changes, text, remedy in (
            ({'encrypted': False}, 'Volume v of the type says', 'cinder-api'),
            (
                {'found': other},
                'otherwise: key_size is "512", not "256"',
                'cinder-api',
            ),
            ({'found': None}, 'it stores plain data', 'cinder-api'),
            (
                {'told': None, 'own': None},
                'Volume v has no key',
                '[key_manager]',
            ),
        ):
            found = self.assertRaises(
                exceptions.OperationFailed, self.judge, **changes
            )
            self.assertIn(text, found.message)
            self.assertIn(remedy, found.remedy)

    def test_not_formatted(self):
        item = volume(pool='host@lvm#pool')
        (note,) = proof.unformatted(self.store, item)
        self.assertIn('host@lvm#pool is not formatted', note)
        for pool, protocol in (
            (None, 'iSCSI'),
            ('other', 'iSCSI'),
            ('host@lvm#pool', 'ceph'),
        ):
            self.store.found = ({'host@lvm#pool': protocol}, (), '')
            self.assertEqual(
                (), proof.unformatted(self.store, volume(pool=pool))
            )
        self.store.errors = {'pools': [error(403)]}
        self.assertEqual((), proof.unformatted(self.store, item))

    def test_prove(self):
        self.store.found = ({'p': 'FC'}, (WISHED, model.ZERO_KEY), '')
        create = self.store.create_volume

        def placed(*args):
            create(*args)
            self.store.item = dataclasses.replace(self.store.item, pool='p')

        self.store.create_volume = placed
        found = proof.prove(self.store, 'T', WISHED)
        warning, note = found.notes
        self.assertEqual(proof.fixed_key_warning(), warning)
        self.assertIn('A volume on p is not formatted', note)
        self.assertEqual(
            ('api', 'fixed-key'), (found.level, found.key_manager)
        )

    def test_prove_further(self):
        def further(*args):
            self.args = args
            return 'more'

        knows = {'k': True}.get
        self.assertEqual(
            'more', proof.prove(self.store, 'T', WISHED, further, knows)
        )
        item, wished, found = self.args
        self.assertEqual(('T', ()), (item.type_id, found.notes))
        self.assertEqual((), proof.Proof('api', 'barbican').notes)
        self.assertEqual(self.store.item, item)
        self.assertEqual((WISHED, 'barbican'), (wished, found.key_manager))
