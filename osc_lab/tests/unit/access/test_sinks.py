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
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time

import fixtures
import testtools

from osc_lab.access import sinks
from osc_lab import exceptions


class TestFile(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = self.folder / 'f'

    def write(self, force):
        with sinks.file(str(self.path), force) as sink:
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

    def test_for_the_owner_alone_whatever_the_umask(self):
        self.addCleanup(os.umask, os.umask(0))
        for force in (False, True):
            with sinks.file(str(self.path), force) as sink:
                sink.write(b'new')
                # At once, and not only when it is complete.
                (made,) = self.folder.iterdir()
                self.assertEqual(0o600, stat.S_IMODE(made.stat().st_mode))
            self.path.unlink()

    def test_link_to_a_file_of_others_is_replaced_not_followed(self):
        target = self.folder / 'target'
        target.write_text('theirs')
        self.path.symlink_to(target)
        self.assertRaises(exceptions.InvalidInput, self.write, False)
        self.write(True)
        self.assertEqual('theirs', target.read_text())

    def test_folder_that_is_not_there(self):
        self.path = self.folder / 'none' / 'f'
        for force in (False, True):
            error = self.assertRaises(
                exceptions.InvalidInput, self.write, force
            )
            self.assertIn('No such file', str(error))

    def test_folder_where_anybody_may_swap_it(self):
        for mode, fine in (
            (0o777, False),
            (0o703, False),
            (0o1777, True),
            (0o775, True),
        ):
            self.folder.chmod(mode)
            for force in (False, True):
                with contextlib.suppress(FileNotFoundError):
                    self.path.unlink()
                if fine:
                    self.write(force)
                    continue
                error = self.assertRaises(
                    exceptions.InvalidInput, self.write, force
                )
                self.assertIn(
                    f'--file: everybody can write to the folder '
                    f'"{self.folder}". Use',
                    str(error),
                )
                self.assertEqual([], list(self.folder.iterdir()))

    def test_folder_that_is_not_named(self):
        self.folder.chmod(0o777)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.path = 'f'
        error = self.assertRaises(exceptions.InvalidInput, self.write, False)
        self.assertIn('the folder "."', str(error))

    def test_force_leaves_what_is_no_file(self):
        self.path.mkdir()
        self.assertRaises(exceptions.InvalidInput, self.write, True)
        self.assertEqual([self.path], list(self.folder.iterdir()))

    def test_deferred_signals(self):
        with sinks.deferred() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            self.assertEqual(signal.SIGTERM, stop.signal)


class TestRing(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = self.folder / 'f.pcap'
        self.addCleanup(os.umask, os.umask(0))

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())

    def test_files_of_another_ring_stay(self):
        other = self.folder / 'f-00007.pcap'
        other.write_text('old')
        error = self.assertRaises(
            exceptions.InvalidInput, sinks.Ring, str(self.path), 2
        )
        self.assertIn('f-00007.pcap', str(error))
        self.assertEqual(['f-00007.pcap'], self.names())

    def test_folder_where_anybody_may_swap_them(self):
        self.folder.chmod(0o777)
        error = self.assertRaises(
            exceptions.InvalidInput, sinks.Ring, str(self.path), 2
        )
        self.assertIn('everybody can write', str(error))
        self.assertEqual([], self.names())

    def test_a_file_that_somebody_else_made_stays(self):
        sink = sinks.Ring(str(self.path), 3)
        sink.write(b'1')
        (self.folder / 'f-00002.pcap').write_text('theirs')
        error = self.assertRaises(OSError, sink.roll)
        self.assertIn('exists', str(error))
        self.assertEqual('theirs', (self.folder / 'f-00002.pcap').read_text())

    def test_full_file_cannot_be_ended(self):
        def close(_sink):
            raise exceptions.OperationFailed('f-00001.pcap: over the quota')

        sink = sinks.Ring(str(self.path), 3)
        with fixtures.MonkeyPatch('osc_lab.access.sinks.File.close', close):
            error = self.assertRaises(OSError, sink.roll)
        self.assertIn('f-00001.pcap', str(error))

    def test_link_in_the_way_is_not_followed(self):
        sink = sinks.Ring(str(self.path), 3)
        sink.write(b'1')
        target = self.folder / 'target'
        (self.folder / 'f-00002.pcap').symlink_to(target)
        self.assertRaises(OSError, sink.roll)
        self.assertFalse(target.exists())

    def test_last_ones_stay(self):
        with sinks.ring(str(self.path), 2) as sink:
            for text in (b'1', b'22', b'333'):
                if sink.done:
                    sink.roll()
                sink.write(text)
        self.assertEqual(['f-00002.pcap', 'f-00003.pcap'], self.names())
        for name in self.names():
            mode = (self.folder / name).stat().st_mode
            self.assertEqual(0o600, stat.S_IMODE(mode))
        self.assertEqual(
            [str(self.folder / name) for name in self.names()], sink.files
        )


class TestWireshark(testtools.TestCase):
    """A stand-in that notes its arguments and its input."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.useFixture(
            fixtures.EnvironmentVariable('PATH', f'{self.folder}:/usr/bin')
        )

    def test_it_reads_what_is_written(self):
        program = self.folder / 'wireshark'
        program.write_text(
            f'#!/bin/sh\necho "$@" >{self.folder}/args\n'
            f'cat >{self.folder}/part\n'
            f'mv {self.folder}/part {self.folder}/input\n'
        )
        program.chmod(0o755)
        with sinks.wireshark(sinks.Stop()) as sink:
            sink.write(b'packets')
        limit = time.monotonic() + 20
        while not (self.folder / 'input').exists():
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.02)
        self.assertEqual(b'packets', (self.folder / 'input').read_bytes())
        self.assertEqual('-k -i -\n', (self.folder / 'args').read_text())

    def test_it_fails(self):
        program = self.folder / 'wireshark'
        program.write_text('#!/bin/sh\nexit 3\n')
        program.chmod(0o755)

        def use():
            with (
                sinks.wireshark(sinks.Stop()) as sink,
                contextlib.suppress(BrokenPipeError),
            ):
                while True:
                    sink.write(b'packets')

        error = self.assertRaises(exceptions.OperationFailed, use)
        self.assertIn('ended with status 3', str(error))

    def test_it_is_not_there(self):
        self.useFixture(fixtures.EnvironmentVariable('PATH', str(self.folder)))
        error = self.assertRaises(
            exceptions.InvalidInput,
            sinks.wireshark(sinks.Stop()).__enter__,
        )
        self.assertIn('there is no Wireshark', str(error))


class TestOutput(testtools.TestCase):
    CODE = (
        'import os, signal, time\n'
        'from osc_lab.access import sinks\n'
        'with sinks.deferred() as stop, sinks.output(stop) as sink:\n'
        '    sink.write(b"header")\n'
        '    os.kill(os.getpid(), signal.SIGTERM)\n'
        '    sink.write(bytes(1 << 20))\n'
    )

    def test_reader_that_reads_nothing_does_not_keep_us(self):
        with subprocess.Popen(
            [sys.executable, '-c', self.CODE],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            errors = process.stderr.read()
        self.assertIn(b'the reader reads nothing', errors)
        self.assertEqual(1, process.returncode)

    def test_a_terminal_shows_no_capture(self):
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        with (
            open(theirs, 'w') as terminal,
            fixtures.MonkeyPatch('sys.stdout', terminal),
        ):
            error = self.assertRaises(
                exceptions.InvalidInput,
                sinks.output(sinks.Stop()).__enter__,
            )
        self.assertIn('a terminal cannot show', str(error))

    def test_a_pipe_takes_all(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        sink = sinks.Pipe(writer, sinks.Stop())
        sink.write(b'x' * 5000)
        self.assertEqual(5000, sink.done)
        # What is gone is gone.
        sink.cut(0)
        self.assertEqual(b'x' * 5000, os.read(reader, 9999))

    def test_signals_are_noted_and_given_back(self):
        before = signal.getsignal(signal.SIGTERM)
        with sinks.deferred() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            self.assertEqual(signal.SIGTERM, stop.signal)
        self.assertIs(before, signal.getsignal(signal.SIGTERM))
