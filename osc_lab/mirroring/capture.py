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

"""Captures: what runs on the host, and how its output is understood.

The format is that of pcap-savefile(5): a header of 24 bytes, and records
with a header of 16 bytes each.  Bytes pass as they are, but only whole
records pass: what was written is valid whenever the stream breaks.
"""

import dataclasses
import enum
import re
import struct

from osc_lab import exceptions
from osc_lab.i18n import _

#: Seconds that the host may be late before it ends a capture itself, and
#: before the guard takes the mirror away.
GRACE = 30

FILE_HEADER = 24
RECORD_HEADER = 16

#: Largest record that libpcap writes, see MAXIMUM_SNAPLEN there.
_LARGEST = 1 << 18

#: First bytes, and the byte order of the rest.
MAGIC = {
    b'\xd4\xc3\xb2\xa1': '<',
    b'\x4d\x3c\xb2\xa1': '<',
    b'\xa1\xb2\xc3\xd4': '>',
    b'\xa1\xb2\x3c\x4d': '>',
}

#: Arguments: device, further arguments of tcpdump.  OpenSSH does not end a
#: command whose client died, so the end of standard input does.  A line
#: there asks for statistics, see tcpdump(1), SIGUSR1.  The kernel hands
#: packets over after a second at most: what came before the end is waited
#: for.
_SCRIPT = r"""
device=$1
shift
command -v tcpdump >/dev/null || {
    echo "there is no tcpdump" >&2
    exit 127
}
exec 3<&0
tcpdump -i "$device" -n -U -B 16384 -w - "$@" 3<&- </dev/null &
child=$!
{
    while read -r _line; do kill -USR1 "$child"; done
    sleep 1.2 || sleep 2
    kill "$child"
} <&3 3<&- >/dev/null 2>&1 &
watcher=$!
exec 3<&-
trap 'kill "$child" 2>/dev/null' HUP INT TERM
wait "$child"
status=$?
# A signal to this shell ends the wait, and not yet the capture.
while kill -0 "$child" 2>/dev/null; do wait "$child"; status=$?; done
kill "$watcher" 2>/dev/null
exit "$status"
"""

_COUNT = re.compile(
    r'(?:^|, )(\d+) packets? dropped by (kernel|interface)', re.M
)

#: What tcpdump says at its end, a line each; in answers to a signal its
#: name comes first, and all stands in one line.
_LAST = re.compile(r'^\d+ packets? dropped by kernel', re.M)

#: What tcpdump says whatever comes of it.
_USUAL = re.compile(
    r'(?:tcpdump: )?(?:listening on |\d+ packets? '
    r'(?:captured|received by filter|dropped by (?:kernel|interface)))'
)


class End(enum.Enum):
    """Why a capture is over, and the exit code of the command."""

    TIME = exceptions.ExitCode.DONE, 'time'
    SIZE = exceptions.ExitCode.DONE, 'size'
    PACKETS = exceptions.ExitCode.DONE, 'packets'
    CLOSED = exceptions.ExitCode.DONE, 'closed'
    INTERRUPTED = exceptions.ExitCode.INTERRUPTED, 'interrupted'
    FAILED = exceptions.ExitCode.OPERATION_FAILED, 'failed'

    @property
    def exit_code(self) -> exceptions.ExitCode:
        return self.value[0]


