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


"""The watch over a migration, and what is said of its end."""

import threading
from unittest import mock

import fixtures
import testtools

from osc_lab import exceptions
from osc_lab.migration import drive
from osc_lab.migration import facts
from osc_lab.migration import outcome as outcome_
from osc_lab.migration import record as record_
from osc_lab.migration import result
from osc_lab.migration import start
from osc_lab.preflight import finding
from osc_lab.tests.unit.migration import samples

GAP = facts.Gap('no answer', 'wait')


def migration(status, number=7, **changes):
    """Return a migration as Nova tells it."""
    return {
        'id': number,
        'uuid': 'u',
        'status': status,
        'migration_type': 'live-migration',
        'instance_uuid': 's1',
        'source_compute': 'a',
        'dest_compute': 'b',
        'created_at': '2026-01-01T00:00:00',
        'updated_at': '2026-01-01T00:00:09',
        **changes,
    }


class Nova:
    """Answers one after the other, the last for ever; errors are raised.

    :ivar records: the newest migration, a list of more, or None
    :ivar asked: what was asked for, but looks
    :ivar meant: the migrations that it was asked for
    """

    def __init__(self, *records):
        self.records = list(records)
        self.refusal = None
        self.abortable = self.forcible = True
        self.actions = [None]
        self.servers = [samples.server(host='b').server]
        self.asked = []
        self.meant = set()

    def _ask(self, what, server_id, migration_id):
        assert server_id == 's1', server_id
        self.asked.append(what)
        self.meant.add(migration_id)

    def _next(self, answers):
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def live_migrate(self, server_id, host, storage):
        self.asked.append('migrate')
        if self.refusal:
            raise self.refusal
        return 'req-1'

    def migrations(self, most=1000, **filters):
        assert filters['instance_uuid'] == 's1', filters
        assert isinstance(most, int)
        found = self._next(self.records)
        if not isinstance(found, list):
            found = [found] if found else []
        return iter(found)

    def progress(self, server_id):
        assert server_id == 's1', server_id

    def abort(self, server_id, migration_id):
        self._ask('abort', server_id, migration_id)
        return self.abortable

    def force_complete(self, server_id, migration_id):
        self._ask('force', server_id, migration_id)
        return self.forcible

    def action(self, server_id, request_id):
        assert (server_id, request_id) == ('s1', 'req-1')
        return self._next(self.actions)

    def server(self, reference):
        assert reference == 's1', reference
        return self._next(self.servers)


class DriveTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.before = samples.server(host='a').server
        self.said = []
        self.now = 0.0
        for name in ('sleep', 'monotonic'):
            patch = mock.patch(f'time.{name}', getattr(self, f'_{name}'))
            patch.start()
            self.addCleanup(patch.stop)

    def _sleep(self, seconds):
        self.now += seconds
        # A watch that never ends fails, and does not wait for ever.
        assert self.now < 10_000

    def _monotonic(self):
        # Clocks of this kind begin anywhere.
        return 1000.0 + self.now

    def driver(self, nova, **changes):
        return drive.Driver(nova, self.said.append, **changes)

    def follow(self, nova, newest=0, timeout=None, **changes):
        driver = self.driver(nova, **changes)
        return driver.follow(self.before, 'req-1', newest, timeout)


