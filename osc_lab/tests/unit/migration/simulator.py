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

Nothing here is shared with the model: time goes on in steps, bytes leave
step by step, and dirty pages are counted from how a guest writes, not from
a curve of windows.
"""

import math


class Guest:
    """Writes pages: distinct ones in a time since they were counted.

    :param parts: (working set in pages, pages a second) of each writer;
        one that goes round its set in order is constant until all of it is
        dirty, many of them make the curve concave
    """

    def __init__(self, parts):
        self.parts = parts

    def dirty(self, seconds):
        return sum(min(size, rate * seconds) for size, rate in self.parts)

    def edges(self):
        """Return the moments at which the curve bends."""
        return sorted({size / rate for size, rate in self.parts if rate})


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

    def dirty(self, seconds):
        whole, part = divmod(seconds, self.period)
        active = whole * self.period * self.share + min(
            part, self.period * self.share
        )
        return super().dirty(active)


def migrate(guest, pages, bandwidth, steps, timeout, size=4104):
    """Return (converges, seconds, downtime).

    Time goes on in the slices after which QEMU looks what is left.
    """
    moments = sorted(steps)
    number = 0
    now = counted = 0.0
    left = float(pages * size)
    while True:
        move = min(0.05, left / bandwidth)
        now += move
        left = max(0.0, left - bandwidth * move)
        if timeout and now >= timeout:
            return False, timeout, None
        while number + 1 < len(moments) and moments[number + 1][0] <= now:
            number += 1
        fits = bandwidth * moments[number][1] * (1 + 1e-9)
        if left <= fits:
            left = min(left + guest.dirty(now - counted) * size, pages * size)
            counted = now
            if left <= fits:
                return True, now + left / bandwidth, left / bandwidth
