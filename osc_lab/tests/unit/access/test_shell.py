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

"""The shell channel, with a stand-in for OpenSSH, and on this machine."""

import contextlib
import errno
import json
import os
import pathlib
import re
import shlex
import stat
import subprocess
import sys
import time

import fixtures
import testtools

from osc_lab.access import host_shell
from osc_lab.access import shell
from osc_lab import channels
from osc_lab import exceptions

#: Notes what it is asked, then does what the test wants.
SSH = """#!{python}
import json, os, pathlib, socket, subprocess, sys, time
here = pathlib.Path({folder!r})
with open(here / 'calls', 'a') as calls:
    print(json.dumps([sys.argv[1:], sorted(os.environ)]), file=calls)
exec((here / 'do').read_text())
"""

#: What OpenSSH does for -L: listens until its input ends.
FORWARD = """
path = sys.argv[sys.argv.index('-L') + 1].partition(':')[0]
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(path)
    listener.listen()
    sys.stdin.read()
"""

#: The same with a connection that another process holds, and the socket too.
MASTER = f"""
code = {FORWARD!r}
if "-O" in sys.argv:
    (here / "cancelled").touch()
elif os.fork():
    sys.stdin.read()
else:
    os.setsid()
    code = code.replace("sys.stdin.read()", "gone()")
    def gone():
        limit = time.monotonic() + 20
        while not (here / "cancelled").exists():
            time.sleep(0.02)
            assert time.monotonic() < limit
    exec(code)
"""

#: Ends while a thread of it waits for a host.
LEAVES = """
import os, sys, threading, time
from osc_lab.access import shell
from osc_lab import channels
found = channels.Channels(ssh='{host}', deadline=50)
there = shell.Shell(found.host('cmp1'), found)
threading.Thread(target=there.run, args=[['x']], daemon=True).start()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
"""

#: Ends while a thread of it uses the socket of a host.
LEAVES_SOCKET = LEAVES.replace("target=there.run, args=[['x']]", 'target=use')
LEAVES_SOCKET = LEAVES_SOCKET.replace(
    'threading.T',
    """
def use():
    with there.forward('/run/db.sock'):
        open(sys.argv[1], 'w').close()
        time.sleep(60)
threading.T""",
)


class ShellTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        program = self.folder / 'ssh'
        program.write_text(
            SSH.format(python=sys.executable, folder=str(self.folder))
        )
        program.chmod(0o755)
        for name, value in (
            ('PATH', f'{self.folder}:{os.environ["PATH"]}'),
            ('OS_PASSWORD', 'canary'),
        ):
            self.useFixture(fixtures.EnvironmentVariable(name, value))

    def does(self, code):
        (self.folder / 'do').write_text(code)

    def calls(self):
        lines = (self.folder / 'calls').read_text().splitlines()
        for _argv, environment in map(json.loads, lines):
            self.assertNotIn('OS_PASSWORD', environment)
        return [json.loads(line)[0] for line in lines]

    def settings(self, ssh='root@{host}', **more):
        return channels.Channels(**{'ssh': ssh, 'deadline': 20, **more})

    def shell(self, **settings):
        found = self.settings(**settings)
        return shell.Shell(found.host('cmp1'), found)


