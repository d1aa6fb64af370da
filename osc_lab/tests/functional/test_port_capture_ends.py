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

"""Captures at two hosts, into rings, and on a terminal."""

import os
import pty
import subprocess
import sys
import time

import fixtures

from osc_lab.tests.functional import pair


class TestBothEnds(pair.PairTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.assert_same, self.snapshot())
        folder = self.useFixture(fixtures.TempDir()).path
        self.path = f'{folder}/f.pcapng'

    def capture(self, *argv, **kwargs):
        return self.openstack(
            *(*pair.MIRROR, 'capture', *argv, '--capture-filter', 'icmp'),
            cloud=self.ADMIN,
            **kwargs,
        )

    def test_two_servers(self):
        one, two = self.names.values()
        run = self.capture(
            *('--server', one, '--both-ends', two, '--file', self.path),
            *('--packets', '24', '--duration', '2m'),
        )
        self.assertIn('24 packets', run.stderr)
        lines = subprocess.run(
            ['tcpdump', '-nn', '-tt', '-r', self.path],
            capture_output=True,
            check=True,
            text=True,
        ).stdout.splitlines()
        times = [float(line.split()[0]) for line in lines]
        self.assertEqual(sorted(times), times)
        with open(self.path, 'rb') as stream:
            data = stream.read()
        for host, name in self.names.items():
            self.assertIn(f'{host} {name}'.encode(), data)
        # Most packets were seen at both ends: once each.
        seen = [line.split(' ', 1)[1] for line in lines]
        twice = [text for text in set(seen) if seen.count(text) == 2]
        self.assertGreater(len(twice), 6, lines)

    def test_the_same_one_twice(self):
        one = self.names['hosta']
        run = self.capture(
            one, '--both-ends', one, '--file', self.path, status=2
        )
        self.assertIn('--both-ends: ', run.stderr)

    def test_ring(self):
        folder = self.useFixture(fixtures.TempDir()).path
        run = self.openstack(
            *(*pair.MIRROR, 'capture', self.names['hosta']),
            *('--ring', '2', '--max-size', '1M', '--duration', '4s'),
            *('--file', f'{folder}/r.pcap'),
            cloud=self.ADMIN,
        )
        self.assertIn('the time is over', run.stderr)
        self.assertEqual(['r-00001.pcap'], os.listdir(folder))

    def test_progress_on_a_terminal(self):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [
                *(sys.executable, '-m', 'openstackclient.shell'),
                *('--os-cloud', self.ADMIN, *pair.MIRROR, 'capture'),
                *(self.names['hosta'], '--duration', '8s'),
                *('--file', self.path),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b''
        limit = time.monotonic() + pair.PATIENCE
        while time.monotonic() < limit:
            try:
                part = os.read(ours, 4096)
            except OSError:
                break
            shown += part
        os.close(ours)
        self.assertEqual(0, process.wait(30), shown)
        self.assertRegex(
            shown.decode(),
            r'\r\d+ packets, [\d.]+ K?i?B, [\d.]+ packets/s, '
            r'0 dropped',
        )
