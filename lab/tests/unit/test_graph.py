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

"""The order of steps, and what a failure does to it."""

import io
import threading
import unittest

from lab import errors
from lab import graph
from lab import progress


def report() -> progress.Progress:
    return progress.Progress(io.StringIO())


class CheckTest(unittest.TestCase):
    def refused(self, reason: str, *steps: graph.Step) -> None:
        with self.assertRaisesRegex(ValueError, reason):
            graph.check(steps)

    def test_mistakes_are_found_before_anything_runs(self) -> None:
        def step(name: str, *after: str) -> graph.Step:
            return graph.Step(name, self.fail, after)

        self.refused('twice', step('a'), step('a'))
        self.refused('unknown', step('a', 'b'))
        self.refused('each other', step('a', 'b'), step('b', 'a'), step('c'))


class RunTest(unittest.TestCase):
    def setUp(self) -> None:
        self.order: list[str] = []

    def step(self, name: str, *after: str, worked: bool = True) -> graph.Step:
        def run() -> bool:
            self.order.append(name)
            return worked

        return graph.Step(name, run, after)

    def test_a_step_waits_for_those_it_needs(self) -> None:
        steps = [
            self.step('roof', 'walls'),
            self.step('walls', 'ground'),
            self.step('ground'),
        ]
        graph.run(steps, 4, report())
        self.assertEqual(['ground', 'walls', 'roof'], self.order)

    def test_only_those_that_had_something_to_do_are_told(self) -> None:
        lines = io.StringIO()
        steps = [self.step('new'), self.step('old', worked=False)]
        worked = graph.run(steps, 1, progress.Progress(lines))
        self.assertEqual(['new'], worked)
        self.assertIn('new', lines.getvalue())
        self.assertNotIn('old', lines.getvalue())

    def test_nothing_starts_after_a_failure(self) -> None:
        def fail() -> bool:
            raise errors.LabError('no luck')

        steps = [graph.Step('bad', fail), self.step('next', 'bad')]
        with self.assertRaisesRegex(errors.LabError, '^bad: no luck$'):
            graph.run(steps, 4, report())
        self.assertEqual([], self.order)

    def test_any_exception_becomes_one_line_with_the_step(self) -> None:
        def fail() -> bool:
            raise KeyError('x')

        with self.assertRaisesRegex(errors.LabError, "^bad: KeyError: 'x'$"):
            graph.run([graph.Step('bad', fail)], 1, report())

    def test_the_capacity_is_kept_and_waiting_steps_are_free(self) -> None:
        running = 0
        most = 0
        guard = threading.Lock()
        free = threading.Event()

        def work() -> bool:
            nonlocal running, most
            with guard:
                running += 1
                most = max(most, running)
            free.wait(10)
            with guard:
                running -= 1
            return True

        def release() -> bool:
            free.set()
            return True

        steps = [graph.Step(f's{n}', work) for n in range(4)]
        # It frees the others, so it must start although all is taken.
        steps.append(graph.Step('light', release, (), 0))
        graph.run(steps, 2, report())
        self.assertEqual(2, most)

    def test_a_step_heavier_than_the_capacity_runs_alone(self) -> None:
        heavy = graph.Step('heavy', lambda: True, (), 9)
        self.assertEqual(['heavy'], graph.run([heavy], 2, report()))


if __name__ == '__main__':
    unittest.main()
