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

from unittest import mock

import testtools

from osc_lab import exceptions
from osc_lab.preflight import check
from osc_lab.preflight import finding
from osc_lab.preflight import registry
from osc_lab.preflight import report
from osc_lab.preflight import runner

Result = finding.Result


class Even(check.Check):
    id = 'even'
    question = 'Is it even?'
    reason = 'Odd is odd.'
    remedy = 'Add one.'
    channel = '--ssh'

    def judge(self, facts):
        if facts % 2:
            yield self.answer('n', Result.FAILED, 'odd', number=facts)
        else:
            yield self.answer('n', Result.OK, 'even')


class Broken(Even):
    id = 'broken'

    def judge(self, facts):
        raise ZeroDivisionError('boom')


class Silent(Even):
    id = 'silent'

    def judge(self, facts):
        return ()


def findings(*results):
    return report.Report(
        tuple(
            finding.Finding(f'c{i}', 's', result, 'm')
            for i, result in enumerate(results)
        )
    )


class TestCheck(testtools.TestCase):
    def test_check_that_needs_no_channel(self):
        class Plain(check.Check):
            pass

        self.assertEqual(('', 'api'), (Plain.channel, Plain.source))

    def test_remedy_only_where_needed(self):
        (ok,) = Even().judge(2)
        (failed,) = Even().judge(1)
        self.assertEqual(('', 'Add one.'), (ok.remedy, failed.remedy))
        self.assertEqual({'number': 1}, failed.evidence)

    def test_findings_are_whole(self):
        self.assertEqual(
            [finding.Finding('even', 'n', Result.OK, 'even')],
            [*Even().judge(2)],
        )
        self.assertEqual('api', Even.source)

    def test_what_an_api_has_shown(self):
        self.assertEqual(
            finding.Finding(
                'c',
                's',
                Result.WARNING,
                'm',
                'r',
                finding.Source.API,
                {'number': 1},
            ),
            finding.of_api('c', 's', Result.WARNING, 'm', 'r', number=1),
        )

    def test_words_are_an_interface(self):
        self.assertEqual(
            ['ok', 'skipped', 'warning', 'unknown', 'failed'], list(Result)
        )
        self.assertEqual(
            ['api', 'libvirt', 'ovsdb', 'shell'], list(finding.Source)
        )
        self.assertEqual(
            ('Check', 'Subject', 'Result', 'Message', 'Remedy'),
            finding.COLUMNS,
        )
        self.assertEqual(
            (*finding.COLUMNS, 'Source', 'Evidence'), finding.LONG_COLUMNS
        )

    def test_rows_are_safe(self):
        item = finding.Finding('c', 'a\x1b', Result.OK, 'b\n')
        self.assertEqual(('c', r'a\x1b', 'ok', r'b\n', ''), finding.row(item))
        source, evidence = finding.row(item, long=True)[-2:]
        self.assertEqual('api', source)
        self.assertEqual({}, evidence.machine_readable())

    def test_evidence(self):
        """A mapping for programs; people read no Python."""
        facts = {'rank': 1, 'hosts': {'a\x1b[2J': True}, 'none': None}
        item = finding.of_api('c', 's', Result.OK, 'm', '', **facts)
        evidence = finding.row(item, long=True)[-1]
        self.assertEqual(facts, evidence.machine_readable())
        self.assertEqual(
            r"hosts.a\x1b[2J='True', none=, rank='1'",
            evidence.human_readable(),
        )


class TestReport(testtools.TestCase):
    def test_verdicts(self):
        code = exceptions.ExitCode
        for results, strict, expected in (
            ((), False, code.DONE),
            ((Result.OK, Result.SKIPPED), True, code.DONE),
            ((Result.OK, Result.WARNING), False, code.DONE),
            ((Result.OK, Result.WARNING), True, code.UNDECIDED),
            ((Result.OK, Result.UNKNOWN), False, code.UNDECIDED),
            ((Result.UNKNOWN, Result.FAILED), False, code.CHECK_FAILED),
        ):
            self.assertEqual(expected, findings(*results).exit_code(strict))
        self.assertEqual(code.DONE, findings(Result.WARNING).exit_code())

    def test_ignored_failures_become_warnings(self):
        ran = findings(Result.FAILED, Result.FAILED, Result.UNKNOWN)
        self.assertEqual(
            [Result.WARNING, Result.FAILED, Result.UNKNOWN],
            [item.result for item in ran.ignoring(['c0']).findings],
        )
        everything = ran.ignoring(['all'])
        self.assertEqual(0, everything.count(Result.FAILED))
        self.assertEqual(1, everything.count(Result.UNKNOWN))

    def test_summary_counts_worst_first(self):
        self.assertEqual(
            '1 failed, 2 ok, 1 skipped',
            findings(
                Result.OK, Result.FAILED, Result.SKIPPED, Result.OK
            ).summary(),
        )
        self.assertEqual('No finding.', findings().summary())


