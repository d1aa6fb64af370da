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

"""Log-ins show no secret; and every command is looked at."""

import json
import pathlib

import fixtures
import testtools

from osc_lab.tests.unit import canary
from osc_lab.tests.unit import cinder
from osc_lab.tests.unit.commands import secrecy
from osc_lab.tests.unit import test_entry_points as points

#: The commands that the tests of secrets take through all faults.
LOOKED_AT = {
    'port_mirror_capture',
    'port_mirror_create',
    'port_mirror_delete',
    'port_mirror_list',
    'port_mirror_prune',
    'port_mirror_show',
    'port_topology_show',
    'server_migrate_live',
    'volume_encryption_audit',
    'volume_encryption_key_check',
    'volume_encryption_key_generate',
    'volume_encryption_preset_list',
    'volume_encryption_preset_luks',
    'volume_encryption_preset_luks-aes256',
    'volume_encryption_preset_luks2',
    'volume_encryption_preset_show',
}


class TestLogin(testtools.TestCase):
    """Each way to log in, when it works and when Keystone refuses."""

    PRESET = ('volume', 'encryption', 'audit')

    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(cinder.Cloud())
        self.secrecy = self.useFixture(secrecy.Secrecy(self))
        self.useFixture(fixtures.EnvironmentVariable('OS_PASSWORD'))
        self.secrecy.watch.echoed = ('token',)

    def log_in(self, *argv, **allowed):
        """Use a cloud without a password of its own."""
        status, _out, err = self.secrecy.look(*argv, *self.PRESET, **allowed)
        self.assertEqual(0, status, err)
        for fault in canary.FAULTS:
            self.secrecy.watch.keystone = fault
            status, _out, err = self.secrecy.look(
                *argv, *self.PRESET, **allowed
            )
            self.assertEqual(1, status, err)

    def without_password(self, **auth):
        """Let clouds.yaml have this in place of a user and a password."""
        path = pathlib.Path(self.cloud._path)
        (path.parent / 'secure.yaml').write_text('{}')
        clouds = json.loads(path.read_text())
        cloud = clouds['clouds']['test']
        url = cloud['auth']['auth_url']
        project = {
            'project_name': 'p',
            'project_domain_id': 'default',
        }
        cloud['auth'] = {'auth_url': url, **(auth or project)}
        path.write_text(json.dumps(clouds))

    def environment(self, **names):
        for name, value in names.items():
            self.useFixture(fixtures.EnvironmentVariable(name, value))

    def test_files(self):
        self.log_in()

    def test_environment(self):
        value = self.secrecy.canaries['OS_PASSWORD']
        self.environment(OS_PASSWORD=value)
        self.log_in()

    def test_option(self):
        value = self.secrecy.canaries['option']
        self.log_in('--os-password', value, allowed=['option'])

    def test_token(self):
        self.without_password()
        self.environment(
            OS_AUTH_TYPE='token', OS_TOKEN=self.secrecy.canaries['OS_TOKEN']
        )
        self.log_in()

    def test_token_beside_a_password(self):
        self.environment(OS_TOKEN=self.secrecy.canaries['OS_TOKEN'])
        status, _out, err = self.secrecy.look(*self.PRESET)
        self.assertEqual(1, status)
        self.assertIn('does not go together', err)

    def test_application_credential(self):
        self.without_password(
            application_credential_id='a',
            application_credential_secret=self.secrecy.canaries['app'],
        )
        self.environment(OS_AUTH_TYPE='v3applicationcredential')
        self.log_in()

    def test_password_with_quotes(self):
        """The shell itself ends at the first quote."""
        value = self.secrecy.canaries['quoted']
        value = self.secrecy.canaries.values['quoted'] = f'a"b\'c{value}'
        self.environment(OS_PASSWORD=value)
        self.log_in(allowed=['quoted'])


class TestAll(testtools.TestCase):
    def test_each_command_is_looked_at(self):
        """A command that is new has to be taken through, too."""
        commands = {
            name
            for group, name, _reference in points.entry_points()
            if group == 'openstack.lab.v1'
        }
        self.assertEqual(LOOKED_AT, commands)
