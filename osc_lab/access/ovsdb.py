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

"""The OVSDB of a host: questions and transactions of mirroring.

Rows are fetched by conditions and with the columns that are needed.
``Bridge.ports`` is never read: on a host with thousands of ports it is
the one value that is large.
"""

import collections.abc
import contextlib
import typing

from osc_lab.access import jsonrpc
from osc_lab.access import ovsdb_rows as rows_
from osc_lab.access import shell
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import transaction

_SCHEMA = 'Open_vSwitch'

#: Where ovsdb-server listens unless told otherwise, see ovs-vsctl(8).
SOCKET = '/run/openvswitch/db.sock'

_INTERFACE = [
    '_uuid',
    'name',
    'type',
    'ofport',
    'error',
    'mtu',
    'link_state',
    'external_ids',
    'options',
    'statistics',
]
_PORT = [
    *('_uuid', 'name', 'tag', 'trunks', 'interfaces', 'external_ids'),
]
_BRIDGE = ['_uuid', 'name', 'datapath_type', 'fail_mode', 'mirrors']

_Row = dict[str, typing.Any]
_Question = tuple[str, list[typing.Any], list[str] | None]

_MIRRORS: tuple[_Question, _Question] = (
    ('Mirror', [], None),
    ('Bridge', [], _BRIDGE),
)
_OWN_PORTS: _Question = (
    'Port',
    [['external_ids', 'includes', rows_.map_of(marks.OWNER, marks.OURS)]],
    _PORT,
)


@contextlib.contextmanager
def connect(
    host: channels.Host, settings: channels.Channels
) -> typing.Iterator['Database']:
    """Connect to the OVSDB of a host.

    :raises AccessError: when there is no channel, or nobody answers
    """
    if not host.ovsdb:
        raise exceptions.AccessError(
            _('There is no way to the OVSDB of %s') % host.name,
            _('Use --ovsdb, or --ssh.'),
        )
    files = jsonrpc.Files(
        settings.ovsdb_ca_cert, settings.ovsdb_cert, settings.ovsdb_key
    )
    with contextlib.ExitStack() as stack:
        remote = host.ovsdb
        if remote == 'ssh' or remote.startswith('ssh:'):
            path = remote.partition(':')[2] or SOCKET
            forward = shell.Shell(host, settings).forward(path)
            remote = f'unix:{stack.enter_context(forward)}'
        connection = jsonrpc.Connection(
            remote, host.name, files, settings.deadline
        )
        stack.enter_context(connection)
        yield Database(connection, host.name)


