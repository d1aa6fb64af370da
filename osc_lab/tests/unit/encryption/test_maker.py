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


"""How a type is made, beside others of its name, and unmade."""

import dataclasses
from unittest import mock

import testtools

from osc_lab.encryption import maker
from osc_lab.encryption import mark
from osc_lab.encryption import model
from osc_lab import exceptions
from osc_lab.tests.unit.encryption import volume_types

WISH = model.Wish(
    'LUKS', model.Encryption('luks', 'aes-xts-plain64', 256, 'front-end')
)

SHARED = {
    'description': 'of p',
    'is_public': False,
    'projects': frozenset({'q', 'p'}),
    'properties': {'d': 'e', 'a': 'b c'},
}


class TestMaker(testtools.TestCase):
    def setUp(self):
        super().setUp()
        patcher = mock.patch('time.sleep')
        self.sleep = patcher.start()
        self.addCleanup(patcher.stop)
        self.store = volume_types.Store()

    def steps(self, prove=None, **changes):
        wish = dataclasses.replace(WISH, **changes)
        return maker.Maker(self.store, wish, mark.new('h', 1), prove).steps()

    def make(self, **changes):
        self.steps(**changes).run()

    def test_made(self):
        self.make()
        (item,) = self.store.types()
        self.assertEqual(WISH.encryption, item.encryption)
        self.assertTrue(item.is_public)
        self.assertIsNone(mark.read(item.description))

    def test_whether_it_was_there(self):
        for name, created in (('create_type', False), ('publish', True)):
            self.store = volume_types.Store()
            self.store.fails = {name: (volume_types.error(403), False)}
            made = maker.Maker(self.store, WISH, mark.new('h', 1))
            self.assertRaises(exceptions.ServiceError, made.steps().run)
            self.assertIs(created, made.created)
            self.assertEqual([], self.store.types())

    def test_answers_that_are_lost(self):
        for name in ('create_type', 'create_encryption', 'publish'):
            self.store = volume_types.Store()
            self.store.fails = {name: (volume_types.error(), True)}
            self.make()
            (item,) = self.store.types()
            self.assertIsNone(mark.read(item.description))

    def test_not_made_and_one_of_somebody_else_is_there(self):
        other = model.VolumeType('z', 'LUKS', str(mark.new('other', 2)))
        self.store = volume_types.Store(other)
        self.store.fails = {'create_type': (volume_types.error(), False)}
        self.assertRaises(exceptions.ServiceError, self.make)
        self.assertEqual([other], self.store.types())

    def test_one_that_others_may_have_seen_stays(self):
        """Another run began when this one had published its type."""
        lower = model.VolumeType('lower', 'LUKS', str(mark.new('h', 2)), False)
        publish, waited = self.store.publish, []

        def published(*args):
            publish(*args)
            self.store.found['lower'] = lower

        def settle(unfinished):
            for item in unfinished:
                waited.append(item.id)
                del self.store.found[item.id]

        self.store.publish = published
        maker.Maker(
            self.store, WISH, mark.new('h', 1), settle=settle
        ).steps().run()
        self.assertEqual(['lower'], waited)
        self.assertEqual(['own'], list(self.store.found))

    def test_somebody_removes_it_at_once(self):
        self.store.fails = {'create_type': (None, False)}
        self.assertRaises(maker.Lost, self.make)

    def test_undo(self):
        self.store.fails = {
            'create_encryption': (volume_types.error(400), False)
        }
        self.assertRaises(exceptions.ServiceError, self.make)
        self.assertEqual([], self.store.types())

    def test_undo_whose_answer_is_lost(self):
        self.store.fails = {
            'create_encryption': (volume_types.error(400), False),
            'delete_type': (volume_types.error(), True),
        }
        found = self.assertRaises(exceptions.ServiceError, self.make)
        self.assertEqual(400, found.status)

    def test_undo_that_fails(self):
        self.store.fails = {
            'create_encryption': (volume_types.error(400), False),
            'delete_type': (volume_types.error(), False),
        }
        found = self.assertRaises(exceptions.UndoFailed, self.make)
        self.assertIn('openstack volume type delete own', str(found))
        (item,) = self.store.types()
        self.assertFalse(item.is_public)

    def test_what_is_left_is_never_named_by_a_name_that_others_have(self):
        """Nobody knows the ID: types cannot be listed any more."""
        self.store.fails = {'create_type': (volume_types.error(), True)}
        self.store.types = mock.Mock(side_effect=volume_types.error())
        found = self.assertRaises(exceptions.UndoFailed, self.make)
        self.assertNotIn('delete LUKS', str(found))
        (item,) = self.store.found.values()
        self.assertIn(f'shows beside "{item.description}"', str(found))

    def lost(self, name, status=500, kind=maker.Lost):
        """See that another run was first when this is answered."""
        self.store.fails = {name: (volume_types.error(status), False)}
        found = self.assertRaises(maker.Lost, self.make)
        self.assertIs(kind, type(found))

    def test_name_is_taken(self):
        other = model.VolumeType('z', 'LUKS', 'finished')
        self.store = volume_types.Store(other)
        self.lost('create_type', 409)
        self.store = volume_types.Store(
            model.VolumeType('z', 'other', 'finished')
        )
        self.lost('create_type', 409, maker.Unseen)
        self.store = volume_types.Store(
            model.VolumeType('z', 'lUKS', 'finished')
        )
        self.store.fails = {'create_type': (volume_types.error(409), False)}
        found = self.assertRaises(exceptions.Conflict, self.make)
        self.assertIn('"lUKS" exists, and to Cinder "LUKS"', found.message)
        self.assertIn('--name', found.remedy)

    def test_removed_by_somebody(self):
        self.lost('encryption', 404)
        self.lost('publish', 404)

    def test_answers_that_are_lost_for_good(self):
        """What is raised is the first error, not that of a second look."""
        for name, look in (
            ('create_encryption', 'encryption'),
            ('share', 'projects'),
        ):
            self.store = volume_types.Store()
            self.store.fails = {
                name: (volume_types.error(502), True),
                look: (volume_types.error(503), True),
            }
            found = self.assertRaises(
                exceptions.ServiceError, self.make, **SHARED
            )
            self.assertEqual(502, found.status)
            self.assertEqual([], self.store.types())

    def test_answer_of_sharing_is_lost(self):
        self.store.fails = {'share': (volume_types.error(502), True)}
        self.make(**SHARED)
        self.assertEqual({'own': {'p', 'q'}}, self.store.shared)

    def test_looks_that_fail(self):
        """Of the type itself, be it the first or the last one."""
        for name, looks in (
            ('create_type', [volume_types.error(503)]),
            ('create_type', [[], [], [], [], volume_types.error(503)]),
            ('publish', [None, None, volume_types.error(503)]),
        ):
            self.store = volume_types.Store()
            self.store.fails = {name: (volume_types.error(502), False)}
            types, left = self.store.types, list(looks)

            def look(types=types, left=left):
                found = left.pop(0) if left else None
                if isinstance(found, Exception):
                    raise found
                return types()

            self.store.types = look
            found = self.assertRaises(exceptions.ServiceError, self.make)
            self.assertEqual((502, []), (found.status, left))

    def test_others_of_the_name(self):
        marked = str(mark.new('h', 2))
        for id_, description, made in (
            ('a', marked, False),
            ('a', 'finished', False),
            ('z', marked, True),
            ('z', 'finished', False),
        ):
            other = model.VolumeType(id_, 'LUKS', description)
            self.store = volume_types.Store(other)
            if made:
                self.make()
            else:
                self.assertRaises(maker.Lost, self.make)
            self.assertEqual(
                [id_] + ['own'] * made, list(self.store.found), id_
            )

    def test_only_a_lower_one_is_waited_for(self):
        higher = model.VolumeType('z', 'LUKS', str(mark.new('h', 2)))
        self.store = volume_types.Store(higher)
        waited = []
        maker.Maker(
            self.store, WISH, mark.new('h', 1), settle=waited.append
        ).steps().run()
        self.assertEqual([[]], waited)

    def test_publish_that_others_did(self):
        """It is final only with both: the description and who sees it."""
        final = WISH.final_description
        for description, is_public, made in (
            (final, True, True),
            (final, False, False),
            ('other', True, False),
            (None, None, False),
        ):
            self.store = volume_types.Store()

            def publish(
                type_id,
                *args,
                store=self.store,
                description=description,
                is_public=is_public,
            ):
                item = store.found.pop(type_id)
                if is_public is not None:
                    store.found[type_id] = dataclasses.replace(
                        item, description=description, is_public=is_public
                    )
                raise volume_types.error()

            self.store.publish = publish
            if made:
                self.make()
                self.assertEqual(['own'], list(self.store.found))
            else:
                self.assertRaises(exceptions.ServiceError, self.make)
                self.assertEqual([], self.store.types())

    def test_undo_leaves_others(self):
        """Before and after the own one, marked and finished."""
        other = model.VolumeType('a', 'LUKS', str(mark.new('h', 2)), False)
        last = model.VolumeType('z', 'LUKS', 'finished')

        def share(*args):
            own = self.store.found.pop('own')
            self.store.found.update(a=other, own=own, z=last)
            raise volume_types.error(400)

        self.store.share = share
        self.assertRaises(exceptions.ServiceError, self.make, **SHARED)
        self.assertEqual([other, last], self.store.types())

    def test_undo_leaves_what_somebody_took(self):
        """Who wrote another description without a mark wants to keep it."""

        def encrypt(*args):
            self.store.publish('own', 'theirs', False)
            raise volume_types.error(400)

        self.store.create_encryption = encrypt
        self.assertRaises(exceptions.ServiceError, self.make)
        self.assertEqual(['own'], list(self.store.found))

    def test_stored_otherwise(self):
        stored = dataclasses.replace(WISH.encryption, key_size=512)
        self.store.encryption = lambda type_id: stored
        found = self.assertRaises(exceptions.OperationFailed, self.make)
        self.assertIn('sent: key_size is "512", not "256"', found.message)
        self.assertIn('cinder-api', found.remedy)
        self.assertEqual([], self.store.types())

    def test_pauses(self):
        """A request whose answer was lost is waited for, and no other."""
        self.store.fails = {'create_type': (volume_types.error(), False)}
        self.assertRaises(exceptions.ServiceError, self.make)
        # Once to go on, once to undo it.
        waits = [0.5, 1.0, 2.0, 2.0]
        self.assertEqual(waits * 2, self.pauses())
        self.store.fails = {'create_type': (volume_types.error(400), False)}
        self.assertRaises(exceptions.ServiceError, self.make)
        self.store.fails = {
            'create_encryption': (volume_types.error(400), False)
        }
        self.assertRaises(exceptions.ServiceError, self.make)
        self.store = volume_types.Store()
        self.store.create_encryption = mock.Mock(
            side_effect=volume_types.error(400)
        )
        self.store.encryption = lambda type_id: self.store.found.clear()
        self.assertRaises(exceptions.ServiceError, self.make)
        self.assertEqual(waits * 2, self.pauses())

    def pauses(self):
        return [call.args[0] for call in self.sleep.call_args_list]

    def test_interrupted(self):
        """Nobody knows whether it was made: the undo waits for it."""
        self.store.create_type = mock.Mock(side_effect=KeyboardInterrupt)
        self.assertRaises(KeyboardInterrupt, self.make)
        self.assertEqual([0.5, 1.0, 2.0, 2.0], self.pauses())

    def test_plan(self):
        proven = []
        steps = self.steps(proven.append, **SHARED)
        self.assertEqual(
            [
                'openstack volume type create --private '
                "--property 'a=b c' --property d=e LUKS",
                'openstack volume type set --encryption-provider luks '
                '--encryption-cipher aes-xts-plain64 '
                '--encryption-key-size 256 '
                '--encryption-control-location front-end LUKS',
                'openstack volume type show --encryption-type LUKS',
                'openstack volume create --size 1 --type LUKS proof',
                'openstack volume type set --project p LUKS',
                'openstack volume type set --project q LUKS',
                "openstack volume type set --description 'of p' --private "
                'LUKS',
                'openstack volume type list --long --encryption-type',
            ],
            [command for _title, command in steps.rows()],
        )
        for title, _command in steps.rows():
            self.assertRegex(title, '.')
        steps.run()
        self.assertEqual(['own'], proven)
        self.assertEqual({'own': {'p', 'q'}}, self.store.shared)
        self.assertEqual(
            [
                model.VolumeType(
                    *('own', 'LUKS', 'of p', False, SHARED['properties']),
                    WISH.encryption,
                )
            ],
            self.store.types(),
        )

    def test_plan_of_a_public_type(self):
        (*_others, private, _last), (*others, public, _same) = (
            self.steps(is_public=is_public).rows()
            for is_public in (False, True)
        )
        self.assertEqual(3, len(others))
        self.assertNotEqual(private[0], public[0])
        self.assertEqual(
            'openstack volume type set --description '
            f"'{WISH.final_description}' --public LUKS",
            public[1],
        )
