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

Does nothing when all are there.  Debian and Ubuntu only.
"""

import os
import pathlib
import subprocess
import sys

from lab import apt
from lab import bindep
from lab import errors

BINDEP = pathlib.Path(__file__).parent.parent / 'bindep.txt'


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
    apt_get = ['apt-get', '-qq', '-o', 'DPkg::Lock::Timeout=300']
    env = {**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'}
    root = [] if os.geteuid() == 0 else ['sudo']
    for command in (['update'], ['install', '-y', *absent]):
        if subprocess.run([*root, *apt_get, *command], env=env).returncode:
            print(f'Could not install {" ".join(absent)}', file=sys.stderr)
            return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
