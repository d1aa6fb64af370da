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
import dataclasses
import functools
import typing

from osc_lab.access import host_shell
from osc_lab.access import libvirt
from osc_lab.access import libvirt_channel
from osc_lab.access import port_mirrors
from osc_lab.access import ways
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts
from osc_lab.migration import nova_options
from osc_lab import workers

#: What lets a process without privileges have one, from Linux 5.2 on.
_USERFAULTFD = '/proc/sys/vm/unprivileged_userfaultfd'

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
        self.deadline = settings.deadline

    def look(
        self, known: facts.Facts, names: collections.abc.Collection[str]
    ) -> facts.Facts:
        """Return the facts with what the hosts tell.

        :param names: destinations to look at
        """
        if self._settings.libvirt_uri:
            libvirt.library()
        targets = [item for item in known.destinations if item.name in names]
        opened: dict[str, libvirt.Connection] = {}
        first = self._first(known, targets, opened)
        source = self._apply(known.source, first)
        known = dataclasses.replace(
            known,
            source=source,
            mirrors=_mirrors(first.get(('mirrors', source.name))),
            destinations=tuple(
                self._apply(item, first) for item in known.destinations
            ),
        )
        second = self._second(
            known,
            [item for item in known.destinations if item.name in names],
            opened,
        )
        return dataclasses.replace(
            known,
            source=self._apply(known.source, second),
            destinations=tuple(
                self._apply(item, second) for item in known.destinations
            ),
        )

    def channel(self, host: facts.Host) -> channels.Host | facts.Gap:
        try:
            return self._settings.host(host.name, host.address)
        except exceptions.LabError as error:
            return facts.Gap(error.message, error.remedy)

    # -- first round

    def _first(
        self,
        known: facts.Facts,
        targets: list[facts.Host],
        opened: dict[str, libvirt.Connection],
    ) -> dict[tuple[str, str], typing.Any]:
        """Ask the source for the guest, and everybody for himself.

        :param opened: gets the connections that the second round goes on
            with; each takes a file, so none when they are more than are
            asked at once, and of those a dead one would cost two deadlines
        """
        tasks: dict[tuple[str, str], Task] = {}
        uuid = known.server.id
        end = self.channel(known.source)
        if isinstance(end, channels.Host) and end.libvirt_uri:
            uri = end.libvirt_uri
            tasks['libvirt', known.source.name] = lambda: libvirt_channel.ask(
                uri,
                lambda connection: connection.source(uuid),
                self.deadline,
            )
        for host in targets if len(targets) <= workers.WIDTH else ():
            other = self.channel(host)
            if isinstance(other, channels.Host) and other.libvirt_uri:
                tasks.setdefault(
                    ('libvirt', host.name),
                    functools.partial(
                        libvirt_channel.keep,
                        other.libvirt_uri,
                        host.name,
                        opened,
                        self.deadline,
                    ),
                )
        for host in (known.source, *targets):
            shell = self.shell(host)
            if shell is not None:
                tasks['shell', host.name] = self._configuration(shell, uuid)
        if isinstance(end, channels.Host) and end.ovsdb:
            if not isinstance(known.network, facts.Gap):
                tasks['mirrors', known.source.name] = functools.partial(
                    port_mirrors.look,
                    end,
                    self._settings,
                    [port.id for port in known.network.ports],
                )
        return self._run(tasks)

    def mirrors(
        self,
        host: facts.Host,
        ports: collections.abc.Collection[str],
        names: collections.abc.Collection[str],
    ) -> tuple[facts.Mirror, ...] | facts.Gap:
        """Return the mirrors of some ports on a host.

        :param names: mirrors that are known to belong to one of the ports
        """
        end = self.channel(host)
        if isinstance(end, facts.Gap) or not end.ovsdb:
            return _mirrors(None)
        found = workers.run(
            {0: lambda: port_mirrors.look(end, self._settings, ports, names)},
            self.deadline * 2,
        )[0]
        return _mirrors(found)

    def _configuration(self, shell: host_shell.HostShell, uuid: str) -> Task:
        # cryptography is slow to load, and only a shell has use for it.
        from osc_lab.access import certificates

        def ask() -> facts.Shell:
            answer = shell.ask(
                configuration=shell.configuration(),
                certificates=list(certificates.PATHS),
                guest_certificates=[uuid, list(certificates.OF_GUEST)],
                userfaultfd=[_USERFAULTFD, '/dev/userfaultfd'],
            )
            found = answer['configuration']
            return facts.Shell(
                options=found['options'],
                config_files=tuple(found['files']),
                unread=tuple(found['unread']),
                cell=str(found['cell']),
                certificates=certificates.read(answer['certificates']),
                unseen=certificates.unseen(answer['certificates']),
                guest_certificates=certificates.of_guest(
                    answer['guest_certificates']
                ),
                userfaultfd=bool(answer['userfaultfd']),
            )

        return ask

    # -- second round

    def _second(
        self,
        known: facts.Facts,
        targets: list[facts.Host],
        opened: dict[str, libvirt.Connection],
    ) -> dict[tuple[str, str], typing.Any]:
        domain, cpu, uuid = None, '', known.server.id
        if isinstance(known.source.libvirt, facts.Libvirt):
            cpu = known.source.libvirt.host_cpu_xml
            if isinstance(known.source.libvirt.domain, facts.Domain):
                domain = known.source.libvirt.domain
        tasks: dict[tuple[str, str], Task] = {}
        for host in targets:
            end = self.channel(host)
            if isinstance(end, channels.Host) and end.libvirt_uri:
                # One that has failed costs no second deadline.
                if (
                    host.reach is None
                    or host.name in opened
                    or host.name == known.source.name
                ):
                    tasks['libvirt', host.name] = functools.partial(
                        libvirt_channel.ask,
                        opened.get(host.name) or end.libvirt_uri,
                        lambda connection: connection.destination(domain, cpu),
                        self.deadline,
                    )
        for host in (known.source, *targets):
            shell = self.shell(host)
            if shell is not None and isinstance(host.shell, facts.Shell):
                tasks['shell', host.name] = self._rest(
                    shell, host.shell, domain, uuid
                )
        way = ways.task(known.source, targets, self.shell, self.deadline)
        return self._run(tasks, way)

    def _rest(
        self,
        shell: host_shell.HostShell,
        known: facts.Shell,
        domain: facts.Domain | None,
        uuid: str,
    ) -> Task:
        options = nova_options.read(known.options)
        paths = [options.folder(uuid)]
        request: dict[str, typing.Any] = {
            'space': options.instances_path,
            'identities': paths,
        }
        if domain is not None:
            for disk in domain.disks:
                if disk.local:
                    paths.extend(
                        item for item in (disk.source, *disk.backing) if item
                    )
            request['qemu'] = [domain.emulator, self.deadline]

        def ask() -> facts.Shell:
            answer = shell.ask(**request)
            return dataclasses.replace(
                known,
                free_bytes=answer['space'].get('free'),
                files=answer.get('identities', {}),
                qemu=_build(answer.get('qemu')),
            )

        return ask

    # -- common

    def shell(self, host: facts.Host) -> host_shell.HostShell | None:
        """Return the shell of a host, None without such a channel."""
        end = self.channel(host)
        if isinstance(end, facts.Gap) or not end.ssh:
            return None
        return self.shell_of(end)

    def shell_of(self, end: channels.Host) -> host_shell.HostShell:
        return host_shell.HostShell(
            end,
            self._settings,
            channels.of_host(self._files, end.name) or (),
        )

    def with_libvirt(
        self, uri: str, use: collections.abc.Callable[[typing.Any], typing.Any]
    ) -> typing.Any:
        """Return what a use of a connection gives.  May hang.

        :raises AccessError: when libvirt cannot be reached or refuses
        """
        found = libvirt_channel.ask(uri, use, self.deadline)
        if isinstance(found, facts.Attempt):
            raise exceptions.AccessError(found.text)
        return found

    def _run(
        self, tasks: dict[tuple[str, str], Task], way: Task | None = None
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
                0: lambda: workers.run(by_kind[True], self.deadline),
                1: lambda: workers.run(
                    by_kind[False], self.deadline * 2 + 2, 64
                ),
                2: lambda: {
                    ('way', name): seen
                    for name, seen in (way() if way else {}).items()
                },
            },
            self.deadline * 100,
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
            changes.update(libvirt_channel.told(seen, uri))
        seen = results.get(('shell', host.name))
        if isinstance(seen, facts.Shell):
            changes['shell'] = seen
        elif isinstance(seen, Exception):
            changes['shell'] = libvirt_channel.gap(seen)
        seen = results.get(('way', host.name))
        if seen is not None:
            changes['way'] = (
                seen
                if isinstance(seen, facts.Way)
                else libvirt_channel.gap(seen)
            )
        return dataclasses.replace(host, **changes)


def _mirrors(
    answer: tuple[facts.Mirror, ...] | Exception | None,
) -> tuple[facts.Mirror, ...] | facts.Gap:
    if answer is None:
        return facts.Gap(
            _('Port mirrors were not looked for.'),
            _('Use --ovsdb, or --ssh.'),
            asked=False,
        )
    return (
        libvirt_channel.gap(answer)
        if isinstance(answer, Exception)
        else answer
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
