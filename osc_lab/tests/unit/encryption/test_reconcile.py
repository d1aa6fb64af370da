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

"""How long a run waits for another one, by a clock of our own."""

import dataclasses
import time
from unittest import mock

import testtools

from osc_lab.encryption import mark
from osc_lab.encryption import model
from osc_lab.encryption import reconcile
from osc_lab.encryption import scratch
from osc_lab import exceptions

GOOD = model.Encryption('luks', 'aes-xts-plain64', 256, 'front-end')
WISH = model.Wish('LUKS', GOOD)


class Store:
    """A type that a run is making, and volumes that come and go."""

    def __init__(self, owner):
        self.item = model.VolumeType('t', 'LUKS', str(mark.new(owner, 7)))
        self.finished = None
        self.volumes = lambda second: []
        self.second = 0.0

    def tick(self, pause=0.0):
        self.second += pause
        return self.second

    def types(self):
        if self.finished is None or self.second < self.finished:
            yield self.item

    def find_volumes(self, metadata):
        return self.volumes(self.second)


def left_volume(status='in-use', created=None, type_id='t'):
    return model.Volume(
        *('v', 'osc-lab-proof-x', status, 1, type_id),
        metadata={scratch.MARK: 't'},
        created=created,
    )


class TestWait(testtools.TestCase):
    def wait(self, store, alive=True):
        actor = reconcile.Actor('here', 1, lambda process: alive)
        with (
            mock.patch.object(reconcile.time, 'sleep', store.tick),
            mock.patch.object(reconcile.time, 'monotonic', store.tick),
        ):
            return reconcile._wait(store, store.item, actor)

    def test_silence_of_another_machine(self):
        store = Store('elsewhere')
        self.assertTrue(self.wait(store))
        self.assertEqual(20.5, store.second)

    def test_proof_of_another_machine_is_a_sign_of_life(self):
        store = Store('elsewhere')
        store.finished = 601.0
        now = time.time()
        store.volumes = lambda second: (
            [left_volume('creating' if second < 290 else 'attaching', now)]
            if second < 590
            else []
        )
        self.assertFalse(self.wait(store))

    def test_volume_that_is_none(self):
        old = time.time() - scratch.LONGEST - 1
        for volume in (
            left_volume(created=old),
            left_volume('error_deleting'),
            left_volume(type_id='other'),
        ):
            store = Store('elsewhere')
            store.volumes = lambda second, volume=volume: [volume]
            self.assertTrue(self.wait(store))
            self.assertEqual(20.5, store.second)

    def test_volume_whose_age_nobody_tells(self):
        store = Store('elsewhere')
        store.volumes = lambda second: [left_volume()]
        self.assertTrue(self.wait(store))
        self.assertAlmostEqual(scratch.LONGEST + 20, store.second, delta=2)

    def test_process_that_lives_is_never_robbed(self):
        store = Store('here')
        error = self.assertRaises(exceptions.Conflict, self.wait, store)
        self.assertIn('Process 7', error.message)
        self.assertIn('openstack volume type delete t', error.remedy)
        self.assertGreater(store.second, scratch.LONGEST)

    def test_process_that_ended(self):
        store = Store('here')
        self.assertTrue(self.wait(store, alive=False))
        self.assertEqual(0, store.second)


class TestActor(testtools.TestCase):
    def test_is_gone(self):
        """A process that makes a type is not the one that asks."""
        actor = reconcile.Actor('here', 7, {6: True, 7: True}.get)
        for host, process, expected in (
            ('here', 6, False),
            ('here', 5, True),
            # It has the number of one that ended.
            ('here', 7, True),
            ('elsewhere', 5, None),
            ('elsewhere', 7, None),
        ):
            self.assertIs(
                expected,
                actor.is_gone(mark.new(host, process)),
                (host, process),
            )


