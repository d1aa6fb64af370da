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

"""Time that a test moves on."""

import threading
import time

import fixtures

SLEEP, MONOTONIC = time.sleep, time.monotonic


class Instead(fixtures.Fixture):
    """What sleeps, and tells the time, for those who ask the module.

    :param found: () -> what has ``sleep`` and ``monotonic``, asked each time
    """

    def __init__(self, found):
        super().__init__()
        self.found = found

    def _setUp(self):
        for name in ('sleep', 'monotonic'):
            self.useFixture(
                fixtures.MonkeyPatch(f'time.{name}', self._call(name))
            )

    def _call(self, name):
        return lambda *args: getattr(self.found(), name)(*args)


class Clock(Instead):
    """Time that passes when somebody sleeps, and not else.

    :ivar now: seconds
    :ivar longest: seconds after which nobody waits for anything
    """

    longest = 10_000

    def __init__(self):
        super().__init__(lambda: self)
        self.now = 0.0
        self.earlier = {*threading.enumerate()} - {threading.current_thread()}

    def _left_behind(self):
        """Whether an earlier test has left the thread that asks."""
        return threading.current_thread() in self.earlier

    def sleep(self, seconds):
        if self._left_behind():
            SLEEP(seconds)
            return
        self.now += seconds
        # What would wait for ever fails.
        assert self.now < self.longest, self.now

    def monotonic(self):
        if self._left_behind():
            return MONOTONIC()
        # Clocks of this kind begin anywhere.
        return 1000.0 + self.now
