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

#: Interfaces that are asked about; more tell a reader nothing new.
_MOST = 512

#: Seconds that Graphviz may take.
_DRAWING = 60


def facts(database: typing.Any, port_id: str) -> topology.Facts:
    """Return what the way of a port's packets is made of.

    :param database: an ovsdb.Database
    :param port_id: UUID of the Neutron port
    :raises AccessError: when the database does not answer
    """
    assert isinstance(database, ovsdb.Database)
    attachments = tuple(database.attachments(port_id))
    if not attachments:
        return topology.Facts((), (), ())
    kept = {found.bridge.uuid for found in attachments}
    uuids = []
    for kind in ('patch', *topology.TUNNELS):
        rows = database.select('Interface', [['type', '==', kind]], ['_uuid'])
        uuids += [row['_uuid'][1] for row in rows]
    for bridge in database.bridges():
        if bridge.name != _INTEGRATION and bridge.uuid not in kept:
            uuids += _interfaces(database, bridge.uuid)
    return topology.Facts(
        attachments,
        tuple(_plugs(database, list(dict.fromkeys(uuids))[:_MOST])),
        tuple(database.mirrors()),
    )


def _interfaces(database: ovsdb.Database, bridge: str) -> list[str]:
    """Return the interfaces (UUIDs) of a bridge (UUID)."""
    rows = database.select(
        'Bridge', [['_uuid', '==', transaction.uuid(bridge)]], ['ports']
    )
    ports = ovsdb_rows.set_of(rows[0]['ports'])[:_MOST] if rows else ()
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
    columns = ['_uuid', 'name', 'tag', 'trunks', 'vlan_mode', 'interfaces']
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
            _('--format-graph svg: there is no "dot" on this machine'),
            _('Install Graphviz, or use --format-graph dot.'),
        ) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise exceptions.AccessError(
            _('Graphviz failed: %s') % error,
            _('Use --format-graph dot.'),
        ) from error
    return done.stdout
