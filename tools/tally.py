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

"""Add up the last test run of stestr repositories.

Prints one line, ``N passed, N failed, N skipped``, and fails when a test
failed, or none passed in one of the repositories, which is named.  Before it
comes how many pairs of a step and a fault the tests have tried, where they
tell (osc_lab/tests/thorough.py).
"""

import collections
import pathlib
import subprocess
import sys


def count(repository: pathlib.Path) -> collections.Counter[str]:
    """Return how many tests of the last run ended in which way.

    What tests have told of "pairs" and "failures" is in it, too.  A
    repository that is not there has none, as after a run that ended early.

    The environment that holds the repository has the tools to read it.
    """
    counts: collections.Counter[str] = collections.Counter()
    if not repository.exists():
        return counts
    binaries = next(
        (
            folder / 'bin'
            for folder in repository.parents
            if (folder / 'bin' / 'stestr').exists()
        ),
        pathlib.Path(sys.executable).parent,
    )
    stream = subprocess.run(
        [
            binaries / 'stestr',
            '--repo-url',
            repository.parent,
            'last',
            '--subunit',
        ],
        stdout=subprocess.PIPE,
        check=False,
    ).stdout
    listed = subprocess.run(
        [binaries / 'python', '-c', READ],
        input=stream,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    for line in listed.decode().splitlines():
        number, what = line.split()
        counts[what] += int(number)
    return counts


READ = """
import sys, subunit, testtools
def show(test):
    print(1, {'uxsuccess': 'fail', 'xfail': 'success'}.get(
        test['status'], test['status']))
    for name, content in test['details'].items():
        if name.split('-')[0] == 'pairs':
            print(*content.as_text().split(', '), sep='\\n')
result = testtools.StreamToDict(show)
result.startTestRun()
subunit.ByteStreamToStreamResult(
    sys.stdin.buffer, non_subunit_name='stdout').run(result)
result.stopTestRun()
"""


def main(repositories: list[str]) -> int:
    counts = {name: count(pathlib.Path(name)) for name in repositories}
    empty = [name for name, found in counts.items() if not found['success']]
    for name in empty:
        print(f'{name}: no test passed')
    total = sum(counts.values(), collections.Counter())
    if pairs := total.pop('pairs', 0):
        failures = total.pop('failures', 0)
        print(f'{pairs} pairs of a step and a fault, {failures} failures')
    passed, skipped = total.pop('success', 0), total.pop('skip', 0)
    failed = sum(total.values())
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return 1 if failed or empty or not passed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
