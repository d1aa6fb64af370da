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

"""Read what topology shows from the OVSDB of a host."""

import collections
import subprocess
import typing

from osc_lab.access import ovsdb
from osc_lab.access import ovsdb_rows
from osc_lab.access import shell
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import topology
from osc_lab.mirroring import transaction

#: Where the VMs are: its ports may be thousands, and are not read.
_INTEGRATION = 'br-int'

#: How Neutron begins the names of bridges of trunks (trunk.ovsdb.constants).
_TRUNK = 'tbr-'

#: Interfaces that are asked about; more tell a reader nothing new.
_MOST = 512

#: Seconds that Graphviz may take.
_DRAWING = 60


def facts(database: ovsdb.Database, port_id: str) -> topology.Facts:
    """Return what the way of a port's packets is made of.

    :param port_id: UUID of the Neutron port
    :raises AccessError: when the database does not answer
    """
    attachments = tuple(database.attachments(port_id))
    if not attachments:
        return topology.Facts((), (), ())
    patches = _Patches(database)
    own = [
        end
        for found in attachments
        for end in patches.ends(found.interface.uuid)
    ]
    trunks = {_home(database, end) for end in own}
    kept = {found.bridge.uuid for found in attachments}
    homes: dict[str, str] = {}
    integration = ''
    for bridge in database.bridges():
        trunk = bridge.name.startswith(_TRUNK)
        if trunk and bridge.uuid not in trunks | kept:
            continue
        if not trunk and (bridge.name == _INTEGRATION or bridge.uuid in kept):
            integration = bridge.uuid
            continue
        here = _interfaces(database, bridge.uuid)
        homes.update(dict.fromkeys(here, bridge.uuid))
        if trunk:
            own += [end for uuid in here for end in patches.ends(uuid)]
    tunnels = _tunnels(database)
    # What leads somewhere comes first: the rest may be cut.
    wanted = dict.fromkeys((*own, *patches.of_bridges(), *homes))
    uuids = [uuid for uuid in wanted if uuid not in tunnels] + list(tunnels)
    return topology.Facts(
        attachments,
        tuple(_plugs(database, uuids[:_MOST])),
        tuple(database.mirrors()),
        collections.Counter(
            (homes.get(uuid, integration), tunnels.get(uuid, ''))
            for uuid in uuids[_MOST:]
        ),
    )


def _tunnels(database: ovsdb.Database) -> dict[str, str]:
    """Return interface (UUID) -> type of all tunnels."""
    return {
        row['_uuid'][1]: kind
        for kind in topology.TUNNELS
        for row in database.select(
            'Interface', [['type', '==', kind]], ['_uuid']
        )
    }


def _home(database: ovsdb.Database, interface: str) -> str:
    """Return the bridge (UUID) of an interface (UUID), maybe none."""
    rows = database.select(
        'Port',
        [['interfaces', 'includes', transaction.uuid(interface)]],
        ['_uuid'],
    )
    bridge = database.bridge_with(rows[0]['_uuid'][1]) if rows else None
    return bridge.uuid if bridge else ''


class _Patches:
    """All patches of a host; those of trunks have the id of a port."""

    def __init__(self, database: ovsdb.Database) -> None:
        self._rows = {
            row['_uuid'][1]: row
            for row in database.select(
                'Interface',
                [['type', '==', 'patch']],
                ['_uuid', 'name', 'options', 'external_ids'],
            )
        }
        self._names = {row['name']: uuid for uuid, row in self._rows.items()}

    def ends(self, uuid: str) -> list[str]:
        """Return the UUIDs of both ends of a patch; none is no error."""
        if uuid not in self._rows:
            return []
        options = dict(self._rows[uuid]['options'][1])
        peer = self._names.get(options.get('peer', ''))
        return [uuid, peer] if peer else [uuid]

    def of_bridges(self) -> list[str]:
        """Return those between bridges that are not of trunks."""
        return [
            uuid
            for uuid in self._rows
            if not any(
                'iface-id' in dict(self._rows[end]['external_ids'][1])
                for end in self.ends(uuid)
            )
        ]


def _interfaces(database: ovsdb.Database, bridge: str) -> list[str]:
    """Return the interfaces (UUIDs) of a bridge (UUID)."""
    rows = database.select(
        'Bridge', [['_uuid', '==', transaction.uuid(bridge)]], ['ports']
    )
    ports = ovsdb_rows.set_of(rows[0]['ports']) if rows else ()
    operations = [
        {
            'op': 'select',
            'table': 'Port',
            'where': [['_uuid', '==', transaction.uuid(port)]],
            'columns': ['interfaces'],
        }
        for port in ports
    ]
    if not operations:
        return []
    return [
        interface
        for result in database.transact(operations)
        for row in result['rows']
        for interface in ovsdb_rows.set_of(row['interfaces'])
    ]


def _plugs(
    database: ovsdb.Database, uuids: list[str]
) -> typing.Iterator[topology.Plug]:
    if not uuids:
        return
    columns = ['_uuid', 'name', 'tag', 'trunks', 'interfaces']
    results = database.transact(
        [
            {
                'op': 'select',
                'table': 'Port',
                'where': [['interfaces', 'includes', transaction.uuid(uuid)]],
                'columns': [*columns, 'external_ids'],
            }
            for uuid in uuids
        ]
    )
    ports = {
        uuid: ovsdb_rows.port_of(result['rows'][0])
        for uuid, result in zip(uuids, results, strict=True)
        if result['rows']
    }
    results = database.transact(
        [
            {
                'op': 'select',
                'table': 'Bridge',
                'where': [['ports', 'includes', transaction.uuid(port.uuid)]],
                'columns': ['_uuid'],
            }
            for port in ports.values()
        ]
    )
    homes = {
        uuid: result['rows'][0]['_uuid'][1]
        for uuid, result in zip(ports, results, strict=True)
        if result['rows']
    }
    bridges = {bridge.uuid: bridge for bridge in database.bridges()}
    for interface in database.interfaces(ports):
        home = bridges.get(homes.get(interface.uuid, ''))
        if home is not None:
            yield topology.Plug(interface, ports[interface.uuid], home)


def picture(dot: str) -> str:
    """Return a graph drawn by Graphviz, as SVG.

    :raises AccessError: when Graphviz is missing or fails
    """
    try:
        done = subprocess.run(
            ['dot', '-Tsvg'],
            input=dot,
            capture_output=True,
            text=True,
            encoding='utf-8',
            timeout=_DRAWING,
            check=True,
            env=shell.environment(),
        )
    except FileNotFoundError as error:
        raise exceptions.AccessError(
            _('--graph-format svg: there is no "dot" on this machine'),
            _('Install Graphviz, or use --graph-format dot.'),
        ) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise exceptions.AccessError(
            _('Graphviz failed: %s') % error,
            _('Use --graph-format dot.'),
        ) from error
    return done.stdout
