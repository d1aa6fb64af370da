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


"""What is told of a migration."""

import testtools

from osc_lab import exceptions
from osc_lab.migration import facts
from osc_lab.migration import record as record_
from osc_lab.migration import result
from osc_lab.preflight import finding
from osc_lab.tests.unit.migration import samples

SERVER = samples.server(host='a').server
GAP = facts.Gap('no answer', 'wait')


class TestOutcome(testtools.TestCase):
    def said(self, seen, completed=None, running=None):
        found = result.outcome(seen, completed or {}, running or {})
        self.assertEqual('outcome', found.check)
        return found.result, found.message, found.remedy

    def test_moved(self):
        found = self.said(samples.outcome())
        self.assertEqual(
            (finding.Result.OK, 'Moved from a to b in 9.0 s.', ''), found
        )

    def test_what_is_known_of_the_way(self):
        _result, message, _remedy = self.said(
            samples.outcome(sent_bytes=2**20, iterations=3),
            {'memory_processed': 2**21, 'disk_processed': 2**20}
            | {'downtime': 0},
        )
        self.assertEqual(
            'Moved from a to b in 9.0 s: 3 MiB sent, 3 iterations, '
            'downtime 0 ms.',
            message,
        )
        _result, message, _remedy = self.said(samples.outcome(iterations=1))
        self.assertEqual('Moved from a to b in 9.0 s: 1 iteration.', message)

    def test_it_goes_on(self):
        for seen, what, words in (
            (samples.outcome('running', left_running=True), '7', 'without us'),
            (
                samples.outcome('', left_running=True),
                'req-1',
                'no migration yet',
            ),
        ):
            found, message, remedy = self.said(seen)
            self.assertIs(finding.Result.UNKNOWN, found)
            self.assertIn(words, message)
            self.assertTrue(remedy.endswith(f'--explain {what}'), remedy)

    def test_it_has_ended_and_nobody_saw_how(self):
        seen = samples.outcome('completed', left_running=True)
        found, message, remedy = self.said(seen)
        self.assertIs(finding.Result.UNKNOWN, found)
        self.assertIn('7 is completed; what came', message)
        self.assertTrue(remedy.endswith('--explain 7'), remedy)

    def test_not_moved(self):
        found, message, remedy = self.said(
            samples.outcome('failed', 'a'), running={'b': False, 'a': True}
        )
        self.assertIs(finding.Result.FAILED, found)
        self.assertIn('migration failed', message)
        self.assertIn('runs on a.', message)
        self.assertIn('try again', remedy)
        _result, message, _remedy = self.said(samples.outcome('', 'a'))
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
                samples.outcome('error', after=broken), running=running
            )
            self.assertIn(text, remedy)
            self.assertEqual('--hard' in text, 'runs nowhere' in message)

    def test_it_says_completed_and_the_server_is_elsewhere(self):
        for host in ('a', 'c'):
            self.assertIs(
                finding.Result.FAILED, self.said(samples.outcome(host=host))[0]
            )

    def test_moved_and_broken(self):
        """Nova has set the host already when it fails after the move."""
        broken = samples.server(
            host='b', vm_state='error', status='ERROR'
        ).server
        seen = samples.outcome('error', after=broken)
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
            samples.outcome('error', 'a'),
            samples.outcome('error', 'c'),
            samples.outcome('cancelled', 'b'),
            samples.outcome('error', 'b', overtaken=True),
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
            (samples.outcome(), [good, skipped], code.DONE),
            (samples.outcome(), [good, unseen], code.UNDECIDED),
            (samples.outcome(), [good, unseen, bad], code.OPERATION_FAILED),
            (samples.outcome('failed', 'a'), [unseen], code.OPERATION_FAILED),
            (samples.outcome('failed', 'a'), [], code.OPERATION_FAILED),
            (
                samples.outcome('running', left_running=True),
                [],
                code.UNDECIDED,
            ),
            (samples.outcome(interrupted=True), [], code.INTERRUPTED),
            (
                samples.outcome(
                    'running', interrupted=True, left_running=True
                ),
                [],
                code.INTERRUPTED,
            ),
        ):
            self.assertIs(expected, result.exit_code(seen, found))


