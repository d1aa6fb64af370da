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

"""The forecast: its range, its noise and its advice."""

import dataclasses
import itertools
import math
import random
import statistics
from unittest import mock

import testtools

from osc_lab.migration import forecast
from osc_lab.migration import precopy
from osc_lab.tests.unit.migration import simulator

MIB = 1024**2
PAGES = 65536
#: Pages of a guest with 16 GiB, of which QEMU samples enough.
BIG = 16 * 262144

steps = simulator.steps


class TestForecast(testtools.TestCase):
    def windows(self, guest, times=(1, 2, 4, 8, 16)):
        return tuple((float(t), float(guest.dirty(t))) for t in times)

    def forecast(self, guest, bandwidth=100.0):
        return forecast.forecast(
            self.windows(guest),
            BIG,
            precopy.Setting(BIG, bandwidth * MIB, steps(), 1600.0),
        )

    def test_windows_reach_to_the_first_round(self):
        self.assertEqual((1, 2, 4, 8, 16), forecast.windows(16.0, 4))
        self.assertEqual(4, forecast.windows(0.0, 8)[-1])
        self.assertEqual(30, forecast.windows(1e9, 8)[-1])

    def test_a_small_guest_is_measured_more_often(self):
        self.assertEqual(
            (1, 1, 1, 1, 2, 2, 4, 8, 16), forecast.windows(16.0, 3.9)
        )

    def test_what_is_drawn_is_concave_and_near_the_windows(self):
        guest = simulator.Guest([(40000, 20000)])
        seen = self.windows(guest)
        for curve in forecast.drawn(seen, BIG, 4096, random.Random(1)):
            slopes = [
                (b[1] - a[1]) / (b[0] - a[0])
                for a, b in itertools.pairwise(curve.points)
            ]
            for steep, flat in itertools.pairwise(slopes):
                self.assertGreaterEqual(steep, flat - 1e-6)
            self.assertLessEqual(curve(1e9), BIG)
            self.assertAlmostEqual(1, curve(4.0) / 40000, delta=0.35)

    def test_range_holds_the_truth(self):
        guest = simulator.Guest([(400000, 100000)])
        found = self.forecast(guest, 1000.0)
        truth = precopy.predict(
            guest, precopy.Setting(BIG, 1000.0 * MIB, steps(), 1600.0)
        )
        self.assertIs(True, found.converges)
        self.assertLess(found.best.seconds, truth.seconds)
        self.assertGreater(found.worst.seconds, truth.seconds)
        self.assertAlmostEqual(
            1, found.likely.seconds / truth.seconds, delta=0.1
        )

    def test_same_measurement_same_answer(self):
        guest = simulator.Guest([(40000, 20000)])
        first = self.forecast(guest)
        forecast.forecast.cache_clear()
        self.assertEqual(first, self.forecast(guest))

    def test_never(self):
        guest = simulator.Guest([(BIG, 200000)])
        self.assertIs(False, self.forecast(guest).converges)

    def test_pause_of_one_that_is_forced_to_end(self):
        guest = simulator.Guest([(BIG, 200000)])
        setting = precopy.Setting(BIG, 100.0 * MIB, steps(), 1600.0)
        truth = precopy.predict(guest, setting).forced
        found = forecast.forecast(self.windows(guest), BIG, setting)
        # A bandwidth lower by a tenth makes it longer, no other does.
        self.assertTrue(truth < found.forced <= truth / 0.9)
        guest = simulator.Guest([(1, 1)])
        self.assertEqual(0.0, self.forecast(guest).forced)

    def test_what_is_saturated_at_first_is_undecided(self):
        """Nobody saw whether it took the guest a second or a moment."""
        guest = simulator.Guest([(15000, 150000)])
        self.assertIsNone(self.forecast(guest).converges)

    def test_verdict(self):
        """Two of a hundred may disagree."""
        guest = simulator.Guest([(40000, 20000)])
        found = self.forecast(guest)
        for ending, verdict in (
            (1.0, True),
            (0.98, True),
            (0.97, None),
            (0.03, None),
            (0.02, False),
            (0.0, False),
        ):
            changed = dataclasses.replace(found, ending=ending)
            self.assertIs(verdict, changed.converges)

    def test_an_idle_guest_takes_as_long_as_its_memory(self):
        """Nothing is unknown but how much is sent, and how fast."""
        guest = simulator.Guest([(1, 1)])
        setting = precopy.Setting(BIG, 1000.0 * MIB, steps(), 1600.0)
        seen = self.windows(guest)
        whole = precopy.predict(guest, setting).seconds
        found = forecast.forecast(seen, BIG, setting, (1.0, 1.0), (1.0, 1.0))
        for item in (found.best, found.likely, found.worst):
            self.assertAlmostEqual(1, item.seconds / whole, delta=0.02)
        self.assertEqual(1.0, found.ending)
        found = forecast.forecast(seen, BIG, setting, (0.5, 2.0), (0.1, 1.0))
        self.assertLess(found.best.seconds, whole * 0.3)
        self.assertGreater(found.best.seconds, whole * 0.05)
        self.assertLess(found.worst.seconds, whole * 2.0)
        self.assertGreater(found.worst.seconds, whole)

    def test_the_order_of_the_answers(self):
        """Those that do not end come last, then the slow ones."""
        guest = simulator.Guest([(15000, 150000)])
        found = self.forecast(guest, 90.0)
        self.assertTrue(0.05 < found.ending < 0.5)
        self.assertEqual(
            (True, False, False),
            (
                found.best.converges,
                found.likely.converges,
                found.worst.converges,
            ),
        )
        # The curve of each is kept beside it.
        setting = precopy.Setting(BIG, 0.85 * 90 * MIB, steps(), 1600.0)
        for curve in (found.curve, found.hard):
            self.assertFalse(precopy.predict(curve, setting).converges)

    def spread(self, times, pages, most=BIG):
        """Return how far curves lie apart at the last window, and where."""
        seen = tuple((float(t), float(pages)) for t in times)
        curves = forecast.drawn(seen, most, 4096, random.Random(1))
        values = [curve(float(times[-1])) for curve in curves]
        return statistics.stdev(values), statistics.mean(values)

    def test_the_noise_is_that_of_sampling(self):
        """Of 512 pages in each GiB, a share was seen to change."""
        for gib, share in ((16, 0.5), (16, 0.1), (64, 0.5)):
            most = gib * 262144
            sampled = gib * 512
            error = most * math.sqrt(share * (1 - share) / sampled)
            deviation, mean = self.spread((8,), most * share, most)
            self.assertAlmostEqual(1, mean / (most * share), delta=0.02)
            self.assertAlmostEqual(1, deviation / error, delta=0.35)

    def test_windows_are_rounded_down(self):
        """QEMU tells whole MiB a second."""
        _deviation, mean = self.spread((8, 8, 8), 100.0, 4096 * 262144)
        self.assertAlmostEqual(100 + 8 * 256 / 2, mean, delta=600)

    def advise(self, curve, **changes):
        setting = dataclasses.replace(
            precopy.Setting(PAGES, 20.0 * MIB, steps(), 1600.0), **changes
        )

        def ends(**other):
            return precopy.predict(
                curve, dataclasses.replace(setting, **other)
            )

        return forecast.advise(curve, setting), ends

    def test_advice(self):
        curve = precopy.Curve(
            ((0.0, 0.0), (1.0, 20000.0), (2.0, 20000.0)), BIG
        )
        found, ends = self.advise(curve)
        self.assertFalse(ends().converges)
        self.assertEqual(80 * MIB, found.bandwidth)
        self.assertTrue(ends(bandwidth=80.0 * MIB).converges)
        self.assertFalse(ends(bandwidth=60.0 * MIB).converges)
        self.assertEqual(4.0, found.downtime)
        self.assertTrue(ends(steps=steps(4.0)).converges)
        self.assertFalse(ends(steps=steps(3.0)).converges)
        self.assertIsNone(found.timeout)
        self.assertTrue(found.auto_converge)

    def test_more_time_is_advised(self):
        curve = precopy.Curve(((0.0, 0.0), (1.0, 1000.0)), BIG)
        found, ends = self.advise(curve, timeout=5.0)
        self.assertFalse(ends().converges)
        self.assertEqual(ends(timeout=0.0).seconds, found.timeout)
        self.assertTrue(ends(timeout=found.timeout + 1).converges)
        self.assertFalse(found.auto_converge)
        self.assertEqual(60 * MIB, found.bandwidth)
        self.assertIsNone(found.downtime)

    def test_a_downtime_that_is_advised_ends_it(self):
        """Some pages are written in a tenth of a second, then no other."""
        advised = set()
        for pages in (2000, 4000, 8000, 16000, 32000, 64000):
            curve = precopy.Curve(
                ((0.0, 0.0), (0.1, pages), (1.0, pages + 1)), PAGES
            )
            for downtime in (0.1, 0.5, 4.0):
                found, ends = self.advise(curve, steps=steps(downtime))
                advised.add(found.downtime)
                if found.downtime is not None:
                    self.assertGreater(found.downtime, downtime)
                    changed = ends(steps=steps(found.downtime))
                    self.assertTrue(changed.converges)
        self.assertGreater(len(advised), 2)

    def test_downtimes_that_are_tried(self):
        """Those that are longer than now, to a hundredth of a second."""
        curve = precopy.Curve(((0.0, 0.0), (0.001, BIG)), BIG)
        never = precopy.Prediction(False, 1.0, None, 1, 1.0)
        longer = (1, 1.5, 2, 3, 4, 6, 8, 10, 15, 20, 30)
        for now, tried in (
            (0.49, (0.5, *longer)),
            (0.499, longer),
            (0.5, longer),
            (25.0, (30,)),
            (30.0, ()),
        ):
            with mock.patch.object(
                precopy, 'predict', return_value=never
            ) as predict:
                found, _ends = self.advise(curve, steps=steps(now))
            self.assertIsNone(found.downtime)
            asked = [call.args[1].steps for call in predict.call_args_list]
            self.assertEqual(
                list(tried),
                [
                    round(each[-1][1], 9)
                    for each in asked
                    if each != steps(now)
                ],
            )

    def test_a_downtime_for_who_writes_faster_than_is_sent(self):
        """Three quarters of the memory, once in 20 s; all takes 41 s."""
        guest = simulator.Guest([(PAGES * 3 // 4, 2400)])
        curve = precopy.Curve(
            ((0.0, 0.0), (20.48, PAGES * 0.75), (20.49, PAGES * 0.75)), PAGES
        )
        found, ends = self.advise(curve, bandwidth=6.25 * MIB, timeout=3200.0)
        self.assertEqual(30.0, found.downtime)
        self.assertTrue(ends(steps=steps(30.0)).converges)
        self.assertFalse(ends(steps=steps(20.0)).converges)
        memory = simulator.Memory(PAGES, guest.parts, False)
        self.assertTrue(
            simulator.migrate_pages(memory, 6.25 * MIB, steps(30.0), 3200.0)[0]
        )

    def test_advice_that_nothing_helps(self):
        curve = precopy.Curve(((0.0, 0.0), (0.001, BIG)), BIG)
        found, _ends = self.advise(curve, pages=BIG, bandwidth=1.0 * MIB)
        self.assertIsNone(found.bandwidth)
        self.assertIsNone(found.downtime)

    def test_bandwidths_that_are_tried(self):
        """Up to 64 times; nine tenths of what helps are written."""
        helps = (1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64)
        for factor, result in (
            *((0.9 * item, item) for item in helps),
            (77, None),
        ):
            pages = factor * 20 * MIB / 4104
            curve = precopy.Curve(((0.0, 0.0), (1.0, pages)), 8 * BIG)
            found, _ends = self.advise(curve, pages=int(PAGES * factor))
            self.assertEqual(result and result * 20 * MIB, found.bandwidth)
