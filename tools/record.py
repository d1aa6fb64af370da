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

"""Record what documents show: ``tox -e record``.

    python -m tools.record FILE...

Each line of a file that begins with "$ " is a command.  They are run one
after the other, in one shell for all files, and what they print takes the
place of what stood below them.  Files with "terminal" in their name are
recorded from a terminal, where a line that is written anew is shown each
time.  A picture that a command writes is kept beside the file.  A command
that fails ends the recording, unless "$ echo $?" follows it.
"""

import os
import pathlib
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import time

TREE = pathlib.Path(__file__).parent.parent

#: Stands between the outputs; a shell function prints it.
MARK = '=recorded='

START = f"""
exec </dev/null 2>&1
mark() {{ set -- "$?" "$1"; printf '\\n{MARK}%s %s\\n' "$2" "$1"; return $1; }}
"""

#: What the terminal is told and no reader wants to see.
CONTROL = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')


class RecordingFailed(Exception):
    """A command failed, and nothing was to follow from that."""


def commands(text: str) -> list[str]:
    """Return the commands of a recording, with continuation lines."""
    return [
        match[1]
        for match in re.finditer(
            r'^\$ ((?:.*\\\n)*.*)$', text, flags=re.MULTILINE
        )
    ]


def script(lines: list[str]) -> str:
    return START + ''.join(
        f'{line}\nmark {number}\n' for number, line in enumerate(lines)
    )


def plain(argv: list[str], cwd: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        argv, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True, check=False
    )
    return done.stdout


def terminal(argv: list[str], cwd: str, env: dict[str, str]) -> str:
    """Run a program in a terminal and return all that it was sent."""
    pid, master = pty.fork()
    if not pid:
        os.chdir(cwd)
        os.execvpe(argv[0], argv, env)  # noqa: S606
    parts = []
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            # The other side is closed.
            break
        if not part:
            break
        parts.append(part)
    os.close(master)
    os.waitpid(pid, 0)
    text = b''.join(parts).decode(errors='replace').replace('\r\n', '\n')
    frames = CONTROL.sub('', text).replace('\r', '\n').splitlines()
    # A line is written again when nothing changed, and blank to clear it.
    kept = [
        frame.rstrip()
        for frame, before in zip(frames, ['', *frames], strict=False)
        if frame.strip() and frame != before
    ]
    return '\n'.join(kept) + '\n'


def outputs(text: str, lines: list[str]) -> list[str]:
    """Return what each command printed.

    :raises RecordingFailed: when one failed
    """
    found = re.findall(rf'(.*?)\n?{MARK}(\d+) (\d+)\n', text, flags=re.DOTALL)
    if len(found) != len(lines):
        raise RecordingFailed(f'the shell ended: {text[-2000:]}')
    for (said, number, status), after in zip(
        found, [*lines[1:], ''], strict=True
    ):
        if status != '0' and after != 'echo $?':
            raise RecordingFailed(f'{lines[int(number)]}: {status}\n{said}')
    return [said for said, _number, _status in found]


def main(names: list[str]) -> int:
    paths = [pathlib.Path(name).absolute() for name in names]
    state = os.environ.get('OSC_LAB_STATE_DIR', str(TREE / '.lab'))
    env = {
        **os.environ,
        'CLIFF_MAX_TERM_WIDTH': '79',
        'COLUMNS': '80',
        'OSC_LAB_STATE_DIR': state,
        'PYTHONPATH': str(TREE),
        'PATH': f'{pathlib.Path(sys.executable).parent}:{os.environ["PATH"]}',
    }
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            lines = commands(path.read_text(encoding='utf-8'))
            run = terminal if 'terminal' in path.name else plain
            # What a file exports is there for those that follow it.
            kept = f'{folder}/.environment'
            text = (
                f'[ -e {kept} ] && . {kept}\n{script(lines)}export -p >{kept}'
            )
            said = run(['bash', '--norc', '-c', text], folder, env)
            said = said.replace(state, '.lab').replace(folder, '.')
            path.write_text(
                ''.join(
                    f'$ {line}\n{output.strip(chr(10))}'.rstrip() + '\n'
                    for line, output in zip(
                        lines, outputs(said, lines), strict=True
                    )
                ),
                encoding='utf-8',
            )
            for picture in pathlib.Path(folder).glob('*.svg'):
                shutil.move(picture, path.parent / picture.name)
            seconds = time.monotonic() - began
            print(f'{path.name}: {seconds:.0f} s from the start', flush=True)
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main(sys.argv[1:]))
    except RecordingFailed as error:
        sys.exit(f'record: {error}')
