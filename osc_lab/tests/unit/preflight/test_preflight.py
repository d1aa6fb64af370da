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
        if facts is None:
            yield self.skipped('n', 'nothing to look at')
        elif facts % 2:
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
    def test_remedy_only_where_needed(self):
        (ok,) = Even().judge(2)
        (failed,) = Even().judge(1)
        (skipped,) = Even().judge(None)
        self.assertEqual(
            ('', 'Add one.', 'Use --ssh.'),
            (ok.remedy, failed.remedy, skipped.remedy),
        )
        self.assertEqual({'number': 1}, failed.evidence)

    def test_rows_are_safe(self):
        item = finding.Finding('c', 'a\x1b', Result.OK, 'b\n')
        self.assertEqual(('c', r'a\x1b', 'ok', r'b\n', ''), finding.row(item))
        self.assertEqual(('api', {}), finding.row(item, long=True)[-2:])


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

    def test_ignored_failures_become_warnings(self):
        ran = findings(Result.FAILED, Result.FAILED, Result.UNKNOWN)
        self.assertEqual(1, ran.ignoring(['c0']).count(Result.FAILED))
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
        ):
            return registry.load()

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
        ran = runner.run(loaded, 2, 's')
        self.assertEqual(4, len(ran.findings))

    def test_choose(self):
        loaded = registry.Registry((Broken(), Even()))
        self.assertEqual(
            ['even'], [item.id for item in loaded.choose(['even'], []).checks]
        )
        self.assertEqual(
            ['even'],
            [item.id for item in loaded.choose([], ['broken']).checks],
        )
        error = self.assertRaises(
            exceptions.InvalidInput, loaded.choose, [], ['evn']
        )
        self.assertIn('--skip-check', str(error))
