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

import contextlib
import errno
import os
import pathlib
import signal
import stat
import struct
import subprocess
import threading

import fixtures

from osc_lab.access import capture as access
from osc_lab.access import shell
from osc_lab.access import sinks
from osc_lab import channels
from osc_lab.mirroring import capture
from osc_lab.tests import bounded

_HEADER = r'\324\303\262\241\002\0\004\0\0\0\0\0\0\0\0\0\0\0\004\0\001\0\0\0'
_PACKET = r'\001\0\0\0\001\0\0\0\001\0\0\0\001\0\0\0x'

#: In place of tcpdump: a header and packets of one byte, until it is
#: told to stop; notes its end.  The first packet comes with the header: on
#: a busy machine nobody knows when the second does.
PROGRAM = f"""#!/bin/sh
trap 'echo 2 packets dropped by kernel >&2; echo >$DONE; exit 0' TERM
trap : USR1
printf '{_HEADER}{_PACKET}'
while :; do
    sleep 0.1
    printf '{_PACKET}'
done
"""
RECORD = 17

#: Three seconds of packets that a slow connection still holds.
ON_ITS_WAY = f"""
left=30
while [ $((left -= 1)) -ge 0 ]; do sleep 0.1; printf "{_PACKET}"; done"""

#: Of two, one has four packets, and ends by itself when told to by "-c".
SILENT = f"""#!/bin/sh
trap 'echo 0 packets dropped by kernel >&2; exit 0' TERM
trap : USR1
printf '{_HEADER}'
[ "$2" = tpm0 ] && printf '{_PACKET * 4}'
case "$2 $*" in
    'tpm0 '*' -c '*) echo 0 packets dropped by kernel >&2; exit 0;;
esac
while :; do sleep 0.1; done
"""

TOLD = (
    'tcpdump: 9 packets captured, 9 packets received by filter, '
    '7 packets dropped by kernel'
)


