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

"""What tools.packages installs, with an apt-get of a few lines."""

import contextlib
import io
import os
import pathlib
import tempfile
import unittest
from unittest import mock

from lab import apt
from tools import packages

#: Says what it was asked, and which policy it saw.
APT_GET = """#!/bin/sh
echo "apt-get $@" >> {folder}/asked
cat {folder}/policy >> {folder}/asked
exit {status}
"""

SUDO = """#!/bin/sh
echo "$@" > {folder}/asked
pwd >> {folder}/asked
exit {status}
"""


class PackagesTest(unittest.TestCase):
    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        for patch in (
            mock.patch.object(os, 'geteuid', return_value=0),
            mock.patch.object(apt, 'POLICY', self.folder / 'policy'),
            mock.patch.object(apt, 'missing', list),
            mock.patch.dict('os.environ', PATH=f'{self.folder}:/usr/bin:/bin'),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def run_as(self, name: str, program: str, status: int = 0) -> str:
        """Install what the benchmarks take; return what was asked."""
        path = self.folder / name
        path.write_text(program.format(folder=self.folder, status=status))
        path.chmod(0o755)
        said = io.StringIO()
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            self.assertEqual(bool(status), bool(packages.main(['bench'])))
        self.said = said.getvalue()
        return (self.folder / 'asked').read_text()

    def test_no_daemon_starts(self) -> None:
        asked = self.run_as('apt-get', APT_GET)
        self.assertRegex(asked, 'install .*libvirt-daemon openvswitch-switch')
        self.assertIn('exit 101', asked.rpartition('install')[2])
        # Nobody can answer what becomes of a file that was changed.
        for choice in ('confdef', 'confold'):
            self.assertIn(f'-o Dpkg::Options::=--force-{choice} ', asked)
        self.assertFalse((self.folder / 'policy').exists())

    def test_failure_shows_what_apt_get_said(self) -> None:
        self.run_as(
            'apt-get', APT_GET.replace('exit', 'echo sorry; exit'), 100
        )
        self.assertIn('sorry', self.said)
        self.assertIn('Could not install libvirt-daemon', self.said)

    def test_an_unknown_profile_is_told(self) -> None:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            self.assertEqual(2, packages.main(['huge']))
        self.assertIn('huge', said.getvalue())

    def test_all_of_it_needs_root(self) -> None:
        for status in (0, 3):
            with mock.patch.object(os, 'geteuid', return_value=1000):
                asked = self.run_as('sudo', SUDO, status).splitlines()
            self.assertTrue(asked[0].endswith(' -m tools.packages bench'))
            self.assertEqual(str(packages.TREE), asked[1])


if __name__ == '__main__':
    unittest.main()
