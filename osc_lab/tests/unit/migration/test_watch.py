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

"""What is shown of a migration under way, and when it stands still."""

import fixtures
import testtools

from osc_lab.migration import record
from osc_lab.migration import watch

MIB = 1024**2


def running(**fields):
    return record.record(
        {'id': 1, 'status': 'running', **fields},
        {
            f'{kind}_{part}_bytes': size * MIB
            for kind in ('memory', 'disk')
            for part, size in (
                ('total', 300),
                ('processed', 200),
                ('remaining', 100),
            )
        },
    )


class TestSample(testtools.TestCase):
    def test_iteration_of_libvirt(self):
        job = {
            'memory_iteration': 3,
            'memory_total': 256 * MIB,
            'memory_processed': 100 * MIB,
            'memory_remaining': 60 * MIB,
            'memory_bps': 30 * MIB,
            'memory_dirty_rate': 5120,
            'memory_page_size': 4096,
            'downtime': 800,
        }
        line = watch.sample(12.2, running(), job).line(800)
        self.assertEqual(
            '12 of 800 s, memory iteration 3, 60 of 256 MiB left, '
            '30.0 MiB/s (dirty 20.0), about 2 s, downtime 800 ms, '
            '100 MiB sent',
            line,
        )

        short = watch.sample(12.2, running(), job).line(800, 79)
        self.assertEqual(line.partition(', about')[0], short)
        self.assertEqual(
            line, watch.sample(12.2, running(), job).line(800, len(line))
        )
        for width, short in ((6, '12 s'), (4, '12 s'), (3, '12 ')):
            found = watch.sample(12.2, None).line(None, width)
            self.assertEqual(short, found)

    def test_numbers_of_libvirt(self):
        """What it does not tell is none, or the page of most machines."""
        job = {
            'memory_iteration': 3,
            'memory_total': 9,
            'memory_processed': 4,
            'memory_remaining': 5,
            'memory_bps': 2,
            'memory_dirty_rate': 3,
            'downtime': 8,
        }
        phase = 'memory iteration 3'
        for more, rate in (
            ({}, 3 * 4096),
            ({'memory_page_size': 8192}, 24576),
        ):
            self.assertEqual(
                watch.Sample(
                    1, phase, 4, 5, 9, 2.0, float(rate), 8, 3, 'memory'
                ),
                watch.sample(1, running(), {**job, **more}),
            )
        none = (None,) * 4
        for job, found in (
            ({'disk_total': 9}, ('disk copy', 0, 0, 9, *none, 'disk')),
            (
                {'memory_total': 9, 'memory_iteration': 1},
                ('memory iteration 1', 0, 0, 9, *none[1:], 1, 'memory'),
            ),
            ({'memory_total': 9}, ('starting', *none, *none[1:])),
            ({'memory_iteration': 3}, ('starting', *none, *none[1:])),
        ):
            self.assertEqual(
                watch.Sample(1, *found), watch.sample(1, running(), job)
            )

    def test_numbers_of_nova(self):
        none = (None,) * 7
        silent = record.record({'id': 1, 'status': 'running'})
        self.assertEqual(
            watch.Sample(7, 'running', *none), watch.sample(7, silent)
        )
        memory = {
            f'memory_{part}_bytes': size
            for part, size in (
                ('total', 9),
                ('processed', 4),
                ('remaining', 5),
            )
        }
        found = record.record({'id': 1, 'status': 'running'}, memory)
        self.assertEqual(
            watch.Sample(7, 'running', 4, 5, 9, *none[:4], 'nova'),
            watch.sample(7, found),
        )

    def test_a_mebibyte(self):
        found = watch.Sample(1, 'x', MIB, None, MIB)
        self.assertEqual('1 s, x, 0 of 1 MiB left, 1 MiB sent', found.line())

    def test_job_that_is_over(self):
        self.assertEqual(
            '2 s, post', watch.sample(2, running(), {}, True).line()
        )
        for job, begun in ((None, True), ({}, False)):
            line = watch.sample(2, running(), job, begun).line()
            self.assertIn('2 s, running', line)

    def test_job_that_is_aborted(self):
        job = {'disk_total': 40 * MIB}
        self.assertEqual(
            '2 s, ending', watch.sample(2, running(), job, True).line()
        )

    def test_little(self):
        job = {'disk_total': 4096, 'disk_processed': 4096}
        line = watch.sample(2, running(), job).line()
        self.assertEqual('2 s, disk copy', line)

    def test_disk_comes_before_memory(self):
        job = {'disk_total': 40 * MIB, 'disk_remaining': 10 * MIB}
        line = watch.sample(2, running(), job).line()
        self.assertEqual('2 s, disk copy, 10 of 40 MiB left', line)
        self.assertEqual(
            '2 s, starting', watch.sample(2, running(), {'x': 1}).line()
        )

    def test_what_nova_alone_tells(self):
        found = watch.sample(1, None)
        self.assertEqual('1 s, requested', found.line())
        self.assertEqual('', found.kind)
        line = watch.sample(7, running()).line()
        self.assertEqual(
            '7 s, running, 200 of 600 MiB left, 400 MiB sent', line
        )
        for status, phase in (
            ('queued', 'queued'),
            ('post-migrating', 'post'),
        ):
            found = watch.sample(1, running(status=status))
            self.assertEqual(f'1 s, {phase}', found.line())


