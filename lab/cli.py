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

"""The command line: ``python -m lab up|run|down|status|env|exec|logs``."""

import argparse
import collections.abc
import contextlib
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import typing

from lab import allot
from lab import commands
from lab import down
from lab import env
from lab import errors
from lab import machine
from lab import model
from lab import process
from lab import profiles
from lab import progress
from lab import status
from lab import up

_STATE_VARIABLE = 'OSC_LAB_STATE_DIR'

#: What ends a command: Ctrl-C, "kill", and a terminal that is closed.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: Beginnings of the variables that stay under sudo: what finds programs and
#: caches, and what tox tells stestr and its tests.
_KEPT = (
    'OSC_LAB_',
    'OS_STD',
    'OS_TEST_',
    'PATH',
    'PIP_',
    'PYTHONDONTWRITEBYTECODE',
    'PYTHONPATH',
    'XDG_CACHE',
)

#: A user may not have them; the lab needs them.
_SYSTEM = ('/usr/local/sbin', '/usr/sbin', '/sbin')

#: Where the logs of a failed "run" in a temporary folder are kept.
_LOGS = pathlib.Path('.lab-logs')


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
        prog='python -m lab',
        description='A real, throw-away OpenStack on this machine.',
    )
    top.add_argument(
        '--state',
        metavar='<folder>',
        default=os.environ.get(_STATE_VARIABLE),
        help=(
            'Folder of the lab: everything it writes is in there (default: '
            f'environment variable {_STATE_VARIABLE}, or ./.lab; "run" takes '
            'a temporary folder)'
        ),
    )
    verbs = top.add_subparsers(dest='verb', required=True, metavar='<verb>')
    _add_up(verbs.add_parser('up', help='Bring the lab up, or widen it'))
    run_parser = verbs.add_parser(
        'run',
        help='Bring the lab up, run a command with its clouds.yaml, and take '
        'it down, whatever the command gives',
    )
    _add_up(run_parser)
    run_parser.add_argument(
        'command',
        metavar='<command>',
        nargs=argparse.REMAINDER,
        help='The command with its arguments, after --',
    )
    _add_rest(verbs)
    for sub in verbs.choices.values():
        # The folder may stand after the verb too.
        sub.add_argument(
            '--state',
            metavar='<folder>',
            default=argparse.SUPPRESS,
            help='Folder of the lab',
        )
    return top


def _add_up(up_parser: argparse.ArgumentParser) -> None:
    up_parser.add_argument(
        '--profile',
        choices=profiles.PROFILES,
        help=(
            'volumes: identity, volumes, key manager; network: also networks '
            'and two hosts with Open vSwitch; full: also compute (default: '
            'what the lab had, or full)'
        ),
    )
    up_parser.add_argument(
        '--key-manager',
        choices=profiles.KEY_MANAGERS,
        help='Where keys of volumes are kept (default: barbican)',
    )


def _add_rest(
    verbs: 'argparse._SubParsersAction[argparse.ArgumentParser]',
) -> None:
    down_parser = verbs.add_parser('down', help='Take the lab down')
    down_parser.add_argument(
        '--purge',
        action='store_true',
        help='Remove the state folder too, with all volumes and logs',
    )
    verbs.add_parser('status', help='List the services of the lab')
    env_parser = verbs.add_parser(
        'env', help='Print what a shell needs: eval "$(python -m lab env)"'
    )
    env_parser.add_argument(
        '--long',
        action='store_true',
        help='Print also where configuration files and logs are',
    )
    exec_parser = verbs.add_parser(
        'exec', help='Run a command in a machine of the lab'
    )
    exec_parser.add_argument(
        'machine',
        metavar='<machine>',
        choices=(model.CONTROL, *model.HOSTS),
        help=', '.join((model.CONTROL, *model.HOSTS)),
    )
    exec_parser.add_argument(
        'command',
        metavar='<command>',
        nargs=argparse.REMAINDER,
        help='The command with its arguments',
    )
    logs_parser = verbs.add_parser('logs', help="Print a service's log")
    logs_parser.add_argument(
        'name',
        metavar='<name>',
        nargs='?',
        help='Name of the log; all names are listed without one',
    )
    logs_parser.add_argument(
        '-f',
        '--follow',
        action='store_true',
        help='Go on as the log grows',
    )


def _known(state: pathlib.Path) -> tuple[model.Layout, allot.Record]:
    """The lab in a state folder.

    :raises LabError: there is none
    """
    record = allot.load(state)
    if record is None:
        raise errors.LabError(
            f'there is no lab in {state}; bring one up with '
            f'`python -m lab --state {state} up`'
        )
    return up.layout_of(state, record), record


def _env(state: pathlib.Path, args: argparse.Namespace) -> int:
    layout, record = _known(state)
    sys.stdout.write(env.exports(layout, record.profile, args.long))
    return 0


def _status(state: pathlib.Path, args: argparse.Namespace) -> int:
    layout, record = _known(state)
    context = up.context_of(layout, record)
    rows = profiles.services(context, record.profile)
    table = status.table(layout, rows)
    sys.stdout.write(status.render(table))
    return 0 if all(row.pids for row in table) else 1


def _command(args: argparse.Namespace) -> list[str]:
    """The command given to ``run`` or ``exec``.

    :raises LabError: there is none
    """
    given: list[str] = args.command
    if given[:1] == ['--']:
        given = given[1:]
    if not given:
        raise errors.LabError(f'{args.verb} needs a command after --')
    return given


