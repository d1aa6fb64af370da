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


"""A simulated cloud on a real socket, behind a proxy that spoils requests.

Clouds of tests answer to requests that requests-mock takes.  This sends
them there from a server on loopback, with the addresses in the answers
changed, so that everything below HTTP can fail as well.
"""

import contextlib
import http.server
import pathlib
import re
import socket
import ssl
import threading

import fixtures
import requests

from osc_lab.tests.functional import faulty
from osc_lab.tests import openssl

#: "http://nova.test/x" is "/nova.test/x" here.
_THERE = re.compile(rb'http://([a-z-]+\.test)')


class Web(fixtures.Fixture):
    """A cloud's services on loopback.

    :param http: the mocker that answers for the cloud
    :param hang: seconds that a request hangs
    :ivar proxy: the way to the cloud; see faulty.Proxy
    :ivar impostor: a host without a certificate that anybody trusts
    """

    def __init__(self, http, hang):
        super().__init__()
        self._http = http
        self._hang = hang

    def _setUp(self):
        # What is not of the cloud is on loopback.
        self._http.real_http = True
        server = _Server(('127.0.0.1', 0), _Handler)
        server.url = f'http://127.0.0.1:{server.server_address[1]}'
        thread = threading.Thread(
            target=server.serve_forever, args=(0.02,), daemon=True
        )
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.proxy = faulty.Proxy(server.url, self._hang)
        self.addCleanup(self.proxy.close)
        self.impostor = self.useFixture(_Impostor())
        self.proxy.elsewhere = {
            'no-name': 'http://nowhere.invalid',
            'bad-certificate': self.impostor.url,
        }
        self.useFixture(
            fixtures.MonkeyPatch('socket.getaddrinfo', _without_invalid())
        )

    def url(self, there):
        """Return where something of the cloud is found."""
        return _THERE.sub(
            rf'{self.proxy.url}/\1'.encode(), there.encode()
        ).decode()


def _without_invalid():
    """Return getaddrinfo as it is where no query leaves the machine."""
    real = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        if str(host).endswith('.invalid'):
            raise socket.gaierror(
                socket.EAI_NONAME, 'Name or service not known'
            )
        return real(host, *args, **kwargs)

    return getaddrinfo


class _Impostor(fixtures.Fixture):
    """Answers with TLS, signed by an authority of its own.

    :ivar told: what was sent to it all the same
    """

    def _setUp(self):
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        authority = openssl.authority(folder / 'ca')
        pair = openssl.Pair(folder / 'certificate.pem', folder / 'key.pem')
        openssl.issue(authority, pair, 'localhost', ['IP:127.0.0.1'], 1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self.told = []
        listener = socket.create_server(('127.0.0.1', 0))
        self.url = f'https://127.0.0.1:{listener.getsockname()[1]}'
        thread = threading.Thread(target=self._serve, args=(listener, context))
        thread.daemon = True
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(listener.close)
        self.addCleanup(listener.shutdown, socket.SHUT_RDWR)

    def _serve(self, listener, context):
        with contextlib.suppress(OSError):
            while True:
                connection, _address = listener.accept()
                with connection, contextlib.suppress(OSError):
                    spoken = context.wrap_socket(connection, server_side=True)
                    self.told.append(spoken.recv(65536))


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing: clients that are gone are no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    # Headers and body in one segment: two would cost 40 ms each time.
    wbufsize = 1024 * 1024

    def log_message(self, *args):
        pass

    def _handle(self):
        length = int(self.headers.get('Content-Length') or 0)
        body = self.rfile.read(length) if length else None
        headers = {
            key: value
            for key, value in self.headers.items()
            if key.lower() not in ('host', 'content-length', 'connection')
        }
        answer = requests.request(
            self.command,
            f'http://{self.path[1:]}',
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=60,
        )
        data = _THERE.sub(rf'{self.server.url}/\1'.encode(), answer.content)
        self.send_response(answer.status_code)
        for key, value in answer.headers.items():
            if key.lower() not in ('content-length', 'location'):
                self.send_header(key, value)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _handle
