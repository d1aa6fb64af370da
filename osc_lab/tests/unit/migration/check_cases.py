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

import collections.abc
import json
import typing

import testtools

from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_
from osc_lab.preflight import check as check_
from osc_lab.tests.unit.migration import host_samples
from osc_lab.tests.unit.migration import samples


class Case(typing.NamedTuple):
    """Facts, and what a check has to say about them.

    :param results: of the findings that are not ok
    :param words: in the message or the remedy of one of them, or of those
        that are ok when all are
    :param evidence: of the first of these findings
    :param remedy: words of its remedy; without them it is the check's own
    """

    check: type[check_.Check]
    facts: facts_.Facts
    results: list[str]
    words: str
    evidence: collections.abc.Mapping[str, typing.Any] = {}
    remedy: str = ''


def subjects(check, facts):
    """Return what the findings of a check may be about."""
    names = {facts.server.name}
    if isinstance(check, base.HostCheck):
        if facts.destinations:
            names = {host.name for host in facts.destinations}
        if isinstance(check, base.BothEndsCheck):
            names.add(facts.source.name)
        return names
    if not isinstance(facts.volumes, facts_.Gap):
        names |= {item.name or item.id for item in facts.volumes}
    return names | {facts.source.name}


class Judge(testtools.TestCase):
    """Judges facts."""

    def judge(self, check, facts):
        """Return the findings, each of which is whole."""
        found = list(check.judge(facts))
        for item in found:
            self.assertEqual(
                (check.id, check.source), (item.check, item.source)
            )
            self.assertIn(item.subject, subjects(check, facts), item)
            for text in (item.message, item.remedy):
                self.assertIsInstance(text, str, item)
                self.assertNotIn('None', text, item)
            self.assertNotEqual('', item.message, item)
            self.assertEqual(
                item.evidence, json.loads(json.dumps(item.evidence)), item
            )
        return found


class CasesTest(Judge):
    """Judges facts by a table.

    ``CASES`` are rows of :class:`Case`; ``ALL`` are the checks that find
    nothing in what ``CLEAN()`` returns; those of ``TWICE`` look at a host
    from two places, and one of them may be fine.
    """

    CASES = ()
    ALL = ()
    TWICE = ()
    CLEAN = None

    def test_causes(self):
        self.assertTrue(self.CASES)
        for row in self.CASES:
            case = Case(*row)
            check = case.check()
            findings = self.judge(check, case.facts)
            bad = [item for item in findings if item.result != 'ok']
            where = f'{check.id}: {case.words}: {findings}'
            self.assertEqual(
                case.results, [item.result for item in bad], where
            )
            told = bad or findings
            text = ' '.join(f'{item.message} {item.remedy}' for item in told)
            self.assertIn(case.words, text)
            self.assertEqual(case.evidence, told[0].evidence, where)
            if case.remedy:
                self.assertIn(case.remedy, told[0].remedy, where)
            else:
                self.assertIn(told[0].remedy, ('', check.remedy), where)
            for item in bad:
                self.assertTrue(item.remedy or item.result == 'unknown', where)
            if case.check not in self.TWICE:
                spoilt = {item.subject for item in bad}
                told = [item for item in findings if item.subject in spoilt]
                self.assertEqual(bad, told, where)

    def test_clean(self):
        self.assertTrue(self.ALL)
        for check in self.ALL:
            findings = self.judge(check(), type(self).CLEAN())
            self.assertEqual(
                {'ok'}, {item.result.value for item in findings}, check.id
            )
            self.assertEqual({''}, {item.remedy for item in findings})


class HostCasesTest(CasesTest):
    """Of checks that look at the hosts themselves."""

    CLEAN = host_samples.pair

    def test_without_channels_nothing_is_said_to_be_fine(self):
        self.assertTrue(self.ALL)
        for check in self.ALL:
            for item in self.judge(check(), samples.clean()):
                self.assertEqual('skipped', item.result, item)
                self.assertIn('Use --', item.remedy)
