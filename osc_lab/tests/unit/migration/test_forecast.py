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
import os

import hypothesis
from hypothesis import strategies
import testtools

from osc_lab.migration.checks import forecast as check
from osc_lab.migration import facts
from osc_lab.migration import forecast
from osc_lab.tests.unit.migration import samples
from osc_lab.tests.unit.migration import simulator

MIB = 1024**2
PAGES = 65536
EXAMPLES = int(os.environ.get('OSC_LAB_FORECAST_EXAMPLES', '150'))

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
    return [
        (delay * i, base + (downtime - base) / count * i)
        for i in range(count + 1)
    ]


class TestAgainstSimulator(testtools.TestCase):
    def test_duration_and_downtime(self):
        """All but one case in a thousand are within one percent.

        The rest stands at the edge between an end and none for minutes,
        where a rounding error decides when it ends.
        """
        off = []
        self._compare(off)
        self.assertLessEqual(len(off), max(1, EXAMPLES // 1000), off[:5])

    def _compare(self, off):
        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            derandomize=True,
        )
        @hypothesis.given(
            guest=guests(),
            rate=strategies.floats(4, 2000),
            timeout=strategies.sampled_from((0.0, 60.0, 1600.0)),
            delay=strategies.sampled_from((3.0, 20.0, 150.0)),
        )
        def compare(guest, rate, timeout, delay):
            limit = timeout or 3000.0
            found = forecast.predict(
                lambda seconds: min(float(PAGES), guest.dirty(seconds)),
                forecast.Setting(PAGES, rate * MIB, steps(delay=delay), limit),
            )
            converges, seconds, pause = simulator.migrate(
                guest, PAGES, rate * MIB, steps(delay=delay), limit
            )
            if not (
                found.converges == converges
                and abs(found.seconds / seconds - 1) <= 0.01
                and abs((found.downtime or 0) - (pause or 0)) <= 0.01 * seconds
            ):
                off.append((rate, delay, found, converges, seconds))

        compare()


class TestCurve(testtools.TestCase):
    def test_is_concave_whatever_was_measured(self):
        curve = forecast.concave([(1, 100), (2, 90), (4, 400)], 1000)
        slopes = [
            (b[1] - a[1]) / (b[0] - a[0])
            for a, b in zip(curve.points, curve.points[1:], strict=False)
        ]
        self.assertEqual(sorted(slopes, reverse=True), slopes)
        self.assertEqual(1000, curve(1e9))

    def test_slower_guest_writes_less(self):
        curve = forecast.concave([(1, 100), (2, 150)], 1000)
        self.assertAlmostEqual(50, curve.scaled(0.5)(1))

    def test_a_saturated_window_may_have_filled_at_once(self):
        _low, _likely, high = forecast.curves([(1, 5000), (4, 5000)], PAGES)
        self.assertGreater(high(0.02), 4900)

    def test_noise_is_shared_out(self):
        self.assertEqual(
            [(1, 20.0), (2, 20.0), (4, 50)],
            forecast.growing([(1, 30), (2, 10), (4, 50)]),
        )

    def test_an_unsaturated_one_did_not(self):
        _low, _likely, high = forecast.curves(
            [(1, 5000), (2, 10000), (4, 20000)], PAGES
        )
        self.assertLess(high(0.02), 1000)


class TestPredict(testtools.TestCase):
    def setting(self, **changes):
        return dataclasses.replace(
            forecast.Setting(PAGES, 100.0 * MIB, steps(), 1600.0), **changes
        )

    def test_idle_guest_takes_one_pass(self):
        curve = forecast.concave([(1, 1)], PAGES)
        found = forecast.predict(curve, self.setting())
        self.assertTrue(found.converges)
        self.assertAlmostEqual(2.56, found.seconds, delta=0.1)

    def test_faster_than_the_link_never_ends(self):
        curve = forecast.concave([(1, 60000), (2, PAGES)], PAGES)
        found = forecast.predict(curve, self.setting(bandwidth=20.0 * MIB))
        self.assertFalse(found.converges)
        self.assertEqual(1600.0, found.seconds)
        slow = self.setting(bandwidth=20.0 * MIB, auto_converge=True)
        self.assertTrue(forecast.predict(curve, slow).converges)

    def test_disks_go_first(self):
        curve = forecast.concave([(1, 1)], PAGES)
        found = forecast.predict(curve, self.setting(disk_bytes=1000.0 * MIB))
        self.assertAlmostEqual(12.56, found.seconds, delta=0.1)

    def test_advice(self):
        curve = forecast.concave([(1, 20000), (2, 20000)], PAGES)
        setting = self.setting(bandwidth=20.0 * MIB)
        found = forecast.advise(curve, setting)
        self.assertGreater(found.bandwidth, 20 * MIB)
        self.assertGreater(found.downtime, 3)


class TestConvergence(testtools.TestCase):
    def judge(self, windows, bandwidth=100.0, measured=None):
        domain = facts.Domain(
            'd', 's1', 'qemu', 'x86_64', 'pc', '/q', 262144, 1, '', '', ''
        )
        libvirt = facts.Libvirt(
            'u',
            'a',
            'x',
            9000000,
            7002022,
            True,
            1,
            frozenset(),
            domain=domain,
        )
        found = samples.clean(
            source=samples.host('a', libvirt=libvirt),
            measured=measured
            or facts.Measured(windows, PAGES, bandwidth_mib_s=bandwidth),
        )
        [item] = check.Convergence().judge(found)
        return item

    def test_ends(self):
        item = self.judge(((1.0, 1000.0), (2.0, 2000.0)))
        self.assertEqual('ok', item.result)

    def test_does_not_end(self):
        item = self.judge(((1.0, 40000.0), (4.0, 42000.0)), 10.0)
        self.assertEqual('failed', item.result)
        self.assertIn('post-copy', item.remedy)

    def test_nothing_dirty_is_unknown(self):
        item = self.judge(((1.0, 0.0), (2.0, 0.0)))
        self.assertEqual('unknown', item.result)

    def test_without_bandwidth(self):
        item = self.judge(((1.0, 10.0),), None)
        self.assertEqual('unknown', item.result)
        self.assertIn('--bandwidth', item.remedy)

    def test_not_measured(self):
        item = self.judge((), measured=facts.Gap('no', asked=False))
        self.assertEqual('skipped', item.result)
        self.assertIn('--forecast', item.remedy)
