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

"""The forecast: against a simulator, at its edges, and as a check."""

import dataclasses
import itertools
import math
import random
import statistics

import hypothesis
from hypothesis import strategies
import testtools

from osc_lab.migration.checks import forecast as check
from osc_lab.migration import facts
from osc_lab.migration import forecast
from osc_lab.migration import nova_options
from osc_lab.migration import precopy
from osc_lab.tests.unit.migration import samples
from osc_lab.tests.unit.migration import simulator

MIB = 1024**2
PAGES = 65536
#: Pages of a guest with 16 GiB, of which QEMU samples enough.
BIG = 16 * 262144
#: Generated cases; benchmarks/forecast_model.py takes 10,000.
EXAMPLES = 200

#: Windows of a guest with 16 GiB: 100 MiB a second, 2,000, and 1.2 GiB
#: that are full before the first window ends.
SLOW = tuple((float(s), s * 25600.0) for s in (1, 2, 4, 8, 16))
FAST = tuple((float(s), s * 512000.0) for s in (1, 2, 4, 8))
FULL = ((1.0, 300000.0), (2.0, 300000.0))

IDLE = simulator.Guest([(1, 1)])
WARM = simulator.Guest([(2000, 1000)])
BUSY = simulator.Guest([(PAGES, 60000)])

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


def steps(downtime=0.5, delay=150.0, count=10):
    base = downtime / count
    return tuple(
        (delay * i, base + (downtime - base) / count * i)
        for i in range(count + 1)
    )


