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

"""Labs come up, stand side by side, and go without a trace."""

import contextlib
import os
import pathlib
import shutil
import signal
import tempfile
import time

from lab import rest
from lab.tests.functional import base

VOLUMES = ('up', '--profile', 'volumes')


class LifecycleTest(base.LabTest):
    def folder(self):
        state = pathlib.Path(tempfile.mkdtemp(prefix='osc-lab-')).resolve()
        self.addCleanup(shutil.rmtree, state, ignore_errors=True)
        self.addCleanup(base.lab, state, 'down')
        return state

    def answers(self, state):
        url = base.layout(state).url('keystone')
        try:
            return rest.request('GET', f'{url}/v3')[0]['version']['status']
        except rest.UNREACHABLE:
            return None

    def test_second_up_and_down(self):
        before = base.surroundings()
        state = self.folder()
        base.lab(state, *VOLUMES)
        self.assertEqual(before, base.surroundings())
        running = base.services(state)
        self.assertIn('cinder-volume', {name for name, _ in running}, running)
        # The look for traces sees a lab that runs.
        self.assertNotEqual({}, base.processes(state))
        told = base.lab(state, *VOLUMES)
        self.assertIn('nothing to do', told)
        self.assertEqual(running, base.services(state))
        base.lab(state, 'down')
        self.assert_gone(state)
        self.assertEqual(before, base.surroundings())
        self.assertIn('was down', base.lab(state, 'down'))

    def test_a_dead_service_comes_back(self):
        state = self.folder()
        base.lab(state, *VOLUMES)
        before = base.services(state)
        for name, pid in before:
            if name == 'cinder-api':
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        told = base.lab(state, *VOLUMES)
        self.assertIn('cinder-api', told)
        left = {row for row in before if row[0] != 'cinder-api'}
        self.assertEqual(left, before & base.services(state))

    def test_two_labs_side_by_side(self):
        one, other = self.folder(), self.folder()
        programs = [base.spawn(s, *VOLUMES) for s in (one, other)]
        self.assertEqual([0, 0], [p.wait(600) for p in programs])
        self.assertNotEqual(
            base.layout(one).address, base.layout(other).address
        )
        self.assertEqual('stable', self.answers(one))
        base.lab(one, 'down')
        self.assert_gone(one)
        self.assertIsNone(self.answers(one))
        self.assertEqual('stable', self.answers(other))
        base.lab(other, 'down')
        self.assert_gone(other)

    def test_killed_on_the_way_up(self):
        before = base.surroundings()
        state = self.folder()
        for delay in (0.6, 3.0, 9.0):
            program = base.spawn(state, *VOLUMES)
            time.sleep(delay)
            program.kill()
            program.wait()
            base.lab(state, 'down')
            self.assert_gone(state)
            self.assertEqual(before, base.surroundings())
        # What was cut short does not stand in the way of the next one.
        base.lab(state, *VOLUMES)
        self.assertEqual('stable', self.answers(state))

    def test_down_without_the_state_folder(self):
        state = self.folder()
        base.lab(state, *VOLUMES)
        self.assertNotEqual({}, base.processes(state))
        shutil.rmtree(state)
        base.lab(state, 'down')
        self.assert_gone(state)


class MistakesTest(base.LabTest):
    """Errors are one line that says what to do."""

    def test_key_manager_stays(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix='osc-lab-')).resolve()
        self.addCleanup(shutil.rmtree, folder)
        (folder / 'lab.json').write_text(
            '{"block": "127.9.9", "epmd_port": 21000, "ports": {},'
            ' "profile": "volumes", "key_manager": "barbican"}'
        )
        told = base.lab(folder, 'up', '--key-manager', 'fixed-key', status=1)
        self.assertIn('--state', told)
        self.assertEqual(1, len(told.splitlines()))

    def test_folder_that_is_too_long(self):
        told = base.lab(pathlib.Path('/tmp') / ('x' * 80), 'up', status=1)
        self.assertIn('--state', told)
        self.assertEqual(1, len(told.splitlines()))

    def test_no_lab(self):
        for verb in ('env', 'status'):
            told = base.lab(pathlib.Path('/nonexistent'), verb, status=1)
            self.assertIn('there is no lab', told)
