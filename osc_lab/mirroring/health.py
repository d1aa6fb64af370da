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

"""Whether a mirror does its work, and who made it."""

import collections.abc
import dataclasses
import datetime
import enum
import re

from osc_lab.mirroring import marks as marks_
from osc_lab.mirroring import model


class Health(enum.StrEnum):
    """The column of that name, worst first."""

    EXPIRED = 'expired'
    ORPHAN = 'orphan'
    NO_OUTPUT = 'no-output'
    BLIND = 'blind'
    IDLE = 'idle'
    OK = 'ok'
    FOREIGN = 'foreign'
    UNREACHABLE = 'unreachable'


#: What ``prune --orphans`` removes: they cannot mend themselves.
FORGOTTEN = frozenset((Health.ORPHAN, Health.NO_OUTPUT, Health.BLIND))


class Owner(enum.StrEnum):
    """The column of that name: who made a mirror, as far as rows tell."""

    OSC_LAB = 'osc-lab'
    OVN = 'ovn'
    TCPDUMP = 'ovs-tcpdump'
    RECIPE = 'recipe'
    TAAS = 'taas'
    UNKNOWN = 'unknown'


#: Left-overs that ``prune --foreign`` may remove.
REMOVABLE = (Owner.TCPDUMP, Owner.RECIPE)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A mirror on a host, or a port of ours that lost its mirror.

    :param mirror: None when only the port is left
    :param ports: our ports that belong to it, UUIDs
    :param health: what hurts most
    :param problems: all that is wrong
    :param unseen: whether nobody can tell if the port of Neutron is there:
        the caller does not see it, and may not see all; or if it is on
        another host: the mirror is misplaced
    """

    host: str
    mirror: model.Mirror | None
    ports: tuple[model.Port, ...]
    bridge: str
    bridge_uuid: str
    owner: Owner
    health: Health
    problems: frozenset[Health]
    unseen: bool = False

    @property
    def port(self) -> str:
        """The port of Neutron that is mirrored, '' when unknown."""
        marks = self.mirror.marks if self.mirror else None
        return marks.port if marks else ''

    @property
    def misplaced(self) -> bool:
        """Whether it was made on another host, so this may be that one."""
        marks = self.mirror.marks if self.mirror else None
        return marks is not None and marks.host != self.host


def owner(mirror: model.Mirror) -> Owner:
    """Return who made a mirror.

    The recipe of many pages makes a device that ends in "-tcpdump".
    """
    if mirror.marks:
        return Owner.OSC_LAB
    if mirror.external_ids.get('ovn-owned') == 'true':
        return Owner.OVN
    if _of_tcpdump(mirror):
        return Owner.TCPDUMP
    if mirror.output_name.endswith('-tcpdump'):
        return Owner.RECIPE
    if any('taas' in key.lower() for key in mirror.external_ids):
        return Owner.TAAS
    return Owner.UNKNOWN


def _of_tcpdump(mirror: model.Mirror) -> bool:
    """Return whether a mirror has exactly the names of ovs-tcpdump.

    It names the mirror "m_" and its device "mi" after the interface, or
    "ovsmi" and six digits.  One that lost its device has no output.
    """
    if not mirror.name.startswith('m_'):
        return False
    if mirror.output_port is None:
        return mirror.output_vlan is None
    return mirror.output_name == 'mi' + mirror.name[2:] or bool(
        re.fullmatch(r'ovsmi[0-9]{6}', mirror.output_name)
    )


def judge(
    mirror: model.Mirror,
    now: datetime.datetime,
) -> frozenset[Health]:
    """Return what the rows show to be wrong, empty when nothing is."""
    problems = set()
    marks = mirror.marks
    if marks and marks.expired(now):
        problems.add(Health.EXPIRED)
    if mirror.output_port is None and mirror.output_vlan is None:
        problems.add(Health.NO_OUTPUT)
    if not (mirror.select_all or mirror.selected or mirror.select_vlan):
        problems.add(Health.BLIND)
    return frozenset(problems)


def worst(problems: frozenset[Health], packets: int | None) -> Health:
    """Return the one word for the column."""
    for health in Health:
        if health in problems:
            return health
    return Health.OK if packets else Health.IDLE


def entries(
    host: str,
    mirrors: collections.abc.Sequence[model.Mirror],
    own_ports: collections.abc.Sequence[tuple[model.Port, str]],
    now: datetime.datetime,
    bridges: collections.abc.Mapping[str, str],
) -> list[Entry]:
    """Return all mirrors of a host, foreign ones as well.

    :param own_ports: ports with our marks and their bridges (UUIDs)
    :param bridges: names by UUID
    """
    found = []
    left = {
        port.uuid: (port, bridge) for port, bridge in own_ports if port.marks
    }
    for mirror in mirrors:
        marks = mirror.marks
        ports = tuple(
            port
            for port, bridge in left.values()
            if marks
            and port.marks
            and port.marks.id == marks.id
            and bridge == mirror.bridge_uuid
        )
        for port in ports:
            del left[port.uuid]
        problems = judge(mirror, now)
        found.append(
            Entry(
                host,
                mirror,
                ports,
                mirror.bridge,
                mirror.bridge_uuid,
                owner(mirror),
                worst(problems, mirror.packets) if marks else Health.FOREIGN,
                problems,
            )
        )
    found += [
        _lost(host, port, bridges.get(bridge, ''), bridge, now)
        for port, bridge in left.values()
    ]
    return found


def with_ports(
    found: collections.abc.Iterable[Entry],
    neutron: collections.abc.Mapping[str, model.NeutronPort],
    hosts: collections.abc.Container[str],
) -> list[Entry]:
    """Return the entries, judged again with the ports of the API.

    Neutron leaves out what the caller may not see.  An administrator sees
    the agents, too: only then a port that is not shown is gone.  A port on
    another host has moved away from a mirror that was made here: a channel
    that leads to another host than it should shows the mirrors of that one.

    :param neutron: by id, the ports that are shown with their hosts
    :param hosts: those whose agents Neutron shows
    """
    judged = []
    for entry in found:
        marks = entry.mirror.marks if entry.mirror else None
        if entry.mirror and marks:
            problems = set(entry.problems)
            port = neutron.get(marks.port)
            unseen = _unseen(entry, port, hosts)
            if not unseen and _gone(marks, entry.host, port):
                problems.add(Health.ORPHAN)
            entry = dataclasses.replace(
                entry,
                problems=frozenset(problems),
                health=worst(frozenset(problems), entry.mirror.packets),
                unseen=unseen,
            )
        judged.append(entry)
    return judged


def _unseen(
    entry: Entry,
    port: model.NeutronPort | None,
    hosts: collections.abc.Container[str],
) -> bool:
    """Return whether nobody can tell if a mirror's port is gone or moved."""
    if port is None:
        return entry.host not in hosts
    return entry.misplaced and entry.host not in (port.host, port.moving_to)


