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

"""Run the benchmarks: ``tox -e bench``, or one with ``tox -e bench -- NAME``.

Each writes ``benchmarks/results/NAME.json`` and its table for the manual,
``doc/source/contributor/measured/NAME.txt``.  Ends with 1 when one misses a
bar, or has measured nothing.
"""

import json
import pathlib
import subprocess
import sys

from benchmarks import results

TREE = pathlib.Path(__file__).parent.parent
RESULTS = TREE / 'benchmarks/results'
TABLES = TREE / 'doc/source/contributor/measured'

#: Those that need no lab.
NAMES = (
    'startup',
    'ovsdb_ports',
    'mirror_list',
    'preflight_fleet',
    'volume_audit',
)


def main(names: list[str]) -> int:
    missed = []
    for name in names:
        print(f'== {name}', flush=True)
        path = RESULTS / f'{name}.json'
        path.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, '-m', f'benchmarks.{name}', '--json', str(path)],
            cwd=TREE,
            check=False,
        )
        measured = path.exists()
        if not measured:
            print(f'{name} has measured nothing', file=sys.stderr, flush=True)
        if done.returncode or not measured:
            missed.append(name)
        if measured:
            report = json.loads(path.read_text(encoding='utf-8'))
            TABLES.mkdir(exist_ok=True)
            (TABLES / f'{name}.txt').write_text(
                results.table(report), encoding='utf-8'
            )
    print(f'{len(names)} benchmarks, missed: {", ".join(missed) or "none"}')
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:] or list(NAMES)))
