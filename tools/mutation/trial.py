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

"""Run unit tests against a mutant, each in a process of its own.

The processes are forked from one that has imported everything.  Each
forgets the module that is changed and all that use it, and imports them
anew, with the mutant in the place of its module.
"""

import collections.abc
import dataclasses
import enum
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import pkgutil
import resource
import signal
import sys
import time
import types
import typing
import unittest

import coverage

PACKAGE = 'osc_lab'

#: A mutant may take so many times as long as the tests took, and seconds
#: more; of a processor, so that a busy machine changes nothing.  On the
#: clock a test that waits for ever ends after WAIT.
SLOWER = 3.0
MORE = 3.0
WAIT = 120

#: Bytes that a mutant may have.
MEMORY = 4 * 2**30

#: How a process ends when a test fails, and when none was begun.
_FAILED, _BROKEN = 1, 3


class Outcome(enum.StrEnum):
    KILLED = 'killed'
    SURVIVED = 'survived'
    TIMED_OUT = 'timed out'
    #: No test was begun: this says nothing of the tests.
    BROKEN = 'broken'


@dataclasses.dataclass(frozen=True)
class Observed:
    """What the tests do without a mutant.

    :param seconds: how long each test took, by its id
    :param lines: path -> line -> ids of the tests that ran it
    """

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    def tests(self, path: pathlib.Path, lines: range) -> list[str]:
        """Return the tests that run one of the lines, the fast ones first.

        All tests use what stands outside of functions.
        """
        ran = self.lines[str(path)]
        ids = {name for line in lines for name in ran.get(line, ())}
        return sorted(
            ids if lines else self.seconds, key=lambda name: self.seconds[name]
        )

    def limit(self, ids: collections.abc.Iterable[str]) -> int:
        """Return the seconds of a processor that these tests may take."""
        return int(MORE + SLOWER * sum(self.seconds[name] for name in ids))


class _Sources(importlib.abc.MetaPathFinder):
    """Find modules of the package, compiled once for all processes."""

    def __init__(self) -> None:
        self.code: dict[str, types.CodeType] = {}

    def find_spec(
        self,
        fullname: str,
        path: collections.abc.Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition('.')[0] != PACKAGE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, self.code)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(
        self, name: str, path: str, code: dict[str, types.CodeType]
    ) -> None:
        super().__init__(name, path)
        self.known = code

    def get_code(self, fullname: str) -> types.CodeType | None:
        if fullname not in self.known:
            self.known[fullname] = self.source_to_code(
                self.get_data(self.path), self.path
            )
        return self.known[fullname]


SOURCES = _Sources()


def prepare(names: collections.abc.Iterable[str]) -> list[str]:
    """Import tests and all that they need.

    :param names: modules of tests, or packages of such modules
    :returns: the names of the modules
    """
    if SOURCES not in sys.meta_path:
        sys.meta_path.insert(0, SOURCES)
    modules = []
    for name in names:
        module = importlib.import_module(name)
        inside = [
            f'{name}.{item.name}'
            for item in pkgutil.iter_modules(getattr(module, '__path__', []))
            if item.name.startswith('test_')
        ]
        modules += inside or [name]
    for name in modules:
        importlib.import_module(name)
    return modules


def forget(name: str) -> None:
    """Forget a module and all that use it.

    Modules alone are imported in this tree (hacking's H301), so who uses
    one has it among its names.
    """
    users = {
        known: {
            value.__name__
            for value in vars(module).values()
            if isinstance(value, types.ModuleType)
        }
        for known, module in sys.modules.items()
        if known.partition('.')[0] == PACKAGE
        and not hasattr(module, '__path__')
    }
    queue, gone = [name], {name}
    while queue:
        used = queue.pop()
        found = {user for user, names in users.items() if used in names}
        queue += found - gone
        gone |= found
    for known in gone:
        sys.modules.pop(known, None)
        package, _dot, last = known.rpartition('.')
        vars(sys.modules[package]).pop(last, None)


def observe(
    names: list[str], paths: collections.abc.Iterable[pathlib.Path]
) -> Observed:
    """Run all tests of some modules, and see which lines each runs.

    :param paths: the modules whose lines are of interest
    :raises RuntimeError: a test fails without a mutant
    """
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        with (
            _quiet(_BROKEN),
            os.fdopen(write, 'w', encoding='utf-8') as stream,
        ):
            json.dump(_observe(names, [str(path) for path in paths]), stream)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding='utf-8') as stream:
        text = stream.read()
    os.waitpid(pid, 0)
    told = json.loads(text or '{"failed": "the tests did not end"}')
    if told.get('failed'):
        raise RuntimeError(f'without a mutant: {told["failed"]}')
    lines = {
        path: {int(line): ids for line, ids in ran.items()}
        for path, ran in told['lines'].items()
    }
    return Observed(told['seconds'], lines)


def _observe(names: list[str], paths: list[str]) -> dict[str, typing.Any]:
    watch = coverage.Coverage(data_file=None, config_file=False, include=paths)
    seconds = {}
    watch.start()
    for test in _tests(names):
        watch.switch_context(test.id())
        began = time.process_time()
        result = unittest.TestResult()
        test.run(result)
        if not result.wasSuccessful():
            text = (result.errors + result.failures)[0][1]
            return {'failed': f'{test.id()}: {text}'}
        seconds[test.id()] = time.process_time() - began
    watch.stop()
    data = watch.get_data()
    return {
        'seconds': seconds,
        'lines': {
            path: {
                line: [name for name in ids if name]
                for line, ids in data.contexts_by_lineno(path).items()
            }
            for path in paths
        },
    }


def start(
    module: str,
    code: collections.abc.Callable[[], str],
    ids: list[str],
    limit: int,
) -> int:
    """Begin to run tests against a mutant; return the process id.

    :param module: the full name of the module that is replaced
    :param code: makes its source
    :param limit: seconds of a processor
    """
    pid = os.fork()
    if pid:
        return pid
    with _quiet(_BROKEN):
        signal.alarm(WAIT)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        SOURCES.code[module] = compile(code(), module, 'exec')
        forget(module)
    # What is changed may not even be imported.
    with _quiet(_FAILED):
        result = unittest.TestResult()
        result.failfast = True
        unittest.TestSuite(_tests(ids)).run(result)
        os._exit(0 if result.wasSuccessful() else _FAILED)


def ended(status: int) -> Outcome:
    """Return what the end of such a process says."""
    if os.WIFSIGNALED(status):
        late = os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU)
        return Outcome.TIMED_OUT if late else Outcome.KILLED
    known = {0: Outcome.SURVIVED, _FAILED: Outcome.KILLED}
    return known.get(os.WEXITSTATUS(status), Outcome.BROKEN)


def _tests(names: list[str]) -> collections.abc.Iterator[unittest.TestCase]:
    queue: list[typing.Any] = [
        unittest.defaultTestLoader.loadTestsFromNames(names)
    ]
    while queue:
        test = queue.pop(0)
        if isinstance(test, unittest.TestSuite):
            queue[:0] = list(test)
        else:
            yield test


class _quiet:
    """Say nothing, and end the process when anything goes wrong."""

    def __init__(self, status: int) -> None:
        self.status = status

    def __enter__(self) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            os._exit(self.status)
