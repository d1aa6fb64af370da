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

"""What the arguments of the commands for ports may be, and what they ask.

Imported when a command runs.
"""

import argparse
import ipaddress

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import amounts
from osc_lab.mirroring import capture
from osc_lab.mirroring import judge
from osc_lab.mirroring import maker
from osc_lab.mirroring import model
from osc_lab.mirroring import names
from osc_lab.mirroring import targets

#: Longest time to wait for the first packet, seconds.
_LONGEST_TIMEOUT = 600


def judge_port(parsed_args: argparse.Namespace) -> None:
    """Refuse a choice of a port that would be ignored, or find nothing.

    :raises InvalidInput: when an option has nothing to choose from, or
        is not what it should be
    """
    if parsed_args.network is not None and parsed_args.server is None:
        raise exceptions.InvalidInput(
            _('--network: it chooses among the ports of a server'),
            _('Use it with --server, or name the port.'),
        )
    for option in ('port', 'server', 'address', 'network', 'both_ends'):
        # Neutron leaves out a filter without a value, and lists all.
        if getattr(parsed_args, option, None) == '':
            raise exceptions.InvalidInput(
                _('<port>: it is empty')
                if option == 'port'
                else _('--%s: it is empty') % option.replace('_', '-'),
                _('Give a name or an ID.'),
            )
    if parsed_args.address is not None:
        try:
            ipaddress.ip_address(parsed_args.address)
        except ValueError as error:
            raise exceptions.InvalidInput(
                _('--address: "%s" is no IP address') % parsed_args.address,
                _('Write it like 192.0.2.1 or 2001:db8::1.'),
            ) from error


def judge_timeout(seconds: float) -> None:
    """Refuse what is no time to wait.

    :raises InvalidInput: when it is negative, no number, or too long
    """
    if not 0 <= seconds <= _LONGEST_TIMEOUT:
        raise exceptions.InvalidInput(
            _('--timeout: "%g" is no number of seconds') % seconds,
            _('Use 0 to %d.') % _LONGEST_TIMEOUT,
        )


def request(parsed_args: argparse.Namespace) -> maker.Request:
    """Return what mirror is wanted.

    :raises InvalidInput: for a value that cannot be
    """
    return maker.Request(
        direction=model.Direction(parsed_args.direction),
        target=targets.parse(parsed_args.to),
        name=names.check(parsed_args.name)
        if parsed_args.name is not None
        else '',
        snaplen=judge.snaplen(parsed_args.snaplen),
        filter=judge.flow_filter(parsed_args.filter),
        lifetime=amounts.lifetime('--ttl', parsed_args.ttl),
    )


#: Files that a ring may have, and the least size of each: a packet may
#: have 256 KiB.
_RING = (2, 10000)
_RING_SIZE = 1 << 20


def capture_wish(parsed_args: argparse.Namespace) -> capture.Wish:
    """Return what is to be captured.

    :raises InvalidInput: for a limit or a filter that cannot be
    """
    packets = parsed_args.packets
    if packets is not None and not 0 < packets < 1 << 31:
        raise exceptions.InvalidInput(
            _('--packets: "%s" is no number of packets') % packets,
            _('Use 1 or more.'),
        )
    if '\0' in parsed_args.capture_filter:
        raise exceptions.InvalidInput(
            _('--capture-filter: it holds a NUL character')
        )
    return capture.Wish(
        seconds=amounts.duration(
            '--duration', parsed_args.duration
        ).total_seconds(),
        size=amounts.size('--max-size', parsed_args.max_size),
        packets=packets,
        snaplen=judge.snaplen(parsed_args.snaplen),
        filter=parsed_args.capture_filter.strip(),
    )


def judge_capture(parsed_args: argparse.Namespace) -> None:
    """Refuse what does not go together.

    :raises InvalidInput: for the first such pair
    """
    wish = capture_wish(parsed_args)
    if parsed_args.ring is not None:
        low, high = _RING
        if not low <= parsed_args.ring <= high:
            raise exceptions.InvalidInput(
                _('--ring: %d files are not possible') % parsed_args.ring,
                _('Use %(low)d to %(high)d.') % {'low': low, 'high': high},
            )
        if parsed_args.wireshark or parsed_args.file == '-':
            raise exceptions.InvalidInput(
                _('--ring: there are no files to go round'),
                _('Use it with --file and a name.'),
            )
        if parsed_args.force:
            raise exceptions.InvalidInput(
                _('--ring: --force does not go with it'),
                _('Remove the files of the other ring, or use another name.'),
            )
        if wish.size < _RING_SIZE:
            raise exceptions.InvalidInput(
                _('--max-size: with --ring it is 1M at least'),
            )
    if parsed_args.both_ends is not None and parsed_args.host:
        raise exceptions.InvalidInput(
            _('--host: it does not go with --both-ends'),
            _('Wait until both ports have one host.'),
        )
