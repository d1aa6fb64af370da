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

"""A relay on loopback that adds a round trip time, and counts."""

import asyncio
import collections.abc
import contextlib
import multiprocessing
import socket
import typing

Address = tuple[str, int] | str

#: Reads how long the first message of a buffer is; None when it is not
#: complete.
Measure = collections.abc.Callable[[bytearray], int | None]


def sized(buffer: bytearray) -> int | None:
    """Messages of libvirt begin with their length, four bytes."""
    if len(buffer) < 4:
        return None
    return int.from_bytes(buffer[:4], 'big')


def braced(buffer: bytearray) -> int | None:
    """Messages of OVSDB are objects of JSON, one after the other."""
    depth, text, escaped = 0, False, False
    for index, byte in enumerate(buffer):
        if escaped:
            escaped = False
        elif byte == ord('\\'):
            escaped = text
        elif byte == ord('"'):
            text = not text
        elif not text and byte == ord('{'):
            depth += 1
        elif not text and byte == ord('}'):
            depth -= 1
            if not depth:
                return index + 1
    return None


class Counts:
    """What went through, shared between processes."""

    def __init__(self) -> None:
        self.connections = multiprocessing.Value('q', 0)
        self.messages = multiprocessing.Value('q', 0)

    def reset(self) -> None:
        self.connections.value = self.messages.value = 0


class _Relay:
    def __init__(
        self, upstream: Address, rtt: float, measure: Measure, counts: Counts
    ) -> None:
        self._upstream, self._rtt = upstream, rtt
        self._measure, self._counts = measure, counts
        # The loop alone would let a task go that waits for both sides.
        self._tasks: set[asyncio.Task[typing.Any] | None] = set()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        counted: bool,
    ) -> None:
        buffer = bytearray()
        loop = asyncio.get_running_loop()
        while data := await reader.read(1 << 16):
            # Several may be under way at once.
            loop.call_later(self._rtt / 2, writer.write, data)
            if counted:
                buffer += data
                while (end := self._measure(buffer)) and end <= len(buffer):
                    del buffer[:end]
                    self._counts.messages.value += 1
        await asyncio.sleep(self._rtt / 2)
        if writer.can_write_eof():
            writer.write_eof()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._counts.connections.value += 1
        self._tasks.add(asyncio.current_task())
        # The handshake of TCP takes one.
        await asyncio.sleep(self._rtt)
        if isinstance(self._upstream, str):
            there = await asyncio.open_unix_connection(self._upstream)
        else:
            there = await asyncio.open_connection(*self._upstream)
        with contextlib.suppress(OSError):
            await asyncio.gather(
                self._pump(reader, there[1], True),
                self._pump(there[0], writer, False),
            )
        for each in (writer, there[1]):
            each.close()


def _run(here: socket.socket, relay: _Relay) -> None:
    async def main() -> None:
        server = await asyncio.start_server(
            relay.serve, sock=here, backlog=4096
        )
        await server.serve_forever()

    asyncio.run(main())


@contextlib.contextmanager
def relay(
    upstream: Address, rtt: float, measure: Measure, port: int = 0
) -> typing.Iterator[tuple[int, Counts]]:
    """Relay a port of loopback in a process of its own.

    :param rtt: seconds
    :param port: to listen on; a free one when 0
    :returns: the port, and what it counts
    """
    counts = Counts()
    with socket.socket() as here:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        here.bind(('127.0.0.1', port))
        here.listen(4096)
        process = multiprocessing.Process(
            target=_run,
            args=(here, _Relay(upstream, rtt, measure, counts)),
            daemon=True,
        )
        process.start()
        try:
            yield here.getsockname()[1], counts
        finally:
            process.terminate()
            process.join()
