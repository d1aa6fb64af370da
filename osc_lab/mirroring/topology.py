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

"""The way of packets through the switches of a host, as a graph."""

import collections.abc
import dataclasses
import textwrap

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import health
from osc_lab.mirroring import model

#: Types of interfaces that are tunnels to other hosts.
TUNNELS = ('geneve', 'gre', 'stt', 'vxlan')

#: Letters in a line of a picture.
_WIDTH = 30

#: More of a kind on one bridge are counted and not listed.
_MANY = 8

#: Bridges behind one another that are followed; Neutron has three.
_DEEP = 64


@dataclasses.dataclass(frozen=True)
class Plug:
    """An interface, the port that it belongs to and their bridge."""

    interface: model.Interface
    port: model.Port
    bridge: model.Bridge


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the OVSDB of the host says.

    :param attachments: of the Neutron port; the parent of a trunk has two
    :param plugs: patches that are not of other trunks, tunnels, and the
        other ports of bridges that no VM is on
    :param more: (UUID of a bridge, type) -> interfaces that were not looked
        at, for there are too many
    """

    attachments: tuple[model.Attachment, ...]
    plugs: tuple[Plug, ...]
    mirrors: tuple[model.Mirror, ...]
    more: collections.abc.Mapping[tuple[str, str], int] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True)
class Node:
    """A thing that packets pass.

    :param kind: port, linux, interface, bridge, mirror or tunnel
    :param label: one line, without control characters
    """

    id: str
    kind: str
    label: str


@dataclasses.dataclass(frozen=True)
class Graph:
    """Nodes, and pairs of their ids with a label; the first is the root."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str, str], ...]


