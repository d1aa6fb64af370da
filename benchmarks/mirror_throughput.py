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
"""Measure what a mirror costs ovs-vswitchd for each packet.

The processor time of ovs-vswitchd is divided by the packets that arrive,
without a mirror and with one that "openstack port mirror create" made, in
turns.  Needs a lab:

    eval "$(python3 -m lab env)"
    python -m benchmarks.mirror_throughput
"""

import argparse
import collections
import collections.abc
import json
import statistics
import sys
import time
import typing

from benchmarks import results
from benchmarks import traffic

#: What is measured in turns, and the arguments of the mirror.
CASES = {
    'no mirror': (),
    'interface': ('--to', 'interface'),
    'interface, 96 bytes': ('--to', 'interface', '--snaplen', '96'),
    'gre': ('--to', 'gre:{address}:7'),
}

ROUNDS = 3

#: How many times as much a packet may take with a mirror: its copy no more
#: than itself.
MOST = 2.0

#: Of 100 packets, how many a mirror has to copy.
COPIED = 99

#: Seconds for which the counter of a mirror is to stand still: the switch
#: writes it every 5 s.  And seconds after which it has to.
STILL, LIMIT = 6, 60


class Cost(typing.NamedTuple):
    """One round.

    :ivar processor: microseconds of ovs-vswitchd for a packet
    :ivar rate: packets a second
    :ivar packets: how many arrived
    """

    processor: float
    rate: float
    packets: int


def cost(lab: traffic.Lab, one: traffic.End, two: traffic.End) -> Cost:
    seconds = traffic.SECONDS
    start = traffic.processor(lab)
    time.sleep(seconds)
    idle = (traffic.processor(lab) - start) / seconds
    packets, start = traffic.arrived(lab, two), traffic.processor(lab)
    began = time.monotonic()
    sent = traffic.send(lab, one, two)
    taken = traffic.processor(lab) - start - idle * (time.monotonic() - began)
    packets = traffic.arrived(lab, two) - packets
    if packets < traffic.SHARE * sent.packets:
        raise SystemExit(f'Of {sent.packets} packets {packets} arrived')
    return Cost(taken / packets * 1e6, packets / sent.seconds, packets)


def carried(lab: traffic.Lab, made: dict[str, typing.Any]) -> int:
    """Return how many packets a mirror has copied, once it copies no more.

    :raises SystemExit: it goes on copying
    """
    began = since = time.monotonic()
    seen = 0
    while (asked := time.monotonic()) - began < LIMIT:
        packets: int = (
            lab.openstack(
                *('port', 'mirror', 'show', made['id']),
                *('--host', traffic.HOST, '-f', 'json'),
            )['packets']
            or 0
        )
        if packets != seen:
            seen, since = packets, time.monotonic()
        elif asked - since > STILL:
            return seen
        time.sleep(1)
    raise SystemExit(f'After {seen} packets it goes on copying')


def measure(
    _args: argparse.Namespace,
) -> collections.abc.Iterator[results.Row]:
    lab = traffic.Lab()
    address = json.loads(
        lab.on(
            traffic.OTHER, 'ip', '-j', '-4', 'addr', 'show', 'dev', 'br-phy'
        )
    )[0]['addr_info'][0]['local']
    found = collections.defaultdict(list)
    copied = collections.defaultdict(list)
    with traffic.pair(lab) as (one, two):
        for _round in range(ROUNDS):
            for name, argv in CASES.items():
                filled = tuple(arg.format(address=address) for arg in argv)
                with traffic.mirrored(lab, one, filled) as made:
                    one_round = cost(lab, one, two)
                    found[name].append(one_round)
                    if made:
                        copied[name].append(
                            100 * carried(lab, made) / one_round.packets
                        )
    yield from rows(found, copied)


def rows(
    found: dict[str, list[Cost]], copied: dict[str, list[float]]
) -> collections.abc.Iterator[results.Row]:
    plain = statistics.median(item.processor for item in found['no mirror'])
    for name, rounds in found.items():
        case = f'{traffic.SIZE} bytes, {name}'
        taken = statistics.median(item.processor for item in rounds)
        yield results.Row(
            case, 'packets/s', statistics.median(item.rate for item in rounds)
        )
        yield results.Row(case, 'CPU of ovs-vswitchd, us a packet', taken)
        if name != 'no mirror':
            yield results.Row(case, 'times that without', taken / plain, MOST)
            yield results.Row(
                case,
                'of 100 packets, copied (fewest of a round)',
                min(copied[name]),
                least=COPIED,
            )


if __name__ == '__main__':
    sys.exit(results.main(measure, __doc__))
