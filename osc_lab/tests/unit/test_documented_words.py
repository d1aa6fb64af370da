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

"""Options, findings and words of columns are documented, and exist."""

import ast
import fnmatch
import re

import testtools

from osc_lab import channels
from osc_lab.encryption import presets
from osc_lab import exceptions
from osc_lab.mirroring import health
from osc_lab.mirroring import targets
from osc_lab.tests.unit import test_documentation as documents
from osc_lab.tests.unit import test_entry_points as points

#: Options of other programs and of the shell that documents name.
FOREIGN = {
    '--config-dir',
    '--config-file',
    '--debug',
    '--encryption-provider',
    '--help',
    '--live-migration',
    '--os-cacert',
    '--os-cloud',
    '--os-lab-api-version',
    '--os-region-name',
    '--system-site-packages',
    '--version',
}

#: Options of the lab's own command are documented with it.
LAB = documents.DOC / 'contributor/lab.rst'


def own_options():
    """Return command -> the options that it adds to a formatter's."""
    return {
        name: {
            flag
            for group in parser._action_groups
            if 'formatter' not in (group.title or '').lower()
            for action in group._group_actions
            for flag in action.option_strings
        }
        - {'-h', '--help'}
        for name, parser in documents.parsers().items()
    }


def registered(group):
    return {
        name
        for found, name, _reference in points.entry_points()
        if found == group
    }


class TestOptions(testtools.TestCase):
    def notes(self, command):
        """Return the notes that name a command."""
        texts = [
            ' '.join(path.read_text(encoding='utf-8').split())
            for path in documents.notes()
        ]
        found = ' '.join(t for t in texts if f'``openstack {command}' in t)
        access = ' '.join(t for t in texts if '``--ovsdb``' in t)
        return found, access

    def test_each_has_a_note(self):
        shared = {option.flag for option in channels.ALL} | {'--host-timeout'}
        for name, flags in own_options().items():
            own, access = self.notes(name)
            for flag in flags:
                text = access if flag in shared else own
                found = re.search(rf'(?<![\w-]){flag}(?![\w-])', text)
                self.assertIsNotNone(found, f'openstack {name} {flag}')

    def test_documents_name_those_that_exist(self):
        known = set().union(*own_options().values()) | FOREIGN
        for path, text in documents.pages():
            if path == LAB:
                continue
            flags = re.findall(r'``(--[a-z0-9-]+)[`= ]', text)
            self.assertEqual(set(), set(flags) - known, path.name)

    def test_foreign_ones_are_named_somewhere(self):
        text = ' '.join(text for _path, text in documents.pages())
        self.assertEqual([], [flag for flag in FOREIGN if flag not in text])


class TestWords(testtools.TestCase):
    """Tables of a page have each word of an enumeration and no other."""

    def rows(self, page, heading):
        text = (documents.DOC / page).read_text(encoding='utf-8')
        table = re.search(
            rf'   \* - {heading}\n(.*?)(?:\n\n|\Z)', text, re.DOTALL
        )
        self.assertIsNotNone(table, heading)
        return sorted(
            re.findall(r'^   \* - ``([a-z-]+)', table[1], re.MULTILINE)
        )

    def test_health_of_mirrors(self):
        rows = self.rows('user/port-mirror.rst', 'Health')
        self.assertEqual(sorted(health.Health), rows)

    def test_targets_of_mirrors(self):
        rows = self.rows('user/port-mirror.rst', '``--to``')
        self.assertEqual(sorted(targets.Kind), rows)

    def test_commands_begin_with_a_noun_that_documents_are_read_for(self):
        for name in documents.parsers():
            self.assertTrue(name.startswith(documents.NOUNS), name)


class TestMigrationFindings(testtools.TestCase):
    """What a migration finds afterwards comes from no registered check."""

    CALLS = ('_find', '_missing', 'finding.Finding')
    PAGE = documents.DOC / 'cli/migration-findings.rst'

    def ids(self):
        code = documents.TREE / 'osc_lab'
        for path in (
            *(code / 'migration').glob('*.py'),
            code / 'access/past_migration.py',
        ):
            for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
                if isinstance(node, ast.Call):
                    named = ast.unparse(node.func) in self.CALLS and node.args
                    value = node.args[0] if named else None
                elif isinstance(node, ast.Assign):
                    named = ast.unparse(node.targets[0]) == 'CHECK'
                    value = node.value if named else None
                else:
                    continue
                if isinstance(value, ast.Constant):
                    yield value.value

    def test_page_has_each_and_no_other(self):
        text = self.PAGE.read_text(encoding='utf-8')
        rows = re.findall(r'^   \* - ``([a-z-]+)``$', text, re.M)
        # What bears the id of a check is on the page of that check.
        checks = registered('osc_lab.preflight.checks')
        self.assertEqual(set(self.ids()) - checks, set(rows) - checks)

    def test_each_has_a_note(self):
        text = ' '.join(path.read_text() for path in documents.notes())
        missing = [name for name in self.ids() if f'``{name}``' not in text]
        self.assertEqual([], missing)


class TestEncryptionFindings(testtools.TestCase):
    def test_each_has_a_note(self):
        text = ' '.join(path.read_text() for path in documents.notes())
        names = documents.TestFindings.ids(self)
        missing = [name for name in names if f'``{name}``' not in text]
        self.assertEqual([], missing)


class TestNotes(testtools.TestCase):
    """The lists in release notes name nothing that does not exist."""

    LISTS = (
        (r'The checks of a live migration are (.*?)\.', 'checks'),
        (r'The presets are (.*?);', 'presets'),
    )

    def test_checks_and_presets(self):
        text = ' '.join(
            ' '.join(path.read_text(encoding='utf-8').split())
            for path in documents.notes()
        )
        known = {
            'checks': registered('osc_lab.preflight.checks'),
            'presets': registered(presets.GROUP),
        }
        for pattern, kind in self.LISTS:
            found = re.search(pattern, text)
            self.assertIsNotNone(found, kind)
            names = re.findall(r'``([a-z0-9-]+)``', found[1])
            self.assertEqual(set(), set(names) - known[kind])


class TestExitCodes(testtools.TestCase):
    def test_documents_name_those_that_exist(self):
        codes = {int(code) for code in exceptions.ExitCode}
        count = 0
        for path, text in documents.pages():
            for code in re.findall(
                r'(?:exit (?:status|code)(?:\s+is)?|\bend(?:s|ed)? with)'
                r'\s+(?:``)?(\d+)',
                text,
            ):
                count += 1
                self.assertIn(int(code), codes, path.name)
        self.assertGreater(count, 2)


class TestBars(testtools.TestCase):
    """What is said to hold a bar is there."""

    def test_holders_exist(self):
        text = (documents.DOC / 'contributor/bars.rst').read_text()
        words = set(re.findall(r'``((?:test_|Test|benchmarks/)[^`]+)``', text))
        self.assertGreater(len(words), 15)
        tests = documents.TREE / 'osc_lab/tests'
        modules = {path.stem: path for path in tests.rglob('test_*.py')}
        classes = {
            name
            for path in modules.values()
            for name in re.findall(r'^class (\w+)', path.read_text(), re.M)
        }
        for word in words:
            found = fnmatch.filter([*modules, *classes], word)
            self.assertTrue(found or (documents.TREE / word).is_file(), word)
