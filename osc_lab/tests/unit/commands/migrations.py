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

from osc_lab.tests import bounded
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