class TestEvidence(testtools.TestCase):
    def evidence(self, seen, completed=None, running=None):
        found = result.outcome(seen, completed or {}, running or {})
        self.assertEqual(SERVER.name, found.subject)
        return found.evidence

    def expected(self, **changes):
        return {
            'request_id': 'req-1',
            'migration_id': 7,
            'status': 'completed',
            'type': 'live-migration',
            'source': 'a',
            'destination': 'b',
            'host_before': 'a',
            'host_after': 'b',
            'server_status': 'ACTIVE',
            'seconds': 9.1,
            'bytes': 0,
            'iterations': None,
            'downtime_ms': None,
            'stalled': None,
            'runs_on': [],
            **changes,
        }

    def test_evidence(self):
        """It is the same whatever came of the migration."""
        broken = samples.server(
            host='b', vm_state='error', status='ERROR'
        ).server
        for status, changes, expected in (
            ('completed', {}, {}),
            ('completed', {'left_running': True}, {}),
            ('failed', {'host': 'a'}, {'host_after': 'a'}),
            ('error', {'after': broken}, {'server_status': 'ERROR'}),
        ):
            seen = samples.outcome(status, seconds=9.06, **changes)
            self.assertEqual(
                self.expected(status=status, stalled=seen.stalled, **expected),
                self.evidence(seen),
            )

    def test_evidence_of_the_way(self):
        seen = samples.outcome(
            seconds=9.06, iterations=3, sent_bytes=5, stalled=True
        )
        self.assertEqual(
            self.expected(
                iterations=3,
                bytes=5,
                downtime_ms=80,
                stalled=True,
                runs_on=['a', 'b'],
            ),
            self.evidence(seen, {'downtime': 80}, {'b': True, 'a': True}),
        )

    def test_evidence_without_a_record(self):
        seen = samples.outcome('', seconds=9.06, left_running=True)
        nothing = dict.fromkeys(
            ('migration_id', 'status', 'type', 'destination')
        )
        self.assertEqual(
            self.expected(stalled=seen.stalled, **nothing), self.evidence(seen)
        )

    def test_amounts_and_hosts(self):
        seen = samples.outcome(sent_bytes=1000 * 2**20)
        found = result.outcome(seen, {}, {})
        self.assertIn('1000 MiB', found.message)
        seen = samples.outcome('failed', 'a')
        found = result.outcome(seen, {}, {'a': True, 'b': True})
        self.assertIn(' a, b.', found.message)
        broken = samples.server(host='a', vm_state='error').server
        found = result.outcome(
            samples.outcome('error', after=broken),
            {},
            {'a': False, 'b': False},
        )
        self.assertIn('Not moved', found.message)


class TestUnseen(testtools.TestCase):
    """Of what nobody saw, the next command is told."""

    def test_findings(self):
        why = exceptions.ServiceError('it hangs', 'wait')
        explain = f'openstack server migrate live {SERVER.id} --explain req-1'
        of_server = f'openstack server migration list --server {SERVER.id}'
        known = {'request_id': 'req-1'}
        for found, words, check, remedy, evidence in (
            (
                result.accepted(SERVER, 'req-1'),
                'accepted',
                *('outcome', explain, known),
            ),
            (
                result.doubtful(SERVER, why),
                'it hangs',
                *('outcome', of_server, {}),
            ),
            (
                result.unseen(SERVER, 'req-1', why),
                'it hangs',
                *('outcome', explain, known),
            ),
            (
                result.unjudged(samples.outcome(), why),
                'it hangs',
                *('reason', explain, {}),
            ),
        ):
            self.assertEqual(
                (check, SERVER.name, finding.Result.UNKNOWN, remedy, evidence),
                (
                    *(found.check, found.subject, found.result),
                    *(found.remedy, found.evidence),
                ),
            )
            self.assertIn(words, found.message)


class TestPast(testtools.TestCase):
    """What a record tells of a migration that was not watched."""

    def past(self, status, **changes):
        found = record_.record(samples.migration(status, **changes))
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

    def test_overtaken(self):
        record = record_.record(samples.migration('completed'))
        action = record_.action({'request_id': 'req-9', 'events': []})
        found = result.past(SERVER, record, action)
        self.assertEqual((action, False), (found.action, found.overtaken))
        found = result.past(SERVER, record, action, True)
        self.assertTrue(found.overtaken)
