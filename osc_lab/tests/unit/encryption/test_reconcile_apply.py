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

"""What a run makes, removes and leaves alone, beside other runs."""

import dataclasses

import fixtures
import testtools

from osc_lab.encryption import mark
from osc_lab.encryption import model
from osc_lab.encryption import reconcile
from osc_lab.encryption import scratch
from osc_lab import exceptions
from osc_lab.tests.unit import clock
from osc_lab.tests.unit.encryption import volume_types

GOOD = model.Encryption('luks', 'aes-xts-plain64', 256, 'front-end')
WISH = model.Wish('LUKS', GOOD)
FINISHED = model.VolumeType('z', 'LUKS', encryption=GOOD)
LEFT = model.VolumeType('t', 'LUKS', str(mark.new('here', 7)))


class Store(volume_types.Store):
    """Types, and the volumes that were to prove one of them.

    :ivar refusals: what deletions of a type answer first
    :ivar before_create: called when a type is to be made
    """

    def __init__(self, *found, volumes=()):
        super().__init__(*found)
        self.volumes = {item.id: item for item in volumes}
        self.refusals = []
        self.deleted = []
        self.created = 0
        self.before_create = lambda: None

    def create_type(self, name, description, properties):
        self.created += 1
        self.before_create()
        super().create_type(name, description, properties)

    def delete_type(self, type_id):
        self.deleted.append(type_id)
        if self.refusals:
            raise volume_types.error(self.refusals.pop(0))
        super().delete_type(type_id)

    def find_volumes(self, **filters):
        return iter(list(self.volumes.values()))

    def volume(self, volume_id):
        if volume_id not in self.volumes:
            raise volume_types.error(404)
        return self.volumes[volume_id]

    def delete_volume(self, volume_id):
        self.deleted.append(volume_id)
        del self.volumes[volume_id]


def volume(volume_id):
    return model.Volume(
        *(volume_id, 'osc-lab-proof-x', 'available', 1, 't'),
        metadata={scratch.MARK: 't'},
    )


class ApplyTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.clock = self.useFixture(clock.Clock())
        self.runs = lambda process: False
        self.checked = []

    def apply(self, store, wish=WISH, prove=None):
        self.checked.clear()

        def before():
            self.checked.append(store.created)

        actor = reconcile.Actor('here', 1, lambda number: self.runs(number))
        return reconcile.apply(store, wish, actor, prove, before)

    def fails(self, kind, store, **changes):
        error = self.assertRaises(kind, self.apply, store, **changes)
        self.assertNotIn(error.remedy, ('None',))
        return error


class TestApply(ApplyTest):
    def test_made(self):
        store = Store()
        proved = []
        found = self.apply(store, prove=proved.append)
        self.assertEqual((store.found['own'], True), found)
        self.assertIsNone(mark.read(found.volume_type.description))
        self.assertEqual(GOOD, found.volume_type.encryption)
        self.assertEqual(['own'], proved)
        # It was seen that it can work, before anything was made.
        self.assertEqual([0], self.checked)
        self.assertEqual('', self.log.output)

    def test_made_without_a_check(self):
        actor = reconcile.Actor('here', 1, bool)
        self.assertTrue(reconcile.apply(Store(), WISH, actor).changed)

    def test_it_is_there(self):
        store = Store(FINISHED)
        self.assertEqual((FINISHED, False), self.apply(store))
        self.assertEqual((0, []), (store.created, self.checked))

    def test_one_that_differs(self):
        other = model.Encryption('luks', 'aes-xts-plain64', 512, 'front-end')
        store = Store(dataclasses.replace(FINISHED, encryption=other))
        self.fails(exceptions.Conflict, store)
        self.assertEqual(0, store.created)

    def test_somebody_else_was_first(self):
        store = Store()
        store.fails = {'create_type': (volume_types.error(409), False)}
        store.before_create = lambda: store.found.update(z=FINISHED)
        self.assertEqual((FINISHED, False), self.apply(store))
        self.assertEqual((1, [0]), (store.created, self.checked))
        self.assertTrue(0.05 <= self.clock.now <= 0.5, self.clock.now)

    def test_name_that_is_taken_and_not_seen(self):
        store = Store()
        store.fails = {'create_type': (volume_types.error(409), False)}
        error = self.fails(exceptions.Conflict, store)
        self.assertIn('refuses the name "LUKS" as taken', error.message)
        self.assertIn('--name', error.remedy)
        self.assertEqual(
            (reconcile.ATTEMPTS, [0]), (store.created, self.checked)
        )
        self.assertTrue(20 * 0.05 <= self.clock.now <= 20 * 0.5)

    def test_others_that_never_rest(self):
        """Once, another run's type was seen, and it was gone again."""
        store = Store()
        store.fails = {'create_type': (volume_types.error(409), False)}
        looks = []

        def types():
            looks.append(None)
            return [FINISHED] if len(looks) == 2 else []

        store.types = types
        error = self.fails(exceptions.OperationFailed, store)
        self.assertIn(
            'runs make and remove "LUKS" again and again', error.message
        )
        self.assertIn('run this again', error.remedy)
        self.assertEqual(20, store.created)


