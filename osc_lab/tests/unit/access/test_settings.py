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

"""What clouds.yaml says."""

import testtools

from osc_lab.access import settings
from osc_lab import exceptions


class TestConfigFiles(testtools.TestCase):
    def test_paths_of_hosts(self):
        self.assertEqual({}, settings.config_files({}))
        self.assertEqual(
            {'1': ['/a', '2']},
            settings.config_files({'config_files': {1: ['/a', 2]}}),
        )

    def test_no_mapping_of_lists(self):
        for value in ('/a', ['/a'], {'a': '/a'}, {'a': None}, {'a': {}}):
            error = self.assertRaises(
                exceptions.InvalidInput,
                settings.config_files,
                {'config_files': value},
            )
            self.assertIn('config_files', str(error))
