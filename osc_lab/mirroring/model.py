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

"""What mirroring talks about: ports of Neutron, rows of Open vSwitch.

Frozen facts; nothing here does I/O.  The names of columns and their
meaning are those of ovs-vswitchd.conf.db(5).
"""

import collections.abc
import dataclasses
import enum

from osc_lab import exceptions
from osc_lab.mirroring import marks as marks_

#: Mirrors that one bridge can have (MAX_MIRRORS in Open vSwitch).
MAX_MIRRORS = 32


class Stale(exceptions.Conflict):
    """A guard failed: what was read is no longer so; read it again."""


class Refused(exceptions.AccessError):
    """The database said no, and nothing was changed."""


class Direction(enum.StrEnum):
    """Which packets, as the VM sees them."""

    IN = 'in'
    OUT = 'out'
    BOTH = 'both'

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of Mirror that select these packets.

        The switch sends to the VM what is "in" for the VM, so "in" is
        select_dst_port.
        """
        return {
            Direction.IN: ('select_dst_port',),
            Direction.OUT: ('select_src_port',),
            Direction.BOTH: ('select_src_port', 'select_dst_port'),
        }[self]


@dataclasses.dataclass(frozen=True)
class NeutronPort:
    """A port as the API shows it to an administrator.

    :param id: UUID
    :param host: binding:host_id, empty while unbound
    :param vif_type: binding:vif_type
    :param vnic_type: binding:vnic_type
    :param subport: whether it is inside a trunk
    :param moving_to: the host that a live migration takes it to
    """

    id: str
    name: str = ''
    host: str = ''
    vif_type: str = ''
    vnic_type: str = 'normal'
    server: str = ''
    server_name: str = ''
    mac: str = ''
    subport: bool = False
    moving_to: str = ''


@dataclasses.dataclass(frozen=True)
class Interface:
    """A row of Interface.

    :param ofport: OpenFlow port; -1 when it could not be made, None
        while the switch has not looked at it
    :param mtu: bytes, None when unknown
    """

    uuid: str
    name: str
    type: str = ''
    ofport: int | None = None
    error: str = ''
    mtu: int | None = None
    link_state: str = ''
    external_ids: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )
    options: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )
    statistics: collections.abc.Mapping[str, int] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True)
class Port:
    """A row of Port.

    :param tag: VLAN of an access port
    :param trunks: VLANs of a port without a tag; empty for all
    :param interfaces: UUIDs
    """

    uuid: str
    name: str
    tag: int | None = None
    trunks: tuple[int, ...] = ()
    interfaces: tuple[str, ...] = ()
    external_ids: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )

    @property
    def marks(self) -> marks_.Marks | None:
        return marks_.decode(self.external_ids)

    @property
    def all_vlans(self) -> bool:
        """Whether what flows in any VLAN of the bridge goes to it, too."""
        return self.tag is None and not self.trunks


@dataclasses.dataclass(frozen=True)
class Bridge:
    """A row of Bridge, without its ports: they may be thousands.

    :param mirrors: UUIDs
    """

    uuid: str
    name: str
    datapath_type: str = ''
    fail_mode: str = ''
    mirrors: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Mirror:
    """A row of Mirror and the bridge that it belongs to.

    :param select_src: UUIDs of ports whose packets to the switch are
        selected, that is: what their VMs send
    :param select_dst: UUIDs of ports, for what their VMs receive
    :param output_port: UUID, or None
    :param output_name: name of that port, when it is known
    :param packets: tx_packets, None before the first statistics
    """

    uuid: str
    name: str
    bridge: str = ''
    bridge_uuid: str = ''
    select_all: bool = False
    select_src: tuple[str, ...] = ()
    select_dst: tuple[str, ...] = ()
    select_vlan: tuple[int, ...] = ()
    output_port: str | None = None
    output_name: str = ''
    output_vlan: int | None = None
    snaplen: int | None = None
    filter: str = ''
    packets: int | None = None
    bytes: int | None = None
    external_ids: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )

    @property
    def marks(self) -> marks_.Marks | None:
        return marks_.decode(self.external_ids)

    @property
    def selected(self) -> tuple[str, ...]:
        """UUIDs of all ports that it selects, each once."""
        return tuple(dict.fromkeys((*self.select_src, *self.select_dst)))


@dataclasses.dataclass(frozen=True)
class Attachment:
    """Where a Neutron port is plugged in: three rows.

    :param mirrors: all mirrors of the bridge
    """

    interface: Interface
    port: Port
    bridge: Bridge
    mirrors: tuple[Mirror, ...] = ()


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What mirrors consist of, as it was at one moment.

    :param own_ports: ports that carry our marks, and their bridges (UUIDs)
    """

    mirrors: collections.abc.Sequence[Mirror]
    own_ports: collections.abc.Sequence[tuple[Port, str]]
    bridges: collections.abc.Sequence[Bridge]
