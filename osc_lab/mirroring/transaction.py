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

"""The transactions that make and remove a mirror, as data.

Operations are those of RFC 7047, 5.2.  Each change is one transaction:
either all rows of a mirror are there or none.  A mirror is added to the
bridge's set, which stays as it is otherwise; a ``wait`` on that set makes
the transaction fail when somebody else changed it in between.

A port of our own is part of every mirror, also where packets go to a port
or VLAN that exists: Open vSwitch up to 3.1 applies a change of mirrors to
flows in its cache only when the ports of the bridge change as well.
"""

import collections.abc
import dataclasses
import json
import shlex
import typing

from osc_lab.mirroring import marks as marks_
from osc_lab.mirroring import model
from osc_lab.mirroring import targets

Operation = dict[str, typing.Any]

#: Port.other_config: "ovs-ctl delete-transient-ports" removes such a port,
#: which units of some distributions do when the host has started.  No
#: guard lives through that, and the database does.
_TRANSIENT = ('transient', 'true')


@dataclasses.dataclass(frozen=True)
class Wish:
    """The mirror that is to be made.

    :param device: name of the port that is made with it
    :param output: the existing port that packets go to, for ``port:``
    :param snaplen: bytes of each packet to keep; None for all
    :param filter: OpenFlow match (Open vSwitch 3.4 and later)
    """

    name: str
    direction: model.Direction
    target: targets.Target
    device: str
    marks: marks_.Marks
    output: model.Port | None = None
    snaplen: int | None = None
    filter: str = ''


def uuid(value: str) -> list[str]:
    return ['uuid', value]


def uuids(values: collections.abc.Iterable[str]) -> list[typing.Any]:
    return ['set', [uuid(value) for value in values]]


def strings(
    values: collections.abc.Mapping[str, str],
) -> list[typing.Any]:
    """Return a map in the form of RFC 7047, 5.1."""
    return ['map', [[key, value] for key, value in values.items()]]


def create(found: model.Attachment, wish: Wish, user: str) -> list[Operation]:
    """Return the operations that make a mirror.

    :param user: named in the comment that OVSDB logs
    """
    return [
        _guard(found.bridge),
        _still(found.port),
        {
            'op': 'insert',
            'table': 'Interface',
            'uuid-name': 'interface',
            'row': _interface(found, wish),
        },
        {
            'op': 'insert',
            'table': 'Port',
            'uuid-name': 'port',
            'row': _port(found, wish),
        },
        {
            'op': 'insert',
            'table': 'Mirror',
            'uuid-name': 'mirror',
            'row': _mirror(found, wish),
        },
        {
            'op': 'mutate',
            'table': 'Bridge',
            'where': [['_uuid', '==', uuid(found.bridge.uuid)]],
            'mutations': [
                ['ports', 'insert', ['named-uuid', 'port']],
                ['mirrors', 'insert', ['named-uuid', 'mirror']],
            ],
        },
        {
            'op': 'comment',
            'comment': f'osc-lab: port mirror create by {user}',
        },
    ]


def remove(
    bridge: str,
    mirrors: collections.abc.Iterable[str],
    ports: collections.abc.Iterable[str],
    user: str,
) -> list[Operation]:
    """Return the operations that take rows from a bridge.

    Rows without a bridge are removed by the database itself.

    :param bridge: UUID
    :param mirrors: UUIDs
    :param ports: UUIDs
    """
    return [
        {
            'op': 'mutate',
            'table': 'Bridge',
            'where': [['_uuid', '==', uuid(bridge)]],
            'mutations': [
                ['mirrors', 'delete', uuids(mirrors)],
                ['ports', 'delete', uuids(ports)],
            ],
        },
        {
            'op': 'comment',
            'comment': f'osc-lab: port mirror delete by {user}',
        },
    ]


def _guard(bridge: model.Bridge) -> Operation:
    return {
        'op': 'wait',
        'table': 'Bridge',
        'where': [['_uuid', '==', uuid(bridge.uuid)]],
        'columns': ['mirrors'],
        'until': '==',
        'rows': [{'mirrors': uuids(bridge.mirrors)}],
        'timeout': 0,
    }


def _still(port: model.Port) -> Operation:
    """Return the guard that the port was not made anew meanwhile."""
    return {
        'op': 'wait',
        'table': 'Port',
        'where': [['_uuid', '==', uuid(port.uuid)]],
        'columns': ['name'],
        'until': '==',
        'rows': [{'name': port.name}],
        'timeout': 0,
    }


def _interface(found: model.Attachment, wish: Wish) -> Operation:
    row: Operation = {
        'name': wish.device,
        'type': interface_type(wish.target),
        'external_ids': strings(marks_.encode(wish.marks)),
    }
    if wish.target.tunnel:
        row['options'] = strings(tunnel_options(wish.target))
    elif wish.target.kind is targets.Kind.INTERFACE and found.interface.mtu:
        row['mtu_request'] = found.interface.mtu
    return row


