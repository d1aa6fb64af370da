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

"""Write constraints that hold the declared lower bounds.

    python tools/lower.py FILE REQUIREMENTS...

Every line "name>=version" of the requirement files becomes
"name==version"; so does every optional library of setup.cfg.
"""

import configparser
import pathlib
import re
import sys

TREE = pathlib.Path(__file__).parent.parent
BOUND = re.compile(r'([A-Za-z0-9][A-Za-z0-9._-]*)[^#]*?>=([0-9][0-9a-z.]*)')


def lowest(text: str) -> list[str]:
    """Return the constraints for the text of a requirements file.

    :raises ValueError: for a requirement without a lower bound
    """
    found = []
    for line in text.splitlines():
        line = line.partition('#')[0].strip()
        if not line:
            continue
        match = BOUND.match(line)
        if match is None:
            raise ValueError(f'{line}: there is no lower bound')
        found.append(f'{match[1]}=={match[2]}')
    return found


def main(target: pathlib.Path, files: list[str]) -> None:
    parser = configparser.ConfigParser()
    parser.read(TREE / 'setup.cfg', encoding='utf-8')
    texts = list(parser['extras'].values())
    texts += [pathlib.Path(name).read_text(encoding='utf-8') for name in files]
    lines = [line for text in texts for line in lowest(text)]
    target.write_text('\n'.join(lines) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
