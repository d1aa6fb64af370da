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

"""The line that tells how something goes on."""

import collections.abc
import contextlib
import os
import typing

from osc_lab import exceptions


class Progress:
    """One line on a terminal, written over and over; nothing elsewhere.

    :param stream: where the line is written, if that is a terminal
    :param say: tells the user something, on a line of its own
    :ivar terminal: whether anything is shown
    """

    def __init__(
        self,
        stream: typing.TextIO,
        say: collections.abc.Callable[[str], None],
    ) -> None:
        self._stream = stream
        self._say = say
        self.terminal = stream.isatty()
        self._width = 0

    @property
    def columns(self) -> int:
        """Return how long the line may be.

        One that wraps could not be written over.
        """
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except OSError:
            columns = 0
        return (columns or 80) - 1

    def show(self, text: str) -> None:
        """Write the line anew; what does not fit is left out."""
        if not self.terminal:
            return
        # Its words may be those of a service.
        line = exceptions.printable(text)[: self.columns]
        try:
            self._stream.write('\r' + line.ljust(self._width))
            self._stream.flush()
        except OSError:
            # The work goes on without the terminal, and so do we.
            return
        self._width = len(line)

    def say(self, text: str) -> None:
        self.end()
        self._say(text)

    def end(self) -> None:
        """Leave the line as it is, and begin another one."""
        if self.terminal and self._width:
            self._width = 0
            with contextlib.suppress(OSError):
                self._stream.write('\n')
