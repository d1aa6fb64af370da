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

"""kill -9 at every request of what writes: the next run mends it.

Each run is a fork of the test, which the proxy kills before a request has
reached the cloud, or when the answer is on its way back.
"""

import contextlib
import itertools
import os
import signal
import socket
import threading
import time
import types

import fixtures

from osc_lab.encryption import mark
from osc_lab.tests import thorough
from osc_lab.tests.unit.commands import listening
from osc_lab.tests.unit.commands import migrations
from osc_lab.tests.unit import fake_cloud

#: Seconds in which the proxy notices that a client is gone.
PATIENCE = 10.0


class Killed(listening.Listening):
    # Nobody is late here.
    SETTINGS = types.MappingProxyType({'api_timeout': 60})

    def setUp(self):
        super().setUp()
        self.threads = {*threading.enumerate()}

    def killed_run(self, argv, number, when):
        """Run in a process of its own; return whether it was killed."""
        self.prepare()
        self.proxy.log.clear()
        child = []
        self.proxy.kill = (number, when, lambda: child[0])
        self.proxy.struck = False
        # A lock that another thread holds stays locked in a fork for ever.
        self.quiet()
        pid = os.fork()
        if not pid:
            try:
                os._exit(self.run_shell(*argv)[0])
            finally:
                os._exit(70)
        child.append(pid)
        ended = os.waitpid(pid, 0)[1]
        self.proxy.kill = None
        self.quiet()
        if self.proxy.struck:
            self.assertEqual(signal.SIGKILL, os.WTERMSIG(ended))
        else:
            self.assertEqual(0, os.waitstatus_to_exitcode(ended))
        return self.proxy.struck

    def quiet(self):
        """End the connections that nobody uses, and wait for the others."""
        limit = time.monotonic() + PATIENCE
        while left := self.served():
            # A run in this process may keep some of them.
            for connection in list(self.proxy.idle):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self.assertLess(time.monotonic(), limit, left)
            time.sleep(0.005)

    def served(self):
        """Return the threads that answer to somebody, of this test alone."""
        return [
            thread
            for thread in {*threading.enumerate()} - self.threads
            if 'process_request' in thread.name
        ]

    def every(self, *argv):
        """Kill a run at one request after the other, and look at it."""
        self.prepare()
        status, _out, err = self.run_shell(*argv)
        self.assertEqual(0, status, err)
        requests = list(self.proxy.log)
        numbers = [
            number
            for number, (method, path) in enumerate(requests, 1)
            if thorough.THOROUGH
            or (method != 'GET' and not path.endswith('/auth/tokens'))
        ]
        self.assertTrue(numbers)
        moments = ('before', 'after') if thorough.THOROUGH else ('after',)
        pairs, struck = thorough.Pairs(self), 0
        for number, when in itertools.product(numbers, moments):
            at = f'killed {when} {number}, {requests[number - 1]}'
            with pairs.one():
                # One that asks more than once may ask less the next time.
                if self.killed_run(argv, number, when):
                    struck += 1
                    self.judge(argv, at)
        self.assertGreater(struck, 0)

    def judge(self, argv, at):
        """See that nothing bad is there, and that the next run mends it."""
        raise NotImplementedError


class Migrating(fake_cloud.Cloud):
    """Nova keeps a task while a server moves."""

    TASK = 'OS-EXT-STS:task_state'

    def _action(self, *request):
        if self.server[self.TASK]:
            return 409, {'conflictingRequest': {'message': 'task_state'}}
        self.server[self.TASK] = 'migrating'
        return super()._action(*request)

    def _arrive(self):
        super()._arrive()
        if self.migrations[0]['status'] == 'completed':
            self.server[self.TASK] = None


class TestMigrations(Killed, listening.MigrationTest):
    CLOUD = Migrating

    def setUp(self):
        super().setUp()
        self.saved['steps'] = [
            fake_cloud.migration(status)
            for status in ('running', 'running', 'running', 'completed')
        ]

    def live(self, *argv):
        return self.run_shell(*migrations.LIVE, *argv)

    def judge(self, argv, at):
        asked = len(self.cloud.writes())
        self.assertLessEqual(asked, 1, at)
        status, out, err = self.run_shell(*argv)
        if asked and status == 3:
            # Nova is at it, or done; nobody asks for it again.
            self.assertRegex(out + err, 'migrating|runs there', at)
        else:
            self.assertEqual(0, status, f'{at}: {out}{err}')
        self.assertEqual(1, len(self.cloud.writes()), at)
        for _look in range(5):
            status, out, err = self.live('--explain', '5')
            if status != 4:
                break
        self.assertEqual(0, status, f'{at}: {out}{err}')
        self.assertEqual(
            'host2', self.cloud.server['OS-EXT-SRV-ATTR:host'], at
        )

    def test_wait(self):
        self.every(*migrations.LIVE, 'vm1', '--host', 'host2', '--wait')

    def test_no_wait(self):
        self.every(*migrations.LIVE, 'vm1', '--host', 'host2', '--no-wait')


class TestRepairs(Killed, listening.RepairTest):
    def judge(self, argv, at):
        status, out, err = self.run_shell(*argv)
        self.assertEqual(0, status, f'{at}: {out}{err}')
        self.assertEqual('ACTIVE', self.cloud.server['status'], at)
        self.assertEqual(
            ['host1'],
            [item['host'] for item in self.cloud.bindings['port-1']],
            at,
        )
        done = [(item[1], item[2]) for item in self.cloud.writes()]
        # What was carried out is not asked for a second time.
        self.assertEqual(len(set(done)), len(done), at)

    def test_repair(self):
        self.every(*migrations.LIVE, 'vm1', '--repair')


class TestPresets(Killed, listening.EncryptionTest):
    def setUp(self):
        super().setUp()
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.encryption.scratch._POLL', 0.01)
        )

    def judge(self, argv, at):
        self.assertEqual([], self.cloud.dangerous(), at)
        status, out, err = self.run_shell(*argv)
        self.assertEqual(0, status, f'{at}: {out}{err}')
        self.assertEqual([], self.cloud.dangerous(), at)
        [found] = self.cloud.types.values()
        self.assertTrue(found['is_public'], at)
        self.assertIsNone(mark.read(found['description']), at)
        self.assertIn(found['id'], self.cloud.encryptions, at)
        self.assertEqual({}, self.cloud.volumes, at)

    def test_with_a_proof(self):
        self.every('volume', 'encryption', 'preset', 'luks')