class TestFailures(ApplyTest):
    def failing(self, status, *names):
        store = Store()
        for name in names:
            store.fails[name] = volume_types.error(status), False
        return store

    def test_refused(self):
        """Nothing was changed, and the error is Cinder's own."""
        for status in (400, 401, 403, 404, 405, 406, 413, 429):
            store = self.failing(status, 'create_type')
            error = self.fails(exceptions.ServiceError, store)
            self.assertEqual(('broken', status), (error.message, error.status))

    def test_undone(self):
        """Whatever the answer: the type was there for a while."""
        lost = (None, 408, 409, 500, 503)
        refused = (400, 401, 403, 405, 406, 413, 429)
        for name, status in (
            *(('create_encryption', status) for status in (*lost, *refused)),
            ('create_encryption', 404),
            *(('encryption', status) for status in refused),
            *(('publish', status) for status in refused),
        ):
            store = self.failing(status, name)
            store.fails[name][0].remedy = 'do this'
            error = self.fails(exceptions.OperationFailed, store)
            self.assertEqual(
                (
                    'Making "LUKS" failed, and everything was undone: broken',
                    'do this',
                ),
                (error.message, error.remedy),
            )
            self.assertEqual({}, store.found)
            self.assertEqual(1, store.created)

    def test_list_that_is_refused_once_the_type_is_there(self):
        store = Store()
        listed = store.types

        def types():
            # Nobody may list while there is one, until it is to be removed.
            if store.found and not looks:
                looks.append(None)
                raise volume_types.error(403)
            return listed()

        looks = []
        store.types = types
        error = self.fails(exceptions.OperationFailed, store)
        self.assertIn('everything was undone: broken', error.message)
        self.assertEqual((['own'], {}), (store.deleted, store.found))

    def test_not_undone(self):
        store = self.failing(500, 'create_encryption', 'delete_type')
        error = self.fails(exceptions.UndoFailed, store)
        self.assertIn('openstack volume type delete own', str(error))
        self.assertEqual(['own'], list(store.found))


