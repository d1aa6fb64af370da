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

"""Hosts and the ways to them, one or many at once."""

import collections.abc
import contextlib
import datetime
import functools
import logging
import typing

from osc_lab.access import cloud
from osc_lab.access import network
from osc_lab.access import ovsdb
from osc_lab.access import shell
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import health
from osc_lab.mirroring import host as host_
from osc_lab.mirroring import inventory
from osc_lab import workers

LOG = logging.getLogger(__name__)

Result = typing.TypeVar('Result')


class Hosts:
    """Opens the OVSDB and the shell of hosts.

    :param settings: the channels
    :param cloud_network: asked for addresses when a channel needs them
    """

    def __init__(
        self, settings: channels.Channels, cloud_network: network.Network
    ) -> None:
        self.settings = settings
        self._network = cloud_network

    @functools.cached_property
    def _addresses(self) -> collections.abc.Mapping[str, str]:
        templates = (self.settings.ssh, self.settings.ovsdb)
        if any('{host_ip}' in (text or '') for text in templates):
            return self._network.addresses()
        return {}

    def channels(self, name: str) -> channels.Host:
        """Return the channels of a host."""
        return self.settings.host(name, self._addresses.get(name, ''))

    def shell(self, name: str) -> shell.Shell | None:
        """Return the shell of a host, or None without such a channel."""
        host = self.channels(name)
        return shell.Shell(host, self.settings) if host.ssh else None

    @contextlib.contextmanager
    def open(self, name: str) -> typing.Iterator[host_.Host]:
        """Connect to a host.

        :raises AccessError: when there is no way, or no answer
        """
        with self.database(name) as database:
            local = _local(self.channels(name))
            yield host_.Host(name, database, self.shell(name), local)

    @contextlib.contextmanager
    def database(self, name: str) -> typing.Iterator[ovsdb.Database]:
        """Connect to the OVSDB of a host.

        :raises AccessError: when there is no way, or no answer
        """
        with ovsdb.connect(self.channels(name), self.settings) as database:
            yield database

    def each(
        self,
        names: collections.abc.Sequence[str],
        work: collections.abc.Callable[[host_.Host], Result],
    ) -> list[tuple[str, Result | exceptions.LabError]]:
        """Do the same on many hosts at once.

        What hangs is left behind, so the work is to change nothing.

        :returns: for each host, in order, the result or the error
        """
        if not names:
            return []
        # Filled here: it is no work for many threads at once.
        _ = self._addresses

        def one(name: str) -> Result:
            with self.open(name) as host:
                return work(host)

        # Each step has a deadline of its own: the shell, the connection and
        # the answer.  What has none, such as a name server, is left behind.
        limit = 3 * self.settings.deadline
        found = workers.run(
            {name: functools.partial(one, name) for name in names}, limit
        )
        return [
            (
                name,
                self._explain(name, value)
                if isinstance(value, Exception)
                else value,
            )
            for name, value in found.items()
        ]

    def _explain(self, name: str, error: Exception) -> exceptions.LabError:
        if isinstance(error, workers.Late):
            return exceptions.AccessError(
                _('%(host)s: %(error)s') % {'host': name, 'error': error},
                _('Check the host, or give it longer: --host-timeout.'),
            )
        return cloud.explain(error)

    def survey(
        self,
        names: collections.abc.Sequence[str] | None,
        foreign: bool = False,
    ) -> tuple[list[health.Entry], list[str]]:
        """Return the mirrors of hosts, and the hosts without answer.

        :param names: of the hosts; None for all that run Open vSwitch
        :param foreign: also those that are not ours
        :raises InvalidInput: when a channel cannot be that of the hosts
        :raises AccessError: when there is none
        """
        asked = list(dict.fromkeys(names or self._network.hosts()))
        self._judge(asked)
        now = datetime.datetime.now(datetime.UTC)
        found: list[health.Entry] = []
        dead = []
        for name, answer in self.each(
            asked,
            lambda host: inventory.collect(host, now),
        ):
            if isinstance(answer, exceptions.InvalidInput):
                # It is no host that is wrong: none was asked.
                raise answer
            if isinstance(answer, exceptions.LabError):
                LOG.warning('%s', answer)
                dead.append(name)
            else:
                found += answer
        wanted = {entry.port for entry in found} - {''}
        ports = self._network.ports(wanted)
        if names and wanted - ports.keys():
            asked = self._shown()
        return [
            entry
            for entry in health.with_ports(found, ports, asked)
            if foreign or entry.owner is health.Owner.OSC_LAB
        ], dead

    def _judge(self, names: collections.abc.Sequence[str]) -> None:
        """See that each of the hosts has a way to its own database.

        One that is asked in the name of others shows them its mirrors,
        which are orphans there.

        :raises AccessError: when none has
        :raises InvalidInput: when it is the same one for all
        """
        ovsdb, ssh = self.settings.ovsdb or 'ssh', self.settings.ssh
        flag, value = '--ovsdb', ovsdb
        if ovsdb.partition(':')[0] == 'ssh':
            if not ssh:
                raise exceptions.AccessError(
                    _('There is no way to the OVSDB of hosts'),
                    _('Use --ovsdb, or --ssh.'),
                )
            flag, value = '--ssh', ssh
        if len(names) > 1 and not any(
            field in text
            for text in (ovsdb, value)
            for field in ('{host}', '{host_ip}')
        ):
            raise exceptions.InvalidInput(
                _('%(flag)s: "%(value)s" is one machine, not %(count)d hosts')
                % {'flag': flag, 'value': value, 'count': len(names)},
                _('Name the host that it is with --host, or write {host}.'),
            )

    def _shown(self) -> list[str]:
        """Return the hosts that Neutron shows to the caller, maybe none."""
        try:
            return self._network.hosts()
        except (exceptions.NotFound, exceptions.ServiceError) as error:
            LOG.debug('%s', error)
            return []

    def remove(
        self, chosen: collections.abc.Sequence[health.Entry], user: str
    ) -> list[tuple[health.Entry, exceptions.LabError | None]]:
        """Remove mirrors, each by itself, as they are by now."""
        now = datetime.datetime.now(datetime.UTC)
        done: list[tuple[health.Entry, exceptions.LabError | None]] = []
        for entry in chosen:
            try:
                with self.open(entry.host) as host:
                    found = inventory.again(host, entry, now)
                    if found is not None:
                        inventory.remove(host, found, user)
                done.append((entry, None))
            except exceptions.LabError as error:
                LOG.error('%s', error)
                done.append((entry, error))
        return done


def _local(host: channels.Host) -> str:
    """Return how ovs-vsctl on the host finds its database, or ''.

    The path of a socket is one of this machine, unless OpenSSH forwards
    it.
    """
    kind, _colon, path = (host.ovsdb or '').partition(':')
    there = kind == 'ssh' or (kind == 'unix' and host.ssh == 'local')
    return f'unix:{path}' if there and path else ''
