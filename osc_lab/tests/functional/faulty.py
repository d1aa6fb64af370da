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

"""A proxy before a real service that fails chosen requests."""

import contextlib
import http.client
import http.server
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
import urllib.parse

#: Faults of one request.  Those with "after" come when the service has
#: carried the request out; its answer is lost.
FAULTS = (
    'refused',
    'reset-before',
    'reset-after',
    'hang-before',
    'hang-after',
    'half-answer',
    'not-json',
    'truncated-json',
    401,
    403,
    404,
    409,
    429,
    500,
    502,
    503,
)

#: A redirection to a host that has no such name, or not the certificate.
ELSEWHERE = ('no-name', 'bad-certificate')

#: More, for clouds that are simulated: late, odd, and a redirection that
#: leads to itself.
ALL = (*FAULTS, 'slow', 'wrong-type', 'loop', *ELSEWHERE, 400, 413, 504)


#: Seconds that it stays away for a client that does not come.
_LONGEST = 5.0

#: Called with the port of each connection that this process begins.
_WATCHES = []


def _audit(event, args):
    if event == 'socket.connect' and isinstance(args[1], tuple):
        for watch in list(_WATCHES):
            watch(args[1][1])


sys.addaudithook(_audit)


#: Headers of an answer that are passed on.
_KEPT = (
    *('content-type', 'location', 'retry-after'),
    *('x-subject-token', 'x-openstack-request-id'),
)


