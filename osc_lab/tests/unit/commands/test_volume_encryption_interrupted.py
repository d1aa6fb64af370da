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

"""The presets when requests fail, at each of them."""

import itertools

from osc_lab.encryption import mark
from osc_lab import exceptions
from osc_lab.tests.unit import cinder
from osc_lab.tests.unit.commands import presets

#: One of each kind; a proxy before a real Cinder tries all of them, see
#: the functional tests.
FAULTS = (
    *('reset-before', 'reset-after', 'timeout', 'garbage'),
    *(403, 404, 500),
)


class TestFaults(presets.PresetTest):
    """Each request of a recorded run fails in each way."""

    ARGV = (
        *('--private', '--project', 'two', '--no-verify'),
        *('-f', 'json'),
    )

    def test_every_request_with_every_fault(self):
        self.luks(*self.ARGV)
        requests = len(self.cloud.log)
        self.assertGreaterEqual(requests, 9)
        for number, fault in itertools.product(range(1, requests + 1), FAULTS):
            self.cloud.types.clear()
            self.cloud.encryptions.clear()
            self.cloud.log.clear()
            self.cloud.faults = {number: fault}
            run = cinder.Run(*presets.LUKS, *self.ARGV)
            self.check(
                run, f'{fault} at {number}: {run}', number > requests - 3
            )

    def check(self, run, message, finished):
        """Judge a run.

        :param finished: the fault came when it read again what it made
        """
        self.assertNotIn('Traceback', str(run), message)
        self.assertEqual([], self.cloud.dangerous(), message)
        if run.status == 0:
            (item,) = self.cloud.types.values()
            self.assertEqual(item['id'], run.json['id'], message)
            self.assertIn(item['id'], self.cloud.encryptions, message)
            self.assertIsNone(mark.read(item['description']), message)
        else:
            self.assertIn(run.status, (1, 5), message)
            if not finished:
                self.assertEqual({}, self.cloud.types, message)

    def test_every_request_of_the_proof_with_every_fault(self):
        self.luks('-f', 'json')
        requests = len(self.cloud.log)
        for number, fault in itertools.product(range(1, requests + 1), FAULTS):
            for kept in (
                self.cloud.types,
                self.cloud.encryptions,
                self.cloud.volumes,
                self.cloud.log,
            ):
                kept.clear()
            self.cloud.faults = {number: fault}
            run = cinder.Run(*presets.LUKS, '-f', 'json')
            message = f'{fault} at {number}: {run}'
            if self.cloud.volumes:
                # Nothing may stay that is not named, with its remedy.
                self.assertEqual(5, run.status, message)
                self.assertIn('openstack volume delete', run.stderr, message)
                self.assertIn('openstack volume type del', run.stderr, message)
                continue
            self.check(run, message, number > requests - 2)

    def test_dead_network_names_what_is_left(self):
        for number in range(4, 99):
            self.cloud.faults[number] = 'refuse'
        self.cloud.faults[3] = 'reset-after'
        run = self.luks(status=5)
        (item,) = self.cloud.types.values()
        self.assertIn(f'beside "{item["description"]}"', run.stderr)
        self.cloud.faults.clear()
        self.luks()
        self.assertEqual(1, len(self.cloud.types))


class TestInterrupt(presets.PresetTest):
    def test_undoes_at_every_request(self):
        self.luks('--no-verify')
        requests = len(self.cloud.log)
        for stop in (KeyboardInterrupt, exceptions.Interrupted):
            for number in range(1, requests + 1):
                self.cloud.types.clear()
                self.cloud.encryptions.clear()
                self.cloud.log.clear()

                def before(at, number=number, stop=stop):
                    if at == number:
                        raise stop('SIGTERM')

                self.cloud.before = before
                run = cinder.Run(*presets.LUKS, '--no-verify')
                self.assertEqual(130, run.status, f'{stop} {number} {run}')
                if number <= requests - 2:
                    self.assertEqual({}, self.cloud.types)
                else:
                    # It only reads again what is finished.
                    (item,) = self.cloud.types.values()
                    self.assertTrue(item['is_public'])


class TestRetryAfter(presets.PresetTest):
    def test_is_obeyed(self):
        self.cloud.faults = {2: 429}
        self.luks()
        self.sleep.assert_any_call(0.0)
