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

"""The model of pre-copy, by hand and by what it promises."""

import dataclasses
import math

import testtools

from osc_lab.migration import precopy
from osc_lab.tests.unit.migration import simulator

MIB = 1024**2
PAGES = 65536

IDLE = simulator.Guest([(1, 1)])
WARM = simulator.Guest([(2000, 1000)])
BUSY = simulator.Guest([(PAGES, 60000)])


class Fresh:
    """A guest that writes no page which waits to be sent: all adds up."""

    def __init__(self, pages):
        self.pages = pages
        self.asked = {}

    def since(self, pages):
        self.asked = {0.0: 0}
        return 0.0

    def __call__(self, seconds):
        if seconds not in self.asked:
            self.asked[seconds] = self.pages(seconds)
        return self.asked[seconds]


class TestByHand(testtools.TestCase):
    """Ten pages of 100 bytes, 1,000 bytes a second, 50 in a slice.

    100 bytes fit into the downtime, 200 after ten seconds.
    """

    def predict(self, curve=lambda seconds: 0, patience=None, **changes):
        setting = precopy.Setting(
            10, 1000.0, ((0.0, 0.1), (10.0, 0.2)), page_size=92
        )
        found = precopy.predict(
            Fresh(curve), dataclasses.replace(setting, **changes), patience
        )
        return (
            found.converges,
            round(found.seconds, 9),
            found.downtime,
            found.rounds,
            found.sent_bytes,
        )

    def test_idle(self):
        """Eighteen slices, and what fits."""
        self.assertEqual((True, 1.0, 0.1, 1, 1000), self.predict())

    def test_pages_of_zeroes(self):
        self.assertEqual(
            (True, 1.09, 0.09, 1, 1090), self.predict(zero_pages=10)
        )

    def test_disks(self):
        self.assertEqual(
            (True, 1.5, 0.1, 1, 1500), self.predict(disk_bytes=500.0)
        )

    def test_before_and_after(self):
        self.assertEqual(
            (True, 1.75, 0.35, 1, 1000), self.predict(before=0.5, after=0.25)
        )

    def test_link(self):
        self.assertEqual(
            (True, 0.95, 0.05, 1, 1000), self.predict(link=2000.0)
        )

    def test_less_than_a_slice_is_left(self):
        """A slice ends when nothing is left."""
        self.assertEqual(
            (True, 0.03, 0.0, 1, 30),
            self.predict(pages=1, page_size=22, steps=((0.0, 0.0),)),
        )

    def test_hardly_any_bandwidth(self):
        for bandwidth in (0.5, 1.0, 19.0, 20.0):
            self.assertTrue(self.predict(bandwidth=bandwidth)[0])

    def test_a_second_round(self):
        """A page is written in 0.9 seconds, none in 0.1."""
        self.assertEqual(
            (True, 1.1, 0.1, 2, 1100), self.predict(lambda s: 2 * s)
        )

    def test_a_page_that_waits_and_is_written_again_counts_once(self):
        """A hundred pages of ten bytes, of which fifty fit.

        They wait at 0.5 s, when 20 pages were written: ten of each half.
        At 0.6 s three of four more wait.  Of two at 0.65 s one was dirty
        before, as 51 pages take 1.55 s, and nine tenths of that wait.
        """
        curve = precopy.Curve(((0.0, 0.0), (1.0, 40.0), (2.0, 60.0)), 60)
        found = precopy.predict(
            curve,
            precopy.Setting(100, 1000.0, ((0.0, 0.5),), page_size=2),
        )
        self.assertEqual(
            (True, 1.13, 0.48, 3, 1130),
            (
                found.converges,
                found.seconds,
                found.downtime,
                found.rounds,
                found.sent_bytes,
            ),
        )

    def test_no_more_than_all_pages_are_dirty(self):
        self.assertEqual(
            (False, 3.0, None, 3, 3000),
            self.predict(lambda s: 20 * s, timeout=3.0),
        )

    def test_pause_that_is_forced_at_the_timeout(self):
        """What is left of the round, and what was written in it."""
        for written, disk_bytes, pause in (
            # At 2.9 s three pages are left, at 3.0 s two, and two more.
            (lambda s: 2, 0.0, 0.4),
            # All are dirty at 2.7 s, and after 0.3 s again.
            (lambda s: 40 * s, 0.0, 1.0),
            # The disk is not copied before 3.5 s.
            (lambda s: 0, 3500.0, 1.5),
        ):
            setting = precopy.Setting(
                *(10, 1000.0, ((0.0, 0.1),), 3.0, disk_bytes),
                page_size=92,
            )
            found = precopy.predict(Fresh(written), setting)
            self.assertEqual((False, 3.0), (found.converges, found.seconds))
            self.assertAlmostEqual(pause, found.forced)
        setting = dataclasses.replace(setting, disk_bytes=0.0)
        self.assertIsNone(precopy.predict(Fresh(written), setting).forced)

    def test_a_day_without_a_timeout(self):
        """0.9 seconds to the first count, 0.2 for each round after it."""
        found = self.predict(lambda s: 2, steps=((0.0, 0.1),))
        self.assertEqual((False, 86400.0, None, 431996, 86400000), found)

    def test_the_downtime_grows(self):
        """One page too many, until two of them fit."""
        self.assertEqual(
            (True, 10.2, 0.2, 91, 10200),
            self.predict(lambda s: 1 if s < 0.5 else 2, timeout=100.0),
        )

    def test_time_is_over_before_the_downtime_grows(self):
        self.assertEqual(
            (False, 9.0, None, 81, 9000),
            self.predict(lambda s: 1, timeout=9.0, steps=((0.0, 0.05),)),
        )

    def asked(self, counts, **changes):
        """Return the prediction, and the seconds that a curve was asked for.

        :param counts: pages of each round; the last for ever
        """
        counts, asked = list(counts), []

        def curve(seconds):
            asked.append(round(seconds, 9))
            return counts.pop(0) if len(counts) > 1 else counts[0]

        return self.predict(curve, **changes), asked

    def test_throttle(self):
        """The second of two rounds with too much slows the guest down."""
        _found, asked = self.asked(
            [8], timeout=20.0, auto_converge=True, steps=((0.0, 0.1),)
        )
        # 0.9 s, then eight pages each: 0.8 s at full speed, slower by 0.2
        # from the third on, then by 0.1 more after two rounds each, until
        # a hundredth is left.
        speeds = [n for n in (1, *(0.1 * i for i in range(8, 0, -1)), 0.01)]
        times = [0.9] + [0.8] * 19
        self.assertEqual(
            [
                round(speeds[number // 2] * seconds, 9)
                for number, seconds in enumerate(times)
            ],
            asked[:20],
        )

    def test_throttle_when_half_is_dirty_again(self):
        """It takes more than half of what was sent."""
        found, asked = self.asked([4, 2, 1, 0], auto_converge=True)
        self.assertEqual([0.9, 0.4, 0.2, 0.1], asked)
        self.assertEqual((True, 1.7, 0.1, 4, 1700), found)

    def test_patience(self):
        """Two rounds without a new low, and what came before is repeated.

        After 0.9 s four pages are left, then one more each time: the
        fourth round ends at 2.1 s, and three in 1.2 s go on to 8.1 s.
        """
        found, asked = self.asked(range(3, 10), patience=2, timeout=9.0)
        self.assertEqual((False, 9.0, None, 20, 9000), found)
        self.assertEqual([0.9, 0.3, 0.4, 0.5, 0.6, 0.3], asked)


class TestCurve(testtools.TestCase):
    def test_straight_between_its_points_and_on(self):
        curve = precopy.Curve(((0.0, 0.0), (1.0, 10.0), (3.0, 20.0)), 24.0)
        for seconds, pages in (
            (0.0, 0.0),
            (0.5, 5.0),
            (1.0, 10.0),
            (2.0, 15.0),
            (3.0, 20.0),
            (3.5, 22.5),
            (4.0, 24.0),
        ):
            self.assertEqual(pages, curve(seconds))

    def test_since(self):
        """The other way round; what is never written takes for ever."""
        curve = precopy.Curve(((0.0, 0.0), (1.0, 10.0), (3.0, 20.0)), 24.0)
        flat = precopy.Curve(((0.0, 0.0), (2.0, 10.0), (3.0, 10.0)), 24.0)
        for pages, seconds in (
            (0.0, 0.0),
            (5.0, 0.5),
            (10.0, 1.0),
            (15.0, 2.0),
            (20.0, 3.0),
            (22.5, 3.5),
            (24.0, math.inf),
        ):
            self.assertEqual(seconds, curve.since(pages))
        self.assertEqual(2.0, flat.since(10.0))
        self.assertEqual(math.inf, flat.since(10.5))


class TestPredict(testtools.TestCase):
    def setting(self, **changes):
        return dataclasses.replace(
            precopy.Setting(PAGES, 100.0 * MIB, simulator.steps(), 1600.0),
            **changes,
        )

    def predict(self, guest, **changes):
        return precopy.predict(guest, self.setting(**changes))

    def test_idle_guest_takes_one_pass(self):
        found = self.predict(IDLE)
        self.assertTrue(found.converges)
        self.assertAlmostEqual(2.56, found.seconds, delta=0.1)

    def test_faster_than_the_link_never_ends(self):
        found = self.predict(BUSY, bandwidth=20.0 * MIB)
        self.assertFalse(found.converges)
        self.assertEqual(1600.0, found.seconds)
        self.assertIsNone(found.downtime)

    def test_endless_without_a_timeout(self):
        found = self.predict(BUSY, bandwidth=20.0 * MIB, timeout=0.0)
        self.assertFalse(found.converges)
        self.assertEqual(precopy.DAY, found.seconds)

    def test_slowed_down_it_ends(self):
        found = self.predict(
            BUSY, bandwidth=20.0 * MIB, auto_converge=True, timeout=0.0
        )
        self.assertTrue(found.converges)

    def test_a_guest_that_writes_little_is_not_slowed_down(self):
        guest = simulator.Guest([(3000, 3000)])
        plain = self.predict(guest)
        self.assertGreater(plain.rounds, 1)
        self.assertEqual(plain, self.predict(guest, auto_converge=True))

    def test_disks_go_first(self):
        found = self.predict(IDLE, disk_bytes=1000.0 * MIB)
        self.assertAlmostEqual(12.56, found.seconds, delta=0.1)

    def test_pages_of_zeroes_cost_a_header(self):
        found = self.predict(IDLE, zero_pages=100 * MIB // 9)
        self.assertAlmostEqual(3.56, found.seconds, delta=0.1)

    def test_the_limit_ends_with_the_pause(self):
        slow = self.predict(WARM)
        fast = self.predict(WARM, link=1000.0 * MIB)
        self.assertAlmostEqual(slow.downtime / 10, fast.downtime, places=3)

    def test_time_before_and_after(self):
        plain = self.predict(IDLE)
        found = self.predict(IDLE, before=2.0, after=0.5)
        self.assertAlmostEqual(plain.seconds + 2.5, found.seconds)
        self.assertAlmostEqual(plain.downtime + 0.5, found.downtime)

    def test_patience_changes_little(self):
        setting = self.setting(bandwidth=29.0 * MIB)
        guest = simulator.RandomWriter([(2200, 7000), (40000, 1200)])
        whole = precopy.predict(guest, setting)
        short = precopy.predict(guest, setting, 10)
        self.assertGreater(whole.rounds, 30)
        self.assertAlmostEqual(1, short.seconds / whole.seconds, delta=0.02)