class TestStart(DriveTest):
    def start(self, nova):
        found = start.start(
            nova, self.before, 'b', facts.Storage.AUTO, self.said.append
        )
        self.assertEqual(['migrate'], nova.asked)
        return found

    def failed(self, status, *records, task_state=None):
        nova = Nova(migration('completed', 3), *records)
        nova.refusal = exceptions.ServiceError('odd', status=status)
        nova.servers = [samples.server(task_state=task_state).server]
        return nova

    def test_the_newest_of_before(self):
        self.assertEqual(start.Begun('req-1', 0), self.start(Nova(None)))
        old = migration('completed', 3)
        self.assertEqual(start.Begun('req-1', 3), self.start(Nova(old)))

    def test_refused(self):
        nova = self.failed(409, migration('running'))
        self.assertRaises(exceptions.ServiceError, self.start, nova)
        self.assertEqual([], self.said)

    def test_nova_failed_and_the_server_has_no_task(self):
        for status in (500, 503):
            nova = self.failed(status)
            self.now = 0.0
            self.assertRaises(exceptions.ServiceError, self.start, nova)
            self.assertEqual(1.0, self.now)

    def test_one_began(self):
        """nova-conductor makes the record, which takes its time."""
        silence = exceptions.AccessError('silence')
        for status in (None, 500, 504):
            self.said.clear()
            nova = self.failed(
                status,
                *[migration('completed', 3), silence] * 4,
                migration('running'),
                task_state='migrating',
            )
            self.assertEqual(start.Begun('', 3), self.start(nova))
            (text,) = self.said
            self.assertIn('odd', text)
            self.assertIn('somebody else', text)

    def test_nobody_knows(self):
        for status, *records in (
            (None,),
            (502,),
            (504, exceptions.AccessError('silence')),
            (500, exceptions.AccessError('silence')),
        ):
            nova = self.failed(status, *records)
            self.now = 0.0
            found = self.start(nova)
            self.assertEqual(('', 3), (found.request_id, found.newest))
            self.assertIs(nova.refusal, found.doubt)
            self.assertEqual(16.0, self.now)
        nova = self.failed(500, task_state='migrating')
        self.assertIs(nova.refusal, self.start(nova).doubt)
        self.assertEqual([], self.said)


