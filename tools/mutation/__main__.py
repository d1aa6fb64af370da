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

    python -m tools.mutation [--results FILE] [--table FILE] [WORD ...]

Changes the modules of selection.toml, or those with a WORD in their path.
What became of them is kept in a file, so that a table can be made of several
runs.  Ends with 1 when fewer than nine of ten
changes were noticed, when one that was not has no reason in that file, or
when a reason there has no such change.
"""

import argparse
import collections.abc
import dataclasses
import os
import pathlib
import sys
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
        """Return the modules, of which one of the words is a part.

        :raises SystemExit: a pattern matches nothing
        """
        found = {item: sorted(ROOT.glob(item)) for item in self.modules}
        for item, paths in found.items():
            if not paths:
                sys.exit(f'{SELECTION.name}: there is no {item}')
        return [
            path
            for paths in found.values()
            for path in paths
            if path.name != '__init__.py'
            and any(word in name(path) for word in words or [''])
        ]


def name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def dotted(path: pathlib.Path) -> str:
    return name(path).removesuffix('.py').replace('/', '.')


def try_area(
    area: Area, words: list[str], jobs: int
) -> collections.abc.Iterator[table.Module]:
    """Yield what became of the mutants of each module of an area."""
    paths = area.paths(words)
    if not paths:
        return
    observed = trial.observe(trial.prepare(area.tests), paths)
    for path in paths:
        control(path, observed)
        began = sum(os.times()[:4])
        module = table.Module(name(path))
        for mutant, outcome in outcomes(mutants.of(path), observed, jobs):
            if outcome is trial.Outcome.BROKEN:
                sys.exit(
                    f'{module.name}:{mutant.line}: {mutant.change()}: broken'
                )
            module.counts[outcome] += 1
            if outcome is trial.Outcome.SURVIVED:
                module.survivors.append(mutant.change())
                print(f'{module.name}:{mutant.line}: {mutant.change()}')
        module.seconds = sum(os.times()[:4]) - began
        print(*module.cells(), f'{module.seconds:.0f} s', flush=True)
        yield module


def control(path: pathlib.Path, observed: trial.Observed) -> None:
    """Try a module as it is: what fails then is not noticed, it is broken.

    :raises SystemExit: it does not survive
    """
    ids = observed.tests(path, range(0))
    pid = trial.start(dotted(path), path.read_text, ids, observed.limit(ids))
    outcome = trial.ended(os.waitpid(pid, 0)[1])
    if outcome is not trial.Outcome.SURVIVED:
        sys.exit(
            f'{name(path)} without a change: {outcome.value}; nothing can be '
            'said of its mutants'
        )


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
            dotted(mutant.path),
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
    parser.add_argument('words', metavar='WORD', nargs='*')
    parser.add_argument('--results', metavar='<file>', type=pathlib.Path)
    parser.add_argument('--table', metavar='<file>', type=pathlib.Path)
    args = parser.parse_args()
    machine = results.machine()
    chosen = tomllib.loads(SELECTION.read_text(encoding='utf-8'))
    reasons = [table.Reason.of(item) for item in chosen.get('survivor', [])]
    areas = [Area(**area) for area in chosen['area']]
    known = table.load(args.results) if args.results else {}
    tried = []
    for area in areas:
        for module in try_area(area, args.words, machine['processors']):
            tried.append(module)
            known[module.name] = module
            if args.results:
                table.save(args.results, known.values())
    if not tried:
        sys.exit('no module has such a word in its path')
    print(*table.total(tried).cells())
    if args.table:
        order = [name(path) for area in areas for path in area.paths([])]
        shown = [known[item] for item in order if item in known]
        args.table.write_text(
            table.rest(machine, shown, reasons), encoding='utf-8'
        )
    wrong = table.unexplained(tried, reasons)
    print(*wrong, sep='\n')
    return 1 if wrong or table.total(tried).share < BAR else 0


if __name__ == '__main__':
    sys.exit(main())
