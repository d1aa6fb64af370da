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

"""Build the RPMs of this tree and install them into a scratch root.

    python tools/rpm/build.py TOPDIR

Works without a distribution that has RPM macros for Python: macros.standin
plays their part.  Runs in a virtual environment that holds the build tools
and the requirements, but not the plugin, so that it comes from the packages
alone.
"""

import collections.abc
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
TREE = HERE.parent.parent
SPEC = TREE / 'packaging/rpm/python-osc-lab.spec'
PACKAGES = {'python3-osc-lab', 'python3-osc-lab-tests', 'python-osc-lab-doc'}


def package(path: pathlib.Path) -> str:
    """Return the package's name: the file's without version and release."""
    return path.name.rsplit('-', 2)[0]


class Builder:
    """One build below a folder of rpmbuild's shape."""

    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.root = top / 'ROOT'
        self.spec = top / 'SPECS' / SPEC.name
        self.defines = {
            '_topdir': str(top),
            'standin_python': sys.executable,
            # As RDO's builder does, which takes archives without signature.
            'dlrn': '1',
        }

    def run(self, name: str, *argv: str | os.PathLike[str]) -> str:
        """Run a program and return its output; show all when it fails."""
        begin = time.monotonic()
        done = subprocess.run(
            argv,
            cwd=TREE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
        )
        log = self.top / f'{name}.log'
        log.write_text(done.stdout, encoding='utf-8')
        if done.returncode:
            sys.stdout.write(done.stdout[-20000:])
            sys.exit(f'{name} failed with {done.returncode}, see {log}')
        print(f'{name}: ok, {time.monotonic() - begin:.1f} s', flush=True)
        return done.stdout

    def rpm(self, program: str) -> list[str | os.PathLike[str]]:
        """Return the beginning of a command that reads the spec."""
        argv: list[str | os.PathLike[str]] = [program, '--load']
        argv.append(HERE / 'macros.standin')
        for name, value in self.defines.items():
            argv += ['--define', f'{name} {value}']
        return argv

    def archive(self) -> None:
        """Make the sdist and fill in the spec as RDO's builder does."""
        sources = self.top / 'SOURCES'
        self.run(
            'sdist',
            *(sys.executable, '-m', 'build', '--sdist', '--no-isolation'),
            *('--outdir', sources, TREE),
        )
        # Left in the tree it would hide the metadata that is installed.
        shutil.rmtree(TREE / 'osc_lab.egg-info', ignore_errors=True)
        (path,) = sources.glob('*.tar.gz')
        name, _dash, full = path.name.removesuffix('.tar.gz').rpartition('-')
        version, _dot, milestone = full.partition('.dev')
        self.defines['upstream_version'] = full
        self.defines['sdist'] = name
        release = f'0.dev{milestone}' if milestone else '1'
        text = SPEC.read_text(encoding='utf-8')
        release += '%{?dist}'
        for tag, value in (('Version', version), ('Release', release)):
            text, count = re.subn(
                rf'^({tag}:\s+)XXX$', rf'\g<1>{value}', text, flags=re.M
            )
            if count != 1:
                sys.exit(f'{SPEC}: there is no "{tag}: XXX"')
        self.spec.write_text(text, encoding='utf-8')

    def parse(self) -> None:
        """Expand the spec, with and without documentation."""
        for with_doc in ('1', '0'):
            parsed = self.run(
                f'parse with_doc={with_doc}',
                *self.rpm('rpmspec'),
                *('--define', f'with_doc {with_doc}', '-P', self.spec),
            )
            if left := re.findall(r'%\{.*|^%pyproject.*|^%tox.*', parsed):
                sys.exit(f'macros that nothing defines: {left}')

    def build(self) -> list[pathlib.Path]:
        """Build everything, with %check, and return the binary packages."""
        log = self.run(
            'build', *self.rpm('rpmbuild'), '-ba', '--nodeps', self.spec
        )
        passed = re.findall(r'- Passed: (\d+)', log)
        failed = re.findall(r'- Failed: (\d+)', log)
        if not passed or not int(passed[-1]) or failed[-1] != '0':
            sys.exit('%check ran no test')
        print(f'%check: {passed[-1]} tests passed')
        binaries = sorted((self.top / 'RPMS').rglob('*.rpm'))
        names = {package(path) for path in binaries}
        if names != PACKAGES or not any((self.top / 'SRPMS').glob('*.rpm')):
            sys.exit(f'built {sorted(names)} instead of {sorted(PACKAGES)}')
        for path in binaries:
            print(f'{path.name}: {path.stat().st_size // 1024} KiB')
        return binaries

    def lint(self, paths: collections.abc.Iterable[pathlib.Path]) -> None:
        """Let rpmlint read the spec and the packages; no word is ignored."""
        words = self.run(
            'lint', 'rpmlint', '-c', HERE / 'rpmlint.toml', self.spec, *paths
        )
        if found := re.findall(r'^\S.*: [EW]: .*', words, flags=re.M):
            sys.exit('rpmlint: ' + '\n'.join(found))

    def contents(self, paths: list[pathlib.Path]) -> None:
        """Check who carries what, and what the main package asks for."""
        for path in paths:
            files = self.run(f'files of {path.name}', 'rpm', '-qlp', path)
            tests = '/osc_lab/tests/' in files
            if tests != ('-tests-' in path.name):
                sys.exit(f'{path.name}: tests are in the wrong package')
            if re.search(r'/(lab|benchmarks|tools)/\w+\.py$', files, re.M):
                sys.exit(f'{path.name} holds more than the plugin')
        (main,) = (p for p in paths if package(p) == 'python3-osc-lab')
        needs = self.run('requires', 'rpm', '-qp', '--requires', main)
        for line in (TREE / 'requirements.txt').read_text().splitlines():
            name = re.match(r'[A-Za-z0-9.-]+', line)
            if name and f'dist({name[0].lower()})' not in needs:
                sys.exit(f'{main.name} does not require {name[0]}')

    def install(self, paths: list[pathlib.Path]) -> pathlib.Path:
        """Install into the scratch root and return its site-packages."""
        self.root.mkdir()
        self.run(
            'install',
            *('rpm', '--root', str(self.root), '--dbpath', '/var/lib/rpm'),
            # The root holds no shell that could run scriptlets.
            *('-i', '--nodeps', '--noscripts'),
            *paths,
        )
        (folder,) = self.root.glob('usr/lib/python3*/site-packages')
        if not (self.root / 'usr/share/man/man1/openstack-lab.1').exists():
            sys.exit('the manual page is not installed')
        return folder


def main(top: pathlib.Path) -> None:
    shutil.rmtree(top, ignore_errors=True)
    for name in ('SOURCES', 'SPECS'):
        (top / name).mkdir(parents=True)
    builder = Builder(top)
    builder.archive()
    builder.parse()
    paths = builder.build()
    builder.lint(paths)
    builder.contents(paths)
    folder = builder.install(paths)
    (top / 'site-packages').symlink_to(folder)
    print(f'installed below {builder.root}')


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]).absolute())
