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

"""Captures at the server on one host, that the one on the other pings."""

import os
import pathlib
import subprocess
import sys

import fixtures

from osc_lab.tests.functional import pair

CAPTURE = (*pair.MIRROR, 'capture')


class CaptureTest(pair.PairTest):
    """Sees that nothing of a capture is left but its file."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.assert_same, self.snapshot())
        self.addCleanup(self.delete_mirrors, 'hosta')
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.file = self.folder / 'f.pcap'
        self.name = self.names['hosta']

    def capture(self, *argv, **kwargs):
        return self.openstack(
            *(*CAPTURE, self.name, '--capture-filter', 'icmp'),
            *('--file', str(self.file), *argv),
            cloud=self.ADMIN,
            **kwargs,
        )

    def running(self, *argv, **kwargs):
        """Start a capture of a whole process group; return the process."""
        process = subprocess.Popen(
            [
                *(sys.executable, '-m', 'openstackclient.shell'),
                *('--os-cloud', self.ADMIN, *CAPTURE, self.name, *argv),
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **kwargs,
        )
        self.addCleanup(process.wait, 60)
        return process

    def wait_for_packet(self, process):
        """Wait until the file has its header and a packet."""

        def there():
            self.assertIsNone(process.poll())
            return self.file.exists() and os.path.getsize(self.file) > 60

        pair.wait_until('the first packet', there)

    def ended(self, process, status=0):
        """Return what a process told until it ended."""
        errors = process.communicate(timeout=pair.PATIENCE)[1].decode()
        self.assertEqual(status, process.returncode, errors)
        self.assertNotIn('Traceback', errors)
        return errors
