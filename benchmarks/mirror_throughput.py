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

#: Seconds after which the switch has counted what went; it does every 5 s.
COUNTED = 15


def cost(
    lab: traffic.Lab, one: traffic.End, two: traffic.End
) -> tuple[float, float]:
    """Return microseconds of processor a packet, and packets a second."""
    seconds = traffic.SECONDS
    start = traffic.processor(lab)
    time.sleep(seconds)
    idle = (traffic.processor(lab) - start) / seconds
    packets, start = traffic.arrived(lab, two), traffic.processor(lab)
    began = time.monotonic()
    traffic.send(lab, one, two, seconds)
    taken = traffic.processor(lab) - start - idle * (time.monotonic() - began)
    packets = traffic.arrived(lab, two) - packets
    if packets < traffic.RATE:
        raise SystemExit(f'Only {packets} packets arrived')
    return taken / packets * 1e6, packets / seconds


def carried(lab: traffic.Lab, made: dict[str, typing.Any]) -> int:
    """Return how many packets a mirror has copied; waits for a second's."""
    limit = time.monotonic() + COUNTED
    while True:
        packets = lab.openstack(
            *('port', 'mirror', 'show', made['id'], '--host', traffic.HOST),
            *('-f', 'json'),
        )['packets']
        if (packets or 0) >= traffic.RATE or time.monotonic() > limit:
            return packets or 0
        time.sleep(1)


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
                    found[name].append(cost(lab, one, two))
                    if made:
                        copied[name].append(carried(lab, made))
    plain = statistics.median(value for value, _rate in found['no mirror'])
    for name, values in found.items():
        case = f'{traffic.SIZE} bytes, {name}'
        taken = statistics.median(value for value, _rate in values)
        yield results.Row(
            case,
            'packets/s',
            statistics.median(rate for _value, rate in values),
        )
        yield results.Row(case, 'CPU of ovs-vswitchd, us a packet', taken)
        if name != 'no mirror':
            yield results.Row(case, 'times that without', taken / plain, MOST)
            yield results.Row(
                case,
                'packets that were copied, fewest of a round',
                min(copied[name]),
                least=traffic.RATE,
            )


if __name__ == '__main__':
    sys.exit(results.main(measure, __doc__))
