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

"""What tests about servers share: a server, and ways to break its hosts."""

import contextlib
import dataclasses
import os
import pathlib
import time

import fixtures
from lab import allot
from lab import hosts
from lab import model
from lab import pki
from lab import restart
from lab.services import libvirtd
from lab.services import nova_compute
from lab import up

from osc_lab.tests.functional import base

LIVE = ('server', 'migrate', 'live')
MICROVERSION = ('--os-compute-api-version', '2.90')


class ComputeTest(base.CloudTest):
    """Has the lab's hosts at hand, and a server that all tests share."""

    IMAGE = 'guest'
    FLAVOR = 'lab.tiny'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = os.environ.get('OS_CLIENT_CONFIG_FILE')
        if not path:
            return
        cls.state = pathlib.Path(path).parent
        cls.record = allot.load(cls.state)
        cls.layout = up.layout_of(cls.state, cls.record)
        cls.name = f'mig-{os.getpid()}-{cls.__name__.lower()}'
        run = base.openstack(
            *MICROVERSION,
            *('server', 'create', '--wait', '--flavor', cls.FLAVOR),
            *('--image', cls.IMAGE, '--network', 'lab-net'),
            *('--host', 'hosta', '-f', 'value', '-c', 'id', cls.name),
            cloud=cls.ADMIN,
        )
        cls.addClassCleanup(
            base.openstack,
            *('server', 'delete', '--wait', cls.name),
            cloud=cls.ADMIN,
        )
        assert run.status == 0, run
        cls.server = run.stdout.split()[0]

    def setUp(self):
        super().setUp()
        self.source = self.show()['OS-EXT-SRV-ATTR:host']
        self.other = {'hosta': 'hostb', 'hostb': 'hosta'}[self.source]

    def show(self):
        return self.json('server', 'show', self.server, cloud=self.ADMIN)

    def live(self, *argv, status=0, **kwargs):
        return self.json(
            *LIVE, *argv, cloud=self.ADMIN, status=status, **kwargs
        )

    def preflight(self, *argv, status=None):
        return self.live(
            self.server,
            *('--host', self.other, '--preflight'),
            *argv,
            status=status,
        )

    def failed(self, findings):
        return {
            (item['Check'], item['Subject'])
            for item in findings
            if item['Result'] == 'failed'
        }

    def results(self, findings, result):
        return [item for item in findings if item['Result'] == result]

    def wait_for_services(self):
        """nova-compute disables itself while libvirt is away."""
        limit = time.monotonic() + 90
        while time.monotonic() < limit:
            items = self.json(
                *('compute', 'service', 'list'),
                *('--service', 'nova-compute'),
                cloud=self.ADMIN,
            )
            if all(
                (item['Status'], item['State']) == ('enabled', 'up')
                for item in items
            ):
                return
            time.sleep(2)
        self.fail('nova-compute did not come back')

    # -- causes; each is undone at the end of its context

    @contextlib.contextmanager
    def libvirtd(self, host, **settings):
        libvirtd.reconfigure(self.layout, host, **settings)
        try:
            self.wait_for_services()
            yield
        finally:
            libvirtd.reconfigure(self.layout, host)
            self.wait_for_services()

    @contextlib.contextmanager
    def firewall(self, host, *rules):
        hosts.firewall(self.layout, host, rules)
        try:
            yield
        finally:
            hosts.firewall(self.layout, host, ())

    @contextlib.contextmanager
    def stopped(self, service, pause, resume):
        restart.send(self.layout, service, pause)
        try:
            yield
        finally:
            restart.send(self.layout, service, resume)

    @contextlib.contextmanager
    def certificate(self, host, pair, restarted=True):
        hosts.install_certificates(self.layout, host, pair)
        try:
            if restarted:
                libvirtd.reconfigure(self.layout, host)
                self.wait_for_services()
            yield
        finally:
            hosts.install_certificates(self.layout, host)
            libvirtd.reconfigure(self.layout, host)
            self.wait_for_services()

    @contextlib.contextmanager
    def nova_options(self, host, **options):
        """Set options of nova-compute in [libvirt] on a host."""
        context = up.context_of(self.layout, self.record)
        service = nova_compute.service(context, host)
        path = self.layout.etc / nova_compute.configuration_file(host)
        before = path.read_text()
        lines = ''.join(f'{k} = {v}\n' for k, v in options.items())
        assert '[libvirt]\n' in before
        changed = before.replace('[libvirt]\n', f'[libvirt]\n{lines}')
        files = {**service.files, path: changed}
        restart.restart(self.layout, replace(service, files))
        try:
            self.wait_for_services()
            yield
        finally:
            restart.restart(self.layout, service)
            self.wait_for_services()

    @contextlib.contextmanager
    def machine_type_hidden(self, host, name='pc-i440fx-7.2'):
        libvirtd.hide_machine_type(self.layout, host, name)
        try:
            with self.libvirtd(host):
                yield
        finally:
            libvirtd.forget_capabilities(self.layout, host)
            libvirtd.reconfigure(self.layout, host)
            self.wait_for_services()

    @contextlib.contextmanager
    def names(self, host, table):
        hosts.set_names(self.layout, host, table)
        try:
            yield
        finally:
            hosts.set_names(self.layout, host, hosts.names(self.layout))

    def pair(self, host, alternatives=None, days=30, authority=None):
        """Return a new server certificate for a host."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        return pki.issue(
            authority or pki.lab_authority(self.layout),
            pki.Pair(folder / 'key.pem', folder / 'cert.pem'),
            host,
            alternatives or pki.host_names(self.layout, host),
            days,
        )

    def foreign(self):
        """Return an authority that no host trusts."""
        folder = self.useFixture(fixtures.TempDir()).path
        return pki.authority(pathlib.Path(folder), 'foreign')

    def uuid_of(self, host):
        return hosts.host_uuid(self.layout, host)


def replace(service, files):
    assert isinstance(service, model.Service)
    return dataclasses.replace(service, files=files)
