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

"""Whether traffic of the benchmarks is counted as it is, without a lab."""

import contextlib
import io
import itertools
import sys
import types
import typing
import unittest
from unittest import mock

from benchmarks import mirror_throughput
from benchmarks import traffic

END = traffic.End('id', 'fa:16:3e:00:00:01', 'tpone')


class Clock:
    """Passes when it is slept, and a little when it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1e-6
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def sender(least: float) -> tuple[int, float]:
    """Run the sender on a link that takes seconds for each packet."""
    clock = Clock()
    link = mock.Mock()
    link.send.side_effect = lambda _frame: clock.sleep(least)
    sockets = types.SimpleNamespace(
        socket=lambda *_args: link, AF_PACKET=1, SOCK_RAW=1
    )
    said = io.StringIO()
    with (
        mock.patch.dict(sys.modules, socket=sockets, time=clock),
        mock.patch.object(sys, 'argv', ['', 'tpone', '00', '2', '1000']),
        contextlib.redirect_stdout(said),
    ):
        exec(traffic.SENDER, {})
    packets, seconds = said.getvalue().split()
    return int(packets), float(seconds)


class Counter:
    """A lab whose switch writes the counter of a mirror every 5 s."""

    def __init__(self, clock: Clock, packets: typing.Iterable[int]) -> None:
        self.clock, self.packets = clock, list(packets)

    def openstack(self, *_argv: str) -> typing.Any:
        self.clock.sleep(1.5)
        written = int(self.clock.now // 5)
        return {'packets': self.packets[min(written, len(self.packets) - 1)]}


class TrafficTest(unittest.TestCase):
    def test_sender_says_what_it_took(self) -> None:
        packets, seconds = sender(0.0)
        self.assertAlmostEqual(2000, packets, delta=20)
        self.assertAlmostEqual(2.0, seconds, delta=0.1)
        packets, seconds = sender(0.002)
        self.assertAlmostEqual(500, packets / seconds, delta=20)

    def send(self, said: str) -> traffic.Sent:
        lab = mock.Mock(**{'on.return_value': said})
        return traffic.send(lab, END, END)

    def test_link_that_is_too_slow_ends_the_benchmark(self) -> None:
        self.assertEqual((100000, 5.0), self.send('100000 5.0'))
        with self.assertRaisesRegex(SystemExit, 'in 10.0 s, not 20000 a'):
            self.send('100000 10.0')

    def carried(self, packets: typing.Iterable[int]) -> int:
        clock = Clock()
        lab = typing.cast(traffic.Lab, Counter(clock, packets))
        with mock.patch.object(mirror_throughput, 'time', clock):
            return mirror_throughput.carried(lab, {'id': 'x'})

    def test_counter_is_read_when_it_stands_still(self) -> None:
        self.assertEqual(100000, self.carried([0, 20000, 60000, 100000]))
        self.assertEqual(0, self.carried([0]))

    def test_counter_that_never_stands_still(self) -> None:
        with self.assertRaisesRegex(SystemExit, 'goes on copying'):
            self.carried(itertools.islice(itertools.count(), 50))

    def test_mirror_that_copies_a_part_misses_its_bar(self) -> None:
        cost = mirror_throughput.Cost(9.0, 20000.0, 100000)
        found = {'no mirror': [cost], 'gre': [cost]}
        for share, met in ((98.9, False), (99.0, True)):
            rows = mirror_throughput.rows(found, {'gre': [100.0, share]})
            self.assertEqual(met, all(row.met for row in rows))


if __name__ == '__main__':
    unittest.main()
