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

"""A maker of mirrors, with rows and a shell at hand."""

import types
from unittest import mock

import fixtures
import testtools

from osc_lab.mirroring import host as host_
from osc_lab.mirroring import maker
from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import targets
from osc_lab.tests.unit.mirroring import samples

#: As OVSDB answers: two guards, three rows, a change and a comment.
ANSWERS = [{}, {}, {}, {}, {'uuid': ['uuid', 'row-new']}, {'count': 1}, {}]


def answer(status=0, text='systemd\n', stderr=''):
    return types.SimpleNamespace(status=status, text=text, stderr=stderr)


class MakerTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.slept = []
        self.useFixture(fixtures.MonkeyPatch('time.sleep', self.slept.append))
        self.database = mock.create_autospec(host_.Database, instance=True)
        self.shell = mock.create_autospec(host_.Shell, instance=True)
        self.shell.run.return_value = answer()
        self.found = samples.attachment()
        self.database.attachments.side_effect = lambda _port: [self.found]
        self.database.overlays.return_value = ()
        self.database.interface.return_value = model.Interface(
            'row-made', 'tpm', ofport=1
        )
        self.database.transact.side_effect = self.transact
        self.database.mirror.side_effect = self.mirror
        self.rows = {}
        self.problems = []
        self.snapshot()

    def transact(self, operations):
        """Refuse when a problem is left; else keep the rows."""
        if self.problems:
            problem = self.problems.pop(0)
            if problem is not None:
                raise problem
        self.rows = {
            item['table']: item['row']
            for item in operations
            if item['op'] == 'insert'
        }
        return ANSWERS

    def mirror(self, uuid):
        """Return the row that was made, as it is read."""
        self.assertEqual('row-new', uuid)
        row = self.rows['Mirror']
        return samples.mirror(
            uuid=uuid,
            name=row['name'],
            bridge='',
            bridge_uuid='',
            packets=0,
            external_ids=dict(row['external_ids'][1]),
        )

    def snapshot(self, *mirrors):
        bridge = self.found.bridge
        self.database.snapshot.return_value = model.Snapshot(
            mirrors, [], [bridge]
        )

    def maker(self, to='gre:192.0.2.1', shell=True, **request):
        values = {
            'direction': model.Direction.BOTH,
            'target': targets.parse(to),
            'lifetime': samples.HOUR,
        }
        host = host_.Host(
            'cmp1',
            self.database,
            self.shell if shell else None,
            'unix:/db',
        )
        return maker.Maker(
            host,
            samples.neutron(server_name='vm'),
            maker.Request(**{**values, **request}),
            'me',
        )

    def asked(self):
        """Return what the shell was asked to run."""
        calls, self.shell.run.mock_calls = self.shell.run.mock_calls, []
        return calls

    def made_marks(self):
        return marks.decode(dict(self.rows['Mirror']['external_ids'][1]))

    def removals(self):
        """Return (mirrors, ports) of each transaction that removes."""
        return [
            [change[2][1] for change in call.args[0][0]['mutations']]
            for call in self.database.transact.mock_calls
            if call.args[0][0]['op'] == 'mutate'
        ]
