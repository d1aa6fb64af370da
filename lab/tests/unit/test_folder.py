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

"""Which folders are a lab's, to be used and to be removed."""

import pathlib
import tempfile
import unittest
from unittest import mock

from lab import allot
from lab import cli
from lab import env
from lab import hosts
from lab import profiles
from lab.services import sshd
from lab.tests.unit import places
from lab.tests.unit import test_cli


class PurgeTest(test_cli.CliTest):
    """Nothing of others is removed, nor is its mode changed."""

    def setUp(self) -> None:
        super().setUp()
        for patch in (
            mock.patch.object(cli.down.apt, 'settle'),
            # Whatever happens, no lab comes up here.
            mock.patch.object(allot, 'settle', side_effect=AssertionError),
        ):
            patch.start()
            self.addCleanup(patch.stop)
        self.state /= 'folder'
        self.state.mkdir()
        self.state.chmod(0o700)

    def assert_refused(self, *arguments: str) -> None:
        code, _, err = self.lab(*arguments)
        self.assertEqual((1, 1), (code, err.count('\n')))
        self.assertIn("there is 'letters' in it", err)
        self.assertIn('--state', err)
        self.assertEqual(
            ['letters'], [path.name for path in self.state.iterdir()]
        )
        self.assertEqual(0o700, self.state.stat().st_mode & 0o777)

    def test_a_folder_of_somebody_else_is_left_alone(self) -> None:
        (self.state / 'letters').touch()
        self.assert_refused('down', '--purge')
        self.assert_refused('up')
        self.assert_refused('run', '--', 'true')

    def test_a_file_is_no_folder(self) -> None:
        self.state.rmdir()
        self.state.touch()
        for words in (('down', '--purge'), ('up',)):
            code, _, err = self.lab(*words)
            self.assertEqual((1, 1), (code, err.count('\n')))
            self.assertIn('is no folder', err)
        self.assertTrue(self.state.exists())

    def test_a_lab_goes_at_whatever_time_it_was_ended(self) -> None:
        for names in ((), ('lock',), ('lock', 'lab.new'), ('log', 'run')):
            self.state.mkdir(exist_ok=True)
            for name in names:
                (self.state / name).touch()
            with self.subTest(names):
                self.assertEqual(0, self.lab('down', '--purge')[0])
                self.assertFalse(self.state.exists())

    def test_with_a_record_all_goes(self) -> None:
        self.record()
        (self.state / 'letters').touch()
        self.assertEqual(0, self.lab('down', '--purge')[0])
        self.assertFalse(self.state.exists())


class ContentsTest(unittest.TestCase):
    def test_what_every_profile_writes_is_known(self) -> None:
        """Or else a lab without a record could not be removed."""
        with tempfile.TemporaryDirectory() as folder:
            context = places.context(state=pathlib.Path(folder))
            layout = context.layout
            paths = {
                *(
                    f
                    for row in profiles.services(context, 'full')
                    for f in row.files
                ),
                *(layout.etc, layout.log, layout.run, layout.data),
                *(layout.tools, layout.host_dir('hosta')),
                *(hosts.state_path(layout), sshd.folder(layout)),
                pathlib.Path(env.clouds_path(layout)),
            }
            for path in paths:
                (layout.state / path.relative_to(folder).parts[0]).touch()
            allot.check_contents(layout.state)


if __name__ == '__main__':
    unittest.main()
