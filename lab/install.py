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
import subprocess
import sys
import sysconfig
import typing

from lab import bindep
from lab import commands
from lab import errors
from lab import graph
from lab import model

_HERE = pathlib.Path(__file__).parent
_POLICY = pathlib.Path('/usr/sbin/policy-rc.d')
_POLICY_TEXT = """\
#!/bin/sh
# osc-lab: no daemon starts while the lab installs packages
exit 101
"""

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


@contextlib.contextmanager
def _no_daemons() -> typing.Iterator[None]:
    """Keep packages from starting their daemons while they are installed."""
    remove_policy()
    if _POLICY.exists():
        # The machine has a policy of its own; it stays the one to obey.
        yield
        return
    _POLICY.write_text(_POLICY_TEXT)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        remove_policy()


def remove_policy() -> None:
    """Remove our policy-rc.d, which a killed run may have left."""
    with contextlib.suppress(OSError):
        if _POLICY.read_text() == _POLICY_TEXT:
            _POLICY.unlink()


def missing_packages(names: typing.Sequence[str]) -> list[str]:
    """Those Debian packages that are not installed.

    :raises LabError: this is no Debian
    """
    if shutil.which('dpkg-query') is None:
        raise errors.LabError(
            'the lab installs Debian packages; run it on Debian or Ubuntu'
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


class Installer:
    """Installs for one lab.

    :param layout: names the cache, and the folder for logs
    :param hosts: whether compute hosts will run
    """

    def __init__(self, layout: model.Layout, hosts: bool) -> None:
        self._layout = layout
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

    def _run(self, name: str, *argv: str, marked: bool = True) -> None:
        env = dict(os.environ)
        env['DEBIAN_FRONTEND'] = 'noninteractive'
        if marked:
            env[model.MARK] = str(self._layout.state)
        commands.run(argv, self._layout.log / f'{name}.out', env)

    def _apt(self, *names: str) -> None:
        # Without the lab's mark: `down` must not kill dpkg half-way.
        options = ('-q', '-o', 'DPkg::Lock::Timeout=300')
        with _no_daemons():
            self._run('install-apt', 'apt-get', 'update', '-q', marked=False)
            self._run(
                'install-apt',
                'apt-get',
                *options,
                'install',
                '-y',
                '--no-install-recommends',
                *names,
                marked=False,
            )

    def debian_packages(self) -> bool:
        """Install the missing Debian packages."""
        missing = missing_packages(self._packages)
        if missing:
            self._apt(*missing)
        return bool(missing)

    def _pip(self, log: str, *pins: str) -> None:
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
            *pins,
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
            self._pip('install-compiled', *wanted)
            marker.write_text('\n'.join([*there, *wanted]))
        return bool(wanted)

    @contextlib.contextmanager
    def lock(self) -> typing.Iterator[None]:
        """One lab at a time installs into a cache."""
        self._layout.cache.mkdir(parents=True, exist_ok=True)
        with open(self._layout.cache / 'lock', 'w') as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

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
