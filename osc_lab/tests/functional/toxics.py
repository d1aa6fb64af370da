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


"""A proxy before an OVSDB server that spoils chosen messages.

The toxics are those of toxiproxy.  Each is put on a request, which then
may not reach the server, or on its answer.
"""

import codecs
import contextlib
import itertools
import json
import random
import socket
import struct
import threading
import time

import fixtures

#: What can be done to a request, or to an answer.
TOXICS = (
    'latency',
    'bandwidth',
    'slow_close',
    'timeout',
    'slicer',
    'limit_data',
    'reset_peer',
    'down',
)

#: Those after which the other side gets everything, only later.
HARMLESS = ('latency', 'bandwidth', 'slow_close', 'slicer')

UP, DOWN = 'request', 'answer'


class _Over(Exception):
    """This connection carries nothing more."""


class Proxy(fixtures.Fixture):
    """Forwards the messages of clients, one after the other.

    :param path: socket of the real server
    :ivar count: messages of clients so far
    :ivar toxic: (number of a message from 1, UP or DOWN, toxic) or None
    """

    def __init__(self, path):
        super().__init__()
        self._path = str(path)
        self.count = 0
        self.toxic = None
        self.dead = False
        self._lock = threading.Lock()
        self._random = random.Random(7)

    def _setUp(self):
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.remote = f'tcp:127.0.0.1:{self._listener.getsockname()[1]}'
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self._listener.close)
        self.addCleanup(self._listener.shutdown, socket.SHUT_RDWR)

    def arm(self, *toxic):
        """Count anew, with a toxic for one message or without."""
        with self._lock:
            self.count, self.toxic, self.dead = 0, toxic or None, False

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                threading.Thread(
                    target=self._serve, args=(client,), daemon=True
                ).start()

    def _serve(self, client):
        with client, socket.socket(socket.AF_UNIX) as server:
            if self.dead:
                return _reset(client)
            try:
                server.connect(self._path)
                requests, answers = _messages(client), _messages(server)
                for raw, message in requests:
                    self._exchange(client, server, answers, raw, message)
            except (OSError, _Over):
                return None

    def _exchange(self, client, server, answers, raw, message):
        if 'method' not in message:
            # An answer to a question whether anybody is there.
            return server.sendall(raw)
        with self._lock:
            self.count += 1
            number, where, kind = self.toxic or (0, '', '')
            hit = number == self.count
        if self.dead:
            raise _Over
        self._pass(server, raw, kind if hit and where == UP else '', client)
        for answer, found in answers:
            if found.get('id') == message['id'] and 'method' not in found:
                spoil = kind if hit and where == DOWN else ''
                return self._pass(client, answer, spoil, client)
            client.sendall(answer)
        raise _Over

    def _pass(self, there, data, kind, client):
        """Send a message on, spoiled in one way.

        :param client: the connection that is to break
        """
        match kind:
            case 'latency':
                time.sleep(0.05 + self._random.uniform(0, 0.05))
                there.sendall(data)
            case 'bandwidth':
                self._pieces(there, data, 512)
            case 'slicer':
                self._pieces(there, data, max(1, len(data) // 100))
            case 'slow_close':
                there.sendall(data)
                threading.Timer(0.1, client.dup().close).start()
            case 'timeout':
                # Until the other side gives up.
                with contextlib.suppress(OSError):
                    client.recv(1)
                raise _Over
            case 'limit_data':
                there.sendall(data[: len(data) // 2])
                raise _Over
            case 'reset_peer':
                _reset(client)
                raise _Over
            case 'down':
                self.dead = True
                _reset(client)
                raise _Over
            case _:
                there.sendall(data)

    def _pieces(self, there, data, size):
        for at in range(0, len(data), size):
            there.sendall(data[at : at + size])
            time.sleep(0.001)


def _reset(connection):
    """End a connection with RST, not with FIN."""
    with contextlib.suppress(OSError):
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)
        )
        connection.close()


def _messages(connection):
    """Yield the bytes of each message, and what it says."""
    text = ''
    decoder, utf8 = json.JSONDecoder(), codecs.getincrementaldecoder('utf-8')()
    while data := connection.recv(65536):
        text += utf8.decode(data)
        while text.strip():
            text = text.lstrip()
            try:
                message, end = decoder.raw_decode(text)
            except ValueError:
                break
            yield text[:end].encode(), message
            text = text[end:]


def pairs(messages):
    """Return (number, direction, toxic) for each of so many messages."""
    return list(itertools.product(range(1, messages + 1), (UP, DOWN), TOXICS))
