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

"""Arguments that the commands for ports share; port_wishes judges them.

Imported when a parser is built: the shell imports the commands of every
plug-in on every call.
"""

import argparse

from osc_lab import channels
from osc_lab.i18n import _

#: Seconds that create waits for the first packet, by default: a little
#: over two of the intervals at which the switch writes statistics.
TIMEOUT = 11.0

#: Limits of a capture: one that is forgotten ends by itself.
_DURATION = '5m'
_MAX_SIZE = '100M'


def _add_snaplen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--snaplen',
        metavar='<bytes>',
        type=int,
        help=_(
            'Keep at most this many bytes of each packet, 14 to 65535 '
            '(default: all)'
        ),
    )


def add_create(parser: argparse.ArgumentParser) -> None:
    """Add what tells a mirror, all but the access to hosts."""
    add_port(parser)
    add_direction(parser)
    parser.add_argument(
        '--name',
        metavar='<name>',
        help=_('Name of the mirror (default: one with the name of the port)'),
    )
    parser.add_argument(
        '--to',
        metavar='<target>',
        default='interface',
        help=_(
            'Where the copies go: "interface", a new device on the host '
            '(default); "gre:IP[:KEY]", "erspan:IP[:INDEX]" or '
            '"vxlan:IP[:VNI]", a tunnel; "port:OVS-PORT", a port of the '
            'same bridge that nothing else uses; "vlan:ID", a VLAN of '
            'the bridge that nothing else uses'
        ),
    )
    _add_snaplen(parser)
    parser.add_argument(
        '--filter',
        metavar='<flow>',
        default='',
        help=_(
            'Copy only packets that this OpenFlow match selects, for '
            'example "icmp" (Open vSwitch 3.4 or later)'
        ),
    )
    parser.add_argument(
        '--ttl',
        metavar='<time>',
        default='1h',
        help=_(
            'How long the mirror lives, for example 90s, 15m or 1h30m; '
            '"none" for ever (default: 1h)'
        ),
    )
    add_host(parser)
    parser.add_argument(
        '--timeout',
        metavar='<seconds>',
        type=float,
        default=TIMEOUT,
        help=_(
            'How long to wait for the first packet; 0 also leaves out '
            'the measurement before (default: %(default)g)'
        ),
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help=_('Show the transaction and change nothing'),
    )


def add_capture(parser: argparse.ArgumentParser) -> None:
    """Add what tells a capture, all but the access to hosts."""
    add_port(
        parser,
        '<port|mirror>',
        _(
            'Name or ID of the port, or of a mirror of ours to a device of '
            'the host'
        ),
    )
    add_direction(parser)
    parser.add_argument(
        '--both-ends',
        metavar='<other>',
        help=_(
            'Capture at this port as well, named as the first one is (with '
            '--server a server, with --address an address), and merge by '
            'time; the file is in the format pcapng'
        ),
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        '--file',
        metavar='<file>',
        help=_('Write to this file; "-" is the standard output'),
    )
    where.add_argument(
        '--wireshark',
        action='store_true',
        help=_('Show the packets in Wireshark as they come'),
    )
    parser.add_argument(
        '--force',
        action='store_true',
        help=_('Replace the file when it exists'),
    )
    parser.add_argument(
        '--duration',
        metavar='<time>',
        default=_DURATION,
        help=_(
            'The longest time, for example 90s, 15m or 1h30m '
            '(default: %(default)s)'
        ),
    )
    parser.add_argument(
        '--packets',
        metavar='<count>',
        type=int,
        help=_('Stop after that many packets'),
    )
    parser.add_argument(
        '--max-size',
        metavar='<size>',
        default=_MAX_SIZE,
        help=_(
            'Stop before the capture gets larger, for example 64K, 100M '
            'or 2G (default: %(default)s)'
        ),
    )
    parser.add_argument(
        '--ring',
        metavar='<count>',
        type=int,
        help=_(
            'Do not stop at --max-size but go on in another file, and keep '
            'that many, the last ones; a number is put into their names'
        ),
    )
    _add_snaplen(parser)
    parser.add_argument(
        '--capture-filter',
        metavar='<filter>',
        default='',
        help=_(
            'Only packets that this filter selects, see pcap-filter(7), '
            'for example "icmp or arp"'
        ),
    )
    add_host(parser)


def add_port(
    parser: argparse.ArgumentParser,
    metavar: str = '<port>',
    text: str = _('Name or ID of the port; or use --server or --address'),
) -> None:
    """Add the ways to name a port."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument('port', metavar=metavar, nargs='?', help=text)
    group.add_argument(
        '--server',
        metavar='<server>',
        help=_('The port of this server (name or ID)'),
    )
    group.add_argument(
        '--address',
        metavar='<address>',
        help=_('The port with this fixed or floating IP address'),
    )
    parser.add_argument(
        '--network',
        metavar='<network>',
        help=_('With --server: its port on this network (name or ID)'),
    )


def add_direction(parser: argparse.ArgumentParser) -> None:
    """Add the choice of packets."""
    parser.add_argument(
        '--direction',
        metavar='<direction>',
        choices=('in', 'out', 'both'),
        default='both',
        help=_(
            'Packets to the server (in), from the server (out), or both '
            '(default)'
        ),
    )


def add_access(parser: argparse.ArgumentParser) -> None:
    """Add the ways to reach hosts that these commands use."""
    channels.add_arguments(parser, (*channels.SSH, *channels.OVSDB))


def add_host(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a port's host."""
    parser.add_argument(
        '--host',
        metavar='<host>',
        default='',
        help=_(
            'Compute service host where the port is looked for, needed only '
            'while its server moves (default: what Neutron says)'
        ),
    )


def add_hosts(parser: argparse.ArgumentParser) -> None:
    """Add the choice of hosts."""
    parser.add_argument(
        '--host',
        metavar='<host>',
        action='append',
        help=_(
            'Only this host (repeat option to choose several hosts; '
            'default: every host with an Open vSwitch or OVN agent)'
        ),
    )


def ends(parsed_args: argparse.Namespace) -> list[argparse.Namespace]:
    """Return the arguments for each end of a capture."""
    found = [parsed_args]
    if parsed_args.both_ends is not None:
        values = vars(parsed_args)
        (named,) = (
            key for key in ('port', 'server', 'address') if values[key]
        )
        found.append(
            argparse.Namespace(**{**values, named: parsed_args.both_ends})
        )
    return found
