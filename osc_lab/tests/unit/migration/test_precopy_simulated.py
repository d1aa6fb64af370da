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

"""The model of pre-copy against simulators of it."""

import random
import statistics

import hypothesis
from hypothesis import strategies
import testtools

from osc_lab.migration import precopy
from osc_lab.tests.unit.migration import simulator

MIB = 1024**2
PAGES = 65536
#: Generated cases; benchmarks/forecast_model.py takes 10,000.
EXAMPLES = 200

writers = strategies.lists(
    strategies.tuples(
        strategies.integers(64, 40000), strategies.integers(10, 200000)
    ),
    min_size=1,
    max_size=3,
)


@strategies.composite
def guests(draw):
    parts = draw(writers)
    kind = draw(strategies.sampled_from(('constant', 'random', 'bursty')))
    if kind == 'constant':
        return simulator.Guest(parts)
    if kind == 'random':
        return simulator.RandomWriter(parts)
    return simulator.Bursty(
        parts,
        draw(strategies.floats(0.5, 20)),
        draw(strategies.floats(0.1, 0.9)),
    )


class Counted:
    """A guest of which is known how often its pages were counted."""

    def __init__(self, guest):
        self.guest = guest
        self.rounds = 0

    def between(self, start, end):
        self.rounds += 1
        return self.guest.between(start, end)

    def again(self, pages, start, end):
        return self.guest.again(pages, start, end)


class TestAgainstSimulator(testtools.TestCase):
    def test_duration_downtime_and_rounds(self):
        """Every case is the same, whatever the model leaves out."""
        self.assertEqual([], self.off(EXAMPLES))

    def off(self, examples):
        """Return the cases in which the model and the simulator differ."""
        off = []

        @hypothesis.settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            derandomize=True,
        )
        @hypothesis.given(
            guest=guests(),
            rate=strategies.floats(4, 2000),
            timeout=strategies.sampled_from((60.0, 400.0, 1600.0)),
            delay=strategies.sampled_from((3.0, 20.0, 150.0)),
        )
        def compare(guest, rate, timeout, delay):
            self.cases += 1
            found = precopy.predict(
                guest,
                precopy.Setting(
                    PAGES, rate * MIB, simulator.steps(delay=delay), timeout
                ),
            )
            counted = Counted(guest)
            converges, seconds, pause = simulator.migrate(
                counted,
                PAGES,
                rate * MIB,
                simulator.steps(delay=delay),
                timeout,
            )
            self.ended += converges
            if not (
                found.converges == converges
                and abs(found.seconds / seconds - 1) <= 1e-9
                and abs((found.downtime or 0) - (pause or 0)) <= 1e-9
                and found.rounds == counted.rounds
            ):
                off.append((rate, timeout, delay, guest.parts, found, seconds))

        self.cases = self.ended = 0
        compare()
        return off


class TestAgainstPages(testtools.TestCase):
    """What is assumed of pages that wait, against a bit for each page."""

    def test_ends_and_duration(self):
        found = self.compared(EXAMPLES // 4)
        self.assertGreater(len(found['ended']), EXAMPLES // 8)
        self.assertGreater(found['endless'], 0)
        self.assertEqual(0, found['wrong_will_converge'])
        self.assertLess(found['wrong_never'], EXAMPLES // 40)
        self.assertLess(statistics.median(found['ended']), 0.01)

    def compared(self, cases):
        """Return errors of the duration, and how many are wrong."""
        source = random.Random(1)
        times = simulator.steps(delay=3.0), 33.0
        found = {'wrong_will_converge': 0, 'wrong_never': 0, 'endless': 0}
        found['ended'] = []
        for number in range(cases):
            rate = 10 ** source.uniform(1, 2.5) * MIB
            parts, kind = self.guest(source, rate / simulator.SIZE)
            told = precopy.predict(
                kind(parts), precopy.Setting(PAGES, rate, *times)
            )
            memory = simulator.Memory(
                PAGES, parts, kind is simulator.RandomWriter, number
            )
            ends, seconds, _pause = simulator.migrate_pages(
                memory, rate, *times
            )
            if told.converges and ends:
                found['ended'].append(abs(told.seconds / seconds - 1))
            elif told.converges or ends:
                wrong = 'never' if ends else 'will_converge'
                found[f'wrong_{wrong}'] += 1
            else:
                found['endless'] += 1
        return found

    def guest(self, source, rate):
        """Return writers, by orders of magnitude, and how they write."""
        parts, free = [], PAGES
        for _writer in range(source.choice((1, 2, 3))):
            size = int(min(10 ** source.uniform(2, 4.6), free))
            free -= size
            if size > 64:
                parts.append((size, rate * 10 ** source.uniform(-1.5, 0.5)))
        kind = source.choice((simulator.Guest, simulator.RandomWriter))
        return parts, kind
