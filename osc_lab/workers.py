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

"""Many slow things at once, none of which can hold the others.

A call into a library that hangs cannot be ended, only left behind: each
task has a daemon thread, and when its deadline has passed nobody waits
for it any more.  The pools of :mod:`concurrent.futures` join their threads
when the program ends, so they cannot be used here.
"""

import collections
import collections.abc
import queue
import threading
import time
import typing

from osc_lab.i18n import _

Key = typing.TypeVar('Key', bound=collections.abc.Hashable)
Value = typing.TypeVar('Value')

#: More hosts than this are looked at in turn: a connection to each, and as
#: many again that were left behind, still fit into 1,024 open files.
WIDTH = 256


class Late(Exception):
    """A task did not end in time; its thread was left behind."""


def run(
    tasks: collections.abc.Mapping[Key, collections.abc.Callable[[], Value]],
    deadline: float,
    width: int = WIDTH,
) -> dict[Key, Value | Exception]:
    """Run all tasks; return what each gave back or raised.

    :param deadline: seconds for each task, from its own start
    :param width: how many may run at once; one left behind counts no more
    :returns: for a task out of time a :class:`Late`
    """
    waiting = collections.deque(tasks.items())
    started: dict[Key, float] = {}
    results: dict[Key, Value | Exception] = {}
    done: queue.SimpleQueue[tuple[Key, Value | Exception]] = (
        queue.SimpleQueue()
    )
    while waiting or started:
        while waiting and len(started) < width:
            key, task = waiting.popleft()
            started[key] = time.monotonic()
            threading.Thread(
                target=_work, args=(key, task, done), daemon=True
            ).start()
        # Insertion order is the order of the starts.
        first = next(iter(started.values()))
        try:
            key, value = done.get(
                timeout=max(0.0, first + deadline - time.monotonic())
            )
        except queue.Empty:
            limit = time.monotonic() - deadline
            for late in [k for k, at in started.items() if at <= limit]:
                del started[late]
                results[late] = Late(_('no answer within %g s') % deadline)
        else:
            if started.pop(key, None) is not None:
                results[key] = value
    return {key: results[key] for key in tasks}


def call(task: collections.abc.Callable[[], Value], deadline: float) -> Value:
    """Run one task under a deadline.

    :raises Late: when it does not end in time
    """
    value = run({0: task}, deadline)[0]
    if isinstance(value, Exception):
        raise value
    return value


def _work(
    key: Key,
    task: collections.abc.Callable[[], Value],
    done: 'queue.SimpleQueue[tuple[Key, Value | Exception]]',
) -> None:
    try:
        value: Value | Exception = task()
    except Exception as error:
        value = error
    done.put((key, value))
