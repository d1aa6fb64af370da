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

"""The presets on a Cinder at HTTP level."""

from unittest import mock

from osc_lab.tests import bounded
from osc_lab.tests.unit import cinder

LUKS = ('volume', 'encryption', 'preset', 'luks')


class PresetTest(bounded.TestCase):
    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(cinder.Cloud())
        patcher = mock.patch('time.sleep')
        self.sleep = patcher.start()
        self.addCleanup(patcher.stop)

    def run_(self, *argv, status=0):
        run = cinder.Run(*argv)
        self.assertNotIn('Traceback', str(run))
        self.assertEqual(status, run.status, str(run))
        self.assertEqual([], self.cloud.dangerous())
        self.assertEqual({}, self.cloud.volumes)
        return run

    def luks(self, *argv, status=0):
        return self.run_(*LUKS, *argv, status=status)
