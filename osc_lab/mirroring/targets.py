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

"""Where mirrored packets go: ``--to``, parsed."""

import dataclasses
import enum
import ipaddress

from osc_lab import exceptions
from osc_lab.i18n import _


class Kind(enum.StrEnum):
    """What stands before the first colon of a target."""

    INTERFACE = 'interface'
    GRE = 'gre'
    ERSPAN = 'erspan'
    VXLAN = 'vxlan'
    PORT = 'port'
    VLAN = 'vlan'


TUNNELS = (Kind.GRE, Kind.ERSPAN, Kind.VXLAN)

#: Largest number, and the number that is used without one.  GRE keys
#: have 32 bits (RFC 2890), ERSPAN indexes 20 and VXLAN identifiers 24.
_NUMBERS = {
    Kind.GRE: (2**32 - 1, None),
    Kind.ERSPAN: (2**20 - 1, 1),
    Kind.VXLAN: (2**24 - 1, 1),
    Kind.VLAN: (4094, None),
}


@dataclasses.dataclass(frozen=True)
class Target:
    """Where packets go.

    :param address: of a tunnel's other end
    :param number: GRE key, ERSPAN index, VXLAN identifier or VLAN
    :param port: name of an existing OVS port
    """

    kind: Kind
    address: str = ''
    number: int | None = None
    port: str = ''

    def __str__(self) -> str:
        if self.kind is Kind.INTERFACE:
            return 'interface'
        if self.kind is Kind.PORT:
            return f'port:{self.port}'
        if self.kind is Kind.VLAN:
            return f'vlan:{self.number}'
        address = f'[{self.address}]' if ':' in self.address else self.address
        tail = '' if self.number is None else f':{self.number}'
        return f'{self.kind.value}:{address}{tail}'

    @property
    def tunnel(self) -> bool:
        return self.kind in TUNNELS


def parse(text: str) -> Target:
    """Return the target that ``--to`` names.

    :param text: interface, gre:IP[:KEY], erspan:IP[:INDEX],
        vxlan:IP[:VNI], port:NAME or vlan:ID; an IPv6 address stands in
        brackets when a number follows
    :raises InvalidInput: when it is none of these
    """
    head, _colon, rest = text.partition(':')
    try:
        kind = Kind(head)
    except ValueError:
        raise _wrong(text, _('there is no such kind of target')) from None
    if kind is Kind.INTERFACE:
        if rest:
            raise _wrong(text, _('"interface" takes nothing after it'))
        return Target(kind)
    if kind is Kind.PORT:
        if not rest:
            raise _wrong(text, _('the name of the port is missing'))
        return Target(kind, port=rest)
    if kind is Kind.VLAN:
        number = _number(text, kind, rest)
        if not number:
            raise _wrong(text, _('the VLAN is missing'))
        return Target(kind, number=number)
    address, number = _endpoint(text, kind, rest)
    return Target(kind, address, number)


def _endpoint(text: str, kind: Kind, rest: str) -> tuple[str, int | None]:
    if rest.startswith('['):
        host, _bracket, tail = rest[1:].partition(']')
        if tail and not tail.startswith(':'):
            raise _wrong(text, _('after the address stands a colon'))
        tail = tail[1:]
    elif rest.count(':') > 1:
        host, tail = rest, ''
    else:
        host, _colon, tail = rest.partition(':')
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise _wrong(text, _('"%s" is not an IP address') % host) from None
    if address.is_multicast or address.is_unspecified:
        raise _wrong(text, _('one address must receive the packets'))
    number = _number(text, kind, tail)
    return str(address), _NUMBERS[kind][1] if number is None else number


def _number(text: str, kind: Kind, digits: str) -> int | None:
    if not digits:
        return None
    largest = _NUMBERS[kind][0]
    if digits.isascii() and digits.isdigit() and len(digits) < 12:
        number = int(digits)
        if number <= largest:
            return number
    raise _wrong(
        text,
        _('"%(digits)s" is not a number up to %(largest)s')
        % {'digits': digits, 'largest': largest},
    )


def _wrong(text: str, why: str) -> exceptions.InvalidInput:
    return exceptions.InvalidInput(
        f'--to "{text}": {why}',
        _(
            'Use interface, gre:IP[:KEY], erspan:IP[:INDEX], '
            'vxlan:IP[:VNI], port:OVS-PORT or vlan:ID.'
        ),
    )
