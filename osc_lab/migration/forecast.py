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

"""From samples of dirty pages to what a migration may take.

How many distinct pages a guest writes in a time is a concave curve: a page
that is written twice counts once.  Windows of page sampling give points of
it, with noise.  The forecast draws curves that such windows allow, plays
pre-copy through with each, and tells what most of them say.
"""

import collections.abc
import dataclasses
import functools
import math
import random
import typing

from osc_lab.migration import precopy

#: QEMU hashes 512 pages of each GiB (migration/dirtyrate.h).
SAMPLES_PER_GIB = 512

#: Guests with less memory are measured more often.
SMALL_GIB = 4

#: Curves that are drawn, and the shares of them between which the answer
#: lies in nine of ten cases.
DRAWS = 100
INTERVAL = (0.05, 0.95)

#: An end is promised when all draws but this share end, and ruled out when
#: no more than this share do.
DOUBT = 0.02

#: Rounds of one downtime that a draw plays; see precopy.predict.
PATIENCE = 50

#: Seconds in which a guest may have reached what the shortest window shows.
SOONEST = 0.02

#: The walk through the guests: where it may start, what of it counts.
START, WARM_UP, STRIDE = 200, 500, 25

#: Between the points of a curve lies this factor.
GRID = 1.4

#: Downtimes in seconds that may be advised.
DOWNTIMES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0)

Window = tuple[float, float]


def windows(first_round: float, gib: float) -> tuple[int, ...]:
    """Return the seconds to measure for.

    The longest is that of the first round, for what is written in it
    decides most; QEMU takes whole seconds.  Of a small guest it samples so
    few pages that the short windows are measured again.

    :param first_round: seconds in which all memory is sent once
    :param gib: memory of the guest
    """
    longest = min(max(first_round, 4.0), 30.0)
    found = [round(longest ** (step / 4)) for step in range(5)]
    if gib < SMALL_GIB:
        found += [1, 1, 1, 2]
    return tuple(sorted(found))


@dataclasses.dataclass(frozen=True)
class Range:
    """What the curves that a measurement allows say.

    :param best: nineteen of twenty take longer
    :param likely: half of them take longer
    :param worst: one of twenty takes longer, or does not end
    :param ending: share of them that end
    :param curve: the likely one
    :param hard: that of the worst prediction
    :param forced: seconds that the guest is paused at the timeout to make
        it end; one of twenty is longer
    """

    best: precopy.Prediction
    likely: precopy.Prediction
    worst: precopy.Prediction
    ending: float
    curve: precopy.Curve
    hard: precopy.Curve
    forced: float

    @property
    def converges(self) -> bool | None:
        """True or False when nearly all agree, else None."""
        if self.ending >= 1 - DOUBT:
            return True
        if self.ending <= DOUBT:
            return False
        return None


