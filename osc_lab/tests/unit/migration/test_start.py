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

"""What is known once Nova was asked for a migration."""

import testtools

from osc_lab import exceptions
from osc_lab.migration import facts
from osc_lab.migration import start
from osc_lab.tests.unit import clock
from osc_lab.tests.unit.migration import nova as nova_
from osc_lab.tests.unit.migration import samples


class TestStart(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.before = samples.server(host='a').server
        self.said = []
        self.clock = self.useFixture(clock.Clock())

    def start(self, nova):
        found = start.start(
            nova, self.before, 'b', facts.Storage.AUTO, self.said.append
        )
        self.assertEqual(['migrate'], nova.asked)
        return found

    def failed(self, status, *records, task_state=None):
        nova = nova_.Nova(samples.migration('completed', 3), *records)
        nova.refusal = exceptions.ServiceError('odd', status=status)
        nova.servers = [samples.server(task_state=task_state).server]
        return nova

    def test_the_newest_of_before(self):
        self.assertEqual(start.Begun('req-1', 0), self.start(nova_.Nova(None)))
        old = samples.migration('completed', 3)
        self.assertEqual(
            start.Begun('req-1', 3, None), self.start(nova_.Nova(old))
        )

    def test_refused(self):
        nova = self.failed(409, samples.migration('running'))
        self.assertRaises(exceptions.ServiceError, self.start, nova)
        self.assertEqual([], self.said)

    def test_nova_failed_and_the_server_has_no_task(self):
        for status in (500, 503):
            nova = self.failed(status)
            self.clock.now = 0.0
            self.assertRaises(exceptions.ServiceError, self.start, nova)
            self.assertEqual(1.0, self.clock.now)

    def test_one_began(self):
        """nova-conductor makes the record, which takes its time."""
        silence = exceptions.AccessError('silence')
        for status in (None, 500, 504):
            self.said.clear()
            nova = self.failed(
                status,
                *[samples.migration('completed', 3), silence] * 4,
                samples.migration('running'),
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
            (504,),
            (504, exceptions.AccessError('silence')),
            (500, exceptions.AccessError('silence')),
        ):
            nova = self.failed(status, *records)
            self.clock.now = 0.0
            found = self.start(nova)
            self.assertEqual(('', 3), (found.request_id, found.newest))
            self.assertIs(nova.refusal, found.doubt)
            self.assertEqual(16.0, self.clock.now)
        nova = self.failed(500, task_state='migrating')
        self.assertIs(nova.refusal, self.start(nova).doubt)
        nova.records = [None]
        nova.asked.clear()
        self.assertEqual(start.Begun('', 0, nova.refusal), self.start(nova))
        self.assertEqual([], self.said)
