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

"""A guest that writes faster than the network carries: it is told before.

The forecast says that it does not end, it really does not end when it is
forced, and ``--explain`` names the reason afterwards.
"""

from osc_lab.tests.functional import compute


class TestForcedOverload(compute.ComputeTest):
    IMAGE = 'guest-busy'

    def test_guest_that_writes_faster_than_the_link(self):
        """160 MiB as fast as it can, over 40 MiB a second for 80 s."""
        with self.nova_options(
            self.source,
            live_migration_bandwidth=40,
            live_migration_downtime_delay=3,
            live_migration_completion_timeout=20,
        ):
            found = self.preflight('--forecast', status=3)
            self.assertEqual({('convergence', self.other)}, self.failed(found))
            [item] = self.results(found, 'failed')
            self.assertIn('40.0 MiB/s can be sent', item['Message'])
            self.assertIn('post-copy', item['Remedy'])

            done = self.live(
                self.server,
                *('--host', self.other, '--wait', '--no-preflight'),
                status=5,
            )
            self.assertEqual(
                ('outcome', 'failed'), (done[0]['Check'], done[0]['Result'])
            )
            self.assertEqual(self.source, self.show()['OS-EXT-SRV-ATTR:host'])

            migration = self.json(
                *('server', 'migration', 'list', '--server', self.server),
                cloud=self.ADMIN,
            )[0]
            told = self.live('--explain', str(migration['Id']), status=5)
            self.assertIn(
                'convergence',
                {each['Check'] for each in self.results(told, 'failed')},
                told,
            )