class TestRun(ShellTest):
    def test_arguments_are_quoted_for_the_other_side(self):
        self.does('print("out"); print("err", file=sys.stderr); sys.exit(3)')
        there = self.shell(ssh_config='/my config')
        answer = there.run(['echo', '$(x)', "a'b"])
        self.assertEqual(
            (3, 'out\n', 'err'), (answer.status, answer.text, answer.stderr)
        )
        (argv,) = self.calls()
        self.assertEqual(['-F', '/my config', '-T'], argv[:3])
        self.assertIn('StrictHostKeyChecking=yes', argv)
        self.assertIn('BatchMode=yes', argv)
        # Whoever shares our connection would lose it when we end.
        self.assertIn('ControlMaster=no', argv)
        self.assertEqual(
            ['root@cmp1', '--', "echo '$(x)' 'a'\"'\"'b'"], argv[-3:]
        )

    def test_here(self):
        there = self.shell(ssh='local')
        self.assertEqual('$(x)\n', there.run(['echo', '$(x)']).text)
        self.assertEqual(b'in', there.run(['cat'], stdin=b'in').stdout)
        # 255 is a status like any other.
        self.assertEqual(255, there.run(['sh', '-c', 'exit 255']).status)

    def test_no_channel(self):
        error = self.assertRaises(exceptions.AccessError, self.shell, ssh=None)
        self.assertIn('--ssh', str(error))

    def fails(self, text, command=('x',), **kwargs):
        settings = kwargs.pop('settings', {})
        error = self.assertRaises(
            exceptions.AccessError,
            self.shell(**settings).run,
            list(command),
            **kwargs,
        )
        self.assertIn(text, str(error))

    def test_host_that_refuses(self):
        self.does(
            'print("Warning: x\\nPermission denied.\\n", file=sys.stderr)\n'
            'sys.exit(255)'
        )
        self.fails('No shell on cmp1: Permission denied. Try it by hand: ssh')

    def test_host_that_hangs(self):
        self.does('time.sleep(60)')
        self.fails('did not answer within 0.3 s', timeout=0.3)

    def test_command_that_fails(self):
        self.does('sys.exit(4)')
        self.fails('x failed on cmp1: status 4', check=True)
        self.does('sys.exit("what went wrong")')
        self.fails('x failed on cmp1: what went wrong', check=True)

    def test_interrupt_of_the_terminal_is_for_us_alone(self):
        self.does('print(os.getsid(0) == os.getpid())')
        self.assertEqual('True\n', self.shell().run(['x']).text)

    def test_input_that_nobody_reads(self):
        self.does('sys.exit(0)')
        self.assertEqual(0, self.shell().run(['x'], b'x' * 1000000).status)
        there = self.shell(ssh='local')
        data = os.urandom(1000000)
        self.assertEqual(data, there.run(['cat'], data).stdout)

    def test_more_than_anything_needs(self):
        self.does(
            'data = b"x" * 65536\n'
            'while True:\n'
            '    sys.stdout.buffer.write(data)\n'
        )
        self.fails('cmp1 answered with more than 16 MiB')
        self.does('sys.stderr.write("x" * (1 << 20) + "\\nlast"); sys.exit(1)')
        answer = self.shell().run(['x'])
        self.assertLess(len(answer.stderr), 100000)
        self.assertEqual('last', shell.last(answer.stderr))

    def test_nothing_goes_on_without_us(self):
        """Not even what a thread waits for that was left behind."""
        self.does(
            'import signal\n'
            'signal.signal(signal.SIGTERM, signal.SIG_IGN)\n'
            '(here / "pid.new").write_text(str(os.getpid()))\n'
            '(here / "pid.new").rename(here / "pid")\n'
            'time.sleep(60)'
        )
        subprocess.run(
            [sys.executable, '-c', LEAVES, str(self.folder / 'pid')],
            timeout=60,
            check=True,
        )
        status = pathlib.Path(
            '/proc', (self.folder / 'pid').read_text(), 'status'
        )
        limit = time.monotonic() + 20
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # Somebody may still have to ask how it ended.
            while not re.search(r'State:\s+[ZX]', status.read_text()):
                self.assertLess(time.monotonic(), limit)
                time.sleep(0.02)

    def test_no_program(self):
        self.fails(
            'Cannot run /no/such', ['/no/such'], settings={'ssh': 'local'}
        )


class TestForward(ShellTest):
    def test_socket_of_the_host(self):
        self.does(FORWARD)
        with self.shell().forward('/run/db.sock') as path:
            folder = os.path.dirname(path)
            self.assertEqual(0o700, stat.S_IMODE(os.stat(folder).st_mode))
            self.assertTrue(shell._listens(path))
        self.assertFalse(os.path.exists(folder))
        (argv,) = self.calls()
        self.assertIn('ExitOnForwardFailure=yes', argv)
        self.assertEqual(f'{path}:/run/db.sock', argv[argv.index('-L') + 1])

    def test_here_there_is_nothing_to_forward(self):
        with self.shell(ssh='local').forward('/run/db.sock') as path:
            self.assertEqual('/run/db.sock', path)

    def test_master_that_keeps_the_socket(self):
        """It is told to let go of it."""
        self.does(MASTER)
        with self.shell().forward('/run/db.sock') as path:
            pass
        (_start, cancel) = self.calls()
        self.assertEqual(
            ['-O', 'cancel', '-L', f'{path}:/run/db.sock', 'root@cmp1'],
            cancel[-5:],
        )

    def test_program_that_ends_with_a_thread_left_behind(self):
        self.does(MASTER)
        subprocess.run(
            [sys.executable, '-c', LEAVES_SOCKET, str(self.folder / 'there')],
            timeout=60,
            check=True,
        )
        (_start, cancel) = self.calls()
        self.assertEqual(['-O', 'cancel', '-L'], cancel[-5:-2])
        self.assertFalse(os.path.exists(cancel[-2].partition(':')[0]))

    def refused(self, **settings):
        forward = self.shell(**settings).forward('/run/db.sock')
        error = self.assertRaises(exceptions.AccessError, forward.__enter__)
        return str(error)

    def test_host_that_refuses(self):
        self.does('sys.exit("Permission denied.")')
        self.assertIn('No shell on cmp1: Permission denied', self.refused())

    def test_host_that_hangs(self):
        self.does('time.sleep(60)')
        text = self.refused(deadline=0.3)
        self.assertIn('cmp1 did not answer in time', text)

    def test_no_program(self):
        (self.folder / 'ssh').unlink()
        self.useFixture(fixtures.EnvironmentVariable('PATH', str(self.folder)))
        self.assertIn('Cannot run ssh: No such file', self.refused())

    def test_full_disk(self):
        full = OSError(errno.ENOSPC, 'No space left')
        self.useFixture(
            fixtures.MockPatch('tempfile.mkdtemp', side_effect=full)
        )
        text = self.refused()
        self.assertIn('a folder for the socket of cmp1: No space left', text)

    def test_program_that_takes_no_signal(self):
        """As one does whose parent ignored it where we were started."""
        self.does(
            'import signal\n'
            'signal.signal(signal.SIGTERM, signal.SIG_IGN)\n'
            + FORWARD.replace('sys.stdin.read()', 'time.sleep(60)')
        )
        with self.shell().forward('/run/db.sock') as path:
            began = time.monotonic()
        self.assertLess(time.monotonic() - began, 30)
        self.assertFalse(os.path.exists(path))