class Counted:
    """A guest of which is known how often its pages were counted."""

    def __init__(self, guest):
        self.guest = guest
        self.rounds = 0

    def between(self, start, end):
        self.rounds += 1
        return self.guest.between(start, end)


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
                guest.dirty,
                precopy.Setting(
                    PAGES, rate * MIB, steps(delay=delay), timeout
                ),
            )
            counted = Counted(guest)
            converges, seconds, pause = simulator.migrate(
                counted, PAGES, rate * MIB, steps(delay=delay), timeout
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


class TestByHand(testtools.TestCase):
    """Ten pages of 100 bytes, 1,000 bytes a second, 50 in a slice.

    100 bytes fit into the downtime, 200 after ten seconds.
    """

    def predict(self, curve=lambda seconds: 0, patience=None, **changes):
        setting = precopy.Setting(
            10, 1000.0, ((0.0, 0.1), (10.0, 0.2)), page_size=92
        )
        found = precopy.predict(
            curve, dataclasses.replace(setting, **changes), patience
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

    def test_no_more_than_all_pages_are_dirty(self):
        self.assertEqual(
            (False, 3.0, None, 3, 3000),
            self.predict(lambda s: 20 * s, timeout=3.0),
        )

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

    def test_throttle(self):
        """The second of two rounds with too much slows the guest down."""

        def curve(seconds):
            self.asked.append(round(seconds, 9))
            return 8

        self.asked = []
        self.predict(curve, timeout=20.0, auto_converge=True)
        # 0.9 s, then eight pages each: 0.8 s at full speed, slower by 0.2
        # from the third on, then by 0.1 more after two rounds each.
        speeds = [1, 1, 0.8, 0.8, 0.7, 0.7, 0.6, 0.6, 0.5, 0.5, 0.4, 0.4]
        times = [0.9] + [0.8] * 11
        self.assertEqual(
            [round(a * b, 9) for a, b in zip(speeds, times, strict=True)],
            self.asked[:12],
        )


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


class TestPredict(testtools.TestCase):
    def setting(self, **changes):
        return dataclasses.replace(
            precopy.Setting(PAGES, 100.0 * MIB, steps(), 1600.0), **changes
        )

    def predict(self, guest, **changes):
        return precopy.predict(guest.dirty, self.setting(**changes))

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
        setting = self.setting(bandwidth=31.0 * MIB)
        guest = simulator.RandomWriter([(2200, 7000), (40000, 1200)])
        whole = precopy.predict(guest.dirty, setting)
        short = precopy.predict(guest.dirty, setting, 10)
        self.assertGreater(whole.rounds, 30)
        self.assertAlmostEqual(1, short.seconds / whole.seconds, delta=0.02)


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
            guest.dirty, precopy.Setting(BIG, 1000.0 * MIB, steps(), 1600.0)
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
        whole = precopy.predict(guest.dirty, setting).seconds
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
        found = self.forecast(guest, 150.0)
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
        setting = precopy.Setting(BIG, 0.85 * 150 * MIB, steps(), 1600.0)
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
        self.assertEqual(20000 * 4104 / (20 * MIB), found.downtime)
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

    def test_advice_that_nothing_helps(self):
        curve = precopy.Curve(((0.0, 0.0), (0.001, BIG)), BIG)
        found, _ends = self.advise(curve, pages=BIG, bandwidth=1.0 * MIB)
        self.assertIsNone(found.bandwidth)

    def test_the_most_that_is_tried(self):
        """64 times the bandwidth."""
        for factor, result in ((51, 64), (77, None)):
            pages = factor * 20 * MIB / 4104
            curve = precopy.Curve(((0.0, 0.0), (1.0, pages)), 2 * BIG)
            found, _ends = self.advise(curve, pages=BIG)
            self.assertEqual(result and result * 20 * MIB, found.bandwidth)


class TestConvergence(testtools.TestCase):
    def facts(self, measured, options=None, disks=()):
        domain = facts.Domain(
            'd', 's1', 'qemu', 'x86_64', 'pc', '/q', BIG * 4, 1, '', '', ''
        )
        libvirt = facts.Libvirt(
            'u',
            'a',
            'x',
            9000000,
            7002022,
            1,
            domain=dataclasses.replace(domain, disks=disks),
        )
        source = samples.host('a', libvirt=libvirt)
        if options is not None:
            values = {
                f'live_migration_{key}': value
                for key, value in options.items()
            }
            source = dataclasses.replace(
                source, shell=facts.Shell('a', {'libvirt': values}, (), '')
            )
        return samples.clean(source=source, measured=measured)

    def judge(self, windows, bandwidth=1000.0, options=None, **changes):
        found = self.facts(
            facts.Measured(windows, BIG, bandwidth_mib_s=bandwidth, **changes),
            options,
        )
        [item] = check.Convergence().judge(found)
        self.assertEqual(
            ('convergence', 'b', 'libvirt'),
            (item.check, item.subject, item.source),
        )
        return item

    def test_ends(self):
        item = self.judge(SLOW, touched_pages=BIG)
        self.assertEqual(('ok', ''), (item.result, item.remedy))
        low, likely, high = item.evidence['seconds']
        self.assertTrue(low < likely < high)
        pause = item.evidence['downtime_ms'][2]
        self.assertEqual(
            f'It takes {low:.0f} to {high:.0f} s and pauses the guest for up '
            f'to {pause} ms, at 1000 MiB/s.',
            item.message,
        )
        self.assertEqual(
            {
                'windows': [list(window) for window in SLOW],
                'bandwidth_mib_s': 1000.0,
                'ending': 1.0,
                'timeout_s': 800.0 * 16,
            },
            {
                key: value
                for key, value in item.evidence.items()
                if key not in ('seconds', 'downtime_ms')
            },
        )
        for value in item.evidence['seconds']:
            self.assertEqual(round(value, 2), value)
        for value in item.evidence['downtime_ms']:
            self.assertIsInstance(value, int)
            self.assertTrue(0 < value < 500)

    def test_bounds_of_what_is_assumed(self):
        """An idle guest takes as long as its memory and the bandwidth."""
        idle = tuple((float(s), 1.0) for s in (1, 2, 4, 8))
        whole = 16384 / 1000
        for changes, best, worst in (
            ({'touched_pages': BIG}, (0.85 / 1.1, 0.95), (1.0, 1.05 / 0.8)),
            ({}, (0.1 / 1.1, 0.3), (0.95, 1.0 / 0.8)),
            (
                {'touched_pages': BIG, 'link_mib_s': 2001.0},
                (0.85, 0.9),
                (0.98, 1.05 / 0.95),
            ),
            (
                {'touched_pages': BIG, 'link_mib_s': 2000.0},
                (0.85 / 1.1, 0.84),
                (1.1, 1.05 / 0.8),
            ),
        ):
            found = self.judge(idle, **changes).evidence['seconds']
            for seconds, (low, high) in ((found[0], best), (found[2], worst)):
                self.assertTrue(
                    low <= seconds / whole <= high, (changes, found)
                )

    def test_what_nova_would_migrate_it_with(self):
        disk = facts.Disk(
            *('disk', 'file', 'vda', '/d', 'qcow2'),
            *(False, False, False, ''),
        )
        disks = (
            dataclasses.replace(disk, size=100 * 1024**3),
            disk,
            dataclasses.replace(disk, size=7, volume_id='v'),
        )
        measured = facts.Measured(
            SLOW,
            BIG,
            page_size=8192,
            touched_pages=BIG // 4,
            bandwidth_mib_s=100.0,
            link_mib_s=300.0,
        )
        options = nova_options.Options(auto_converge=True)
        for files, data, copied in (
            ((), 118, 100 * 1024.0**3),
            (
                {'/d': 'fs'},
                16,
                0.0,
            ),
        ):
            found = self.facts(measured, disks=disks)
            host = dataclasses.replace(
                found.destinations[0],
                shell=facts.Shell('b', {}, (), '', files=dict(files)),
            )
            domain = found.source.libvirt.domain
            self.assertEqual(
                precopy.Setting(
                    pages=BIG // 4,
                    bandwidth=100.0 * MIB,
                    steps=tuple(
                        (float(75 * data * i), (50 + 45 * i) / 1000)
                        for i in range(11)
                    ),
                    timeout=800.0 * data,
                    disk_bytes=copied,
                    auto_converge=True,
                    page_size=8192,
                    zero_pages=BIG - BIG // 4,
                    link=300.0 * MIB,
                ),
                check.setting_of(found, host, measured, domain, options),
            )
        measured = facts.Measured(SLOW, BIG)
        found = self.facts(measured)
        plain = check.setting_of(
            found,
            found.destinations[0],
            measured,
            domain,
            dataclasses.replace(options, post_copy=True),
        )
        self.assertEqual(
            (BIG, 0.0, 0, None, False),
            (
                plain.pages,
                plain.bandwidth,
                plain.zero_pages,
                plain.link,
                plain.auto_converge,
            ),
        )

    def test_does_not_end(self):
        item = self.judge(FAST)
        self.assertEqual('failed', item.result)
        self.assertIn('1000.0 MiB/s can be sent', item.message)
        written = float(item.message.split(' MiB in a')[0].split()[-1])
        self.assertAlmostEqual(2000, written, delta=100)
        advice = item.remedy.removeprefix('It would end with: ')
        converge, bandwidth, post_copy, pause = advice.split('; or ')
        self.assertEqual('auto-converge, which slows the guest down', converge)
        self.assertEqual('3000 MiB/s', bandwidth.partition(' (')[0])
        self.assertEqual('post-copy', post_copy)
        seconds = float(pause.removeprefix('a downtime of ').split()[0])
        self.assertAlmostEqual(2.0, seconds, delta=0.2)
        self.assertEqual([None] * 3, item.evidence['downtime_ms'])
        self.assertEqual(0.0, item.evidence['ending'])

    def test_auto_converge_is_reckoned_with(self):
        item = self.judge(FAST, options={'permit_auto_converge': 'true'})
        self.assertEqual('ok', item.result)

    def test_what_is_permitted_already_is_no_advice(self):
        item = self.judge(FAST, 1.0, {'permit_auto_converge': 'true'})
        self.assertEqual('failed', item.result)
        self.assertNotIn('auto-converge', item.remedy)

    def test_post_copy_ends_it(self):
        item = self.judge(FAST, options={'permit_post_copy': 'true'})
        self.assertEqual('warning', item.result)
        self.assertIn('may use post-copy', item.message)
        self.assertIn('rebooted', item.remedy)
        self.assertEqual(0.0, item.evidence['ending'])

    def test_not_decided(self):
        item = self.judge(FULL, 1500.0)
        self.assertEqual('warning', item.result)
        share = item.evidence['ending'] * 100
        best = item.evidence['seconds'][0]
        self.assertIn(
            f'may not end: {share:.0f} % of what the measurement allows do, '
            f'the soonest after {best:.0f} s.',
            item.message,
        )
        self.assertIn('It would end with: ', item.remedy)

    def test_a_longer_timeout_is_advised(self):
        options = {'completion_timeout': '5'}
        item = self.judge(SLOW, 200.0, options, touched_pages=BIG)
        self.assertEqual('failed', item.result)
        text = item.remedy.partition('completion timeout above ')[2]
        self.assertAlmostEqual(82, float(text.split()[0]), delta=30)

    def test_no_bandwidth_helps(self):
        item = self.judge(((1.0, BIG), (2.0, BIG)), 1.0)
        self.assertEqual('failed', item.result)
        self.assertNotIn('MiB/s (several', item.remedy)

    def test_little_memory_is_copied_sooner(self):
        whole = self.judge(SLOW).evidence['seconds'][1]
        part = self.judge(SLOW, touched_pages=BIG // 16)
        self.assertLess(part.evidence['seconds'][1], whole / 4)

    def test_a_limit_below_the_link_is_kept_to(self):
        def width(item):
            return item.evidence['seconds'][2] - item.evidence['seconds'][0]

        plain = self.judge(SLOW, touched_pages=BIG)
        limited = self.judge(SLOW, touched_pages=BIG, link_mib_s=9000.0)
        self.assertLess(width(limited), width(plain))

    def test_copied_disks_take_their_time(self):
        disk = facts.Disk(
            *('disk', 'file', 'vda', '/d', 'qcow2'),
            *(False, False, False, ''),
            size=100 * 1024**3,
        )
        found = self.facts(
            facts.Measured(SLOW, BIG, bandwidth_mib_s=1000.0), disks=(disk,)
        )
        [item] = check.Convergence().judge(found)
        self.assertGreater(item.evidence['seconds'][0], 102.4 / 1.1)

    def test_nothing_dirty_is_unknown(self):
        item = self.judge(((1.0, 0.0), (2.0, 0.0)))
        self.assertEqual('unknown', item.result)
        self.assertIn('no dirty page', item.message)
        self.assertIn('below 128 MiB', item.remedy)
        item = self.judge(((1.0, 0.0), (2.0, 100.0)))
        self.assertEqual('ok', item.result)

    def test_without_bandwidth(self):
        for bandwidth in (None, 0.0):
            item = self.judge(((1.0, 10.0),), bandwidth)
            self.assertEqual('unknown', item.result)
            self.assertIn('bandwidth is not known', item.message)
            self.assertIn('--bandwidth', item.remedy)

    def test_a_guest_that_nobody_saw(self):
        found = self.facts(facts.Measured(SLOW, BIG))
        gap = facts.Gap('libvirt does not answer')
        found = dataclasses.replace(
            found, source=samples.host('a', libvirt=gap)
        )
        [item] = check.Convergence().judge(found)
        self.assertEqual(('unknown', gap.message), (item.result, item.message))

    def test_not_measured(self):
        found = self.facts(facts.Gap('no', asked=False))
        [item] = check.Convergence().judge(found)
        self.assertEqual('skipped', item.result)
        self.assertIn('--forecast', item.remedy)