class TestPeak(testtools.TestCase):
    def test_nothing_is_counted_twice(self):
        peak = watch.Peak()
        self.assertEqual((0, 0), (peak.bytes, peak.iterations))
        for kind, sent in (
            ('disk', 10),
            ('memory', 100),
            ('memory', 150),
            ('nova', 140),
        ):
            peak.take(watch.Sample(1, 'x', processed=sent, kind=kind))
        self.assertEqual((160, 0), (peak.bytes, peak.iterations))
        peak.take(watch.Sample(2, 'x', processed=170, kind='nova'))
        self.assertEqual(170, peak.bytes)


class TestStall(testtools.TestCase):
    """Of a window of ten seconds."""

    def moment(self, samples, numbered=True):
        """Return when it was first said to stand still, None for never.

        :param samples: (seconds, round, what remains)
        """
        stall = watch.Stall(10)
        for elapsed, iteration, left in samples:
            sample = watch.Sample(
                elapsed,
                'x',
                remaining=left,
                iteration=iteration if numbered else None,
                kind='memory',
            )
            if stall.stands_still(sample):
                return elapsed
        return None

    def rounds(self, sizes, seconds):
        """Return the samples of rounds that begin with these sizes."""
        return [
            (number * seconds + at, number, size * (seconds - at) / seconds)
            for number, size in enumerate(sizes, 1)
            for at in range(seconds)
        ]

    def test_round_that_takes_longer_than_the_window(self):
        for numbered in (True, False):
            samples = self.rounds([100, 80, 60, 40], 15)
            self.assertIsNone(self.moment(samples, numbered=numbered))

    def test_rounds_that_become_no_smaller(self):
        for numbered in (True, False):
            samples = self.rounds([100] * 9, 4)
            # The first round ended after second seven.
            self.assertEqual(
                17, self.moment(samples, numbered=numbered), numbered
            )
            self.assertEqual(
                17, self.moment(self.rounds([100, 97, 98, 99, 97, 98], 4))
            )

    def test_nothing_is_sent(self):
        samples = [(at, 1, 100) for at in range(20)]
        self.assertEqual(10, self.moment(samples))
        self.assertIsNone(self.moment([(at, 1, None) for at in range(20)]))

    def test_window(self):
        """Without another wish, forty seconds."""
        stall = watch.Stall()
        found = [
            stall.stands_still(
                watch.Sample(at, 'x', remaining=100, kind='memory')
            )
            for at in (0, 39.9, 40)
        ]
        self.assertEqual([False, False, True], found)

    def test_noise(self):
        """Four percent less are none, and a bit more are."""
        for left, moment in ((96, 10), (95, None)):
            samples = [(0, 1, 100), (8, 2, left), (10, 2, 90)]
            self.assertEqual(moment, self.moment(samples))

    def test_a_round_that_begins_where_the_last_one_ended(self):
        samples = [(0, 1, 100), (4, 1, 90), (5, 2, 100), (9, 2, 60)]
        self.assertIsNone(self.moment([*samples, (15, 3, 50)]))
        self.assertEqual(15, self.moment([*samples, (15, 2, 50)]))

    def test_a_round_that_pauses(self):
        samples = [(0, 1, 100), (1, 1, 100), (5, 1, 98), (12, 1, 97)]
        self.assertIsNone(self.moment(samples, numbered=False))

    def test_rounds_of_a_phase(self):
        stall = watch.Stall(10)
        found = [
            stall.stands_still(
                watch.Sample(at, 'x', remaining=9, iteration=at, kind='memory')
            )
            for at in (1, 6, 11)
        ]
        self.assertEqual([False, False, True], found)

    def test_another_phase_begins_anew(self):
        for first, then in (('disk', 'memory'), ('nova', 'disk')):
            stall = watch.Stall(10)
            for elapsed, kind in ((0, first), (9, then), (18, then)):
                sample = watch.Sample(elapsed, 'x', remaining=100, kind=kind)
                self.assertFalse(stall.stands_still(sample))


class TestLanguage(testtools.TestCase):
    """What is decided does not depend on the words that are shown."""

    def setUp(self):
        super().setUp()
        words = {
            'memory iteration %d': 'Durchgang %d des Speichers',
            'disk copy': 'Durchgang der Platten',
        }
        self.useFixture(
            fixtures.MonkeyPatch(
                'osc_lab.migration.watch._', lambda text: words.get(text, text)
            )
        )
        memory = {'memory_total': 9 * MIB, 'memory_iteration': 1}
        self.jobs = [
            {'disk_total': 9 * MIB, 'disk_remaining': MIB},
            {**memory, 'memory_remaining': MIB},
        ]

    def test_another_phase_begins_anew(self):
        stall = watch.Stall(10)
        disk, memory = self.jobs
        for elapsed, job in ((0, disk), (9, memory), (18, memory)):
            sample = watch.sample(elapsed, running(), job)
            self.assertIn('Durchgang', sample.line())
            self.assertFalse(stall.stands_still(sample))

    def test_what_was_sent(self):
        peak = watch.Peak()
        for job in self.jobs:
            sent = {'disk_processed': 3, 'memory_processed': 4}
            peak.take(watch.sample(1, running(), {**job, **sent}))
        self.assertEqual(7, peak.bytes)