@dataclasses.dataclass(frozen=True)
class Wish:
    """What is to be captured.

    :param seconds: the longest time
    :param size: bytes of the file, header included
    :param packets: None for any number
    :param snaplen: bytes of each packet; None for all
    :param filter: in the language of pcap-filter(7)
    """

    seconds: float
    size: int
    packets: int | None = None
    snaplen: int | None = None
    filter: str = ''


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a capture.

    :param end: why it is over
    :param detail: for people, when it failed
    :param dropped: packets that the kernel had no room for; None when
        tcpdump could not tell
    :param started: False when no header arrived at all
    :param told: whether each tcpdump told its statistics at its end
    :param cut_off: whether packets were still on their way at the end
    """

    end: End
    packets: int
    bytes: int
    seconds: float
    dropped: int | None
    detail: str = ''
    started: bool = True
    told: bool = True
    cut_off: bool = False


def command(device: str, wish: Wish) -> list[str]:
    """Return the command that captures on the host, to its output.

    It ends when its standard input does, and "timeout" ends it when the
    connection hangs.
    """
    arguments = []
    if wish.snaplen is not None:
        arguments += ['-s', str(wish.snaplen)]
    if wish.packets is not None:
        arguments += ['-c', str(wish.packets)]
    if wish.filter:
        arguments += ['--', wish.filter]
    seconds = str(round(wish.seconds) + GRACE)
    script = ['sh', '-c', _SCRIPT, 'osc-lab', device, *arguments]
    return ['timeout', '-k', '5', seconds, *script]


def dropped(text: str) -> int | None:
    """Return the packets that tcpdump said last were dropped."""
    found = {where: int(count) for count, where in _COUNT.findall(text)}
    return sum(found.values()) if found else None


def told(text: str) -> bool:
    """Return whether tcpdump told its statistics at its end."""
    return _LAST.search(text) is not None


def unusual(text: str) -> str:
    """Return the lines that tcpdump does not always write."""
    lines = text.splitlines()
    return '\n'.join(line for line in lines if not _USUAL.match(line.strip()))


class Stream:
    """Whole packets on their way to files, and how many there were.

    :param size: bytes after which a file takes nothing more
    :param limit: packets after which nothing more passes; None for any
    :ivar bytes: of all files
    :ivar full: whether the file takes nothing more
    """

    def __init__(self, size: int, limit: int | None = None) -> None:
        self.packets = 0
        self.bytes = 0
        self.full = False
        self._size = size
        self._limit = limit
        self._file = 0
        self._header = b''
        self._ends: list[int] = []
        self._headers = 0

    @property
    def started(self) -> bool:
        """Whether the header of the file has passed."""
        return bool(self._header)

    @property
    def enough(self) -> bool:
        """Whether as many packets have passed as are wanted."""
        return self._limit is not None and self.packets >= self._limit

    def _begin(self, header: bytes = b'') -> None:
        """Begin an answer, with the header of a file or without."""
        self._ends = [len(header)] if header else []
        self._headers = len(self._ends)
        self._file = len(header) if header else self._file
        self.bytes += len(header)

    def _fits(self, length: int) -> bool:
        """Count a packet, unless the file has no room for it."""
        self.full = self.full or self._file + length > self._size
        if self.full or self.enough:
            return False
        self._file += length
        self.bytes += length
        self.packets += 1
        self._ends.append((self._ends[-1] if self._ends else 0) + length)
        return True

    def roll(self) -> bytes:
        """Go on in another file; return what it begins with."""
        self.full = False
        self._begin(self._header)
        return self._header

    def keep(self, count: int) -> int:
        """Count no more than the first bytes of the last answer.

        :param count: bytes that were written
        :returns: those of them that are whole packets
        """
        if not self._ends:
            return 0
        kept = [end for end in self._ends if end <= count]
        whole = kept[-1] if kept else 0
        self.bytes -= self._ends[-1] - whole
        lost = len(self._ends) - len(kept)
        # The header of a file is no packet.
        self.packets -= lost - (self._headers if not kept else 0)
        self._ends = kept
        return whole


class Records(Stream):
    """Lets the whole records of one stream pass as they are."""

    def __init__(self, size: int, limit: int | None = None) -> None:
        super().__init__(size, limit)
        self._order = ''
        self._rest = b''

    def feed(self, data: bytes) -> bytes:
        """Take bytes and return those that are whole records by now.

        :raises OperationFailed: when this is no capture
        """
        if self.full or self.enough:
            return b''
        data = self._rest + data
        end = 0
        self._begin()
        if not self._order:
            if len(data) < FILE_HEADER:
                self._rest = data
                return b''
            self._order = _order(data)
            end = FILE_HEADER
            self._header = data[:end]
            self._begin(self._header)
        while len(data) - end >= RECORD_HEADER:
            (length,) = struct.unpack_from(f'{self._order}I', data, end + 8)
            if length > _LARGEST:
                raise exceptions.OperationFailed(_('The capture is damaged'))
            whole = RECORD_HEADER + length
            if len(data) - end < whole or not self._fits(whole):
                break
            end += whole
        self._rest = data[end:]
        return data[:end]


def _order(data: bytes) -> str:
    """Return the byte order of a capture, from its header."""
    order = MAGIC.get(data[:4], '')
    if not order:
        raise exceptions.OperationFailed(
            _('What arrived is no capture'),
            _('The shell of the host must print nothing by itself.'),
        )
    return order