@functools.lru_cache(maxsize=64)
def forecast(
    measured: tuple[Window, ...],
    most: float,
    setting: precopy.Setting,
    spread: tuple[float, float] = (0.9, 1.1),
    filled: tuple[float, float] = (1.0, 1.0),
) -> Range:
    """Return how a migration may go.

    :param measured: (seconds, distinct pages) of each window
    :param most: pages that the guest has
    :param spread: between which multiples the bandwidth may lie
    :param filled: between which shares the pages that go in the first
        round may lie: QEMU's memory is counted in huge pages, and has
        pages of zeroes
    """
    # The same measurement gives the same answer.
    source = random.Random(0)  # noqa: S311
    found = []
    for curve in drawn(measured, most, setting.page_size, source):
        varied = dataclasses.replace(
            setting,
            bandwidth=setting.bandwidth * source.uniform(*spread),
            pages=int(setting.pages * source.uniform(*filled)),
        )
        found.append((precopy.predict(curve, varied, PATIENCE), curve))
    found.sort(key=lambda item: (not item[0].converges, item[0].seconds))
    low, high = (found[round(share * (DRAWS - 1))] for share in INTERVAL)
    middle = found[DRAWS // 2]
    forced = sorted(item.forced or 0.0 for item, _curve in found)
    return Range(
        low[0],
        middle[0],
        high[0],
        sum(item.converges for item, _curve in found) / DRAWS,
        middle[1],
        high[1],
        forced[round(INTERVAL[1] * (DRAWS - 1))],
    )


def drawn(
    measured: collections.abc.Sequence[Window],
    most: float,
    page_size: int,
    source: random.Random,
) -> list[precopy.Curve]:
    """Return curves that a measurement allows.

    A guest is taken for two writers, each with a time after which it has
    written all its pages once; which share of the pages is whose, and both
    times, are anything at first.  A walk through these that favours what
    fits the windows (Metropolis) gives the curves.
    """
    seen = _Seen.of(measured, most, page_size)
    longest = max(seen.times)
    first = [_Writers.any(source, longest) for _number in range(START)]
    best = max(first, key=lambda item: seen.fit(item)[0])
    # Where little was sampled the noise is that of what fits, not of what
    # was seen.
    seen = seen.around(best)
    here, fit = best, seen.fit(best)
    found = []
    for number in range(-WARM_UP, DRAWS * STRIDE):
        there = here.near(source)
        other = seen.fit(there)
        if math.log(1 - source.random()) < other[0] - fit[0]:
            here, fit = there, other
        if number >= 0 and number % STRIDE == 0:
            pages = max(0.0, source.gauss(fit[1], fit[2]))
            found.append(here.curve(pages, most))
    return found


@dataclasses.dataclass(frozen=True)
class _Writers:
    """How two writers share the pages of the longest window.

    :param share: of the pages that the first one wrote
    :param ends: when each has written all its pages, logarithm of seconds
    :param scattered: they write at random, not in order
    """

    share: float
    ends: tuple[float, float]
    scattered: bool
    longest: float

    @classmethod
    def any(cls, source: random.Random, longest: float) -> '_Writers':
        low, high = _bounds(longest)
        return cls(
            source.random(),
            (source.uniform(low, high), source.uniform(low, high)),
            source.random() < 0.5,
            longest,
        )

    def near(self, source: random.Random) -> '_Writers':
        """Return others, mostly near these."""
        step = 10 ** source.uniform(-2, 0.3)
        low, high = _bounds(self.longest)
        first, second = (
            _fold(end + source.gauss(0, step), low, high) for end in self.ends
        )
        return _Writers(
            _fold(self.share + source.gauss(0, step / 4), 0.0, 1.0),
            (first, second),
            self.scattered != (source.random() < 0.1),
            self.longest,
        )

    def __call__(self, seconds: float) -> float:
        """Return pages, as a share of those of the longest window."""
        first, second = (
            self._one(seconds, end) / self._one(self.longest, end)
            for end in map(math.exp, self.ends)
        )
        return self.share * first + (1 - self.share) * second

    def _one(self, seconds: float, end: float) -> float:
        if self.scattered:
            return -math.expm1(-seconds / end)
        return min(1.0, seconds / end)

    def curve(self, pages: float, most: float) -> precopy.Curve:
        ends = (math.exp(end) for end in self.ends)
        grid = {SOONEST / 2 * GRID**n for n in range(40)} | {*ends}
        return precopy.Curve(
            ((0.0, 0.0), *((t, pages * self(t)) for t in sorted(grid))), most
        )


def _bounds(longest: float) -> tuple[float, float]:
    """Return the earliest and latest end of a writer, as logarithms."""
    return math.log(SOONEST), math.log(longest * 30)


def _fold(value: float, low: float, high: float) -> float:
    """Return a value that is folded back into its bounds."""
    width = high - low
    value = (value - low) % (2 * width)
    return low + min(value, 2 * width - value)


@dataclasses.dataclass(frozen=True)
class _Seen:
    """Windows, with the noise that they have.

    QEMU counts changed pages among those that it samples, and gives whole
    MiB a second, rounded down.
    """

    times: tuple[float, ...]
    pages: tuple[float, ...]
    weights: tuple[float, ...]
    most: float
    page_size: int

    @classmethod
    def of(
        cls,
        measured: collections.abc.Sequence[Window],
        most: float,
        page_size: int,
    ) -> '_Seen':
        times = tuple(seconds for seconds, _pages in measured)
        pages = tuple(
            seen + 1024**2 / page_size * seconds / 2
            for seconds, seen in measured
        )
        return cls(times, pages, (), most, page_size)._weighted(pages)

    def around(self, writers: _Writers) -> '_Seen':
        """Return the windows with the noise of what is expected."""
        scale = self.fit(writers)[1]
        return self._weighted([scale * writers(t) for t in self.times])

    def _weighted(self, pages: collections.abc.Sequence[float]) -> '_Seen':
        sampled = SAMPLES_PER_GIB * self.most * self.page_size / 1024**3
        weights = []
        for seconds, expected in zip(self.times, pages, strict=True):
            share = min(expected / self.most, 1.0)
            odds = (share + 0.5 / sampled) * (1 - share + 0.5 / sampled)
            step = 1024**2 / self.page_size * seconds
            weights.append(1 / (odds / sampled * self.most**2 + step**2 / 12))
        return dataclasses.replace(self, weights=tuple(weights))

    def fit(self, writers: _Writers) -> tuple[float, float, float]:
        """Return how well writers fit, their pages and the error of that."""
        square = product = total = 0.0
        for t, seen, weight in zip(
            self.times, self.pages, self.weights, strict=True
        ):
            shape = writers(t)
            square += weight * shape * shape
            product += weight * shape * seen
            total += weight * seen * seen
        pages, error = product / square, 1 / math.sqrt(square)
        distance = total - product * product / square
        return math.log(error / pages) - distance / 2, pages, error


@dataclasses.dataclass(frozen=True)
class Advice:
    """What would make a migration converge that does not.

    :param auto_converge: whether slowing the guest down would do
    :param bandwidth: bytes a second that would do; None for none
    :param timeout: seconds that would do; None when time does not help
    :param downtime: seconds of pause that would do; None for none
    """

    auto_converge: bool
    bandwidth: float | None
    timeout: float | None
    downtime: float | None


def advise(curve: precopy.Curve, setting: precopy.Setting) -> Advice:
    """Return what would change the answer for a curve."""

    def what_if(**changes: typing.Any) -> precopy.Prediction:
        return precopy.predict(curve, dataclasses.replace(setting, **changes))

    endless = what_if(timeout=0.0)
    bandwidth = None
    for factor in (1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64):
        faster = setting.bandwidth * factor
        if what_if(bandwidth=faster).converges:
            bandwidth = faster
            break
    downtime = None
    allowed = setting.steps[-1][1]
    for longer in DOWNTIMES:
        # Nova's staircase is as wide as before, and goes up to that.
        steps = tuple(
            (at, pause * longer / allowed) for at, pause in setting.steps
        )
        if longer > round(allowed, 2) and what_if(steps=steps).converges:
            downtime = longer
            break
    return Advice(
        what_if(auto_converge=True).converges,
        bandwidth,
        endless.seconds if endless.converges else None,
        downtime,
    )
