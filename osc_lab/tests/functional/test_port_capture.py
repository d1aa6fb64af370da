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

"""Captures of two servers that ping each other, on a real cloud."""

import pathlib
import signal
import stat
import subprocess
import sys
import time
import uuid

import fixtures

from osc_lab.tests.functional import base

CAPTURE = ('port', 'mirror', 'capture')


class PortCaptureTest(base.CloudTest):
    """Two servers on two hosts, shared by all tests.

    A guest takes its address from the last three bytes of its MAC, and
    pings the one whose last byte differs in the lowest bit.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        token = uuid.uuid4()
        third, fourth = token.bytes[0], token.bytes[1]
        fifth = token.bytes[2] & 0xFE | 0x02
        cls.ports = []
        cls.addresses = []
        for index, host in enumerate(('hosta', 'hostb')):
            last = (fifth & 0x7E) + index
            name = f'cap-{token.hex[:8]}-{index}'
            mac = f'fa:16:3e:{third:02x}:{fourth:02x}:{last:02x}'
            cls.addresses.append(f'10.{third}.{fourth}.{last}')
            cls.make(
                *('port', 'create', '--network', 'lab-net'),
                *('--mac-address', mac, '--disable-port-security'),
                *('--no-security-group', name),
                kind='port',
            )
            cls.make(
                *('--os-compute-api-version', '2.90'),
                *('server', 'create', '--flavor', 'lab.tiny'),
                *('--image', 'guest', '--port', name, '--host', host, name),
                kind='server',
            )
            cls.ports.append(name)
        for name in cls.ports:
            cls.wait_for(name)

    @classmethod
    def make(cls, *argv, kind):
        run = base.openstack(*argv, cloud=cls.ADMIN)
        assert run.status == 0, run
        wait = ('--wait',) if kind == 'server' else ()
        cls.addClassCleanup(
            base.openstack,
            *(kind, 'delete', *wait, argv[-1]),
            cloud=cls.ADMIN,
        )

    @classmethod
    def wait_for(cls, name):
        limit = time.monotonic() + 240
        while True:
            run = base.openstack(
                *('server', 'show', '-f', 'value', '-c', 'status', name),
                cloud=cls.ADMIN,
            )
            if run.stdout.strip() == 'ACTIVE':
                return
            assert time.monotonic() < limit, run
            assert run.stdout.strip() != 'ERROR', run
            time.sleep(2)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.nothing_is_left)
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.file = self.folder / 'f.pcap'

    def nothing_is_left(self):
        rows = self.json(
            'port', 'mirror', 'list', '--host', 'hosta', cloud=self.ADMIN
        )
        names = [row['Name'] for row in rows]
        port = self.json('port', 'show', self.ports[0], cloud=self.ADMIN)['id']
        self.assertEqual(
            [], [name for name in names if port[:8] in name], names
        )

    def capture(self, *argv, **kwargs):
        return self.openstack(
            *(*CAPTURE, self.ports[0], '--capture-filter', 'icmp'),
            *('--file', str(self.file), *argv),
            cloud=self.ADMIN,
            **kwargs,
        )

    def pairs(self):
        """Return the (source, destination) of the packets of a file."""
        done = subprocess.run(
            ['tcpdump', '-n', '-r', '-'],
            input=self.file.read_bytes(),
            capture_output=True,
            check=True,
        )
        lines = [line.split() for line in done.stdout.decode().splitlines()]
        self.assertNotEqual([], lines)
        return {(line[2], line[4].rstrip(':')) for line in lines}

    def test_both_directions(self):
        one, two = self.addresses
        # The guests may still be starting: the first packets end it.
        run = self.capture('--packets', '8', '--duration', '3m')
        self.assertEqual({(one, two), (two, one)}, self.pairs())
        self.assertIn('8 packets', run.stderr)
        self.assertEqual(0o600, stat.S_IMODE(self.file.stat().st_mode))
        again = self.capture('--duration', '1s', status=2)
        self.assertIn('--force', again.stderr)

    def test_one_direction(self):
        one, two = self.addresses
        limits = ('--packets', '4', '--duration', '3m')
        self.capture('--direction', 'in', *limits)
        self.assertEqual({(two, one)}, self.pairs())
        self.capture('--direction', 'out', '--force', *limits)
        self.assertEqual({(one, two)}, self.pairs())

    def test_signal(self):
        with self.file.open('wb') as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, '-m', 'openstackclient.shell'),
                    *('--os-cloud', self.ADMIN, *CAPTURE, self.ports[0]),
                    *('--capture-filter', 'icmp', '--file', '-'),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
            )
        limit = time.monotonic() + 180
        # The header and a packet: it runs.
        while self.file.stat().st_size < 60:
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=120)[1]
        self.assertEqual(130, process.returncode, errors)
        self.assertNotIn(b'Traceback', errors)
        self.pairs()

    def test_filter_that_cannot_be(self):
        run = self.openstack(
            *(*CAPTURE, self.ports[0], '--file', str(self.file)),
            *('--capture-filter', '-w /no such thing', '--duration', '5s'),
            cloud=self.ADMIN,
            status=5,
        )
        self.assertIn('syntax error', run.stderr)
        self.assertFalse(self.file.exists())

    def test_topology(self):
        run = self.openstack(
            *('port', 'topology', 'show', self.ports[0]), cloud=self.ADMIN
        )
        self.assertIn('br-int (bridge', run.stdout)
        self.assertIn('br-tun (bridge', run.stdout)
        self.assertIn('to 10.', run.stdout)
