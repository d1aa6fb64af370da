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

"""The line that tells how a migration goes on."""

import collections.abc
import contextlib
import os
import sys

from osc_lab import exceptions
from osc_lab.migration import watch


class Progress:
    """One line on a terminal, written over and over.

    :param say: tells the user something, on a line of its own
    :param timeout: seconds after which Nova acts
    """

    def __init__(
        self,
        say: collections.abc.Callable[[str], None],
        timeout: float | None,
    ) -> None:
        self._say = say
        self._timeout = timeout
        self._terminal = sys.stderr.isatty()
        self._width = 0

    def show(self, sample: watch.Sample) -> None:
        if not self._terminal:
            return
        try:
            # A line that wraps could not be written over.
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            line = sample.line(self._timeout, columns - 1)
            # Its words are Nova's.
            line = exceptions.printable(line)[: columns - 1]
            sys.stderr.write('\r' + line.ljust(self._width))
            sys.stderr.flush()
        except OSError:
            # The migration goes on without the terminal, and so do we.
            return
        self._width = len(line)

    def say(self, text: str) -> None:
        self.end()
        self._say(text)

    def end(self) -> None:
        if self._terminal and self._width:
            self._width = 0
            with contextlib.suppress(OSError):
                sys.stderr.write('\n')
