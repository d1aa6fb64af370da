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

"""All compute hosts of a migration at once, within their deadlines.

Two rounds: the source's guest and every host's configuration, then each
destination against that guest and the way to it from the source.
"""

import collections.abc
import contextlib
import dataclasses
import functools
import time
import typing

from osc_lab.access import certificates
from osc_lab.access import host_shell
from osc_lab.access import libvirt
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts
from osc_lab.migration import nova_options
from osc_lab.migration import reach
from osc_lab import workers

#: The first and the last port of QEMU's migrations (qemu.conf,
#: migration_port_min and migration_port_max); NBD takes one of them, too.
DATA_PORTS = tuple(range(49152, 49216))

#: Seconds of each measurement of dirty pages.
WINDOWS = (1, 2, 4)

Files = collections.abc.Mapping[str, collections.abc.Sequence[str]]
Task = collections.abc.Callable[[], typing.Any]


class Hosts:
    """The channels to all hosts.

    :param settings: of the channels
    :param files: host -> its files of nova.conf, where they are not found
        by themselves
    """

    def __init__(
        self, settings: channels.Channels, files: Files | None = None
    ) -> None:
        self._settings = settings
        self._files = files or {}
        self._deadline = settings.deadline

    def look(
        self, known: facts.Facts, names: collections.abc.Collection[str]
    ) -> facts.Facts:
        """Return the facts with what the hosts tell.

        :param names: destinations to look at
        """
        if self._settings.libvirt_uri:
            libvirt.library()
        targets = [item for item in known.destinations if item.name in names]
        first = self._first(known, targets)
        source = self._apply(known.source, first)
        known = dataclasses.replace(
            known,
            source=source,
            mirrors=_mirrors(first.get(('mirrors', source.name)), source),
            destinations=tuple(
                self._apply(item, first) for item in known.destinations
            ),
        )
        with contextlib.ExitStack() as stack:
            second = self._second(
                known,
                [item for item in known.destinations if item.name in names],
                stack,
            )
        return dataclasses.replace(
            known,
            source=self._apply(known.source, second),
            destinations=tuple(
                self._apply(item, second) for item in known.destinations
            ),
        )

    def measure(self, known: facts.Facts) -> facts.Facts:
        """Return the facts with dirty pages measured in some windows."""
        end = self.channel(known.source)
        domain = (
            known.source.libvirt.domain
            if isinstance(known.source.libvirt, facts.Libvirt)
            else None
        )
        if (
            isinstance(end, facts.Gap)
            or not end.libvirt_uri
            or not isinstance(domain, facts.Domain)
        ):
            return dataclasses.replace(
                known,
                measured=facts.Gap(
                    _('libvirt on the source was not reached.'),
                    _('Use --libvirt-uri.'),
                ),
            )
        uri, uuid = end.libvirt_uri, domain.uuid

        def windows(connection: libvirt.Connection) -> typing.Any:
            return tuple(
                (float(seconds), connection.dirty_pages(uuid, seconds))
                for seconds in WINDOWS
            )

        found = workers.run(
            {0: lambda: self.with_libvirt(uri, windows)},
            sum(WINDOWS) * 2 + 3 * self._deadline,
        )[0]
        if isinstance(found, Exception):
            return dataclasses.replace(known, measured=_gap(found))
        touched = self._touched(known.source, uuid, domain.memory_kib)
        bandwidth = known.request.bandwidth_mib_s
        if bandwidth is None and isinstance(known.source.shell, facts.Shell):
            options = nova_options.read(known.source.shell.options)
            bandwidth = float(options.bandwidth_mib_s) or None
        return dataclasses.replace(
            known,
            measured=facts.Measured(
                windows=found,
                total_pages=domain.memory_kib // 4,
                touched_pages=touched,
                bandwidth_mib_s=bandwidth,
            ),
        )

    def _touched(
        self, host: facts.Host, uuid: str, memory_kib: int
    ) -> int | None:
        """Return the pages that are not zero; None without a shell."""
        shell = self._shell(host)
        if shell is None:
            return None
        try:
            found = shell.ask(guest_memory=[uuid, memory_kib])
        except exceptions.LabError:
            return None
        kib = found.get('guest_memory')
        return None if kib is None else int(kib) // 4

    def channel(self, host: facts.Host) -> channels.Host | facts.Gap:
        try:
            return self._settings.host(host.name, host.address)
        except exceptions.LabError as error:
            return facts.Gap(error.message, error.remedy)

    # -- first round

    def _first(
        self, known: facts.Facts, targets: list[facts.Host]
    ) -> dict[tuple[str, str], typing.Any]:
        tasks: dict[tuple[str, str], Task] = {}
        uuid = known.server.id
        end = self.channel(known.source)
        if isinstance(end, channels.Host) and end.libvirt_uri:
            uri = end.libvirt_uri
            tasks['libvirt', known.source.name] = lambda: self._libvirt(
                uri, lambda connection: connection.source(uuid)
            )
        for host in (known.source, *targets):
            shell = self._shell(host)
            if shell is not None:
                tasks['shell', host.name] = self._configuration(shell, uuid)
        shell = self._shell(known.source)
        if shell is not None and not isinstance(known.network, facts.Gap):
            ports = [port.id for port in known.network.ports]
            tasks['mirrors', known.source.name] = functools.partial(
                shell.ask, mirrors=ports
            )
        return self._run(tasks)

    def _configuration(self, shell: host_shell.HostShell, uuid: str) -> Task:
        def ask() -> facts.Shell:
            answer = shell.ask(
                configuration=shell.configuration(),
                certificates=list(certificates.PATHS),
                guest_started=uuid,
            )
            found = answer['configuration']
            return facts.Shell(
                hostname=str(answer['hostname']),
                options=found['options'],
                config_files=tuple(found['files']),
                cell=str(found['cell']),
                certificates=certificates.read(answer['certificates']),
                qemu_started=answer['guest_started'],
                clock_offset=float(answer['time']) - time.time(),
            )

        return ask

    # -- second round

    def _second(
        self,
        known: facts.Facts,
        targets: list[facts.Host],
        stack: contextlib.ExitStack,
    ) -> dict[tuple[str, str], typing.Any]:
        domain, cpu = None, ''
        if isinstance(known.source.libvirt, facts.Libvirt):
            cpu = known.source.libvirt.host_cpu_xml
            if isinstance(known.source.libvirt.domain, facts.Domain):
                domain = known.source.libvirt.domain
        tasks: dict[tuple[str, str], Task] = {}
        for host in targets:
            end = self.channel(host)
            if isinstance(end, channels.Host) and end.libvirt_uri:
                tasks['libvirt', host.name] = self._destination(
                    end.libvirt_uri, domain, cpu
                )
        for host in (known.source, *targets):
            shell = self._shell(host)
            if shell is not None and isinstance(host.shell, facts.Shell):
                tasks['shell', host.name] = self._rest(
                    shell, host.shell, domain
                )
        way = self._way(known, targets, stack)
        if way is not None:
            tasks['way', known.source.name] = way
        return self._run(tasks)

    def _destination(
        self, uri: str, domain: facts.Domain | None, cpu: str
    ) -> Task:
        return lambda: self._libvirt(
            uri, lambda connection: connection.destination(domain, cpu)
        )

    def _rest(
        self,
        shell: host_shell.HostShell,
        known: facts.Shell,
        domain: facts.Domain | None,
    ) -> Task:
        paths: list[str] = []
        request: dict[str, typing.Any] = {
            'space': nova_options.read(known.options).instances_path
        }
        if domain is not None:
            for disk in domain.disks:
                if disk.local:
                    paths.extend(
                        item for item in (disk.source, *disk.backing) if item
                    )
            request['existing'] = paths
            request['qemu'] = [domain.emulator, self._deadline]

        def ask() -> facts.Shell:
            answer = shell.ask(**request)
            return dataclasses.replace(
                known,
                free_bytes=answer['space'].get('free'),
                absent=frozenset(
                    path
                    for path, there in answer.get('existing', {}).items()
                    if not there
                ),
                qemu=_build(answer.get('qemu')),
            )

        return ask

    def _way(
        self,
        known: facts.Facts,
        targets: list[facts.Host],
        stack: contextlib.ExitStack,
    ) -> Task | None:
        shell = self._shell(known.source)
        if shell is None or not isinstance(known.source.shell, facts.Shell):
            return None
        options = nova_options.read(known.source.shell.options)
        listening = self._listeners(targets, stack)
        routes = {host.name: _route(host, options) for host in targets}
        request: dict[str, typing.Any] = {
            'virsh': [
                [uri, self._deadline, secrets]
                for uri, _address in routes.values()
                for secrets in (True, False)
            ],
            'resolved': [address for _u, address in routes.values()],
            'connect': [],
        }
        wanted: list[tuple[str, int]] = []
        for name, (uri, address) in routes.items():
            host, port = _socket(uri)
            wanted.append((name, 0))
            request['connect'].append([host, port, self._deadline])
            for data in listening.get(name) or DATA_PORTS[:1]:
                wanted.append((name, data))
                request['connect'].append([address, data, self._deadline])

        def ask() -> dict[str, facts.Way]:
            answer = shell.ask(**request)
            attempts: dict[tuple[str, int], typing.Any] = dict(
                zip(wanted, answer['connect'], strict=True)
            )
            found = {}
            for index, (name, (uri, address)) in enumerate(routes.items()):
                spoken, bare = answer['virsh'][2 * index : 2 * index + 2]
                found[name] = facts.Way(
                    uri=uri,
                    libvirt=_attempt(
                        known.source.name,
                        uri,
                        spoken or attempts[name, 0],
                    ),
                    complete=spoken is not None,
                    unguarded=bool(bare) and bare['text'] == 'open',
                    data_address=address,
                    data_resolved=answer['resolved'].get(address, ''),
                    data=tuple(
                        _attempt(known.source.name, f'{address}:{port}', item)
                        for (where, port), item in attempts.items()
                        if where == name and port
                    ),
                    listening=bool(listening.get(name)),
                )
            return found

        return ask

    def _listeners(
        self, targets: list[facts.Host], stack: contextlib.ExitStack
    ) -> dict[str, list[int]]:
        """Listen for a moment on the first and last free data port."""
        tasks: dict[str, Task] = {}
        for host in targets:
            shell = self._shell(host)
            if shell is None or not isinstance(host.shell, facts.Shell):
                continue
            manager = shell.listening(
                (DATA_PORTS[0], DATA_PORTS[1], DATA_PORTS[-1]),
                self._deadline * 3,
            )
            stack.push(manager.__exit__)
            tasks[host.name] = manager.__enter__
        results = workers.run(tasks, self._deadline + 1)
        return {
            name: ports
            for name, ports in results.items()
            if isinstance(ports, list) and ports
        }

    # -- common

    def _shell(self, host: facts.Host) -> host_shell.HostShell | None:
        end = self.channel(host)
        if isinstance(end, facts.Gap) or not end.ssh:
            return None
        return self.shell_of(end)

    def shell_of(self, end: channels.Host) -> host_shell.HostShell:
        return host_shell.HostShell(
            end, self._settings, self._files.get(end.name, ())
        )

    def with_libvirt(
        self, uri: str, use: collections.abc.Callable[[typing.Any], typing.Any]
    ) -> typing.Any:
        """Return what a use of a connection gives.  May hang.

        :raises AccessError: when libvirt cannot be reached or refuses
        """
        found = self._libvirt(uri, use)
        if isinstance(found, facts.Attempt):
            raise exceptions.AccessError(found.text)
        return found

    def _libvirt(
        self, uri: str, use: collections.abc.Callable[[typing.Any], typing.Any]
    ) -> typing.Any:
        attempt = libvirt.probe(uri, self._deadline)
        if attempt.reach is not facts.Reach.OPEN:
            return attempt
        connection = None
        try:
            connection = libvirt.Connection(uri)
            return use(connection)
        except exceptions.MissingLibrary:
            raise
        except exceptions.AccessError as error:
            return dataclasses.replace(
                attempt,
                reach=reach.classify(error.message),
                text=error.message,
            )
        finally:
            if connection is not None:
                connection.close()

    def _run(
        self, tasks: dict[tuple[str, str], Task]
    ) -> dict[tuple[str, str], typing.Any]:
        by_kind: dict[bool, dict[tuple[str, str], Task]] = {
            True: {},
            False: {},
        }
        for key, task in tasks.items():
            by_kind[key[0] == 'libvirt'][key] = task
        # Commands over ssh end by themselves; one libvirt call may not.
        results = workers.run(
            {
                0: lambda: workers.run(by_kind[True], self._deadline),
                1: lambda: workers.run(
                    by_kind[False], self._deadline * 2 + 2, 64
                ),
            },
            self._deadline * 100,
        )
        found: dict[tuple[str, str], typing.Any] = {}
        for item in results.values():
            if isinstance(item, dict):
                found.update(item)
        return found

    def _apply(
        self,
        host: facts.Host,
        results: dict[tuple[str, str], typing.Any],
    ) -> facts.Host:
        changes: dict[str, typing.Any] = {}
        seen = results.get(('libvirt', host.name))
        if seen is not None:
            end = self.channel(host)
            uri = '' if isinstance(end, facts.Gap) else end.libvirt_uri or ''
            changes.update(_libvirt_facts(seen, uri))
        seen = results.get(('shell', host.name))
        if isinstance(seen, facts.Shell):
            changes['shell'] = seen
        elif isinstance(seen, Exception):
            changes['shell'] = _gap(seen)
        for key, ways in results.items():
            if key[0] == 'way' and key[1] != host.name:
                changes['way'] = (
                    ways.get(host.name, host.way)
                    if isinstance(ways, dict)
                    else _gap(ways)
                )
        return dataclasses.replace(host, **changes)


