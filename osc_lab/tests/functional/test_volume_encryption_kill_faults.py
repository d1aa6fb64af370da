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
import signal
import statistics
import subprocess
import sys
import time

import openstack

from osc_lab.access import process as process_
from osc_lab.encryption import mark
from osc_lab.encryption import scratch
from osc_lab.tests.functional import sampler
from osc_lab.tests.functional import volumes
from osc_lab.tests import thorough

#: Rounds of kill -9 at random moments.
ROUNDS = int(os.environ.get('OSC_LAB_KILL_ROUNDS', '50'))

#: How often each kind of look must come in a round, on average.
LOOKS = 10


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
        pairs = thorough.Pairs(self)
        for number, when in itertools.product(
            range(1, len(recorded) + 1), ('before', 'after')
        ):
            with pairs.one():
                self.killed(number, when, recorded[number - 1])

    def killed(self, number, when, request):
        """Kill a run at a request; the next must mend what it left."""
        message = f'killed {when} {request}'
        self.web.log.clear()
        self.process = None
        self.web.kill = (number, when, self.pid)
        self.process = self.start()
        self.assertEqual(-9, self.process.wait(), message)
        self.web.kill = None
        self.assertHarmless(message)
        run = self.inside(*volumes.LUKS, '--name', self.name, '--no-verify')
        self.assertEqual(0, run.status, f'{message}: {run}')
        self.assertFinished(message)
        self.remove_types()

    def test_killed_run_of_another_project(self):
        """Its volume keeps its type from being removed."""
        gone = mark.new(process_.actor().host, 2**22 + 1)
        types = self.sdk.block_storage.post(
            '/types',
            json={
                'volume_type': {
                    'name': self.name,
                    'description': str(gone),
                    'os-volume-type-access:is_public': False,
                }
            },
        )
        type_id = types.json()['volume_type']['id']
        with openstack.connect(cloud=self.MEMBER) as member:
            self.sdk.block_storage.post(
                f'/types/{type_id}/action',
                json={
                    'addProjectAccess': {'project': member.current_project_id}
                },
            )
            volume = member.block_storage.post(
                '/volumes',
                json={
                    'volume': {
                        'name': self.name,
                        'size': 1,
                        'volume_type': type_id,
                        'metadata': {scratch.MARK: type_id},
                    }
                },
            ).json()['volume']
        self.addCleanup(self.delete_volume, volume['id'])
        run = self.inside(*volumes.LUKS, '--name', self.name, '--no-verify')
        self.assertEqual(0, run.status, str(run))
        self.assertNotEqual(type_id, self.assertFinished()['id'])
        left = self.sdk.block_storage.get(f'/volumes/{volume["id"]}')
        self.assertEqual(404, left.status_code)

    def length(self):
        """Return the seconds from the first request to the end."""
        self.web.log.clear()
        process = self.start()
        self.first_request(process)
        began = time.monotonic()
        self.assertEqual(0, process.wait())
        self.remove_types()
        return time.monotonic() - began

    def first_request(self, process):
        while not self.web.log and process.poll() is None:
            time.sleep(0.01)

    def samplers(self):
        """Start to look, in the database and through the API."""
        answer = self.sdk.block_storage.get('/types?is_public=None').json()
        known = [item['id'] for item in answer['volume_types']]
        found = {
            'database': sampler.Sampler(
                kind='database', known=known, mariadb=self.mariadb()
            ),
            'api': sampler.Sampler(
                kind='api',
                known=known,
                url=self.sdk.block_storage.get_endpoint(),
                token=self.sdk.auth_token,
            ),
        }
        for each in found.values():
            self.addCleanup(each.stop)
        return found

    def test_samplers_see_a_plain_type(self):
        samplers = self.samplers()
        time.sleep(1)
        self.inside('volume', 'type', 'create', self.name)
        time.sleep(0.5)
        for kind, each in samplers.items():
            self.assertGreater(each.stop()['dangerous'], 0, kind)

    def test_at_random_moments_nothing_public_is_plain(self):
        seed = random.randrange(2**32)
        rng = random.Random(seed)
        length = self.length()
        samplers = self.samplers()
        killed = 0
        for _round in range(ROUNDS):
            self.web.log.clear()
            process = self.start()
            self.first_request(process)
            time.sleep(rng.uniform(0, length))
            process.kill()
            killed += process.wait() == -9
            self.assertHarmless(f'seed {seed}')
            if not any(mark.read(i['description']) for i in self.types()):
                self.remove_types()
        print(f'{killed} of {ROUNDS} runs killed')
        for kind, each in samplers.items():
            answer = each.stop()
            gaps = sampler.gaps(answer['times'])
            median = statistics.median(gaps)
            print(
                f'{kind}: {len(gaps) + 1} looks, every '
                f'{1000 * median:.1f} ms (median), at most '
                f'{1000 * gaps[-1]:.0f} ms apart, '
                f'{sum(gap > 0.02 for gap in gaps)} gaps over 20 ms'
            )
            self.assertEqual(0, answer['dangerous'], f'{kind}, seed {seed}')
            # How fast it answers is the machine's; that it was asked is ours.
            self.assertGreater(len(gaps), LOOKS * ROUNDS, kind)
        self.assertGreater(killed, ROUNDS // 2)
        self.assertEqual(0, self.start().wait())
        self.assertFinished()


class TestSignals(volumes.VolumesTest):
    """SIGINT and SIGTERM undo everything at once, at every step."""

    def setUp(self):
        super().setUp()
        self.web, self.environ = self.proxy()

    def start(self):
        return subprocess.Popen(
            [
                *(sys.executable, '-m', 'openstackclient.shell'),
                *(*volumes.LUKS, '--name', self.name, '--no-probe'),
            ],
            env={**os.environ, 'OS_CLOUD': self.ADMIN, **self.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pid(self):
        while self.process is None:
            time.sleep(0.01)
        return self.process.pid

    def test_at_every_request(self):
        process = self.start()
        self.assertEqual(0, process.wait(), process.communicate())
        recorded = list(self.web.log)
        published = [method for method, _path in recorded].index('PUT') + 1
        self.remove_types()
        stops = (
            (signal.SIGINT, 'before'),
            (signal.SIGTERM, 'after'),
            (signal.SIGINT, 'after'),
            (signal.SIGTERM, 'before'),
        )
        pairs = thorough.Pairs(self)
        for number, request in enumerate(recorded, 1):
            # Both signals at every request; both moments at each of two.
            for number_, when in stops[number % 2 * 2 :][:2]:
                what = f'{number_.name} {when} {request}'
                with pairs.one():
                    self.stop(number, number_, when, published, what)

    def stop(self, number, which, when, published, what):
        self.web.log.clear()
        self.process = None
        self.web.signal = which
        self.web.kill = (number, when, self.pid)
        self.process = self.start()
        while len(self.web.log) < number and self.process.poll() is None:
            time.sleep(0.005)
        began = time.monotonic()
        out, err = self.process.communicate(timeout=60)
        took = time.monotonic() - began
        self.web.kill = None
        what = f'{what}: {out}{err}[{self.process.returncode}]'
        self.assertLess(took, 30, what)
        self.assertEqual(130, self.process.returncode, what)
        self.assertNotIn('Traceback', out + err, what)
        self.assertEqual([], self.scratch(), what)
        if number < published:
            self.assertEqual([], self.types(), what)
        elif self.types():
            self.assertFinished(what)
        self.remove_types()
