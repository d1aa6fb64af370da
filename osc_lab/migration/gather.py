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

"""Gather the facts: the APIs first, then all hosts at once.

The number of requests does not depend on the number of hosts.  What
cannot be had becomes a :class:`facts.Gap`; only a server that is not
there ends the run.
"""

import collections.abc
import dataclasses
import functools
import time
import typing

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import demand
from osc_lab.migration import facts
from osc_lab import workers

#: Seconds.
_FOR_EVER = 86400.0

Value = typing.TypeVar('Value')


class Compute(typing.Protocol):
    """What is read from Nova."""

    @property
    def maximum(self) -> tuple[int, int]: ...
    def server(self, reference: str) -> facts.Server: ...
    def services(self) -> dict[str, facts.Service]: ...
    def hypervisors(self) -> dict[str, facts.Hypervisor]: ...
    def aggregates(self) -> tuple[facts.Aggregate, ...]: ...
    def groups(self, server: facts.Server) -> tuple[facts.Group, ...]: ...
    def shares(self, server_id: str) -> tuple[str, ...] | facts.Gap: ...


class Placement(typing.Protocol):
    """What is read from Placement."""

    def candidates(
        self, demand: facts.Demand, root: str | None = None
    ) -> frozenset[str]: ...
    def provider(self, provider_id: str) -> facts.Provider | facts.Gap: ...


class Network(typing.Protocol):
    """What is read from Neutron."""

    def network(self, server_id: str) -> facts.Network: ...


class Volumes(typing.Protocol):
    """What is read from Cinder and the key manager; nothing for no id."""

    def volumes(self, ids: tuple[str, ...]) -> tuple[facts.Volume, ...]: ...


@dataclasses.dataclass(frozen=True)
class Services:
    """The adapters of the services."""

    compute: Compute
    placement: Placement
    network: Network
    volumes: Volumes


def attempt(
    call: collections.abc.Callable[[], Value],
) -> Value | facts.Gap:
    """Return what a look gives, or why it failed."""
    try:
        return call()
    except exceptions.LabError as error:
        return facts.Gap(error.message, error.remedy)


def from_apis(
    services: Services,
    reference: str,
    request: facts.Request,
    caller: facts.Caller,
) -> facts.Facts:
    """Return what the APIs tell about moving a server.

    :param reference: id or name of the server
    :raises NotFound: when there is no such server, or no such host
    """
    server = services.compute.server(reference)
    found = at_once(
        {
            'services': services.compute.services,
            'hypervisors': services.compute.hypervisors,
            'network': lambda: services.network.network(server.id),
            'aggregates': services.compute.aggregates,
            'groups': lambda: services.compute.groups(server),
            'volumes': lambda: services.volumes.volumes(server.volume_ids),
            'shares': lambda: services.compute.shares(server.id),
        }
    )
    hosts = _Hosts(found['services'], found['hypervisors'])
    wanted = demand.of(server, found['network'])
    names = hosts.destinations(server, request)
    root = None
    if request.host is not None and not isinstance(
        hosts.hypervisor(request.host), facts.Gap
    ):
        root = typing.cast(facts.Hypervisor, hosts.hypervisor(request.host)).id
    candidates, fallback = _candidates(services.placement, wanted, root)
    destinations = [hosts.host(name) for name in names]
    if root and not isinstance(candidates, facts.Gap):
        if root not in candidates:
            provider = attempt(lambda: services.placement.provider(root))
            destinations = [
                dataclasses.replace(host, provider=provider)
                for host in destinations
            ]
    return facts.Facts(
        server=server,
        request=request,
        caller=caller,
        source=hosts.host(server.host),
        destinations=tuple(destinations),
        demand=wanted,
        candidates=candidates,
        fallback=fallback,
        aggregates=found['aggregates'],
        groups=found['groups'],
        network=found['network'],
        volumes=found['volumes'],
        shares=found['shares'],
        microversion=services.compute.maximum,
        now=time.time(),
    )


def _candidates(
    placement: Placement, wanted: facts.Demand | facts.Gap, root: str | None
) -> tuple[frozenset[str] | facts.Gap, frozenset[str] | facts.Gap]:
    """Return what Placement allows for a demand, and for its fallback.

    :param root: id of the only hypervisor to ask for
    """
    if isinstance(wanted, facts.Gap):
        return wanted, frozenset()
    found, fallback = (
        attempt(functools.partial(placement.candidates, item, root))
        if item
        else frozenset[str]()
        for item in (wanted, wanted.fallback)
    )
    return found, fallback


def at_once(
    calls: dict[str, collections.abc.Callable[[], typing.Any]],
) -> dict[str, typing.Any]:
    """Return what each look gives, or why it failed; all go at once."""
    tasks = {
        name: functools.partial(attempt, call) for name, call in calls.items()
    }
    # Each request has a limit of its own, and this one never counts.
    results = workers.run(tasks, _FOR_EVER)
    for value in results.values():
        if isinstance(value, Exception):
            raise value
    return results


class _Hosts:
    """The compute hosts that the APIs show to the caller."""

    def __init__(
        self,
        services: dict[str, facts.Service] | facts.Gap,
        hypervisors: dict[str, facts.Hypervisor] | facts.Gap,
    ) -> None:
        self._services = services
        self._hypervisors = hypervisors

    def destinations(
        self, server: facts.Server, request: facts.Request
    ) -> list[str]:
        """Return names of the hosts to judge.

        :raises NotFound: when a named host is no compute host
        """
        known: set[str] = set()
        for part in (self._services, self._hypervisors):
            if not isinstance(part, facts.Gap):
                known.update(part)
        if request.host is None:
            return sorted(known - {server.host})
        if known and request.host not in known:
            raise exceptions.NotFound(
                _('There is no compute host "%s"') % request.host,
                _('See "openstack compute service list".'),
            )
        return [request.host]

    def hypervisor(self, name: str) -> facts.Hypervisor | facts.Gap:
        if isinstance(self._hypervisors, facts.Gap):
            return self._hypervisors
        return self._hypervisors.get(name) or facts.Gap(
            _('Nova shows no hypervisor of host %s.') % (name or '-')
        )

    def host(self, name: str) -> facts.Host:
        if isinstance(self._services, facts.Gap):
            service: facts.Service | facts.Gap = self._services
        else:
            service = self._services.get(name) or facts.Gap(
                _('Nova shows no compute service of host %s.') % (name or '-')
            )
        return facts.Host(name, service, self.hypervisor(name))
