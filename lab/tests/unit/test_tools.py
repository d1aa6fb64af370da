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

"""The tools that install packages and add up tests.

They are not installed with the plugin, and neither are these tests.
"""

import contextlib
import io
import unittest
from unittest import mock

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


if __name__ == '__main__':
    unittest.main()
