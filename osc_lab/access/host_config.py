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

"""Configuration files of nova and cinder, read on their hosts."""

import collections.abc
import functools
import re
import shlex
import typing

from oslo_config import iniparser

from osc_lab.access import shell
from osc_lab import channels
from osc_lab.encryption import shared_key
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab import workers

#: What oslo.config reads of itself, as far as it exists, in this order
#: (find_config_files: of the project, then of the program); where the
#: packages of distributions and of Kolla keep it.
FILES = {
    'nova': (
        '/etc/nova/nova.conf',
        '/etc/nova/nova-compute.conf',
        '/etc/kolla/nova-compute/nova.conf',
    ),
    'cinder': (
        '/etc/cinder/cinder.conf',
        '/etc/kolla/cinder-volume/cinder.conf',
    ),
}

#: Folders that it reads of itself, after those files (find_config_dirs).
FOLDERS = {
    'nova': ('/etc/nova/nova.conf.d', '/etc/nova/nova-compute.conf.d'),
    'cinder': (
        '/etc/cinder/cinder.conf.d',
        '/etc/cinder/cinder-api.conf.d',
        '/etc/cinder/cinder-backup.conf.d',
        '/etc/cinder/cinder-volume.conf.d',
    ),
}

#: Processes that read the key.
_PROCESSES = {
    'nova': ('nova-compute',),
    'cinder': ('cinder-volume', 'cinder-api', 'cinder-backup'),
}

#: Prints, for each file: a line of facts, and as many bytes as it says.
#: The paths are its arguments; a folder stands for its *.conf files.
_READ = """
LC_ALL=C
export LC_ALL
for path in "$@"; do
    if [ -d "$path" ]; then set -- "$path"/*.conf; else set -- "$path"; fi
    for file in "$@"; do
        [ -f "$file" ] || continue
        [ -r "$file" ] || { echo "unreadable 0 0 0 $file"; continue; }
        size=$(stat -L -c %s -- "$file")
        stat -L -c "file %a %Y $size $file" -- "$file"
        head -c "$size" -- "$file"
    done
done
echo end
"""

#: What it prints before each file: kind, mode, seconds, bytes, path.
_HEADER = re.compile(
    r'(file|unreadable) ([0-7]{1,7}) (\d{1,18}) (\d{1,18}) (/.*)',
    re.ASCII,
)

#: Prints which of its arguments are there.
_EXIST = r"""
for path in "$@"; do
    if [ -e "$path" ]; then printf '%s\n' "$path"; fi
done
"""

_PROCESS_LIST = """
LC_ALL=C ps -eww -o etimes= -o args=
echo "now $(date +%s)"
"""

#: Commands that a host is asked to run, one after the other: for the
#: processes, and for each service which files there are and what is in them.
_CALLS = 5