def _run(state: pathlib.Path, args: argparse.Namespace) -> int:
    """Run a command with the lab's environment; the lab ends with it.

    :returns: the exit status of the command
    """
    command = _command(args)
    allot.check_contents(state)
    status = 1
    mark = secrets.token_hex(8)
    try:
        _up(state, args)
        layout, record = _known(state)
        status = subprocess.run(
            command,
            env={
                **os.environ,
                **env.variables(layout, record.profile, long=True),
                model.RUN_MARK: mark,
            },
            check=False,
        ).returncode
    except KeyboardInterrupt:
        with _undisturbed():
            # The command alone was ended, not what it has started.
            process.end(model.RUN_MARK, mark)
        raise
    except OSError as error:
        raise errors.LabError(f'{command[0]}: {error.strerror}') from None
    finally:
        with _undisturbed():
            if status and args.state is None:
                keep_logs(state)
            _down(state, argparse.Namespace(purge=args.state is None))
    return status


@contextlib.contextmanager
def _undisturbed() -> collections.abc.Iterator[None]:
    """Let no signal end what puts things in order; it is soon done."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    """Write a line, unless the terminal is gone."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f'lab: {text}\n')


def keep_logs(state: pathlib.Path) -> None:
    """Copy the logs of a lab whose folder goes away."""
    if not (state / 'log').is_dir():
        return
    try:
        shutil.rmtree(_LOGS, ignore_errors=True)
        shutil.copytree(state / 'log', _LOGS)
        _say(f'its logs are kept in {_LOGS}')
    except OSError as error:
        # The lab has to end all the same.
        _say(f'its logs are not kept: {error}')


def _state_of(args: argparse.Namespace) -> pathlib.Path:
    if args.state is None and args.verb == 'run':
        _command(args)  # Without one there is nothing to make a folder for.
        # Paths of sockets are short, and a checkout may lie deep.
        return pathlib.Path(tempfile.mkdtemp(prefix='osc-lab-')).resolve()
    return pathlib.Path(args.state or '.lab').expanduser().resolve()


def _exec(state: pathlib.Path, args: argparse.Namespace) -> int:
    layout, _ = _known(state)
    command = _command(args)
    try:
        argv = [*machine.enter_argv(layout, args.machine), *command]
    except machine.MachineError as error:
        raise errors.LabError(
            f'{error}; bring it up with `python -m lab up`'
        ) from None
    variables = machine.environment(layout)
    if 'TERM' in os.environ:
        variables['TERM'] = os.environ['TERM']
    os.execvpe(argv[0], argv, variables)  # noqa: S606
    return 0


def _logs(state: pathlib.Path, args: argparse.Namespace) -> int:
    folder = state / 'log'
    names = sorted(path.stem for path in folder.glob('*.out'))
    if args.name is None:
        sys.stdout.write(''.join(f'{name}\n' for name in names))
        return 0
    if args.name not in names:
        raise errors.LabError(
            f'there is no log {args.name!r} in {folder}; `python -m lab '
            'logs` lists them'
        )
    path = str(folder / f'{args.name}.out')
    argv = ['tail', '-n', '100', '-F', path] if args.follow else ['cat', path]
    os.execvp(argv[0], argv)  # noqa: S606
    return 0


def _up(state: pathlib.Path, args: argparse.Namespace) -> int:
    up.up(state, args.profile, args.key_manager, progress.Progress())
    return 0


def _down(state: pathlib.Path, args: argparse.Namespace) -> int:
    report = progress.Progress()
    if args.purge:
        allot.check_contents(state)
    if state.is_dir():
        with up.lock(state):
            down.down(state, report, args.purge)
    else:
        down.down(state, report)
    return 0


_VERBS: dict[
    str, collections.abc.Callable[[pathlib.Path, argparse.Namespace], int]
] = {
    'up': _up,
    'run': _run,
    'down': _down,
    'status': _status,
    'env': _env,
    'exec': _exec,
    'logs': _logs,
}


def _become_root(arguments: typing.Sequence[str]) -> None:
    """Run again under sudo, when this is not root.

    :raises LabError: there is no sudo
    """
    if os.geteuid() == 0:
        return
    if shutil.which('sudo') is None:
        raise errors.LabError(
            'the lab makes namespaces and needs root; run it as root'
        )
    variables = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_KEPT)
    }
    folders = [*variables.get('PATH', os.defpath).split(':'), *_SYSTEM]
    variables['PATH'] = ':'.join(dict.fromkeys(folders))
    kept = [f'{name}={value}' for name, value in variables.items()]
    argv = ['sudo', 'env', *kept, sys.executable, '-m', 'lab', *arguments]
    os.execvp(argv[0], argv)  # noqa: S606


def _interrupted(number: int, frame: object) -> typing.NoReturn:
    raise KeyboardInterrupt


def main(arguments: typing.Sequence[str] | None = None) -> int:
    """Run one command.

    :returns: exit code: 0 done, 1 could not, 2 usage, 130 interrupted
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = parser().parse_args(given)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # "nohup" stays what it is.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupted)
    try:
        if args.verb not in ('env', 'logs'):
            _become_root(given)
        state = _state_of(args)
        return _VERBS[args.verb](state, args)
    except errors.LabError as error:
        _say(str(error))
        code = 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        stays = '; what runs stays until `python -m lab [--state <folder>] '
        _say('interrupted' + ('' if args.verb == 'run' else f'{stays}down`'))
        code = 130
    commands.kill_all()
    return code
