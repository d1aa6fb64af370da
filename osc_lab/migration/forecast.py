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

"""Will pre-copy converge, how long will it take, how long is the pause?

The model follows QEMU's pre-copy (migration/ram.c, migration.c): memory
goes round by round; when what is left of a round would fit into the
downtime that is allowed, the dirty pages are counted anew, and either that
count fits, too, and the guest is paused for it, or a new round begins.
Nova raises the downtime in steps and acts when its time is over
(nova.virt.libvirt.migration: downtime_steps, should_abort).

How many distinct pages a guest writes in a time is a concave curve: a page
that is written twice counts once.
"""

import bisect
import collections.abc
import dataclasses
import math

#: QEMU sends a header of eight bytes with each page.
HEADER = 8

#: Seconds of sending after which QEMU looks how much is left
#: (migration/ram.c, MAX_WAIT).
SLICE = 0.05

#: Rounds after which a prediction gives up; Nova's timeout comes first.
ROUNDS = 100000

Steps = collections.abc.Sequence[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Curve:
    """Distinct pages written after a time since they were counted.

    :param points: (seconds, pages), both growing, from (0, 0) on; between
        them it is a straight line, after the last one its slope goes on
    :param most: pages that the guest has at all
    """

    points: tuple[tuple[float, float], ...]
    most: float

    def __call__(self, seconds: float) -> float:
        points = self.points
        if seconds <= 0 or len(points) < 2:
            return 0.0
        index = bisect.bisect_right(points, (seconds, math.inf))
        index = min(max(index, 1), len(points) - 1)
        (t0, d0), (t1, d1) = points[index - 1], points[index]
        slope = (d1 - d0) / (t1 - t0)
        return min(self.most, d0 + slope * (seconds - t0))

    def scaled(self, factor: float) -> 'Curve':
        """Return the curve of a guest that runs at this speed, 0 to 1."""
        factor = max(factor, 0.001)
        return Curve(tuple((t / factor, d) for t, d in self.points), self.most)


def concave(
    windows: collections.abc.Iterable[tuple[float, float]], most: float
) -> Curve:
    """Return the least concave curve over measured windows.

    :param windows: (seconds, distinct pages) each
    """
    hull: list[tuple[float, float]] = [(0.0, 0.0)]
    top = 0.0
    for seconds, pages in sorted(windows):
        top = max(top, min(pages, most))
        point = (seconds, top)
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) < _slope(
            hull[-1], point
        ):
            hull.pop()
        hull.append(point)
    return Curve(tuple(hull), most)