class TestProbe(ShellTest):
    """What answers is the probe, or something else."""

    def ask(self, **request):
        found = self.settings()
        probe = host_shell.HostShell(found.host('cmp1'), found, ['/n.conf'])
        self.assertEqual(['/n.conf'], probe.configuration()['files'])
        return probe.ask(resolved=['127.0.0.1'], **request)

    def test_answer(self):
        self.does('sys.exit(subprocess.call(["sh", "-c", sys.argv[-1]]))')
        # An argument may have 128 KiB, a question about many hosts more.
        paths = [f'/no/such/{number}/' + 'x' * 100 for number in range(2000)]
        answer = self.ask(identities=paths)
        self.assertEqual({'127.0.0.1': '127.0.0.1'}, answer['resolved'])
        self.assertEqual(dict.fromkeys(paths, ''), answer['identities'])

    def lifetime(self):
        (argv,) = self.calls()
        (self.folder / 'calls').unlink()
        return int(shlex.split(argv[-1])[-1])

    def test_lives_as_long_as_somebody_waits(self):
        self.does('print("{}")')
        found = self.settings(deadline=300)
        probe = host_shell.HostShell(found.host('cmp1'), found)
        probe.ask()
        self.assertEqual(606, self.lifetime())
        self.does('print("{\\"listening\\": null}")')
        item = probe.listen([0], 899.5)
        self.addCleanup(item.close)
        self.addCleanup(item._process.stdout.close)
        self.assertIsNone(item.port())
        self.assertEqual(905, self.lifetime())

    def test_greeting_before_the_answer(self):
        self.does('print("Welcome"); print({"resolved": 1} and "{}")')
        self.assertEqual({}, self.ask())

    def test_what_is_no_answer(self):
        for code, text in (
            ('print("Welcome")', 'The probe failed on cmp1: status 0'),
            ('sys.exit("python3: not found")', 'python3: not found'),
            ('print("[1]")', 'answered nonsense'),
            ('', 'It needs Python 3.9 or later there'),
        ):
            self.does(code)
            error = self.assertRaises(exceptions.AccessError, self.ask)
            self.assertIn(text, str(error))

    def listener(self):
        found = self.settings()
        probe = host_shell.HostShell(found.host('cmp1'), found)
        item = probe.listen([0], 30)
        self.addCleanup(item.close)
        self.addCleanup(item._process.stdout.close)
        return item

    def test_listener(self):
        self.does('sys.exit(subprocess.call(["sh", "-c", sys.argv[-1]]))')
        item = self.listener()
        self.assertEqual(0, item.port())
        item.close()
        self.assertEqual(0, item._process.returncode)

    def test_listener_that_does_not_start(self):
        self.does('sys.exit(1)')
        error = self.assertRaises(exceptions.AccessError, self.listener().port)
        self.assertIn('Nothing could listen on cmp1', str(error))

    def test_listener_that_writes_without_an_end(self):
        self.does('while True: sys.stdout.write("x" * 65536)')
        self.assertRaises(exceptions.AccessError, self.listener().port)

    def test_listener_that_does_not_end(self):
        self.does('print(flush=True); time.sleep(60)')
        item = self.listener()
        self.assertRaises(exceptions.AccessError, item.port)
        item.close()
        self.assertEqual(-9, item._process.returncode)