def _port(found: model.Attachment, wish: Wish) -> Operation:
    row: Operation = {
        'name': wish.device,
        'interfaces': ['named-uuid', 'interface'],
        'other_config': strings(dict((_TRANSIENT,))),
        'external_ids': strings(marks_.encode(wish.marks)),
    }
    tag = output_tag(found.port, wish.target)
    if tag is not None:
        row['tag'] = tag
    return row


def _mirror(found: model.Attachment, wish: Wish) -> Operation:
    row: Operation = {
        'name': wish.name,
        'external_ids': strings(marks_.encode(wish.marks)),
    }
    for column in wish.direction.columns:
        row[column] = uuid(found.port.uuid)
    if wish.target.kind is targets.Kind.VLAN:
        row['output_vlan'] = wish.target.number
    elif wish.output is not None:
        row['output_port'] = uuid(wish.output.uuid)
    else:
        row['output_port'] = ['named-uuid', 'port']
    if wish.snaplen is not None:
        row['snaplen'] = wish.snaplen
    if wish.filter:
        row['filter'] = wish.filter
    return row


def interface_type(target: targets.Target) -> str:
    """Return Interface.type of the port that is made."""
    return target.kind.value if target.tunnel else 'internal'


def output_tag(source: model.Port, target: targets.Target) -> int | None:
    """Return the VLAN of the port that is made.

    Neutron's VLANs inside a bridge mean nothing outside: as an access
    port of the same VLAN the output shows packets as the VM sees them.
    """
    if target.kind in (targets.Kind.PORT, targets.Kind.VLAN):
        return None
    return source.tag


def tunnel_options(target: targets.Target) -> dict[str, str]:
    """Return Interface.options of a tunnel.

    Open vSwitch reads erspan_idx as hexadecimal whatever it looks like,
    so it is written so.  The session of ERSPAN, its key, has 10 bits.
    """
    options = {'remote_ip': target.address}
    if target.kind is targets.Kind.ERSPAN:
        assert target.number is not None
        options['erspan_ver'] = '1'
        options['erspan_idx'] = f'{target.number:#x}'
        options['key'] = str(target.number % 1024)
    elif target.number is not None:
        options['key'] = str(target.number)
    return options


def create_commands(found: model.Attachment, wish: Wish) -> list[str]:
    """Return the stock commands that do what create() does."""
    port: list[str] = []
    tag = output_tag(found.port, wish.target)
    if tag is not None:
        port = [f'tag={tag}']
    port.append('other_config:{}={}'.format(*_TRANSIENT))
    interface = [f'type={interface_type(wish.target)}']
    if wish.target.tunnel:
        interface += [
            f'options:{key}={_value(value)}'
            for key, value in tunnel_options(wish.target).items()
        ]
    elif wish.target.kind is targets.Kind.INTERFACE and found.interface.mtu:
        interface.append(f'mtu_request={found.interface.mtu}')
    mirror = [f'name={_value(wish.name)}']
    mirror += [f'{column}=@source' for column in wish.direction.columns]
    before: list[str] = []
    if wish.target.kind is targets.Kind.VLAN:
        mirror.append(f'output_vlan={wish.target.number}')
    elif wish.output is not None:
        before = ['--id=@output', 'get', 'Port', wish.output.uuid, '--']
        mirror.append('output_port=@output')
    else:
        mirror.append('output_port=@port')
    if wish.snaplen is not None:
        mirror.append(f'snaplen={wish.snaplen}')
    if wish.filter:
        mirror.append(f'filter={_value(wish.filter)}')
    marks = [
        f'external_ids:{key}={_value(value)}'
        for key, value in marks_.encode(wish.marks).items()
    ]
    argv = [
        *('ovs-vsctl', '--', '--id=@interface', 'create', 'Interface'),
        *(f'name={wish.device}', *interface, *marks, '--'),
        *('--id=@port', 'create', 'Port', f'name={wish.device}'),
        *('interfaces=@interface', *port, *marks, '--'),
        *('--id=@source', 'get', 'Port', found.port.uuid, '--'),
        *before,
        *('--id=@mirror', 'create', 'Mirror', *mirror, *marks, '--'),
        *('add', 'Bridge', found.bridge.uuid, 'ports', '@port', '--'),
        *('add', 'Bridge', found.bridge.uuid, 'mirrors', '@mirror'),
    ]
    commands = [shlex.join(argv)]
    if wish.target.kind is targets.Kind.INTERFACE:
        commands += [
            f'ip link set dev {wish.device} addrgenmode none',
            f'ip link set dev {wish.device} up',
        ]
    return commands


def _value(text: str) -> str:
    """Return text as ovs-vsctl reads a string: quoted as in JSON.

    What would move a terminal is escaped here, as only JSON knows how.
    """
    return json.dumps(text)
