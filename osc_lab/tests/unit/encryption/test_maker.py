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

WISH = model.Wish(
    'LUKS', model.Encryption('luks', 'aes-xts-plain64', 256, 'front-end')
)


class Store:
    """Holds types; an error in ``fails`` is raised when it was done.

    :ivar fails: name of a method -> (error, whether it is done all the same)
    """

    def __init__(self, *found):
        self.found = {item.id: item for item in found}
        self.fails = {}

    def _did(self, name, work):
        error, done = self.fails.get(name, (None, True))
        if done:
            work()
        if error:
            raise error

    def types(self):
        return list(self.found.values())

    def create_type(self, name, description, properties):
        item = model.VolumeType('own', name, description, False)
        self._did('create_type', lambda: self.found.update(own=item))

    def delete_type(self, type_id):
        self._did('delete_type', lambda: self.found.pop(type_id))

    def create_encryption(self, type_id, encryption):
        item = dataclasses.replace(self.found[type_id], encryption=encryption)
        self._did(
            'create_encryption', lambda: self.found.update({type_id: item})
        )

    def encryption(self, type_id):
        return self.found[type_id].encryption

    def publish(self, type_id, description, is_public):
        item = dataclasses.replace(
            self.found[type_id], description=description, is_public=is_public
        )
        self._did('publish', lambda: self.found.update({type_id: item}))


def error(status=500):
    return exceptions.ServiceError('broken', status=status)


class TestMaker(testtools.TestCase):
    def setUp(self):
        super().setUp()
        patcher = mock.patch('time.sleep')
        patcher.start()
        self.addCleanup(patcher.stop)
        self.store = Store()

    def make(self):
        steps = maker.Maker(self.store, WISH, mark.new('h', 1)).steps()
        steps.run()

    def test_made(self):
        self.make()
        (item,) = self.store.types()
        self.assertEqual(WISH.encryption, item.encryption)
        self.assertTrue(item.is_public)
        self.assertIsNone(mark.read(item.description))

    def test_answers_that_are_lost(self):
        for name in ('create_type', 'create_encryption', 'publish'):
            self.store = Store()
            self.store.fails = {name: (error(), True)}
            self.make()
            (item,) = self.store.types()
            self.assertIsNone(mark.read(item.description))

    def test_not_made_and_one_of_somebody_else_is_there(self):
        other = model.VolumeType('z', 'LUKS', str(mark.new('other', 2)))
        self.store = Store(other)
        self.store.fails = {'create_type': (error(), False)}
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
        self.store.fails = {'create_encryption': (error(400), False)}
        self.assertRaises(exceptions.ServiceError, self.make)
        self.assertEqual([], self.store.types())

    def test_undo_whose_answer_is_lost(self):
        self.store.fails = {
            'create_encryption': (error(400), False),
            'delete_type': (error(), True),
        }
        found = self.assertRaises(exceptions.ServiceError, self.make)
        self.assertEqual(400, found.status)

    def test_undo_that_fails(self):
        self.store.fails = {
            'create_encryption': (error(400), False),
            'delete_type': (error(), False),
        }
        found = self.assertRaises(exceptions.UndoFailed, self.make)
        self.assertIn('openstack volume type delete own', str(found))
        (item,) = self.store.types()
        self.assertFalse(item.is_public)

    def test_what_is_left_is_never_named_by_a_name_that_others_have(self):
        """Nobody knows the ID: types cannot be listed any more."""
        self.store.fails = {'create_type': (error(), True)}
        self.store.types = mock.Mock(side_effect=error())
        found = self.assertRaises(exceptions.UndoFailed, self.make)
        self.assertNotIn('delete LUKS', str(found))
        (item,) = self.store.found.values()
        self.assertIn(f'shows beside "{item.description}"', str(found))