def _libvirt_facts(seen: typing.Any, uri: str) -> dict[str, typing.Any]:
    opened = facts.Attempt('', uri, facts.Reach.OPEN)
    if isinstance(seen, facts.Libvirt):
        return {'libvirt': seen, 'reach': opened}
    if isinstance(seen, workers.Late):
        seen = facts.Attempt('', uri, facts.Reach.TIMEOUT, str(seen))
    if isinstance(seen, facts.Attempt):
        return {
            'libvirt': facts.Gap(
                _('libvirt there could not be asked: %s') % seen.text,
                _('See libvirt-listen.'),
            ),
            'reach': seen,
        }
    return {'libvirt': _gap(seen), 'reach': None}


def _mirrors(
    answer: typing.Any, source: facts.Host
) -> tuple[facts.Mirror, ...] | facts.Gap:
    if answer is None:
        return facts.Gap(
            _('Port mirrors were not looked for.'),
            _('Use --ssh.'),
            asked=False,
        )
    if isinstance(answer, Exception):
        return _gap(answer)
    return tuple(
        facts.Mirror(str(item['name']), str(item['port']), source.name, False)
        for item in answer['mirrors']
    )


def _gap(error: Exception) -> facts.Gap:
    if isinstance(error, exceptions.LabError):
        return facts.Gap(error.message, error.remedy)
    return facts.Gap(
        str(error) or type(error).__name__,
        _('Check the host, or give it longer: --host-timeout.'),
    )