class _Builder:
    def __init__(self, facts: Facts, port: str) -> None:
        self._facts = facts
        self._port = port
        self.nodes: dict[str, Node] = {}
        self.edges: list[tuple[str, str, str]] = []
        self._by_name = {plug.interface.name: plug for plug in facts.plugs}
        self._depth = 0

    def add(
        self, id_: str, kind: str, label: str, parent: str = '', edge: str = ''
    ) -> bool:
        """Add a node below another; return whether it is new."""
        new = id_ not in self.nodes
        if new:
            self.nodes[id_] = Node(id_, kind, exceptions.printable(label))
        if parent:
            self.edges.append((parent, id_, exceptions.printable(edge)))
        return new

    def bridge(
        self, bridge: model.Bridge, parent: str, edge: str, via: str = ''
    ) -> None:
        """Add a bridge and everything behind it.

        :param via: name of the patch that leads here
        """
        words = [_('bridge'), bridge.datapath_type, bridge.fail_mode]
        label = f'{bridge.name} ({", ".join(word for word in words if word)})'
        if not self.add(bridge.uuid, 'bridge', label, parent, edge):
            return
        self._mirrors(bridge)
        here = [
            plug
            for plug in self._facts.plugs
            if plug.bridge.uuid == bridge.uuid
        ]
        # Those with the id of a port lead to the trunks of other servers.
        patches = [
            plug
            for plug in here
            if plug.interface.type == 'patch'
            and plug.interface.name != via
            and 'iface-id' not in plug.interface.external_ids
        ]
        for plug in sorted(patches, key=self._is_other):
            self._patch(plug)
        self._others(bridge, here)

    def _is_other(self, plug: Plug) -> bool:
        """Return whether a patch is not the one of this port."""
        peer = self.peer(plug.interface)
        ids = peer.interface.external_ids if peer else {}
        return ids.get('iface-id') != self._port

    def peer(self, interface: model.Interface) -> Plug | None:
        """Return the other end of a patch."""
        return self._by_name.get(interface.options.get('peer', ''))

    def trunk(self, found: model.Attachment) -> None:
        """Add the way of a port inside a trunk, from the VM's device."""
        peer = self.peer(found.interface)
        if peer is None:
            self.bridge(found.bridge, self._port, _vlan(found.port))
            return
        above, vlan = self._port, ''
        for plug in self._facts.plugs:
            ids = plug.interface.external_ids
            if plug.bridge.uuid == peer.bridge.uuid and 'iface-id' in ids:
                above, vlan = plug.interface.uuid, _vlan(plug.port)
                label = _interface(plug.interface)
                self.add(above, 'interface', label, self._port)
        self.bridge(peer.bridge, above, vlan)

    def _patch(self, plug: Plug) -> None:
        peer = self.peer(plug.interface)
        own = plug.interface.name
        if peer is None:
            label = _('%s (patch to nowhere)') % own
            self.add(plug.port.uuid, 'interface', label, plug.bridge.uuid)
            return
        label = f'{own} = {peer.interface.name} ({_("patch")})'
        self.add(
            plug.port.uuid,
            'interface',
            label,
            plug.bridge.uuid,
            _vlan(plug.port),
        )
        if self._depth == _DEEP:
            label = _('and what is behind it')
            self.add(f'{plug.port.uuid}/more', 'bridge', label, plug.port.uuid)
            return
        self._depth += 1
        self.bridge(
            peer.bridge, plug.port.uuid, _vlan(peer.port), peer.interface.name
        )
        self._depth -= 1

    def _others(
        self, bridge: model.Bridge, here: collections.abc.Sequence[Plug]
    ) -> None:
        kinds: dict[str, list[Plug]] = {
            kind: [] for home, kind in self._facts.more if home == bridge.uuid
        }
        for plug in here:
            if (
                plug.interface.type != 'patch'
                and not plug.port.marks
                and plug.interface.uuid not in self.nodes
            ):
                kinds.setdefault(plug.interface.type, []).append(plug)
        for kind, plugs in sorted(kinds.items()):
            for plug in plugs[:_MANY]:
                style = 'tunnel' if kind in TUNNELS else 'interface'
                self.add(
                    plug.interface.uuid,
                    style,
                    _interface(plug.interface),
                    bridge.uuid,
                    _vlan(plug.port),
                )
            left = len(plugs[_MANY:])
            left += self._facts.more.get((bridge.uuid, kind), 0)
            if left:
                self.add(
                    f'{bridge.uuid}/{kind}',
                    'interface',
                    _('and %(count)d more of type %(type)s')
                    % {
                        'count': left,
                        'type': kind or 'system',
                    },
                    bridge.uuid,
                )

    def _mirrors(self, bridge: model.Bridge) -> None:
        ports = {found.port.uuid for found in self._facts.attachments}
        for mirror in self._facts.mirrors:
            if mirror.bridge_uuid != bridge.uuid:
                continue
            source = ports & set(mirror.select_src)
            target = ports & set(mirror.select_dst)
            if not (source or target or mirror.select_all):
                continue
            direction = 'both'
            if not mirror.select_all and not (source and target):
                direction = 'out' if source else 'in'
            output = mirror.output_name or (
                f'VLAN {mirror.output_vlan}'
                if mirror.output_vlan is not None
                else _('nowhere')
            )
            self.add(
                mirror.uuid,
                'mirror',
                _('mirror %(name)s (%(direction)s, %(owner)s) to %(output)s')
                % {
                    'name': mirror.name,
                    'direction': direction,
                    'owner': health.owner(mirror).value,
                    'output': output,
                },
                bridge.uuid,
            )


def graph(port: model.NeutronPort, host: str, facts: Facts) -> Graph:
    """Return the way of the packets of a port on a host.

    :raises NotFound: when no bridge of the host has the port
    """
    if not facts.attachments:
        raise exceptions.NotFound(
            _('No bridge on %(host)s has the port %(port)s')
            % {'host': host, 'port': port.name or port.id},
            _('It is inside a trunk: show its parent.')
            if port.subport
            else _('See --host, and "openstack port show".'),
        )
    builder = _Builder(facts, port.id)
    words = [_('port'), port.id]
    server = port.server_name or port.server
    if server:
        words.append(_('server %s') % server)
    words.append(_('host %s') % host)
    if port.moving_to:
        words.append(_('moving to %s') % port.moving_to)
    label = f'{port.name or port.mac or port.id} ({", ".join(words)})'
    builder.add(port.id, 'port', label)
    # The side of a trunk at br-int; its bridge leads there.
    devices = [f for f in facts.attachments if f.interface.type != 'patch']
    if not devices:
        builder.trunk(facts.attachments[0])
    for found in devices:
        above = _linux(builder, port, found.interface)
        builder.add(
            found.interface.uuid,
            'interface',
            _interface(found.interface),
            above,
        )
        builder.bridge(found.bridge, found.interface.uuid, _vlan(found.port))
    return Graph(tuple(builder.nodes.values()), tuple(builder.edges))


