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

"""The commands of live migration on a cloud at HTTP level."""

import json
import threading

import fixtures

from osc_lab.tests import bounded
from osc_lab.tests.unit import clock
from osc_lab.tests.unit import fake_cloud
from osc_lab.tests.unit import fake_libvirt

LIVE = ('server', 'migrate', 'live')


class CommandTest(bounded.TestCase):
    def setUp(self):
        super().setUp()
        self.cloud = fake_cloud.Cloud()
        self.shell = None

    def openstack(self, *argv, status=0, settings=None):
        if self.shell is None:
            self.shell = self.useFixture(
                fake_cloud.Mocked(self.cloud, settings)
            )
        code, out, err = self.shell.run(*LIVE, *argv)
        self.assertNotIn('Traceback', out + err)
        self.assertNotIn('canary', out + err)
        self.assertEqual(status, code, out + err)
        self.err = err
        return out

    def findings(self, *argv, **kwargs):
        return [
            {key.lower(): value for key, value in item.items()}
            for item in json.loads(
                self.openstack(*argv, '-f', 'json', **kwargs)
            )
        ]

    def by_result(self, findings, result='failed'):
        return {
            (item['check'], item['subject'])
            for item in findings
            if item['result'] == result
        }


class MoveTest(CommandTest):
    """A migration of the server from host1 to host2, step by step."""

    def setUp(self):
        super().setUp()
        # A watch that never ends fails, and does not wait for ever.
        left = iter(range(1000))
        # Not for threads that earlier tests have left behind.
        earlier = {*threading.enumerate()} - {threading.current_thread()}

        def sleep(seconds):
            if threading.current_thread() in earlier:
                clock.SLEEP(seconds)
            else:
                next(left)

        self.useFixture(fixtures.MonkeyPatch('time.sleep', sleep))

    def step(self, status, number=5, **fields):
        return {
            'id': number,
            'uuid': f'uuid-{number}',
            'status': status,
            'migration_type': 'live-migration',
            'instance_uuid': fake_cloud.SERVER,
            'source_compute': 'host1',
            'dest_compute': 'host2',
            'created_at': '2026-01-01T00:00:00',
            'updated_at': '2026-01-01T00:00:09',
            **fields,
        }

    def events_failed(self, *events):
        """Let Nova keep an action with (event, host, details) that failed."""
        self.cloud.actions['req-1'] = {
            'request_id': 'req-1',
            'action': 'live-migration',
            'start_time': '2026-01-01T00:00:00',
            'events': [
                {
                    'event': event,
                    'host': host,
                    'result': 'Error',
                    'start_time': 'y',
                    'finish_time': 'x',
                    'details': details,
                }
                for event, host, details in events
            ],
        }

    def event_failed(self, *event):
        self.events_failed(event)

    def run_through(self, *statuses):
        self.cloud.steps = [self.step(status) for status in statuses]


class HostsTest(CommandTest):
    """Guest on host1; the hosts' files are of this test."""

    def setUp(self):
        super().setUp()
        self.settings = {'libvirt_uri': 'test:///{host}', 'host_timeout': 10}
        self.guest = fake_libvirt.Guest(fake_cloud.SERVER)
        self.hosts = {
            'host1': fake_libvirt.Host('host1', self.guest),
            'host2': fake_libvirt.Host('host2'),
            'host3': fake_libvirt.Host('host3'),
        }
        self.useFixture(fake_libvirt.Library(**self.hosts))

    def check(self, name, *argv, status=0):
        found = self.findings(
            *('vm1', '--host', 'host2', '--preflight', *argv),
            status=status,
            settings=self.settings,
        )
        return {
            item['subject']: item['result']
            for item in found
            if item['check'] == name
        }
