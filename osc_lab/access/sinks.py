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

"""Where a capture goes: a file, a ring of files, a pipe, Wireshark."""

import contextlib
import errno
import math
import os
import re
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

from osc_lab.access import shell
from osc_lab import exceptions
from osc_lab.i18n import _

#: A pipe that can be written to takes so much at once (PIPE_BUF).
_PIPE = 4096

#: Milliseconds.
_TICK = 200

#: Seconds that a reader may read nothing when the capture is over.
_PATIENCE = 2.0


class Stop:
    """Signals that came while they were deferred.

    :ivar deadline: when a capture is over, by the clock time.monotonic()
    """

    def __init__(self) -> None:
        self.signal = 0
        self.deadline = math.inf

    def check(self) -> None:
        """Stop here when a signal came.

        :raises Interrupted: when it did
        """
        if self.signal:
            raise exceptions.Interrupted(signal.Signals(self.signal).name)


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
    :ivar rolls: whether a full file is followed by another one
    :ivar files: names of several that stay, oldest first; may be empty
    """

    pipe: int
    rolls: bool
    files: list[str]

    @property
    def done(self) -> int:
        """Bytes that the last write() managed."""

    def write(self, data: bytes) -> None:
        """Take whole records.

        :raises OSError: when it cannot
        """

    def cut(self, whole: int) -> None:
        """Keep only so much of what a write() managed that failed."""

    def roll(self) -> None:
        """Go on in another file.

        :raises OSError: when it cannot
        """


class File:
    """A file that only its owner reads; never written through a link."""

    pipe = -1
    rolls = False

    def __init__(self, path: str, force: bool) -> None:
        """Open it.

        :raises InvalidInput: when it exists, cannot be made, or is in a
            folder where anybody could put another one in its place
        """
        self.files: list[str] = []
        self.done = 0
        self._path = path
        self._size = 0
        self._temporary = ''
        try:
            _judge_folder(path)
            if force:
                self._fd = self._beside(path)
            else:
                self._fd = _new(path)
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

        :raises OperationFailed: when nobody knows whether all of it is
            there, or it cannot take its place
        """
        made = self._temporary or self._path
        try:
            os.close(self._fd)
            if not self._size:
                os.unlink(made)
            elif self._temporary:
                os.replace(self._temporary, self._path)
        except OSError as error:
            raise exceptions.OperationFailed(
                _('The file "%(path)s" could not be ended: %(error)s')
                % {'path': self._path, 'error': error.strerror},
                _('What arrived is in "%s".') % made,
            ) from error

    def roll(self) -> None:
        """Never asked for: a file ends when it is full."""
        raise AssertionError


def _judge_folder(path: str) -> None:
    """Refuse a folder where anybody may rename and remove our files.

    :raises InvalidInput: when it is one
    :raises OSError: when there is none
    """
    folder = os.path.dirname(path) or '.'
    mode = os.stat(folder).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise exceptions.InvalidInput(
            _('--file: everybody can write to the folder "%s"') % folder,
            _('Use a folder of your own: another user could swap the file.'),
        )


def _new(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


class Ring:
    """Files with numbers, of which the last ones stay.

    :param path: the number is put before its suffix
    :param count: files that stay
    """

    pipe = -1
    rolls = True

    def __init__(self, path: str, count: int) -> None:
        """Open the first file.

        :raises InvalidInput: when files of that name are there, or none
            can be made
        """
        self._path = path
        self._count = count
        self.files: list[str] = []
        self._number = 0
        found = self._taken()
        if found:
            raise exceptions.InvalidInput(
                _('--ring: "%s" exists') % found,
                _('Remove the files of the other ring, or use another name.'),
            )
        self._file = self._next()

    def _taken(self) -> str:
        folder, name = os.path.split(self._path)
        root, suffix = os.path.splitext(name)
        pattern = re.compile(re.escape(root) + r'-\d{5,}' + re.escape(suffix))
        with contextlib.suppress(OSError):
            for other in sorted(os.listdir(folder or '.')):
                if pattern.fullmatch(other):
                    return os.path.join(folder, other)
        return ''

    def _next(self) -> File:
        self._number += 1
        root, suffix = os.path.splitext(self._path)
        path = f'{root}-{self._number:05d}{suffix}'
        file = File(path, False)
        self.files.append(path)
        return file

    @property
    def done(self) -> int:
        return self._file.done

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def cut(self, whole: int) -> None:
        self._file.cut(whole)

    def roll(self) -> None:
        """Go on in another file; the oldest one goes when there are many.

        :raises OSError: when it cannot
        """
        full = self._file
        try:
            self._file = self._next()
            full.close()
        except exceptions.LabError as error:
            raise OSError(error.message) from error
        if len(self.files) > self._count:
            # A file that was moved away is safe from us.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.files.pop(0))

    def close(self) -> None:
        """End the last one.

        :raises OperationFailed: as File.close() does
        """
        self._file.close()
        self.files = [path for path in self.files if os.path.lexists(path)]


class Pipe:
    """The standard output, or another program."""

    rolls = False

    def __init__(self, fd: int, stop: Stop) -> None:
        self.pipe = fd
        self.files: list[str] = []
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
                limit = 0.0
                continue
            now = time.monotonic()
            if self._stop.signal or now > self._stop.deadline:
                # A reader that reads nothing must not keep us.
                limit = limit or now + _PATIENCE
                if now > limit:
                    raise TimeoutError(
                        errno.ETIMEDOUT, _('the reader reads nothing')
                    )

    def cut(self, whole: int) -> None:
        """Leave what went through a pipe."""

    def roll(self) -> None:
        """Never asked for: a pipe is one file."""
        raise AssertionError


@contextlib.contextmanager
def file(path: str, force: bool) -> typing.Iterator[Sink]:
    """Open a file for a capture; it is complete when this ends."""
    sink = File(path, force)
    try:
        yield sink
    finally:
        sink.close()


@contextlib.contextmanager
def ring(path: str, count: int) -> typing.Iterator[Sink]:
    """Open a ring of files; they are complete when this ends."""
    sink = Ring(path, count)
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
    :raises OperationFailed: when it failed meanwhile
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
        env=shell.environment(),
        # Ctrl-C ends the capture, and not what looks at it.
        start_new_session=True,
    )
    assert process.stdin is not None
    fd = os.dup(process.stdin.fileno())
    process.stdin.close()
    try:
        yield Pipe(fd, stop)
    finally:
        gone = select.poll()
        gone.register(fd, 0)
        # A process loses its files before its status is there.
        patience = 2 if gone.poll(0) else 0
        os.close(fd)
    with contextlib.suppress(subprocess.TimeoutExpired):
        if status := process.wait(patience):
            raise exceptions.OperationFailed(
                _('Wireshark ended with status %d') % status,
                _('Start it by hand, or use --file.'),
            )
