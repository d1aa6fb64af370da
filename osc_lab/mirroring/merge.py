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

"""Captures of several hosts as one, in the order of time.

The result is a pcapng file (draft-ietf-opsawg-pcapng) with an interface
for each end, so that a reader can tell at which end a packet was seen.
Packets are merged while they arrive: a packet waits until one of every
other end is there, or until those had time enough to arrive.
"""

import collections
import collections.abc
import struct
import time
import typing

from osc_lab.mirroring import capture

#: Seconds that a packet waits for earlier ones of other ends: tcpdump
#: hands packets over after one second at most.
HOLD = 2.5

#: Bytes of memory for the packets of an end while another one has not
#: begun; the last ones stay.
EARLY = 64 << 20

#: Bytes of memory that a packet takes besides its own, about.
_EACH = 256

#: First bytes of captures whose times are in nanoseconds.
_NANO = (b'\x4d\x3c\xb2\xa1', b'\xa1\xb2\x3c\x4d')

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_NAME, _RESOLUTION = 2, 9


class _Packet(typing.NamedTuple):
    """A packet that waits.

    :ivar time: nanoseconds since the epoch, by the clock of its host
    :ivar length: what it had before it was cut
    :ivar arrived: seconds of our clock
    """

    time: int
    length: int
    data: bytes
    arrived: float


class _End:
    """One of the captures.

    :ivar memory: bytes that the packets take that wait
    """

    def __init__(self) -> None:
        # It only splits; sizes are counted behind the merge.
        self.records = capture.Records(1 << 62)
        self.header = b''
        self.waiting: collections.deque[_Packet] = collections.deque()
        self.memory = 0

    def feed(self, data: bytes, now: float) -> None:
        whole = self.records.feed(data)
        at = 0
        if whole and not self.header:
            at = capture.FILE_HEADER
            self.header = whole[:at]
        order = capture.MAGIC.get(self.header[:4], '<')
        scale = 1 if self.header[:4] in _NANO else 1000
        while at < len(whole):
            seconds, part, length, full = struct.unpack_from(
                f'{order}IIII', whole, at
            )
            at += capture.RECORD_HEADER
            self.waiting.append(
                _Packet(
                    seconds * 10**9 + part * scale,
                    full,
                    whole[at : at + length],
                    now,
                )
            )
            at += length
            self.memory += length + _EACH

    def drop(self) -> None:
        """Let the first packet wait no longer."""
        self.memory -= len(self.waiting.popleft().data) + _EACH


class Merge(capture.Stream):
    """Merges captures.

    :param names: of the ends, for those who read the file
    :param clock: seconds
    """

    def __init__(
        self,
        names: collections.abc.Sequence[str],
        size: int,
        limit: int | None = None,
        clock: collections.abc.Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(size, limit)
        self._names = names
        self._clock = clock
        self._ends_of = [_End() for _name in names]

    def feed(self, data: bytes, end: int = 0, last: bool = False) -> bytes:
        """Take bytes of an end; return what is in its place by now.

        :param last: let everything that waits pass
        :raises OperationFailed: when this is no capture
        """
        if self.full or self.enough:
            return b''
        now = self._clock()
        fed = self._ends_of[end]
        fed.feed(data, now)
        self._begin()
        parts = []
        if not self._header:
            if not all(item.header for item in self._ends_of):
                while fed.memory > EARLY:
                    fed.drop()
                return b''
            self._header = self._file_header()
            self._begin(self._header)
            parts.append(self._header)
        while number := self._next(now, last):
            first = self._ends_of[number - 1]
            block = _packet(number - 1, first.waiting[0])
            if not self._fits(len(block)):
                break
            first.drop()
            parts.append(block)
        return b''.join(parts)

    def _next(self, now: float, last: bool) -> int:
        """Return which end has the next packet, from 1; 0 for none yet."""
        heads = [
            (item.waiting[0].time, number, item.waiting[0].arrived)
            for number, item in enumerate(self._ends_of, 1)
            if item.waiting
        ]
        if not heads:
            return 0
        _time, number, arrived = min(heads)
        complete = len(heads) == len(self._ends_of)
        return number if complete or last or now - arrived >= HOLD else 0

    def _file_header(self) -> bytes:
        section = struct.pack('<IHHq', 0x1A2B3C4D, 1, 0, -1)
        blocks = [_block(_SECTION, section)]
        for name, item in zip(self._names, self._ends_of, strict=True):
            order = capture.MAGIC[item.header[:4]]
            snaplen, link = struct.unpack_from(f'{order}II', item.header, 16)
            body = struct.pack('<HHI', link & 0xFFFF, 0, snaplen)
            text = name.encode('utf-8', 'replace')[:1000]
            for code, value in ((_NAME, text), (_RESOLUTION, b'\x09')):
                body += struct.pack('<HH', code, len(value)) + _padded(value)
            blocks.append(_block(_INTERFACE, body + bytes(4)))
        return b''.join(blocks)


def _packet(number: int, packet: _Packet) -> bytes:
    head = struct.pack(
        '<IIIII',
        number,
        packet.time >> 32,
        packet.time & 0xFFFFFFFF,
        len(packet.data),
        packet.length,
    )
    return _block(_PACKET, head + _padded(packet.data))


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack('<I', len(body) + 12)
    return struct.pack('<I', kind) + length + body + length


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