class Database:
    """Implements mirroring.host.Database over a connection."""

    def __init__(self, connection: jsonrpc.Connection, host: str) -> None:
        self.connection = connection
        self._host = host

    def transact(
        self,
        operations: collections.abc.Sequence[
            collections.abc.Mapping[str, typing.Any]
        ],
    ) -> list[typing.Any]:
        """Carry out operations as one transaction.

        :returns: one result for each operation
        :raises Stale: when a ``wait`` operation did not hold
        :raises Refused: when the database did nothing
        :raises AccessError: when nobody knows whether it did
        """
        results = self.connection.call('transact', [_SCHEMA, *operations])
        if not isinstance(results, list):
            raise self._odd()
        for result in results:
            if isinstance(result, dict) and result.get('error'):
                error = str(result['error'])
                details = str(result.get('details') or '')
                if error == 'timed out':
                    raise model.Stale(
                        _('The bridge on %s was changed meanwhile')
                        % self._host,
                        _('Try again.'),
                    )
                raise self._refused(error, details)
        if len(results) < len(operations) or not all(
            rows_.good(operation, result)
            for operation, result in zip(operations, results, strict=False)
            if operation['op'] == 'select'
        ):
            raise self._odd()
        return results

    def _odd(self) -> exceptions.AccessError:
        return exceptions.AccessError(
            _('OVSDB on %s gave an answer that is not of its schema')
            % self._host
        )

    def _refused(self, error: str, details: str) -> model.Refused:
        remedy = ''
        if 'permission' in error or 'read' in details.lower():
            remedy = _('The connection may be read-only; see --ovsdb.')
        elif details.startswith('No column'):
            remedy = _('The Open vSwitch of this host is too old for that.')
        return model.Refused(
            _('OVSDB on %(host)s refused: %(error)s')
            % {
                'host': self._host,
                'error': f'{error}: {details}' if details else error,
            },
            remedy,
        )

    def select(
        self,
        table: str,
        where: list[typing.Any],
        columns: list[str] | None = None,
    ) -> list[_Row]:
        """Return the rows of a table that meet the conditions."""
        return self._select_all([(table, where, columns)])[0]

    def _select_all(
        self, wanted: collections.abc.Sequence[_Question]
    ) -> list[list[_Row]]:
        """Return the answers of several questions, in one exchange."""
        if not wanted:
            return []
        operations = []
        for table, where, columns in wanted:
            operation = {'op': 'select', 'table': table, 'where': where}
            if columns:
                operation['columns'] = columns
            operations.append(operation)
        return [result['rows'] for result in self.transact(operations)]

    def attachments(self, port_id: str) -> list[model.Attachment]:
        """Return where this Neutron port is plugged in, may be empty."""
        rows = self.select(
            'Interface',
            [['external_ids', 'includes', rows_.map_of('iface-id', port_id)]],
            _INTERFACE,
        )
        found = []
        for interface in map(rows_.interface_of, rows):
            port, bridge = self._above(interface.uuid)
            if port and bridge:
                found.append((interface, port, bridge))
        mirrors = self.mirrors() if found else []
        return [
            model.Attachment(
                interface,
                port,
                bridge,
                tuple(m for m in mirrors if m.bridge_uuid == bridge.uuid),
            )
            for interface, port, bridge in found
        ]

    def _above(
        self, interface: str
    ) -> tuple[model.Port | None, model.Bridge | None]:
        """Return the port and the bridge of an interface (UUID)."""
        rows = self.select(
            'Port',
            [['interfaces', 'includes', transaction.uuid(interface)]],
            _PORT,
        )
        if not rows:
            return None, None
        port = rows_.port_of(rows[0])
        bridge = self.bridge_with(port.uuid)
        return port, bridge

    def bridge_with(self, port: str) -> model.Bridge | None:
        """Return the bridge that has this port (UUID)."""
        rows = self.select(
            'Bridge',
            [['ports', 'includes', transaction.uuid(port)]],
            _BRIDGE,
        )
        return rows_.bridge_of(rows[0]) if rows else None

    def bridges(self) -> list[model.Bridge]:
        return [
            rows_.bridge_of(row) for row in self.select('Bridge', [], _BRIDGE)
        ]

    def mirrors(self) -> list[model.Mirror]:
        """Return all mirrors with their bridges and output names."""
        rows, bridges = self._select_all(_MIRRORS)
        return self._mirrors(rows, map(rows_.bridge_of, bridges))

    def snapshot(self) -> model.Snapshot:
        """Return mirrors, our ports and bridges, all of one moment.

        A mirror and its port are made in one transaction: read one after
        the other, a port could be there whose mirror was not yet.
        """
        rows, bridge_rows, ports = self._select_all([*_MIRRORS, _OWN_PORTS])
        bridges = [rows_.bridge_of(row) for row in bridge_rows]
        return model.Snapshot(
            self._mirrors(rows, bridges),
            self._with_homes([rows_.port_of(row) for row in ports]),
            bridges,
        )

    def _mirrors(
        self, rows: list[_Row], bridges: collections.abc.Iterable[model.Bridge]
    ) -> list[model.Mirror]:
        homes = {
            mirror: bridge for bridge in bridges for mirror in bridge.mirrors
        }
        outputs = [
            rows_.uuid_of(row['output_port'])
            for row in rows
            if rows_.uuid_of(row['output_port'])
        ]
        names = self.port_names([uuid for uuid in outputs if uuid])
        return [
            rows_.mirror_of(row, homes.get(row['_uuid'][1]), names)
            for row in rows
        ]

    def port_names(
        self, uuids: collections.abc.Iterable[str]
    ) -> dict[str, str]:
        """Return names of ports by UUID; what is gone is left out."""
        answers = self._select_all(
            [
                (
                    'Port',
                    [['_uuid', '==', transaction.uuid(uuid)]],
                    ['_uuid', 'name'],
                )
                for uuid in dict.fromkeys(uuids)
            ]
        )
        return {
            row['_uuid'][1]: row['name'] for rows in answers for row in rows
        }

    def _with_homes(
        self, ports: list[model.Port]
    ) -> list[tuple[model.Port, str]]:
        """Return ports and their bridges (UUIDs); what is gone is not."""
        answers = self._select_all(
            [
                (
                    'Bridge',
                    [['ports', 'includes', transaction.uuid(port.uuid)]],
                    ['_uuid'],
                )
                for port in ports
            ]
        )
        return [
            (port, bridge[0]['_uuid'][1])
            for port, bridge in zip(ports, answers, strict=True)
            if bridge
        ]

    def port(
        self, name: str
    ) -> tuple[model.Port, model.Interface, str] | None:
        """Return a port, its first interface and its bridge's UUID."""
        rows = self.select('Port', [['name', '==', name]], _PORT)
        if not rows:
            return None
        port = rows_.port_of(rows[0])
        bridge = self.bridge_with(port.uuid)
        interfaces = self.interfaces(port.interfaces[:1])
        if not bridge or not interfaces:
            return None
        return port, interfaces[0], bridge.uuid

    def interfaces(
        self, uuids: collections.abc.Iterable[str]
    ) -> list[model.Interface]:
        """Return interfaces by UUID; what is gone is left out."""
        answers = self._select_all(
            [
                (
                    'Interface',
                    [['_uuid', '==', transaction.uuid(uuid)]],
                    _INTERFACE,
                )
                for uuid in uuids
            ]
        )
        return [rows_.interface_of(row) for rows in answers for row in rows]

    def interface(self, name: str) -> model.Interface | None:
        """Return an interface by its name."""
        rows = self.select('Interface', [['name', '==', name]], _INTERFACE)
        return rows_.interface_of(rows[0]) if rows else None

    def vlan_users(self, bridge: str, vlan: int) -> tuple[str, ...]:
        """Return names of ports with this VLAN on a bridge (UUID)."""
        rows = self.select('Port', [['tag', '==', vlan]], ['_uuid', 'name'])
        return tuple(row['name'] for row in self._on(bridge, rows))

    def open_ports(self, bridge: str) -> tuple[str, ...]:
        """Return names of ports of Neutron with all VLANs of a bridge.

        :param bridge: UUID
        """
        rows = self.select(
            'Port',
            [['tag', '==', ['set', []]], ['trunks', '==', ['set', []]]],
            ['_uuid', 'name', 'interfaces'],
        )
        here = {
            uuid: row['name']
            for row in self._on(bridge, rows)
            for uuid in rows_.set_of(row['interfaces'])
        }
        return tuple(
            here[interface.uuid]
            for interface in self.interfaces(here)
            if 'iface-id' in interface.external_ids
        )

    def overlays(self, kind: str, address: str) -> tuple[str, ...]:
        """Return names of tunnels of this kind with keys from flows.

        :param kind: type of Interface
        :param address: of the other end
        """
        rows = self.select(
            'Interface',
            [
                ['type', '==', kind],
                ['options', 'includes', rows_.map_of('remote_ip', address)],
            ],
            ['name', 'options'],
        )
        return tuple(
            row['name']
            for row in rows
            if 'flow'
            in map(rows_.dict_of(row['options']).get, ('key', 'in_key'))
        )

    def _on(self, bridge: str, rows: list[_Row]) -> list[_Row]:
        """Return those of the rows of Port that a bridge (UUID) has."""
        answers = self._select_all(
            [
                (
                    'Bridge',
                    [
                        ['_uuid', '==', transaction.uuid(bridge)],
                        [
                            'ports',
                            'includes',
                            transaction.uuid(row['_uuid'][1]),
                        ],
                    ],
                    ['_uuid'],
                )
                for row in rows[:1000]
            ]
        )
        return [
            row for row, found in zip(rows, answers, strict=False) if found
        ]

    def statistics(self, interface: str) -> dict[str, int]:
        """Return the statistics of an interface (UUID)."""
        rows = self.select(
            'Interface',
            [['_uuid', '==', transaction.uuid(interface)]],
            ['statistics'],
        )
        return rows_.numbers_of(rows[0]['statistics']) if rows else {}

    def mirror(self, uuid: str) -> model.Mirror | None:
        """Return a mirror by UUID, without its bridge."""
        rows = self.select('Mirror', [['_uuid', '==', transaction.uuid(uuid)]])
        return rows_.mirror_of(rows[0], None, {}) if rows else None

    def statistics_interval(self) -> float:
        """Return the seconds between two updates of statistics."""
        rows = self.select('Open_vSwitch', [], ['other_config'])
        config = rows_.dict_of(rows[0]['other_config']) if rows else {}
        value = config.get('stats-update-interval', '5000')
        return max(5000, int(value) if value.isdigit() else 5000) / 1000
