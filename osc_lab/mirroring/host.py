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

"""A host, and the ways to it; adapters of the access package fit in."""

import collections.abc
import dataclasses
import time
import typing

from osc_lab.mirroring import model


class Answer(typing.Protocol):
    """What a command gave back."""

    @property
    def status(self) -> int: ...

    @property
    def text(self) -> str: ...

    @property
    def stderr(self) -> str: ...


class Shell(typing.Protocol):
    """The shell of the host, see access.shell."""

    def run(
        self, command: collections.abc.Sequence[str], *, check: bool = ...
    ) -> Answer: ...


class Database(typing.Protocol):
    """The OVSDB of one host, as mirroring needs it."""

    def attachments(
        self, port_id: str
    ) -> collections.abc.Sequence[model.Attachment]:
        """Return where this Neutron port is plugged in, may be empty."""

    def mirrors(self) -> collections.abc.Sequence[model.Mirror]:
        """Return all mirrors with their bridges and output names."""

    def snapshot(self) -> model.Snapshot:
        """Return mirrors, our ports and bridges, all of one moment."""

    def port(
        self, name: str
    ) -> tuple[model.Port, model.Interface, str] | None:
        """Return a port, its first interface and its bridge's UUID."""

    def interface(self, name: str) -> model.Interface | None:
        """Return an interface by its name."""

    def mirror(self, uuid: str) -> model.Mirror | None:
        """Return a mirror by UUID, without its bridge."""

    def vlan_users(self, bridge: str, vlan: int) -> tuple[str, ...]:
        """Return names of ports with this VLAN on a bridge (UUID)."""

    def open_ports(self, bridge: str) -> tuple[str, ...]:
        """Return names of ports of Neutron with all VLANs of a bridge."""

    def overlays(self, kind: str, address: str) -> tuple[str, ...]:
        """Return names of tunnels of this kind with keys from flows."""

    def statistics(self, interface: str) -> collections.abc.Mapping[str, int]:
        """Return the statistics of an interface (UUID)."""

    def statistics_interval(self) -> float:
        """Return the seconds between two updates of statistics."""

    def transact(
        self,
        operations: collections.abc.Sequence[
            collections.abc.Mapping[str, typing.Any]
        ],
    ) -> collections.abc.Sequence[typing.Any]:
        """Carry out operations (RFC 7047, 5.2) as one transaction.

        :raises Stale: when a ``wait`` operation did not hold
        :raises Refused: when the database did nothing
        :raises AccessError: when nobody knows whether it did
        """


@dataclasses.dataclass(frozen=True)
class Host:
    """A host and the ways to it.

    :param shell: None without a shell channel
    :param local_db: how ovs-vsctl on the host finds the database, or ''
    """

    name: str
    database: Database
    shell: Shell | None = None
    local_db: str = ''


def changed(
    database: Database,
    interface: str,
    before: collections.abc.Mapping[str, int],
) -> tuple[collections.abc.Mapping[str, int], float]:
    """Wait until statistics change, for little more than one interval.

    :returns: the values, and the seconds that they are apart
    """
    interval = database.statistics_interval()
    limit = time.monotonic() + interval + 0.5
    while time.monotonic() < limit:
        after = database.statistics(interface)
        if dict(after) != dict(before):
            return after, interval
        time.sleep(0.1)
    return before, interval


def await_packets(
    database: Database, mirror: str, seconds: float
) -> model.Mirror | None:
    """Wait until a mirror (UUID) has copied a packet, or time is over."""
    limit = time.monotonic() + seconds
    while True:
        found = database.mirror(mirror)
        if found is None or found.packets or time.monotonic() >= limit:
            return found
        time.sleep(0.2)
