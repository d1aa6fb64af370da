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

"""Run a capture on a host and carry its bytes to where they belong."""

import contextlib
import dataclasses
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import typing

from osc_lab.access import shell as shell_
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import capture

#: Seconds until tcpdump must have started, and for its last words.
_START = 20.0
_DRAIN = 5.0

#: A pipe that can be written to takes so much at once (PIPE_BUF).
_PIPE = 4096

_TICK = 200


class Stop:
    """Signals that came while they were deferred."""

    def __init__(self) -> None:
        self.signal = 0


@contextlib.contextmanager
def deferred() -> typing.Iterator[Stop]:
    """Note signals instead of being interrupted by them."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: object) -> None:
        stop.signal = number

    before = {
        number: signal.signal(number, note)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Sink(typing.Protocol):
    """Where a capture goes.

    :ivar pipe: descriptor of a pipe whose reader may go; -1 without
    :ivar done: bytes that the last write() managed
    """

    pipe: int
    done: int

    def write(self, data: bytes) -> None:
        """Take whole records.

        :raises OSError: when it cannot
        """

    def cut(self, whole: int) -> None:
        """Keep only so much of what the last write() managed."""


class File:
    """A file that only its owner reads; never written through a link."""

    pipe = -1
    done = 0

    def __init__(self, path: str, force: bool) -> None:
        """Open it.

        :raises InvalidInput: when it exists, or cannot be made
        """
        self._path = path
        self._size = 0
        self._temporary = ''
        try:
            if force:
                self._fd = self._beside(path)
            else:
                self._fd = os.open(
                    path,
                    os.O_WRONLY
                    | os.O_CREAT
                    | os.O_EXCL
                    | os.O_NOFOLLOW
                    | os.O_CLOEXEC,
                    0o600,
                )
        except FileExistsError as error:
            raise exceptions.InvalidInput(
                _('--file: "%s" exists') % path, _('Use --force to replace it')
            ) from error
        except OSError as error:
            raise exceptions.InvalidInput(
                f'--file: "{path}": {error.strerror}'
            ) from error

    def _beside(self, path: str) -> int:
        with contextlib.suppress(FileNotFoundError):
            mode = os.lstat(path).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                raise exceptions.InvalidInput(
                    _('--file: "%s" is no ordinary file') % path,
                    _('Use the name of a file, or "-" for the output.'),
                )
        fd, self._temporary = tempfile.mkstemp(
            prefix='.osc-lab-', dir=os.path.dirname(path) or '.'
        )
        return fd

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        self.done = 0
        while self.done < len(data):
            self.done += os.write(self._fd, view[self.done :])
        self._size += len(data)

    def cut(self, whole: int) -> None:
        self._size += whole
        os.ftruncate(self._fd, self._size)

    def close(self) -> None:
        """End it; a file without even a header is removed.

        :raises OSError: when it cannot take its place
        """
        os.close(self._fd)
        made = self._temporary or self._path
        if not self._size:
            os.unlink(made)
        elif self._temporary:
            os.replace(self._temporary, self._path)


class Pipe:
    """The standard output, or another program."""

    def __init__(self, fd: int, stop: Stop) -> None:
        self.pipe = fd
        self.done = 0
        self._stop = stop
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        self.done = 0
        limit = 0.0
        while self.done < len(data):
            if self._poll.poll(_TICK):
                part = view[self.done : self.done + _PIPE]
                self.done += os.write(self.pipe, part)
            elif self._stop.signal:
                # A reader that reads nothing must not keep us.
                limit = limit or time.monotonic() + 2
                if time.monotonic() > limit:
                    raise BrokenPipeError

    def cut(self, whole: int) -> None:
        pass


@contextlib.contextmanager
def file(path: str, force: bool) -> typing.Iterator[Sink]:
    """Open a file for a capture; it is complete when this ends."""
    sink = File(path, force)
    try:
        yield sink
    finally:
        sink.close()


@contextlib.contextmanager
def output(stop: Stop) -> typing.Iterator[Sink]:
    """Use the standard output.

    :raises InvalidInput: when it is a terminal
    """
    if sys.stdout.isatty():
        raise exceptions.InvalidInput(
            _('--file -: a terminal cannot show a capture'),
            _('Use a pipe, for example "| tshark -r -".'),
        )
    sys.stdout.flush()
    yield Pipe(sys.stdout.fileno(), stop)


@contextlib.contextmanager
def wireshark(stop: Stop) -> typing.Iterator[Sink]:
    """Start Wireshark; it stays open when the capture ends.

    :raises InvalidInput: when it is not installed
    """
    program = shutil.which('wireshark')
    if not program:
        raise exceptions.InvalidInput(
            _('--wireshark: there is no Wireshark on this machine'),
            _('Install it, or use --file.'),
        )
    process = subprocess.Popen(
        [program, '-k', '-i', '-'],
        stdin=subprocess.PIPE,
        stdout=sys.stderr.fileno(),
        # Ctrl-C ends the capture, and not what looks at it.
        start_new_session=True,
    )
    assert process.stdin is not None
    fd = os.dup(process.stdin.fileno())
    process.stdin.close()
    try:
        yield Pipe(fd, stop)
    finally:
        os.close(fd)


class Progress(typing.Protocol):
    """Told about the state, about five times a second."""

    def __call__(self, packets: int, size: int, seconds: float) -> None: ...


@dataclasses.dataclass
class _Run:
    """The state of a capture that runs."""

    process: 'subprocess.Popen[bytes]'
    sink: Sink
    wish: capture.Wish
    records: capture.Records
    began: float
    started: float = 0.0
    ended: float = 0.0
    end: capture.End | None = None
    detail: str = ''
    broken: bool = False
    errors: bytes = b''

    def finish(self, end: capture.End, detail: str = '') -> None:
        """Have tcpdump end: the script there watches its input."""
        if self.end is None:
            self.end, self.detail = end, detail
            self.ended = time.monotonic()
            assert self.process.stdin is not None
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def take(self, data: bytes) -> None:
        if self.broken:
            return
        try:
            whole = self.records.feed(data)
        except exceptions.LabError as error:
            self.broken = True
            self.finish(capture.End.FAILED, error.message)
            return
        try:
            if whole:
                self.sink.write(whole)
        except OSError as error:
            self.broken = True
            if isinstance(error, BrokenPipeError):
                self.finish(capture.End.CLOSED)
            else:
                self.finish(capture.End.FAILED, error.strerror or str(error))
            # A record that is there in part would spoil the file.
            self.sink.cut(self.records.keep(self.sink.done))
        if self.records.started and not self.started:
            self.started = time.monotonic()

    def decide(self, stop: Stop) -> None:
        """End it when a limit is reached."""
        now = time.monotonic()
        if stop.signal:
            self.finish(capture.End.INTERRUPTED)
        elif self.records.full:
            self.finish(capture.End.SIZE)
        elif self.started:
            if now - self.started >= self.wish.seconds:
                self.finish(capture.End.TIME)
        elif now - self.began > _START:
            self.finish(capture.End.FAILED, _('tcpdump did not start'))


def run(
    shell: shell_.Shell,
    device: str,
    wish: capture.Wish,
    sink: Sink,
    stop: Stop,
    progress: Progress,
) -> capture.Outcome:
    """Capture until a limit, a signal, or the other end says stop.

    :raises AccessError: when nothing can be started
    """
    argv = shell.argv(
        capture.command(device, wish),
        *('-o', 'ServerAliveInterval=10', '-o', 'ServerAliveCountMax=3'),
    )
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise exceptions.AccessError(
            _('Cannot run %(program)s: %(error)s')
            % {'program': argv[0], 'error': error.strerror},
            _('Install it, or choose another channel.'),
        ) from error
    state = _Run(
        process, sink, wish, capture.Records(wish.size), time.monotonic()
    )
    try:
        _stream(state, stop, progress)
    finally:
        _reap(process)
    return _outcome(state)


def _stream(state: _Run, stop: Stop, progress: Progress) -> None:
    process = state.process
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.fileno(), process.stderr.fileno()
    poll = select.poll()
    left = {out, err}
    for fd in left:
        poll.register(fd, select.POLLIN)
    if state.sink.pipe >= 0:
        # No events: only that the reader is gone is told.
        poll.register(state.sink.pipe, 0)
    while left:
        for fd, _event in poll.poll(_TICK):
            if fd not in left:
                poll.unregister(fd)
                state.broken = True
                state.finish(capture.End.CLOSED)
                continue
            data = os.read(fd, 1 << 16)
            if not data:
                poll.unregister(fd)
                left.discard(fd)
            elif fd == out:
                state.take(data)
            else:
                state.errors = (state.errors + data)[-(1 << 16) :]
        state.decide(stop)
        if state.started:
            progress(
                state.records.packets,
                state.records.bytes,
                time.monotonic() - state.started,
            )
        if state.end and time.monotonic() - state.ended > _DRAIN:
            return


def _reap(process: 'subprocess.Popen[bytes]') -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    try:
        process.wait(_DRAIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _outcome(state: _Run) -> capture.Outcome:
    text = state.errors.decode('utf-8', 'replace')
    status = state.process.returncode
    end, detail = state.end, state.detail
    wanted = state.wish.packets
    if end is None:
        # It ended by itself.
        if wanted is not None and state.records.packets >= wanted:
            end = capture.End.PACKETS
        elif status == 124:
            end = capture.End.TIME
        else:
            end = capture.End.FAILED
    if end is capture.End.FAILED and not detail:
        detail = shell_.last(text) or _('it ended with status %d') % status
        if state.records.started and (status < 0 or status == 255):
            # The last line is that of tcpdump, which knows nothing of it.
            detail = _('the connection to the host is gone')
    now = state.ended or time.monotonic()
    return capture.Outcome(
        end,
        state.records.packets,
        state.records.bytes,
        now - state.started if state.started else 0.0,
        capture.dropped(text),
        detail,
        state.records.started,
    )
