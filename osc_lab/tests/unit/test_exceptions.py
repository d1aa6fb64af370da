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

import hypothesis
from hypothesis import strategies
import testtools

from osc_lab import exceptions
from osc_lab.tests import thorough


class TestPrintable(testtools.TestCase):
    def test_plain_text_stays(self):
        self.assertEqual('naïve 名前', exceptions.printable('naïve 名前'))

    def test_escape_sequences_become_visible(self):
        self.assertEqual(
            r'a\x1b[31mb\n\u202e', exceptions.printable('a\x1b[31mb\n\u202e')
        )

    @thorough.prop()
    @hypothesis.given(strategies.text())
    def test_never_moves_a_terminal(self, text):
        for char in exceptions.printable(text):
            self.assertGreaterEqual(ord(char), 32)
            self.assertNotIn(ord(char), range(127, 160))


class TestLabError(testtools.TestCase):
    def test_message_and_remedy_are_one_line(self):
        error = exceptions.InvalidInput('--a: "x\ny" is bad.', 'Use b.')
        self.assertEqual(r'--a: "x\ny" is bad. Use b.', str(error))
        self.assertEqual(2, error.exit_code)

    def test_without_remedy(self):
        self.assertEqual('gone', str(exceptions.NotFound('gone')))
