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


"""What is told of a migration, beside the words."""

import testtools

from osc_lab import exceptions
from osc_lab.migration import record as record_
from osc_lab.migration import result
from osc_lab.preflight import finding
from osc_lab.tests.unit.migration import samples
from osc_lab.tests.unit.migration import test_drive

SERVER = samples.server(host='a').server


class TestOutcome(testtools.TestCase):
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
            seen = test_drive.outcome(status, seconds=9.06, **changes)
            self.assertEqual(
                self.expected(status=status, stalled=seen.stalled, **expected),
                self.evidence(seen),
            )

    def test_evidence_of_the_way(self):
        seen = test_drive.outcome(
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
        seen = test_drive.outcome('', seconds=9.06, left_running=True)
        nothing = dict.fromkeys(
            ('migration_id', 'status', 'type', 'destination')
        )
        self.assertEqual(
            self.expected(stalled=seen.stalled, **nothing), self.evidence(seen)
        )

    def test_amounts_and_hosts(self):
        seen = test_drive.outcome(sent_bytes=1000 * 2**20)
        found = result.outcome(seen, {}, {})
        self.assertIn('1000 MiB', found.message)
        seen = test_drive.outcome('failed', 'a')
        found = result.outcome(seen, {}, {'a': True, 'b': True})
        self.assertIn(' a, b.', found.message)
        broken = samples.server(host='a', vm_state='error').server
        found = result.outcome(
            test_drive.outcome('error', after=broken),
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
                result.unjudged(test_drive.outcome(), why),
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
    def test_overtaken(self):
        record = record_.record(test_drive.migration('completed'))
        action = record_.action({'request_id': 'req-9', 'events': []})
        found = result.past(SERVER, record, action)
        self.assertEqual((action, False), (found.action, found.overtaken))
        found = result.past(SERVER, record, action, True)
        self.assertTrue(found.overtaken)