class TestFollow(DriveTest):
    def test_moved(self):
        found = self.follow(Nova(migration('running'), migration('completed')))
        self.assertTrue(found.moved)
        self.assertEqual('b', found.after.host)
        self.assertEqual(1.0, found.seconds)

    def test_an_older_one_does_not_count(self):
        nova = Nova(migration('completed'), migration('completed', 8))
        found = self.follow(nova, newest=7)
        self.assertEqual(8, found.record.id)

    def test_the_next_one_does_not_count(self):
        """Somebody moves the server again before the end was seen."""
        for status in ('completed', 'error'):
            other = migration('running', 8, dest_compute='c')
            nova = Nova(
                *(migration('running'), [other, migration(status)]),
                [{**other, 'status': 'completed'}, migration(status)],
            )
            found = self.follow(nova)
            self.assertEqual(
                (7, status), (found.record.id, found.record.status)
            )

    def test_two_that_came_before_the_first_look(self):
        nova = Nova([migration('completed', 9), migration('failed', 8)])
        self.assertEqual(8, self.follow(nova, newest=7).record.id)

    def test_a_move_of_somebody_else_is_not_ours(self):
        nova = Nova(
            migration('error'),
            [migration('completed', 8), migration('error')],
        )
        found = self.follow(nova)
        self.assertTrue(found.overtaken)
        self.assertFalse(found.moved or found.broken)
        self.assertFalse(self.follow(Nova(migration('error'))).overtaken)

    def test_a_record_that_is_gone(self):
        nova = Nova(migration('running'), [migration('running', 8)])
        found = self.follow(nova, timeout=3)
        self.assertEqual(7, found.record.id)

    def test_the_next_one_is_not_awaited(self):
        nova = Nova(migration('completed'))
        nova.servers = [
            samples.server(host='b', task_state='migrating').server,
            samples.server(host='c').server,
        ]
        self.assertTrue(self.follow(nova).moved)

    def test_the_next_one_is_not_aborted(self):
        nova = Nova(
            *(migration('running'), KeyboardInterrupt()),
            [migration('running', 8), migration('running')],
            [migration('running', 8), migration('cancelled')],
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
            nova = Nova(migration('running'), migration('completed'))
            progress = migration('running', number, **counters)
            nova.progress = lambda _server, found=progress: found
            self.follow(nova, progress=seen.append)
            self.assertEqual(expected, seen[-2].remaining)

    def test_what_libvirt_tells_of_the_way(self):
        nova = Nova(*[migration('running')] * 4, migration('completed'))
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
        found = self.follow(Nova(migration('cancelled'), migration('error')))
        self.assertEqual('error', found.record.status)

    def test_nobody_saw_the_server_afterwards(self):
        nova = Nova(migration('completed'))
        nova.servers = [exceptions.ServiceError('gone')]
        found = self.follow(nova)
        self.assertEqual(self.before, found.after)

    def test_overtaken(self):
        server = self.before
        self.assertIs(False, drive.overtaken(Nova(None), server, None))
        record = record_.record(migration('completed'))
        self.assertIs(False, drive.overtaken(Nova(None), server, record))

    def test_what_is_completed_is_not_awaited(self):
        nova = Nova(migration('completed'))
        nova.servers = [samples.server(host='c').server]
        self.assertEqual('c', self.follow(nova).after.host)
        self.assertEqual(0.0, self.now)

    def test_seconds_of_a_look(self):
        """What is left of the time limit, and never hardly any."""
        limits = []

        def call(look, seconds):
            limits.append(seconds)
            return look()

        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.migration.drive.workers.call', call)
        )
        self.follow(Nova(migration('running')), timeout=6.5)
        self.assertEqual([6.5, 5.5, *[5.0] * 6], limits)

    def test_answer_that_was_lost(self):
        nova = Nova(migration('completed'))
        nova.actions = [AssertionError('no request has no name')]
        found = self.driver(nova).follow(self.before, '', 0)
        self.assertIsNone(found.action)

    def test_time_is_over(self):
        found = self.follow(Nova(migration('running')), timeout=3)
        self.assertTrue(found.left_running)
        self.assertFalse(found.interrupted)
        self.assertEqual(5.0, found.seconds)

    def test_time_is_over_and_nova_does_not_answer(self):
        stop = threading.Event()
        self.addCleanup(stop.set)
        nova = Nova(None)

        def migrations(**filters):
            self.now += 60
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
        nova = Nova(
            *(migration('accepted'), KeyboardInterrupt(), migration('queued')),
            *(migration('running'), migration('cancelled')),
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
        nova = Nova(
            *(migration('running'), KeyboardInterrupt()),
            *(migration('running'), migration('completed')),
        )
        nova.abortable = False
        found = self.follow(nova)
        self.assertTrue(found.moved and found.interrupted)
        self.assertIn('no longer be aborted', self.said[-1])

    def test_interrupted_twice(self):
        nova = Nova(
            *(migration('running'), KeyboardInterrupt(), KeyboardInterrupt()),
        )
        found = self.follow(nova)
        self.assertTrue(found.interrupted and found.left_running)
        self.assertEqual([], nova.asked)

    def test_cloud_that_is_gone(self):
        nova = Nova(migration('running'), exceptions.AccessError('gone'))
        found = self.follow(nova)
        self.assertTrue(found.left_running)
        self.assertEqual('running', found.record.status)
        self.assertEqual(['Lost sight of the migration: gone'], self.said)
        self.assertEqual(61.0, found.seconds)

    def test_cloud_that_comes_back(self):
        """Again and again; only what lasts ends the watch."""
        gone = [exceptions.AccessError('gone')] * 50
        nova = Nova(
            *(*gone, migration('running'), *gone, migration('completed'))
        )
        self.assertTrue(self.follow(nova).moved)
        self.assertEqual([], self.said)

    def test_cloud_that_is_gone_at_the_end(self):
        for name in ('servers', 'actions'):
            nova = Nova(migration('running'), migration('completed'))
            setattr(nova, name, [exceptions.AccessError('gone')])
            self.said.clear()
            found = self.follow(nova)
            self.assertTrue(found.left_running)
            self.assertEqual('completed', found.record.status)
            self.assertEqual(['Lost sight of the migration: gone'], self.said)

    def test_abort_that_is_denied(self):
        nova = Nova(
            *(migration('running'), KeyboardInterrupt()),
            *(migration('running'), migration('completed')),
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
        nova = Nova(
            *(migration('running'), *changes.pop('records', ())),
            *(*[migration('running')] * 50, migration('cancelled')),
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
            nova = Nova(
                *(migration('running'), KeyboardInterrupt()),
                *([migration('running')] * 3),
                migration('cancelled'),
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
        nova = Nova(None)
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
        nova = Nova(migration('failed'))
        nova.servers = [busy, idle, broken]
        self.assertEqual(broken, self.follow(nova).after)
        self.assertEqual(2.0, self.now)
        nova.servers = [busy, idle]
        self.now = 0.0
        self.assertEqual(idle, self.follow(nova).after)
        self.assertEqual(6.0, self.now)
        nova.servers = [busy]
        self.now = 0.0
        self.assertEqual(busy, self.follow(nova).after)
        self.assertEqual(31.0, self.now)


class TestStall(DriveTest):
    def stalled(self, **changes):
        """Follow one of which as much is left all the time."""
        nova = Nova(*[migration('running')] * 60, migration('completed'))
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
            Nova, 'force_complete', mock.Mock(side_effect=denied)
        ):
            self.stalled(on_stall=drive.OnStall.FORCE)
        self.assertIn('did not take the request', self.said[-1])

    def test_it_cannot_be_forced(self):
        with mock.patch.object(Nova, 'force_complete', lambda *_ids: False):
            self.stalled(on_stall=drive.OnStall.FORCE)
        self.assertIn('cannot be forced now', self.said[-1])


def outcome(status='completed', host='b', **changes):
    record = record_.record(migration(status)) if status else None
    return outcome_.Outcome(
        **{
            'request_id': 'req-1',
            'record': record,
            'action': None,
            'before': samples.server(host='a').server,
            'after': samples.server(host=host).server,
            'seconds': 9.04,
            **changes,
        }
    )


class TestOutcome(testtools.TestCase):
    def said(self, seen, completed=None, running=None):
        found = result.outcome(seen, completed or {}, running or {})
        self.assertEqual('outcome', found.check)
        return found.result, found.message, found.remedy

    def test_moved(self):
        found = self.said(outcome())
        self.assertEqual(
            (finding.Result.OK, 'Moved from a to b in 9.0 s.', ''), found
        )

    def test_what_is_known_of_the_way(self):
        _result, message, _remedy = self.said(
            outcome(sent_bytes=2**20, iterations=3),
            {'memory_processed': 2**21, 'disk_processed': 2**20}
            | {'downtime': 0},
        )
        self.assertEqual(
            'Moved from a to b in 9.0 s: 3 MiB sent, 3 iterations, '
            'downtime 0 ms.',
            message,
        )
        _result, message, _remedy = self.said(outcome(iterations=1))
        self.assertEqual('Moved from a to b in 9.0 s: 1 iteration.', message)

    def test_it_goes_on(self):
        for seen, what, words in (
            (outcome('running', left_running=True), '7', 'without us'),
            (outcome('', left_running=True), 'req-1', 'no migration yet'),
        ):
            found, message, remedy = self.said(seen)
            self.assertIs(finding.Result.UNKNOWN, found)
            self.assertIn(words, message)
            self.assertTrue(remedy.endswith(f'--explain {what}'), remedy)

    def test_it_has_ended_and_nobody_saw_how(self):
        seen = outcome('completed', left_running=True)
        found, message, remedy = self.said(seen)
        self.assertIs(finding.Result.UNKNOWN, found)
        self.assertIn('7 is completed; what came', message)
        self.assertTrue(remedy.endswith('--explain 7'), remedy)

    def test_not_moved(self):
        found, message, remedy = self.said(
            outcome('failed', 'a'), running={'b': False, 'a': True}
        )
        self.assertIs(finding.Result.FAILED, found)
        self.assertIn('migration failed', message)
        self.assertIn('runs on a.', message)
        self.assertIn('try again', remedy)
        _result, message, _remedy = self.said(outcome('', 'a'))
        self.assertIn('migration refused', message)
        self.assertNotIn('runs on', message)

    def test_not_moved_and_broken(self):
        broken = samples.server(host='a', vm_state='error').server
        for running, text in (
            ({'a': True}, '--repair'),
            ({'a': False, 'b': GAP}, '--libvirt-uri'),
            ({'a': False}, '--libvirt-uri'),
            ({'a': False, 'b': False}, 'server reboot --hard'),
        ):
            _result, message, remedy = self.said(
                outcome('error', after=broken), running=running
            )
            self.assertIn(text, remedy)
            self.assertEqual('--hard' in text, 'runs nowhere' in message)

    def test_it_says_completed_and_the_server_is_elsewhere(self):
        for host in ('a', 'c'):
            self.assertIs(
                finding.Result.FAILED, self.said(outcome(host=host))[0]
            )

    def test_moved_and_broken(self):
        """Nova has set the host already when it fails after the move."""
        broken = samples.server(
            host='b', vm_state='error', status='ERROR'
        ).server
        seen = outcome('error', after=broken)
        found, message, remedy = self.said(seen)
        self.assertIs(finding.Result.FAILED, found)
        self.assertEqual(
            'Moved from a to b, but Nova failed afterwards; the server is '
            'ERROR.',
            message,
        )
        self.assertIn('--repair', remedy)
        self.assertIs(
            exceptions.ExitCode.OPERATION_FAILED, result.exit_code(seen, [])
        )

    def test_what_is_not_moved_and_broken(self):
        for seen in (
            outcome('error', 'a'),
            outcome('error', 'c'),
            outcome('cancelled', 'b'),
            outcome('error', 'b', overtaken=True),
        ):
            self.assertFalse(seen.broken)
            self.assertIn('Not moved', self.said(seen)[1])

    def test_exit_code(self):
        good, unseen, bad, skipped = (
            finding.Finding('c', 's', kind, '')
            for kind in (
                finding.Result.WARNING,
                finding.Result.UNKNOWN,
                finding.Result.FAILED,
                finding.Result.SKIPPED,
            )
        )
        code = exceptions.ExitCode
        for seen, found, expected in (
            (outcome(), [good, skipped], code.DONE),
            (outcome(), [good, unseen], code.UNDECIDED),
            (outcome(), [good, unseen, bad], code.OPERATION_FAILED),
            (outcome('failed', 'a'), [unseen], code.OPERATION_FAILED),
            (outcome('failed', 'a'), [], code.OPERATION_FAILED),
            (outcome('running', left_running=True), [], code.UNDECIDED),
            (outcome(interrupted=True), [], code.INTERRUPTED),
            (
                outcome('running', interrupted=True, left_running=True),
                [],
                code.INTERRUPTED,
            ),
        ):
            self.assertIs(expected, result.exit_code(seen, found))


class TestPast(testtools.TestCase):
    """What a record tells of a migration that was not watched."""

    def past(self, status, **changes):
        found = record_.record(migration(status, **changes))
        return result.past(samples.server(host='c').server, found, None)

    def test_one_that_ended_well(self):
        found = self.past('completed')
        self.assertTrue(found.moved)
        self.assertEqual(
            ('a', 'b', 9.0, ''),
            (
                found.before.host,
                found.after.host,
                found.seconds,
                found.request_id,
            ),
        )

    def test_one_that_failed_and_one_that_goes_on(self):
        for status, left in (('failed', False), ('running', True)):
            found = self.past(status)
            self.assertFalse(found.moved)
            self.assertEqual(
                ('a', 'c', left),
                (found.before.host, found.after.host, found.left_running),
            )

    def test_times_and_hosts_that_are_odd(self):
        found = self.past('failed', updated_at='2020-01-01', source_compute='')
        self.assertEqual((0.0, 'c'), (found.seconds, found.before.host))

    def test_no_record(self):
        action = record_.action({'request_id': 'req-9', 'events': []})
        found = result.past(samples.server().server, None, action)
        self.assertEqual(('req-9', 0.0), (found.request_id, found.seconds))
        self.assertTrue(found.left_running)

    def test_no_record_ever(self):
        event = {
            'event': 'conductor_live_migrate_instance',
            'result': 'Error',
            'finish_time': '2026-01-01T00:00:02',
        }
        action = record_.action({'request_id': 'req-9', 'events': [event]})
        found = result.past(samples.server().server, None, action)
        self.assertFalse(found.left_running)
