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

"""What the SDK makes of the user's environment and clouds.yaml."""

import json
import os
import pathlib

import fixtures
import openstack
import testtools

from osc_lab.access import compute
from osc_lab.access import volumes
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.migration import facts
from osc_lab.tests.unit import fake_cloud
from osc_lab.tests.unit import web

TEMPLATE = 'root@{host}:{host_ip}'
PREFLIGHT = ('server', 'migrate', 'live', 'vm1', '--preflight')


class ConfigurationTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.shell = self.useFixture(
            fake_cloud.Mocked(fake_cloud.Cloud(), None)
        )

    def environ(self, name, value=None):
        self.useFixture(fixtures.EnvironmentVariable(name, value))

    def connect(self, entry=(), **sections):
        """Return a connection by a clouds.yaml with more in it.

        :param entry: pairs for the entry of the cloud
        """
        path = pathlib.Path(os.environ['OS_CLIENT_CONFIG_FILE'])
        found = json.loads(path.read_text())
        found['clouds']['test'].update(entry)
        path.write_text(json.dumps({**found, **sections}))
        sdk = openstack.connect(cloud='test')
        self.addCleanup(sdk.close)
        return sdk


class TestEnvironment(ConfigurationTest):
    """Our variables do not keep the shell from the cloud."""

    #: One command of the shell, and one of ours that takes the variables.
    COMMANDS = (
        ('catalog', 'list'),
        ('server', 'migrate', 'live', 'vm1', '--preflight'),
    )

    VARIABLES = (
        *(option.variable for option in channels.ALL),
        'OSC_LAB_HOST_TIMEOUT',
    )

    def reaches_keystone(self):
        for argv in self.COMMANDS:
            sent = len(self.shell.http.request_history)
            _status, _out, err = self.shell.run(*argv)
            urls = [
                request.url
                for request in self.shell.http.request_history[sent:]
            ]
            self.assertIn(f'{self.shell.AUTH}/auth/tokens', urls, err)

    def value(self, name):
        return '7' if name.endswith('TIMEOUT') else TEMPLATE

    def test_log_in_by_the_environment(self):
        for name in ('OS_CLOUD', 'OS_CLIENT_CONFIG_FILE'):
            self.environ(name)
        self.environ('HOME', self.useFixture(fixtures.TempDir()).path)
        for name, value in (
            ('OS_AUTH_URL', self.shell.AUTH),
            ('OS_USERNAME', 'admin'),
            ('OS_PASSWORD', 'canary-password'),
            ('OS_PROJECT_NAME', 'admin'),
            ('OS_USER_DOMAIN_ID', 'default'),
            ('OS_PROJECT_DOMAIN_ID', 'default'),
            ('OS_IDENTITY_API_VERSION', '3'),
        ):
            self.environ(name, value)
        for name in self.VARIABLES:
            with fixtures.EnvironmentVariable(name, self.value(name)):
                self.reaches_keystone()

    def test_only_cloud_of_the_file(self):
        """It is taken without OS_CLOUD, whatever of ours is set."""
        self.environ('OS_CLOUD')
        for name in self.VARIABLES:
            self.environ(name, self.value(name))
        self.reaches_keystone()


class TestCache(ConfigurationTest):
    """Nothing of ours is in the cache of the SDK, nor taken from it."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.sdk = self.connect(
            cache={
                'class': 'dogpile.cache.dbm',
                'expiration_time': 3600,
                'arguments': {'filename': str(self.folder / 'cache')},
                'expiration': {'compute.server': 3600},
            }
        )
        self.assertTrue(self.sdk.cache_enabled)

    def kept(self):
        return b''.join(
            path.read_bytes() for path in sorted(self.folder.iterdir())
        )

    def test_payload_of_a_secret(self):
        self.shell.http.get(
            'http://key-manager.test/v1/secrets/k/payload',
            content=b'canary-key',
        )
        manager = self.sdk.key_manager
        found = volumes.Volumes(manager, lambda: manager)._secret('k')
        self.assertEqual('ALLOWED', found.access.name)
        self.assertNotIn(b'canary-key', self.kept())

    def test_answers_are_new(self):
        nova = compute.Compute(self.sdk.compute).rest
        url = f'/servers/{fake_cloud.SERVER}'
        for status in ('MIGRATING', 'ACTIVE'):
            self.shell.cloud.server['status'] = status
            self.assertEqual(status, nova.value(url, 'server')['status'])
        self.assertNotIn(b'ACTIVE', self.kept())


class TestRetries(ConfigurationTest):
    """What clouds.yaml says of retries is not for requests of ours."""

    def test_migration_is_asked_for_once(self):
        for name in ('status_code_retries', 'compute_status_code_retries'):
            nova = compute.Compute(self.connect({name: 2}).compute)
            sent = self.shell.http.post(
                f'http://compute.test/v2.1/servers/{fake_cloud.SERVER}/action',
                [{'status_code': 503}, {'status_code': 202}],
            )
            error = self.assertRaises(
                exceptions.ServiceError,
                nova.live_migrate,
                fake_cloud.SERVER,
                None,
                facts.Storage.AUTO,
            )
            self.assertEqual((503, 1), (error.status, sent.call_count))


class TestCertificate(ConfigurationTest):
    """What is said of a service whose certificate nobody trusts."""

    def setUp(self):
        super().setUp()
        self.web = self.useFixture(web.Web(self.shell.http, 1.0))

    def refused(self, *options, argv=PREFLIGHT):
        status, _out, err = self.shell.run(*argv, *options)
        self.assertEqual(1, status, err)
        said = err.splitlines()[-1]
        where, _colon, why = said.partition(' is not trusted: ')
        self.assertEqual(f'The certificate of {self.web.impostor.url}', where)
        self.assertRegex(why, '^[^()]*certificate')
        self.assertTrue(
            why.endswith('--os-cacert, or as cacert in clouds.yaml.')
        )

    def test_keystone(self):
        self.refused('--os-auth-url', f'{self.web.impostor.url}/v3')

    def test_file_of_the_ca(self):
        status, _out, err = self.shell.run(
            *PREFLIGHT,
            *('--os-auth-url', f'{self.web.impostor.url}/v3'),
            *('--os-cacert', '/none/ca.pem'),
        )
        self.assertEqual(1, status, err)
        self.assertIn('invalid path: /none/ca.pem. Check --os-cacert', err)

    def test_service(self):
        self.connect({'compute_endpoint_override': self.web.impostor.url})
        self.refused()

    def test_service_of_several_versions(self):
        url = self.web.impostor.url
        self.connect({'block_storage_endpoint_override': url})
        self.refused(argv=('volume', 'encryption', 'audit'))