def _slope(a: tuple[float, float], b: tuple[float, float]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the migration is done with.

    :param pages: that hold something and go in the first round
    :param bandwidth: bytes a second
    :param steps: (seconds since the start, allowed downtime in seconds)
    :param timeout: seconds after which Nova acts; 0 is never
    :param disk_bytes: copied before the memory
    :param auto_converge: QEMU slows the guest down
    :param overhead: seconds before the first and after the last byte
    """

    pages: float
    bandwidth: float
    steps: Steps
    timeout: float = 0.0
    disk_bytes: float = 0.0
    auto_converge: bool = False
    page_size: int = 4096
    overhead: float = 0.0

    def downtime(self, seconds: float) -> float:
        """Return the downtime allowed at a moment, in seconds."""
        found = self.steps[0][1]
        for start, value in self.steps:
            if start > seconds:
                break
            found = value
        return found


@dataclasses.dataclass(frozen=True)
class Prediction:
    """How a migration would go.

    :param seconds: until it ends, one way or the other
    :param downtime: pause of the guest, seconds; None without an end
    """

    converges: bool
    seconds: float
    downtime: float | None
    rounds: int
    sent_bytes: float


def predict(curve: Curve, setting: Setting) -> Prediction:
    """Return how pre-copy would go."""
    size = setting.page_size + HEADER
    rate = setting.bandwidth
    now = setting.overhead + setting.disk_bytes / rate
    sent = setting.disk_bytes
    left = setting.pages * size
    speed = 1.0
    limit = setting.timeout or math.inf
    for number in range(1, ROUNDS + 1):
        began = now
        now, left_then = _until_fits(setting, now, left)
        sent += left - left_then
        if now >= limit:
            return Prediction(False, limit, None, number, sent)
        written = curve(speed * (now - began)) * size
        left = min(left_then + written, setting.pages * size)
        if left <= rate * setting.downtime(now) * (1 + 1e-12):
            pause = left / rate
            return Prediction(
                True,
                now + pause + setting.overhead,
                pause,
                number,
                sent + left,
            )
        if setting.auto_converge and number > 1:
            speed = max(0.01, (0.8 if speed == 1.0 else speed - 0.1))
    return Prediction(False, min(now, limit), None, ROUNDS, sent)


def _until_fits(
    setting: Setting, now: float, left: float
) -> tuple[float, float]:
    """Return when, and with how much, a round would fit into the pause.

    QEMU looks after each slice of sending, so it sends a little more than
    it had to.
    """
    rate = setting.bandwidth
    amount = rate * SLICE
    changes = [start for start, _value in setting.steps if start > now]
    done = False
    for change in (*changes, math.inf):
        threshold = rate * setting.downtime(now)
        slices = max(
            0 if done else 1, math.ceil((left - threshold) / amount - 1e-9)
        )
        until = math.inf
        if change < math.inf:
            until = max(0, math.ceil((change - now) / SLICE - 1e-9))
        if slices <= until:
            return now + min(slices * SLICE, left / rate), max(
                0.0, left - slices * amount
            )
        now += until * SLICE
        left -= until * amount
        done = done or until > 0
    raise AssertionError


@dataclasses.dataclass(frozen=True)
class Range:
    """Three predictions: the best that fits the measurement, the worst."""

    best: Prediction
    likely: Prediction
    worst: Prediction

    @property
    def converges(self) -> bool | None:
        """True or False when all agree, else None."""
        if self.worst.converges and self.best.converges:
            return True
        if not self.best.converges:
            return False
        return None


def curves(
    windows: collections.abc.Sequence[tuple[float, float]],
    most: float,
    page_size: int = 4096,
) -> tuple[Curve, Curve, Curve]:
    """Return the curves that a measurement allows: low, likely, high.

    QEMU samples 512 pages of each GiB and rounds to whole MiB a second.
    Where the first window is already saturated, nobody knows how fast the
    guest got there: at worst at once.

    :param windows: (seconds, distinct pages); 0 pages mean unknown
    """
    windows = growing(windows)
    sampled = 512.0 * max(most * page_size / 1024**3, 0.25)

    def shifted(direction: float) -> list[tuple[float, float]]:
        found = []
        for seconds, pages in windows:
            share = min(max(pages / most, 1e-6), 1.0)
            noise = math.sqrt((1 - share) / (share * sampled))
            rounding = 0.5 * 1024**2 / page_size * seconds
            change = 2 * noise * pages + rounding
            found.append(
                (seconds, min(max(pages + direction * change, 0.0), most))
            )
        return found

    low, likely, high = (
        concave(shifted(way), most) for way in (-1.0, 0.0, 1.0)
    )
    first = min(windows)[0]
    longest = max(windows)[0]
    if likely(longest) < 1.5 * likely(first) * min(2.0, longest / first) / 2:
        high = _at_once(high)
        likely = _at_once(likely, 0.1)
    return low, likely, high


def growing(
    windows: collections.abc.Iterable[tuple[float, float]],
) -> list[tuple[float, float]]:
    """Return windows in which a longer one never has fewer pages.

    Neighbours that disagree, as the noise of sampling makes them, share
    their mean (isotonic regression by pooling adjacent violators).
    """
    pools: list[list[tuple[float, float]]] = []
    for window in sorted(windows):
        pools.append([window])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            last = pools.pop()
            pools[-1].extend(last)
    return [(seconds, _mean(pool)) for pool in pools for seconds, _p in pool]


def _mean(pool: list[tuple[float, float]]) -> float:
    return sum(pages for _seconds, pages in pool) / len(pool)


def _at_once(curve: Curve, share: float = 0.01) -> Curve:
    """Return the curve that gets to its first point in a share of it."""
    seconds, pages = curve.points[1]
    return Curve(
        ((0.0, 0.0), (seconds * share, pages), *curve.points[1:])
        if len(curve.points) > 2
        else ((0.0, 0.0), (seconds * share, pages), (seconds, pages)),
        curve.most,
    )


def forecast(
    low: Curve,
    likely: Curve,
    high: Curve,
    setting: Setting,
    spread: float = 0.1,
) -> Range:
    """Return how a migration would go at best, likely and at worst.

    :param spread: by which share the bandwidth may differ
    """

    def at(factor: float) -> Setting:
        return dataclasses.replace(
            setting, bandwidth=setting.bandwidth * factor
        )

    return Range(
        predict(low, at(1 + spread)),
        predict(likely, setting),
        predict(high, at(1 - spread)),
    )


@dataclasses.dataclass(frozen=True)
class Advice:
    """What would make a migration converge that does not.

    :param auto_converge: whether slowing the guest down would do
    :param bandwidth: bytes a second that would do; None for none
    :param timeout: seconds that would do; None when time does not help
    :param downtime: seconds of pause that would do
    """

    auto_converge: bool
    bandwidth: float | None
    timeout: float | None
    downtime: float


def advise(curve: Curve, setting: Setting) -> Advice:
    """Return what would change the answer for the worse curve."""
    slowed = predict(curve, dataclasses.replace(setting, auto_converge=True))
    endless = predict(curve, dataclasses.replace(setting, timeout=0.0))
    bandwidth = None
    for factor in (1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64):
        faster = dataclasses.replace(
            setting, bandwidth=setting.bandwidth * factor
        )
        if predict(curve, faster).converges:
            bandwidth = faster.bandwidth
            break
    size = setting.page_size + HEADER
    written = curve(1.0) * size
    return Advice(
        slowed.converges,
        bandwidth,
        endless.seconds if endless.converges else None,
        written / setting.bandwidth,
    )
