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

"""The guests that a measurement allows, and how likely each is."""

import math
import random

import testtools

from osc_lab.migration import forecast

#: Two seconds and eight, until all pages are written.
ENDS = (math.log(2), math.log(8))


class Script:
    """A source of randomness that says what was written down for it."""

    def __init__(self, **said):
        self.said = {name: list(values) for name, values in said.items()}
        self.asked = []

    def random(self):
        return self.said['random'].pop(0)

    def uniform(self, low, high):
        self.asked.append((low, high))
        return self.said['uniform'].pop(0)

    def gauss(self, mean, deviation):
        self.asked.append((mean, deviation))
        return mean + self.said['gauss'].pop(0)


def writers(scattered=False, share=0.25, longest=4.0):
    return forecast._Writers(share, ENDS, scattered, longest)


class TestWriters(testtools.TestCase):
    def test_one_after_the_other(self):
        """As a share of what is written in four seconds."""
        for seconds, first, second in (
            (0, 0, 0),
            (1, 0.5, 0.25),
            (2, 1, 0.5),
            (4, 1, 1),
            (8, 1, 2),
            (16, 1, 2),
        ):
            self.assertAlmostEqual(
                0.25 * first + 0.75 * second, writers()(seconds)
            )

    def test_at_random(self):
        def part(seconds, end):
            return (1 - math.exp(-seconds / end)) / (1 - math.exp(-4 / end))

        for seconds in (0, 0.5, 4, 100):
            self.assertAlmostEqual(
                0.25 * part(seconds, 2) + 0.75 * part(seconds, 8),
                writers(True)(seconds),
            )

    def test_curve(self):
        curve = writers().curve(1000.0, 700.0)
        times = [t for t, _pages in curve.points]
        self.assertEqual((0.0, 0.0), curve.points[0])
        self.assertEqual(43, len(times))
        self.assertAlmostEqual(0.01, times[1])
        self.assertAlmostEqual(0.014, times[2])
        self.assertAlmostEqual(0.01 * 1.4**39, times[-1])
        for end in (2, 8):
            self.assertIn(math.exp(math.log(end)), times)
        for t, pages in curve.points:
            self.assertAlmostEqual(1000 * writers()(t), pages)
        self.assertEqual(700.0, curve(1e9))

    def test_anything_at_first(self):
        source = Script(random=(0.3, 0.4), uniform=(1.0, 2.0))
        self.assertEqual(
            forecast._Writers(0.3, (1.0, 2.0), True, 4.0),
            forecast._Writers.any(source, 4.0),
        )
        low, high = math.log(0.02), math.log(120)
        self.assertEqual([(low, high)] * 2, source.asked)
        source = Script(random=(0.3, 0.5), uniform=(1.0, 2.0))
        self.assertFalse(forecast._Writers.any(source, 4.0).scattered)

    def test_near(self):
        for toss, scattered in ((0.05, True), (0.1, False)):
            source = Script(
                random=(toss,), uniform=(-1.0,), gauss=(0.5, -0.25, 0.125)
            )
            found = writers().near(source)
            self.assertEqual(scattered, found.scattered)
            self.assertEqual((0.375, 4.0), (found.share, found.longest))
            for end, expected in zip(
                found.ends, (ENDS[0] + 0.5, ENDS[1] - 0.25), strict=True
            ):
                self.assertAlmostEqual(expected, end)
            self.assertEqual(
                [(-2, 0.3), (0, 0.1), (0, 0.1), (0, 0.025)], source.asked
            )
        source = Script(random=(0.05,), uniform=(0.0,), gauss=(9, 0, 0.9))
        found = writers(True).near(source)
        self.assertFalse(found.scattered)
        self.assertAlmostEqual(0.85, found.share)
        self.assertAlmostEqual(
            2 * math.log(120) - (ENDS[0] + 9), found.ends[0]
        )

    def test_fold(self):
        for value, folded in (
            (1.0, 1.0),
            (2.5, 2.5),
            (3.0, 3.0),
            (3.5, 2.5),
            (0.5, 1.5),
            (-1.5, 2.5),
            (5.5, 1.5),
        ):
            self.assertAlmostEqual(folded, forecast._fold(value, 1.0, 3.0))


