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

"""Check what an sdist and a wheel of this tree hold.

    python tools/contents.py FOLDER

The sdist is what git knows, and what pbr writes; the wheel is the plugin
with its tests, and nothing of the lab, the tools or the benchmarks.
"""

import email.parser
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile

TREE = pathlib.Path(__file__).parent.parent

#: What pbr and setuptools add to an sdist.
WRITTEN = re.compile(
    r'(PKG-INFO|AUTHORS|ChangeLog|RELEASENOTES\.rst'
    r'|releasenotes/notes/reno\.cache|osc_lab\.egg-info/.*)'
)

#: Bytes; nobody waits for a plugin.
LARGEST = 1_000_000

EXTRAS = {'libvirt': {'libvirt-python'}, 'ovs': {'ovs', 'ovsdbapp'}}


def tracked() -> set[str]:
    """Return the files that git knows and that are still there."""
    names = subprocess.run(
        ['git', 'ls-files', '-z'],
        cwd=TREE,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split('\0')
    # pbr leaves out what only a clone needs.
    names = [n for n in names if n not in ('.gitignore', '.gitreview')]
    return {name for name in names if name and (TREE / name).exists()}


def sdist(path: pathlib.Path) -> list[str]:
    """Return what is wrong with an sdist."""
    with tarfile.open(path) as archive:
        found = {
            name.partition('/')[2]
            for name in (item.name for item in archive if item.isfile())
        }
    known = tracked()
    wrong = [f'{path.name} lacks {name}' for name in sorted(known - found)]
    wrong += [
        f'{path.name} holds {name}, which git does not know'
        for name in sorted(found - known)
        if not WRITTEN.fullmatch(name)
    ]
    return wrong


def wheel(path: pathlib.Path) -> list[str]:
    """Return what is wrong with a wheel."""
    with zipfile.ZipFile(path) as archive:
        found = set(archive.namelist())
        (name,) = (n for n in found if n.endswith('.dist-info/METADATA'))
        metadata = archive.read(name).decode()
    found = {name for name in found if '.dist-info/' not in name}
    known = {name for name in tracked() if name.startswith('osc_lab/')}
    wrong = [f'{path.name} lacks {name}' for name in sorted(known - found)]
    wrong += [
        f'{path.name} holds {name}, which is not of the plugin'
        for name in sorted(found - known)
    ]
    return wrong + headers(metadata)


def headers(metadata: str) -> list[str]:
    """Return what is wrong with the metadata: licence, Python, extras."""
    message = email.parser.Parser().parsestr(metadata)
    wrong = []
    licence = message.get('License-Expression') or message.get('License')
    if licence != 'Apache-2.0':
        wrong.append(f'the licence is {licence}')
    if message['Requires-Python'] != '>=3.11':
        wrong.append(f'it runs with Python {message["Requires-Python"]}')
    extras: dict[str, set[str]] = {}
    for line in message.get_all('Requires-Dist', []):
        match = re.fullmatch(
            r'''([\w.-]+)[^;]*;.*extra == ["'](\w+)["'].*''', line
        )
        if match:
            extras.setdefault(match[2], set()).add(match[1])
    # pbr makes one of test-requirements.txt.
    extras.pop('test', None)
    if extras != EXTRAS:
        wrong.append(f'the extras are {extras}')
    return wrong


def main(folder: pathlib.Path) -> int:
    wrong = []
    for pattern, examine in (('*.tar.gz', sdist), ('*.whl', wheel)):
        (path,) = folder.glob(pattern)
        size = path.stat().st_size
        if size > LARGEST:
            wrong.append(f'{path.name} has {size} bytes')
        wrong += examine(path)
        print(f'{path.name}: {size // 1024} KiB')
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main(pathlib.Path(sys.argv[1])))
