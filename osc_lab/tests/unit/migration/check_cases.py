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

"""What is seen of each check: its causes, and silence without one."""

import testtools

from osc_lab.tests.unit.migration import host_samples
from osc_lab.tests.unit.migration import samples


class CasesTest(testtools.TestCase):
    """Judges facts by a table.

    ``CASES`` are (check, facts, results that are not ok, words in the
    message or the remedy); ``ALL`` are the checks that find nothing in what
    ``CLEAN()`` returns.
    """

    CASES = ()
    ALL = ()
    CLEAN = None

    def test_causes(self):
        for check, found, results, words in self.CASES:
            findings = list(check().judge(found))
            bad = [item for item in findings if item.result != 'ok']
            where = f'{check.id}: {words}: {findings}'
            self.assertEqual(results, [item.result for item in bad], where)
            told = bad or findings
            text = ' '.join(f'{item.message} {item.remedy}' for item in told)
            self.assertIn(words, text)
            for item in bad:
                self.assertTrue(item.remedy or item.result == 'unknown', where)

    def test_clean(self):
        for check in self.ALL:
            findings = list(check().judge(type(self).CLEAN()))
            self.assertEqual(
                {'ok'}, {item.result.value for item in findings}, check.id
            )


class HostCasesTest(CasesTest):
    """Of checks that look at the hosts themselves."""

    CLEAN = host_samples.pair

    def test_without_channels_nothing_is_said_to_be_fine(self):
        for check in self.ALL:
            for item in check().judge(samples.clean()):
                self.assertEqual('skipped', item.result, item)
                self.assertIn('Use --', item.remedy)
