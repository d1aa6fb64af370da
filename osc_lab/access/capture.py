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

"""Run tcpdump on hosts and pass on what it captures.

Signals only note that the capture shall end, so that everything behind
it is put in order; what arrived is complete whatever ended it.
"""

import collections.abc
import contextlib
import dataclasses
import os
import select
import subprocess
import time
import typing

from osc_lab.access import shell as shell_
from osc_lab.access import sinks
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import capture
from osc_lab.mirroring import merge

#: Seconds until tcpdump must have started, and for its last words: when
#: nothing arrives any more, and while something does.
_START = 20.0
_DRAIN = 5.0
_DRAIN_LONGEST = 30.0

#: Seconds between two questions for statistics.
_ASK = 2.0

#: Milliseconds.
_TICK = 200


class Source(typing.NamedTuple):
    """A device to capture at.

    :ivar label: for people
    """

    shell: shell_.Shell
    device: str
    label: str


class Progress(typing.Protocol):
    """Told about the state, about five times a second.

    :param dropped: packets that the kernel had no room for, so far; None
        while tcpdump has not told
    """

    def __call__(
        self, packets: int, size: int, seconds: float, dropped: int | None
    ) -> None: ...


class _End:
    """One tcpdump.

    :ivar left: descriptors that have not ended yet
    """

    def __init__(self, source: Source, wish: capture.Wish) -> None:
        self.label = source.label
        argv = source.shell.argv(
            capture.command(source.device, wish),
            *('-o', 'ServerAliveInterval=10', '-o', 'ServerAliveCountMax=3'),
        )
        try:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=shell_.environment(),
            )
        except OSError as error:
            raise shell_.cannot_run(argv[0], error) from error
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdin = self.process.stdin
        self.out = self.process.stdout.fileno()
        self.err = self.process.stderr.fileno()
        self.left = {self.out, self.err}
        self.errors = b''

    @property
    def text(self) -> str:
        return self.errors.decode('utf-8', 'replace')

    def ask(self) -> None:
        """Have tcpdump tell its statistics."""
        with contextlib.suppress(OSError, ValueError):
            self.stdin.write(b'\n')
            self.stdin.flush()

    def close(self) -> None:
        """Have tcpdump end: the script there watches its input."""
        with contextlib.suppress(OSError):
            self.stdin.close()

    def reap(self) -> None:
        for stream in (
            self.process.stdin,
            self.process.stdout,
            self.process.stderr,
        ):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        shell_.reap(self.process, _DRAIN)

    def why(self, started: bool, all_there: bool) -> tuple[capture.End, str]:
        """Return why it ended by itself.

        :param started: whether anything arrived
        :param all_there: whether all packets did that were wanted
        """
        try:
            status = self.process.wait(_DRAIN)
        except subprocess.TimeoutExpired:
            status = 255
        if all_there:
            return capture.End.PACKETS, ''
        if status == 124:
            return capture.End.TIME, ''
        if started and (status < 0 or status == 255):
            # The last line is that of tcpdump, which knows nothing of it.
            return capture.End.FAILED, _('the connection to the host is gone')
        detail = shell_.last(capture.unusual(self.text)) or (
            _('it ended with status %d') % status
        )
        return capture.End.FAILED, detail


