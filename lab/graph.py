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

"""Run steps in the order of their needs, as many at a time as pay."""

import collections.abc
import dataclasses
import threading
import time

from lab import errors
from lab import progress


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing to do on the way up.

    :param name: unique in a run
    :param run: does it; False when there was nothing to do
    :param after: names of the steps that must be done before
    :param weight: share of the processors it takes, of ``capacity``; 0 for
        a step that mostly waits
    """

    name: str
    run: collections.abc.Callable[[], bool]
    after: tuple[str, ...] = ()
    weight: int = 1


def check(steps: collections.abc.Sequence[Step]) -> None:
    """Raise ValueError for unknown needs, doubled names or a circle."""
    names = [step.name for step in steps]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise ValueError(f'steps given twice: {sorted(doubled)}')
    needs = {step.name: set(step.after) for step in steps}
    for name, wanted in needs.items():
        if unknown := wanted - needs.keys():
            raise ValueError(f'{name} needs unknown {sorted(unknown)}')
    while needs:
        free = {name for name, wanted in needs.items() if not wanted}
        if not free:
            raise ValueError(f'steps need each other: {sorted(needs)}')
        needs = {
            name: wanted - free
            for name, wanted in needs.items()
            if name not in free
        }


class _Run:
    """The moving parts of one run, guarded by one condition."""

    def __init__(
        self,
        steps: collections.abc.Sequence[Step],
        capacity: int,
        report: progress.Progress,
    ) -> None:
        self.waiting = list(steps)
        self.done: set[str] = set()
        self.worked: list[str] = []
        self.running: dict[str, int] = {}
        self.failed: errors.LabError | None = None
        self.capacity = capacity
        self.report = report
        self.changed = threading.Condition()

    def startable(self) -> list[Step]:
        """Steps to start now, first come first; marks them as running."""
        chosen = []
        for step in list(self.waiting):
            load = sum(self.running.values())
            fits = step.weight == 0 or load + step.weight <= self.capacity
            if self.done.issuperset(step.after) and (fits or load == 0):
                self.waiting.remove(step)
                self.running[step.name] = step.weight
                chosen.append(step)
        return chosen

    def perform(self, step: Step) -> None:
        start = time.monotonic()
        failed: errors.LabError | None = None
        worked = False
        try:
            worked = step.run()
        except errors.LabError as error:
            failed = errors.LabError(f'{step.name}: {error}')
        except Exception as error:  # a thread must not die without a word
            kind = type(error).__name__
            failed = errors.LabError(f'{step.name}: {kind}: {error}')
        if worked:
            self.report.line(step.name, time.monotonic() - start)
        with self.changed:
            del self.running[step.name]
            if failed is None:
                self.done.add(step.name)
                if worked:
                    self.worked.append(step.name)
            elif self.failed is None:
                self.failed = failed
            self.changed.notify_all()


def run(
    steps: collections.abc.Sequence[Step],
    capacity: int,
    report: progress.Progress,
) -> list[str]:
    """Run all steps; among those that could start, the first goes first.

    Nothing new is started after a failure, and what runs is waited for no
    longer: its processes carry the lab's mark, so ``down`` finds them.

    :param capacity: how much ``weight`` may run at once
    :returns: names of the steps that had something to do
    :raises LabError: of the first step that failed, with its name
    """
    check(steps)
    state = _Run(steps, capacity, report)
    with state.changed:
        while state.waiting or state.running:
            if state.failed:
                raise state.failed
            for step in state.startable():
                threading.Thread(
                    target=state.perform,
                    args=(step,),
                    name=step.name,
                    daemon=True,
                ).start()
            if state.running:
                state.changed.wait()
        if state.failed:
            raise state.failed
    return state.worked
