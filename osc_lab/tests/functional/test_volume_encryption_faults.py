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

"""Nothing that happens on the way leaves a type that does not encrypt."""

import itertools
import os
import subprocess
import sys
import time

import fixtures

from osc_lab.encryption import mark
from osc_lab.encryption import scratch
from osc_lab.tests.functional import faulty
from osc_lab.tests.functional import volumes
from osc_lab.tests import thorough


class FaultsTest(volumes.VolumesTest):
    """Every request of a recorded run fails in every way."""

    #: What is added to the command.
    options = ()

    #: Seconds that a run may take, and that it waits for an answer.
    limit = 20
    api_timeout = 1

    def setUp(self):
        super().setUp()
        self.web, self.environ = self.proxy(api_timeout=self.api_timeout)
        self.web.hang = 1.5 * self.api_timeout
        self.argv = (
            *volumes.LUKS,
            *('--name', self.name, *self.options, '-f', 'json'),
        )
        self.web.log.clear()
        run = self.inside(*self.argv, **self.environ)
        self.assertEqual(0, run.status, str(run))
        self.recorded = list(self.web.log)
        self.assertFinished()
        self.remove_types()

    def check_all(self, numbers, faults=faulty.FAULTS):
        pairs = thorough.Pairs(self)
        for number, fault in itertools.product(numbers, faults):
            with pairs.one():
                self.check(number, fault)

    def check(self, number, fault):
        what = f'{fault} at {number}, {self.recorded[number - 1]}'
        self.web.log.clear()
        self.web.struck = False
        self.web.faults = {number: fault}
        if number == 1 and fault == 'refused':
            self.web.away(0.3)
        began = time.monotonic()
        run = self.inside(*self.argv, **self.environ)
        took = time.monotonic() - began
        self.web.faults = {}
        what = f'{what}: {run}'
        self.assertTrue(self.web.struck, what)
        self.assertLess(took, self.limit, what)
        self.judge(run, what)
        self.clean()

    def judge(self, run, what):
        """Insist on all or nothing, or on the command for the rest."""
        self.assertEqual([], self.dangerous(), what)
        left = self.scratch()
        if left:
            self.assertEqual(5, run.status, what)
            for item in left:
                self.assertRegex(
                    run.stderr,
                    f'openstack volume delete (--force )?{item["name"]}',
                )
        last = self.web.writes and self.web.writes[-1][0] == 'PUT'
        if run.status == 0:
            item = self.assertFinished(what)
            self.assertEqual(item['id'], run.json()['id'], what)
            return
        self.assertIn(run.status, (1, 5), what)
        self.assertNotEqual('', run.stderr.strip(), what)
        if left:
            self.assertIn('openstack volume type delete', run.stderr, what)
        elif self.types():
            # The type was finished; reading it again failed.
            self.assertTrue(last, what)
            self.assertFinished(what)

    def dangerous(self):
        return [
            item
            for item in self.types()
            if item['is_public']
            and self.encryption(item['id']).get('provider') is None
        ]

    def clean(self):
        for item in self.scratch():
            self.delete_volume(item['id'])
        self.remove_types()


class TestFaults(FaultsTest):
    options = ('--no-verify',)

    def test_every_request_with_every_fault(self):
        self.check_all(range(1, len(self.recorded) + 1))

    def test_network_that_dies_is_mended_by_the_next_run(self):
        pairs = thorough.Pairs(self)
        for number in range(1, len(self.recorded) + 1):
            with pairs.one():
                self.dies_and_is_mended(number)

    def dies_and_is_mended(self, number):
        self.web.log.clear()
        self.web.struck = False
        self.web.dead = number
        run = self.inside(*self.argv, **self.environ)
        self.web.dead = None
        self.assertTrue(self.web.struck, str(run))
        self.assertIn(run.status, (1, 5), str(run))
        for item in self.types():
            if self.encryption(item['id']).get('provider') is None:
                self.assertFalse(item['is_public'], str(run))
                self.assertIsNotNone(mark.read(item['description']))
                self.assertIn('volume type delete', run.stderr)
        run = self.inside(*self.argv, **self.environ)
        self.assertEqual(0, run.status, str(run))
        self.assertFinished()
        self.remove_types()


class TestProofFaults(FaultsTest):
    """The requests about the volume that proves a type."""

    options = ('--no-probe',)
    limit = 60
    # A volume takes Cinder longer than a type.
    api_timeout = 3

    def setUp(self):
        self.useFixture(fixtures.MonkeyPatch(f'{scratch.__name__}._POLL', 0.1))
        super().setUp()
        self.steps = [
            number
            for number, (_method, path) in enumerate(self.recorded, 1)
            if path.startswith('/v3/volumes')
        ]

    def check_some(self, kind):
        self.assertGreaterEqual(len(self.steps), 6, self.recorded)
        self.check_all(
            self.steps, [f for f in faulty.FAULTS if isinstance(f, kind)]
        )

    def test_requests_that_are_refused(self):
        self.check_some(int)

    def test_requests_without_a_whole_answer(self):
        self.check_some(str)

    def test_network_that_dies_is_mended_by_the_next_run(self):
        """Nothing at all works any more, the undo neither."""
        named = 0
        pairs = thorough.Pairs(self)
        for number in self.steps:
            with pairs.one():
                named += self.dies_and_is_mended(number)
        self.assertGreater(named, 0)

    def dies_and_is_mended(self, number):
        """Return how many volumes the message named."""
        self.web.log.clear()
        self.web.struck = False
        self.web.dead = number
        run = self.inside(*self.argv, **self.environ)
        self.web.dead = None
        self.assertTrue(self.web.struck, str(run))
        what = f'dead from {self.recorded[number - 1]}: {run}'
        self.assertEqual(5, run.status, what)
        self.assertIn('openstack volume type delete', run.stderr, what)
        left = self.scratch()
        for item in left:
            self.assertRegex(
                run.stderr,
                f'openstack volume delete (--force )?{item["name"]}',
            )
        run = self.inside(*self.argv, **self.environ)
        self.assertEqual(0, run.status, f'{what}: {run}')
        self.assertFinished(what)
        self.assertEqual([], self.scratch(), what)
        self.clean()
        return len(left)


class TestManyAtOnce(volumes.VolumesTest):
    def run_at_once(self, count):
        argv = (
            *(sys.executable, '-m', 'openstackclient.shell'),
            *(*volumes.LUKS, '--name', self.name),
            *('-f', 'value', '-c', 'id', '-c', 'changed'),
        )
        running = [
            subprocess.Popen(
                argv,
                env={**os.environ, 'OS_CLOUD': self.ADMIN},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _number in range(count)
        ]
        answers = [
            (process.communicate(timeout=400), process.returncode)
            for process in running
        ]
        for (out, err), status in answers:
            self.assertEqual(0, status, out + err)
        item = self.assertFinished()
        outputs = [out.split() for (out, _err), _status in answers]
        self.assertEqual({item['id']}, {out[0] for out in outputs})
        makers = [out for out in outputs if out[1] == 'True']
        self.assertEqual(1, len(makers), outputs)
        self.assertEqual([], self.scratch())

    def test_two(self):
        self.run_at_once(2)

    def test_eight(self):
        self.run_at_once(8)

    def test_thirty_two(self):
        self.run_at_once(32)
