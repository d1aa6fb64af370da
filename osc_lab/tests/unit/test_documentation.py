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

"""What exists is documented, and what is documented exists."""

import ast
import collections.abc
import fnmatch
import importlib.metadata
import re
import shlex
import typing
import unittest
from unittest import mock

import testtools

from osc_lab import channels
from osc_lab.encryption import presets
from osc_lab import exceptions
from osc_lab.tests.unit import test_command
from osc_lab.tests.unit import test_entry_points as points

TREE = points.SETUP.parent
DOC = TREE / 'doc/source'
NOTES = TREE / 'releasenotes/notes'
RECORDED = DOC / 'recorded'

if not DOC.is_dir():
    # The package of the tests holds none; the gate runs in the tree.
    raise unittest.SkipTest(f'There are no documents in {TREE}')

#: What begins a command of ours.
NOUNS = (
    'port mirror',
    'port topology',
    'server migrate live',
    'volume encryption',
)

#: Options of the shell itself, of the formatters and of stock commands that
#: documents show; an own command has them or they stand before its name.
FORMATTERS = {'-f', '-c', '--help'}


def pages():
    """Yield (path, text) of every document that people read."""
    for path in (
        *DOC.rglob('*.rst'),
        *RECORDED.glob('*.txt'),
        *TREE.glob('*.rst'),
        *notes(),
    ):
        if 'registered' not in path.parts:
            yield path, path.read_text(encoding='utf-8')


def notes():
    return sorted(NOTES.glob('*.yaml'))


def parsers():
    """Return command -> its parser."""
    app = mock.Mock(spec_set=['client_manager', 'options', 'NAME'])
    app.NAME = 'openstack'
    return {
        name.replace('_', ' '): command(app, None).get_parser(name)
        for name, command in points.commands()
    }


def stock():
    """Return the commands of the shell itself."""
    yield from ('complete', 'help')
    stock = importlib.metadata.distribution('python-openstackclient')
    for point in stock.entry_points:
        if point.group.startswith('openstack.'):
            yield point.name.replace('_', ' ')


def options(parser):
    return {
        flag for action in parser._actions for flag in action.option_strings
    }


def lines(text: str) -> collections.abc.Iterator[str]:
    """Yield each call of the openstack shell that a text shows.

    They stand in literal blocks, with or without a prompt, and between
    double backticks.
    """
    joined = re.sub(r'\\\n\s*', ' ', text)
    for match in re.finditer(
        r'^(?:\s+|[$#] |\s+[$#] )(openstack .*)$', joined, re.MULTILINE
    ):
        yield match[1]
    for match in re.finditer(r'``(openstack [^`]*)``', joined):
        yield ' '.join(match[1].split())


def calls():
    """Yield (path, words) for each shown call of a command of ours."""
    for path, text in pages():
        for line in lines(text):
            try:
                words = shlex.split(line.partition(' | ')[0], comments=True)
            except ValueError:
                words = line.split()
            for noun in NOUNS:
                start = noun.split()
                for index in range(1, len(words) - len(start) + 1):
                    if words[index : index + len(start)] == start:
                        yield path, words[index:]
                        break


def reference():
    """Return the globs of commands that the reference pages show."""
    return [
        glob.strip()
        for path in (DOC / 'cli').glob('*.rst')
        for glob in re.findall(
            r'autoprogram-cliff:: openstack\.lab\.v1\n   :command: (.*)',
            path.read_text(encoding='utf-8'),
        )
    ]


