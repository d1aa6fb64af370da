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

"""Tests that end when they hang.

OS_TEST_TIMEOUT has the seconds that one may take, as in all of OpenStack;
tox.ini sets it, larger than any test takes, and without it there is no limit.
"""

from oslotest import timeout
import testtools


class TestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(timeout.Timeout())
