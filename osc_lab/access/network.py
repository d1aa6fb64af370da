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

"""Ports, servers and hosts as the APIs of Neutron and Nova show them.

A name never becomes part of a path: what is no UUID is asked for by a
query, which the client encodes.
"""

import collections.abc
import ipaddress
import re
import socket
import typing
import uuid

import openstack.connection

from osc_lab.access import compute
from osc_lab.access import rest
from osc_lab.access import service
from osc_lab.access import settings
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import model

#: Ids in one request; longer addresses are refused by some proxies.
_CHUNK = 50

#: Agents whose host runs Open vSwitch.
_AGENTS = (
    'Open vSwitch agent',
    'OVN Controller agent',
    'OVN Controller Gateway agent',
)

_FIELDS = (
    'id',
    'name',
    'mac_address',
    'device_id',
    'device_owner',
    'binding:host_id',
    'binding:vif_type',
    'binding:vnic_type',
    'binding:profile',
)

_Json = dict[str, typing.Any]


class Network:
    """What mirroring asks the cloud.

    :param connection: the SDK connection of an administrator
    """

    def __init__(self, connection: openstack.connection.Connection) -> None:
        self._connection = connection

    def creator(self) -> str:
        """Return who asks, for people: user, project and machine."""
        session = self._connection.session
        auth = typing.cast(typing.Any, session.auth)
        access = auth.get_access(session)
        user = access.username or access.user_id or 'unknown'
        project = access.project_name or access.domain_name or '-'
        return f'{user}/{project} on {socket.gethostname()}'

    def port(self, name: str) -> model.NeutronPort:
        """Return the port with this name or id.

        :raises NotFound: when there is none
        :raises NoUniqueMatch: when there is more than one
        :raises AccessError: when Neutron hides where it is
        """
        query = 'id' if _is_uuid(name) else 'name'
        found = self._ports({query: name})
        if not found and query == 'id':
            found = self._ports({'name': name})
        return self._only(found, 'port', name)

    def server_port(self, name: str, network: str) -> model.NeutronPort:
        """Return the port of a server.

        :param network: name or id; empty when the server has one port
        :raises NotFound: when there is none
        :raises NoUniqueMatch: when there is more than one
        """
        server = self._server(name)
        query = {'device_id': server['id']}
        if network:
            query['network_id'] = self._network(network)
        found = self._ports(query)
        if len(found) > 1:
            raise exceptions.NoUniqueMatch(
                _('The server %(name)s has %(count)d ports: %(ports)s')
                % {
                    'name': name,
                    'count': len(found),
                    'ports': ', '.join(port['id'] for port in found),
                },
                _('Choose with --network, or name the port.'),
            )
        return self._only(found, 'port of server', name)

    def address_port(self, address: str) -> model.NeutronPort:
        """Return the port with this fixed or floating IP address.

        :param address: in any spelling; Neutron compares texts
        :raises ValueError: when it is none
        :raises NotFound: when there is none
        :raises NoUniqueMatch: when there is more than one
        """
        address = str(ipaddress.ip_address(address))
        found = self._ports({'fixed_ips': f'ip_address={address}'})
        if not found:
            floating = self._list(
                'network',
                '/floatingips',
                'floatingips',
                {'floating_ip_address': address},
                'port_id',
            )
            ids = [ip['port_id'] for ip in floating if ip.get('port_id')]
            found = self._ports({'id': ids}) if ids else []
        return self._only(found, 'port with address', address)

    def ports(
        self, ids: collections.abc.Iterable[str]
    ) -> dict[str, model.NeutronPort]:
        """Return those of these ports that exist, without server names.

        One that is shown without its host is left out: Neutron keeps
        bindings from those who are no administrators.
        """
        wanted = [item for item in dict.fromkeys(ids) if _is_uuid(item)]
        found: list[_Json] = []
        for start in range(0, len(wanted), _CHUNK):
            found += self._ports({'id': wanted[start : start + _CHUNK]})
        return {
            port['id']: _port(port, {})
            for port in found
            if 'binding:host_id' in port
        }

    def hosts(self) -> list[str]:
        """Return the hosts that run Open vSwitch, by Neutron's agents.

        :raises NotFound: when there is none; Neutron leaves out what the
            caller may not see, and nobody is to take that for no mirror
        """
        agents = self._list(
            'network',
            '/agents',
            'agents',
            {'fields': ['id', 'host', 'agent_type']},
            'agent_type',
        )
        found = {
            str(agent['host'])
            for agent in agents
            if agent.get('agent_type') in _AGENTS and agent.get('host')
        }
        if not found:
            raise exceptions.NotFound(
                _('Neutron shows no host that runs Open vSwitch'),
                _('Use a user with the admin role, or name hosts: --host.'),
            )
        return sorted(found)

    def addresses(self) -> dict[str, str]:
        """Return the address of each compute host, as Nova knows it."""
        return compute.Compute(
            rest.proxy(self._connection, 'compute'),
            settings.api_timeout(self._connection),
        ).addresses()

    def _ports(self, query: _Json) -> list[_Json]:
        return self._list(
            'network', '/ports', 'ports', {**query, 'fields': _FIELDS}
        )

    def _network(self, name: str) -> str:
        query = 'id' if _is_uuid(name) else 'name'
        found = self._list(
            'network', '/networks', 'networks', {query: name, 'fields': ['id']}
        )
        return str(_single(found, 'network', name)['id'])

    def _server(self, name: str) -> _Json:
        if _is_uuid(name):
            server = self._one_server(name)
            if server:
                return server
        # Nova takes the name as a regular expression.
        found = self._list(
            'compute',
            '/servers',
            'servers',
            {'name': f'^{re.escape(name)}$', 'all_tenants': '1'},
        )
        exact = [item for item in found if item.get('name') == name]
        return _single(exact, 'server', name)

    def _one_server(self, server_id: str) -> _Json:
        """Return a server by its id; empty when there is none."""
        found = self._rest('compute').maybe(f'/servers/{server_id}')
        server = (found or {}).get('server')
        return server if isinstance(server, dict) else {}

    def _only(
        self, found: list[_Json], kind: str, name: str
    ) -> model.NeutronPort:
        port = _single(found, kind, name)
        if 'binding:host_id' not in port:
            # Policy get_port:binding:host_id: for administrators alone.
            raise exceptions.AccessError(
                _('Neutron does not show on which host the port %s is')
                % (port.get('name') or port['id']),
                _('Use a user with the admin role.'),
            )
        server: _Json = {}
        if port.get('device_id') and str(port.get('device_owner')).startswith(
            'compute:'
        ):
            server = self._one_server(port['device_id'])
        return _port(port, server)

    def _rest(self, name: str) -> service.Service:
        return service.Service(
            rest.proxy(self._connection, name),
            settings.api_timeout(self._connection),
        )

    def _list(
        self, name: str, path: str, key: str, query: _Json, needed: str = 'id'
    ) -> list[_Json]:
        """Return what a service lists.

        :param needed: what each item has

        :raises ServiceError: for an error, or what is no list of objects
        """
        return self._rest(name).objects(path, key, needed, **query)


