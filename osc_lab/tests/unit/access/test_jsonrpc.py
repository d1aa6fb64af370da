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

import contextlib
import os
import pathlib
import socket
import ssl
import threading
import time

import fixtures
import testtools

from osc_lab.access import jsonrpc
from osc_lab import exceptions
from osc_lab.tests import openssl

HOST = 'cmp1'


def listen(case, work):
    """Have a thread work with a listener for a test; returns its port."""
    listener = socket.create_server(('127.0.0.1', 0))

    def run():
        with contextlib.suppress(OSError):
            work(listener)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    case.addCleanup(listener.close)
    case.addCleanup(thread.join)
    # One left in accept() may go on with the socket of another test, which
    # has got the same number.
    case.addCleanup(listener.shutdown, socket.SHUT_RDWR)
    return listener.getsockname()[1]


class TestServers(testtools.TestCase):
    """What answers is no OVSDB, or does not answer."""

    def serve(self, answer):
        def work(listener):
            connection, _address = listener.accept()
            with connection:
                connection.recv(65536)
                if answer is not None:
                    connection.sendall(answer)
                    # Until the other side goes.
                    connection.recv(65536)

        return listen(self, work)

    def ask(self, answer):
        remote = f'tcp:127.0.0.1:{self.serve(answer)}'
        with jsonrpc.Connection(remote, HOST, jsonrpc.Files(), 1) as server:
            return server.call('list_dbs', [])

    def test_answer(self):
        self.assertEqual(
            ['x'], self.ask(b' {"id": 1, "error": null, "result": ["x"]}')
        )

    def test_errors_are_one_line(self):
        for answer, text in (
            (None, 'closed the connection'),
            (b'', 'no answer in time'),
            (b'SSH-2.0-OpenSSH\r\n', 'no answer in time'),
            (b'{"id": 1, "result": ', 'no answer in time'),
            (b'{"id": 7, "result": []}', 'no answer in time'),
            (b'{"id": 1, "error": "no\\u001b[31m"}', 'no'),
        ):
            error = self.assertRaises(exceptions.AccessError, self.ask, answer)
            self.assertIn(text, str(error))
            self.assertIn(HOST, str(error))
            self.assertEqual(exceptions.printable(error), str(error))

    def test_nobody_listens(self):
        listener = socket.create_server(('127.0.0.1', 0))
        port = listener.getsockname()[1]
        listener.close()
        error = self.assertRaises(
            exceptions.AccessError,
            jsonrpc.Connection,
            f'tcp:127.0.0.1:{port}',
            HOST,
            jsonrpc.Files(),
            5,
        )
        self.assertIn('refused', str(error))

    def test_an_answer_in_pieces_and_many(self):
        def work(listener):
            connection, _address = listener.accept()
            with connection:
                for number in (1, 2):
                    connection.recv(65536)
                    answer = b'{"id": %d, "error": null, "result": "}"}'
                    for byte in answer % number:
                        connection.sendall(bytes([byte]))

        remote = f'tcp:127.0.0.1:{listen(self, work)}'
        with jsonrpc.Connection(remote, HOST, jsonrpc.Files(), 5) as server:
            self.assertEqual('}', server.call('one', []))
            self.assertEqual('}', server.call('two', []))

    def addresses(self, *places):
        """Let any name have these addresses."""
        real = socket.getaddrinfo

        def found(host, port, *args, **kwargs):
            return [
                item
                for place in places
                for item in real(*place, type=socket.SOCK_STREAM)
            ]

        self.useFixture(fixtures.MonkeyPatch('socket.getaddrinfo', found))

    def silent(self):
        """Return where nobody takes a connection, and nobody refuses it."""
        listener = socket.create_server(('127.0.0.1', 0), backlog=0)
        self.addCleanup(listener.close)
        for _number in range(3):
            waiting = socket.socket()
            self.addCleanup(waiting.close)
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        return listener.getsockname()

    def test_time_counts_once_for_all_addresses(self):
        self.addresses(*(self.silent() for _number in range(3)))
        began = time.monotonic()
        error = self.assertRaises(
            exceptions.AccessError,
            jsonrpc.Connection,
            *('tcp:cmp1:1', HOST, jsonrpc.Files(), 1),
        )
        self.assertIn('no answer in time', str(error))
        self.assertLess(time.monotonic() - began, 1.9)

    def test_next_address(self):
        """One that is silent leaves time for the others."""
        port = self.serve(b'{"id": 1, "error": null, "result": ["x"]}')
        self.addresses(self.silent(), ('127.0.0.1', port))
        files = jsonrpc.Files()
        with jsonrpc.Connection('tcp:cmp1:1', HOST, files, 2) as server:
            self.assertEqual(['x'], server.call('list_dbs', []))

    def test_another_connection_after_a_failure(self):
        def work(listener):
            listener.accept()[0].close()
            connection, _address = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b'{"id": 2, "result": 7}')

        remote = f'tcp:127.0.0.1:{listen(self, work)}'
        with jsonrpc.Connection(remote, HOST, jsonrpc.Files(), 5) as server:
            self.assertRaises(exceptions.AccessError, server.call, 'x', [])
            self.assertEqual(7, server.call('x', []))


