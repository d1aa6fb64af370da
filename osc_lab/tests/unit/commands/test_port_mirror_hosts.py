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

"""What a host that hangs does to the commands for mirrors."""

import os
import signal
import socket
import threading
import time

import fixtures

from osc_lab.tests.unit.commands import mirrors
from osc_lab.tests.unit import fake_cloud

#: Seconds after which what hangs gives up, longer than anybody waits.
LONGEST = 20


class TestHosts(mirrors.MirrorTest):
    """The name server never tells where a host is."""

    def setUp(self):
        super().setUp()
        self.asked = lambda: None
        self.over = threading.Event()
        self.addCleanup(self.over.set)

        def hang(*_args, **_kwargs):
            self.asked()
            self.over.wait(LONGEST)
            raise socket.gaierror(socket.EAI_AGAIN, 'hung up')

        self.useFixture(fixtures.MonkeyPatch('socket.getaddrinfo', hang))

    def reach(self, seconds):
        self.shell = self.useFixture(
            fake_cloud.Mocked(
                self.cloud,
                {'ovsdb': 'tcp:{host}:6640', 'host_timeout': seconds},
            )
        )

    def test_all_of_them_at_once(self):
        self.reach(0.05)
        out, err = self.run_command(
            *('list', '-f', 'value', '-c', 'Host', '-c', 'Health'), status=4
        )
        self.assertEqual(
            [f'{host} unreachable' for host in self.HOSTS], out.splitlines()
        )
        for host in self.HOSTS:
            self.assertIn(f'{host}: no answer within 0.15 s. Check', err)

    def test_interrupted(self):
        """Nobody waits for the threads that hang."""
        shell = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, shell)
        hosts = iter(self.HOSTS)

        def interrupt():
            if next(hosts) == self.HOSTS[-1]:
                # All threads are there, and somebody waits for them.
                time.sleep(0.1)
                os.kill(os.getpid(), signal.SIGINT)

        self.asked = interrupt
        self.reach(LONGEST)
        began = time.monotonic()
        self.run_command('list', status=130)
        self.assertLess(time.monotonic() - began, LONGEST / 2)
