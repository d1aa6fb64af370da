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

"""The watch over a migration."""

import threading
from unittest import mock

import fixtures
import testtools

from osc_lab import exceptions
from osc_lab.migration import drive
from osc_lab.migration import record as record_
from osc_lab.tests.unit import clock
from osc_lab.tests.unit.migration import nova as nova_
from osc_lab.tests.unit.migration import samples


class DriveTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.before = samples.server(host='a').server
        self.said = []
        self.clock = self.useFixture(clock.Clock())

    def driver(self, nova, **changes):
        return drive.Driver(nova, self.said.append, **changes)

    def follow(self, nova, newest=0, timeout=None, **changes):
        driver = self.driver(nova, **changes)
        return driver.follow(self.before, 'req-1', newest, timeout)


class TestFollow(DriveTest):
    def test_moved(self):
        found = self.follow(
            nova_.Nova(
                samples.migration('running'), samples.migration('completed')
            )
        )
        self.assertTrue(found.moved)
        self.assertEqual('b', found.after.host)
        self.assertEqual(1.0, found.seconds)

    def test_an_older_one_does_not_count(self):
        nova = nova_.Nova(
            samples.migration('completed'), samples.migration('completed', 8)
        )
        found = self.follow(nova, newest=7)
        self.assertEqual(8, found.record.id)

    def test_the_next_one_does_not_count(self):
        """Somebody moves the server again before the end was seen."""
        for status in ('completed', 'error'):
            other = samples.migration('running', 8, dest_compute='c')
            nova = nova_.Nova(
                *(
                    samples.migration('running'),
                    [other, samples.migration(status)],
                ),
                [{**other, 'status': 'completed'}, samples.migration(status)],
            )
            found = self.follow(nova)
            self.assertEqual(
                (7, status), (found.record.id, found.record.status)
            )

    def test_two_that_came_before_the_first_look(self):
        nova = nova_.Nova(
            [samples.migration('completed', 9), samples.migration('failed', 8)]
        )
        self.assertEqual(8, self.follow(nova, newest=7).record.id)

    def test_a_move_of_somebody_else_is_not_ours(self):
        nova = nova_.Nova(
            samples.migration('error'),
            [samples.migration('completed', 8), samples.migration('error')],
        )
        found = self.follow(nova)
        self.assertTrue(found.overtaken)
        self.assertFalse(found.moved or found.broken)
        self.assertFalse(
            self.follow(nova_.Nova(samples.migration('error'))).overtaken
        )

    def test_a_record_that_is_gone(self):
        nova = nova_.Nova(
            samples.migration('running'), [samples.migration('running', 8)]
        )
        found = self.follow(nova, timeout=3)
        self.assertEqual(7, found.record.id)

    def test_the_next_one_is_not_awaited(self):
        nova = nova_.Nova(samples.migration('completed'))
        nova.servers = [
            samples.server(host='b', task_state='migrating').server,
            samples.server(host='c').server,
        ]
        self.assertTrue(self.follow(nova).moved)

    def test_the_next_one_is_not_aborted(self):
        nova = nova_.Nova(
            *(samples.migration('running'), KeyboardInterrupt()),
            [samples.migration('running', 8), samples.migration('running')],
            [samples.migration('running', 8), samples.migration('cancelled')],
        )
        self.follow(nova)
        self.assertEqual({7}, nova.meant)

    def test_what_nova_tells_of_the_way(self):
        """Another migration of the server may run by now."""
        counters = {
            f'{kind}_{what}_bytes': 2**20
            for kind in ('memory', 'disk')
            for what in ('total', 'processed', 'remaining')
        }
        seen = []
        for number, expected in ((7, 2**21), (8, None)):
            nova = nova_.Nova(
                samples.migration('running'), samples.migration('completed')
            )
            progress = samples.migration('running', number, **counters)
            nova.progress = lambda _server, found=progress: found
            self.follow(nova, progress=seen.append)
            self.assertEqual(expected, seen[-2].remaining)

    def test_what_libvirt_tells_of_the_way(self):
        nova = nova_.Nova(
            *[samples.migration('running')] * 4, samples.migration('completed')
        )
        jobs = [
            {},
            {'memory_total': 9, 'memory_iteration': 1, 'memory_processed': 5},
            {'disk_total': 9, 'disk_remaining': 1},
            {},
        ]
        seen = []
        found = self.follow(
            nova, job=lambda: jobs[len(seen)], progress=seen.append
        )
        self.assertEqual((5, 1), (found.sent_bytes, found.iterations))
        self.assertEqual(
            [
                (0.0, 'running'),
                (1.0, 'memory iteration 1'),
                (2.0, 'ending'),
                (3.0, 'post'),
                (4.0, 'completed'),
            ],
            [(sample.elapsed, sample.phase) for sample in seen],
        )

    def test_the_last_word_of_nova(self):
        """What was cancelled becomes an error a moment later."""
        found = self.follow(
            nova_.Nova(
                samples.migration('cancelled'), samples.migration('error')
            )
        )
        self.assertEqual('error', found.record.status)

    def test_nobody_saw_the_server_afterwards(self):
        nova = nova_.Nova(samples.migration('completed'))
        nova.servers = [exceptions.ServiceError('gone')]
        found = self.follow(nova)
        self.assertEqual(self.before, found.after)

    def test_overtaken(self):
        server = self.before
        self.assertIs(False, drive.overtaken(nova_.Nova(None), server, None))
        record = record_.record(samples.migration('completed'))
        self.assertIs(False, drive.overtaken(nova_.Nova(None), server, record))

    def test_what_is_completed_is_not_awaited(self):
        nova = nova_.Nova(samples.migration('completed'))
        nova.servers = [samples.server(host='c').server]
        self.assertEqual('c', self.follow(nova).after.host)
        self.assertEqual(0.0, self.clock.now)

    def test_seconds_of_a_look(self):
        """What is left of the time limit, and never hardly any."""
        limits = []

        def call(look, seconds):
            limits.append(seconds)
            return look()

        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.migration.drive.workers.call', call)
        )
        self.follow(nova_.Nova(samples.migration('running')), timeout=6.5)
        self.assertEqual([6.5, 5.5, *[5.0] * 6], limits)

    def test_answer_that_was_lost(self):
        nova = nova_.Nova(samples.migration('completed'))
        nova.actions = [AssertionError('no request has no name')]
        found = self.driver(nova).follow(self.before, '', 0)
        self.assertIsNone(found.action)

    def test_time_is_over(self):
        found = self.follow(
            nova_.Nova(samples.migration('running')), timeout=3
        )
        self.assertTrue(found.left_running)
        self.assertFalse(found.interrupted)
        self.assertEqual(5.0, found.seconds)

    def test_time_is_over_and_nova_does_not_answer(self):
        stop = threading.Event()
        self.addCleanup(stop.set)
        nova = nova_.Nova(None)

        def migrations(**filters):
            self.clock.now += 60
            stop.wait(9)
            return iter(())

        nova.migrations = migrations
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.migration.drive.LEAST', 0.1)
        )
        found = self.follow(nova, timeout=0.01)
        self.assertTrue(found.left_running)
        self.assertEqual(
            ['Lost sight of the migration: no answer within 0.1 s'], self.said
        )

    def test_interrupted_once(self):
        nova = nova_.Nova(
            *(
                samples.migration('accepted'),
                KeyboardInterrupt(),
                samples.migration('queued'),
            ),
            *(samples.migration('running'), samples.migration('cancelled')),
        )
        nova.abortable = False
        answers = iter([False, True])
        nova.abort = lambda *_ids: next(answers)
        found = self.follow(nova)
        self.assertTrue(found.interrupted)
        self.assertFalse(found.left_running)
        self.assertEqual('cancelled', found.record.status)
        self.assertIn('Interrupt again', self.said[0])
        self.assertEqual(['Asked Nova to abort.'], self.said[1:])

    def test_interrupted_when_it_cannot_be_aborted(self):
        nova = nova_.Nova(
            *(samples.migration('running'), KeyboardInterrupt()),
            *(samples.migration('running'), samples.migration('completed')),
        )
        nova.abortable = False
        found = self.follow(nova)
        self.assertTrue(found.moved and found.interrupted)
        self.assertIn('no longer be aborted', self.said[-1])

    def test_interrupted_twice(self):
        nova = nova_.Nova(
            *(
                samples.migration('running'),
                KeyboardInterrupt(),
                KeyboardInterrupt(),
            ),
        )
        found = self.follow(nova)
        self.assertTrue(found.interrupted and found.left_running)
        self.assertEqual([], nova.asked)

    def test_cloud_that_is_gone(self):
        nova = nova_.Nova(
            samples.migration('running'), exceptions.AccessError('gone')
        )
        found = self.follow(nova)
        self.assertTrue(found.left_running)
        self.assertEqual('running', found.record.status)
        self.assertEqual(['Lost sight of the migration: gone'], self.said)
        self.assertEqual(61.0, found.seconds)

    def test_cloud_that_comes_back(self):
        """Again and again; only what lasts ends the watch."""
        gone = [exceptions.AccessError('gone')] * 50
        nova = nova_.Nova(
            *(
                *gone,
                samples.migration('running'),
                *gone,
                samples.migration('completed'),
            )
        )
        self.assertTrue(self.follow(nova).moved)
        self.assertEqual([], self.said)

    def test_cloud_that_is_gone_at_the_end(self):
        for name in ('servers', 'actions'):
            nova = nova_.Nova(
                samples.migration('running'), samples.migration('completed')
            )
            setattr(nova, name, [exceptions.AccessError('gone')])
            self.said.clear()
            found = self.follow(nova)
            self.assertTrue(found.left_running)
            self.assertEqual('completed', found.record.status)
            self.assertEqual(['Lost sight of the migration: gone'], self.said)

    def test_abort_that_is_denied(self):
        nova = nova_.Nova(
            *(samples.migration('running'), KeyboardInterrupt()),
            *(samples.migration('running'), samples.migration('completed')),
        )
        nova.abort = mock.Mock(
            side_effect=exceptions.ServiceError('denied', status=403)
        )
        found = self.follow(nova)
        self.assertTrue(found.moved and found.interrupted)
        self.assertEqual(
            ['Nova did not take the request: denied'], self.said[1:]
        )
        nova.abort.assert_called_once()

    def lost_abort(self, then, **changes):
        """Follow one whose abort gets no answer, at first."""
        nova = nova_.Nova(
            *(samples.migration('running'), *changes.pop('records', ())),
            *(
                *[samples.migration('running')] * 50,
                samples.migration('cancelled'),
            ),
        )
        lost = exceptions.ServiceError('silence', status=504)
        nova.abort = mock.Mock(side_effect=[lost, lost, then])
        self.follow(nova, **changes)
        self.assertEqual(3, nova.abort.call_count)
        self.assertEqual(
            ['Nobody knows whether Nova took the request: silence'],
            self.said[1:-1],
        )
        return self.said[-1]

    def test_abort_that_fails_otherwise(self):
        for error, words in (
            (exceptions.AccessError('odd'), 'Nova did not take the request'),
            (
                exceptions.ServiceError('silence', status=504),
                'Nobody knows whether Nova took the request',
            ),
        ):
            nova = nova_.Nova(
                *(samples.migration('running'), KeyboardInterrupt()),
                *([samples.migration('running')] * 3),
                samples.migration('cancelled'),
            )
            nova.abort = mock.Mock(side_effect=[error, True])
            self.said.clear()
            self.follow(nova)
            self.assertEqual(f'{words}: {error}', self.said[1])

    def test_abort_whose_answer_was_lost(self):
        records = [KeyboardInterrupt()]
        found = self.lost_abort(True, records=records)
        self.assertEqual('Asked Nova to abort.', found)

    def test_abort_whose_answer_was_lost_and_that_is_denied(self):
        denied = exceptions.ServiceError('denied', status=403)
        found = self.lost_abort(denied, records=[KeyboardInterrupt()])
        self.assertEqual('Nova did not take the request: denied', found)

    def test_abort_of_one_that_stands_still(self):
        job = {'memory_iteration': 2}
        job |= dict.fromkeys(('memory_total', 'memory_remaining'), 2**30)
        found = self.lost_abort(
            True, job=lambda: job, on_stall=drive.OnStall.ABORT
        )
        self.assertEqual('Asked Nova to abort.', found)

    def test_refused_by_the_conductor(self):
        event = {
            'event': 'conductor_live_migrate_instance',
            'result': 'Error',
            'finish_time': '2026-01-01T00:00:02',
        }
        nova = nova_.Nova(None)
        nova.actions = [None, {'request_id': 'req-1', 'events': [event]}]
        found = self.follow(nova)
        self.assertIsNone(found.record)
        self.assertEqual('req-1', found.action.request_id)
        self.assertFalse(found.left_running)

    def test_the_end_is_awaited(self):
        """What failed may set the server to ERROR a moment later."""
        busy = samples.server(task_state='migrating').server
        idle = samples.server().server
        broken = samples.server(vm_state='error').server
        nova = nova_.Nova(samples.migration('failed'))
        nova.servers = [busy, idle, broken]
        self.assertEqual(broken, self.follow(nova).after)
        self.assertEqual(2.0, self.clock.now)
        nova.servers = [busy, idle]
        self.clock.now = 0.0
        self.assertEqual(idle, self.follow(nova).after)
        self.assertEqual(6.0, self.clock.now)
        nova.servers = [busy]
        self.clock.now = 0.0
        self.assertEqual(busy, self.follow(nova).after)
        self.assertEqual(31.0, self.clock.now)


