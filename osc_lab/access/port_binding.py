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

"""Neutron, read for migrations: ports, bindings and agents."""

import typing
import urllib.parse

from osc_lab.access import rest
from osc_lab.access import service
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts
from osc_lab.migration import gather


class PortBindings:
    """The network service.

    :param adapter: ``connection.network``
    """

    def __init__(
        self, adapter: typing.Any, timeout: float = rest.TIMEOUT
    ) -> None:
        self.rest = service.Service(adapter, timeout)

    def network(self, server_id: str) -> facts.Network:
        """Return the ports of a server, their bindings and all agents.

        Three requests or pages, and one for each port.
        """
        bodies = self.rest.objects(
            '/ports', 'ports', 'network_id', device_id=server_id
        )
        ids = sorted({str(item['network_id']) for item in bodies})
        networks = {}
        if ids:
            networks = {
                str(item['id']): item
                for item in self.rest.objects(
                    '/networks', 'networks', 'id', id=ids
                )
            }
        ports = tuple(
            _port(item, networks.get(str(item['network_id']), {}))
            for item in bodies
        )
        if not ports:
            return facts.Network((), ())
        found = gather.at_once(
            {
                'agents': self._agents,
                'bindings': lambda: self._bindings(ports),
            }
        )
        return facts.Network(ports, found['agents'], found['bindings'])

    def _agents(self) -> tuple[facts.Agent, ...]:
        return tuple(
            _agent(item)
            for item in self.rest.objects('/agents', 'agents', 'id')
        )

    def _bindings(
        self, ports: tuple[facts.Port, ...]
    ) -> dict[str, tuple[tuple[str, str], ...]] | facts.Gap:
        found = {}
        for port in ports:
            body = self.rest.maybe(f'/ports/{port.id}/bindings')
            if body is None:
                # The extension binding-extended is not there.
                return facts.Gap(
                    _('Neutron does not show bindings.'), asked=False
                )
            found[port.id] = tuple(
                (str(item.get('host')), str(item.get('status')))
                for item in body.get('bindings', ())
            )
        return found

    def unbind(self, port_id: str, host: str) -> bool:
        """Delete the binding of a port on a host; gone is as good.

        :returns: False when the caller may not do that
        :raises ServiceError: when Neutron does not answer, or fails
        """
        where = urllib.parse.quote(host, safe='')
        try:
            self.rest.write('DELETE', f'/ports/{port_id}/bindings/{where}')
        except exceptions.ServiceError as error:
            if error.status not in (403, 404):
                raise
            return error.status == 404
        return True


def _port(body: service.Json, network: service.Json) -> facts.Port:
    # Of several segments Neutron tells in a list alone (neutron.plugins.ml2.
    # managers, extend_network_with_provider_segments).
    segments = [_segment(item) for item in network.get('segments') or ()]
    network_type, physical_network = _segment(network)
    return facts.Port(
        id=str(body['id']),
        description=str(body.get('description') or ''),
        status=str(body.get('status', '')),
        vnic_type=str(body.get('binding:vnic_type', 'normal')),
        vif_type=str(body.get('binding:vif_type', '')),
        host=str(body.get('binding:host_id', '')),
        network_type=network_type,
        physical_network=physical_network,
        segments=tuple(segments),
        admin_up=bool(body.get('admin_state_up', True)),
        **_resource_request(str(body['id']), body.get('resource_request')),
    )


def _segment(body: service.Json) -> tuple[str, str]:
    """Return network type and physical network, empty when not shown."""
    return (
        str(body.get('provider:network_type') or ''),
        str(body.get('provider:physical_network') or ''),
    )


def _resource_request(port_id: str, request: typing.Any) -> service.Json:
    """Return the groups of a port's resource_request.

    It is one group, or with the extension port-resource-request-groups
    several.
    """
    if not isinstance(request, dict):
        return {}
    bodies = request.get('request_groups')
    if bodies is None:
        bodies = [{'id': port_id, **request}]
    return {
        'groups': tuple(
            facts.Granular(
                str(item['id']),
                {str(k): int(v) for k, v in item['resources'].items()},
                frozenset(item.get('required') or ()),
            )
            for item in bodies
        ),
        'same_subtree': tuple(request.get('same_subtree') or ()),
    }


def _agent(body: service.Json) -> facts.Agent:
    configuration = body.get('configurations') or {}
    return facts.Agent(
        type=str(body.get('agent_type', '')),
        host=str(body.get('host', '')),
        alive=bool(body.get('alive')),
        admin_up=bool(body.get('admin_state_up', True)),
        bridge_mappings=_names(
            configuration.get('bridge_mappings')
            or configuration.get('bridge-mappings')
            or configuration.get('interface_mappings')
        ),
        device_mappings=_names(configuration.get('device_mappings')),
        tunnel_types=_names(configuration.get('tunnel_types')),
    )


def _names(value: typing.Any) -> frozenset[str]:
    # A mapping for the OVS agent.  Under OVN it is what the chassis has,
    # "net:bridge,..." with a name of its own: neutron.plugins.ml2.drivers.
    # ovn.agent.neutron_agent, as_dict.
    if isinstance(value, str):
        value = [item.partition(':')[0].strip() for item in value.split(',')]
    return frozenset(str(item) for item in value or () if item)
