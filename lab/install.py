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

"""Install what the services need: Debian packages and one virtualenv.

The virtualenv lies in the cache, in a folder named after everything that
decides what is in it, so it is built once and never changed afterwards.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pathlib
import platform
import shutil
import sys
import sysconfig
import typing

from lab import apt
from lab import bindep
from lab import commands
from lab import graph
from lab import model

_HERE = pathlib.Path(__file__).parent

#: What has to be compiled, and so needs Debian's headers first.
_COMPILED = ('libvirt-python', 'simplegeneric', 'uwsgi')


def requirements(text: str) -> tuple[list[str], list[str]]:
    """Split a constraints file: (wheels, what needs a compiler)."""
    lines = [line.split('#')[0].strip() for line in text.splitlines()]
    pins = [line for line in lines if line]
    compiled = [pin for pin in pins if pin.lower().split('==')[0] in _COMPILED]
    return [pin for pin in pins if pin not in compiled], compiled


def cache_folder() -> pathlib.Path:
    """Where installed packages are kept.

    It is below OSC_LAB_CACHE, or osc-lab in the user's cache.  The last
    part of the name depends on the packages, the interpreter and the kind
    of processor.
    """
    base = os.environ.get('OSC_LAB_CACHE') or os.path.join(
        os.environ.get('XDG_CACHE_HOME') or '~/.cache', 'osc-lab'
    )
    pins = requirements((_HERE / 'constraints.txt').read_text())
    parts = (
        *(line for group in pins for line in group),
        sys.base_prefix,
        sysconfig.get_config_var('SOABI') or sys.version,
        platform.machine(),
    )
    key = hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:12]
    return pathlib.Path(base).expanduser().resolve() / key


class Installer:
    """Installs for one lab.

    :param layout: names the cache, and the folder for logs
    :param hosts: whether compute hosts will run
    """

    def __init__(self, layout: model.Layout, hosts: bool) -> None:
        self._layout = layout
        self._lock: tuple[int, ...] = ()
        profiles = {'lab', 'lab-hosts'} if hosts else {'lab'}
        text = (_HERE.parent / 'bindep.txt').read_text()
        self._packages = bindep.packages(text, profiles)
        wheels, compiled = requirements(
            (_HERE / 'constraints.txt').read_text()
        )
        self._wheels = wheels
        self._compiled = [
            pin for pin in compiled if hosts or not pin.startswith('libvirt')
        ]

    def _run(self, name: str, *argv: str) -> None:
        env = {**os.environ, model.MARK: str(self._layout.state)}
        commands.run(
            argv, self._layout.log / f'{name}.out', env, handles=self._lock
        )

    def debian_packages(self) -> bool:
        """Install the missing Debian packages."""
        absent = apt.missing(self._packages)
        if absent:
            log = self._layout.log / 'install-apt.out'
            apt.install(absent, self._layout.state, log)
        return bool(absent)

    def _pip(self, log: str, *options: str) -> None:
        self._run(
            log,
            str(self._layout.venv / 'bin' / 'python'),
            '-m',
            'pip',
            'install',
            '--quiet',
            '--disable-pip-version-check',
            '--root-user-action=ignore',
            # The list is complete and was resolved as a whole.
            '--no-deps',
            *options,
        )

    def _marker(self, name: str) -> pathlib.Path:
        return self._layout.cache / f'{name}.complete'

    def virtualenv(self) -> bool:
        """Make the virtualenv, with all that comes as wheels."""
        if self._marker('wheels').exists():
            return False
        shutil.rmtree(self._layout.venv, ignore_errors=True)
        self._marker('compiled').unlink(missing_ok=True)
        self._run(
            'install-pip',
            sys.executable,
            '-m',
            'venv',
            str(self._layout.venv),
        )
        self._pip('install-pip', *self._wheels)
        self._marker('wheels').touch()
        return True

    def compiled(self) -> bool:
        """Add what is compiled against Debian's headers."""
        marker = self._marker('compiled')
        there = marker.read_text().split() if marker.exists() else []
        wanted = [pin for pin in self._compiled if pin not in there]
        if wanted:
            # uWSGI has an interpreter built in, and pip's cache does not
            # tell one Python 3.11 from another.
            self._pip('install-compiled', '--no-cache-dir', *wanted)
            marker.write_text('\n'.join([*there, *wanted]))
        return bool(wanted)

    @contextlib.contextmanager
    def lock(self) -> typing.Iterator[None]:
        """One lab at a time installs into a cache.

        pip holds the lock, too: it goes on when this program is killed.
        """
        self._layout.cache.mkdir(parents=True, exist_ok=True)
        with open(self._layout.cache / 'lock', 'w') as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._lock = (handle.fileno(),)
            try:
                yield
            finally:
                self._lock = ()

    def steps(self) -> list[graph.Step]:
        """What to run under the lock, before anything else."""
        first = (
            ('Debian packages',)
            if importlib.util.find_spec('ensurepip') is None
            else ()
        )
        return [
            graph.Step('Debian packages', self.debian_packages),
            graph.Step('service virtualenv', self.virtualenv, first),
            graph.Step(
                'compiled packages',
                self.compiled,
                ('Debian packages', 'service virtualenv'),
            ),
        ]
