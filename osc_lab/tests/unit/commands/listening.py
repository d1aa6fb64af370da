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

"""Commands that reach a simulated cloud over real sockets."""

import copy
import time
import types

import fixtures

from osc_lab.access import rest
from osc_lab.tests import bounded
from osc_lab.tests import inside
from osc_lab.tests.unit import cinder
from osc_lab.tests.unit import fake_cloud
from osc_lab.tests.unit import fake_libvirt
from osc_lab.tests.unit import web

#: Seconds that a service may take, where it is to be late.
TIMEOUT = 1.0


class Listening:
    """A cloud on a socket, behind a proxy that disturbs requests.

    :cvar SETTINGS: what clouds.yaml has for the commands
    """

    SETTINGS = types.MappingProxyType({'api_timeout': TIMEOUT})

    def listen(self, http):
        self.useFixture(
            fixtures.MonkeyPatch(f'{rest.__name__}.PAUSES', (0.01, 0.1))
        )
        self.web = self.useFixture(web.Web(http, 1.5 * TIMEOUT))
        self.proxy = self.web.proxy

    def prepare(self):
        """Bring the cloud into the state that every run finds."""

    def run_shell(self, *argv):
        """Return status, output and errors."""
        auth = ('--os-auth-url', self.web.url(fake_cloud.Mocked.AUTH))
        return inside.openstack(*auth, *argv)


class MigrationTest(Listening, bounded.TestCase):
    """A cloud to migrate in.

    :ivar saved: attributes of the cloud, as every run finds them
    """

    CLOUD = fake_cloud.Cloud

    def setUp(self):
        super().setUp()
        self.cloud = self.CLOUD()
        self.saved = copy.deepcopy(vars(self.cloud))
        shell = self.useFixture(
            fake_cloud.Mocked(self.cloud, {**self.SETTINGS})
        )
        # What the watch waits between two looks is not the point here; what
        # a fault lasts is.
        clock = types.SimpleNamespace(
            sleep=lambda seconds: time.sleep(min(seconds, 0.01)),
            monotonic=time.monotonic,
        )
        for name in ('drive', 'start'):
            for what, value in (('time', clock), ('PATIENCE', 0.0)):
                self.useFixture(
                    fixtures.MonkeyPatch(
                        f'osc_lab.migration.{name}.{what}', value
                    )
                )
        self.listen(shell.http)

    def prepare(self):
        vars(self.cloud).update(copy.deepcopy(self.saved))


class RepairTest(MigrationTest):
    """A migration that broke: a server in ERROR, and a binding left."""

    def setUp(self):
        self.SETTINGS = {
            **self.SETTINGS,
            'libvirt_uri': 'test:///{host}',
            'host_timeout': 10,
        }
        super().setUp()
        guest = fake_libvirt.Guest(fake_cloud.SERVER)
        self.useFixture(
            fake_libvirt.Library(
                host1=fake_libvirt.Host('host1', guest),
                host2=fake_libvirt.Host('host2'),
                host3=fake_libvirt.Host('host3'),
            )
        )
        self.saved['server'].update(
            {'status': 'ERROR', 'OS-EXT-STS:vm_state': 'error'}
        )
        self.saved['bindings']['port-1'].append(
            {'host': 'host2', 'status': 'INACTIVE'}
        )
        self.saved['migrations'] = [fake_cloud.migration('error')]


class EncryptionTest(Listening, bounded.TestCase):
    """A cloud with Cinder, Nova and Barbican."""

    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(
            cinder.Cloud(services=('block-storage', 'compute', 'key-manager'))
        )
        self.cloud.settings(**self.SETTINGS)
        self.listen(self.cloud.http)

    def prepare(self):
        for kept in (
            *(self.cloud.types, self.cloud.encryptions, self.cloud.volumes),
            self.cloud.access,
        ):
            kept.clear()
