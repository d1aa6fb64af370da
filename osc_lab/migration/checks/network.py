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

"""Ports on the destination, and port mirrors that would go blind."""

import collections.abc

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_
from osc_lab.preflight import finding

_OVS = 'Open vSwitch agent'
#: A chassis is called the latter when it may be a gateway, too.
_OVN = ('OVN Controller agent', 'OVN Controller Gateway agent')
_SRIOV = 'NIC Switch agent'

#: Agents that can bind a port of this virtual interface type.
_AGENTS = {
    'ovs': (_OVS, *_OVN),
    'vhostuser': (_OVS, *_OVN),
    'bridge': ('Linux bridge agent',),
    'hw_veb': (_SRIOV,),
    'macvtap': ('Macvtap agent', _SRIOV),
}
_TUNNELS = ('vxlan', 'gre', 'geneve')


class PortBinding(base.HostCheck):
    id = 'port-binding'
    question = _('Can every port of the server be bound on the host?')
    reason = _(
        'Nova binds each port on the destination before it starts; without '
        'a living agent, or the physical network, or with a binding that an '
        'earlier migration has left there, that fails.'
    )
    remedy = _('Start the network agent there: openstack network agent list.')

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        network = facts.network
        if isinstance(network, facts_.Gap):
            yield self.missing(host.name, network)
            return
        if not network.ports:
            yield self.answer(host.name, base.OK, _('The server has no port.'))
            return
        if isinstance(network.agents, facts_.Gap):
            yield self.missing(host.name, network.agents)
            return
        agents = _agents_of(network.agents, host)
        failed = False
        for item in self._left(facts, network, host):
            failed = True
            yield item
        for port in network.ports:
            for message in self._problems(port, agents, network.agents):
                failed = True
                yield self.answer(
                    host.name, base.FAILED, message, port=port.id
                )
            gap = _doubt(port, _living(port, agents))
            if gap:
                failed = True
                yield self.missing(host.name, gap)
        if isinstance(network.bindings, facts_.Gap):
            yield self.missing(host.name, network.bindings)
        elif not failed:
            yield self.answer(
                host.name,
                base.OK,
                _('The agents there can bind its ports.'),
            )

    def _left(
        self,
        facts: facts_.Facts,
        network: facts_.Network,
        host: facts_.Host,
    ) -> base.Found:
        """Yield what an earlier migration has left.

        Nova makes the binding, and takes the conflict for a host that is
        not valid (nova.conductor.tasks.live_migrate, _bind_ports_to_host).
        """
        if facts.server.task_state:
            # It is that of the migration which goes on.
            return
        for port, where in network.inactive():
            if where == host.name:
                yield self.answer(
                    host.name,
                    base.FAILED,
                    _(
                        'An earlier migration has left a binding of port %s '
                        'there; Nova will say "No valid host".'
                    )
                    % port,
                    f'openstack server migrate live {facts.server.id} '
                    '--repair',
                    port=port,
                )

    def _problems(
        self,
        port: facts_.Port,
        agents: tuple[facts_.Agent, ...],
        everywhere: tuple[facts_.Agent, ...],
    ) -> list[str]:
        used = {agent.type for agent in everywhere}
        wanted = [
            item for item in _AGENTS.get(port.vif_type, ()) if item in used
        ]
        if not wanted:
            # A mechanism driver without agents.
            return []
        fitting = [agent for agent in agents if agent.type in wanted]
        label = _('port %s') % port.id
        if not fitting:
            return [
                _('No %(agent)s is there for %(port)s.')
                % {'agent': wanted[0], 'port': label}
            ]
        living = _living(port, agents)
        if not living:
            return [
                _('The %(agent)s is not alive there; %(port)s needs it.')
                % {'agent': fitting[0].type, 'port': label}
            ]
        return _network_problems(port, living, label)


def _agents_of(
    agents: tuple[facts_.Agent, ...], host: facts_.Host
) -> tuple[facts_.Agent, ...]:
    # A chassis may carry the full name of the machine.
    names = {host.name}
    if not isinstance(host.hypervisor, facts_.Gap):
        names.add(host.hypervisor.hostname)
    return tuple(agent for agent in agents if agent.host in names)


def _living(
    port: facts_.Port, agents: tuple[facts_.Agent, ...]
) -> list[facts_.Agent]:
    """Return those of a host's agents that could bind a port now."""
    return [
        agent
        for agent in agents
        if agent.type in _AGENTS.get(port.vif_type, ())
        and agent.alive
        and agent.admin_up
    ]


def _doubt(port: facts_.Port, living: list[facts_.Agent]) -> facts_.Gap | None:
    """Return why nobody knows whether its segment is there, if so.

    Of several, that of the subnet of its fixed IP has to be, if the subnet
    has one (neutron.plugins.ml2.drivers.mech_agent, bind_port).
    """
    reached = [item for item in port.segments if _reaches(*item, living)]
    if not living or len(reached) in (0, len(port.segments)):
        return None
    return facts_.Gap(
        _(
            'Of the segments of the network of port %(port)s only %(nets)s '
            'is there; that of its fixed IP counts.'
        )
        % {'nets': _segments(reached), 'port': port.id},
        _(
            'Compare segment_id of "openstack subnet show" with "openstack '
            'network segment list --long".'
        ),
    )


def _segments(items: collections.abc.Iterable[tuple[str, str]]) -> str:
    return ', '.join(network or kind for kind, network in items)


def _network_problems(
    port: facts_.Port, living: list[facts_.Agent], label: str
) -> list[str]:
    if port.segments:
        if any(_reaches(*segment, living) for segment in port.segments):
            return []
        return [
            _('No segment of the network of %(port)s is there: %(nets)s.')
            % {'nets': _segments(port.segments), 'port': label}
        ]
    if _reaches(port.network_type, port.physical_network, living):
        return []
    if port.physical_network:
        return [
            _('The physical network %(net)s of %(port)s is not mapped there.')
            % {'net': port.physical_network, 'port': label}
        ]
    return [
        _('The agent there has no %(type)s tunnels, which %(port)s needs.')
        % {'type': port.network_type, 'port': label}
    ]


def _reaches(
    network_type: str, physical_network: str, living: list[facts_.Agent]
) -> bool:
    if physical_network:
        return any(
            physical_network in agent.bridge_mappings
            or physical_network in agent.device_mappings
            for agent in living
        )
    return network_type not in _TUNNELS or any(
        agent.type in _OVN or network_type in agent.tunnel_types
        for agent in living
    )


class Mirrors(base.ServerCheck):
    id = 'mirrors'
    question = _('Would a port mirror go blind?')
    reason = _(
        'A mirror in OVS selects the port of one host; when the guest moves, '
        'it stays behind and copies nothing, without a word.'
    )
    remedy = _('Make it again afterwards: openstack port mirror create.')
    source = finding.Source.OVSDB
    channel = '--ovsdb'

    def judge(self, facts: facts_.Facts) -> base.Found:
        if isinstance(facts.mirrors, facts_.Gap):
            yield self.missing(facts.server.name, facts.mirrors)
            return
        blind = [item for item in facts.mirrors if not item.follows]
        for mirror in blind:
            yield self.answer(
                facts.server.name,
                base.WARNING,
                _(
                    'Mirror %(name)s of port %(port)s on %(host)s would go '
                    'blind.'
                )
                % {
                    'name': mirror.name,
                    'port': mirror.port_id,
                    'host': mirror.host,
                },
                mirror=mirror.name,
                port=mirror.port_id,
            )
        if not blind:
            yield self.answer(
                facts.server.name,
                base.OK,
                _('No mirror of its ports would go blind.'),
            )
