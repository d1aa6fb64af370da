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

import os
import signal
import threading
from unittest import mock

import testtools

from osc_lab import exceptions
from osc_lab import plan


class TestPlan(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.log = []

    def step(self, name, fails=None, undo_fails=None):
        def do():
            self.log.append(f'do {name}')
            if fails:
                raise fails

        def undo():
            self.log.append(f'undo {name}')
            if undo_fails:
                raise undo_fails

        return plan.Step(
            f'make {name}',
            do,
            command=f'create {name}',
            undo=undo,
            undo_command=f'delete {name}',
        )

    def test_runs_in_order(self):
        plan.Plan((self.step('a'), self.step('b'))).run()
        self.assertEqual(['do a', 'do b'], self.log)

    def test_empty_plan_is_false_and_does_nothing(self):
        empty = plan.Plan()
        self.assertFalse(empty)
        empty.run()
        self.assertEqual([], empty.rows())

    def test_rows_name_the_stock_commands(self):
        steps = plan.Plan((self.step('a'), plan.Step('look', print)))
        self.assertTrue(steps)
        self.assertEqual([('make a', 'create a'), ('look', '')], steps.rows())

    def test_failure_undoes_in_reverse_and_the_failed_step_too(self):
        failing = plan.Plan(
            (
                self.step('a'),
                self.step('b', fails=ValueError('no')),
                self.step('c'),
            )
        )
        self.assertRaises(ValueError, failing.run)
        self.assertEqual(['do a', 'do b', 'undo b', 'undo a'], self.log)

    def test_step_without_undo_is_passed_over(self):
        failing = plan.Plan(
            (
                self.step('a'),
                plan.Step('look', lambda: None),
                self.step('b', fails=ValueError('no')),
            )
        )
        self.assertRaises(ValueError, failing.run)
        self.assertEqual(['do a', 'do b', 'undo b', 'undo a'], self.log)

    def test_keyboard_interrupt_undoes(self):
        failing = plan.Plan(
            (self.step('a'), self.step('b', fails=KeyboardInterrupt()))
        )
        self.assertRaises(KeyboardInterrupt, failing.run)
        self.assertEqual(['do a', 'do b', 'undo b', 'undo a'], self.log)

    def test_failed_undo_names_what_is_left_and_goes_on(self):
        failing = plan.Plan(
            (
                self.step('a'),
                self.step('b', undo_fails=OSError('gone')),
                self.step('c', fails=ValueError('no')),
            )
        )
        error = self.assertRaises(exceptions.UndoFailed, failing.run)
        self.assertEqual('undo a', self.log[-1])
        self.assertEqual((('make b (gone)', 'delete b'),), error.left)
        self.assertIn('Failed to make c: no', str(error))
        self.assertIn('May be left behind: make b', str(error))
        self.assertIn('delete b', str(error))
        self.assertEqual(exceptions.ExitCode.OPERATION_FAILED, error.exit_code)

    def test_what_is_left_when_little_is_known(self):
        """An error without words, an undo without a command."""

        def fail():
            raise ValueError

        failing = plan.Plan((plan.Step('make a', fail, undo=fail),))
        error = self.assertRaises(exceptions.UndoFailed, failing.run)
        self.assertIn('Failed to make a: ValueError', str(error))
        self.assertEqual((('make a ()', '-'),), error.left)

    def test_command_that_is_known_only_afterwards(self):
        names = []

        def fail():
            names.append('x')
            raise ValueError

        step = plan.Step(
            'make', fail, undo=fail, undo_command=lambda: f'delete {names}'
        )
        error = self.assertRaises(
            exceptions.UndoFailed, plan.Plan((step,)).run
        )
        self.assertEqual((('make ()', "delete ['x', 'x']"),), error.left)

    def test_signal_while_undoing_is_held_back(self):
        # A job in the background of a shell would ignore it.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)

        def undo():
            os.kill(os.getpid(), signal.SIGINT)
            self.log.append('undone')

        failing = plan.Plan(
            (
                plan.Step('make a', lambda: None, undo=undo),
                self.step('b', fails=ValueError('no')),
            )
        )
        self.assertRaises(ValueError, failing.run)
        self.assertEqual(['do b', 'undo b', 'undone'], self.log)
        self.assertIs(
            signal.default_int_handler, signal.getsignal(signal.SIGINT)
        )


class TestInterruptible(testtools.TestCase):
    def test_sigterm_becomes_an_exception(self):
        before = signal.getsignal(signal.SIGTERM)

        def stop():
            with plan.interruptible():
                os.kill(os.getpid(), signal.SIGTERM)
                signal.pause()

        error = self.assertRaises(exceptions.Interrupted, stop)
        self.assertEqual('SIGTERM', str(error))
        self.assertIs(before, signal.getsignal(signal.SIGTERM))

    def both(self, first, second, seconds, expected):
        """Send two signals, the second while nobody undoes yet."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        now = [100.0]
        log = []

        def stop():
            try:
                os.kill(os.getpid(), first)
                signal.pause()
            except KeyboardInterrupt:
                now[0] += seconds
                os.kill(os.getpid(), second)
                log.append('undone')
                raise

        with mock.patch('time.monotonic', lambda: now[0]):
            with plan.interruptible():
                try:
                    stop()
                except KeyboardInterrupt as error:
                    log.append(str(error))
        self.assertEqual(expected, log)

    def test_two_signals_at_once_are_one(self):
        """As timeout(1) sends them: to the process, and to its group."""
        for second in (signal.SIGTERM, signal.SIGHUP):
            self.both(signal.SIGTERM, second, 0.4, ['undone', 'SIGTERM'])

    def test_a_second_signal_counts(self):
        for seconds in (0.5, 0.6):
            self.both(signal.SIGTERM, signal.SIGHUP, seconds, ['SIGHUP'])
        self.both(signal.SIGINT, signal.SIGINT, 0.4, [''])

    def test_what_is_ignored_stays_ignored(self):
        """As under nohup."""
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGHUP, before)
        with plan.interruptible():
            self.assertIs(signal.SIG_IGN, signal.getsignal(signal.SIGHUP))

    def test_what_was_held_back_takes_effect(self):
        log = []

        def clean_up():
            with plan.interruptible(), plan.uninterrupted():
                os.kill(os.getpid(), signal.SIGTERM)
                log.append('cleaned up')
            log.append('went on')

        self.assertRaises(exceptions.Interrupted, clean_up)
        self.assertEqual(['cleaned up'], log)

    def test_what_was_held_back_hides_no_error(self):
        def fail():
            with plan.interruptible():
                try:
                    raise ValueError('why')
                finally:
                    with plan.uninterrupted():
                        os.kill(os.getpid(), signal.SIGTERM)

        self.assertRaises(ValueError, fail)

    def test_other_threads_leave_signals_alone(self):
        """Python lets the main thread alone set handlers."""
        seen = []

        def run():
            with plan.interruptible(), plan.uninterrupted():
                seen.append(signal.getsignal(signal.SIGTERM))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        self.assertEqual([signal.getsignal(signal.SIGTERM)], seen)
