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


import dataclasses
import os
from unittest import mock

import fixtures
import testtools

from osc_lab.access import process


class TestActor(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.mark = process.actor().mark()

    def namespace(self, path):
        self.useFixture(
            fixtures.MonkeyPatch(f'{process.__name__}._NAMESPACE', path)
        )

    def test_process_of_this_machine(self):
        alive = dataclasses.replace(self.mark, process=os.getppid())
        gone = dataclasses.replace(self.mark, process=2**22 + 1)
        self.assertIs(False, process.actor().is_gone(alive))
        self.assertIs(True, process.actor().is_gone(gone))

    def test_process_of_another_namespace(self):
        """Nobody here can see it, although the machine has one name."""
        self.namespace('/')
        self.assertIsNone(process.actor().is_gone(self.mark))

    def test_long_name(self):
        name = mock.Mock(nodename='h' * 64)
        with mock.patch('os.uname', return_value=name):
            mark = process.actor().mark()
            self.namespace('/')
            self.assertIsNone(process.actor().is_gone(mark))

    def test_system_without_namespaces(self):
        self.namespace('/none')
        self.assertEqual(os.uname().nodename[:48], process.actor().host)