@dataclasses.dataclass
class _Run:
    """The state of a capture that runs."""

    ends: list[_End]
    sink: sinks.Sink
    wish: capture.Wish
    stream: merge.Merge | capture.Records
    stop: sinks.Stop
    began: float
    started: float = 0.0
    ended: float = 0.0
    end: capture.End | None = None
    detail: str = ''
    broken: bool = False
    heard: float = 0.0
    cut_off: bool = False

    def finish(self, end: capture.End, detail: str = '') -> None:
        if self.end is None:
            self.end, self.detail = end, detail
            self.ended = time.monotonic()
            for item in self.ends:
                item.close()

    def take(self, number: int, data: bytes, last: bool = False) -> None:
        """Pass on what came from an end.

        :param last: what waits for others waits no longer
        """
        if self.broken:
            return
        try:
            if isinstance(self.stream, merge.Merge):
                whole = self.stream.feed(data, number, last)
            else:
                whole = self.stream.feed(data)
        except exceptions.LabError as error:
            self.broken = True
            self.finish(capture.End.FAILED, error.message)
            return
        if self.stream.started and not self.started:
            self.started = time.monotonic()
            self.stop.deadline = self.started + self.wish.seconds
        try:
            self._write(whole, last)
        except OSError as error:
            self.broken = True
            given_up = self.stop.signal and isinstance(error, TimeoutError)
            self.cut_off = bool(self.end or given_up)
            if isinstance(error, BrokenPipeError):
                self.finish(capture.End.CLOSED)
            elif given_up:
                self.finish(capture.End.INTERRUPTED)
            else:
                self.finish(capture.End.FAILED, error.strerror or str(error))

    def _write(self, whole: bytes, last: bool) -> None:
        self._put(whole)
        while self.stream.full and self.sink.rolls:
            self.sink.roll()
            self._put(self.stream.roll())
            if isinstance(self.stream, merge.Merge):
                whole = self.stream.feed(b'', 0, last)
            else:
                whole = self.stream.feed(b'')
            self._put(whole)

    def _put(self, data: bytes) -> None:
        if not data:
            return
        try:
            self.sink.write(data)
        except OSError:
            # A record that is there in part would spoil the file.
            self.sink.cut(self.stream.keep(self.sink.done))
            raise

    def decide(self) -> None:
        """End it when a limit is reached."""
        now = time.monotonic()
        if self.stop.signal:
            self.finish(capture.End.INTERRUPTED)
        elif self.stream.enough:
            self.finish(capture.End.PACKETS)
        elif self.stream.full:
            self.finish(capture.End.SIZE)
        elif self.started:
            if now - self.started >= self.wish.seconds:
                self.finish(capture.End.TIME)
        elif now - self.began > _START:
            self.finish(capture.End.FAILED, _('tcpdump did not start'))

    def gone(self, item: _End) -> None:
        """Note that an end ended by itself."""
        if self.end is not None:
            return
        end, detail = item.why(self.stream.started, self.stream.enough)
        if detail and len(self.ends) > 1:
            detail = f'{item.label}: {detail}'
        self.finish(end, detail)

    def late(self, now: float) -> bool:
        """Return whether what is still on its way is no longer waited for."""
        if self.end is None or now - self.ended <= _DRAIN:
            return False
        return (
            self.broken
            or now - self.heard > _DRAIN
            or now - self.ended > _DRAIN_LONGEST
        )

    def dropped(self) -> int | None:
        told = [capture.dropped(item.text) for item in self.ends]
        known = [count for count in told if count is not None]
        return sum(known) if known else None


def run(
    sources: collections.abc.Sequence[Source],
    wish: capture.Wish,
    sink: sinks.Sink,
    stop: sinks.Stop,
    progress: Progress | None,
) -> capture.Outcome:
    """Capture until a limit, a signal, or the other end says stop.

    :param sources: what is captured at several is merged
    :raises AccessError: when nothing can be started
    """
    stream: merge.Merge | capture.Records
    if len(sources) > 1:
        names = [source.label for source in sources]
        stream = merge.Merge(names, wish.size, wish.packets)
        # The limit counts all ends; one alone would end too soon.
        wish = dataclasses.replace(wish, packets=None)
    else:
        stream = capture.Records(wish.size, wish.packets)
    state = _Run([], sink, wish, stream, stop, time.monotonic())
    try:
        for source in sources:
            state.ends.append(_End(source, wish))
        _stream(state, progress)
    finally:
        for item in state.ends:
            item.close()
        for item in state.ends:
            item.reap()
    if len(sources) > 1:
        state.take(0, b'', last=True)
    return _outcome(state)


def _stream(state: _Run, progress: Progress | None) -> None:
    poll = select.poll()
    owner = {}
    for number, item in enumerate(state.ends):
        for fd in item.left:
            poll.register(fd, select.POLLIN)
            owner[fd] = number, item
    if state.sink.pipe >= 0:
        # No events: only that the reader is gone is told.
        poll.register(state.sink.pipe, 0)
    # Not at once: tcpdump writes its header before it takes signals.
    asked = 0.0
    while any(item.left for item in state.ends):
        for fd, _event in poll.poll(_TICK):
            if fd in owner:
                _read(state, poll, fd, *owner[fd])
            else:
                poll.unregister(fd)
                state.broken = True
                state.finish(capture.End.CLOSED)
        if len(state.ends) > 1:
            # What waited long enough goes on without anything new.
            state.take(0, b'')
        state.decide()
        now = time.monotonic()
        if progress and state.started:
            asked = asked or state.started
            if now - asked > _ASK and state.end is None:
                asked = now
                for item in state.ends:
                    item.ask()
            progress(
                state.stream.packets,
                state.stream.bytes,
                now - state.started,
                state.dropped(),
            )
        if state.late(now):
            state.cut_off = True
            return


def _read(
    state: _Run, poll: select.poll, fd: int, number: int, item: _End
) -> None:
    data = os.read(fd, 1 << 16)
    state.heard = time.monotonic()
    if not data:
        poll.unregister(fd)
        item.left.discard(fd)
        if not item.left:
            state.gone(item)
    elif fd == item.out:
        state.take(number, data)
    else:
        item.errors = (item.errors + data)[-(1 << 16) :]


def _outcome(state: _Run) -> capture.Outcome:
    assert state.end is not None
    return capture.Outcome(
        state.end,
        state.stream.packets,
        state.stream.bytes,
        state.ended - state.started if state.started else 0.0,
        state.dropped(),
        state.detail,
        state.stream.started,
        all(capture.told(item.text) for item in state.ends),
        state.cut_off,
    )