class TestCommands(testtools.TestCase):
    def test_reference_shows_each_and_no_other(self):
        globs = reference()
        names = list(parsers())
        for name in names:
            self.assertTrue(
                any(fnmatch.fnmatch(name, glob) for glob in globs),
                f'{name} is on no page of doc/source/cli',
            )
        for glob in globs:
            self.assertTrue(fnmatch.filter(names, glob), glob)

    def test_reference_hides_no_option_of_ours(self):
        tree = ast.parse((DOC / 'conf.py').read_text(encoding='utf-8'))
        (hidden,) = (
            set(ast.literal_eval(node.value))
            for node in tree.body
            if isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == 'autoprogram_cliff_ignored'
        )
        for name, parser in parsers().items():
            ours = {
                flag
                for group in parser._action_groups
                for action in group._group_actions
                for flag in action.option_strings
                if 'formatter' not in (group.title or '').lower()
            }
            self.assertLessEqual(ours & hidden, {'--help'}, name)

    def test_documents_show_commands_that_exist(self):
        known = parsers()
        count = 0
        for path, words in calls():
            name = next(
                (
                    ' '.join(words[:end])
                    for end in range(len(words), 0, -1)
                    if ' '.join(words[:end]) in known
                ),
                None,
            )
            whole = ' '.join(words)
            if name is None:
                # A group of commands, as in "openstack port mirror".
                self.assertTrue(
                    any(other.startswith(f'{whole} ') for other in known),
                    f'{path.name}: openstack {whole}',
                )
                continue
            count += 1
            flags = options(known[name]) | FORMATTERS
            for word in words:
                if word.startswith('--') and word != '--':
                    self.assertIn(
                        word.partition('=')[0],
                        flags,
                        f'{path.name}: openstack {whole}',
                    )
        self.assertGreater(count, 2)

    def test_all_else_is_of_the_stock_client(self):
        known = {*parsers(), *stock()}
        count = 0
        for path, text in pages():
            for line in lines(text):
                words = line.split()[1:]
                while words and words[0].startswith('--os-'):
                    words = words[2:]
                if not words or not re.fullmatch('[a-z]+', words[0]):
                    # An option, or a placeholder.
                    continue
                count += 1
                whole = ' '.join(words) + ' '
                self.assertTrue(
                    any(
                        whole.startswith(f'{name} ')
                        # A group of commands, as in "openstack port mirror".
                        or name.startswith(whole)
                        for name in known
                    ),
                    f'{path.name}: openstack {whole}',
                )
        self.assertGreater(count, 50)


def blocks():
    """Yield (path, command, output) of each console block."""
    for path, text in pages():
        for block in re.findall(
            r'code-block:: console\n\n((?: {3}.*\n|\n)+)', text
        ):
            plain = re.sub(r'^ {3}', '', block, flags=re.M)
            for part in re.split(r'^[$#] ', plain, flags=re.M)[1:]:
                match = re.match(r'((?:.*\\\n)*.*)\n?', part)
                yield path, match[1], part[match.end() :].strip()


class TestOutput(testtools.TestCase):
    """What a document shows of commands that need no cloud is the output."""

    OFFLINE = (
        'volume encryption preset list',
        'volume encryption preset show',
        'server migrate live --list-checks',
    )

    def test_is_what_the_command_prints(self):
        count = 0
        for path, command, output in blocks():
            line = command.removeprefix('openstack ')
            if not output or not line.startswith(self.OFFLINE):
                continue
            count += 1
            status, printed, errors = test_command.openstack(line)
            self.assertEqual((0, ''), (status, errors), command)
            self.assertEqual(printed.strip(), output, path.name)
        self.assertGreater(count, 0)


class TestAccess(testtools.TestCase):
    """Options for the access to hosts, their variables and keys."""

    #: Keys in clouds.yaml that no option has.
    ALONE: typing.ClassVar = {
        'api_timeout',
        'config_files',
        'host_addresses',
        'local_hosts',
    }

    def test_pages_are_made_from_the_table(self):
        for page in ('user/hosts.rst', 'cli/man/openstack-lab.rst'):
            text = (DOC / page).read_text(encoding='utf-8')
            self.assertIn('\n.. registered-options::\n', text)
            self.assertIn('OSC_LAB_HOST_TIMEOUT', text)

    def test_pages_have_each_key(self):
        keys = {option.key for option in channels.ALL} | {
            'host_timeout',
            *self.ALONE,
        }
        text = (DOC / 'user/hosts.rst').read_text(encoding='utf-8')
        self.assertEqual(
            sorted(keys),
            sorted(re.findall(r'^   \* - ``(\w+)``$', text, re.M)),
        )
        text = (DOC / 'cli/man/openstack-lab.rst').read_text(encoding='utf-8')
        self.assertEqual(
            self.ALONE, set(re.findall(r'^\*\*(\w+_\w+)\*\*$', text, re.M))
        )

    def test_documents_name_those_that_exist(self):
        known = {option.variable for option in channels.ALL}
        known |= {'OSC_LAB_HOST_TIMEOUT'}
        for path, text in pages():
            if path.parent.name == 'contributor':
                # The lab and the tests have variables of their own.
                continue
            for name in re.findall(r'OSC_LAB_[A-Z_]*[A-Z]', text):
                self.assertIn(name, known, path.name)


