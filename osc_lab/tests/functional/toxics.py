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


"""Proxies before OVSDB and libvirt that spoil chosen messages.

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
import typing

import fixtures

from osc_lab.tests import thorough

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

    :param listen: where to listen, (address, port)
    :ivar count: messages of clients so far
    :ivar toxic: (number of a message from 1, UP or DOWN, toxic) or None
    """

    def __init__(self, listen):
        super().__init__()
        self._listen = listen
        self._clients = set()
        self._slow = set()
        self.count = 0
        self.toxic = None
        self.dead = False
        self._lock = threading.Lock()
        self._random = random.Random(7)

    def _setUp(self):
        self._listener = socket.create_server(self._listen)
        self.port = self._listener.getsockname()[1]
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self.addCleanup(self.arm)
        self.addCleanup(thread.join)
        self.addCleanup(self._listener.close)
        self.addCleanup(self._listener.shutdown, socket.SHUT_RDWR)

    def arm(self, *toxic):
        """Count anew, with a toxic for one message or without.

        A connection that nobody has closed ends.
        """
        with self._lock:
            self.count, self.toxic, self.dead = 0, toxic or None, False
            for client in self._clients:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                threading.Thread(
                    target=self._serve, args=(client,), daemon=True
                ).start()

    def _serve(self, client):
        self._clients.add(client)
        try:
            self._forward(client)
        except (OSError, _Over):
            return
        finally:
            with self._lock:
                self._clients.discard(client)
                self._slow.discard(client)

    def _forward(self, client):
        with client, contextlib.closing(self.connect()) as server:
            if self.dead:
                return _reset(client)
            requests, answers = self.messages(client), self.messages(server)
            for raw, message in requests:
                self._exchange(client, server, answers, raw, message)
            # The client has closed; the server learns it later.
            if client in self._slow:
                time.sleep(0.1)

    def _exchange(self, client, server, answers, raw, message):
        if not self.asks(message):
            return server.sendall(raw)
        with self._lock:
            self.count += 1
            number, where, kind = self.toxic or (0, '', '')
            hit = number == self.count
        if self.dead:
            raise _Over
        self._pass(server, raw, kind if hit and where == UP else '', client)
        for answer, found in answers:
            if self.answered(message, found):
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
                self._slow.add(client)
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


class Ovsdb(Proxy):
    """Before an OVSDB server: JSON-RPC, with a toxic on any request.

    :param path: socket of the real server
    """

    def __init__(self, path):
        super().__init__(('127.0.0.1', 0))
        self._path = str(path)

    @property
    def remote(self):
        return f'tcp:127.0.0.1:{self.port}'

    def connect(self):
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._path)
        return server

    def asks(self, message):
        # The other ones say that somebody is there.
        return 'method' in message

    def answered(self, message, found):
        return found.get('id') == message['id'] and 'method' not in found

    def messages(self, connection):
        """Yield the bytes of each message, and what it says."""
        text = ''
        decoder = json.JSONDecoder()
        utf8 = codecs.getincrementaldecoder('utf-8')()
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


class Packet(typing.NamedTuple):
    """The header of a message of libvirt; see virnetprotocol.x there."""

    program: int
    version: int
    procedure: int
    type: int
    serial: int
    status: int


class Libvirt(Proxy):
    """Before a libvirtd without TLS and SASL.

    :param listen: where to listen, (address, port)
    :param server: the real one, (address, port)
    :ivar asked: the procedures of the program that were called
    """

    CALL, REPLY = 0, 1

    #: REMOTE_PROC_CONNECT_CLOSE of remote_protocol.x
    CLOSE = 2

    def __init__(self, listen, server):
        super().__init__(listen)
        self._server = server
        self.asked = []

    def arm(self, *toxic):
        super().arm(*toxic)
        self.asked = []

    def connect(self):
        return socket.create_connection(self._server)

    def asks(self, message):
        if message.type == self.CALL:
            self.asked.append(message.procedure)
        return message.type == self.CALL

    def answered(self, message, found):
        return (found.type, found.serial) == (self.REPLY, message.serial)

    def messages(self, connection):
        """Yield the bytes of each message, and its header."""
        data = b''
        while more := connection.recv(65536):
            data += more
            while len(data) >= 4:
                (length,) = struct.unpack_from('>I', data)
                if len(data) < length:
                    break
                yield (
                    data[:length],
                    Packet(*struct.unpack_from('>6I', data, 4)),
                )
                data = data[length:]


def pairs(messages):
    """Return (number, direction, toxic) for each of so many messages.

    By default each message meets a third of the toxics, in turn.
    """
    found = itertools.product(range(1, messages + 1), (UP, DOWN), TOXICS)
    return list(
        itertools.islice(found, 0, None, 1 if thorough.THOROUGH else 3)
    )
