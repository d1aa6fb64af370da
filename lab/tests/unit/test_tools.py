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

"""The tools that install packages and add up tests, and tox.ini.

They are not installed with the plugin, and neither are these tests.
"""

import configparser
import contextlib
import io
import re
import unittest
from unittest import mock

from lab import down
from tools import packages
from tools import tally


class TallyTest(unittest.TestCase):
    def test_a_run_without_any_test_is_counted_too(self) -> None:
        """As .ci/run names it when no environment came as far as a test."""
        out = io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            # The machine's Python has no stestr.
            mock.patch.object(tally.sys, 'executable', '/nowhere/python3'),
        ):
            self.assertEqual(1, tally.main(['/nowhere/.tox/*/.stestr']))
        self.assertEqual(
            '/nowhere/.tox/*/.stestr: no test passed\n'
            '0 passed, 0 failed, 0 skipped\n',
            out.getvalue(),
        )


class ToxTest(unittest.TestCase):
    def test_an_interrupt_leaves_time_to_take_a_lab_down(self) -> None:
        """tox kills what it runs half a second after Ctrl-C, unless told."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(packages.BINDEP.with_name('tox.ini'))
        text = {
            name: '\n'.join(parser[name].values())
            for name in parser.sections()
            if name.startswith('testenv:')
        }
        found = [
            name
            for name, words in text.items()
            if re.search(r'-m (lab|tools\.record)\b|/tests/functional', words)
        ]
        self.assertIn('testenv:functional', found)
        longest = down._ORDERLY_TIME + 2 * down._KILL_TIME + down._BURIAL_TIME
        for name in found:
            for key in ('interrupt_timeout', 'terminate_timeout'):
                with self.subTest(environment=name, setting=key):
                    self.assertEqual('{[lab]timeout}', parser[name].get(key))
        self.assertLessEqual(longest, parser['lab'].getfloat('timeout'))


if __name__ == '__main__':
    unittest.main()