class TestRun(bounded.TestCase):
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
        # Last words take longer than usual on a busy machine.
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.access.capture._DRAIN', 20)
        )
        self.path = self.folder / 'f.pcap'
        self.stop = sinks.Stop()
        self.shell = shell.Shell(
            channels.Host('h', '', ssh='local'), channels.Channels()
        )

    def program(self, text):
        path = self.folder / 'tcpdump'
        path.write_text(text)
        path.chmod(0o755)

    def run_to(self, sink, progress=lambda *_args: None, **kwargs):
        labels = kwargs.pop('labels', ('h one',))
        wish = capture.Wish(**{'seconds': 30, 'size': 1 << 20, **kwargs})
        sources = [
            access.Source(self.shell, f'tpm{number}', label)
            for number, label in enumerate(labels)
        ]
        return access.run(sources, wish, sink, self.stop, progress)

    def run_file(self, *args, **kwargs):
        with sinks.file(str(self.path), False) as sink:
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
        self.assertGreater(outcome.packets, 0)
        self.assertTrue(self.done.exists())
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))

    def drain(self, seconds, longest):
        for name, value in (('', seconds), ('_LONGEST', longest)):
            self.useFixture(
                fixtures.MonkeyPatch(
                    f'osc_lab.access.capture._DRAIN{name}', value
                )
            )

    def test_what_is_on_its_way_is_waited_for(self):
        self.program(PROGRAM.replace("trap '", f"trap '{ON_ITS_WAY}; ", 1))
        self.drain(2, 60)
        outcome = self.run_file(seconds=0.5)
        self.assertIs(capture.End.TIME, outcome.end)
        self.assertGreaterEqual(outcome.packets, 30)
        self.assertEqual((True, False), (outcome.told, outcome.cut_off))

    def test_what_does_not_end_is_cut_off(self):
        self.program(PROGRAM.replace('trap', "trap '' TERM; : trap", 1))
        self.drain(1, 3)
        outcome = self.run_file(seconds=0.5)
        self.assertIs(capture.End.TIME, outcome.end)
        self.assertEqual(outcome.packets, self.whole())
        self.assertEqual((False, True), (outcome.told, outcome.cut_off))

    def test_size(self):
        outcome = self.run_file(size=24 + 3 * RECORD + 5)
        self.assertIs(capture.End.SIZE, outcome.end)
        self.assertEqual(3, self.whole())

    def test_signal(self):
        def progress(packets, size, seconds, dropped):
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
            outcome = self.run_to(sinks.Pipe(write, self.stop))
        os.close(write)
        self.assertIs(capture.End.CLOSED, outcome.end)
        self.assertTrue(self.done.exists())

    def stalled(self, ended):
        """Capture for a reader that reads nothing any more."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(write, bytes(4096)):
                pass
        os.set_blocking(write, True)
        sink = sinks.Pipe(write, self.stop)
        ended(sink)
        with fixtures.MonkeyPatch('osc_lab.access.sinks._PATIENCE', 0.1):
            return self.run_to(sink, seconds=0.5)

    def test_reader_that_reads_nothing(self):
        outcome = self.stalled(lambda sink: None)
        self.assertIs(capture.End.FAILED, outcome.end)
        self.assertIn('reads nothing', outcome.detail)
        self.assertEqual(0, outcome.packets)
        self.assertTrue(self.done.exists())

    def test_reader_that_reads_nothing_and_a_signal(self):
        def ended(_sink):
            self.stop.signal = signal.SIGINT

        outcome = self.stalled(ended)
        self.assertIs(capture.End.INTERRUPTED, outcome.end)
        self.assertTrue(outcome.cut_off)

    def test_disk_is_full(self):
        real, room = os.write, [24 + 2 * RECORD + 5]

        def write(fd, data):
            if not room[0]:
                raise OSError(errno.ENOSPC, 'No space left on device')
            data = data[: room[0]]
            room[0] -= len(data)
            return real(fd, data)

        with fixtures.MonkeyPatch('osc_lab.access.sinks.os.write', write):
            outcome = self.run_file()
        self.assertIs(capture.End.FAILED, outcome.end)
        self.assertIn('No space', outcome.detail)
        self.assertEqual(2, self.whole())
        self.assertEqual(2, outcome.packets)
        self.assertEqual(self.path.stat().st_size, outcome.bytes)

    def test_connection_is_gone(self):
        # OpenSSH is killed after the first packet.
        script = f"printf '{_HEADER}{_PACKET}'; kill -9 $$"
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
            self.shell.argv(capture.command('tpm1', capture.Wish(60, 1000))),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        # It writes when it takes signals.
        self.assertEqual(24, len(process.stdout.read(24)))
        process.stdin.close()
        process.wait(20)
        process.stdout.close()
        self.assertTrue(self.done.exists())

    def test_packets(self):
        outcome = self.run_file(packets=3)
        self.assertIs(capture.End.PACKETS, outcome.end)
        self.assertEqual((3, 3), (outcome.packets, self.whole()))

    def test_drops_are_told_while_it_runs(self):
        self.program(PROGRAM.replace('trap :', f"trap 'echo {TOLD} >&2'"))
        told = []

        def progress(packets, size, seconds, dropped):
            told.append(dropped)
            if dropped is not None:
                self.stop.signal = signal.SIGINT

        with fixtures.MonkeyPatch('osc_lab.access.capture._ASK', 0.2):
            outcome = self.run_file(progress, seconds=20)
        self.assertIs(capture.End.INTERRUPTED, outcome.end)
        self.assertIn(7, told)
        self.assertEqual(2, outcome.dropped)

    def test_ring(self):
        name = str(self.folder / 'r.pcap')
        size = 24 + 3 * RECORD
        with sinks.ring(name, 2) as sink:
            outcome = self.run_to(sink, size=size, packets=8)
        self.assertIs(capture.End.PACKETS, outcome.end)
        self.assertEqual(8, outcome.packets)
        self.assertEqual(
            ['r-00002.pcap', 'r-00003.pcap'],
            sorted(path.name for path in self.folder.glob('r-*')),
        )
        sizes = [pathlib.Path(path).stat().st_size for path in sink.files]
        self.assertEqual([size, 24 + 2 * RECORD], sizes)
        self.assertEqual(3 * 24 + 8 * RECORD, outcome.bytes)

    def ring(self, wrong):
        """Capture to a ring; return the outcome and the files that stay.

        :param wrong: called with the number of each further file before it
            is made
        """
        real = sinks.Ring.roll

        def roll(sink):
            wrong(sink._number + 1)
            real(sink)

        name = str(self.folder / 'r.pcap')
        with (
            fixtures.MonkeyPatch('osc_lab.access.sinks.Ring.roll', roll),
            sinks.ring(name, 2) as sink,
        ):
            outcome = self.run_to(sink, size=24 + 3 * RECORD, packets=8)
        return outcome, [pathlib.Path(path) for path in sink.files]

    def test_files_of_a_ring_may_be_moved_away(self):
        archive = self.folder / 'archive'
        archive.mkdir()

        def move(number):
            path = self.folder / f'r-{number - 1:05d}.pcap'
            path.rename(archive / path.name)

        outcome, files = self.ring(move)
        self.assertEqual('', outcome.detail)
        self.assertIs(capture.End.PACKETS, outcome.end)
        self.assertEqual(['r-00003.pcap'], [path.name for path in files])
        moved = [path.stat().st_size for path in archive.iterdir()]
        self.assertEqual([24 + 3 * RECORD] * 2, moved)

    def test_ring_cannot_go_on(self):
        """What is there stays whole, also in the file that is full."""

        def full(number):
            if number == 3:
                self.useFixture(
                    fixtures.MonkeyPatch('osc_lab.access.sinks.os.open', fail)
                )

        def fail(*_args):
            raise OSError(errno.ENOSPC, 'No space left on device')

        outcome, files = self.ring(full)
        self.assertIs(capture.End.FAILED, outcome.end)
        self.assertIn('r-00003.pcap": No space left', outcome.detail)
        self.assertEqual(6, outcome.packets)
        sizes = [path.stat().st_size for path in files]
        self.assertEqual([24 + 3 * RECORD] * 2, sizes)
        self.assertEqual(sum(sizes), outcome.bytes)

    def test_both_ends(self):
        def ends():
            data = self.path.read_bytes()
            seen = [block[1] for block in blocks(data) if block[0] == 6]
            return [struct.unpack('<I', block[:4])[0] for block in seen]

        def progress(*_args):
            if set(ends()) == {0, 1}:
                self.stop.signal = signal.SIGINT

        with sinks.file(str(self.path), False) as sink:
            outcome = self.run_to(sink, progress, labels=('a', 'b'))
        self.assertIs(capture.End.INTERRUPTED, outcome.end)
        self.assertEqual(4, outcome.dropped)
        self.assertEqual(self.path.stat().st_size, outcome.bytes)
        self.assertEqual(outcome.packets, len(ends()))

    def test_packets_of_one_of_both_ends_that_is_silent(self):
        self.program(SILENT)
        outcome = self.run_file(labels=('a', 'b'), packets=4)
        self.assertEqual('', outcome.detail)
        self.assertIs(capture.End.PACKETS, outcome.end)
        self.assertEqual(4, outcome.packets)

    def test_one_of_both_ends_fails(self):
        self.program(
            PROGRAM.replace('trap', '[ "$2" = tpm0 ] || exit 1; trap', 1)
        )
        outcome = self.run_file(labels=('a', 'b'))
        self.assertIs(capture.End.FAILED, outcome.end)
        self.assertTrue(outcome.detail.startswith('b: '), outcome.detail)


def blocks(data):
    """Yield (type, body) of each block of a pcapng file."""
    while data:
        kind, length = struct.unpack('<II', data[:8])
        assert data[length - 4 : length] == data[4:8]
        yield kind, data[8 : length - 4]
        data = data[length:]
