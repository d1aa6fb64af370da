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

"""The whole procedure on a real cloud, and the audit of it."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess

import fixtures
from lab import model
from lab import restart
from lab.services import cinder
from lab.services import nova_compute

from osc_lab.tests.functional import volumes

KEY = ('volume', 'encryption', 'key')


class AttachTest(volumes.VolumesTest):
    """Has servers, and looks at volumes on their hosts."""

    def server(self):
        image = next(
            item for item in self.sdk.image.images() if item.name == 'guest'
        )
        flavor = next(iter(self.sdk.compute.flavors()))
        network = next(iter(self.sdk.network.networks()))
        server = self.sdk.compute.create_server(
            name=self.name,
            image_id=image.id,
            flavor_id=flavor.id,
            networks=[{'uuid': network.id}],
        )
        self.addCleanup(self.delete_server, server)
        return self.sdk.compute.wait_for_server(server, wait=240)

    def delete_server(self, server):
        self.sdk.compute.delete_server(server)
        self.sdk.compute.wait_for_delete(server, wait=120)

    def own_look(self, server):
        """Do without our program: a volume, attached, read on disk."""
        volume = self.sdk.block_storage.create_volume(
            size=1, name=self.name, volume_type=self.name
        )
        self.addCleanup(self.delete_volume, volume.id)
        self.sdk.block_storage.wait_for_status(volume, 'available', wait=120)
        self.sdk.compute.create_volume_attachment(server, volume_id=volume.id)
        self.sdk.block_storage.wait_for_status(volume, 'in-use', wait=120)
        try:
            (path,) = pathlib.Path(os.environ['OSC_LAB_STATE_DIR']).rglob(
                f'data/**/volume-{volume.id}'
            )
            info = json.loads(
                subprocess.check_output(
                    ['qemu-img', 'info', '-U', '--output=json', str(path)]
                )
            )
            self.assertEqual('luks', info['format'])
        finally:
            self.sdk.compute.delete_volume_attachment(server, volume)
            self.sdk.block_storage.wait_for_status(
                volume, 'available', wait=120
            )


class TestAttached(AttachTest):
    def test_attached_and_proven(self):
        """Type, volume, attach, proof: on the raw file."""
        server = self.server()
        barbican = self.has_barbican()
        size = '256' if barbican else '512'
        argv = (
            *(*volumes.LUKS, '--name', self.name, '--key-size', size),
            *('--property', 'volume_backend_name=blank'),
            *('--verify', 'attach', '--server', server.name, '-f', 'json'),
        )
        run = self.openstack(*argv)
        result = run.json()
        self.assertEqual('attach', result['verified'], str(run))
        self.assertIn(f'aes-xts-plain64, {size} bits', run.stderr)
        self.assertEqual(
            'barbican' if barbican else 'fixed-key', result['key_manager']
        )
        self.assertEqual([], list(self.sdk.compute.volume_attachments(server)))
        self.own_look(server)

    def test_volume_that_shrinks_is_seen_and_nothing_is_left(self):
        server = self.server()
        run = self.inside(
            *(*volumes.LUKS, '--name', self.name),
            *('--property', 'volume_backend_name=files'),
            *('--verify', 'attach', '--server', server.id),
        )
        self.assertEqual(5, run.status, str(run))
        self.assertIn('shrank', run.stderr)
        self.assertEqual([], self.types())
        self.assertEqual([], list(self.sdk.compute.volume_attachments(server)))


class TestSharedKey(AttachTest):
    """The manual procedure, end to end; doc/source/user/encryption.rst."""

    def setUp(self):
        super().setUp()
        self.lab = self.context()
        etc = self.lab.layout.etc
        #: Host -> where its copy of the key lies.
        self.copies = {
            host: etc / 'nova' / host / 'key-manager.conf'
            for host in model.HOSTS
        }
        self.copies[cinder.HOST] = etc / 'cinder' / 'key-manager.conf'
        files = {
            host: [
                str(etc / nova_compute.SHARED),
                str(etc / nova_compute.configuration_file(host)),
                str(self.copies[host]),
            ]
            for host in model.HOSTS
        }
        files[cinder.HOST] = [
            str(etc / cinder.CONFIGURATION),
            str(self.copies[cinder.HOST]),
        ]
        _web, self.environ = self.proxy(config_files=files)

    def test_walk_through(self):
        """Key, hosts, type, volume, attach, proof, with 512 bits."""
        nova, conf = self.generate()
        wrong, _conf = self.generate()
        self.copy({'hosta': nova, 'hostb': wrong, cinder.HOST: conf})
        self.assertEqual(
            {
                ('key-same', 'hostb nova'),
                ('key-service-restart', 'hosta nova'),
                ('key-service-restart', 'hostb nova'),
                ('key-service-restart', 'lab cinder'),
            },
            self.failed(),
        )
        self.copy({'hostb': nova})
        changed = contextlib.ExitStack()
        # What is made from here on goes before this is changed back.
        self.addCleanup(changed.close)
        changed.enter_context(self.restarted())
        changed.enter_context(self.without_barbican())
        self.assertEqual(set(), self.failed())
        server = self.server()
        run = self.openstack(
            *(*volumes.LUKS, '--name', self.name, '--key-size', '512'),
            *('--property', 'volume_backend_name=blank'),
            *('--verify', 'attach', '--server', server.name),
            *('-f', 'json'),
        )
        result = run.json()
        self.assertEqual(
            ('attach', 'fixed-key', 512),
            tuple(
                result[key] for key in ('verified', 'key_manager', 'key_size')
            ),
        )
        self.assertIn('aes-xts-plain64, 512 bits', run.stderr)
        self.assertIn('opens every volume', run.stderr)
        self.own_look(server)

    def generate(self):
        folder = self.useFixture(fixtures.TempDir()).path
        made = self.inside(
            *(*KEY, 'generate', '--key-size', '512'),
            *('--output', f'{folder}/keys', '-f', 'json'),
        ).json()
        return made['nova'], made['cinder']

    def copy(self, sources):
        for host, source in sources.items():
            self.addCleanup(self.copies[host].unlink, missing_ok=True)
            shutil.copy(source, self.copies[host])

    def failed(self):
        run = self.inside(
            *(*KEY, 'check', '--key-size', '512', '-f', 'json'),
            **self.environ,
        )
        rows = run.json()
        self.assertEqual(
            {'hosta nova', 'hostb nova', 'lab cinder'},
            {row['Subject'] for row in rows},
        )
        failed = {
            (row['Check'], row['Subject'])
            for row in rows
            if row['Result'] != 'ok'
        }
        self.assertEqual(3 if failed else 0, run.status, str(run))
        return failed

    @contextlib.contextmanager
    def restarted(self):
        """Let the services read the copies, and go back at the end."""
        services = [
            nova_compute.service(self.lab, host) for host in model.HOSTS
        ] + [
            item
            for item in cinder.services(self.lab)
            if item.name in ('cinder-api', 'cinder-volume')
        ]
        try:
            for service in services:
                restart.restart(self.lab.layout, self.with_key(service))
            yield
        finally:
            for service in services:
                restart.restart(self.lab.layout, service)

    def with_key(self, service):
        copy = self.copies.get(service.machine, self.copies[cinder.HOST])
        option = f'--config-file {copy}'
        if service.name == 'cinder-api':
            path = self.lab.layout.etc / 'uwsgi' / 'cinder-api.ini'
            lines = service.files[path].splitlines()
            lines = [
                f'{line} {option}' if line.startswith('pyargv') else line
                for line in lines
            ]
            files = {**service.files, path: '\n'.join(lines)}
            return dataclasses.replace(service, files=files)
        return dataclasses.replace(
            service, argv=(*service.argv, *option.split())
        )

    @contextlib.contextmanager
    def without_barbican(self):
        """Take Barbican out of the catalog for a while."""
        found = [
            item.id
            for item in self.sdk.identity.services()
            if item.type == 'key-manager'
        ]
        for service in found:
            self.sdk.identity.update_service(service, is_enabled=False)
        try:
            yield
        finally:
            for service in found:
                self.sdk.identity.update_service(service, is_enabled=True)
