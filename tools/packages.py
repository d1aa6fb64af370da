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

"""Install the system packages that a profile of bindep.txt names.

    python -m tools.packages PROFILE...

Does nothing when all are there, and starts none of their daemons.  Debian
and Ubuntu only.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

from lab import apt
from lab import bindep
from lab import errors

TREE = pathlib.Path(__file__).resolve().parent.parent
BINDEP = TREE / 'bindep.txt'


def main(profiles: list[str]) -> int:
    text = BINDEP.read_text(encoding='utf-8')
    names = bindep.packages(text, profiles)
    if not names:
        print(f'No package has the profile {profiles}', file=sys.stderr)
        return 2
    try:
        absent = apt.missing(names)
    except errors.LabError as error:
        print(f'{error}; it takes {" ".join(names)}', file=sys.stderr)
        return 1
    if not absent:
        return 0
    if os.geteuid():
        # What keeps daemons from starting is root's, as apt-get is.
        again = ['sudo', sys.executable, '-B', '-m', 'tools.packages']
        return subprocess.run([*again, *profiles], cwd=TREE).returncode
    print(f'Installing {" ".join(absent)}', flush=True)
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder, 'log')
        try:
            apt.install(absent, TREE, log)
        except errors.StepError:
            print(log.read_text(errors='replace'), file=sys.stderr)
            print(f'Could not install {" ".join(absent)}', file=sys.stderr)
            return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
