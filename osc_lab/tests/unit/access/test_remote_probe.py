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

"""The probe, on this machine: real files, sockets and processes."""

import __future__
import ast
import contextlib
import glob
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import uuid

import fixtures

from osc_lab.access import remote_probe
from osc_lab.tests.unit.access import probing


class TestGuest(probing.ProbeTest):
    def setUp(self):
        super().setUp()
        self.uuid = str(uuid.uuid4())

    def test_memory_that_was_touched(self):
        size = 64 * 1024
        code = (
            f'import mmap; m = mmap.mmap(-1, {size} * 1024, '
            f'mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); '
            f'm[: 8 << 20] = bytes(8 << 20); {probing.WAITS}'
        )
        self.process('-c', code, '-uuid', self.uuid)
        found = remote_probe.guest_memory(self.uuid, size)
        self.assertTrue(8 * 1024 <= found < size, found)
        self.assertIsNone(remote_probe.guest_memory(self.uuid, 1))
        self.assertIsNone(remote_probe.guest_memory('other', size))


class TestWays(probing.ProbeTest):
    def test_names(self):
        found = remote_probe.resolved(['127.0.0.1', 'no.such.invalid'])
        self.assertEqual(
            {'127.0.0.1': '127.0.0.1', 'no.such.invalid': ''}, found
        )

    def test_connect(self):
        with socket.create_server(('127.0.0.1', 0)) as listener:
            port = listener.getsockname()[1]
            found = remote_probe.connect('127.0.0.1', port, 5)
        self.assertEqual('open', found['text'])
        found = remote_probe.connect('127.0.0.1', port, 5)
        self.assertEqual('Connection refused', found['text'])

    def test_connect_to_what_is_silent(self):
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            listener.listen(0)
            where = listener.getsockname()
            with contextlib.ExitStack() as stack:
                # The queue is full, so nobody else is answered.
                for _number in range(4):
                    full = stack.enter_context(socket.socket())
                    full.setblocking(False)
                    full.connect_ex(where)
                found = remote_probe.connect(*where, 0.2)
        self.assertEqual('timed out', found['text'])

    def virsh(self, text, **kwargs):
        self.program('virsh', text)
        return remote_probe.virsh('qemu+tcp://h/system', 5, **kwargs)

    def test_libvirt(self):
        found = self.virsh('echo "$*" >"$0.args"; echo "$LIBVIRT_AUTH_FILE"')
        self.assertEqual('open', found['text'])
        self.assertEqual(
            '-c qemu+tcp://h/system hostname\n',
            (self.folder / 'virsh.args').read_text(),
        )

    def test_libvirt_without_our_terminal(self):
        self.virsh('cut -d " " -f 6 /proc/$$/stat >"$0.session"')
        found = (self.folder / 'virsh.session').read_text()
        self.assertNotIn(int(found), (0, os.getsid(0)))

    def test_libvirt_that_refuses(self):
        found = self.virsh(
            'echo "error: failed to connect to the hypervisor" >&2\n'
            'echo "error: Cannot recv data: reset" >&2; echo more >&2; exit 1'
        )
        self.assertEqual('Cannot recv data: reset', found['text'])
        self.assertEqual('it failed', self.virsh('exit 1')['text'])

    def test_without_a_password(self):
        text = '[ "$LIBVIRT_AUTH_FILE" = /dev/null ]'
        self.assertEqual('open', self.virsh(text, secrets=False)['text'])
        self.assertEqual('it failed', self.virsh(text)['text'])

    def test_libvirt_that_hangs(self):
        self.program('virsh', 'exec sleep 30')
        found = remote_probe.virsh('x', 0.2)
        self.assertEqual('timed out', found['text'])

    def test_no_client(self):
        self.useFixture(fixtures.EnvironmentVariable('PATH', str(self.folder)))
        self.assertIsNone(remote_probe.virsh('x', 5))


class TestQemu(probing.ProbeTest):
    def test_what_a_build_can_do(self):
        answers = (
            {'QMP': {}},
            {'return': {}},
            {'return': [{'capability': 'xbzrle', 'state': False}]},
            {'return': [{'name': 'migrate'}, {'name': 'quit'}, {}]},
        )
        lines = '\n'.join(json.dumps(item) for item in answers)
        path = self.program('qemu', f"cat <<'END'\nnoise\n{lines}\n1\nEND")
        self.assertEqual(
            {'capabilities': ['xbzrle'], 'commands': ['migrate']},
            remote_probe.qemu(path, 5),
        )

    def test_none(self):
        self.assertIsNone(remote_probe.qemu('qemu', 5))
        found = remote_probe.qemu(str(self.folder / 'none'), 5)
        self.assertIn('No such file', found['error'])


