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

"""The command line: verbs, their options, errors in one line."""

import contextlib
import functools
import io
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

from lab import allot
from lab import cli
from lab import errors
from lab import model
from lab import process
from lab import progress

_run = subprocess.run
_SHOW = 'import os; print(os.environ["OS_CLOUD"], flush=True); exit(7)'


class CliTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = pathlib.Path(folder.name).resolve()
        for number in cli._SIGNALS:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        for patch in (
            mock.patch.object(os, 'geteuid', return_value=0),
            mock.patch.object(cli.commands, 'kill_all'),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def record(self, profile: str = 'volumes') -> None:
        allot.save(
            self.state,
            allot.Record(
                '127.79.3', 21000, dict(model.PORTS), profile, 'barbican'
            ),
        )

    def lab(self, *arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = cli.main(['--state', str(self.state), *arguments])
            except SystemExit as end:
                code = int(end.code or 0)
        return code, out.getvalue(), err.getvalue()


class ParserTest(CliTest):
    def test_the_folder_may_stand_before_or_after_the_verb(self) -> None:
        parser = cli.parser()
        before = parser.parse_args(['--state', '/a', 'down', '--purge'])
        after = parser.parse_args(['down', '--purge', '--state', '/a'])
        self.assertEqual(before, after)
        self.assertEqual('/a', after.state)
        self.assertTrue(after.purge)

    def test_the_environment_names_the_folder_unless_told(self) -> None:
        def folder(verb: str) -> pathlib.Path:
            return cli._state_of(cli.parser().parse_args([verb]))

        with mock.patch.dict(os.environ, {'OSC_LAB_STATE_DIR': '/b'}):
            self.assertEqual(pathlib.Path('/b'), folder('up'))
        with mock.patch.dict(os.environ, {'OSC_LAB_STATE_DIR': ''}):
            self.assertEqual(pathlib.Path('.lab').resolve(), folder('up'))

    def test_wrong_words_are_a_mistake_of_use(self) -> None:
        for words in (
            (),
            ('fly',),
            ('up', '--profile', 'huge'),
            ('up', '--key-manager', 'vault'),
            ('exec', 'hostz', 'true'),
        ):
            with self.subTest(words):
                code, _, err = self.lab(*words)
                self.assertEqual(2, code)
                self.assertIn('usage:', err)

    def test_options_after_the_command_belong_to_the_command(self) -> None:
        args = cli.parser().parse_args(
            ['run', '--profile', 'full', '--', 'stestr', '--profile', 'x']
        )
        self.assertEqual('full', args.profile)
        self.assertEqual(['stestr', '--profile', 'x'], args.command[-3:])

    def test_every_verb_is_known_to_both_sides(self) -> None:
        self.assertEqual(7, len(cli._VERBS))
        out = io.StringIO()
        with contextlib.redirect_stdout(out), self.assertRaises(SystemExit):
            cli.parser().parse_args(['--help'])
        for verb in cli._VERBS:
            self.assertRegex(out.getvalue(), rf'(?m)^ +{verb} ')


class NoLabTest(CliTest):
    def test_what_needs_a_lab_says_how_to_get_one(self) -> None:
        for words in (('env',), ('status',), ('exec', 'hosta', 'true')):
            code, out, err = self.lab(*words)
            self.assertEqual((1, ''), (code, out))
            self.assertEqual(1, err.count('\n'))
            self.assertIn(f'--state {self.state} up', err)

    def test_a_log_that_is_not_there(self) -> None:
        code, _, err = self.lab('logs', 'nova')
        self.assertEqual(1, code)
        self.assertIn("no log 'nova'", err)
        self.assertEqual((0, '', ''), self.lab('logs'))

    def test_without_root_or_sudo_the_remedy_is_told(self) -> None:
        with (
            mock.patch.object(os, 'geteuid', return_value=1000),
            mock.patch.object(cli.shutil, 'which', return_value=None),
        ):
            code, _, err = self.lab('up')
        self.assertEqual(1, code)
        self.assertIn('run it as root', err)

    def test_sudo_keeps_what_the_command_needs(self) -> None:
        given = {
            'PATH': '/home/me/venv/bin:/usr/bin:/sbin',
            'OS_TEST_PATH': './osc_lab/tests/functional',
            'OS_STDOUT_CAPTURE': '1',
            'PYTHONDONTWRITEBYTECODE': '1',
            'OS_PASSWORD': 'secret',
        }
        with (
            mock.patch.object(os, 'geteuid', return_value=1000),
            mock.patch.object(cli.shutil, 'which', return_value='sudo'),
            mock.patch.dict(os.environ, given, clear=True),
            mock.patch.object(os, 'execvp', side_effect=SystemExit) as run,
        ):
            self.lab('run', '--', 'stestr', 'run')
        argv = run.call_args.args[1]
        at = argv.index(sys.executable)
        self.assertEqual(['sudo', 'env'], argv[:2])
        del given['OS_PASSWORD']
        given['PATH'] += ':/usr/local/sbin:/usr/sbin'
        self.assertEqual(
            sorted(f'{name}={value}' for name, value in given.items()),
            sorted(argv[2:at]),
        )
        self.assertEqual(['run', '--', 'stestr', 'run'], argv[-4:])


class LabTest(CliTest):
    def test_the_ports_are_those_of_the_record(self) -> None:
        ports = {**model.HOST_PORTS, 'ssh': 22000}
        record = allot.Record(
            '127.79.3', 21000, dict(model.PORTS), 'full', 'barbican', ports
        )
        allot.save(self.state, record)
        layout, _ = cli._known(self.state)
        self.assertEqual(ports, layout.host_ports)

    def test_env_is_for_a_shell(self) -> None:
        self.record()
        code, out, _ = self.lab('env', '--long')
        self.assertEqual(0, code)
        self.assertIn(f'OS_CLIENT_CONFIG_FILE={self.state}/clouds.yaml', out)
        self.assertIn('OSC_LAB_PROFILE=volumes', out)

    def test_status_of_a_lab_that_is_down_is_not_success(self) -> None:
        self.record()
        code, out, _ = self.lab('status')
        self.assertEqual(1, code)
        self.assertRegex(out, r'(?m)^keystone +control +down ')

    def test_exec_needs_a_machine_that_runs_and_a_command(self) -> None:
        self.record('full')
        code, _, err = self.lab('exec', 'hosta')
        self.assertEqual((1, True), (code, 'needs a command' in err))
        code, _, err = self.lab('exec', 'hosta', '--', 'true')
        self.assertEqual((1, True), (code, 'is not running' in err))

    def test_the_logs_are_listed(self) -> None:
        (self.state / 'log').mkdir()
        for name in ('keystone', 'cinder-api'):
            (self.state / 'log' / f'{name}.out').touch()
        self.assertEqual((0, 'cinder-api\nkeystone\n', ''), self.lab('logs'))


class RunTest(CliTest):
    def run_on_lab(
        self, *command: str, fails: Exception | None = None
    ) -> tuple[int, str]:
        """Run with a lab that is only said to be up; see self.down."""
        self.record()
        out = self.state / 'out'
        with (
            mock.patch.object(cli, '_up', side_effect=fails) as self.up,
            mock.patch.object(cli, '_down') as self.down,
            open(out, 'w') as stream,
            mock.patch.object(
                cli.subprocess,
                'run',
                lambda *a, **k: _run(*a, stdout=stream, **k),
            ),
        ):
            code, _, err = self.lab('run', *command)
        return code, out.read_text() + err

    def test_the_command_has_the_cloud_and_its_exit_status_counts(
        self,
    ) -> None:
        code, text = self.run_on_lab('--', sys.executable, '-c', _SHOW)
        self.assertEqual((7, 'lab\n'), (code, text))
        self.down.assert_called_once()

    def test_the_lab_ends_when_it_did_not_come_up(self) -> None:
        code, text = self.run_on_lab(
            '--', 'true', fails=errors.LabError('nova-api: gave no answer')
        )
        self.assertEqual((1, 'lab: nova-api: gave no answer\n'), (code, text))
        self.down.assert_called_once()

    def test_the_lab_ends_after_an_interrupt(self) -> None:
        code, text = self.run_on_lab('--', 'true', fails=KeyboardInterrupt())
        self.assertEqual((130, 'lab: interrupted\n'), (code, text))
        self.down.assert_called_once()

    def test_each_signal_takes_the_lab_down_and_none_stops_that(self) -> None:
        for number in cli._SIGNALS:
            killed: list[int] = []

            def kill(
                *_args: object,
                number: int = number,
                killed: list[int] = killed,
            ) -> None:
                killed.append(number)
                os.kill(os.getpid(), number)

            with self.subTest(number), mock.patch.object(cli, '_down', kill):
                self.record()
                with mock.patch.object(cli, '_up', kill):
                    code, _, err = self.lab('run', '--', 'true')
                self.assertEqual((130, 'lab: interrupted\n'), (code, err))
                self.assertEqual([number] * 2, killed)

    def test_what_the_command_has_started_ends_with_it(self) -> None:
        """As the workers of stestr, which nobody else would end."""
        pids = self.state / 'pids'
        started = 'trap "" TERM; echo $$ >> {0}; exec sleep 60'

        def interrupt() -> None:
            deadline = time.monotonic() + 20
            while not pids.exists() or pids.read_text().count('\n') < 2:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=interrupt).start()
        # One of the two has to be killed.
        command = f'sh -c \'{started.format(pids)}\' & '
        command += f'sleep 60 & echo $! >> {pids}; wait'
        with mock.patch.object(
            cli.process, 'end', functools.partial(process.end, patience=0.5)
        ):
            code, text = self.run_on_lab('--', 'sh', '-c', command)
        self.assertEqual((130, 'lab: interrupted\n'), (code, text))
        self.down.assert_called_once()
        for pid in pids.read_text().split():
            with contextlib.suppress(FileNotFoundError):
                # It may wait for somebody to bury it.
                stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
                self.assertEqual('Z', stat.rpartition(')')[2].split()[0])

    def test_nohup_stays(self) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.lab('logs')
        self.assertIs(signal.SIG_IGN, signal.getsignal(signal.SIGHUP))

    def test_a_terminal_that_is_gone_keeps_no_lab_up(self) -> None:
        gone = mock.Mock()
        gone.write.side_effect = OSError
        report = progress.Progress(gone)
        report.line('2 services stopped')
        gone.write.assert_called_once()

    def test_others_say_that_what_runs_stays(self) -> None:
        verb = mock.Mock(side_effect=KeyboardInterrupt)
        with mock.patch.dict(cli._VERBS, up=verb):
            code, _, err = self.lab('up')
        self.assertEqual(130, code)
        self.assertIn('what runs stays', err)

    def test_a_command_that_is_not_there_is_told_in_a_line(self) -> None:
        code, text = self.run_on_lab('--', '/nowhere/program')
        self.assertEqual(1, code)
        self.assertEqual(
            'lab: /nowhere/program: No such file or directory\n', text
        )
        self.down.assert_called_once()

    def test_no_command_brings_no_lab_up(self) -> None:
        for words in ((), ('--',)):
            code, text = self.run_on_lab(*words)
            self.assertEqual(1, code)
            self.assertIn('run needs a command', text)
            self.up.assert_not_called()


class TemporaryTest(CliTest):
    """``run`` without a folder takes one of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.state / 'temporary'
        for patch in (
            mock.patch.dict(os.environ),
            mock.patch.object(tempfile, 'mkdtemp', self.make),
            mock.patch.object(cli, '_LOGS', self.state / 'kept'),
            mock.patch.object(cli.down.apt, 'settle'),
        ):
            patch.start()
            self.addCleanup(patch.stop)
        os.environ.pop('OSC_LAB_STATE_DIR', None)

    def make(self, prefix: str) -> str:
        (self.folder / 'log').mkdir(parents=True)
        (self.folder / 'log' / 'nova-api.out').write_text('why')
        return str(self.folder)

    def fail_to_run(self) -> str:
        err = io.StringIO()
        failure = errors.LabError('no luck')
        with (
            mock.patch.object(cli, '_up', side_effect=failure),
            contextlib.redirect_stderr(err),
        ):
            self.assertEqual(1, cli.main(['run', '--', 'true']))
        return err.getvalue()

    def test_the_folder_goes_and_the_logs_stay(self) -> None:
        self.fail_to_run()
        self.assertFalse(self.folder.exists())
        log = self.state / 'kept' / 'nova-api.out'
        self.assertEqual('why', log.read_text())

    def test_logs_that_cannot_be_kept_do_not_keep_the_lab(self) -> None:
        (self.state / 'kept').touch()
        text = self.fail_to_run()
        self.assertIn('logs are not kept', text)
        self.assertFalse(self.folder.exists())

    def test_without_a_command_no_folder_is_made(self) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(1, cli.main(['run']))
        self.assertFalse(self.folder.exists())


if __name__ == '__main__':
    unittest.main()
