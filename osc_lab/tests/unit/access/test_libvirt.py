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


"""What libvirt says of a guest, with a stand-in for its library."""

import types

import fixtures
import testtools

from osc_lab.access import libvirt
from osc_lab import exceptions

#: The names and numbers of libvirt-domain.h.
CONSTANTS = {
    'VIR_DOMAIN_RUNNING': 1,
    'VIR_DOMAIN_BLOCKED': 2,
    'VIR_DOMAIN_PAUSED': 3,
    'VIR_DOMAIN_PAUSED_MIGRATION': 2,
    'VIR_DOMAIN_PAUSED_STARTING_UP': 11,
    'VIR_DOMAIN_PAUSED_POSTCOPY': 12,
    'VIR_DOMAIN_PAUSED_POSTCOPY_FAILED': 13,
}
PAUSED, SHUTOFF = 3, 5
NO_DOMAIN = 42


class Error(Exception):
    def __init__(self, code):
        super().__init__('what libvirt says')
        self.code = code

    def get_error_code(self):
        return self.code


class TestRuns(testtools.TestCase):
    def runs(self, answer):
        def state():
            if isinstance(answer, Exception):
                raise answer
            return answer

        library = types.SimpleNamespace(
            libvirtError=Error,
            open=lambda uri: types.SimpleNamespace(
                lookupByUUIDString=lambda uuid: types.SimpleNamespace(
                    state=state
                )
            ),
            **CONSTANTS,
        )
        self.useFixture(
            fixtures.MonkeyPatch(
                'osc_lab.access.libvirt.library', lambda: library
            )
        )
        return libvirt.Connection('test:///').runs('uuid')

    def test_one_that_runs_or_was_paused_by_somebody(self):
        for answer in ([1, 1], [2, 0], [PAUSED, 1]):
            self.assertTrue(self.runs(answer), answer)

    def test_one_that_is_elsewhere_or_not_there_yet(self):
        for reason in (2, 11, 12, 13):
            self.assertFalse(self.runs([PAUSED, reason]), reason)
        self.assertFalse(self.runs([SHUTOFF, 1]))
        self.assertFalse(self.runs(Error(NO_DOMAIN)))

    def test_libvirt_that_does_not_say(self):
        self.assertRaises(exceptions.AccessError, self.runs, Error(1))
