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

"""What hosts and services show of a migration while it runs and after."""

import collections.abc
import functools
import threading
import time
import typing

from osc_lab.access import host_shell
from osc_lab.access import hosts as hosts_
from osc_lab.access import libvirt
from osc_lab.access import migration
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts
from osc_lab.migration import gather
from osc_lab.migration import nova_options
from osc_lab.migration import storage
from osc_lab.migration import verify
from osc_lab import workers


#: Seconds before a host whose libvirt did not let us in is asked again.
_PAUSE = 3.0

#: Seconds that Neutron's agent has to tell that a port works on the new
#: host, after Nova has called the migration completed.
_SETTLE = 5


class JobWatch:
    """libvirt's statistics of a guest's migration, read in the background.

    :param uri: of the source's libvirt
    :param interval: seconds between two looks
    """

    def __init__(
        self, uri: str, domain_uuid: str, interval: float = 0.5
    ) -> None:
        self._uri = uri
        self._uuid = domain_uuid
        self._interval = interval
        self._latest: tuple[float, dict[str, typing.Any]] | None = None
        self._stop = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def __call__(self) -> dict[str, typing.Any] | None:
        """Return the latest statistics, None when they are old.

        They are empty when libvirt has no job.
        """
        latest = self._latest
        if latest is None or time.monotonic() - latest[0] > 3:
            return None
        return latest[1]

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                connection = libvirt.Connection(self._uri)
            except exceptions.MissingLibrary:
                return
            except exceptions.LabError:
                self._stop.wait(_PAUSE)
                continue
            self._read(connection)
            connection.close()

    def _read(self, connection: libvirt.Connection) -> None:
        """Keep what a connection tells, until it fails or nobody asks."""
        while not self._stop.wait(self._interval):
            found = connection.job(self._uuid)
            if found is None:
                return
            self._latest = (time.monotonic(), found)


