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

"""What a benchmark found: rows with a bar, as text, JSON and a table."""

import argparse
import collections.abc
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import sys
import typing

Rows = collections.abc.Iterable['Row']


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure.

    :param case: what it was measured on
    :param what: what it is, with its unit
    :param most: the bar: it may not be more
    :param least: the bar: it may not be less
    """

    case: str
    what: str
    value: float
    most: float | None = None
    least: float | None = None

    @property
    def met(self) -> bool:
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    @property
    def bar(self) -> str:
        if self.most is not None and self.least == self.most:
            return number(self.most)
        if self.most is not None and self.least is not None:
            return f'{number(self.least)} to {number(self.most)}'
        if self.most is not None:
            return f'at most {number(self.most)}'
        return '' if self.least is None else f'at least {number(self.least)}'

    def cells(self) -> tuple[str, ...]:
        met = '' if not self.bar else ('yes' if self.met else 'NO')
        return self.case, self.what, number(self.value), self.bar, met


HEADINGS = ('Case', 'Figure', 'Measured', 'Bar', 'Met')


def number(value: float) -> str:
    """Return a number with as many digits as are worth reading."""
    if value == int(value):
        return f'{int(value):,}'
    return f'{value:,.0f}' if abs(value) >= 100 else f'{value:.3g}'


def machine() -> dict[str, typing.Any]:
    """Return what the figures depend on, taken before they are."""
    info = pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8')
    names = [
        line.partition(':')[2].strip()
        for line in info.splitlines()
        if line.startswith('model name')
    ]
    pages = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return {
        'date': datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d'),
        'processors': len(os.sched_getaffinity(0)),
        'model': names[0] if names else platform.machine(),
        'memory_gib': round(pages / 2**30),
        'python': platform.python_version(),
        'load': round(os.getloadavg()[0], 1),
    }


def main(
    measure: collections.abc.Callable[[argparse.Namespace], Rows],
    description: str | None,
    parser: argparse.ArgumentParser | None = None,
) -> int:
    """Run one benchmark, print each row as it comes.

    :returns: exit status: 0 when every bar is met
    """
    parser = parser or argparse.ArgumentParser()
    parser.description = description
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('--json', metavar='<file>', type=pathlib.Path)
    args = parser.parse_args()
    report: dict[str, typing.Any] = {'machine': machine(), 'rows': []}
    met = True
    for row in measure(args):
        print(' | '.join(cell for cell in row.cells() if cell), flush=True)
        report['rows'].append(dataclasses.asdict(row))
        met = met and row.met
    if not report['rows']:
        sys.exit('nothing was measured')
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1) + '\n')
    return 0 if met else 1


def table(report: dict[str, typing.Any]) -> str:
    """Return a report as a table of reStructuredText."""
    made = report['machine']
    lines = [
        f'{made["date"]}, {made["processors"]} processors '
        f'({made["model"]}), {made["memory_gib"]} GiB,',
        f'Python {made["python"]}, load {made["load"]} before the start.',
        '',
        '.. list-table::',
        '   :header-rows: 1',
        '   :widths: 32 36 12 12 8',
        '',
    ]
    rows = [Row(**row).cells() for row in report['rows']]
    for cells in (HEADINGS, *rows):
        for index, cell in enumerate(cells):
            lines.append(f'   {" " if index else "*"} - {cell}'.rstrip())
    return '\n'.join(lines) + '\n'