class TestChecks(testtools.TestCase):
    """The pages of checks are made from the registry itself."""

    SOURCES: typing.ClassVar = {
        '': 'api',
        '--ssh': 'shell',
        '--ovsdb': 'ovsdb',
    }

    def checks(self):
        return {
            points.load(reference).id
            for group, _name, reference in points.entry_points()
            if group == 'osc_lab.preflight.checks'
        }

    def test_each_says_what_its_page_needs(self):
        for group, name, reference in points.entry_points():
            if group != 'osc_lab.preflight.checks':
                continue
            check = points.load(reference)
            self.assertEqual(name, check.id)
            self.assertTrue(check.question.endswith('?'), name)
            for text in (check.reason, check.remedy):
                self.assertGreater(len(text.split()), 2, name)
            # The forecast is a part of what libvirt is asked.
            source = self.SOURCES.get(check.channel, 'libvirt')
            self.assertEqual(source, check.source, name)

    def test_documents_name_those_that_exist(self):
        known = self.checks() | {'all', 'ID', 'NAME', '<id>'}
        for path, text in pages():
            for name in re.findall(
                r'--(?:skip-|ignore-)?check[ =]([\w<>-]+)', text
            ):
                self.assertIn(name, known, path.name)
            for name in re.findall(r'<check-([\w-]+)>', text):
                self.assertIn(name, known, path.name)

    def test_page_of_the_job_names_those_that_exist(self):
        text = (DOC / 'user/live-migration.rst').read_text(encoding='utf-8')
        # What has hyphens and is no check.
        others = {'query-migrate-capabilities'}
        names = re.findall(r'``([a-z]+(?:-[a-z0-9]+)+)``', text)
        self.assertEqual([], sorted(set(names) - others - self.checks()))


class TestFindings(testtools.TestCase):
    """The audit and the key check find without registered checks."""

    PAGE = DOC / 'cli/encryption-findings.rst'

    def ids(self):
        for path in (TREE / 'osc_lab/encryption').glob('*.py'):
            for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
                if (
                    isinstance(node, ast.Call)
                    and ast.unparse(node.func)
                    in ('_finding', 'finding.of_api', 'finding.Finding')
                    and isinstance(node.args[0], ast.Constant)
                ):
                    yield node.args[0].value

    def test_page_has_each_and_no_other(self):
        text = self.PAGE.read_text(encoding='utf-8')
        rows = re.findall(r'^   \* - ``([a-z-]+)``$', text, re.M)
        self.assertEqual(sorted(set(self.ids())), sorted(rows))


class TestPresets(testtools.TestCase):
    def test_each_is_a_command(self):
        known = parsers()
        for group, name, reference in points.entry_points():
            if group == presets.GROUP:
                preset = points.load(reference)
                self.assertEqual(name, preset.name)
                self.assertIn(f'volume encryption preset {name}', known)
                self.assertGreater(len(preset.description.split()), 3)

    def test_documents_show_those_that_exist(self):
        known = {
            name
            for group, name, _reference in points.entry_points()
            if group == presets.GROUP
        }
        show = 'volume encryption preset show'.split()
        for path, words in calls():
            if words[:4] == show and words[4:]:
                self.assertIn(
                    words[4], {*known, 'NAME', '<preset>'}, path.name
                )


class TestExitCodes(testtools.TestCase):
    def test_pages_are_made_from_the_enumeration(self):
        for page in ('cli/exit-codes.rst', 'cli/man/openstack-lab.rst'):
            text = (DOC / page).read_text(encoding='utf-8')
            self.assertIn('\n.. registered-exit-codes::\n', text, page)

    def test_each_says_what_it_means(self):
        for code in exceptions.ExitCode:
            self.assertGreater(len(code.meaning), 8)


class TestTroubleshooting(testtools.TestCase):
    def strings(self):
        for path in (TREE / 'osc_lab').rglob('*.py'):
            if 'tests' in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
                if isinstance(node, ast.Constant) and isinstance(
                    node.value, str
                ):
                    yield re.sub(r'%(\(\w+\))?[a-z]', '…', node.value)

    def test_errors_are_those_of_the_program(self):
        text = (DOC / 'user/troubleshooting.rst').read_text(encoding='utf-8')
        strings = list(self.strings())
        errors = re.findall(r'^``(.*)``$', text, re.M)
        self.assertGreater(len(errors), 10)
        for error in errors:
            wanted = error.rstrip('… ')
            self.assertTrue(any(wanted in item for item in strings), error)


class TestReleaseNotes(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.text = ' '.join(
            ' '.join(path.read_text(encoding='utf-8').split())
            for path in notes()
        )

    def test_each_command_has_one(self):
        for name in parsers():
            self.assertIn(f'``openstack {name}``', self.text)

    def test_each_check_and_preset_has_one(self):
        for group, name, _reference in points.entry_points():
            if group in ('osc_lab.preflight.checks', presets.GROUP):
                self.assertIn(f'``{name}``', self.text)

    def test_exit_codes_have_one(self):
        for code in exceptions.ExitCode:
            self.assertIn(f'``{int(code)}``', self.text)

    def test_names_are_those_of_reno(self):
        for path in notes():
            self.assertIsNotNone(
                re.fullmatch(r'[a-z0-9-]+-[0-9a-f]{16}', path.stem), path.name
            )
