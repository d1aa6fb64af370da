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

"""Pre-copy, played through: does it end, when, how long is the pause?

The model follows QEMU's pre-copy (migration/ram.c, migration.c): memory
goes round by round; when what is left of a round would fit into the
downtime that is allowed, the dirty pages are counted anew, and either that
count fits, too, and the guest is paused for it, or a new round begins.  A page
that waits to be sent and is written again counts once.
Nova raises the downtime in steps and acts when its time is over
(nova.virt.libvirt.migration: downtime_steps, should_abort).

Time is counted in whole microseconds and memory in whole pages: no rounding
error of a fraction decides whether a round fits.
"""

import bisect
import dataclasses
import math
import operator
import typing

#: QEMU sends a header of eight bytes with each page, and for a page of
#: zeroes nothing but a header and one byte.
HEADER = 8
ZERO_PAGE = 9

#: Microseconds after which QEMU looks how much is left: MAX_WAIT of
#: migration/ram.c.
SLICE = 50_000

_SECOND = 1_000_000

#: Seconds after which a migration without a timeout counts as endless.
DAY = 86400.0

#: auto-converge (migration/ram.c, migration_trigger_throttle): when twice
#: more than this share of what was sent is dirty again, the guest is
#: slowed down by the first share, then by further ones.
THROTTLE = (0.5, 0.2, 0.1, 0.99)

Steps = tuple[tuple[float, float], ...]


