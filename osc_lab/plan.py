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

"""Plans: ordered steps that know how to undo themselves.

A plan is made by pure code, printed by ``--dry-run`` and carried out
here.  When a step fails, or the user interrupts, the steps are undone in
reverse order.  The step that failed is undone too: an answer can be lost
after the request was carried out, so an undo must accept that there is
nothing to undo.
"""

import collections.abc
import contextlib
import dataclasses
import logging
import math
import signal
import sys
import threading
import time
import typing

from osc_lab import exceptions
from osc_lab.i18n import _

LOG = logging.getLogger(__name__)

#: Seconds in which signals count as one.
_ONE_SIGNAL = 0.5


@dataclasses.dataclass(frozen=True)
class Step:
    """One change.

    :param title: what the step does, in the infinitive, one line
    :param do: carries it out
    :param command: the stock command that does the same, for people
    :param undo: takes it back; must succeed when there is nothing to
        take back; None for a step that changes nothing
    :param undo_command: the stock command that takes it back, or what
        returns it where it is known only afterwards
    """

    title: str
    do: collections.abc.Callable[[], None]
    command: str = ''
    undo: collections.abc.Callable[[], None] | None = None
    undo_command: str | collections.abc.Callable[[], str] = ''


@dataclasses.dataclass(frozen=True)
class Plan:
    """Steps in the order in which they are carried out."""

    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    def rows(self) -> list[tuple[str, str]]:
        """Return (title, command) of each step, for ``--dry-run``."""
        return [(step.title, step.command) for step in self.steps]

    def run(self) -> None:
        """Carry out all steps, or none.

        :raises UndoFailed: when a step failed and something remains
        :raises BaseException: what the failing step raised, after the
            undo; KeyboardInterrupt included
        """
        done: list[Step] = []
        try:
            for step in self.steps:
                done.append(step)
                LOG.debug('step: %s', step.title)
                step.do()
        except BaseException as error:
            with uninterrupted():
                left = self._undo(done)
            if left:
                raise exceptions.UndoFailed(
                    _('Failed to %(step)s: %(error)s')
                    % {
                        'step': done[-1].title,
                        'error': str(error) or type(error).__name__,
                    },
                    left,
                ) from error
            raise

    def _undo(self, done: list[Step]) -> list[tuple[str, str]]:
        left = []
        for step in reversed(done):
            if step.undo is None:
                continue
            try:
                step.undo()
            except Exception as error:
                LOG.debug('undo of %r failed', step.title, exc_info=True)
                command = step.undo_command
                left.append(
                    (
                        f'{step.title} ({error})',
                        (command() if callable(command) else command) or '-',
                    )
                )
        return left


@contextlib.contextmanager
def uninterrupted() -> typing.Iterator[None]:
    """Hold back SIGINT, SIGTERM and SIGHUP while something is undone.

    The first that came takes effect afterwards, so that nobody goes on as if
    it had not been; unless an error is on its way, which says more.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    failing = sys.exception() is not None
    held: list[int] = []

    def note(signum: int, frame: object) -> None:
        held.append(signum)
        LOG.warning(_('Undoing what was done; please wait.'))

    before = {
        sig: signal.signal(sig, note)
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)
    if held and not failing:
        signal.raise_signal(held[0])


@contextlib.contextmanager
def interruptible() -> typing.Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, so that undo runs.

    A second one that comes at once, as timeout(1) sends it to a process and
    to its group, is the same one: it would strike before undo begins.
    Ctrl-C is left to Python, for a second one may have a meaning.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    last = -math.inf

    def stop(signum: int, frame: object) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _ONE_SIGNAL:
            return
        last = now
        raise exceptions.Interrupted(signal.Signals(signum).name)

    before = {
        sig: signal.signal(sig, stop)
        for sig in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(sig) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)
