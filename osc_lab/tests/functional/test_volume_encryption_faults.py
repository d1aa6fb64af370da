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
import random
import subprocess
import sys
import threading
import time

from osc_lab.encryption import mark
from osc_lab.tests.functional import faulty
from osc_lab.tests.functional import volumes

#: Rounds of kill -9 at random moments.
ROUNDS = int(os.environ.get('OSC_LAB_KILL_ROUNDS', '50'))


class TestFaults(volumes.VolumesTest):
    """Every request of a recorded run fails in every way."""

    def setUp(self):
        super().setUp()
        self.web, self.environ = self.proxy(api_timeout=1)
        self.web.hang = 1.5
        self.argv = (
            *volumes.LUKS,
            *('--name', self.name, '--no-verify', '-f', 'json'),
        )
        self.web.log.clear()
        run = self.inside(*self.argv, **self.environ)
        self.assertEqual(0, run.status, str(run))
        self.recorded = list(self.web.log)
        self.assertFinished()
        self.remove_types()

    def test_every_request_with_every_fault(self):
        pairs = list(
            itertools.product(range(1, len(self.recorded) + 1), faulty.FAULTS)
        )
        endings = {}
        for number, fault in pairs:
            status = self.check(number, fault)
            endings[status] = endings.get(status, 0) + 1
        self.addDetail('pairs', volumes.text(f'{len(pairs)}: {endings}'))
        print(f'{len(pairs)} step x fault pairs, by status: {endings}')

    def check(self, number, fault):
        what = f'{fault} at {number}, {self.recorded[number - 1]}'
        self.web.log.clear()
        self.web.faults = {number: fault}
        if number == 1 and fault == 'refused':
            self.web.away(0.3)
        began = time.monotonic()
        run = self.inside(*self.argv, **self.environ)
        took = time.monotonic() - began
        self.web.faults = {}
        what = f'{what}: {run}'
        self.assertLess(took, 20, what)
        last = self.web.writes and self.web.writes[-1][0] == 'PUT'
        if run.status == 0:
            item = self.assertFinished(what)
            self.assertEqual(item['id'], run.json()['id'], what)
        else:
            self.assertIn(run.status, (1, 5), what)
            self.assertNotEqual('', run.stderr.strip(), what)
            if self.types():
                # The type was finished; reading it again failed.
                self.assertTrue(last, what)
                self.assertFinished(what)
        self.remove_types()
        return run.status

    def test_network_that_dies_is_mended_by_the_next_run(self):
        for number in range(1, len(self.recorded) + 1):
            self.web.log.clear()
            self.web.faults = dict.fromkeys(
                range(number, number + 100), 'reset-before'
            )
            run = self.inside(*self.argv, **self.environ)
            self.assertIn(run.status, (1, 5), str(run))
            for item in self.types():
                if self.encryption(item['id']).get('provider') is None:
                    self.assertFalse(item['is_public'], str(run))
                    self.assertIsNotNone(mark.read(item['description']))
                    self.assertIn('volume type delete', run.stderr)
            self.web.faults = {}
            run = self.inside(*self.argv, **self.environ)
            self.assertEqual(0, run.status, str(run))
            self.assertFinished()
            self.remove_types()


class TestKill(volumes.VolumesTest):
    """kill -9 leaves a private, marked type at most."""

    def setUp(self):
        super().setUp()
        self.web, self.environ = self.proxy()

    def start(self):
        return subprocess.Popen(
            [
                *(sys.executable, '-m', 'openstackclient.shell'),
                *(*volumes.LUKS, '--name', self.name, '--no-verify'),
            ],
            env={**os.environ, 'OS_CLOUD': self.ADMIN, **self.environ},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def pid(self):
        while self.process is None:
            time.sleep(0.01)
        return self.process.pid

    def assertHarmless(self, message):
        for item in self.types():
            encrypts = self.encryption(item['id']).get('provider')
            if mark.read(item['description']):
                self.assertFalse(item['is_public'], message)
            else:
                self.assertTrue(encrypts, message)

    def test_after_every_request(self):
        self.assertEqual(0, self.start().wait())
        recorded = list(self.web.log)
        self.remove_types()
        for number, when in itertools.product(
            range(1, len(recorded) + 1), ('before', 'after')
        ):
            message = f'killed {when} {recorded[number - 1]}'
            self.web.log.clear()
            self.process = None
            self.web.kill = (number, when, self.pid)
            self.process = self.start()
            self.assertEqual(-9, self.process.wait(), message)
            self.web.kill = None
            self.assertHarmless(message)
            run = self.inside(
                *(*volumes.LUKS, '--name', self.name, '--no-verify')
            )
            self.assertEqual(0, run.status, f'{message}: {run}')
            self.assertFinished(message)
            self.remove_types()
        print(f'{2 * len(recorded)} kills')

    def test_at_random_moments_nothing_public_is_plain(self):
        seed = random.randrange(2**32)
        rng = random.Random(seed)
        # One alone is slower than 20 ms on a busy machine.
        samplers = [Sampler(self.sdk, self.name) for _count in range(3)]
        for sampler in samplers:
            sampler.start()
            self.addCleanup(sampler.stop)
        killed = 0
        for _round in range(ROUNDS):
            self.web.log.clear()
            process = self.start()
            while not self.web.log and process.poll() is None:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.6))
            process.kill()
            killed += process.wait() == -9
            self.assertHarmless(f'seed {seed}')
            if not any(mark.read(i['description']) for i in self.types()):
                self.remove_types()
        for sampler in samplers:
            sampler.stop()
            self.assertEqual([], sampler.dangerous, f'seed {seed}')
        samples = sum(sampler.samples for sampler in samplers)
        period = samplers[0].period / len(samplers)
        print(
            f'{killed} of {ROUNDS} runs killed, {samples} samples, one '
            f'every {period * 1000:.0f} ms'
        )
        self.assertGreater(killed, ROUNDS // 2)
        self.assertEqual(0, self.start().wait())
        self.assertFinished()


class Sampler(threading.Thread):
    """Looks every 20 ms for a public type that does not encrypt."""

    def __init__(self, sdk, name):
        super().__init__(daemon=True)
        self._session = sdk.session
        self._url = sdk.block_storage.get_endpoint()
        self._name = name
        self._done = threading.Event()
        self.samples = 0
        self.period = 0.0
        self.dangerous = []

    def run(self):
        began = time.monotonic()
        while not self._done.is_set():
            started = time.monotonic()
            self.look()
            self.samples += 1
            self.period = (time.monotonic() - began) / self.samples
            self._done.wait(max(0, 0.02 - (time.monotonic() - started)))

    def look(self):
        listed = self._get('/types?is_public=None').json()['volume_types']
        for item in listed:
            if item['name'] == self._name and item['is_public']:
                answer = self._get(f'/types/{item["id"]}/encryption')
                if answer.status_code == 200 and not answer.json():
                    self.dangerous.append(item)

    def _get(self, path):
        return self._session.get(self._url + path, raise_exc=False)

    def stop(self):
        self._done.set()
        self.join()


class TestManyAtOnce(volumes.VolumesTest):
    def run_at_once(self, count):
        argv = (
            *(sys.executable, '-m', 'openstackclient.shell'),
            *(*volumes.LUKS, '--name', self.name, '--no-verify'),
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

    def test_two(self):
        self.run_at_once(2)

    def test_eight(self):
        self.run_at_once(8)

    def test_thirty_two(self):
        self.run_at_once(32)
