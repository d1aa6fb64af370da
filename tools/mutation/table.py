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

"""What became of the mutants: counts by module, survivors with reasons."""

import collections
import collections.abc
import dataclasses
import json
import pathlib
import typing

from tools.mutation import trial

HEADINGS = ('Module', 'Mutants', 'Killed', 'Timed out', 'Survived', 'Share')


@dataclasses.dataclass
class Module:
    """The mutants of one module.

    :param name: its path in the repository
    :param seconds: of a processor
    :param survivors: the changes that no test noticed
    """

    name: str
    seconds: float = 0.0
    counts: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    survivors: list[str] = dataclasses.field(default_factory=list)

    @property
    def share(self) -> float:
        """How many of its mutants were noticed, from 0 to 1."""
        survived = self.counts[trial.Outcome.SURVIVED]
        return 1 - survived / max(1, self.counts.total())

    def cells(self) -> tuple[str, ...]:
        numbers = (
            self.counts.total(),
            self.counts[trial.Outcome.KILLED],
            self.counts[trial.Outcome.TIMED_OUT],
            self.counts[trial.Outcome.SURVIVED],
        )
        return (
            self.name,
            *(f'{number:,}' for number in numbers),
            f'{self.share:.1%}',
        )


def total(modules: collections.abc.Iterable[Module]) -> Module:
    """Return the sum of modules."""
    whole = Module('all')
    for module in modules:
        whole.counts.update(module.counts)
        whole.seconds += module.seconds
    return whole


def load(path: pathlib.Path) -> dict[str, Module]:
    """Return the modules that were tried before, by name."""
    if not path.exists():
        return {}
    found = {}
    for item in json.loads(path.read_text(encoding='utf-8')):
        module = Module(**item)
        module.counts = collections.Counter(item['counts'])
        found[module.name] = module
    return found


def save(
    path: pathlib.Path, modules: collections.abc.Iterable[Module]
) -> None:
    """Keep modules for :func:`load`."""
    items = [vars(module) for module in modules]
    path.write_text(json.dumps(items, indent=1), encoding='utf-8')


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why changes of a module survive."""

    module: str
    why: str
    changes: tuple[str, ...]

    @classmethod
    def of(cls, item: collections.abc.Mapping[str, typing.Any]) -> 'Reason':
        return cls(item['module'], item['why'], tuple(item['changes']))


def unexplained(
    modules: collections.abc.Iterable[Module],
    reasons: collections.abc.Iterable[Reason],
) -> list[str]:
    """Return the survivors without a reason, and reasons without one."""
    given: dict[str, collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
    for reason in reasons:
        given[reason.module].update(reason.changes)
    found = []
    for module in modules:
        seen = collections.Counter(module.survivors)
        known = given[module.name]
        for text, items in (
            ('has no reason', seen - known),
            ('is no survivor', known - seen),
        ):
            found += [f'{module.name}: {one} {text}' for one in items]
    return found


def rest(
    machine: collections.abc.Mapping[str, typing.Any],
    modules: collections.abc.Sequence[Module],
    reasons: collections.abc.Sequence[Reason],
) -> str:
    """Return the results as reStructuredText."""
    whole = total(modules)
    lines = [
        f'{machine["date"]}, {machine["processors"]} processors '
        f'({machine["model"]}), {machine["memory_gib"]} GiB,',
        f'Python {machine["python"]}; {whole.seconds / 60:.0f} minutes of a '
        'processor.',
        '',
        '.. list-table::',
        '   :header-rows: 1',
        '   :widths: 44 12 12 12 12 12',
        '',
    ]
    rows = [module.cells() for module in (*modules, whole)]
    for cells in (HEADINGS, *rows):
        for index, cell in enumerate(cells):
            lines.append(f'   {" " if index else "*"} - {cell}')
    lines += ['', 'What survives, and why:']
    names = {module.name for module in modules}
    for reason in sorted(reasons, key=lambda item: item.module):
        if reason.module not in names:
            continue
        lines += ['', f'``{reason.module}``: {reason.why}', '']
        lines += [f'* ``{change}``' for change in reason.changes]
    wrong = unexplained(modules, reasons)
    if wrong:
        lines += ['', 'Not dealt with when these were tried:', '']
        lines += [f'* ``{one}``' for one in wrong]
    return '\n'.join(lines) + '\n'
