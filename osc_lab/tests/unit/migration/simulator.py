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

"""Pre-copy in small steps of time: what the model must agree with.

Nothing here is shared with the model: time goes on slice by slice, no round
is left out, and dirty pages are counted from how a guest writes, not from
a curve of windows.  As in the model, time is in microseconds and memory in
pages, so what fits does not hang on a fraction.

There are two of them.  ``migrate`` assumes what the model does about pages
that wait and are written again; ``migrate_pages`` has a bit for each page and
assumes nothing.
"""

import math
import random

#: Bytes of a page and its header.
SIZE = 4104


class Guest:
    """Writes pages: distinct ones in a time since they were counted.

    :param parts: (working set in pages, pages a second) of each writer;
        one that goes round its set in order is constant until all of it is
        dirty, several of them are concave
    """

    def __init__(self, parts):
        self.parts = parts
        self.known = {}

    def dirty(self, seconds):
        return sum(min(size, rate * seconds) for size, rate in self.parts)

    def __call__(self, seconds):
        return self.dirty(seconds)

    def since(self, pages):
        """Return the seconds in which so many are written."""
        if pages not in self.known:
            self.known[pages] = self.found(pages)
        return self.known[pages]

    def found(self, pages):
        if pages >= self.dirty(1e9):
            return math.inf
        low, high = 0.0, 1e9
        for _step in range(80):
            middle = (low + high) / 2
            if self.dirty(middle) < pages:
                low = middle
            else:
                high = middle
        return high

    def between(self, start, end):
        """Return the distinct pages written between two moments, in us."""
        return self.dirty((end - start) / 1e6)

    def again(self, pages, start, end):
        """Return how many of those that are dirty are written then."""
        return self.in_both(self.since(pages), (end - start) / 1e6)

    def in_both(self, first, second):
        """Return the pages that are written in each of two times."""
        if math.isinf(first):
            return self.dirty(second)
        more = self.dirty(first) - self.dirty(first + second)
        return max(0.0, self.dirty(second) + more)


class RandomWriter(Guest):
    """Writes pages at random: concave without an edge."""

    def dirty(self, seconds):
        return sum(
            size * (1 - math.exp(-rate * seconds / size))
            for size, rate in self.parts
        )


class Bursty(Guest):
    """Writes in bursts; pages are counted at the start of one."""

    def __init__(self, parts, period, share):
        super().__init__(parts)
        self.period = period
        self.share = share

    def active(self, seconds):
        """Return how much of a time it writes."""
        whole, part = divmod(seconds, self.period)
        burst = self.period * self.share
        return whole * burst + min(part, burst)

    def dirty(self, seconds):
        return super().dirty(self.active(seconds))


class Phased(Bursty):
    """Writes in bursts that go on whenever pages are counted."""

    def __init__(self, parts, period, share):
        super().__init__(parts, period, share)
        self.burst = Guest(parts)

    def between(self, start, end):
        return self.burst.between(*self.moments(start, end))

    def again(self, pages, start, end):
        return self.burst.again(pages, *self.moments(start, end))

    def moments(self, start, end):
        """Return two moments of the time in which it writes."""
        return (self.active(at / 1e6) * 1e6 for at in (start, end))


def migrate(guest, pages, bandwidth, steps, timeout, size=SIZE):
    """Return (converges, seconds, downtime).

    Time goes on in the slices of 50 ms after which QEMU looks what is left.
    """
    rate = int(bandwidth)
    slice_bytes = rate // 20
    pending = [(round(at * 1e6), round(pause * 1e6)) for at, pause in steps]
    fits = 0
    now = counted = 0
    left = dirty = pages * size
    while True:
        now += min(50_000, math.ceil(left * 1_000_000 / rate))
        left = max(0, left - slice_bytes)
        if timeout and now >= timeout * 1e6:
            return False, timeout, None
        while pending and pending[0][0] <= now:
            fits = rate * pending.pop(0)[1] // 1_000_000
        if left <= fits:
            both = guest.again(dirty / size, counted, now) * left / dirty
            written = int(guest.between(counted, now)) - int(both)
            left = dirty = min(left + written * size, pages * size)
            counted = now
            if left <= fits:
                return True, (now + left / rate * 1e6) / 1e6, left / rate


class Memory:
    """Pages, each dirty or not, and writers of known habits.

    :param parts: as those of a guest; each writer has pages of its own
    :param scattered: they write at random, not in order
    """

    def __init__(self, pages, parts, scattered, seed=0):
        self.pages = pages
        self.parts = parts
        self.scattered = scattered
        self.dirty = bytearray(b'\1') * pages
        self.source = random.Random(seed)
        #: where QEMU goes on, and each writer
        self.place = 0
        self.places = [0.0] * len(parts)

    def count(self, seconds):
        """Take in what was written in a time; return all that is dirty."""
        first = 0
        for number, (size, rate) in enumerate(self.parts):
            if self.scattered:
                share = -math.expm1(-rate * seconds / size)
                hits = int(size * share + self.source.random())
                for page in self.source.sample(range(size), hits):
                    self.dirty[first + page] = 1
            else:
                start = self.places[number]
                end = self.places[number] = start + rate * seconds
                self.write(first, size, int(start), int(end))
            first += size
        return self.dirty.count(1)

    def write(self, first, size, start, end):
        """Write pages in order, round and round."""
        end = min(end, start + size)
        for turn in range(start // size, end // size + 1):
            low = max(start - turn * size, 0)
            high = max(min(end - turn * size, size), low)
            self.dirty[first + low : first + high] = b'\1' * (high - low)

    def send(self, count):
        """Send dirty pages from where QEMU is; return those that are left."""
        left = max(0, self.dirty.count(1) - count)
        while (waiting := self.dirty.count(1)) > left:
            end = self.place_after(waiting - left)
            self.dirty[self.place : end] = bytes(end - self.place)
            self.place = end % self.pages
        return left

    def place_after(self, count):
        """Return where so many dirty pages are passed, or the end."""
        low, high = self.place, self.pages
        while high - low > 1:
            middle = (low + high) // 2
            if self.dirty.count(1, self.place, middle) >= count:
                high = middle
            else:
                low = middle
        return high


def migrate_pages(memory, bandwidth, steps, timeout):
    """Return (converges, seconds, downtime), as ``migrate`` does."""
    rate = bandwidth / SIZE
    pending = list(steps)
    now = counted = fits = owed = 0.0
    left = memory.pages
    while True:
        now += min(0.05, left / rate)
        owed += rate * 0.05
        left = memory.send(int(owed))
        owed %= 1
        if now >= timeout:
            return False, timeout, None
        while pending and pending[0][0] <= now:
            fits = rate * pending.pop(0)[1]
        if left <= fits:
            left = memory.count(now - counted)
            counted = now
            if left <= fits:
                return True, now + left / rate, left / rate


def steps(downtime=0.5, delay=150.0, count=10):
    """Return the pauses that are allowed, as Nova raises them."""
    base = downtime / count
    return tuple(
        (delay * i, base + (downtime - base) / count * i)
        for i in range(count + 1)
    )
