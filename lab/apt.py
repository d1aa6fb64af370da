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

"""Debian packages, installed without starting their daemons.

dpkg must not be cut short, so apt-get goes on when the lab's program
ends or is killed.  As long as it runs it holds a lock on the policy that
keeps daemons from starting, and it takes that policy away itself.
"""

import collections.abc
import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import typing

from lab import commands
from lab import errors
from lab import model
from lab import progress

#: What invoke-rc.d of Debian asks before it starts a daemon.
POLICY = pathlib.Path('/usr/sbin/policy-rc.d')

_HEAD = '#!/bin/sh\n# osc-lab: no daemon starts while the lab installs\n'

#: Seconds that `down` waits for an installation.
_PATIENCE = 600.0

#: Options of apt-get: wait for another one, and ask nothing about files of
#: /etc that somebody has changed, but keep them.
OPTIONS = (
    *('-o', 'DPkg::Lock::Timeout=300'),
    *('-o', 'Dpkg::Options::=--force-confdef'),
    *('-o', 'Dpkg::Options::=--force-confold'),
)

#: The first argument is what to remove at the end, or nothing.
_SCRIPT = f"""
policy=$1
shift
apt-get update -q &&
    apt-get -q {' '.join(OPTIONS)} install -y \\
        --no-install-recommends "$@"
status=$?
[ -z "$policy" ] || rm -f -- "$policy"
exit "$status"
"""


def missing(names: typing.Sequence[str]) -> list[str]:
    """Those Debian packages that are not installed.

    :raises LabError: this is no Debian
    """
    if shutil.which('dpkg-query') is None:
        raise errors.LabError(
            'the lab installs Debian packages; run it on Debian 12'
        )
    done = subprocess.run(
        ['dpkg-query', '-W', '-f', '${Package} ${db:Status-Status}\n', *names],
        check=False,
        capture_output=True,
        text=True,
    )
    there = {
        line.split()[0]
        for line in done.stdout.splitlines()
        if line.endswith(' installed')
    }
    return [name for name in names if name not in there]


def install(
    names: typing.Sequence[str], state: pathlib.Path, log: pathlib.Path
) -> None:
    """Install packages; nothing that this program does ends it.

    :param state: folder of the lab that wants them
    :raises StepError: apt-get failed
    """
    env = {**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'}
    env.pop(model.RUN_MARK, None)
    with _policy(state) as handle:
        own = [] if handle is None else [handle]
        commands.run(
            ['sh', '-c', _SCRIPT, 'sh', str(POLICY) if own else '', *names],
            log,
            env,
            timeout=None,
            survives=True,
            handles=own,
        )


def _text(state: pathlib.Path) -> str:
    return f'{_HEAD}# {state}\nexit 101\n'


@contextlib.contextmanager
def _policy(state: pathlib.Path) -> collections.abc.Iterator[int | None]:
    """Give the locked policy; None when the machine has one of its own."""
    writer, path = tempfile.mkstemp(prefix=POLICY.name, dir=POLICY.parent)
    new = pathlib.Path(path)
    # What is open for writing cannot be executed.
    os.close(writer)
    new.write_text(_text(state))
    new.chmod(0o755)
    handle = os.open(new, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        while True:
            try:
                os.link(new, POLICY)
            except FileExistsError:
                if _left(wait=True):
                    continue
                yield None
            else:
                yield handle
            return
    finally:
        new.unlink(missing_ok=True)
        os.close(handle)


def _left(wait: bool) -> bool:
    """Remove a policy of ours that nobody holds.

    :param wait: for whoever holds it
    :returns: False when there is one that has to stay
    """
    try:
        with open(POLICY) as stream:
            if not stream.read().startswith(_HEAD):
                return False
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.fstat(stream.fileno()), POLICY.stat()):
                POLICY.unlink()
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def settle(state: pathlib.Path, report: progress.Progress) -> None:
    """Wait for an installation of this lab; remove what a dead one left.

    :raises LabError: it does not end
    """
    deadline = time.monotonic() + _PATIENCE
    told = False
    while not _left(wait=False):
        try:
            mine = POLICY.read_text() == _text(state)
        except FileNotFoundError:
            continue
        if not mine:
            return
        if not told:
            told = True
            report.line('waiting for apt-get, which must not be cut short')
        if time.monotonic() > deadline:
            raise errors.LabError(
                'apt-get still runs; run `lab down` again when it has ended'
            )
        time.sleep(0.2)
