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

"""The picture of a graph, with a stand-in for Graphviz."""

import os
import pathlib

import fixtures
import testtools

from osc_lab.access import topology
from osc_lab import exceptions


class TestPicture(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path(f'{self.folder}:{os.environ["PATH"]}')

    def path(self, value):
        self.useFixture(fixtures.EnvironmentVariable('PATH', value))

    def dot(self, text):
        program = self.folder / 'dot'
        program.write_text(f'#!/bin/sh\n{text}\n')
        program.chmod(0o755)

    def fails(self):
        error = self.assertRaises(
            exceptions.AccessError, topology.picture, 'graph {}'
        )
        self.assertIn('--graph-format dot', str(error))
        return str(error)

    def test_drawn(self):
        self.dot('echo "$*: $(cat)"')
        self.assertEqual('-Tsvg: é\n', topology.picture('é'))

    def test_missing(self):
        self.path(str(self.folder))
        self.assertIn('no "dot" on this machine', self.fails())

    def test_failing(self):
        self.dot('exit 3')
        self.assertIn('exit status 3', self.fails())
        (self.folder / 'dot').write_text('no program')
        self.path(str(self.folder))
        self.assertIn('Graphviz failed', self.fails())

    def test_hanging(self):
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.access.topology._DRAWING', 0.2)
        )
        self.dot('exec sleep 30')
        self.assertIn('timed out', self.fails())
