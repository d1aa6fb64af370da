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

"""Run the openstack shell with the plugin as it was installed.

    python tools/verify.py SITE_PACKAGES

Every command of the plugin has to explain itself within 80 columns, and
those that need no cloud have to work; nothing may be said on standard error,
and the shell of people who use none of them must not load any of it.  Where
the tests are installed, too, each of their modules has to load, and some run.
"""

import configparser
import os
import pathlib
import re
import subprocess
import sys
import tempfile

#: What needs no cloud, and a word that its output holds.
WITHOUT_CLOUD = {
    'volume encryption preset list': 'luks',
    'port mirror list --help': 'usage: openstack port mirror list',
    'server migrate live --list-checks': 'Question',
}

#: Unit tests that run as they were installed: of the entry points, and some
#: that make certificates and serve a cloud.
TESTS = (
    'osc_lab.tests.unit.test_entry_points',
    'osc_lab.tests.unit.access.test_certificates',
    'osc_lab.tests.unit.commands.test_secrets_process',
)

#: Runs the shell, then says on standard error what it loaded.
WATCHED = """
import sys
import openstackclient.shell
try:
    openstackclient.shell.main(sys.argv[1:])
finally:
    print(*sys.modules, file=sys.stderr)
"""

#: Its parent is a command too, for which the completion has options only;
#: stock commands such as "server migrate confirm" are in the same position.
HIDDEN = ('server migrate live',)

#: Stands in for the package bash-completion, and asks for one completion.
COMPLETE = """
_get_comp_words_by_ref() {
    cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]}")
}
offer() {
    COMP_WORDS=(openstack "$@") COMP_CWORD=$# COMPREPLY=()
    _openstack
    echo "${COMPREPLY[@]}"
}
"""

#: What people who do not use the plugin's commands must not pay for.
HEAVY = (
    r'libvirt\w*|ovs|ovsdbapp|'
    r'osc_lab\.(access|encryption|migration|mirroring|preflight)\..*'
)


def entry_points(folder: pathlib.Path) -> dict[str, str]:
    """Return the command -> the object that the metadata declares."""
    (path,) = folder.glob('osc_lab-*.dist-info/entry_points.txt')
    parser = configparser.ConfigParser(delimiters=('=',))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path, encoding='utf-8')
    return {
        name.replace('_', ' '): value
        for name, value in parser['openstack.lab.v1'].items()
    }


class Shell:
    """The openstack shell, with an empty home and no cloud."""

    def __init__(self, folder: pathlib.Path, home: str) -> None:
        self.env = {
            'COLUMNS': '80',
            'HOME': home,
            'LANG': 'C.UTF-8',
            'PATH': os.environ['PATH'],
            'PYTHONPATH': str(folder),
        }

    def run(self, line: str) -> str:
        """Run a command; it must exit 0 and be quiet on standard error."""
        script = pathlib.Path(sys.executable).parent / 'openstack'
        done = self._run(str(script), *line.split())
        if done.returncode or done.stderr:
            sys.exit(
                f'openstack {line}: exit status {done.returncode}\n'
                f'{done.stdout}{done.stderr}'
            )
        return done.stdout

    def python(self, *argv: str) -> str:
        """Run Python on what is installed; it must exit 0."""
        done = self._run(*argv)
        if done.returncode:
            sys.exit(f'python {argv}:\n{done.stdout}{done.stderr}')
        return done.stdout

    def loaded(self, line: str) -> list[str]:
        """Return the modules that a command loads."""
        return self._run('-c', WATCHED, *line.split()).stderr.split()

    def _run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *argv],
            cwd=self.env['HOME'],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )


def check_help(shell: Shell, command: str) -> None:
    text = shell.run(f'help {command}')
    # argparse breaks neither an option nor those that exclude each other: the
    # modes of "server migrate live", and what is not ours.
    unbroken = re.compile(
        r' +\[(-f|--quote|--sort-ascending|--preflight|--project-domain) .*\]'
    )
    wide = [
        line
        for line in text.splitlines()
        if len(line) > 80 and not unbroken.fullmatch(line)
    ]
    if wide:
        sys.exit(f'openstack help {command} is too wide: {wide}')
    if f'usage: openstack {command}' not in text:
        sys.exit(f'openstack help {command} is about something else:\n{text}')


def check_completion(shell: Shell, commands: list[str]) -> None:
    """Complete each command, and its options, in a real bash."""
    script = COMPLETE + shell.run('complete')
    wishes = []
    for command in commands:
        parent, _space, last = command.rpartition(' ')
        if command not in HIDDEN:
            wishes.append((f'{parent} {last[0]}', last))
        wishes.append((f'{command} --', '--help'))
    script += ''.join(f'\noffer {line}' for line, _word in wishes)
    done = subprocess.run(
        ['bash', '--norc'], input=script, capture_output=True, text=True
    )
    offers = done.stdout.splitlines()
    if done.returncode or done.stderr or len(offers) != len(wishes):
        sys.exit(f'bash does not understand the completion: {done.stderr}')
    for (line, word), offer in zip(wishes, offers, strict=True):
        if word not in offer.split():
            sys.exit(f'the completion of "openstack {line}" is "{offer}"')


def check_light(shell: Shell) -> None:
    """See what the shell loads for somebody else's command."""
    for line in ('--version', 'command list'):
        names = shell.loaded(line)
        if 'osc_lab.plugin' not in names:
            sys.exit(f'openstack {line} did not load the plugin')
        heavy = sorted(n for n in names if re.fullmatch(HEAVY, n))
        if heavy:
            sys.exit(f'openstack {line} loads {heavy}')


def check_tests(shell: Shell, folder: pathlib.Path) -> str:
    """Load every unit test from the folder, and run some of them."""
    tests = folder / 'osc_lab/tests/unit'
    find = ('discover', '-s', str(tests), '-t', str(folder))
    listed = shell.python('-m', 'testtools.run', *find, '--list')
    shell.python('-m', 'testtools.run', *TESTS)
    return f'{len(listed.splitlines())} tests load, {len(TESTS)} modules run'


def main(folder: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory() as home:
        shell = Shell(folder, home)
        commands = sorted(entry_points(folder))
        print(f'openstack --version: {shell.run("--version").strip()}')
        check_light(shell)
        for command in commands:
            check_help(shell, command)
        print(f'openstack help: {len(commands)} commands, 80 columns')
        check_completion(shell, commands)
        print(f'openstack complete: {len(commands)} commands')
        for line, word in WITHOUT_CLOUD.items():
            if word not in shell.run(line):
                sys.exit(f'openstack {line} does not show "{word}"')
            print(f'openstack {line}: ok')
        if (folder / 'osc_lab/tests').is_dir():
            print(check_tests(shell, folder))


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]).absolute())
