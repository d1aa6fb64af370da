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

"""The forwarder's program: TCP between the root and the hosts.

It is run by path, without site packages, as ``forwarder.py SPEC``.  SPEC
is JSON: ``hosts`` maps a host to the pid of its first process,
``outward`` lists [host, address, port]: listen there inside the host and
connect to the same address in the root; ``inward`` lists [address, port,
host, target address, target port]: listen in the root and connect inside
the host.

An inward port is open only while the host listens on its target, so a
daemon that is down refuses connections, as it would without a forwarder.
The program ends when one of the hosts does.
"""

import asyncio
import concurrent.futures
import ctypes
import functools
import json
import os
import pathlib
import socket
import sys
import typing

_CLONE_NEWNET = 0x40000000
_LISTEN = '0A'

#: Seconds between two looks at what a host listens on.
_PERIOD = 0.5

_Writer = asyncio.StreamWriter


def _enter(pid: int) -> None:
    """Move the calling thread into the network of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f'/proc/{pid}/ns/net') as namespace:
        if libc.setns(namespace.fileno(), _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


class Sockets:
    """Makes sockets in one network namespace.

    A socket stays in the namespace of the thread that made it, so one
    thread lives in the namespace and the event loop uses its sockets.
    """

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._pool = concurrent.futures.ThreadPoolExecutor(
            1, initializer=self._move
        )

    def _move(self) -> None:
        if self._pid is not None:
            _enter(self._pid)

    async def make(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(self._pool, socket.socket)
        made.setblocking(False)
        return made


async def _pump(reader: asyncio.StreamReader, writer: _Writer) -> None:
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


async def _serve(
    sockets: Sockets,
    target: tuple[str, int],
    reader: asyncio.StreamReader,
    writer: _Writer,
) -> None:
    """Join one accepted connection with one of our own."""
    near = await sockets.make()
    try:
        await asyncio.get_running_loop().sock_connect(near, target)
        far_reader, far_writer = await asyncio.open_connection(sock=near)
    except OSError:
        near.close()
        writer.transport.abort()
        return
    try:
        await asyncio.gather(
            _pump(reader, far_writer), _pump(far_reader, writer)
        )
    finally:
        writer.close()
        far_writer.close()


async def _listen(
    where: Sockets,
    address: tuple[str, int],
    to: Sockets,
    target: tuple[str, int],
) -> asyncio.Server:
    door = await where.make()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind(address)
    return await asyncio.start_server(
        functools.partial(_serve, to, target), sock=door, backlog=128
    )


def _ports(pid: int) -> set[int]:
    """Ports on which a namespace listens for IPv4 connections."""
    table = pathlib.Path(f'/proc/{pid}/net/tcp').read_text()
    rows = [line.split() for line in table.splitlines()[1:]]
    return {
        int(row[1].partition(':')[2], 16) for row in rows if row[3] == _LISTEN
    }


class Inward:
    """The ports of one host that are open in the root."""

    def __init__(self, pid: int, root: Sockets, host: Sockets) -> None:
        self._pid = pid
        self._root = root
        self._host = host
        self._wanted: dict[tuple[str, int], tuple[str, int]] = {}
        self._open: dict[tuple[str, int], asyncio.Server] = {}

    def add(self, address: tuple[str, int], target: tuple[str, int]) -> None:
        self._wanted[address] = target

    async def follow(self) -> None:
        """Open and close as the host's daemons do, until it is gone."""
        while True:
            try:
                ports = _ports(self._pid)
            except OSError:
                return
            for address, target in self._wanted.items():
                if target[1] in ports and address not in self._open:
                    self._open[address] = await _listen(
                        self._root, address, self._host, target
                    )
                elif target[1] not in ports and address in self._open:
                    self._open.pop(address).close()
            await asyncio.sleep(_PERIOD)


async def _main(spec: dict[str, typing.Any]) -> None:
    root = Sockets(None)
    inside = {h: Sockets(pid) for h, pid in spec['hosts'].items()}
    doors = {h: Inward(p, root, inside[h]) for h, p in spec['hosts'].items()}
    for host, address, port in spec['outward']:
        there = (address, port)
        await _listen(inside[host], there, root, there)
    for address, port, host, target, target_port in spec['inward']:
        doors[host].add((address, port), (target, target_port))
    follow = [asyncio.create_task(d.follow()) for d in doors.values()]
    done, _ = await asyncio.wait(follow, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


if __name__ == '__main__':
    asyncio.run(_main(json.loads(sys.argv[1])))
    # Threads in dead namespaces are not worth waiting for.
    os._exit(0)