def _gone(
    marks: marks_.Marks,
    host: str,
    port: model.NeutronPort | None,
) -> bool:
    """Return whether a mirror's port is gone, moved or another server's."""
    return (
        port is None
        or host not in (port.host, port.moving_to)
        or bool(marks.server and port.server != marks.server)
    )


def _lost(
    host: str,
    port: model.Port,
    bridge: str,
    bridge_uuid: str,
    now: datetime.datetime,
) -> Entry:
    """Return the entry of a port whose mirror somebody removed."""
    problems = {Health.BLIND}
    if port.marks and port.marks.expired(now):
        problems.add(Health.EXPIRED)
    return Entry(
        host,
        None,
        (port,),
        bridge,
        bridge_uuid,
        Owner.OSC_LAB,
        worst(frozenset(problems), None),
        frozenset(problems),
    )


def to_prune(
    found: collections.abc.Iterable[Entry],
    expired: bool,
    orphans: bool,
    foreign: bool,
) -> list[Entry]:
    """Return the entries that prune removes."""
    chosen = []
    for entry in found:
        if entry.owner is not Owner.OSC_LAB:
            if foreign and entry.owner in REMOVABLE:
                chosen.append(entry)
        elif (expired and Health.EXPIRED in entry.problems) or (
            orphans and entry.problems & FORGOTTEN
        ):
            chosen.append(entry)
    return chosen
