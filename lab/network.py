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

"""The lab's own networks: a switch, and two cables to every host.

``eth0`` of a host is on the management network and has its address there.
``eth1`` is on the tunnel underlay and has none: it becomes a port of a
userspace bridge that owns the address, because Open vSwitch sends its
tunnels only through bridges of its own.
"""

import collections.abc
import pathlib

from lab import machine
from lab import model

#: The machine that holds nothing but the two bridges.
SWITCH = machine.Machine('switch', ('net',))

#: Interface of a host -> bridge in the switch.
CABLES = {'eth0': 'mgmt', 'eth1': 'underlay'}

#: What libvirt gives to QEMU for migrations.  They lie within the range
#: that Linux takes for clients, so a host keeps them out of it: otherwise
#: a rule for migrations now and then hits a service's connection.
MIGRATION_PORTS = '49152-49215'

_RESERVED = '/proc/sys/net/ipv4/ip_local_reserved_ports'

_LISTEN = '0A'


def _links(layout: model.Layout, name: str) -> set[str]:
    listing = machine.run(layout, name, ['ip', '-o', 'link']).stdout
    return {
        line.split(':')[1].strip().partition('@')[0]
        for line in listing.splitlines()
    }


def _batch(
    layout: model.Layout, name: str, lines: collections.abc.Iterable[str]
) -> None:
    text = '\n'.join(lines) + '\n'
    machine.run(layout, name, ['ip', '-batch', '-'], stdin=text)


def no_offload(layout: model.Layout, name: str, link: str) -> None:
    """Have checksums computed: the userspace datapath needs them."""
    argv = ['ethtool', '-K', link, 'tx', 'off']
    machine.run(layout, name, argv, check=False)


def start_switch(layout: model.Layout) -> None:
    """Make the switch and its bridges, whatever is there already."""
    machine.start(layout, SWITCH)
    missing = set(CABLES.values()) - _links(layout, SWITCH.name)
    for bridge in sorted(missing):
        _batch(
            layout,
            SWITCH.name,
            [f'link add {bridge} type bridge', f'link set {bridge} up'],
        )
        no_offload(layout, SWITCH.name, bridge)


def plug(layout: model.Layout, host: str) -> None:
    """Connect a running host with the switch, if it is not yet.

    :raises machine.MachineError: a command failed
    """
    pid = machine.init_pid(layout, host)
    there = _links(layout, host)
    stale = _links(layout, SWITCH.name)
    for link, bridge in CABLES.items():
        if link in there:
            continue
        peer = f'{host}-{link}'
        lines = [
            f'link add {peer} type veth peer name {link} netns {pid}',
            f'link set {peer} master {bridge} up',
        ]
        if peer in stale:
            lines.insert(0, f'link del {peer}')
        _batch(layout, SWITCH.name, lines)
        no_offload(layout, SWITCH.name, peer)
        no_offload(layout, host, link)
    machine.run(layout, host, ['tee', _RESERVED], stdin=MIGRATION_PORTS)
    address = layout.host_address(host)
    _batch(
        layout,
        host,
        [
            f'addr replace {address}/24 dev eth0',
            'link set eth0 up',
            'link set eth1 up',
        ],
    )


def parse_listeners(table: str) -> set[tuple[str, int]]:
    """(address, port) of each listening socket in /proc/PID/net/tcp."""
    found = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] != _LISTEN:
            continue
        number, _, port = fields[1].partition(':')
        octets = reversed(bytes.fromhex(number))
        found.add(('.'.join(map(str, octets)), int(port, 16)))
    return found


def listeners(pid: int | str = 'self') -> set[tuple[str, int]]:
    """(address, port) of each listening IPv4 socket of a namespace.

    :param pid: any process in the network namespace
    """
    try:
        table = pathlib.Path(f'/proc/{pid}/net/tcp').read_text()
    except OSError:
        return set()
    return parse_listeners(table)


def listening(layout: model.Layout, name: str, port: int) -> bool:
    """Whether anything inside a machine listens on a port, for IPv4."""
    pid = machine.init_pid(layout, name)
    if pid is None:
        return False
    return any(p == port for _, p in listeners(pid))