class Written(typing.Protocol):
    """Distinct pages that a guest writes, by the time that it has."""

    def __call__(self, seconds: float) -> float:
        """Return the pages that are written in some seconds."""

    def since(self, pages: float) -> float:
        """Return the seconds in which so many are written, or inf."""


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
        index = bisect.bisect_right(points, (seconds, math.inf))
        index = min(index, len(points) - 1)
        (t0, d0), (t1, d1) = points[index - 1], points[index]
        slope = (d1 - d0) / (t1 - t0)
        return min(self.most, d0 + slope * (seconds - t0))

    def since(self, pages: float) -> float:
        """Return the seconds in which so many are written, or inf."""
        points = self.points
        index = bisect.bisect_left(points, pages, key=operator.itemgetter(1))
        index = min(max(index, 1), len(points) - 1)
        (t0, d0), (t1, d1) = points[index - 1], points[index]
        if pages >= self.most or d1 == d0:
            return math.inf
        return t0 + (pages - d0) * (t1 - t0) / (d1 - d0)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the migration is done with.

    :param pages: that hold something and go in the first round
    :param bandwidth: bytes a second
    :param steps: (seconds since the start, allowed downtime in seconds)
    :param timeout: seconds after which Nova acts; 0 is never
    :param disk_bytes: copied before the memory
    :param auto_converge: QEMU slows the guest down
    :param zero_pages: that hold nothing and cost next to nothing
    :param link: bytes a second while the guest is paused, when QEMU lifts
        its limit; None for the bandwidth
    :param before: seconds from Nova's start to the first byte
    :param after: seconds of the switch-over besides the last pages
    """

    pages: int
    bandwidth: float
    steps: Steps
    timeout: float = 0.0
    disk_bytes: float = 0.0
    auto_converge: bool = False
    page_size: int = 4096
    zero_pages: int = 0
    link: float | None = None
    before: float = 0.0
    after: float = 0.0


@dataclasses.dataclass(frozen=True)
class Prediction:
    """How a migration would go.

    :param seconds: from Nova's start until it ends, one way or the other
    :param downtime: pause of the guest, seconds; None without an end
    :param rounds: how often the dirty pages were counted
    :param forced: pause in seconds when the guest is paused at the timeout
        so that it ends; None with an end
    """

    converges: bool
    seconds: float
    downtime: float | None
    rounds: int
    sent_bytes: float
    forced: float | None = None


def predict(
    curve: Written,
    setting: Setting,
    patience: int | None = None,
) -> Prediction:
    """Return how pre-copy would go.

    :param patience: rounds without a new low of what is left after which
        none is expected before the downtime changes; None plays all
    """
    return _Run(curve, setting, patience).play()


class _Run:
    """One migration; times in microseconds, amounts in bytes."""

    def __init__(
        self,
        curve: Written,
        setting: Setting,
        patience: int | None,
    ) -> None:
        self.curve = curve
        self.setting = setting
        self.patience = patience
        self.page = setting.page_size + HEADER
        self.rate = max(1, int(setting.bandwidth))
        self.amount = self.rate * SLICE // _SECOND or 1
        self.limit = _us(setting.timeout or DAY)
        disk = int(setting.disk_bytes)
        self.now = _us(setting.before) + disk * _SECOND // self.rate
        self.sent = disk
        self.left = setting.pages * self.page + setting.zero_pages * ZERO_PAGE
        #: bytes that were dirty when they were counted
        self.dirty = self.left
        self.rounds = 0
        self.speed = 1.0
        self.alarms = 0
        self._advance()

    def play(self) -> Prediction:
        setting = self.setting
        most = (setting.pages + setting.zero_pages) * self.page
        while True:
            began, before = self.now, self.sent
            self._send()
            if self.now >= self.limit:
                self._count(began, most)
                return Prediction(
                    False,
                    self.limit / _SECOND,
                    None,
                    self.rounds,
                    self.sent,
                    (self.now - self.limit) / _SECOND + self.left / self.rate,
                )
            self.rounds += 1
            written = self._count(began, most)
            if self.left <= self.fits:
                return self._end()
            if self.setting.auto_converge:
                self._throttle(written, self.sent - before)
            else:
                self._skip()

    def _count(self, began: int, most: int) -> int:
        """Count what was written since then; return what that adds."""
        seconds = (self.now - began) / _SECOND * self.speed
        before = self.curve.since(self.dirty / self.page)
        written = self.curve(seconds)
        both = written
        if math.isfinite(before):
            # What is dirty was written in some time before.  Two times, one
            # after the other, have as many pages in common as they have more
            # apart than together.
            both += self.curve(before) - self.curve(before + seconds)
        waits = max(0.0, both) * self.left / (self.dirty or 1)
        added = (int(written) - int(waits)) * self.page
        self.dirty = self.left = min(self.left + added, most)
        return added

    def _end(self) -> Prediction:
        pause = self.left / (self.setting.link or self.rate)
        pause += self.setting.after
        return Prediction(
            True,
            self.now / _SECOND + pause,
            pause,
            self.rounds,
            self.sent + self.left,
        )

    def _advance(self) -> None:
        """Take the downtime that is allowed now, and look for the next."""
        steps = self.setting.steps
        step = max(0, sum(_us(at) <= self.now for at, _pause in steps) - 1)
        #: bytes that fit into the downtime
        self.fits = self.rate * _us(steps[step][1]) // _SECOND
        #: when that changes, or Nova acts
        self.change = min(
            (_us(at) for at, _pause in steps if _us(at) > self.now),
            default=self.limit,
        )
        self.change = min(self.change, self.limit)
        #: left -> (moment, sent, rounds) after a round with this downtime
        self.seen: dict[int, tuple[int, int, int]] = {}
        self.low: tuple[int, int] = (self.left, self.rounds)

    def _send(self) -> None:
        """Send until what is left fits into the downtime.

        QEMU looks after each slice of sending, so it sends a little more
        than it had to.
        """
        while True:
            count = min(
                (self.left - self.fits + self.amount - 1) // self.amount,
                (self.change - self.now + SLICE - 1) // SLICE,
            )
            whole = max(count, 1) - 1
            last = max(0, self.left - whole * self.amount)
            left = max(0, last - self.amount)
            self.now += whole * SLICE
            self.now += min(
                SLICE, (last * _SECOND + self.rate - 1) // self.rate
            )
            self.sent += self.left - left
            self.left = left
            if self.now >= self.change:
                if self.now >= self.limit:
                    return
                self._advance()
            if self.left <= self.fits:
                return

    def _throttle(self, written: int, sent: int) -> None:
        share, first, more, most = THROTTLE
        self.alarms += written > share * sent
        if self.alarms == 2:
            self.alarms = 0
            slow = 1 - self.speed
            self.speed = 1 - min(most, slow + more if slow else first)

    def _skip(self) -> None:
        """Leave out rounds that repeat.

        What follows a round depends on what is left alone, until the
        downtime changes.
        """
        if self.left < self.low[0]:
            self.low = (self.left, self.rounds)
        times = 0
        now, sent, rounds = self.seen.get(self.left, (0, 0, 0))
        if now:
            times = (self.change - self.now) // (self.now - now) - 1
        elif (
            self.patience is not None
            and self.rounds - self.low[1] > self.patience
        ):
            now, sent, rounds = next(iter(self.seen.values()))
            times = (self.change - self.now) // (self.now - now)
        times = max(0, times)
        self.now += times * (self.now - now)
        self.sent += times * (self.sent - sent)
        self.rounds += times * (self.rounds - rounds)
        self.seen[self.left] = (self.now, self.sent, self.rounds)


def _us(seconds: float) -> int:
    return round(seconds * _SECOND)
