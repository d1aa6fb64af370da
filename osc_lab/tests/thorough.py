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


"""How much of what is generated is tried.

A run by default tries a little of everything, and the same each time, for a
gate is not to depend on luck; with OSC_LAB_THOROUGH set, as "tox -e faults"
does, it tries as much as the project promises, and something else each time.
"""

import contextlib
import os

import hypothesis
from testtools import content

#: Examples of a property that are asked for; 1 asks for what is promised.
EXAMPLES = int(os.environ.get('OSC_LAB_THOROUGH') or 0)

THOROUGH = EXAMPLES > 0

#: Seconds after which a parser or a renderer counts as hanging.
HANG = 2

_TOLERATED = [
    hypothesis.HealthCheck.too_slow,
    hypothesis.HealthCheck.filter_too_much,
    hypothesis.HealthCheck.data_too_large,
]


def prop(examples=60, thorough=2000):
    """Return settings of a property: 2,000 examples when thorough."""
    if THOROUGH:
        examples = max(examples, thorough, EXAMPLES)
    return hypothesis.settings(
        max_examples=examples,
        deadline=HANG * 1000,
        derandomize=not THOROUGH,
        suppress_health_check=_TOLERATED,
    )


def model(runs, steps, thorough=10_000):
    """Return settings of a stateful model: 10,000 steps when thorough.

    :param runs: how many by default
    :param steps: of each run
    """
    return hypothesis.settings(
        max_examples=-(-thorough // steps) if THOROUGH else runs,
        stateful_step_count=steps,
        deadline=None,
        derandomize=not THOROUGH,
        suppress_health_check=_TOLERATED,
    )


class Reached:
    """Sees that examples of a property come to what it is about.

    A property that tries only what is refused holds for nearly any code.

    :param least: how many examples have to
    """

    def __init__(self, test, least=12):
        self._tried = self._reached = 0
        test.addCleanup(self._judge, test, least)

    def count(self, reached):
        """Count an example, and whether it comes to it."""
        self._tried += 1
        self._reached += bool(reached)

    def _judge(self, test, least):
        if self._tried:
            test.assertGreaterEqual(self._reached, least)


class Pairs:
    """Counts the pairs of a step and a fault that a test tries.

    They are told with the result of the test, and added up at the end of a
    run (tools/tally.py).

    :ivar tried: how many were begun
    :ivar failed: how many of them did not end as they must
    """

    def __init__(self, test):
        self.tried = self.failed = 0
        test.addCleanup(self._tell, test)

    def _tell(self, test):
        text = f'{self.tried} pairs, {self.failed} failures'
        test.addDetailUniqueName('pairs', content.text_content(text))

    @contextlib.contextmanager
    def one(self):
        """Count one; it has failed unless the block comes to its end."""
        self.tried += 1
        self.failed += 1
        yield
        self.failed -= 1