class Types:
    """Types, their encryption and projects, and one volume of a proof."""

    def __init__(self, *found):
        self.found = found
        self.gone = None

    def types(self):
        return iter(self.found)

    def encryption(self, type_id):
        if self.gone:
            raise exceptions.ServiceError('gone', status=self.gone)
        return {'t': GOOD, 'u': GOOD}[type_id]

    def projects(self, type_id):
        return {'u': frozenset({'p'})}[type_id]

    def find_volumes(self, metadata):
        return [left_volume()]


class TestLook(testtools.TestCase):
    def test_look(self):
        """Who has access is asked about a private type alone."""
        public = model.VolumeType('t', 'LUKS')
        private = model.VolumeType('u', 'LUKS', is_public=False)
        left = model.VolumeType('x', 'LUKS', str(mark.new('h', 7)))
        other = model.VolumeType('y', 'other')
        store = Types(public, left, other, private)
        self.assertEqual(
            (
                (
                    dataclasses.replace(public, encryption=GOOD),
                    dataclasses.replace(
                        private, encryption=GOOD, projects=frozenset({'p'})
                    ),
                ),
                (left,),
            ),
            reconcile.look(store, 'LUKS'),
        )
        for store.gone in (500, 404):
            # What is still listed is there, whatever one answer says.
            self.assertRaises(
                exceptions.ServiceError, reconcile.look, store, 'LUKS'
            )

    def test_type_that_goes_away_meanwhile(self):
        left = model.VolumeType('x', 'LUKS', str(mark.new('h', 7)))
        store = Types(model.VolumeType('t', 'LUKS'), left)
        store.gone = 404
        lists = [store.found, (left,)]
        store.types = lambda: lists.pop(0)
        self.assertEqual(((), (left,)), reconcile.look(store, 'LUKS'))

    def conflict(self, *found, wish=WISH):
        error = self.assertRaises(
            exceptions.Conflict,
            reconcile.check,
            reconcile.Found(found, ()),
            wish,
        )
        self.assertNotIn(error.remedy, ('', 'None'))
        return error.message

    def test_check(self):
        item = model.VolumeType('t', 'LUKS', encryption=GOOD)
        check = reconcile.check
        self.assertIs(item, check(reconcile.Found((item,), ()), WISH))
        self.assertIsNone(check(reconcile.Found((), ()), WISH))
        twin = dataclasses.replace(item, id='u')
        self.assertIn(
            'are 2 volume types named "LUKS": t u', self.conflict(item, twin)
        )
        wish = dataclasses.replace(WISH, description='D')
        self.assertIn(
            '"LUKS" exists and differs: description is "", not "D"',
            self.conflict(item, wish=wish),
        )

    def test_preview(self):
        """What would be removed comes first; a finished type is kept."""
        left = model.VolumeType('t', 'LUKS', str(mark.new('h', 7)))
        actor = reconcile.Actor('here', 1, bool)

        def commands(*found, **more):
            steps = reconcile.preview(Types(*found), WISH, actor, **more)
            for title, _command in steps.rows():
                self.assertNotIn(title, (None, '', 'None'))
            return [command for _title, command in steps.rows()]

        removals = [
            'openstack volume delete v',
            'openstack volume type delete t',
        ]
        made = commands()
        self.assertEqual(5, len(made))
        self.assertEqual(6, len(commands(prove=print)))
        self.assertEqual(removals + made, commands(left))
        rows = reconcile.preview(Types(left), WISH, actor).rows()
        self.assertEqual(
            [
                'remove the volume v that an unfinished run left',
                'remove the volume type t that an unfinished run left',
            ],
            [title for title, _command in rows[:2]],
        )
        second = dataclasses.replace(left, id='x')
        self.assertEqual(
            [*removals, 'openstack volume type delete x', *made],
            commands(left, second),
        )
        finished = model.VolumeType('u', 'LUKS')
        self.assertEqual(removals, commands(left, finished))
        self.assertEqual([], commands(finished))
