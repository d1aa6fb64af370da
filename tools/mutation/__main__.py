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

"""Change the decisions one by one, and see whether a unit test notices.

    python -m tools.mutation [--table FILE] [MODULE ...]

MODULE is a part of a path; without one all modules that are named in
selection.toml are changed.  Ends with 1 when fewer than nine of ten
changes were noticed, when one that was not has no reason in that file, or
when a reason there has no such change.
"""

import argparse
import collections.abc
import dataclasses
import os
import pathlib
import sys
import time
import tomllib

from benchmarks import results
from tools.mutation import mutants
from tools.mutation import table
from tools.mutation import trial

ROOT = pathlib.Path(__file__).parent.parent.parent
SELECTION = pathlib.Path(__file__).with_name('selection.toml')

#: The share of changes that has to be noticed.
BAR = 0.9


@dataclasses.dataclass(frozen=True)
class Area:
    """Modules, and the unit tests that belong to them."""

    modules: list[str]
    tests: list[str]

    def paths(self, words: list[str]) -> list[pathlib.Path]:
        """Return the modules, of which one of the words is a part."""
        return [
            path
            for pattern in self.modules
            for path in sorted(ROOT.glob(pattern))
            if path.name != '__init__.py'
            and any(word in name(path) for word in words or [''])
        ]


def name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def try_area(
    area: Area, words: list[str], jobs: int
) -> collections.abc.Iterator[table.Module]:
    """Yield what became of the mutants of each module of an area."""
    paths = area.paths(words)
    if not paths:
        return
    observed = trial.observe(trial.prepare(area.tests), paths)
    for path in paths:
        began = time.monotonic()
        module = table.Module(name(path))
        for mutant, outcome in outcomes(mutants.of(path), observed, jobs):
            module.counts[outcome] += 1
            if outcome is trial.Outcome.SURVIVED:
                module.survivors.append(mutant.change())
                print(f'{module.name}:{mutant.line}: {mutant.change()}')
        print(*module.cells(), f'{time.monotonic() - began:.0f} s', flush=True)
        yield module


def outcomes(
    queue: list[mutants.Mutant], observed: trial.Observed, jobs: int
) -> collections.abc.Iterator[tuple[mutants.Mutant, trial.Outcome]]:
    """Try mutants, some at a time."""
    running: dict[int, mutants.Mutant] = {}
    for mutant in queue:
        ids = observed.tests(mutant.path, mutant.lines)
        if not ids:
            yield mutant, trial.Outcome.SURVIVED
            continue
        if len(running) == jobs:
            pid, status = os.wait()
            yield running.pop(pid), trial.ended(status)
        pid = trial.start(
            name(mutant.path).removesuffix('.py').replace('/', '.'),
            mutant.code,
            ids,
            observed.limit(ids),
        )
        running[pid] = mutant
    while running:
        pid, status = os.wait()
        yield running.pop(pid), trial.ended(status)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('modules', metavar='MODULE', nargs='*')
    parser.add_argument('--table', metavar='<file>', type=pathlib.Path)
    args = parser.parse_args()
    machine = results.machine()
    began = time.monotonic()
    chosen = tomllib.loads(SELECTION.read_text(encoding='utf-8'))
    reasons = [table.Reason.of(item) for item in chosen.get('survivor', [])]
    modules = [
        module
        for area in chosen['area']
        for module in try_area(
            Area(**area), args.modules, machine['processors']
        )
    ]
    minutes = (time.monotonic() - began) / 60
    if not modules:
        sys.exit('no module of that name')
    print(*table.total(modules).cells(), f'{minutes:.1f} minutes')
    if args.table:
        text = table.rest(machine, minutes, modules, reasons)
        args.table.write_text(text, encoding='utf-8')
    wrong = table.unexplained(modules, reasons)
    print(*wrong, sep='\n')
    return 1 if wrong or table.total(modules).share < BAR else 0


if __name__ == '__main__':
    sys.exit(main())
