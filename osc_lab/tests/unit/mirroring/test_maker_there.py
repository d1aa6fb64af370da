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

"""A mirror that is there already is taken, or not."""

from unittest import mock

from osc_lab import exceptions
from osc_lab.mirroring import guard
from osc_lab.mirroring import health
from osc_lab.mirroring import maker
from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import names
from osc_lab.tests.unit.mirroring import making
from osc_lab.tests.unit.mirroring import samples


class TestThere(making.MakerTest):
    def there(self, *others, **changes):
        """Let the bridge have a mirror that is asked for again."""
        known = {'id': 'known', 'name': 'mine', 'guard': 'pid 7'}
        ids = marks.encode(
            samples.marked(
                **{**known, 'expires': None, 'target': 'interface', **changes}
            )
        )
        mirror = samples.mirror(name='mine', external_ids=ids)
        self.found = samples.attachment((mirror, *others))
        self.snapshot(mirror, *others)
        return mirror

    def test_it_is_taken(self):
        mirror = self.there()
        made = self.maker('interface', name='mine').make()
        device = names.device('known')
        self.assertEqual(
            (device, False, True), (made.device, made.new, made.guarded)
        )
        self.assertIs(mirror, made.entry.mirror)
        self.assertIs(health.Health.OK, made.entry.health)
        self.assertEqual(
            [mock.call(guard.bring_up(device), check=True)], self.asked()
        )
        self.database.transact.assert_not_called()

    def test_without_an_end_or_a_guard(self):
        for changes, guarded in (
            ({'guard': ''}, True),
            (
                {'guard': '', 'expires': samples.NOW + 99999 * samples.HOUR},
                False,
            ),
        ):
            self.there(target='gre:192.0.2.1', **changes)
            made = self.maker(name='mine').make()
            self.assertEqual(guarded, made.guarded)
            self.assertEqual([], self.asked())

    def test_one_of_no_use(self):
        other = samples.mirror(False, name='theirs', uuid='theirs')
        self.there(other, target='gre:192.0.2.1', expires=marks.EPOCH)

        def transact(operations):
            if operations[0]['op'] == 'mutate':
                self.found = samples.attachment((other,))
            return self.transact(operations)

        self.database.transact.side_effect = transact
        made = self.maker(name='mine').make()
        self.assertTrue(made.new)
        self.assertEqual([[[['uuid', 'row-mirror']], []]], self.removals())
        comment = self.database.transact.mock_calls[0].args[0][-1]
        self.assertIn('delete by me', comment['comment'])

    def test_one_of_no_use_beside_a_namesake(self):
        other = samples.mirror(False, name='mine', uuid='theirs')
        self.there(other, target='gre:192.0.2.1', expires=marks.EPOCH)
        self.assertRaises(exceptions.Conflict, self.maker(name='mine').make)
        self.database.transact.assert_not_called()

    def test_made_by_others_meanwhile(self):
        def win(_operations):
            self.there(target='interface')
            raise model.Stale('x')

        self.database.transact.side_effect = win
        made = self.maker('interface', name='mine').make(9)
        self.assertEqual(
            (names.device('known'), False), (made.device, made.new)
        )
        start, stop, bring_up = self.asked()
        ours = start.args[0][4]
        self.assertEqual(guard.stop(ours, 'systemd'), stop.args[0])
        self.assertEqual(guard.bring_up(made.device), bring_up.args[0])
        self.database.mirror.assert_not_called()

    def test_useful(self):
        mirror = self.there()
        for changes, expected in (
            ({}, True),
            ({'select_src': ('x',), 'select_dst': ('x',)}, False),
            ({'output_port': None}, False),
        ):
            ids = mirror.external_ids
            changed = samples.mirror(external_ids=ids, **changes)
            useful = maker.useful(changed, self.found, samples.NOW)
            self.assertEqual(expected, useful)
