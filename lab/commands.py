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

"""Run a command that ends by itself, with its output in a log."""

import collections.abc
import os
import pathlib
import signal
import subprocess
import threading

from lab import errors

_running: set[subprocess.Popen[bytes]] = set()
_guard = threading.Lock()


def run(
    argv: collections.abc.Sequence[str],
    log: pathlib.Path,
    env: collections.abc.Mapping[str, str],
    *,
    stdin: bytes | pathlib.Path | None = None,
    stdout: pathlib.Path | None = None,
    timeout: float | None = 900.0,
    survives: bool = False,
    handles: collections.abc.Sequence[int] = (),
) -> None:
    """Run to the end; the command has a session of its own.

    :param log: gets what the command prints, after what it held before
    :param stdin: what the command reads: bytes, or a file
    :param stdout: gets the standard output, in place of the log
    :param timeout: seconds; the command is killed afterwards; None: never
    :param survives: kill_all() leaves it alone
    :param handles: descriptors that it keeps open
    :raises StepError: it failed or took too long
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    name = pathlib.Path(argv[0]).name
    with open(log, 'ab') as sink, open(stdout or os.devnull, 'wb') as out:
        path = stdin if isinstance(stdin, pathlib.Path) else os.devnull
        with open(path, 'rb') as source:
            try:
                child = subprocess.Popen(
                    argv,
                    cwd='/',
                    env=dict(env),
                    stdin=subprocess.PIPE
                    if isinstance(stdin, bytes)
                    else source,
                    stdout=out if stdout else sink,
                    stderr=sink,
                    start_new_session=True,
                    pass_fds=handles,
                )
            except OSError as error:
                raise errors.StepError(f'{argv[0]}: {error}', log) from None
        if not survives:
            with _guard:
                _running.add(child)
        try:
            child.communicate(
                stdin if isinstance(stdin, bytes) else None, timeout
            )
        except subprocess.TimeoutExpired as error:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise errors.StepError(
                f'{name} took longer than {error.timeout:.0f} s', log
            ) from None
        finally:
            with _guard:
                _running.discard(child)
    if child.returncode:
        raise errors.StepError(f'{name} ended with {child.returncode}', log)


def kill_all() -> None:
    """Kill the commands that run now, with what they started."""
    with _guard:
        for child in _running:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
