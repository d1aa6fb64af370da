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

import errno
import os
import pathlib
import signal
import stat
import subprocess
import threading
import time

import fixtures
import testtools

from osc_lab.access import capture as access
from osc_lab.access import shell
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.mirroring import capture

#: In place of tcpdump: a header and packets of one byte, until it is
#: told to stop; notes its end.
PROGRAM = """#!/bin/sh
printf '\\324\\303\\262\\241\\002\\0\\004\\0'
printf '\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\004\\0\\001\\0\\0\\0'
trap 'echo 2 packets dropped by kernel >&2; echo >$DONE; exit 0' TERM
while :; do
    printf '\\001\\0\\0\\0\\001\\0\\0\\0\\001\\0\\0\\0\\001\\0\\0\\0x'
    sleep 0.1
done
"""
RECORD = 17


class TestRun(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.done = self.folder / 'done'
        self.program(PROGRAM)
        for name, value in (
            ('PATH', f'{self.folder}:{os.environ["PATH"]}'),
            ('DONE', str(self.done)),
        ):
            self.useFixture(fixtures.EnvironmentVariable(name, value))
        self.path = self.folder / 'f.pcap'
        self.stop = access.Stop()
        self.shell = shell.Shell(
            channels.Host('h', '', ssh='local'), channels.Channels()
        )

    def program(self, text):
        path = self.folder / 'tcpdump'
        path.write_text(text)
        path.chmod(0o755)

    def run_to(self, sink, progress=lambda *_args: None, **kwargs):
        wish = capture.Wish(**{'seconds': 30, 'size': 1 << 20, **kwargs})
        return access.run(self.shell, 'olm1', wish, sink, self.stop, progress)

    def run_file(self, *args, **kwargs):
        with access.file(str(self.path), False) as sink:
            return self.run_to(sink, *args, **kwargs)

    def whole(self):
        data = self.path.read_bytes()
        records = capture.Records(1 << 20)
        self.assertEqual(data, records.feed(data))
        return records.packets

    def test_time(self):
        outcome = self.run_file(seconds=0.5)
        self.assertIs(capture.End.TIME, outcome.end)
        self.assertEqual(2, outcome.dropped)
        self.assertEqual(outcome.packets, self.whole())
        self.assertGreater(outcome.packets, 1)
        self.assertTrue(self.done.exists())
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))

    def test_size(self):
        outcome = self.run_file(size=24 + 3 * RECORD + 5)
        self.assertIs(capture.End.SIZE, outcome.end)
        self.assertEqual(3, self.whole())

    def test_signal(self):
        def progress(packets, size, seconds):
            if packets > 1:
                self.stop.signal = signal.SIGINT

        outcome = self.run_file(progress)
        self.assertIs(capture.End.INTERRUPTED, outcome.end)
        self.assertEqual(outcome.packets, self.whole())
        self.assertTrue(self.done.exists())

    def test_reader_goes_away(self):
        read, write = os.pipe()
        with os.fdopen(read, 'rb') as reader:
            timer = threading.Timer(0.5, reader.close)
            timer.start()
            self.addCleanup(timer.join)
            outcome = self.run_to(access.Pipe(write, self.stop))
        os.close(write)
        self.assertIs(capture.End.CLOSED, outcome.end)
        self.assertTrue(self.done.exists())

    def test_disk_is_full(self):
        real, room = os.write, [24 + 2 * RECORD + 5]

        def write(fd, data):
            if not room[0]:
                raise OSError(errno.ENOSPC, 'No space left on device')
            data = data[: room[0]]
            room[0] -= len(data)
            return real(fd, data)

        with fixtures.MonkeyPatch('osc_lab.access.capture.os.write', write):
            outcome = self.run_file()
        self.assertIs(capture.End.FAILED, outcome.end)
        self.assertIn('No space', outcome.detail)
        self.assertEqual(2, self.whole())
        self.assertEqual(2, outcome.packets)
        self.assertEqual(self.path.stat().st_size, outcome.bytes)

    def test_connection_is_gone(self):
        # OpenSSH is killed after the first packet.
        lines = PROGRAM.splitlines()
        script = '\n'.join([*lines[1:3], lines[5], 'kill -9 $$'])
        argv = ['sh', '-c', script]
        with fixtures.MonkeyPatch(
            'osc_lab.access.shell.Shell.argv', lambda *_args: argv
        ):
            outcome = self.run_file()
        self.assertIs(capture.End.FAILED, outcome.end)
        self.assertIn('connection', outcome.detail)
        self.assertEqual(1, self.whole())

    def test_it_fails_at_once(self):
        self.program('#!/bin/sh\necho syntax error >&2\nexit 1\n')
        outcome = self.run_file()
        self.assertIs(capture.End.FAILED, outcome.end)
        self.assertEqual('syntax error', outcome.detail)
        self.assertFalse(self.path.exists())

    def test_it_ends_when_nobody_is_left(self):
        # What a killed client leaves is the end of the input.
        process = subprocess.Popen(
            self.shell.argv(capture.command('olm1', capture.Wish(60, 1000))),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.5)
        process.stdin.close()
        process.wait(10)
        self.assertTrue(self.done.exists())


class TestFile(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = self.folder / 'f'

    def write(self, force):
        with access.file(str(self.path), force) as sink:
            sink.write(b'new')

    def test_what_exists_stays(self):
        self.path.write_text('old')
        self.assertRaises(exceptions.InvalidInput, self.write, False)
        self.assertEqual('old', self.path.read_text())

    def test_force_replaces(self):
        self.path.write_text('old')
        self.write(True)
        self.assertEqual('new', self.path.read_text())
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))
        self.assertEqual([self.path], list(self.folder.iterdir()))

    def test_never_through_a_link(self):
        target = self.folder / 'target'
        self.path.symlink_to(target)
        self.assertRaises(exceptions.InvalidInput, self.write, False)
        self.assertFalse(target.exists())
        self.write(True)
        self.assertFalse(target.exists())
        self.assertFalse(self.path.is_symlink())

    def test_force_leaves_what_is_no_file(self):
        self.path.mkdir()
        self.assertRaises(exceptions.InvalidInput, self.write, True)
        self.assertEqual([self.path], list(self.folder.iterdir()))

    def test_deferred_signals(self):
        with access.deferred() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            self.assertEqual(signal.SIGTERM, stop.signal)