class _Options(iniparser.BaseParser):
    """Keeps the last value of each option."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[tuple[str, str], str] = {}
        self._section = 'DEFAULT'

    def new_section(self, section: str) -> None:
        self._section = section

    def assignment(self, key: str, value: list[str]) -> None:
        self.found[self._section, key] = '\n'.join(value)

    def comment(self, comment: str) -> None:
        pass


def parse(text: str) -> dict[tuple[str, str], str]:
    """Return the options of a configuration file.

    :raises ValueError: with the line, when it is malformed
    """
    parser = _Options()
    try:
        parser.parse(text.splitlines(keepends=True))
        return parser.found
    except iniparser.ParseError as error:
        line = error.lineno
    # Outside, so that no error carries the other one: its text holds the
    # line, which may be the one with the key.
    raise ValueError(f'line {line}')


def gather(
    wanted: collections.abc.Mapping[str, collections.abc.Collection[str]],
    settings: channels.Channels,
    files: collections.abc.Mapping[str, collections.abc.Sequence[str]],
    local: collections.abc.Collection[str] = (),
) -> list[shared_key.Service]:
    """Return what is known about the services, all hosts at once.

    :param wanted: host -> 'nova', 'cinder' or both
    :param files: host -> paths, in place of the usual ones
    :param local: hosts that are this machine
    """

    found = workers.run(
        {
            host: functools.partial(
                _host, host, wanted[host], settings, files, host in local
            )
            for host in sorted(wanted)
        },
        # Each call has a deadline of its own, which is 1 s longer.
        _CALLS * (settings.deadline + 2),
    )
    services: list[shared_key.Service] = []
    for host, seen in found.items():
        if isinstance(seen, exceptions.AccessError | workers.Late):
            services += [
                shared_key.Service(host, name, problem=str(seen))
                for name in sorted(wanted[host])
            ]
        elif isinstance(seen, Exception):
            raise seen
        else:
            services += seen
    return services


def _host(
    name: str,
    services: collections.abc.Collection[str],
    settings: channels.Channels,
    files: collections.abc.Mapping[str, collections.abc.Sequence[str]],
    local: bool,
) -> list[shared_key.Service]:
    host = channels.Host(name, name, 'local') if local else settings.host(name)
    there = shell.Shell(host, settings)
    processes = _processes(there)
    own = channels.of_host(files, name)
    return [
        _service(name, service, there, processes, own)
        for service in sorted(services)
    ]


def _processes(there: shell.Shell) -> list[tuple[float, list[str]]]:
    """Return (start in seconds since 1970, arguments) of each process."""
    lines = there.run(['sh', '-c', _PROCESS_LIST], check=True).text
    rows = [line.split() for line in lines.splitlines() if line.strip()]
    last = rows[-1] if rows else []
    if last[:1] != ['now'] or not _digits(last[-1]):
        raise exceptions.AccessError(
            _('The process list of %s cannot be read') % there.host.name,
            _('Is procps installed there?'),
        )
    now = float(last[1])
    return [
        (now - float(row[0]), row[1:]) for row in rows[:-1] if _digits(row[0])
    ]


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _service(
    host: str,
    name: str,
    there: shell.Shell,
    processes: list[tuple[float, list[str]]],
    configured: collections.abc.Sequence[str] | None,
) -> shared_key.Service:
    own = _seen_here(
        there,
        [
            (program, started, words)
            for started, words in processes
            for program in _PROCESSES[name]
            if any(word.rpartition('/')[2] == program for word in words[:3])
        ],
    )
    given = of_service(configured, name)
    if given:
        # A process that names other files belongs to another service.
        own = [
            row
            for row in own
            if not (named := _named(row[2]))
            or {path for _option, path in named} & set(given)
        ]
    paths = given or _read_by([row[2] for row in own] or [[]], name)
    found = _read(there, paths)
    if not found:
        return shared_key.Service(
            host,
            name,
            problem=_('No configuration file of %(name)s: %(paths)s')
            % {'name': name, 'paths': ', '.join(paths)},
        )
    return shared_key.Service(
        host,
        name,
        tuple(found),
        tuple((program, started) for program, started, _words in own),
    )


def _seen_here(
    there: shell.Shell, rows: list[tuple[str, float, list[str]]]
) -> list[tuple[str, float, list[str]]]:
    """Return processes without paths of which none is on the host.

    They are those of a container, as Kolla starts cinder-volume, and say
    nothing about the files of the host.
    """
    named = {path for row in rows for _option, path in _named(row[2])}
    if not named:
        return rows
    answer = there.run(['sh', '-c', _EXIST, 'sh', *sorted(named)], check=True)
    found = set(answer.text.splitlines())
    return [
        (program, started, words)
        if {path for _option, path in _named(words)} & found
        else (program, started, [])
        for program, started, words in rows
    ]


def of_service(
    paths: collections.abc.Sequence[str] | None, name: str
) -> list[str]:
    """Return the paths whose file or folder is named after a service."""
    return [
        path
        for path in paths or ()
        if any(name in part for part in path.rsplit('/', 3)[-3:])
    ]


def _read_by(
    commands: collections.abc.Iterable[list[str]], name: str
) -> list[str]:
    """Return what processes read, in the order of oslo.config.

    Files of its own unless --config-file names any, folders of its own
    unless --config-dir does, and then what is named (ConfigOpts,
    _parse_config_files).
    """
    paths: list[str] = []
    for words in commands:
        named = _named(words)
        options = {option for option, _path in named}
        if '--config-file' not in options:
            paths += FILES[name]
        if '--config-dir' not in options:
            paths += FOLDERS[name]
        paths += [path for _option, path in named]
    return list(dict.fromkeys(paths))


def _named(words: list[str]) -> list[tuple[str, str]]:
    """Return (option, path) of each --config-file and --config-dir."""
    found = []
    for at, word in enumerate(words):
        option, _equals, value = word.partition('=')
        if option not in ('--config-file', '--config-dir'):
            continue
        if not value and at + 1 < len(words):
            value = words[at + 1]
        if value.startswith('/'):
            found.append((option, value))
    return found


def _read(
    there: shell.Shell, paths: collections.abc.Sequence[str]
) -> list[shared_key.File]:
    answer = there.run(['sh', '-c', _READ, 'sh', *paths], check=True)
    rest = answer.stdout
    found: list[shared_key.File] = []
    while rest:
        line, _newline, rest = rest.partition(b'\n')
        if line == b'end':
            return found
        known = _HEADER.fullmatch(line.decode('utf-8', 'replace'))
        if known is None:
            # A file that was cut meanwhile: this is a line of it, and may
            # be the one with the key.
            raise exceptions.AccessError(
                _('The answer of %s cannot be understood') % there.host.name,
                _('Try again.'),
            )
        kind, mode, changed, size, path = known.groups()
        if kind == 'unreadable':
            raise exceptions.AccessError(
                _('%(path)s on %(host)s cannot be read')
                % {'path': path, 'host': there.host.name},
                _('Use a user who may, with --ssh.'),
            )
        content, rest = rest[: int(size)], rest[int(size) :]
        found.append(_file(there, path, mode, changed, content))
    raise exceptions.AccessError(
        _('The answer of %s is cut off') % there.host.name, _('Try again.')
    )


def _file(
    there: shell.Shell,
    path: str,
    mode: str,
    changed: str,
    content: bytes,
) -> shared_key.File:
    try:
        options = parse(content.decode('utf-8', 'replace'))
    except ValueError as error:
        raise exceptions.AccessError(
            _('%(path)s on %(host)s is malformed: %(why)s')
            % {
                'path': shlex.quote(path),
                'host': there.host.name,
                'why': error,
            },
            _('Repair it.'),
        ) from None
    return shared_key.File(path, int(mode, 8) & 0o777, float(changed), options)


def local_hosts(
    cloud: collections.abc.Mapping[str, typing.Any],
) -> frozenset[str]:
    """Return the hosts that clouds.yaml says are this machine."""
    found = cloud.get('local_hosts') or []
    if not isinstance(found, list):
        raise exceptions.InvalidInput(
            _('osc_lab: local_hosts in clouds.yaml is not a list'),
            _('Write [host, host].'),
        )
    return frozenset(str(item) for item in found) | {'local'}
