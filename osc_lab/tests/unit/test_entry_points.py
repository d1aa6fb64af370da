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

"""Every entry point loads and explains itself."""

import argparse
import configparser
import importlib
import importlib.metadata
import pathlib
import re
import shlex
from unittest import mock

import fixtures
import testtools
from testtools import matchers

import osc_lab
from osc_lab import exceptions

SETUP = pathlib.Path(osc_lab.__file__).parent.parent / 'setup.cfg'


def entry_points():
    """Yield (group, name, object reference) as setup.cfg declares them.

    Beside an installed package there is none: its metadata count then.
    """
    if not SETUP.exists():
        for point in importlib.metadata.distribution('osc-lab').entry_points:
            yield point.group, point.name, point.value
        return
    parser = configparser.ConfigParser()
    parser.read(SETUP)
    for group, lines in parser['entry_points'].items():
        for line in lines.strip().splitlines():
            name, _equals, value = line.partition('=')
            if value:
                yield group, name.strip(), value.strip()


def load(reference):
    module, _colon, name = reference.partition(':')
    loaded = importlib.import_module(module)
    return getattr(loaded, name) if name else loaded


def commands():
    for group, name, reference in entry_points():
        if group == 'openstack.lab.v1':
            yield name, load(reference)


class TestEntryPoints(testtools.TestCase):
    def test_all_load(self):
        names = [f'{group}:{name}' for group, name, _ in entry_points()]
        self.assertEqual(sorted(set(names)), sorted(names))
        for _group, _name, reference in entry_points():
            load(reference)

    def test_only_commands_and_hooks_use_groups_of_the_shell(self):
        # Upstream's plugin check takes everything else for a command.
        for group, name, _reference in entry_points():
            if group.startswith('openstack'):
                self.assertIn(
                    group,
                    (
                        'openstack.cli.extension',
                        'openstack.cli.server_migrate',
                        'openstack.lab.v1',
                    ),
                    name,
                )

    def test_plugin_says_what_the_shell_asks(self):
        plugin = load('osc_lab.plugin')
        self.assertEqual('lab', plugin.API_NAME)
        self.assertEqual('os_lab_api_version', plugin.API_VERSION_OPTION)
        self.assertEqual('1', plugin.DEFAULT_API_VERSION)
        parser = plugin.build_option_parser(argparse.ArgumentParser())
        self.assertEqual('1', parser.parse_args([]).os_lab_api_version)
        instance = mock.sentinel
        self.assertIs(
            mock.sentinel.sdk_connection, plugin.make_client(instance)
        )

    def test_version_from_the_environment(self):
        plugin = load('osc_lab.plugin')
        for value, version in ((None, '1'), ('', '1'), ('2', '2')):
            with fixtures.EnvironmentVariable('OS_LAB_API_VERSION', value):
                parser = plugin.build_option_parser(argparse.ArgumentParser())
            found = parser.parse_args([])
            self.assertEqual(version, found.os_lab_api_version)
            self.assertIn('OS_LAB_API_VERSION', parser.format_help())


class TestCommands(testtools.TestCase):
    def parser(self, name, command):
        app = mock.Mock(spec_set=['client_manager', 'options', 'NAME'])
        app.NAME = 'openstack'
        return command(app, None).get_parser(
            'openstack ' + name.replace('_', ' ')
        )

    def test_every_command_has_a_description(self):
        for name, command in commands():
            description = command(mock.Mock(), None).get_description()
            # The shell's list of commands shows the first line.
            line, _newline, more = description.partition('\n')
            self.assertGreater(len(line), 20, name)
            self.assertEqual(bool(more), line.endswith('.'), name)

    def test_every_option_has_help(self):
        for name, command in commands():
            for action in self.parser(name, command)._actions:
                self.assertTrue(action.help, f'{name}: {action.dest}')

    def test_every_choice_is_in_the_help(self):
        for name, command in commands():
            for group in self.parser(name, command)._action_groups:
                if 'formatter' in (group.title or '').lower():
                    continue
                for action in group._group_actions:
                    for choice in action.choices or ():
                        self.assertIn(choice, action.help, name)

    def test_help_fits_a_terminal(self):
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', '80'))
        # argparse does not break what is in brackets; but for those of the
        # modes of a migration these are not ours.
        whole = re.compile(
            r' +\[(-f|--quote|--sort-ascending|--project-domain'
            r'|--preflight \|) .*\]'
        )
        for name, command in commands():
            text = self.parser(name, command).format_help()
            self.assertIn(f'usage: openstack {name.replace("_", " ")}', text)
            wide = [
                line
                for line in text.splitlines()
                if len(line) > 80 and not whole.fullmatch(line)
            ]
            self.assertEqual([], wide, name)

    def test_help_keeps_paragraphs_and_examples(self):
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', '60'))
        for name, command in commands():
            text = self.parser(name, command).format_help()
            for example in command.examples:
                self.assertIn(f'\n  {example}\n', text, name)
            description = command(mock.Mock(), None).get_description()
            for part in description.split('\n\n'):
                self.assertIn(f'\n\n{part[:40]}', text, name)

    def test_examples_are_calls_of_the_command(self):
        for name, command in commands():
            call = 'openstack ' + name.replace('_', ' ')
            parser = self.parser(name, command)
            self.assertTrue(command.examples, name)
            for example in command.examples:
                self.assertTrue(example.startswith(call), example)
                line = example.replace('\\\n', ' ').removeprefix(call)
                words = shlex.split(re.split(r' [|>] ', line)[0])
                # Ends the test when they cannot be parsed.
                parser.parse_args(words)

    def test_help_tells_each_exit_status(self):
        for name, command in commands():
            epilog = command(mock.Mock(), None).get_epilog()
            for code in exceptions.ExitCode:
                self.assertIn(f'{code:d} {code.meaning}', epilog, name)

    def test_help_names_the_plugin_without_a_search(self):
        # cliff would read the metadata of every package that is installed.
        with mock.patch(
            'cliff.command._get_distributions_by_modules',
            side_effect=AssertionError('searched'),
        ):
            for name, command in commands():
                self.assertThat(
                    self.parser(name, command).epilog,
                    matchers.EndsWith('provided by the osc-lab plugin.'),
                )

    def test_only_long_options(self):
        for name, command in commands():
            own = {
                flag
                for action in self.parser(name, command)._actions
                for flag in action.option_strings
            }
            self.assertLessEqual(
                {flag for flag in own if not flag.startswith('--')},
                {'-h', '-f', '-c'},
                name,
            )