class TestSeen(testtools.TestCase):
    MOST = 4 * 262144

    def seen(self, *measured, page_size=4096):
        return forecast._Seen.of(measured, self.MOST, page_size)

    def variance(self, pages, seconds):
        """Of 2,048 samples, and of whole MiB a second."""
        share = min(1, pages / self.MOST)
        odds = (share + 0.5 / 2048) * (1 - share + 0.5 / 2048)
        return odds / 2048 * self.MOST**2 + (256 * seconds) ** 2 / 12

    def test_what_was_rounded_down(self):
        """QEMU tells whole MiB a second: half of one is missing."""
        found = self.seen((1.0, 1000.0), (4.0, 3000.0))
        self.assertEqual((1.0, 4.0), found.times)
        self.assertEqual((1128.0, 3512.0), found.pages)
        large = self.seen((2.0, 0.0), page_size=2**21)
        self.assertEqual((0.5,), large.pages)

    def test_weights(self):
        found = self.seen((1.0, 1000.0), (4.0, 3e6))
        for weight, pages, seconds in zip(
            found.weights, found.pages, found.times, strict=True
        ):
            self.assertAlmostEqual(
                1, weight * self.variance(pages, seconds), places=9
            )
        small = forecast._Seen.of(((2.0, 100.0),), 512, 2**21)
        expected = 100.0 + 0.5
        share = expected / 512
        odds = (share + 0.5 / 512) * (1 - share + 0.5 / 512)
        self.assertAlmostEqual(
            1, small.weights[0] * (odds / 512 * 512**2 + 1 / 12), places=9
        )

    def test_fit(self):
        """The pages that fit best, their error, and how well they do."""
        found = self.seen((2.0, 50000.0), (4.0, 90000.0))
        fit, pages, error = found.fit(writers())
        shapes = [writers()(t) for t in found.times]
        points = list(zip(shapes, found.pages, found.weights, strict=True))

        def distance(scale):
            return sum(w * (p - scale * s) ** 2 for s, p, w in points)

        for other in (pages * 0.999, pages * 1.001):
            self.assertLess(distance(pages), distance(other))
        self.assertAlmostEqual(
            1, error**2 * sum(w * s * s for s, _p, w in points)
        )
        self.assertAlmostEqual(
            math.log(error / pages) - distance(pages) / 2, fit, places=6
        )

    def test_the_noise_of_what_fits(self):
        found = self.seen((2.0, 50000.0), (4.0, 90000.0))
        scale = found.fit(writers())[1]
        changed = found.around(writers())
        self.assertEqual(
            (found.times, found.pages), (changed.times, changed.pages)
        )
        for seconds, weight in zip(
            changed.times, changed.weights, strict=True
        ):
            self.assertAlmostEqual(
                1,
                weight * self.variance(scale * writers()(seconds), seconds),
                places=9,
            )


class Told(random.Random):
    """A source of randomness that remembers the means it was asked for."""

    def __init__(self, seed):
        super().__init__(seed)
        self.means = set()

    def gauss(self, mu=0.0, sigma=1.0):
        self.means.add(mu)
        return super().gauss(mu, sigma)


class TestDrawn(testtools.TestCase):
    def test_the_walk_goes_on(self):
        """Of the draws many come from another place."""
        source = Told(0)
        forecast.drawn(
            ((1.0, 20000.0), (2.0, 40000.0), (4.0, 80000.0)),
            262144,
            4096,
            source,
        )
        self.assertGreater(len(source.means), 20)

    def test_how_many(self):
        """Each hundredth of the draws is a percent."""
        curves = forecast.drawn(
            ((1.0, 10000.0), (2.0, 20000.0)), 262144, 4096, random.Random(0)
        )
        self.assertEqual(100, len(curves))
        for curve in curves:
            self.assertEqual(262144, curve.most)
            self.assertGreater(curve(1.0), 0.0)
