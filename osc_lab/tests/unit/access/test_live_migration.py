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

"""What the line of progress takes for Nova's timeout."""

import dataclasses

import testtools

from osc_lab.access import live_migration
from osc_lab.migration import facts
from osc_lab.tests.unit.migration import host_samples
from osc_lab.tests.unit.migration import samples


class TestTimeout(testtools.TestCase):
    def timeout(self, shell):
        found = samples.clean()
        source = dataclasses.replace(found.source, shell=shell)
        return self.towards(None, dataclasses.replace(found, source=source))

    def towards(self, host, found):
        request = facts.Request(host=host)
        return live_migration._timeout(
            dataclasses.replace(found, request=request)
        )

    def test_of_the_options(self):
        """Seconds for each GiB, of which there are at least two."""
        for values, seconds in (
            ({}, 1600),
            ({'live_migration_completion_timeout': 7}, 14),
            ({'live_migration_completion_timeout': 0}, None),
        ):
            shell = host_samples.shell(options=host_samples.conf(**values))
            self.assertEqual(seconds, self.timeout(shell))

    def test_of_disks_that_are_copied(self):
        """The file counts, 30 GiB; at a destination that shares it, no."""
        for files, seconds in (
            ({'/d': ''}, 800 * 32),
            ({'/d': 'fs:1'}, 1600),
        ):
            found = host_samples.away(
                '/d', files, length=30 * host_samples.GIB
            )
            for host, expected in (
                ('b', seconds),
                (None, seconds),
                ('c', 1600),
            ):
                self.assertEqual(expected, self.towards(host, found))

    def test_nobody_knows_it(self):
        for shell in (
            facts.Gap('no shell'),
            host_samples.shell(config_files=()),
            host_samples.shell(unread=('/etc/nova/nova.conf',)),
        ):
            self.assertIsNone(self.timeout(shell))