def _attempt(origin: str, target: str, item: typing.Any) -> facts.Attempt:
    text = str(item['text'])
    return facts.Attempt(
        origin,
        target,
        facts.Reach.OPEN if text == 'open' else reach.classify(text),
        '' if text == 'open' else text,
        float(item['seconds']),
    )


def _build(found: typing.Any) -> facts.Build | facts.Gap | None:
    if found is None:
        return None
    if 'error' in found or not found['commands']:
        return facts.Gap(
            _('QEMU did not answer: %s') % found.get('error', '-'),
        )
    return facts.Build(
        frozenset(found['capabilities']), frozenset(found['commands'])
    )


def _route(host: facts.Host, source: nova_options.Options) -> tuple[str, str]:
    """Return (URI of libvirt, address of QEMU) of a destination.

    As nova.virt.libvirt.driver._live_migration_uri and _migrate_uri: the
    inbound address of the destination, else its name; QEMU's address is
    what libvirt there calls itself.
    """
    inbound = ''
    if isinstance(host.shell, facts.Shell):
        inbound = nova_options.read(host.shell.options).inbound
    itself = host.name
    if not isinstance(host.hypervisor, facts.Gap):
        itself = host.hypervisor.hostname or host.name
    return source.destination_uri(inbound or host.name), inbound or itself


def _socket(uri: str) -> tuple[str, int]:
    rest = uri.partition('://')[2].partition('/')[0]
    scheme = uri.partition('://')[0].partition('+')[2]
    rest = rest.rpartition('@')[2]
    if rest.startswith('['):
        host, _bracket, port = rest[1:].partition(']')
        port = port.lstrip(':')
    else:
        host, _colon, port = rest.partition(':')
    return host, int(port) if port.isdigit() else nova_options.PORTS.get(
        scheme, 16509
    )
