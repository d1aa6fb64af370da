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

"""All that ends a capture: limits, signals, and what breaks around it."""

import os
import signal
import subprocess
import sys

import fixtures
from lab import allot
from lab import hosts
from lab import up

from osc_lab.tests.functional import capturing
from osc_lab.tests.functional import pair

#: Becomes a program in a mount namespace with a small disk, and keeps the
#: file and the status of what it ran there.
SMALL_DISK = """
mkdir "$1/disk"
mount -t tmpfs -o size=4k tmpfs "$1/disk"
folder=$1
shift
"$@" --file "$folder/disk/f.pcap"
status=$?
cp "$folder/disk/f.pcap" "$folder/f.pcap"
exit "$status"
"""

WIRESHARK = """#!/bin/sh
printf '%s ' "$@" >'{folder}/arguments'
exec tcpdump -n -r - {more} >'{folder}/seen' 2>/dev/null
"""


class TestLimits(capturing.CaptureTest):
    def test_size(self):
        run = self.capture('--max-size', '1K')
        self.assertIn('the size is reached', run.stderr)
        size = self.file.stat().st_size
        self.assertTrue(800 < size <= 1024, size)
        self.assertEqual(2, len(pair.pairs(self.file)))

    def test_time(self):
        run = self.capture('--duration', '4s')
        self.assertIn('the time is over', run.stderr)
        self.assertEqual(2, len(pair.pairs(self.file)))


class TestSignals(capturing.CaptureTest):
    """A terminal sends them to all processes of the command."""

    def signalled(self, number):
        process = self.running('--ovsdb', 'ssh', '--file', str(self.file))
        self.wait_for_packet(process)
        os.killpg(process.pid, number)
        self.assertIn('interrupted', self.ended(process, 130))
        pair.pairs(self.file)

    def test_interrupt(self):
        self.signalled(signal.SIGINT)

    def test_terminate(self):
        self.signalled(signal.SIGTERM)

    def test_hangup(self):
        self.signalled(signal.SIGHUP)


class TestBroken(capturing.CaptureTest):
    def test_full_disk(self):
        done = subprocess.run(
            [
                *('unshare', '--mount', 'sh', '-c', SMALL_DISK, 'sh'),
                *(str(self.folder), sys.executable, '-m'),
                *('openstackclient.shell', '--os-cloud', self.ADMIN),
                *(*capturing.CAPTURE, self.name),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=pair.PATIENCE,
        )
        self.assertEqual(5, done.returncode, done.stderr)
        self.assertIn('No space left on device', done.stderr)
        self.assertGreater(self.file.stat().st_size, 3000)
        self.assertNotEqual(set(), pair.pairs(self.file))

    def test_reader_that_goes(self):
        process = self.running('--file', '-', stdout=subprocess.PIPE)
        self.assertEqual(500, len(process.stdout.read(500)))
        process.stdout.close()
        self.assertIn('the reader went away', self.ended(process))

    def test_host_that_is_cut_off(self):
        """Only the guard is left to end what is on the host."""
        layout = up.layout_of(self.state, allot.load(self.state))
        self.useFixture(
            fixtures.EnvironmentVariable('OSC_LAB_HOST_TIMEOUT', '5')
        )
        process = self.running('--duration', '40s', '--file', str(self.file))
        self.wait_for_packet(process)
        self.addCleanup(hosts.firewall, layout, 'hosta', ())
        drop = [f'tcp dport {port} drop' for port in (22, 6640)]
        hosts.firewall(layout, 'hosta', drop)
        process.send_signal(signal.SIGINT)
        errors = self.ended(process, 5)
        hosts.firewall(layout, 'hosta', ())
        self.assertIn('may be left on hosta', errors)
        self.assertIn('removes it by itself', errors)
        pair.pairs(self.file)
        (row,) = self.mirror('list', '--long', '--host', 'hosta')
        self.assertEqual('capture', row['Purpose'])
        pair.wait_until(
            'the guard', lambda: not self.mirror('list', '--host', 'hosta')
        )


class TestWireshark(capturing.CaptureTest):
    """Reads its input as the real one does."""

    def shown(self, more, *argv):
        program = self.folder / 'bin' / 'wireshark'
        program.parent.mkdir()
        program.write_text(WIRESHARK.format(folder=self.folder, more=more))
        program.chmod(0o755)
        run = self.openstack(
            *(*capturing.CAPTURE, self.name, '--wireshark', *argv),
            cloud=self.ADMIN,
            PATH=f'{program.parent}:{os.environ["PATH"]}',
        )
        arguments = (self.folder / 'arguments').read_text()
        self.assertEqual('-k -i - ', arguments)
        return run

    def lines(self):
        return (self.folder / 'seen').read_text().splitlines()

    def test_all_packets_are_shown(self):
        self.shown('-l', '--packets', '5')
        pair.wait_until('what is shown', lambda: len(self.lines()) == 5, 10)

    def test_it_is_closed(self):
        run = self.shown('-c 3')
        self.assertIn('the reader went away', run.stderr)
        self.assertEqual(3, len(self.lines()))
