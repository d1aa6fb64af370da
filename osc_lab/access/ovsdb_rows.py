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

"""Rows of OVSDB, as RFC 7047 (5.1) writes them, and as we know them."""

import collections.abc
import typing

from osc_lab.mirroring import model

_Row = dict[str, typing.Any]

_Check = collections.abc.Callable[[typing.Any], bool]


def _text(value: typing.Any) -> bool:
    return isinstance(value, str)


def _number(value: typing.Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _uuid(value: typing.Any) -> bool:
    return _pair(value, 'uuid') and isinstance(value[1], str)


def _pair(value: typing.Any, head: str) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] == head


def _set(atom: _Check) -> _Check:
    def check(value: typing.Any) -> bool:
        if not _pair(value, 'set'):
            return atom(value)
        return isinstance(value[1], list) and all(map(atom, value[1]))

    return check


def _map(atom: _Check) -> _Check:
    def check(value: typing.Any) -> bool:
        return (
            _pair(value, 'map')
            and isinstance(value[1], list)
            and all(
                isinstance(item, list)
                and len(item) == 2
                and isinstance(item[0], str)
                and atom(item[1])
                for item in value[1]
            )
        )

    return check


#: What the schema says of the columns that we read.
_COLUMNS: dict[str, _Check] = {
    '_uuid': _uuid,
    **dict.fromkeys(('name', 'type', 'datapath_type'), _text),
    **dict.fromkeys(
        ('error', 'link_state', 'fail_mode', 'filter'),
        _set(_text),
    ),
    **dict.fromkeys(
        ('ofport', 'mtu', 'tag', 'trunks', 'select_vlan', 'output_vlan'),
        _set(_number),
    ),
    **dict.fromkeys(
        ('interfaces', 'ports', 'mirrors', 'output_port'), _set(_uuid)
    ),
    **dict.fromkeys(('select_src_port', 'select_dst_port'), _set(_uuid)),
    **dict.fromkeys(('external_ids', 'options', 'other_config'), _map(_text)),
    'statistics': _map(_number),
    'snaplen': _set(_number),
    'select_all': lambda value: isinstance(value, bool),
}

#: Columns of Mirror that every release has.
_MIRROR = (
    *('_uuid', 'name', 'select_all', 'select_src_port', 'select_dst_port'),
    *('select_vlan', 'output_port', 'output_vlan', 'statistics'),
    'external_ids',
)


def good(
    operation: collections.abc.Mapping[str, typing.Any], result: typing.Any
) -> bool:
    """Return whether a result is what the schema promises for a select."""
    rows = result.get('rows') if isinstance(result, dict) else None
    if not isinstance(rows, list):
        return False
    wanted = operation.get('columns') or _MIRROR
    return all(
        isinstance(row, dict)
        and all(column in row for column in wanted)
        and all(
            _COLUMNS[column](value)
            for column, value in row.items()
            if column in _COLUMNS
        )
        for row in rows
    )


def map_of(key: str, value: str) -> list[typing.Any]:
    return ['map', [[key, value]]]


def uuid_of(value: typing.Any) -> str | None:
    """Return the UUID of an optional reference."""
    found = set_of(value)
    return found[0] if found else None


def set_of(value: typing.Any) -> tuple[typing.Any, ...]:
    """Return the elements of a column; a single one stands alone."""
    if isinstance(value, list) and value and value[0] == 'set':
        return tuple(_plain(item) for item in value[1])
    return (_plain(value),)


def _plain(value: typing.Any) -> typing.Any:
    if isinstance(value, list) and value and value[0] == 'uuid':
        return value[1]
    return value


def dict_of(value: typing.Any) -> dict[str, str]:
    return {str(key): str(item) for key, item in value[1]}


def numbers_of(value: typing.Any) -> dict[str, int]:
    return {str(key): int(item) for key, item in value[1]}


def _one(value: typing.Any) -> typing.Any:
    found = set_of(value)
    return found[0] if found else None


def interface_of(row: _Row) -> model.Interface:
    return model.Interface(
        uuid=row['_uuid'][1],
        name=row['name'],
        type=row['type'],
        ofport=_one(row['ofport']),
        error=_one(row['error']) or '',
        mtu=_one(row['mtu']),
        link_state=_one(row['link_state']) or '',
        external_ids=dict_of(row['external_ids']),
        options=dict_of(row['options']),
        statistics=numbers_of(row['statistics']),
    )


def port_of(row: _Row) -> model.Port:
    return model.Port(
        uuid=row['_uuid'][1],
        name=row['name'],
        tag=_one(row['tag']),
        trunks=set_of(row['trunks']),
        interfaces=set_of(row['interfaces']),
        external_ids=dict_of(row['external_ids']),
    )


def bridge_of(row: _Row) -> model.Bridge:
    return model.Bridge(
        uuid=row['_uuid'][1],
        name=row['name'],
        datapath_type=row['datapath_type'],
        fail_mode=_one(row['fail_mode']) or '',
        mirrors=set_of(row['mirrors']),
    )


def mirror_of(
    row: _Row,
    bridge: model.Bridge | None,
    names: collections.abc.Mapping[str, str],
) -> model.Mirror:
    statistics = numbers_of(row['statistics'])
    output = uuid_of(row['output_port'])
    return model.Mirror(
        uuid=row['_uuid'][1],
        name=row['name'],
        bridge=bridge.name if bridge else '',
        bridge_uuid=bridge.uuid if bridge else '',
        select_all=row['select_all'],
        select_src=set_of(row['select_src_port']),
        select_dst=set_of(row['select_dst_port']),
        select_vlan=set_of(row['select_vlan']),
        output_port=output,
        output_name=names.get(output or '', ''),
        output_vlan=_one(row['output_vlan']),
        snaplen=_one(row.get('snaplen', ['set', []])),
        filter=_one(row.get('filter', ['set', []])) or '',
        packets=statistics.get('tx_packets'),
        bytes=statistics.get('tx_bytes'),
        external_ids=dict_of(row['external_ids']),
    )
