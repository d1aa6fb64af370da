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

"""What "port mirror create" does beside the mirrors that are there."""

import copy
import datetime
import json

from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import names
from osc_lab.tests.unit.commands import mirrors


class TestAgain(mirrors.MirrorTest):
    def called(self):
        """Return what the host was asked to run since the last call."""
        text = self.calls.read_text()
        self.calls.write_text('')
        return text

    def test_second_one_is_the_first(self):
        made = self.create('--name', 'mine')
        self.called()
        out, err = self.run_command(
            'create', 'one', '--name', 'mine', '-f', 'json'
        )
        self.assertEqual(made['id'], json.loads(out)['id'])
        self.assertIn('exists already', err)
        self.assertEqual(1, len(self.ours()['Mirror']))
        # Somebody may have shut its device; it has a guard already.
        called = self.called()
        self.assertIn('addrgenmode none', called)
        self.assertIn(made['device'], called)
        self.assertNotIn('osc-lab-guard', called)
        _out, err = self.run_command(
            *('create', 'one', '--name', 'mine', '--direction', 'in'),
            status=3,
        )
        self.assertIn('different mirror named mine', err)

    def test_at_the_same_moment(self):
        """The other one wins: it stays, and our guard ends."""

        def win(operations):
            if 'insert' not in [item['op'] for item in operations]:
                return
            self.database.before = lambda operations: None
            theirs = copy.deepcopy(operations)
            for item in theirs[2:5]:
                ids = dict(item['row']['external_ids'][1])
                ids[marks.ID] = 'theirs'
                item['row']['external_ids'][1] = list(ids.items())
                if 'type' in item['row'] or 'interfaces' in item['row']:
                    item['row']['name'] = names.device('theirs')
            self.database.transact(theirs)

        self.database.before = win
        out, err = self.run_command(
            'create', 'one', '--timeout', '0', '-f', 'json'
        )
        made = json.loads(out)
        self.assertEqual(
            ('theirs', names.device('theirs')), (made['id'], made['device'])
        )
        self.assertIn('exists already', err)
        self.assertEqual(1, len(self.ours()['Mirror']))
        called = self.called()
        self.assertEqual(1, called.count('.timer'))
        self.assertIn(made['device'], called.partition('.timer')[2])

    def test_a_namesake_of_one_that_has_expired(self):
        """Nothing is removed for a mirror that cannot be made then."""
        self.create('--name', 'mine')
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        for row in self.database.tables['Mirror'].values():
            row['external_ids'][marks.PREFIX + 'expires'] = past.isoformat()
        self.database.mirror(self.bridge, 'mine', select_all=True)
        before = self.database.rows()
        _out, err = self.run_command(
            'create', 'one', '--name', 'mine', '--timeout', '0', status=3
        )
        self.assertIn('different mirror named mine', err)
        self.assertEqual(before, self.database.rows())

    def test_a_bridge_that_is_full(self):
        made = self.create()
        for number in range(1, model.MAX_MIRRORS):
            self.database.mirror(self.bridge, f'theirs{number}')
        before = self.database.rows()
        _out, err = self.run_command(
            'create', 'one', '--direction', 'in', '--timeout', '0', status=3
        )
        self.assertIn('has 32 mirrors, its limit', err)
        self.assertEqual(before, self.database.rows())
        # The one that is there needs no room.
        self.assertEqual(made['id'], self.create()['id'])

    def test_a_port_that_was_made_anew(self):
        made = self.create()
        self.database.unplug(self.tap)
        self.database.plug(
            self.bridge, 'tapone', external_ids={'iface-id': mirrors.PORT}
        )
        (row,) = self.json('list')
        self.assertEqual('blind', row['Health'])
        again = self.create()
        self.assertNotEqual(made['id'], again['id'])
        (row,) = self.json('list')
        self.assertEqual('idle', row['Health'])

    def test_one_that_copies_another_port_now(self):
        made = self.create()
        other = self.database.plug(self.bridge, 'tapother')
        for row in self.database.tables['Mirror'].values():
            row['select_src_port'] = row['select_dst_port'] = [['uuid', other]]
        self.assertNotEqual(made['id'], self.create()['id'])
        (mirror,) = self.ours()['Mirror']
        self.assertEqual([['uuid', self.tap]], mirror['select_src_port'])
