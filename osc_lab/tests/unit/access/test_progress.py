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

"""The line of progress on a terminal, and on one that is gone."""

import fcntl
import io
import os
import pty
import struct
import termios

from osc_lab.access import progress
from osc_lab.tests import bounded


class TestProgress(bounded.TestCase):
    def setUp(self):
        super().setUp()
        self.ours, theirs = pty.openpty()
        self.addCleanup(os.close, self.ours)
        self.terminal = open(theirs, 'w')
        self.addCleanup(self.terminal.close)
        self.said = []

    def progress(self, stream):
        return progress.Progress(stream, self.said.append)

    def shown(self):
        found = b''
        while not found.endswith(b'\n'):
            found += os.read(self.ours, 1000)
        return found.decode()

    def test_written_over(self):
        line = self.progress(self.terminal)
        line.show('1 s, disk copy')
        line.show('2 s, post')
        line.say('text')
        line.end()
        self.assertEqual('\r1 s, disk copy\r2 s, post     \r\n', self.shown())
        self.assertEqual(['text'], self.said)

    def test_text_that_moves_the_terminal(self):
        line = self.progress(self.terminal)
        line.show('x\x1b[2J')
        line.end()
        self.assertEqual('\rx\\x1b[2J\r\n', self.shown())

    def test_width_of_the_terminal(self):
        """As long as it is; one that does not know is taken for usual."""
        line = self.progress(self.terminal)
        for columns, expected in ((20, 19), (0, 79)):
            size = struct.pack('HHHH', 24, columns, 0, 0)
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)
            self.assertEqual(expected, line.columns)
            line.show('x' * 200)
            line.end()
            self.assertEqual('\r' + 'x' * expected + '\r\n', self.shown())

    def test_nothing_on_what_is_no_terminal(self):
        with open(os.devnull, 'w+') as stream:
            line = self.progress(stream)
            line.show('post')
            line.end()
            self.assertEqual(0, stream.tell())
            self.assertFalse(line.terminal)

    def test_terminal_that_is_gone(self):
        ours, theirs = pty.openpty()
        with io.TextIOWrapper(
            io.FileIO(theirs, 'w'), write_through=True
        ) as stream:
            line = self.progress(stream)
            line.show('1 s, post')
            os.close(ours)
            line.show('2 s, post')
            line.say('text')
        self.assertEqual(['text'], self.said)
