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

"""What a fleet is held to, and that its libvirtd can read its settings."""

import json
import os
import pathlib
import stat
import tempfile
import unittest
from unittest import mock

from benchmarks import preflight_fleet
from benchmarks import relay
from osc_lab.tests.unit import served


class PreflightFleetTest(unittest.TestCase):
    def bars(self, hosts: int, rtt: float) -> dict[int, float | None]:
        """Return how many hosts are dead, and the most seconds then."""
        counts = relay.Counts()
        counts.connections.value = counts.messages.value = 1
        found = [
            {'Subject': f'host{number}', 'Check': 'candidate'}
            for number in range(hosts)
        ]
        run = served.Run(1.5, 100.0, json.dumps(found), 3)
        with (
            mock.patch.object(
                preflight_fleet, 'case', return_value=(run, 0.4, 14)
            ),
            mock.patch.object(preflight_fleet, 'serial', return_value=4.0),
        ):
            rows = list(preflight_fleet.rows('', 1, counts, rtt, hosts))
        return {
            int(row.case.split()[-2]): row.most
            for row in rows
            if row.what.startswith('beyond start-up')
        }

    def test_what_is_dead_adds_a_deadline_and_a_tenth(self) -> None:
        self.assertEqual({0: None, 2: 5.9, 10: 5.9}, self.bars(50, 0.05))

    def test_with_half_of_them_dead_that_is_all_it_takes(self) -> None:
        self.assertEqual(
            {0: 0.6, 2: 5.9, 10: 5.9, 25: 5.5}, self.bars(50, 0.01)
        )

    def test_settings_can_be_read_under_any_umask(self) -> None:
        self.addCleanup(os.umask, os.umask(0o077))
        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch('shutil.which', return_value='libvirtd'),
            mock.patch('shutil.chown'),
            mock.patch('subprocess.Popen'),
            mock.patch('socket.create_connection'),
            preflight_fleet.libvirtd(folder),
        ):
            mode = pathlib.Path(folder, 'libvirtd.conf').stat().st_mode
        self.assertEqual(0o644, stat.S_IMODE(mode))


if __name__ == '__main__':
    unittest.main()