def _single(found: list[_Json], kind: str, name: str) -> _Json:
    if not found:
        raise exceptions.NotFound(
            _('There is no %(kind)s "%(name)s"')
            % {'kind': kind, 'name': name},
            _('Use a name or ID that an administrator can see.'),
        )
    if len(found) > 1:
        raise exceptions.NoUniqueMatch(
            _('There are %(count)d: %(kind)s "%(name)s": %(ids)s')
            % {
                'count': len(found),
                'kind': kind,
                'name': name,
                'ids': ', '.join(str(item['id']) for item in found[:5]),
            },
            _('Use the ID.'),
        )
    return found[0]


def _port(port: _Json, server: _Json) -> model.NeutronPort:
    profile = port.get('binding:profile')
    if not isinstance(profile, dict):
        profile = {}
    moving = str(profile.get('migrating_to') or '')
    if not moving and server.get('status') == 'MIGRATING':
        moving = _('another host')
    return model.NeutronPort(
        id=str(port['id']),
        name=str(port.get('name') or ''),
        host=str(port.get('binding:host_id') or ''),
        vif_type=str(port.get('binding:vif_type') or ''),
        vnic_type=str(port.get('binding:vnic_type') or 'normal'),
        server=str(port.get('device_id') or ''),
        server_name=str(server.get('name') or ''),
        mac=str(port.get('mac_address') or ''),
        subport=port.get('device_owner') == 'trunk:subport',
        moving_to=moving,
    )


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