class TestRemotes(testtools.TestCase):
    def refused(self, kind, remote, **files):
        error = self.assertRaises(
            kind,
            jsonrpc.Connection,
            remote,
            HOST,
            jsonrpc.Files(**files),
            1,
        )
        self.assertEqual(exceptions.printable(error), str(error))
        return str(error)

    def test_what_is_no_remote(self):
        for remote, text in (
            ('udp:a:1', 'is not a remote'),
            ('unix:', 'is not a remote'),
            ('tcp:', 'names no address and port'),
            ('tcp:host', 'names no address and port'),
            ('tcp:host:x', 'names no address and port'),
            ('ssl:host:6640', 'needs a CA certificate'),
        ):
            self.assertIn(text, self.refused(exceptions.InvalidInput, remote))

    def test_addresses(self):
        for rest, expected in (
            ('[::1]:6640', ('::1', 6640)),
            ('host:99999', ('host', 65535)),
        ):
            self.assertEqual(expected, jsonrpc.address('x', rest))

    def test_no_socket(self):
        text = self.refused(exceptions.AccessError, 'unix:/nowhere/db.sock')
        self.assertIn('No such file', text)

    def test_files_that_cannot_be_used(self):
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        bad = folder / 'bad.pem'
        bad.write_text('nothing')
        for files, option in (
            ({'ca_cert': str(bad)}, '--ovsdb-ca-cert'),
            ({'ca_cert': str(folder / 'none')}, '--ovsdb-ca-cert'),
            (
                {
                    'ca_cert': ssl.get_default_verify_paths().cafile
                    or '/etc/ssl/certs/ca-certificates.crt',
                    'cert': str(bad),
                },
                '--ovsdb-cert and --ovsdb-key',
            ),
        ):
            text = self.refused(
                exceptions.InvalidInput, 'ssl:127.0.0.1:1', **files
            )
            self.assertIn(option, text)


class TestTls(testtools.TestCase):
    """A server that shows a certificate of the authority."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.ca = openssl.authority(self.folder / 'ca')

    def serve(self, *alternatives, days=30):
        pair = openssl.Pair(self.folder / 's.pem', self.folder / 's.key')
        openssl.issue(self.ca, pair, 'server', alternatives, days)
        return self.show(pair)

    def show(self, pair):
        """Serve with a certificate, and return the remote."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)

        def work(listener):
            # A client that finds the wrong name comes a second time.
            for _attempt in range(2):
                with contextlib.suppress(OSError):
                    plain, _address = listener.accept()
                    with context.wrap_socket(plain, server_side=True) as link:
                        link.recv(65536)
                        link.sendall(b'{"id": 1, "result": "ok"}')

        return f'ssl:127.0.0.1:{listen(self, work)}'

    def ask(self, remote, ca=None, **own):
        files = jsonrpc.Files(str((ca or self.ca).certificate), **own)
        with jsonrpc.Connection(remote, HOST, files, 20) as server:
            return server.call('x', [])

    def test_host_is_named_or_its_address(self):
        for name in ('IP:127.0.0.1', f'DNS:{HOST}'):
            self.assertEqual('ok', self.ask(self.serve(name)))

    def test_another_host_or_authority(self):
        for text, names, ca in (
            ('Hostname mismatch', ('DNS:cmp2',), None),
            (
                'issuer certificate',
                (f'DNS:{HOST}',),
                openssl.authority(self.folder / 'other', 'other'),
            ),
        ):
            error = self.assertRaises(
                exceptions.AccessError, self.ask, self.serve(*names), ca
            )
            self.assertIn(text, str(error))
            self.assertIn(f'is not the host {HOST}', str(error))

    def refused(self, remote):
        error = self.assertRaises(exceptions.AccessError, self.ask, remote)
        self.assertIn(f'is not the host {HOST}', str(error))
        return str(error)

    def own(self):
        """Return the files of a client."""
        pair = openssl.Pair(self.folder / 'c.pem', self.folder / 'c.key')
        openssl.issue(self.ca, pair, 'client')
        return pair

    def test_key_that_is_of_the_caller_alone(self):
        pair = self.own()
        files = {'cert': str(pair.certificate), 'key': str(pair.key)}
        remote = self.serve(f'DNS:{HOST}')
        for mode in (0o640, 0o604, 0o620):
            pair.key.chmod(mode)
            error = self.assertRaises(
                exceptions.InvalidInput, self.ask, remote, **files
            )
            self.assertEqual(
                f'--ovsdb-key: the private key {pair.key} is open to others. '
                f'Take their rights away: chmod 600 {pair.key}',
                str(error),
            )
        pair.key.chmod(0o600)
        self.assertEqual('ok', self.ask(remote, **files))

    def test_key_beside_the_certificate(self):
        pair = self.own()
        both = pair.certificate.read_bytes() + pair.key.read_bytes()
        pair.certificate.write_bytes(both)
        files = {'cert': str(pair.certificate)}
        remote = self.serve(f'DNS:{HOST}')
        error = self.assertRaises(
            exceptions.InvalidInput, self.ask, remote, **files
        )
        self.assertIn('--ovsdb-cert: the private key', str(error))
        pair.certificate.chmod(0o600)
        self.assertEqual('ok', self.ask(remote, **files))

    def test_key_that_a_group_was_given(self):
        """Its owner is another user, who lets the caller read it."""
        pair = self.own()
        files = {'cert': str(pair.certificate), 'key': str(pair.key)}
        me = os.geteuid()
        self.useFixture(fixtures.MonkeyPatch('os.geteuid', lambda: me + 1))
        remote = self.serve(f'DNS:{HOST}')
        pair.key.chmod(0o644)
        self.assertRaises(exceptions.InvalidInput, self.ask, remote, **files)
        pair.key.chmod(0o640)
        self.assertEqual('ok', self.ask(remote, **files))

    def test_certificate_that_is_over(self):
        remote = self.serve(f'DNS:{HOST}', days=-1)
        self.assertIn('has expired', self.refused(remote))

    def test_certificate_of_nobody(self):
        """It is signed by itself, whatever it says."""
        pair = openssl.authority(self.folder / 'self', HOST)
        self.assertIn('self-signed', self.refused(self.show(pair)))
