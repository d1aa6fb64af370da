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

"""Captures of two servers that ping each other, on a real cloud."""

import stat

from osc_lab.tests.functional import capturing
from osc_lab.tests.functional import pair


class TestCapture(capturing.CaptureTest):
    def test_both_directions(self):
        one, two = self.addresses.values()
        # The guests may still be starting: the first packets end it.
        run = self.capture('--packets', '8', '--duration', '3m')
        self.assertEqual({(one, two), (two, one)}, pair.pairs(self.file))
        self.assertIn('8 packets', run.stderr)
        self.assertEqual(0o600, stat.S_IMODE(self.file.stat().st_mode))
        again = self.capture('--duration', '1s', status=2)
        self.assertIn('--force', again.stderr)

    def test_one_direction(self):
        one, two = self.addresses.values()
        limits = ('--packets', '4', '--duration', '3m')
        self.capture('--direction', 'in', *limits)
        self.assertEqual({(two, one)}, pair.pairs(self.file))
        self.capture('--direction', 'out', '--force', *limits)
        self.assertEqual({(one, two)}, pair.pairs(self.file))

    def test_filter_that_cannot_be(self):
        run = self.openstack(
            *(*capturing.CAPTURE, self.name, '--file', str(self.file)),
            *('--capture-filter', '-w /no such thing', '--duration', '5s'),
            cloud=self.ADMIN,
            status=5,
        )
        self.assertIn('syntax error', run.stderr)
        self.assertFalse(self.file.exists())

    def test_topology(self):
        run = self.openstack(
            *('port', 'topology', 'show', self.name), cloud=self.ADMIN
        )
        self.assertIn('br-int (bridge', run.stdout)
        self.assertIn('br-tun (bridge', run.stdout)
        self.assertIn('to 10.', run.stdout)