class Proxy:
    """Forwards to one service; counts and spoils requests.

    :param target: base URL of the real service, such as http://h:8776/v3
    :ivar log: (method, path) of each request, in the order of arrival; one
        that only asks again, about a volume, is not counted
    :ivar faults: number of the request (from 1) -> one of FAULTS
    :ivar loop: [path, how often it still leads to itself]
    :ivar elsewhere: one of ELSEWHERE -> base URL of that host
    :ivar dead: number of the request from which on nothing is answered
    :ivar struck: whether a fault, a dead network or a signal has come
    :ivar there: set while it takes connections
    :ivar kill: (number, 'before' or 'after', pid) or None
    :ivar signal: what the process of that pid gets
    :ivar idle: connections that wait for the next request
    """

    def __init__(self, target, hang=30.0):
        self.target = urllib.parse.urlsplit(target)
        self.hang = hang
        self.log = []
        self.faults = {}
        self.dead = None
        self.loop = ['', 0]
        self.elsewhere = {}
        self.struck = False
        self.there = threading.Event()
        self.kill = None
        self.signal = signal.SIGKILL
        self.idle = set()
        self._lock = threading.Lock()
        self._server = None
        self._port = 0
        self._up()

    @property
    def url(self):
        return f'http://127.0.0.1:{self._port}{self.target.path}'

    @property
    def writes(self):
        return [item for item in self.log if item[0] != 'GET']

    def _up(self):
        handler = type('Handler', (_Handler,), {'proxy': self})
        self._server = _Server(('127.0.0.1', self._port), handler)
        self._port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        ).start()
        self.there.set()

    def close(self):
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def away(self, seconds):
        """Refuse connections of this process, for a while from the first."""
        gone, called = threading.Event(), threading.Event()

        def watch(port):
            if port == self._port:
                self.struck = True
                called.set()

        def absent():
            self.there.clear()
            self.close()
            _WATCHES.append(watch)
            # Else the next request may take one of these.
            for connection in list(self.idle):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            gone.set()
            called.wait(_LONGEST)
            time.sleep(seconds)
            _WATCHES.remove(watch)
            self._up()

        threading.Thread(target=absent, daemon=True).start()
        gone.wait()

    def number(self, method, path):
        """Return the number of a request; None when it only polls."""
        with self._lock:
            request = (method, path)
            if '/volumes' in path and self.log[-1:] == [request]:
                return None
            self.log.append(request)
            return len(self.log)

    def forward(self, method, path, body, headers):
        """Return status, headers and body of the real answer."""
        upstream = http.client.HTTPConnection(
            self.target.hostname, self.target.port, timeout=60
        )
        with contextlib.closing(upstream):
            upstream.request(method, path, body, headers)
            answer = upstream.getresponse()
            data = answer.read()
            # Links must lead here again.
            there, here = self.target.netloc, f'127.0.0.1:{self._port}'
            headers = {
                name: value.replace(there, here)
                for name, value in answer.getheaders()
                if name.lower() in _KEPT
            }
            data = data.replace(there.encode(), here.encode())
            return answer.status, headers, data

    def strike(self, number, when):
        if self.kill and self.kill[:2] == (number, when):
            self.struck = True
            os.kill(self.kill[2](), self.signal)
            time.sleep(0.1)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing: clients that were killed are no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    proxy = None
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def handle_one_request(self):
        self.proxy.idle.add(self.connection)
        super().handle_one_request()

    def finish(self):
        self.proxy.idle.discard(self.connection)
        super().finish()

    def _handle(self):
        self.proxy.idle.discard(self.connection)
        length = int(self.headers.get('Content-Length') or 0)
        body = self.rfile.read(length) if length else None
        number = self.proxy.number(self.command, self.path)
        fault = self.proxy.faults.get(number)
        # What is under way beside the one before cannot be refused any more.
        if fault == 'refused' and not self.proxy.struck:
            fault = 'reset-before'
        after = number and self.proxy.faults.get(number + 1)
        self.proxy.strike(number, 'before')
        dead = self.proxy.dead and len(self.proxy.log) >= self.proxy.dead
        # What refuses connections does so before there is a request.
        if dead or fault not in (None, 'refused'):
            self.proxy.struck = True
        if dead or fault == 'reset-before':
            return self._reset()
        if fault == 'hang-before':
            time.sleep(self.proxy.hang)
            return self._reset()
        if fault == 'loop':
            # A client follows 30 times (keystoneauth1, session.py).
            self.proxy.loop = [self.path, 31]
        if self.proxy.loop[1] and self.path == self.proxy.loop[0]:
            self.proxy.loop[1] -= 1
            host = self.headers.get('Host')
            return self._answer(
                302, {'Location': f'http://{host}{self.path}'}, b''
            )
        if fault in self.proxy.elsewhere:
            there = self.proxy.elsewhere[fault] + self.path
            return self._answer(307, {'Location': there}, b'')
        if fault == 'slow':
            time.sleep(self.proxy.hang / 3)
        if isinstance(fault, int):
            return self._answer(
                fault,
                {'Retry-After': '1'} if fault in (413, 429, 503) else {},
                json.dumps(
                    {'fault': {'message': f'injected {fault}'}}
                ).encode(),
            )
        status, headers, data = self.proxy.forward(
            self.command,
            self.path,
            body,
            {
                key: value
                for key, value in self.headers.items()
                if key.lower() not in ('host', 'content-length', 'connection')
            },
        )
        self.proxy.strike(number, 'after')
        if fault == 'reset-after':
            return self._reset()
        if fault == 'hang-after':
            time.sleep(self.proxy.hang)
            return self._reset()
        if fault == 'half-answer':
            return self._half(status, data)
        if fault == 'not-json':
            data = b'<html>It works!</html>'
        if fault == 'wrong-type':
            data = b'[[1, null]]'
        if fault == 'truncated-json':
            data = data[: len(data) // 2] or b'{"volume_'
        if after == 'refused' and not self.proxy.struck:
            self.proxy.away(0.3)
            headers['Connection'] = 'close'
        return self._answer(status, headers, data)

    do_GET = do_POST = do_PUT = do_DELETE = _handle

    def _answer(self, status, headers, data):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
            if name == 'Connection':
                self.close_connection = True
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _half(self, status, data):
        data = data or b'{}'
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data) + 10))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        self._reset()

    def _reset(self):
        """End the connection with RST, not with FIN."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)
            )
            self.connection.close()
