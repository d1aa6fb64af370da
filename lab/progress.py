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

"""A line for each step, with the time since the start."""

import contextlib
import sys
import threading
import time
import typing


class Progress:
    """Write lines to a stream, from any thread.

    :param stream: where to; standard error unless said otherwise
    """

    def __init__(self, stream: typing.TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def line(self, text: str, took: float | None = None) -> None:
        """Write one line; a terminal that is gone ends no lab half-way.

        :param took: seconds that the step itself took
        """
        cost = '' if took is None else f' ({took:.1f} s)'
        with self._lock, contextlib.suppress(OSError):
            self._stream.write(f'{self.elapsed():6.1f} s  {text}{cost}\n')
            self._stream.flush()
