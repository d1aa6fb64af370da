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
import time
import uuid

import fixtures
import testtools

from osc_lab.access import remote_probe

#: A process that is found by its arguments; it ends with its input.
WAITS = 'import sys; print(flush=True); sys.stdin.read()'


class ProbeTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def program(self, name, text):
        path = pathlib.Path(self.write(name, f'#!/bin/sh\n{text}\n'))
        path.chmod(0o755)
        self.useFixture(
            fixtures.EnvironmentVariable(
                'PATH', f'{self.folder}:{os.environ["PATH"]}'
            )
        )
        return str(path)

    def process(self, *argv, **kwargs):
        """Start a process that waits, and return it when it runs."""
        running = subprocess.Popen(
            [sys.executable, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **kwargs,
        )

        def end():
            with running:
                running.stdin.close()

        self.addCleanup(end)
        running.stdout.readline()
        return running

    def service(self, name, *argv):
        """Start the only service of this machine, return its process id."""
        running = self.process(self.write(name, WAITS), *argv).pid
        self.only(f'/proc/{running}/cmdline')
        return running

    def only(self, *found):
        look = glob.glob
        # There may be other services on this machine.
        self.useFixture(
            fixtures.MonkeyPatch(
                'glob.glob',
                lambda pattern: (
                    list(found) if 'proc' in pattern else look(pattern)
                ),
            )
        )


class TestConfiguration(ProbeTest):
    def ask(self, *files):
        wanted = {
            'DEFAULT': ('host',),
            'libvirt': ('live_migration_uri', 'cpu_mode'),
        }
        return remote_probe.configuration(
            {'files': list(files), 'options': wanted}
        )

    def test_what_is_asked_for_and_nothing_else(self):
        path = self.write(
            'nova.conf',
            '[DEFAULT]\nhost = a\npassword = x\n[libvirt]\ncpu_mode\n'
            '[key_manager]\nfixed_key = x\n',
        )
        found = self.ask(path)
        self.assertEqual(
            {'DEFAULT': {'host': 'a'}, 'libvirt': {'cpu_mode': None}},
            found['options'],
        )
        self.assertEqual(('', [path]), (found['cell'], found['files']))

    def test_quotes_around_a_value(self):
        for value, expected in (
            ('"qemu+tls://%s/system"', 'qemu+tls://%s/system'),
            ("'a'", 'a'),
            ('"a', '"a'),
            ('"a\'', '"a\''),
            ('""', ''),
            ('"', ''),
        ):
            path = self.write(
                'nova.conf', f'[libvirt]\nlive_migration_uri = {value}\n'
            )
            found = self.ask(path)['options']['libvirt']
            self.assertEqual(expected, found['live_migration_uri'])

    def test_the_last_file_counts(self):
        one = self.write('1', '[DEFAULT]\nhost = a\n')
        two = self.write('2', '[DEFAULT]\nhost = b\n')
        found = self.ask(one, two)
        self.assertEqual('b', found['options']['DEFAULT']['host'])

    def test_files_that_cannot_be_used(self):
        broken = self.write('broken', 'no section\n')
        binary = self.folder / 'binary'
        binary.write_bytes(b'[DEFAULT]\nhost = \xff\n')
        found = self.ask(broken, str(binary), str(self.folder / 'none'))
        self.assertEqual([], found['files'])
        self.assertEqual([broken, str(binary)], found['unread'])

    def test_folder(self):
        (self.folder / 'd').mkdir()
        files = [
            self.write(f'd/{name}', f'[DEFAULT]\nhost = {name}\n')
            for name in ('a.conf', 'b.conf', 'c.conf~')
        ]
        found = self.ask(str(self.folder / 'd'))
        self.assertEqual(files[:2], found['files'])
        self.assertEqual('b.conf', found['options']['DEFAULT']['host'])

    def test_no_password_leaves(self):
        path = self.write(
            'nova.conf',
            '[libvirt]\nlive_migration_uri = qemu+tcp://u:p@ss@%s/system\n',
        )
        self.assertEqual(
            'qemu+tcp://u@%s/system',
            self.ask(path)['options']['libvirt']['live_migration_uri'],
        )

    def cell(self, url):
        path = self.write('c', f'[DEFAULT]\ntransport_url = {url}\n')
        return self.ask(path)['cell']

    def test_of_the_message_queue_the_place_counts(self):
        one = self.cell('rabbit://u:p@h:1,u:p@i:1/v')
        self.assertEqual(one, self.cell('rabbit://x:y@h:1,z:z@i:1/v'))
        self.assertNotEqual(one, self.cell('rabbit://u:p@h:1,u:p@j:1/v'))
        self.assertEqual(one, self.cell('"rabbit://u:p@h:1,u:p@i:1/v"'))
        self.assertEqual(16, len(one))

    def test_one_message_queue_that_is_written_in_many_ways(self):
        """As oslo.messaging reads it; brokers are rotated over the nodes."""
        one = self.cell('rabbit://u:p@h:5672,u:p@i:5671/')
        for url in (
            'rabbit://u:p@i:5671,u:p@h:5672/',
            'rabbit://u:p@h,u:p@i:5671/',
            'rabbit://h:5672,u:p@I:5671,/',
            'rabbit://u:p@h:5672,u:p@i:5671',
            'rabbit://u:p@h:5672,u:p@i:5671//',
            'rabbit://u:p@h:5672,u:p@i:5671/%2F',
            'rabbit://u:p@h:5672,u:p@i:5671/?ssl=1&a=/b',
            'rabbit://u:p@h:5672,u:p@i:5671?ssl=1',
        ):
            self.assertEqual(one, self.cell(url), url)
        for url in (
            'rabbit://u:p@h:5672,u:p@i:5671/v',
            'rabbit://u:p@h:5672,u:p@i:5672/',
            'rabbit://u:p@h:5672/',
            'kafka://u:p@h:5672,u:p@i:5671/',
        ):
            self.assertNotEqual(one, self.cell(url), url)
        named = self.cell('rabbit://[::1]:5672/a%20b')
        self.assertEqual(named, self.cell('rabbit://u@[::1]/a b'))

    def own(self, *paths):
        for name, value in zip(('FILES', 'FOLDERS'), paths, strict=True):
            self.useFixture(
                fixtures.MonkeyPatch(
                    f'osc_lab.access.remote_probe.{name}', (value,)
                )
            )

    def test_process_whose_interpreter_has_options(self):
        for argv, expected in (
            (['/bin/nova-compute', '-s'], ['nova-compute', '-s']),
            (['python3', '-s', '/bin/x', 'y'], ['python3', 'x']),
            (['python3', '-sP', '-W', 'ignore', 'x'], ['python3', 'x']),
            (['python3', '-Wignore', '-X', 'dev', 'x'], ['python3', 'x']),
            (['python3', '-c', 'x'], ['python3', '-c']),
            (['pgrep', '-f', 'x'], ['pgrep', '-f']),
            (['python3', '-s'], ['python3']),
            ([''], ['']),
        ):
            self.assertEqual(expected, remote_probe.started(argv), argv)

    def test_files_that_the_process_names(self):
        one = self.write('1', '[DEFAULT]\nhost = a\n')
        two = self.write('2', '[libvirt]\ncpu_mode = none\n')
        self.service(
            'nova-compute', f'--config-file={one}', '--config-file', two
        )
        self.assertEqual([one, two], self.ask()['files'])

    def test_what_is_read_beside_what_is_named(self):
        self.own('/own', '/own.d')
        for expected, argv in (
            (['/own', '/own.d'], ()),
            (
                ['/own.d', '/a', '/b'],
                ('--config-file=/a', '--config-file', '/b'),
            ),
            (['/own', '/d'], ('--config-dir', '/d')),
            (['/d', '/a'], ('--config-dir=/d', '--config-file=/a')),
            (['/own', ''], ('--config-dir',)),
        ):
            self.service('nova-compute', *argv)
            self.assertEqual(
                ('', expected), remote_probe.of_nova_compute(), argv
            )

    def test_without_a_process(self):
        self.own('/own', '/own.d')
        self.useFixture(fixtures.MonkeyPatch('glob.glob', lambda _x: []))
        self.assertEqual(
            ('', ['/own', '/own.d']), remote_probe.of_nova_compute()
        )

    def test_process_in_a_container(self):
        path = self.write('nova.conf', '[DEFAULT]\nhost = a\n')
        self.own(path, str(self.folder / 'none'))
        running = self.service('nova-compute')
        spaces = {
            f'/proc/{running}/ns/mnt': 'mnt:[2]',
            '/proc/self/ns/mnt': 'mnt:[1]',
        }
        self.useFixture(
            fixtures.MonkeyPatch('os.readlink', lambda name: spaces[name])
        )
        self.assertEqual(
            f'/proc/{running}/root', remote_probe.of_nova_compute()[0]
        )
        self.assertEqual([path], self.ask()['files'])

    def test_process_of_somebody_else(self):
        def refuse(name):
            raise PermissionError(name)

        self.useFixture(fixtures.MonkeyPatch('os.readlink', refuse))
        self.assertIsNone(remote_probe.container(os.getpid()))
        path = self.write('nova.conf', '[DEFAULT]\nhost = a\n')
        self.own(path, str(self.folder / 'none'))
        self.service('nova-compute')
        self.assertEqual([path], self.ask()['files'])


class TestFiles(ProbeTest):
    def setUp(self):
        super().setUp()
        self.only()

    def contained(self, name, root):
        """Start a service that sees other files than this process."""
        self.service(name)
        self.useFixture(
            fixtures.MonkeyPatch(
                'osc_lab.access.remote_probe.container', lambda _pid: root
            )
        )

    def test_space(self):
        found = remote_probe.space(str(self.folder))
        self.assertGreater(found['free'], 0)
        gone = remote_probe.space(str(self.folder / 'none'))
        self.assertEqual({'error': 'No such file or directory'}, gone)

    def test_identities(self):
        one = self.write('1', '')
        linked = str(self.folder / 'linked')
        os.link(one, linked)
        other, gone = self.write('2', ''), str(self.folder / 'none')
        found = remote_probe.identities([one, linked, other, gone, f'{one}/x'])
        self.assertEqual(found[one], found[linked])
        self.assertNotEqual(found[one], found[other])
        self.assertEqual('', found[gone])
        self.assertEqual('', found[f'{one}/x'])

    def test_what_nobody_can_see_is_not_gone(self):
        one, gone = self.write('1', ''), str(self.folder / 'none')
        loop = self.folder / 'loop'
        loop.symlink_to(loop)
        self.assertEqual(
            {gone: ''}, remote_probe.identities([str(loop), gone])
        )

        def refuse(path):
            raise PermissionError(path)

        self.useFixture(fixtures.MonkeyPatch('os.statvfs', refuse))
        self.assertEqual({}, remote_probe.identities([one, gone]))

    def test_files_of_nova_compute_in_a_container(self):
        root = self.folder / 'root'
        (root / 'i').mkdir(parents=True)
        (root / 'i' / 'disk').write_text('')
        self.contained('nova-compute', str(root))
        found = remote_probe.identities(['/i/disk', '/none', str(self.folder)])
        inode = (root / 'i' / 'disk').stat().st_ino
        self.assertEqual(str(inode), found['/i/disk'].partition(':')[2])
        self.assertEqual(['', ''], [*found.values()][1:])
        self.assertGreater(remote_probe.space('/i')['free'], 0)
        self.assertIn('error', remote_probe.space(str(self.folder)))

    def test_files_of_nova_compute_where_nobody_may_look(self):
        one = self.write('1', '')
        self.contained('nova-compute', None)
        self.assertNotIn('', remote_probe.identities([one]).values())
        self.assertGreater(remote_probe.space(one)['free'], 0)

    def test_links_stay_in_the_container(self):
        root = self.folder / 'root'
        (root / 'a' / 'b').mkdir(parents=True)
        for name, target in (
            ('one', '/a/b'),
            ('two', '/one'),
            ('a/here', 'b'),
            ('no-such-loop', '/no-such-loop'),
        ):
            (root / name).symlink_to(target)
        for path, expected in (
            ('/one/c', '/a/b/c'),
            ('/two', '/a/b'),
            ('/a/here/c', '/a/here/c'),
            ('/none/c', '/none/c'),
        ):
            self.assertEqual(
                f'{root}{expected}', remote_probe.inside(str(root), path)
            )
        self.assertEqual(f'{root}/one', remote_probe.inside('', f'{root}/one'))
        self.contained('nova-compute', str(root))
        self.assertEqual(
            {'/no-such-loop': ''}, remote_probe.identities(['/no-such-loop'])
        )

    def test_no_private_key_leaves(self):
        block = '-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----'
        path = self.write(
            'both.pem',
            f'{block.format("one")}\n-----BEGIN PRIVATE KEY-----\nsecret\n'
            f'-----END PRIVATE KEY-----\n{block.format("two")}\n',
        )
        gone = str(self.folder / 'none')
        loop = self.folder / 'loop'
        loop.symlink_to(loop)
        found = remote_probe.certificates([path, gone, f'{path}/x', str(loop)])
        self.assertEqual(
            f'{block.format("one")}\n{block.format("two")}',
            found[path]['pem'],
        )
        self.assertEqual(os.stat(path).st_mtime, found[path]['changed'])
        self.assertEqual(({}, {}), (found[gone], found[f'{path}/x']))
        self.assertEqual(
            {'error': 'Too many levels of symbolic links'}, found[str(loop)]
        )

    def test_certificates_of_libvirt_in_a_container(self):
        root = self.folder / 'root'
        root.mkdir()
        path = root / 'cert.pem'
        path.write_text('x')
        os.utime(path, (5, 5))
        for name in ('libvirtd', 'virtqemud', 'virtproxyd'):
            self.contained(name, str(root))
            self.assertEqual(
                {'/cert.pem': {'pem': '', 'changed': 5}, str(path): {}},
                remote_probe.certificates(['/cert.pem', str(path)]),
            )

    def test_certificates_of_libvirt_where_nobody_may_look(self):
        """One of the host is taken for its own; that there is none is not."""
        path, gone = self.write('cert.pem', 'x'), str(self.folder / 'none')
        self.contained('libvirtd', None)
        found = remote_probe.certificates([path, gone])
        self.assertIn('pem', found[path])
        self.assertEqual(
            {'error': 'libvirt may be in a container'}, found[gone]
        )


class TestGuest(ProbeTest):
    def setUp(self):
        super().setUp()
        self.uuid = str(uuid.uuid4())

    def test_start(self):
        self.assertIsNone(remote_probe.guest_started(self.uuid))
        self.process('-c', WAITS, '-uuid', self.uuid)
        started = remote_probe.guest_started(self.uuid)
        self.assertAlmostEqual(time.time(), started, delta=60)

    def test_memory_that_was_touched(self):
        size = 64 * 1024
        code = (
            f'import mmap; m = mmap.mmap(-1, {size} * 1024, '
            f'mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); '
            f'm[: 8 << 20] = bytes(8 << 20); {WAITS}'
        )
        self.process('-c', code, '-uuid', self.uuid)
        found = remote_probe.guest_memory(self.uuid, size)
        self.assertTrue(8 * 1024 <= found < size, found)
        self.assertIsNone(remote_probe.guest_memory(self.uuid, 1))
        self.assertIsNone(remote_probe.guest_memory('other', size))


class TestWays(ProbeTest):
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


class TestQemu(ProbeTest):
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


class TestLog(ProbeTest):
    def test_lines_about_a_migration(self):
        server, request = str(uuid.uuid4()), f'req-{uuid.uuid4()}'
        log = self.write(
            'nova-compute.log',
            f'1 INFO [{request}] {server} Migration to x://u:p@h begins\n'
            f'2 INFO [{request}] {server} something else\n'
            f'3 ERROR [{request}] {"x" * 2000}\n'
            f'4 ERROR [req-{uuid.uuid4()}] {server} of another\n',
        )
        program = self.write('nova-compute', WAITS)
        with open(log, 'a') as stream:
            # As packages of Fedora start it.
            self.process('-s', program, stderr=stream)
        found = remote_probe.log_lines(server, request)
        self.assertEqual(['1', '3'], [line[0] for line in found])
        self.assertIn('to x://u@h begins', found[0])
        self.assertEqual(1000, len(found[1]))
        found = remote_probe.log_lines(server, '')
        self.assertEqual(['1', '4'], [line[0] for line in found])


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


class TestMain(ProbeTest):
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
        self.assertEqual(socket.gethostname(), found['hostname'])
        self.assertAlmostEqual(time.time(), found['time'], delta=60)
        self.assertGreater(found['space']['free'], 0)
        self.assertEqual('Connection refused', found['connect'][0]['text'])
        self.assertEqual({}, found['resolved'])

    def test_listens_until_its_input_ends(self):
        with socket.create_server(('', 0)) as taken:
            busy = taken.getsockname()[1]
            with self.start(listen=[[busy, 0], 30]) as process:
                ports = json.loads(process.stdout.readline())['listening']
                self.assertEqual([0], ports)
                process.stdin.close()
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
