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

"""The bases of all commands, in the real shell."""

import errno
import locale
import shlex
import subprocess
import sys
from unittest import mock

import fixtures
import testtools

from osc_lab import command
from osc_lab.commands import server_migrate
from osc_lab import exceptions
from osc_lab.tests import inside

OFFLINE = 'volume encryption preset list'


def openstack(line):
    """Run the shell in this process; return status, stdout and stderr."""
    return inside.openstack(*shlex.split(line))


class TestColumns(testtools.TestCase):
    def test_a_name_in_any_spelling(self):
        for name in ('Name', 'name', 'NAME'):
            status, out, err = openstack(f'{OFFLINE} -f value -c {name}')
            self.assertEqual((0, ''), (status, err))
            self.assertIn('luks2\n', out)

    def test_no_such_column_names_those_there_are(self):
        status, out, err = openstack(f'{OFFLINE} -c nonsense')
        self.assertEqual((1, ''), (status, out))
        self.assertEqual(1, err.count('\n'), err)
        self.assertIn('-c: there is no column "nonsense"', err)
        self.assertIn('Key Size', err)


class TestOutput(testtools.TestCase):
    """Where the output goes takes nothing, in a process of its own."""

    def full(self, *argv):
        with open('/dev/full', 'wb') as full:
            return subprocess.run(
                [sys.executable, '-m', 'openstackclient.shell', *argv],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )

    def test_full_disk(self):
        done = self.full(*shlex.split(OFFLINE))
        self.assertEqual(1, done.returncode, done.stderr)
        self.assertEqual(1, done.stderr.count('\n'), done.stderr)
        self.assertIn('cannot be written: No space left', done.stderr)
        self.assertIn('look before you repeat it', done.stderr)

    def test_what_is_no_table(self):
        class Drawn(command.Command):
            cloud_required = False

            def take_action(self, parsed_args):
                with self.printing():
                    self.app.stdout.write('x')

        with open('/dev/full', 'w') as full:
            drawn = Drawn(mock.Mock(stdout=full), None)
            drawn.log = mock.Mock()
            status = drawn.run(drawn.get_parser('x').parse_args([]))
        self.assertEqual(1, status)
        self.assertIn('cannot be written', str(drawn.log.error.call_args))

    def test_code_of_the_result(self):
        class Found(command.Lister):
            cloud_required = False

            def take_action(self, parsed_args):
                self.exit_code = exceptions.ExitCode.CHECK_FAILED
                return ('Name',), [('x',)]

        with open('/dev/full', 'w') as full:
            app = mock.Mock(stdout=full)
            found = Found(app, None)
            found.log = mock.Mock()
            status = found.run(found.get_parser('x').parse_args([]))
        self.assertEqual(3, status)
        found.log.error.assert_called_once()


class TestSaying(testtools.TestCase):
    def say(self, error):
        stream = mock.Mock()
        stream.write.side_effect = error
        app = mock.Mock(stderr=stream)
        server_migrate.LiveMigrateServer(app, None).say('what was done')
        stream.write.assert_called_once_with('what was done\n')

    def test_what_nobody_can_read(self):
        self.say(OSError(errno.ENOSPC, 'full'))

    def test_closed_pipe(self):
        """It ends the command, and quietly."""
        self.assertRaises(BrokenPipeError, self.say, BrokenPipeError())


class TestLanguage(testtools.TestCase):
    """Causes are told by words: those of libraries stay English."""

    def language(self):
        return locale.setlocale(locale.LC_MESSAGES)

    def test_libraries_do_not_translate_meanwhile(self):
        self.addCleanup(
            locale.setlocale, locale.LC_ALL, locale.setlocale(locale.LC_ALL)
        )
        # The shell chooses what the environment says.
        self.useFixture(fixtures.EnvironmentVariable('LC_ALL', 'C.UTF-8'))
        seen = []

        def look(command, arguments):
            seen.append(self.language())
            raise KeyboardInterrupt

        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.command.Command._guarded', look)
        )
        try:
            openstack(OFFLINE)
        except KeyboardInterrupt:
            pass
        self.assertEqual((['C'], 'C.UTF-8'), (seen, self.language()))