class TestLeft(ApplyTest):
    """Types that runs have left which ended."""

    def test_removed_and_made(self):
        store = Store(LEFT)
        found = self.apply(store)
        self.assertEqual(('own', True), (found.volume_type.id, found.changed))
        self.assertEqual(['t'], store.deleted)
        self.assertEqual(
            'Removing the unfinished type t that another run left.\n',
            self.log.output,
        )
        self.assertEqual(0.0, self.clock.now)

    def test_removed_beside_one_that_is_as_wished(self):
        store = Store(LEFT, FINISHED)
        self.assertEqual((FINISHED, True), self.apply(store))
        self.assertEqual((['t'], 0), (store.deleted, store.created))

    def test_more_than_one(self):
        """Somebody else removes the second one at the same moment."""
        store = Store(LEFT, dataclasses.replace(LEFT, id='u'), FINISHED)
        delete = store.delete_type

        def gone(type_id):
            if type_id == 'u':
                store.refusals = [404]
                del store.found['u']
            delete(type_id)

        store.delete_type = gone
        self.assertTrue(self.apply(store).changed)
        self.assertEqual(['t', 'u'], store.deleted)

    def test_somebody_else_removed_it(self):
        store = Store(LEFT, FINISHED)
        store.refusals = [404]
        store.find_volumes = None
        delete = store.delete_type

        def gone(type_id):
            del store.found[type_id]
            delete(type_id)

        store.delete_type = gone
        self.assertEqual((FINISHED, False), self.apply(store))
        self.assertEqual(['t'], store.deleted)

    def test_volumes_of_its_proof(self):
        store = Store(LEFT, FINISHED, volumes=[volume('v'), volume('w')])
        store.refusals = [400]
        self.assertEqual((FINISHED, True), self.apply(store))
        self.assertEqual(['t', 'v', 'w', 't'], store.deleted)

    def test_one_after_the_other(self):
        """What was removed is told, whatever becomes of the next one."""
        store = Store(LEFT)
        delete = store.delete_type

        def and_another(type_id):
            delete(type_id)
            description = str(mark.new('here', 8))
            store.found['u'] = dataclasses.replace(
                LEFT, id='u', description=description
            )

        def runs(process):
            if process == 8:
                store.found = {'z': FINISHED}
            return process == 8

        store.delete_type, self.runs = and_another, runs
        self.assertEqual((FINISHED, True), self.apply(store))

    def test_volumes_that_come_again(self):
        store = Store(LEFT, volumes=[volume('v')])
        store.refusals = [400, 400, 400]
        delete = store.delete_type

        def again(type_id):
            store.volumes['v'] = volume('v')
            delete(type_id)

        store.delete_type = again
        self.fails(exceptions.Conflict, store)
        self.assertEqual(['t', 'v', 't'], store.deleted)

    def test_it_cannot_be_removed(self):
        """What is no volume of a proof is somebody's."""
        for refusals, volumes, asked in (
            ([400], [], ['t']),
            ([400, 400], [volume('v')], ['t', 'v', 't']),
        ):
            store = Store(LEFT, FINISHED, volumes=volumes)
            store.refusals = list(refusals)
            error = self.fails(exceptions.Conflict, store)
            self.assertEqual(
                (
                    'The unfinished type t cannot be removed: broken',
                    'Remove what uses it, then the type.',
                ),
                (error.message, error.remedy),
            )
            self.assertEqual(asked, store.deleted)
            self.assertEqual(0, store.created)

    def test_nobody_knows_if_it_was_removed(self):
        """Nothing is said of a use of it that nobody has seen."""
        for status in (None, 500, 503):
            store = Store(LEFT)
            store.refusals = [status]
            error = self.fails(exceptions.OperationFailed, store)
            self.assertEqual(
                (
                    'No answer whether type t is gone: broken',
                    'Run this again.',
                ),
                (error.message, error.remedy),
            )
            self.assertEqual(['t'], store.deleted)
            self.assertEqual(0, store.created)

    def test_owner_that_is_at_work(self):
        """It is waited for, and told once."""
        store = Store(LEFT)
        looks = []

        def runs(process):
            self.assertEqual(7, process)
            looks.append(self.clock.now)
            if len(looks) == 3:
                store.found['t'] = dataclasses.replace(
                    LEFT, description='', encryption=GOOD
                )
            return True

        self.runs = runs
        found = self.apply(store)
        self.assertEqual(('t', False), (found.volume_type.id, found.changed))
        self.assertEqual([0.0, 0.5, 1.0], looks)
        self.assertEqual(
            'Waiting for process 7 on here, which is making this type.\n',
            self.log.output,
        )

    def test_twin_whose_owner_ends(self):
        """One that is finished settles what could go before it."""
        store = Store()
        twin = dataclasses.replace(LEFT, id='a')
        publish = store.publish

        def published(*args):
            publish(*args)
            store.found['a'] = twin

        store.publish = published
        self.assertEqual('own', self.apply(store).volume_type.id)
        self.assertEqual((['a'], 1), (store.deleted, store.created))
