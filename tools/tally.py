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
failed or none ran.
"""

import pathlib
import subprocess
import sys

COUNTS = {'success': 0, 'fail': 0, 'skip': 0}


def count(repository: pathlib.Path) -> dict[str, int]:
    """Return how many tests of the last run ended in which way.

    The environment that holds the repository has the tools to read it.
    """
    binaries = repository.parent / 'bin'
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
    counts = dict(COUNTS)
    for status in listed.decode().split():
        counts[status] = counts.get(status, 0) + 1
    return counts


READ = """
import sys, subunit, testtools
def show(test):
    print({'uxsuccess': 'fail', 'xfail': 'success'}.get(
        test['status'], test['status']))
result = testtools.StreamToDict(show)
result.startTestRun()
subunit.ByteStreamToStreamResult(sys.stdin.buffer).run(result)
result.stopTestRun()
"""


def main(repositories: list[str]) -> int:
    total = dict(COUNTS)
    for repository in repositories:
        for status, number in count(pathlib.Path(repository)).items():
            total[status] = total.get(status, 0) + number
    passed, skipped = total.pop('success'), total.pop('skip')
    failed = sum(total.values())
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
