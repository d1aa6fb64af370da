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
"""

import math


class Guest:
    """Writes pages: distinct ones in a time since they were counted.

    :param parts: (working set in pages, pages a second) of each writer;
        one that goes round its set in order is constant until all of it is
        dirty, several of them are concave
    """

    def __init__(self, parts):
        self.parts = parts

    def dirty(self, seconds):
        return sum(min(size, rate * seconds) for size, rate in self.parts)

    def between(self, start, end):
        """Return the distinct pages written between two moments, in us."""
        return self.dirty((end - start) / 1e6)


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

    def between(self, start, end):
        active = self.active(end / 1e6) - self.active(start / 1e6)
        return Guest.dirty(self, active)


def migrate(guest, pages, bandwidth, steps, timeout, size=4104):
    """Return (converges, seconds, downtime).

    Time goes on in the slices of 50 ms after which QEMU looks what is left.
    """
    rate = int(bandwidth)
    slice_bytes = rate // 20
    pending = [(round(at * 1e6), round(pause * 1e6)) for at, pause in steps]
    fits = 0
    now = counted = 0
    left = pages * size
    while True:
        now += min(50_000, math.ceil(left * 1_000_000 / rate))
        left = max(0, left - slice_bytes)
        if timeout and now >= timeout * 1e6:
            return False, timeout, None
        while pending and pending[0][0] <= now:
            fits = rate * pending.pop(0)[1] // 1_000_000
        if left <= fits:
            written = guest.between(counted, now)
            left = min(left + int(written) * size, pages * size)
            counted = now
            if left <= fits:
                return True, (now + left / rate * 1e6) / 1e6, left / rate
