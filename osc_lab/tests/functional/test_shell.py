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

"""The shell of people who do not use our commands stays as it was."""

import os
import pathlib
import tempfile

from osc_lab.tests.functional import base

#: Stands in for a machine where the optional libraries are missing.
BLOCK = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('libvirt', 'libvirtmod', 'ovs', 'ovsdbapp'):
            raise ModuleNotFoundError('No module named ' + name, name=name)

sys.meta_path.insert(0, Missing())
"""


class TestForeignCommands(base.ShellTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        pathlib.Path(folder.name, 'sitecustomize.py').write_text(BLOCK)
        self.environ = {
            'PYTHONPATH': os.pathsep.join(
                [folder.name, os.environ.get('PYTHONPATH', '')]
            )
        }

    def quiet(self, *argv):
        run = self.openstack(*argv, **self.environ)
        self.assertEqual('', run.stderr)
        return run.stdout

    def test_the_libraries_are_really_missing(self):
        run = base.subprocess.run(
            [base.sys.executable, '-c', 'import libvirt'],
            env={**os.environ, **self.environ},
            capture_output=True,
            text=True,
        )
        self.assertIn('No module named libvirt', run.stderr)

    def test_version(self):
        self.assertRegex(self.quiet('--version'), r'\d+\.\d+')

    def test_help(self):
        text = self.quiet('--help')
        self.assertIn('volume encryption preset list', text)

    def test_foreign_command(self):
        self.assertIn('server', self.quiet('command', 'list'))

    def test_complete_offers_our_commands(self):
        self.assertIn('encryption', self.quiet('complete'))


class TestOwnGroup(base.ShellTest):
    def test_commands_are_in_their_group(self):
        groups = self.json('command', 'list', '--group', 'openstack.lab')
        (group,) = groups
        self.assertIn('volume encryption preset list', group['Commands'])