class Aftermath:
    """Looks at what is left when a migration is over.

    :param hosts: channels to the hosts
    :param deadline: seconds that one host may take
    """

    def __init__(
        self,
        services: migration.Services,
        hosts: hosts_.Hosts,
        deadline: float,
    ) -> None:
        self._compute = services.compute
        self._placement = services.placement
        self._network = services.network
        self._volumes = services.volumes
        self._hosts = hosts
        self._deadline = deadline

    def job(self, server: facts.Server, host: facts.Host) -> JobWatch | None:
        """Return a watch over the guest's job, None without a channel."""
        uri = self._uri(host)
        return JobWatch(uri, server.id) if uri else None

    def completed(
        self, server: facts.Server, host: facts.Host
    ) -> dict[str, typing.Any]:
        """Return libvirt's final statistics, seen at the destination."""
        found = self._on(host, lambda item: item.job(server.id, True))
        return found if isinstance(found, dict) else {}

    def running(
        self, server: facts.Server, ends: collections.abc.Iterable[facts.Host]
    ) -> dict[str, bool | facts.Gap]:
        """Return host -> whether the guest runs there, by libvirt."""
        tasks = {
            host.name: (
                lambda host=host: self._on(
                    host, lambda item: item.runs(server.id)
                )
            )
            for host in ends
        }
        found = workers.run(tasks, self._deadline * 2 + 1)
        return {
            name: value
            if isinstance(value, bool | facts.Gap)
            else facts.Gap(str(value))
            for name, value in found.items()
        }

    def moving(
        self, server: facts.Server, host: facts.Host
    ) -> bool | facts.Gap:
        """Return whether libvirt on a host still moves the guest."""
        found = self._on(host, lambda item: item.moving(server.id))
        return found if isinstance(found, facts.Gap) else bool(found)

    def log(
        self, server: facts.Server, host: facts.Host, request_id: str
    ) -> list[str] | facts.Gap:
        """Return lines of nova-compute's log about a migration."""
        end = self._hosts.channel(host)
        if isinstance(end, facts.Gap):
            return end
        if not end.ssh:
            return facts.Gap(
                _('The log of nova-compute was not read.'),
                _('Use --ssh.'),
                asked=False,
            )
        try:
            found = self._hosts.shell_of(end).ask(log=[server.id, request_id])
        except exceptions.LabError as error:
            return facts.Gap(error.message, error.remedy)
        return _lines(found.get('log'))

    def named(self, names: collections.abc.Iterable[str]) -> list[facts.Host]:
        """Return hosts with what a channel needs to know of them."""
        hypervisors = self._compute.hypervisors()
        return [
            facts.Host(
                name,
                facts.Gap(''),
                hypervisors.get(name) or facts.Gap(''),
            )
            for name in dict.fromkeys(names)
            if name
        ]

    def after(
        self,
        server: facts.Server,
        source: facts.Host,
        destination: facts.Host,
        mirrors: tuple[facts.Mirror, ...] | facts.Gap,
    ) -> verify.After:
        """Return everything that the verification judges.

        :param mirrors: of the server's ports, as they were before
        """
        network = self._settled(server)
        leftover, folder = self._leftover(server, source, destination)
        return verify.After(
            server=server,
            source=source,
            destination=destination,
            network=network,
            bindings=(
                network if isinstance(network, facts.Gap) else network.bindings
            ),
            attachments=gather.attempt(lambda: self._attachments(server)),
            allocations=gather.attempt(
                lambda: frozenset(self._placement.allocated(server.id))
            ),
            running=self.running(server, (source, destination)),
            leftover=leftover,
            folder=folder,
            mirrors=self._mirrors(source, network, mirrors),
        )

    def _settled(self, server: facts.Server) -> facts.Network | facts.Gap:
        """Return the network as it is when its ports had time to come up."""
        look = functools.partial(self._network.network, server.id)
        network = gather.attempt(look)
        for _second in range(_SETTLE):
            if isinstance(network, facts.Gap) or not network.late:
                break
            time.sleep(1)
            network = gather.attempt(look)
        return network

    def _mirrors(
        self,
        source: facts.Host,
        network: facts.Network | facts.Gap,
        before: tuple[facts.Mirror, ...] | facts.Gap,
    ) -> tuple[facts.Mirror, ...] | facts.Gap:
        if isinstance(network, facts.Gap):
            return network
        known = () if isinstance(before, facts.Gap) else before
        return self._hosts.mirrors(
            source,
            [port.id for port in network.ports],
            [mirror.name for mirror in known],
        )

    def _attachments(self, server: facts.Server) -> dict[str, tuple[str, ...]]:
        if not server.volume_ids:
            return {}
        return {
            # Of a volume that servers share, the others' are none of ours.
            volume.id: tuple(
                host
                for owner, host in zip(
                    volume.attached_to, volume.hosts, strict=True
                )
                if owner == server.id
            )
            for volume in self._volumes.volumes(server.volume_ids)
        }

    def _leftover(
        self,
        server: facts.Server,
        source: facts.Host,
        destination: facts.Host,
    ) -> tuple[bool | facts.Gap | None, str]:
        """Return whether the server's folder stayed, and its path."""
        ends = [self._shell(host) for host in (source, destination)]
        for item in (*ends, source.shell, destination.shell):
            if isinstance(item, facts.Gap):
                return item, ''
        assert isinstance(source.shell, facts.Shell)
        folder = nova_options.read(source.shell.options).folder(server.id)
        hidden = storage.blind(source, [folder])
        if hidden:
            return hidden, folder
        seen = []
        for shell in ends:
            assert not isinstance(shell, facts.Gap)
            found = gather.attempt(functools.partial(_identity, shell, folder))
            if isinstance(found, facts.Gap):
                return found, folder
            seen.append(found)
        here, there = seen
        if here and here == there:
            # One folder, seen from both hosts: shared storage.
            return None, folder
        return bool(here), folder

    def _shell(self, host: facts.Host) -> host_shell.HostShell | facts.Gap:
        """Return a shell of a host that was looked at before."""
        end = self._hosts.channel(host)
        if isinstance(end, facts.Gap):
            return end
        if not end.ssh:
            return facts.Gap(
                _('The folder of the server was not looked for.'),
                _('Use --ssh.'),
                asked=False,
            )
        if isinstance(host.shell, facts.Gap) and not host.shell.asked:
            return facts.Gap(
                _('Where nova-compute keeps its folders was not read.'),
                _('Look by hand; without --no-preflight it is read.'),
                asked=False,
            )
        return self._hosts.shell_of(end)

    def _uri(self, host: facts.Host) -> str:
        end = self._hosts.channel(host)
        return end.libvirt_uri or '' if isinstance(end, channels.Host) else ''

    def _on(
        self,
        host: facts.Host,
        use: collections.abc.Callable[[libvirt.Connection], typing.Any],
    ) -> typing.Any:
        uri = self._uri(host)
        if not uri:
            return facts.Gap(
                _('No libvirt channel is set.'),
                _('Use --libvirt-uri.'),
                asked=False,
            )
        try:
            return workers.call(
                lambda: self._hosts.with_libvirt(uri, use), self._deadline
            )
        except workers.Late as error:
            return facts.Gap(str(error))
        except exceptions.LabError as error:
            return facts.Gap(error.message, error.remedy)


def _lines(found: typing.Any) -> list[str] | facts.Gap:
    """Return the lines that a host has of a log, or why there are none."""
    if not isinstance(found, dict) or not found.get('files'):
        return facts.Gap(
            _('No file was found there that nova-compute logs to.'),
            _(
                'It may log to the journal, or its user and root alone see '
                'it: look there by hand.'
            ),
        )
    lines = [str(line) for line in found.get('lines') or ()]
    unread = ', '.join(map(str, found.get('unread') or ()))
    if unread and not lines:
        return facts.Gap(
            _('This user may not read %s there.') % unread,
            _('Let --ssh name another, or look there by hand.'),
        )
    return lines


def _identity(shell: host_shell.HostShell, folder: str) -> typing.Any:
    """Return what tells a folder from others, false when there is none.

    :raises AccessError: when the host does not tell
    """
    found = shell.ask(identities=[folder]).get('identities')
    if not isinstance(found, dict) or folder not in found:
        raise exceptions.AccessError(
            _('The host did not tell about %s') % folder,
            _('Look there by hand.'),
        )
    return found[folder]