class TestLog(probing.ProbeTest):
    def test_lines_about_a_migration(self):
        server, request = str(uuid.uuid4()), f'req-{uuid.uuid4()}'
        log = self.write(
            'nova-compute.log',
            f'1 INFO [{request}] {server} Migration to x://u:p@h begins\n'
            f'2 INFO [{request}] {server} something else\n'
            f'3 ERROR [{request}] {"x" * 2000}\n'
            f'4 ERROR [req-{uuid.uuid4()}] {server} of another\n',
        )
        program = self.write('nova-compute', probing.WAITS)
        with open(log, 'a') as stream:
            # As packages of Fedora start it.
            self.alone(self.process('-s', program, stderr=stream))
        found = remote_probe.log_lines(server, request)
        self.assertEqual(([log], []), (found['files'], found['unread']))
        lines = found['lines']
        self.assertEqual(['1', '3'], [line[0] for line in lines])
        self.assertIn('to x://u@h begins', lines[0])
        self.assertEqual(1000, len(lines[1]))
        lines = remote_probe.log_lines(server, '')['lines']
        self.assertEqual(['1', '4'], [line[0] for line in lines])

    def log_to(self, *names):
        """Let a nova-compute have files open, as it has its log."""
        program = self.write('nova-compute', probing.WAITS)
        with contextlib.ExitStack() as stack:
            streams = [
                stack.enter_context(open(self.folder / name, 'a'))
                for name in names
            ]
            pass_fds = [stream.fileno() for stream in streams]
            # Our own may go to a log as well.
            own = {'stderr': subprocess.DEVNULL, 'pass_fds': pass_fds}
            self.alone(self.process(program, **own))

    def alone(self, process):
        """Hide what else this machine runs."""
        look = glob.glob
        self.useFixture(
            fixtures.MonkeyPatch(
                'glob.glob',
                lambda pattern: look(
                    pattern.replace('[0-9]*', str(process.pid))
                ),
            )
        )

    def test_log_in_a_container(self):
        """Its name leads nowhere here, or to a file of the host."""
        self.write('one.log', '1 ERROR s1 of the container\n')
        name = self.write('host.log', '1 ERROR s1 of the host\n')
        self.log_to('one.log')
        seen = os.readlink
        for target in ('/none/nova-compute.log', name):
            with fixtures.MonkeyPatch(
                'os.readlink',
                lambda path, target=target: (
                    target if seen(path).endswith('one.log') else seen(path)
                ),
            ):
                found = remote_probe.log_lines('s1', '')
            self.assertEqual([target], found['files'])
            self.assertEqual(['1 ERROR s1 of the container'], found['lines'])

    def test_log_of_two_names(self):
        self.write('one.log', '1 ERROR s1 once\n')
        os.link(self.folder / 'one.log', self.folder / 'two.log')
        self.log_to('one.log', 'two.log', 'other.txt')
        found = remote_probe.log_lines('s1', '')
        self.assertEqual(['1 ERROR s1 once'], found['lines'])
        self.assertEqual(1, len(found['files']))

    def test_no_log(self):
        self.only()
        self.assertEqual(
            {'files': [], 'unread': [], 'lines': []},
            remote_probe.log_lines('s1', ''),
        )

    def test_log_that_may_not_be_read(self):
        self.write('one.log', '1 ERROR s1 read\n')
        self.write('two.log', '1 ERROR s1 unread\n')
        self.log_to('one.log', 'two.log')
        real = open

        def refuse(path, *args, **kwargs):
            if os.path.realpath(path).endswith('two.log'):
                raise PermissionError(path)
            return real(path, *args, **kwargs)

        self.useFixture(fixtures.MonkeyPatch('builtins.open', refuse))
        found = remote_probe.log_lines('s1', '')
        self.assertEqual(['1 ERROR s1 read'], found['lines'])
        self.assertEqual([str(self.folder / 'two.log')], found['unread'])


def source():
    return pathlib.Path(remote_probe.__file__).read_text()


def python39():
    """Return a Python 3.9 of this machine, or else our own."""
    places = [
        *os.environ['PATH'].split(':'),
        *glob.glob(os.path.expanduser('~/.pyenv/versions/3.9.*/bin')),
    ]
    for place in places:
        found = os.path.join(place, 'python3.9')
        # One of pyenv's in PATH may be there and refuse.
        if os.access(found, os.X_OK) and not subprocess.call(
            [found, '-c', ''], stderr=subprocess.DEVNULL
        ):
            return found
    return sys.executable


class TestMain(probing.ProbeTest):
    """As it is sent: the source is an argument, the request a line."""

    def start(self, lifetime=60, **request):
        process = subprocess.Popen(
            [python39(), '-c', source(), str(lifetime)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        print(json.dumps(request), file=process.stdin, flush=True)
        return process

    def test_questions_at_once(self):
        with self.start(
            space=str(self.folder), connect=[['127.0.0.1', 1, 1]], resolved=[]
        ) as process:
            found = json.loads(process.communicate()[0])
        self.assertGreater(found['space']['free'], 0)
        self.assertEqual('Connection refused', found['connect'][0]['text'])
        self.assertEqual({}, found['resolved'])

    def test_listens_until_its_input_ends(self):
        with socket.create_server(('', 0)) as taken:
            busy = taken.getsockname()[1]
            with self.start(listen=[[busy, 0, 0], 30]) as process:
                found = json.loads(process.stdout.readline())
                self.assertEqual({'listening': 0}, found)
                process.stdin.close()
                self.assertEqual(0, process.wait(20))
            with self.start(listen=[[busy], 30]) as process:
                found = json.loads(process.stdout.readline())
                self.assertEqual({'listening': None}, found)
                self.assertEqual(0, process.wait(20))

    def test_older_python_of_a_host(self):
        """That of Enterprise Linux 9, also where there is none to try."""
        ast.parse(source(), feature_version=(3, 9))
        code = compile(source(), 'probe', 'exec', dont_inherit=True)
        # Else "str | None" would be worked out, and be an error there.
        self.assertTrue(code.co_flags & __future__.annotations.compiler_flag)

    def test_ends_itself(self):
        with self.start(lifetime=1, listen=[[0], 60]) as process:
            self.assertEqual(-signal.SIGALRM, process.wait(20))