class TestStall(DriveTest):
    def stalled(self, **changes):
        """Follow one of which as much is left all the time."""
        nova = nova_.Nova(
            *[samples.migration('running')] * 60,
            samples.migration('completed'),
        )
        job = {'memory_iteration': 2}
        job |= dict.fromkeys(('memory_total', 'memory_remaining'), 2**30)
        found = self.follow(nova, job=lambda: job, **changes)
        self.assertTrue(found.stalled)
        self.assertEqual(
            'What remains has not become less for 40 seconds.', self.said[0]
        )
        return nova

    def test_words(self):
        self.assertEqual(
            ['report', 'abort', 'force-complete'], list(drive.OnStall)
        )

    def test_report(self):
        self.assertEqual([], self.stalled().asked)

    def test_abort(self):
        nova = self.stalled(on_stall=drive.OnStall.ABORT)
        self.assertEqual(['abort'], nova.asked)

    def test_force(self):
        nova = self.stalled(on_stall=drive.OnStall.FORCE)
        self.assertEqual((['force'], {7}), (nova.asked, nova.meant))
        self.assertIn('by post-copy, or a pause', self.said[-1])

    def test_it_must_not_be_forced(self):
        denied = exceptions.ServiceError('denied', status=403)
        with mock.patch.object(
            nova_.Nova, 'force_complete', mock.Mock(side_effect=denied)
        ):
            self.stalled(on_stall=drive.OnStall.FORCE)
        self.assertIn('did not take the request', self.said[-1])

    def test_it_cannot_be_forced(self):
        with mock.patch.object(
            nova_.Nova, 'force_complete', lambda *_ids: False
        ):
            self.stalled(on_stall=drive.OnStall.FORCE)
        self.assertIn('cannot be forced now', self.said[-1])
