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

"""The table of benchmarks/convergence.json, for here and the documents.

    python -m benchmarks.convergence_table

Each migration is forecast anew, from the windows that were measured before
it, so that a change of the model shows.
"""

import collections
import json
import pathlib
import statistics
import sys
import textwrap

from osc_lab.migration import forecast
from osc_lab.migration import nova_options
from osc_lab.migration import precopy

MIB = 1024**2
MEMORY = 1024
#: Nova's options, with a clock that a test can wait for.
OPTIONS = nova_options.Options(delay_s=3, steps=10, timeout_s=20)
DATA = OPTIONS.data_gib(MEMORY, [])
STEPS = tuple((float(a), b / 1000) for a, b in OPTIONS.downtime_steps(DATA))
TIMEOUT = float(OPTIONS.completion_timeout(DATA))

RESULTS = pathlib.Path(__file__).with_name('convergence.json')
TABLE = RESULTS.with_suffix('.md')
PAGE = RESULTS.parents[1] / 'doc/source/contributor/measured/convergence.txt'


def told(row):
    """Return the forecast of a row, of the copy alone."""
    link, limit, before = (
        row['link_mib_s'],
        row['case'][2],
        row['given_before'],
    )
    setting = precopy.Setting(
        row['touched_pages'],
        min(limit, link) * MIB,
        STEPS,
        TIMEOUT,
        zero_pages=row['total_pages'] - row['touched_pages'],
        link=link * MIB,
        before=before,
    )
    found = forecast.forecast(
        tuple(map(tuple, row['windows'])),
        row['total_pages'],
        setting,
        (0.95, 1.0) if limit < 0.5 * link else (0.8, 1.1),
        (0.85, 1.05),
    )
    predicted = [found.best, found.likely, found.worst]
    return {
        'forecast': [round(item.seconds - before, 2) for item in predicted],
        'forecast_ends': [item.converges for item in predicted],
        'forecast_downtime_ms': [
            item.downtime and round(item.downtime * 1000) for item in predicted
        ],
        'ending': found.ending,
        'converges': found.converges,
    }


def figures(rows):
    """Return what the bars are about; errors are of the copy's duration."""
    ended = [row for row in rows if row['converged']]
    promised = [row for row in rows if row['converges'] is True]

    def errors(chosen):
        found = sorted(
            abs(row['forecast'][1] / row['seconds'] - 1)
            for row in chosen
            if row['converged'] and row['forecast_ends'][1]
        )
        return found or [float('nan')]

    def covered(chosen):
        found = [
            row['forecast'][0] <= row['seconds']
            and (
                not row['forecast_ends'][2]
                or row['seconds'] <= row['forecast'][2]
            )
            for row in chosen
            if row['converged']
        ]
        return sum(found), len(found)

    return {
        'migrations': len(rows),
        'ended': len(ended),
        'promised': len(promised),
        'ruled_out': sum(row['converges'] is False for row in rows),
        'undecided': sum(row['converges'] is None for row in rows),
        'wrong_will_converge': sum(not row['converged'] for row in promised),
        'wrong_never': sum(row['converges'] is False for row in ended),
        'median_error_promised': statistics.median(errors(promised)),
        'median_error': statistics.median(errors(rows)),
        'largest_error_promised': errors(promised)[-1],
        'covered_promised': covered(promised),
        'covered': covered(rows),
    }


HEADERS = (
    'MiB written',
    'MiB/s written',
    'limit MiB/s',
    'idle',
    'answer',
    'forecast s',
    'took s',
    'error',
    'forecast ms',
    'pause ms',
)


def cells(row):
    """Return a row of the table as text."""
    low, likely, high = row['forecast']
    ends = row['forecast_ends']
    answer = {True: 'ends', False: 'never', None: 'undecided'}
    error = '-'
    if row['converged'] and ends[1]:
        error = f'{(likely / row["seconds"] - 1) * 100:+.0f} %'
    interval = 'never'
    if ends[0]:
        worst = f'{high:.1f}' if ends[2] else 'never'
        middle = f'{likely:.1f}' if ends[1] else 'never'
        interval = f'{low:.1f} - {middle} - {worst}'
    pauses = [str(item or 'never') for item in row['forecast_downtime_ms']]
    return (
        *(str(item) for item in row['case']),
        f'{row["idle"] * 100:.0f} %',
        answer[row['converges']],
        interval,
        f'{row["seconds"]:.1f}' if row['converged'] else 'never',
        error,
        ' - '.join((pauses[0], pauses[2])),
        str(row['downtime_ms'] or '-'),
    )


def summary(rows):
    found = figures(rows)
    dates = sorted({row['date'] for row in rows})

    def share(pair):
        return f'{pair[0]} of {pair[1]} ({pair[0] / max(1, pair[1]):.0%})'

    return (
        f'{found["migrations"]} migrations, {" and ".join(dates)}, of guests '
        f'without KVM (TCG); {machines(rows)}. {found["ended"]} ended, '
        f'{found["migrations"] - found["ended"]} were aborted by the timeout.',
        f'{found["promised"]} were forecast to end, {found["ruled_out"]} not '
        f'to end, {found["undecided"]} were undecided. Wrong "ends": '
        f'{found["wrong_will_converge"]}; wrong "never": '
        f'{found["wrong_never"]}.',
        'Error of the duration, median: '
        f'{found["median_error_promised"]:.1%} where an end was forecast '
        f'(largest {found["largest_error_promised"]:.0%}), '
        f'{found["median_error"]:.1%} where one was likely.',
        'The 90 % interval held the duration in '
        f'{share(found["covered_promised"])} where an end was forecast, '
        f'{share(found["covered"])} of all that ended.',
    )


def machines(rows):
    """Return what the rows were measured on, which each of them tells."""
    found = collections.Counter(
        'QEMU {qemu} on {processors} processors ({model}), {memory_gib} GiB, '
        'Python {python}'.format_map(row['machine'])
        if 'machine' in row
        else 'machine and QEMU not recorded'
        for row in rows
    )
    if len(found) == 1:
        return next(iter(found))
    return ', '.join(f'{count}: {text}' for text, count in found.items())


def write(rows):
    lines = ',\n'.join(map(json.dumps, rows))
    RESULTS.write_text(f'[\n{lines}\n]\n')


def tables(rows):
    """Write the table for the benchmarks and for the documents."""
    texts = [cells(row) for row in rows]
    lines = ['# The forecast against real migrations', '']
    lines += [f'- {line}' for line in summary(rows)]
    lines += ['', ' | '.join(HEADERS), ' | '.join('---' for _ in HEADERS)]
    lines += [' | '.join(row) for row in texts]
    TABLE.write_text('\n'.join(lines) + '\n')

    lines = ['.. Written by benchmarks/convergence.py.', '']
    for line in summary(rows):
        lines += textwrap.wrap(
            line, 78, initial_indent='* ', subsequent_indent='  '
        )
    lines += ['', '.. list-table::', '   :header-rows: 1', '']
    for row in (HEADERS, *texts):
        lines += [f'   * - {row[0]}', *(f'     - {cell}' for cell in row[1:])]
    PAGE.write_text('\n'.join(lines) + '\n')


def main():
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    if not rows:
        print(f'Nothing was measured: {RESULTS} has no row', file=sys.stderr)
        return 1
    rows = [{**row, **told(row)} for row in rows]
    write(rows)
    tables(rows)
    found = figures(rows)
    print(json.dumps(found))
    return 1 if found['wrong_will_converge'] or found['wrong_never'] else 0


if __name__ == '__main__':
    sys.exit(main())
