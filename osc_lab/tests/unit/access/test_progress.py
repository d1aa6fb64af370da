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

import errno
import os
import pty

import fixtures

from osc_lab.access import progress
from osc_lab.migration import watch
from osc_lab.tests import bounded


class Gone:
    """A terminal whose other end is closed."""

    def fileno(self):
        raise OSError(errno.EIO, 'gone')

    def write(self, text):
        raise OSError(errno.EIO, 'gone')


class TestProgress(bounded.TestCase):
    def setUp(self):
        super().setUp()
        self.ours, theirs = pty.openpty()
        self.addCleanup(os.close, self.ours)
        self.terminal = open(theirs, 'w')
        self.addCleanup(self.terminal.close)
        self.said = []

    def progress(self, stream):
        self.useFixture(fixtures.MonkeyPatch('sys.stderr', stream))
        return progress.Progress(self.said.append, None)

    def shown(self):
        found = b''
        while not found.endswith(b'\n'):
            found += os.read(self.ours, 1000)
        return found.decode()

    def test_written_over(self):
        line = self.progress(self.terminal)
        line.show(watch.Sample(1.0, 'disk copy'))
        line.show(watch.Sample(2.0, 'post'))
        line.say('text')
        line.end()
        self.assertEqual('\r1 s, disk copy\r2 s, post     \r\n', self.shown())
        self.assertEqual(['text'], self.said)

    def test_status_that_moves_the_terminal(self):
        line = self.progress(self.terminal)
        line.show(watch.Sample(1.0, 'x\x1b[2J'))
        line.end()
        self.assertEqual('\r1 s, x\\x1b[2J\r\n', self.shown())

    def test_nothing_on_what_is_no_terminal(self):
        with open(os.devnull, 'w+') as stream:
            line = self.progress(stream)
            line.show(watch.Sample(1.0, 'post'))
            line.end()
            self.assertEqual(0, stream.tell())

    def test_terminal_that_is_gone(self):
        line = self.progress(self.terminal)
        line.show(watch.Sample(1.0, 'post'))
        self.useFixture(fixtures.MonkeyPatch('sys.stderr', Gone()))
        line.show(watch.Sample(2.0, 'post'))
        line.say('text')
        self.assertEqual(['text'], self.said)