def _linux(
    builder: _Builder, port: model.NeutronPort, interface: model.Interface
) -> str:
    """Add what os-vif puts between a VM and a "qvo" interface."""
    if not interface.name.startswith('qvo'):
        return port.id
    tail = interface.name.removeprefix('qvo')
    above = port.id
    for prefix, what in (
        ('tap', _('device')),
        ('qbr', _('Linux bridge')),
        ('qvb', _('veth')),
    ):
        builder.add(
            f'{prefix}{tail}', 'linux', f'{prefix}{tail} ({what})', above
        )
        above = f'{prefix}{tail}'
    return above


def _interface(interface: model.Interface) -> str:
    words = [interface.type or 'system']
    if interface.type in TUNNELS:
        words.append(_('to %s') % interface.options.get('remote_ip', '?'))
    if interface.ofport is not None:
        words.append(f'ofport {interface.ofport}')
    if interface.mtu:
        words.append(f'MTU {interface.mtu}')
    if interface.link_state:
        words.append(f'link {interface.link_state}')
    if interface.error:
        words.append(interface.error)
    return f'{interface.name} ({", ".join(words)})'


def _vlan(port: model.Port) -> str:
    return f'VLAN {port.tag}' if port.tag is not None else ''


def text(graph: Graph) -> str:
    """Return a graph as a tree; what was shown is not shown again."""
    nodes = {node.id: node for node in graph.nodes}
    below: dict[str, list[tuple[str, str]]] = {}
    for parent, child, label in graph.edges:
        below.setdefault(parent, []).append((child, label))
    lines = [graph.nodes[0].label]
    shown = set()

    def show(id_: str, indent: str) -> None:
        shown.add(id_)
        children = below.get(id_, [])
        for index, (child, label) in enumerate(children):
            last = index == len(children) - 1
            tail = f' [{label}]' if label else ''
            again = f' {_("(see above)")}' if child in shown else ''
            branch = '`- ' if last else '|- '
            lines.append(f'{indent}{branch}{nodes[child].label}{tail}{again}')
            if child not in shown:
                show(child, indent + ('   ' if last else '|  '))

    show(graph.nodes[0].id, '')
    return '\n'.join(lines) + '\n'


_SHAPES = {
    'port': 'oval',
    'bridge': 'box3d',
    'linux': 'box3d',
    'mirror': 'note',
    'tunnel': 'cylinder',
}


def dot(graph: Graph) -> str:
    """Return a graph in the language of Graphviz."""
    names = {node.id: f'n{i}' for i, node in enumerate(graph.nodes)}
    lines = [
        'graph port {',
        '  node [fontname="sans", margin="0.2,0.1"];',
        '  edge [fontname="sans"];',
    ]
    for node in graph.nodes:
        shape = _SHAPES.get(node.kind, 'box')
        label = _wrapped(node.label)
        lines.append(f'  {names[node.id]} [shape={shape}, label={label}];')
    for parent, child, label in graph.edges:
        tail = f' [label={_quoted(label)}]' if label else ''
        lines.append(f'  {names[parent]} -- {names[child]}{tail};')
    return '\n'.join([*lines, '}']) + '\n'


def _wrapped(value: str) -> str:
    """Quote a label in lines that leave a picture narrow enough to read."""
    lines = textwrap.wrap(
        value, _WIDTH, break_long_words=False, break_on_hyphens=False
    )
    return r'\n'.join(_quoted(line)[1:-1] for line in lines).join('""')


def _quoted(value: str) -> str:
    escaped = value.replace('\\', '\\\\').replace('"', '\\"')
    return f'"{escaped}"'
