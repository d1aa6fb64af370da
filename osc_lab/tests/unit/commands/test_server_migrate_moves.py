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

"""A live migration from the request to the truth about it."""

import io
import types

import fixtures

from osc_lab.tests import inside
from osc_lab.tests.unit.commands import migrations
from osc_lab.tests.unit import fake_cloud


class TestMigrate(migrations.MoveTest):
    def test_moves(self):
        self.run_through('accepted', 'preparing', 'running', 'completed')
        found = self.findings('vm1', '--host', 'host2', '--wait')
        self.assertEqual('outcome', found[0]['check'])
        self.assertIn('Moved from host1 to host2', found[0]['message'])
        self.assertEqual(set(), self.by_result(found))
        [write] = self.cloud.writes()
        self.assertEqual(
            {'os-migrateLive': {'host': 'host2', 'block_migration': 'auto'}},
            write[4],
        )

    def test_name_that_the_locale_cannot_write(self):
        """The result of what is done is shown all the same."""
        self.run_through('completed')
        self.cloud.server['name'] = 'web-\u30b5'
        self.useFixture(fake_cloud.Mocked(self.cloud))
        status, out, err = inside.openstack(
            *(*migrations.LIVE, fake_cloud.SERVER, '--host', 'host2'),
            *('--wait', '-f', 'value'),
            encoding='latin-1',
        )
        self.assertEqual(0, status, err)
        self.assertIn('Moved from host1 to host2', out)
        self.assertIn('web-\\u30b5', out)

    def test_nothing_is_done_when_a_check_fails(self):
        self.cloud.server['locked'] = True
        found = self.findings('vm1', '--host', 'host2', '--wait', status=3)
        self.assertEqual({('server-lock', 'vm1')}, self.by_result(found))
        self.assertEqual([], self.cloud.writes())

    def test_a_good_host_is_named_when_others_fail(self):
        self.cloud.services[2]['status'] = 'disabled'
        self.run_through('completed')
        self.openstack('vm1', '--wait')
        [write] = self.cloud.writes()
        self.assertEqual('host2', write[4]['os-migrateLive']['host'])

    def test_the_scheduler_chooses_when_all_pass(self):
        self.run_through('completed')
        self.openstack('vm1', '--wait', '--block-migration')
        [write] = self.cloud.writes()
        self.assertEqual(
            {'host': None, 'block_migration': True},
            write[4]['os-migrateLive'],
        )

    def test_failure_is_a_failure(self):
        self.run_through('preparing', 'failed')
        self.event_failed(
            'compute_pre_live_migration',
            'host2',
            'Traceback (most recent call last):\nKeyManagerError: Forbidden',
        )
        found = self.findings(
            'vm1', '--host', 'host2', '--wait', '--no-preflight', status=5
        )
        self.assertEqual(
            {('outcome', 'vm1'), ('volume-secrets', 'vm1')},
            self.by_result(found),
        )
        found = self.findings('vm1', '--explain', '5', status=5)
        self.assertIn(('volume-secrets', 'vm1'), self.by_result(found))
        found = self.findings('--explain', 'req-1', status=5)
        self.assertIn(('volume-secrets', 'vm1'), self.by_result(found))

    def test_moved_and_then_broken(self):
        """What is left behind is told, as after any other move."""
        self.run_through('running', 'error')
        self.cloud.server.update(
            {
                'OS-EXT-SRV-ATTR:host': 'host2',
                'OS-EXT-STS:vm_state': 'error',
            }
        )
        self.event_failed('compute_live_migration', 'host1', 'Error: boom')
        expected = {
            *(('outcome', 'vm1'), ('server-host', 'vm1')),
            *(('port-bindings', 'port-1'), ('allocations', 'vm1')),
        }
        self.cloud.migrations = [self.step('error')]
        found = self.findings('vm1', '--explain', '5', status=5)
        self.assertIn('Nova failed afterwards', found[0]['message'])
        self.assertEqual(expected, self.by_result(found))
        self.assertEqual({('reason', 'vm1')}, self.by_result(found, 'warning'))

    def test_refusal_names_the_check(self):
        for status, message, check in (
            (409, 'Instance s1 is locked', 'server-lock'),
            (
                409,
                "Cannot 'os-migrateLive' instance s1 while it is in "
                'vm_state stopped',
                'server-state',
            ),
            (403, "Policy doesn't allow it", 'caller-rights'),
            (400, 'Compute host nope could not be found', 'Compute host'),
        ):
            self.cloud.faults['compute', '/action$'] = (status, message)
            self.openstack(
                'vm1', '--host', 'host2', '--no-preflight', status=1
            )
            self.assertIn(check, self.err)

    def test_answer_that_was_lost(self):
        """The conductor may take longer than anybody waits."""
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.migration.start.PATIENCE', 0.0)
        )
        self.cloud.faults['compute', '/action$'] = 504
        for wait in ('--wait', '--no-wait'):
            (found,) = self.findings(
                'vm1', '--host', 'host2', '--no-preflight', wait, status=4
            )
            self.assertEqual('unknown', found['result'])
            self.assertIn('Nobody knows whether', found['message'])
            self.assertIn('server migration list', found['remedy'])
            self.assertIn('Nova may have been asked', self.err)

    def test_without_waiting(self):
        self.run_through('preparing')
        [found] = self.findings('vm1', '--host', 'host2', '--no-wait')
        self.assertIn('--explain req-1', found['remedy'])
        self.assertIn('Nova accepted', self.err)
        self.assertIn('--explain req-1', self.err)

    def test_without_a_word_about_waiting_and_a_terminal(self):
        """Whether it moved is open, and so is the answer."""
        self.run_through('completed')
        [found] = self.findings('vm1', '--host', 'host2', status=4)
        self.assertEqual('unknown', found['result'])
        self.assertIn('Nova accepted', self.err)

    def test_on_a_terminal(self):
        """It follows unasked, and shows a line that is written over."""

        class Terminal(io.BytesIO):
            def isatty(self):
                return True

        self.useFixture(
            fixtures.MonkeyPatch(
                'osc_lab.tests.inside.io',
                types.SimpleNamespace(
                    BytesIO=Terminal, TextIOWrapper=io.TextIOWrapper
                ),
            )
        )
        self.run_through('preparing', 'running', 'completed')
        self.openstack('vm1', '--host', 'host2')
        self.assertRegex(
            self.err,
            r'^\r\d+ s, preparing *\r\d+ s, running *\r\d+ s, completed *\n',
        )

    def test_who_says_how_to_follow_follows(self):
        self.run_through('running', 'completed')
        found = self.findings('vm1', '--host', 'host2', '--on-stall', 'abort')
        self.assertEqual('ok', found[0]['result'])

    def test_moved_and_something_could_not_be_seen(self):
        self.run_through('completed')
        self.cloud.faults['placement', '/allocations/'] = 500
        found = self.findings(
            'vm1', '--host', 'host2', '--wait', '--no-preflight', status=4
        )
        self.assertEqual('ok', found[0]['result'])
        self.assertEqual(
            {('allocations', 'vm1')}, self.by_result(found, 'unknown')
        )

    def test_time_limit_leaves_it_running(self):
        self.run_through(*['running'] * 50)
        found = self.findings(
            'vm1', '--host', 'host2', '--timeout', '0.0001', status=4
        )
        self.assertIn('goes on', found[0]['message'])

    def test_interrupt_aborts(self):
        self.run_through('running', 'running', 'cancelled')
        calls = []

        def sleep(seconds):
            calls.append(seconds)
            if len(calls) == 1:
                raise KeyboardInterrupt

        self.useFixture(fixtures.MonkeyPatch('time.sleep', sleep))
        found = self.findings('vm1', '--host', 'host2', '--wait', status=130)
        self.assertEqual({('outcome', 'vm1')}, self.by_result(found))
        self.assertIn('DELETE', [item[1] for item in self.cloud.writes()])

    def interrupt_at(self, *calls):
        count = []

        def sleep(seconds):
            count.append(seconds)
            if len(count) in calls:
                raise KeyboardInterrupt

        self.useFixture(fixtures.MonkeyPatch('time.sleep', sleep))

    def test_interrupt_before_nova_began_aborts_later(self):
        self.run_through('accepted', 'running', 'running', 'cancelled')
        compute = self.cloud
        newest, calls = compute._migrations, []

        def migrations(method, query, body):
            calls.append(query)
            # The record comes late.
            if len(calls) < 4:
                return 200, {'migrations': []}
            return newest(method, query, body)

        compute._migrations = migrations
        self.interrupt_at(1)
        self.openstack('vm1', '--host', 'host2', '--wait', status=130)
        self.assertIn('DELETE', [item[1] for item in self.cloud.writes()])

    def test_second_interrupt_leaves_it_running(self):
        self.run_through(*['running'] * 20)
        self.interrupt_at(1, 2)
        found = self.findings('vm1', '--host', 'host2', '--wait', status=130)
        self.assertIn('goes on', found[0]['message'])
        self.assertIn('--explain 5', found[0]['remedy'])

    def test_interrupt_after_the_end_says_how_to_go_on(self):
        self.run_through('running', 'failed')
        self.cloud.server['OS-EXT-STS:task_state'] = 'migrating'
        self.interrupt_at(2)
        self.openstack('vm1', '--no-preflight', '--wait', status=130)
        self.assertIn('--explain req-1', self.err)

    def test_cloud_that_falls_silent(self):
        self.run_through(*['running'] * 20)
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.migration.drive.PATIENCE', 0.0)
        )
        compute, calls = self.cloud, []
        newest = compute._migrations

        def migrations(method, query, body):
            calls.append(query)
            if len(calls) > 3:
                return 500, {'error': {'message': 'out of order'}}
            return newest(method, query, body)

        compute._migrations = migrations
        found = self.findings('vm1', '--host', 'host2', '--wait', status=4)
        self.assertIn('goes on', found[0]['message'])
        self.assertIn('Lost sight', self.err)

    def port_down(self, before, text):
        self.run_through('completed')
        self.cloud.ports[0]['status'] = 'DOWN'
        self.cloud.ports[0]['description'] = before
        found = self.findings('vm1', '--host', 'host2', '--wait')
        self.assertIn(
            ('port-status', 'port-1'), self.by_result(found, 'warning')
        )
        (item,) = [i for i in found if i['check'] == 'port-status']
        self.assertIn(f'--description {text} port-1', item['remedy'])

    def test_port_down(self):
        self.port_down('', "' '")

    def test_port_down_again(self):
        self.port_down("it's ", """'it'"'"'s'""")

    def port_status(self):
        found = self.findings('vm1', '--host', 'host2', '--wait')
        (item,) = [i for i in found if i['check'] == 'port-status']
        return item

    def after_completed(self, pause):
        """Let time pass that belongs to the look at what is left."""
        self.useFixture(
            fixtures.MonkeyPatch(
                'time.sleep',
                lambda seconds: pause() if not self.cloud.steps else None,
            )
        )

    def test_port_that_comes_up_late(self):
        """Nova is done before Neutron's agent has told of the port."""
        self.run_through('completed')
        (port,) = self.cloud.ports
        port['status'] = 'DOWN'
        pauses = []

        def pause():
            pauses.append(port['status'])
            if len(pauses) == 3:
                port['status'] = 'ACTIVE'

        self.after_completed(pause)
        self.assertEqual('ok', self.port_status()['result'])
        self.assertEqual(['DOWN'] * 3, pauses)

    def test_port_that_is_disabled(self):
        self.run_through('completed')
        self.cloud.ports[0].update(status='DOWN', admin_state_up=False)
        pauses = []
        self.after_completed(lambda: pauses.append(1))
        item = self.port_status()
        self.assertEqual('ok', item['result'])
        self.assertIn('disabled', item['message'])
        self.assertEqual([], pauses)

    def test_repair_needs_libvirt(self):
        self.cloud.server['OS-EXT-STS:vm_state'] = 'error'
        self.findings('vm1', '--repair', status=3)
        self.assertEqual([], self.cloud.writes())
