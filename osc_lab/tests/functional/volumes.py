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

"""What tests about volume types share."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import time

import fixtures
from keystoneauth1 import exceptions as ksa
from lab import allot
from lab import restart
from lab import seed
from lab.services import cinder
from lab.services import database
from lab import up
import openstack
from testtools import content
import yaml

from osc_lab.encryption import mark
from osc_lab.encryption import scratch
from osc_lab.tests.functional import base
from osc_lab.tests.functional import faulty
from osc_lab.tests import inside

LUKS = ('volume', 'encryption', 'preset', 'luks')


def text(value):
    return content.text_content(value)


class VolumesTest(base.CloudTest):
    """Has the cloud, and a proxy before its block storage."""

    def setUp(self):
        super().setUp()
        self.sdk = openstack.connect(cloud=self.ADMIN)
        self.addCleanup(self.sdk.close)
        self.name = self.unique('enc')
        self.addCleanup(self.remove_types)

    def has_barbican(self):
        try:
            self.sdk.session.get_endpoint(service_type='key-manager')
        except ksa.EndpointNotFound:
            return False
        return True

    def types(self, name=None):
        """Return all types of a name, private ones too."""
        answer = self.sdk.block_storage.get('/types?is_public=None')
        return [
            item
            for item in answer.json()['volume_types']
            if item['name'] == (name or self.name)
        ]

    def encryption(self, type_id):
        return self.sdk.block_storage.get(
            f'/types/{type_id}/encryption'
        ).json()

    def remove_types(self):
        for item in self.types():
            self.sdk.block_storage.delete(f'/types/{item["id"]}')

    def scratch(self):
        """Return the volumes that proofs of the own type have left."""
        answer = self.sdk.block_storage.get('/volumes/detail').json()
        return [
            item
            for item in answer['volumes']
            if scratch.MARK in item['metadata']
            and item['volume_type'] == self.name
        ]

    def delete_volume(self, volume_id):
        """Delete a volume, which may still be on its way, and wait."""
        path = f'/volumes/{volume_id}'
        limit = time.monotonic() + 120
        while time.monotonic() < limit:
            answer = self.sdk.block_storage.get(path)
            if answer.status_code == 404:
                return
            status = answer.json()['volume']['status']
            if status not in ('creating', 'deleting', 'detaching'):
                self.sdk.block_storage.delete(path)
            time.sleep(0.2)
        self.fail(f'volume {volume_id} stays')

    # -- the lab itself

    def context(self):
        """Return what the lab's services are made of."""
        state = pathlib.Path(os.environ['OS_CLIENT_CONFIG_FILE']).parent
        record = allot.load(state)
        return up.context_of(up.layout_of(state, record), record)

    def mariadb(self):
        """Return the command of a client of Cinder's database."""
        return (
            *('mariadb', '--no-defaults', '--batch', '--skip-column-names'),
            f'--socket={database.socket_path(self.context().layout)}',
            *('--unbuffered', 'cinder'),
        )

    def sql(self, statement):
        """Change what no request to Cinder can change."""
        subprocess.run(self.mariadb(), input=statement, text=True, check=True)

    @contextlib.contextmanager
    def default_type(self, name):
        """Let cinder.conf name another default type."""
        context = self.context()
        service = next(
            item
            for item in cinder.services(context)
            if item.name == 'cinder-api'
        )
        path = context.layout.etc / cinder.CONFIGURATION
        text = service.files[path]
        line = f'default_volume_type = {seed.PLAIN_TYPE}\n'
        self.assertIn(line, text)
        changed = text.replace(line, f'default_volume_type = {name}\n')
        files = {**service.files, path: changed}
        before = path.stat()
        try:
            restart.restart(
                context.layout, dataclasses.replace(service, files=files)
            )
            yield
        finally:
            restart.restart(context.layout, service)
            # For the other services nothing has changed.
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def assertFinished(self, message=''):
        (item,) = self.types()
        self.assertIsNone(mark.read(item['description']), message)
        self.assertEqual(
            'luks', self.encryption(item['id']).get('provider'), message
        )
        return item

    def proxy(self, **settings):
        """Return a proxy, and the environment that leads through it."""
        endpoint = self.sdk.block_storage.get_endpoint()
        base_url, _sep, _rest = endpoint.partition('/v3')
        proxy = faulty.Proxy(base_url + '/v3')
        self.addCleanup(proxy.close)
        path = pathlib.Path(os.environ['OS_CLIENT_CONFIG_FILE'])
        clouds = yaml.safe_load(path.read_text())
        for cloud in clouds['clouds'].values():
            cloud['block_storage_endpoint_override'] = proxy.url
            cloud['volume_endpoint_override'] = proxy.url
            cloud.setdefault('osc_lab', {}).update(settings)
        folder = self.useFixture(fixtures.TempDir())
        copy = pathlib.Path(folder.path, 'clouds.yaml')
        copy.write_text(json.dumps(clouds))
        copy.chmod(0o600)
        return proxy, {'OS_CLIENT_CONFIG_FILE': str(copy)}

    def inside(self, *argv, **environ):
        """Run the whole shell in this process, which is faster."""
        with contextlib.ExitStack() as stack:
            for name, value in {'OS_CLOUD': self.ADMIN, **environ}.items():
                stack.enter_context(fixtures.EnvironmentVariable(name, value))
            run = base.Run(argv, *inside.openstack(*argv))
        self.assertNotIn('Traceback', run.stdout + run.stderr, str(run))
        return run
