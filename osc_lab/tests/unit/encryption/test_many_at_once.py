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

"""Many runs of a preset at once make one type, whoever goes on next.

Each run is a thread that stops before each request.  One of them is let go
on at a time, by lot, and the lot is drawn with a seed; so a round that goes
wrong is the same round again.  In some rounds runs are killed: they never go
on, and what they made is left.
"""

import dataclasses
import functools
import random
import threading
import uuid

import fixtures
import testtools
from testtools import content

from osc_lab.encryption import mark
from osc_lab.encryption import model
from osc_lab.encryption import reconcile
from osc_lab import exceptions
from osc_lab.tests import thorough
from osc_lab.tests.unit import clock

WISH = model.Wish(
    'LUKS', model.Encryption('luks', 'aes-xts-plain64', 256, 'front-end')
)

#: How many runs, and how many rounds of them.
COUNTS = (2, 8, 32)
ROUNDS = 200 if thorough.THOROUGH else 10

#: Share of the turns that kill, as long as some are to be killed.
RATE = 1 / 12


class Killed(BaseException):
    """The run is over, without any undo."""


class Turns:
    """Lets one thread go on at a time.

    :param lot: draws whose turn it is
    :ivar killed: processes that never get another turn
    """

    def __init__(self, lot):
        self.lot = lot
        self.killed = set()
        self._local = threading.local()
        self._ready = threading.Semaphore(0)
        self._parked = {}
        self._errors = []

    def run(self, works, kills):
        """Run all works; kill some processes, each at a turn of its own.

        :param works: process -> function
        :param kills: how many do not get a turn any more
        """
        threads = [
            threading.Thread(
                target=self._work, args=(process, work), daemon=True
            )
            for process, work in works.items()
        ]
        for thread in threads:
            thread.start()
        for _thread in threads:
            self._ready.acquire()
        while self._parked:
            process = self.lot.choice(sorted(self._parked))
            # No kill may be left when the last run has come to its end.
            if kills and (
                len(self._parked) == kills or self.lot.random() < RATE
            ):
                kills -= 1
                self.killed.add(process)
            self._parked.pop(process).release()
            self._ready.acquire()
        for thread in threads:
            thread.join()
        for error in self._errors:
            raise error

    def _work(self, process, work):
        self._local.process, self._local.now = process, 0.0
        try:
            self.turn()
            work()
        except Killed:
            return
        except BaseException as error:
            self._errors.append(error)
        finally:
            self._ready.release()

    def turn(self):
        """Wait for the next turn of this thread.

        :raises Killed: when there is none
        """
        process = self._local.process
        if process not in self.killed:
            gate = self._parked[process] = threading.Semaphore(0)
            self._ready.release()
            gate.acquire()
        if process in self.killed:
            raise Killed

    def sleep(self, seconds):
        self._local.now += seconds
        self.turn()

    def monotonic(self):
        return self._local.now


class Cinder:
    """Types.  As in Cinder, a name is looked for before it is taken."""

    def __init__(self, turns):
        self.found = {}
        self.turns = turns

    def types(self):
        self.turns.turn()
        return list(self.found.values())

    def encryption(self, type_id):
        self.turns.turn()
        return self._known(type_id).encryption

    def create_type(self, name, description, properties):
        self.turns.turn()
        if any(item.name == name for item in self.found.values()):
            raise exceptions.ServiceError('exists already', status=409)
        self.turns.turn()
        made = str(uuid.UUID(int=self.turns.lot.getrandbits(128)))
        self.found[made] = model.VolumeType(made, name, description, False)

    def create_encryption(self, type_id, encryption):
        self._change(type_id, encryption=encryption)

    def publish(self, type_id, description, is_public):
        self._change(type_id, description=description, is_public=is_public)

    def delete_type(self, type_id):
        self.turns.turn()
        self._known(type_id)
        del self.found[type_id]

    def _known(self, type_id):
        if type_id not in self.found:
            raise exceptions.ServiceError('no such type', status=404)
        return self.found[type_id]

    def _change(self, type_id, **changes):
        self.turns.turn()
        made = dataclasses.replace(self._known(type_id), **changes)
        if made.is_public and not made.encryption:
            raise AssertionError('a public type that is plain')
        self.found[type_id] = made


class TestManyAtOnce(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.FakeLogger())
        self.useFixture(clock.Instead(lambda: self.turns))

    def play(self, seed, count, killed):
        """Play one round; return the types and what each run returned."""
        self.turns = Turns(random.Random(seed))
        cinder, results = Cinder(self.turns), {}

        def runs(process):
            return process not in results and process not in self.turns.killed

        def work(process):
            actor = reconcile.Actor('host', process, runs)
            results[process] = reconcile.apply(cinder, WISH, actor)

        def works(*processes):
            return {
                process: functools.partial(work, process)
                for process in processes
            }

        self.turns.run(works(*range(count)), killed)
        self.assertEqual(killed, len(self.turns.killed))
        # Who was killed last may have left something for the next run.
        self.turns.run(works(count), 0)
        self.assertEqual(
            set(range(count + 1)) - self.turns.killed, set(results)
        )
        return cinder.found, results

    def judge(self, seed, count, killed):
        found, results = self.play(seed, count, killed)
        (item,) = found.values()
        self.assertIsNone(mark.read(item.description))
        self.assertEqual(
            (WISH.encryption, True), (item.encryption, item.is_public)
        )
        told = {result.volume_type.id for result in results.values()}
        self.assertEqual({item.id}, told)
        makers = [result for result in results.values() if result.changed]
        if not killed:
            self.assertEqual(1, len(makers))

    def rounds(self, share):
        """Yield seed, number of runs and of kills of each round."""
        for count in COUNTS:
            for number in range(ROUNDS):
                killed = int(count * share)
                seed = f'{count} {killed} {number}'
                self.addDetail('seed', content.text_content(seed))
                yield seed, count, killed

    def test_none_is_killed(self):
        for played in self.rounds(0):
            self.judge(*played)

    def test_some_are_killed(self):
        pairs = thorough.Pairs(self)
        for played in self.rounds(0.5):
            with pairs.one():
                self.judge(*played)
