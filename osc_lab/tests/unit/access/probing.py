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

"""What tests of the probe of a host have in common."""

import glob
import os
import pathlib
import subprocess
import sys

import fixtures
import testtools

#: A process that is found by its arguments; it ends with its input.
WAITS = 'import sys; print(flush=True); sys.stdin.read()'


class ProbeTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def program(self, name, text):
        path = pathlib.Path(self.write(name, f'#!/bin/sh\n{text}\n'))
        path.chmod(0o755)
        self.useFixture(
            fixtures.EnvironmentVariable(
                'PATH', f'{self.folder}:{os.environ["PATH"]}'
            )
        )
        return str(path)

    def process(self, *argv, **kwargs):
        """Start a process that waits, and return it when it runs."""
        running = subprocess.Popen(
            [sys.executable, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **kwargs,
        )

        def end():
            with running:
                running.stdin.close()

        self.addCleanup(end)
        running.stdout.readline()
        return running

    def service(self, name, *argv):
        """Start the only service of this machine, return its process id."""
        running = self.process(self.write(name, WAITS), *argv).pid
        self.only(f'/proc/{running}/cmdline')
        return running

    def only(self, *found):
        look = glob.glob
        # There may be other services on this machine.
        self.useFixture(
            fixtures.MonkeyPatch(
                'glob.glob',
                lambda pattern: (
                    list(found) if 'proc' in pattern else look(pattern)
                ),
            )
        )