class TestRunner(testtools.TestCase):
    def test_broken_and_silent_checks_are_unknown(self):
        ran = runner.run(
            registry.Registry((Broken(), Even(), Silent())), 2, 'subject'
        )
        self.assertEqual(
            [Result.UNKNOWN, Result.OK, Result.UNKNOWN],
            [item.result for item in ran.findings],
        )
        self.assertIn('ZeroDivisionError: boom', ran.findings[0].message)
        self.assertIn('no answer', ran.findings[2].message)
        for broken in (ran.findings[0], ran.findings[2]):
            self.assertEqual('subject', broken.subject)
            self.assertIn('bug', broken.remedy)


class TestRegistry(testtools.TestCase):
    def load(self, *loaders):
        points = []
        for name, loader in loaders:
            point = mock.Mock(spec=['name', 'value', 'dist', 'load'])
            point.name = name
            point.value = f'somebody:{name}'
            point.dist.name = 'somebody'
            point.load = loader
            points.append(point)
        with mock.patch(
            'importlib.metadata.entry_points', return_value=points
        ) as listed:
            found = registry.load()
        listed.assert_called_once_with(group='osc_lab.preflight.checks')
        return found

    def test_broken_entry_points_are_findings(self):
        def missing():
            raise ModuleNotFoundError('No module named x')

        loaded = self.load(
            ('even', lambda: Even),
            ('gone', missing),
            ('wrong', lambda: dict),
            ('twice', lambda: Even),
        )
        self.assertEqual(['even'], [item.id for item in loaded.checks])
        self.assertEqual(
            ['gone', 'wrong', 'twice'], [item.check for item in loaded.broken]
        )
        self.assertEqual(
            [Result.UNKNOWN] * 3, [item.result for item in loaded.broken]
        )
        for words, item in zip(
            (
                'ModuleNotFoundError: No module named x',
                'TypeError: somebody:wrong is not a Check',
                'ValueError: the id even is taken',
            ),
            loaded.broken,
            strict=True,
        ):
            self.assertIn(words, item.message)
            self.assertEqual('somebody', item.subject)
            self.assertIn('the package somebody', item.remedy)
        ran = runner.run(loaded, 2, 's')
        self.assertEqual(4, len(ran.findings))

    def test_broken_entry_point_of_no_package(self):
        point = mock.Mock(dist=None, load=lambda: dict)
        point.name = 'lost'
        with mock.patch(
            'importlib.metadata.entry_points', return_value=[point]
        ):
            (item,) = registry.load().broken
        self.assertEqual('unknown', item.subject)

    def test_choose(self):
        loaded = registry.Registry((Broken(), Even()))
        self.assertEqual(
            ['even'], [item.id for item in loaded.choose(['even'], []).checks]
        )
        self.assertEqual(
            ['even'],
            [item.id for item in loaded.choose([], ['broken']).checks],
        )
        for option, only, skip in (
            ('--check', ['evn'], []),
            ('--skip-check', [], ['evn']),
        ):
            error = self.assertRaises(
                exceptions.InvalidInput, loaded.choose, only, skip
            )
            self.assertIn(f'{option}: there is no check "evn"', str(error))
            self.assertIn('--list-checks', error.remedy)

    def test_choose_among_the_broken(self):
        lost = [
            finding.Finding(name, 's', Result.UNKNOWN, 'm') for name in 'ab'
        ]
        loaded = registry.Registry((Even(),), tuple(lost))
        chosen = loaded.choose(['a'], [])
        self.assertEqual(((), (lost[0],)), (chosen.checks, chosen.broken))
        self.assertEqual((lost[1],), loaded.choose([], ['a']).broken)
