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
import concurrent.futures
import contextlib
import functools
import typing

from osc_lab.access import cloud
from osc_lab.access import network
from osc_lab.access import ovsdb
from osc_lab.access import shell
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.mirroring import service

#: Hosts that are asked at the same time.
_WIDTH = 32

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
    def open(self, name: str) -> typing.Iterator[service.Host]:
        """Connect to a host.

        :raises AccessError: when there is no way, or no answer
        """
        host = self.channels(name)
        with ovsdb.connect(host, self.settings) as database:
            yield service.Host(
                name, database, self.shell(name), _local(host.ovsdb or '')
            )

    def each(
        self,
        names: collections.abc.Sequence[str],
        work: collections.abc.Callable[[service.Host], Result],
    ) -> list[tuple[str, Result | exceptions.LabError]]:
        """Do the same on many hosts at once.

        :returns: for each host, in order, the result or the error
        """
        if not names:
            return []
        # Filled here: it is no work for many threads at once.
        _ = self._addresses

        def one(name: str) -> Result | exceptions.LabError:
            try:
                with self.open(name) as host:
                    return work(host)
            except Exception as error:
                return cloud.explain(error)

        width = min(_WIDTH, len(names))
        with concurrent.futures.ThreadPoolExecutor(width) as pool:
            return list(zip(names, pool.map(one, names), strict=True))


def _local(remote: str) -> str:
    """Return how ovs-vsctl on the host finds its database, or ''."""
    kind, _colon, path = remote.partition(':')
    return f'unix:{path}' if kind in ('unix', 'ssh') and path else ''
