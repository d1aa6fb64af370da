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
import datetime
import os
import pathlib
import time
import uuid

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography import x509
import fixtures
from lab import allot
from lab import hosts
from lab import machine
from lab import model
from lab import pki
from lab import restart
from lab.services import libvirtd
from lab.services import nova_compute
from lab import up
import openstack

from osc_lab.tests.functional import base
from osc_lab.tests import openssl

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
        cls.server = cls.boot(cls.name, '--host', 'hosta', *cls.options())

    @classmethod
    def options(cls):
        """Return more options for the server of the class."""
        return ()

    @classmethod
    def disk(cls):
        """Return the option for what servers boot from."""
        return '--image', cls.IMAGE

    @classmethod
    def admin(cls, *argv, check=True):
        """Run a command for the whole class."""
        run = base.openstack(*argv, cloud=cls.ADMIN)
        assert run.status == 0 or not check, run
        return run

    @classmethod
    def boot(cls, name, *options):
        """Return the id of a new server; it goes with the class."""
        cls.addClassCleanup(
            cls.admin, *('server', 'delete', '--wait', name), check=False
        )
        run = cls.admin(
            *MICROVERSION,
            *('server', 'create', '--wait', '--flavor', cls.FLAVOR),
            *(*cls.disk(), '--network', 'lab-net', *options),
            *('-f', 'value', '-c', 'id', name),
        )
        return run.stdout.split()[0]

    def setUp(self):
        super().setUp()
        self.source = self.show()['OS-EXT-SRV-ATTR:host']
        self.other = {'hosta': 'hostb', 'hostb': 'hosta'}[self.source]

    def show(self):
        # Its fault, which is Nova's traceback, is left out.
        columns = (
            *('-c', 'status', '-c', 'OS-EXT-SRV-ATTR:host'),
            *('-c', 'OS-EXT-SRV-ATTR:instance_name'),
            *('-c', 'OS-EXT-STS:task_state'),
        )
        return self.json(
            'server', 'show', *columns, self.server, cloud=self.ADMIN
        )

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

    def assert_clean(self):
        """See that a preflight with all channels raises no false alarm."""
        found = self.preflight(status=0)
        self.assertEqual(set(), self.failed(found))
        self.assertEqual([], self.results(found, 'unknown'))
        # libvirt of the lab asks nobody for a password, and says so.
        self.assertEqual(
            {'libvirt-auth'},
            {i['Check'] for i in self.results(found, 'warning')},
        )

    @classmethod
    def wait_for_services(cls, since=''):
        """nova-compute disables itself while libvirt is away.

        :param since: a moment of UTC after which all have reported
        """
        limit = time.monotonic() + 180
        while time.monotonic() < limit:
            run = cls.admin(
                *('compute', 'service', 'list', '-f', 'json'),
                *('--service', 'nova-compute'),
            )
            if all(
                (item['Status'], item['State']) == ('enabled', 'up')
                and item['Updated At'] > since
                for item in run.json()
            ):
                return
            time.sleep(2)
        raise AssertionError('nova-compute did not come back')

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
    def certificate(self, host, pair, restarted=True, authority=None):
        hosts.install_certificates(self.layout, host, pair)
        if authority:
            (self.layout.host_dir(host) / 'pki/CA/cacert.pem').write_bytes(
                authority.certificate.read_bytes()
            )
        try:
            if restarted:
                libvirtd.reconfigure(self.layout, host)
                self.wait_for_services()
            yield
        finally:
            hosts.install_certificates(self.layout, host)
            libvirtd.reconfigure(self.layout, host)
            self.wait_for_services()

    @classmethod
    @contextlib.contextmanager
    def nova_options(cls, host, **options):
        """Set options of nova-compute in [libvirt] on a host."""
        context = up.context_of(cls.layout, cls.record)
        service = nova_compute.service(context, host)
        path = cls.layout.etc / nova_compute.configuration_file(host)
        before = path.read_text()
        lines = ''.join(f'{k} = {v}\n' for k, v in options.items())
        assert '[libvirt]\n' in before
        changed = before.replace('[libvirt]\n', f'[libvirt]\n{lines}')
        files = {**service.files, path: changed}
        try:
            cls.restarted(replace(service, files))
            yield
        finally:
            cls.restarted(service)

    @classmethod
    def restarted(cls, service):
        """Restart nova-compute; it counts as up while it starts."""
        since = datetime.datetime.now(datetime.UTC).isoformat()
        restart.restart(cls.layout, service)
        cls.wait_for_services(since)

    def machine_type_hidden(self, host, name='pc-i440fx-7.2'):
        return self.hidden(libvirtd.hide_machine_type, host, name)

    def cpu_model_hidden(self, host, name='qemu64'):
        return self.hidden(libvirtd.hide_cpu_model, host, name)

    @contextlib.contextmanager
    def hidden(self, hide, host, name):
        """Have the libvirtd of a host not know what its QEMU can do."""
        hide(self.layout, host, name)
        try:
            with self.libvirtd(host):
                yield
        finally:
            libvirtd.forget_capabilities(self.layout, host)
            libvirtd.reconfigure(self.layout, host)
            self.wait_for_services()

    def run_on(self, host, *argv):
        return machine.run(self.layout, host, argv).stdout

    @contextlib.contextmanager
    def small_disk(self, host):
        """Have instances_path of a host be too small for any disk."""
        path = str(hosts.instances_path(self.layout))
        options = 'size=128k,nr_inodes=100'
        self.run_on(host, 'mount', '-t', 'tmpfs', '-o', options, 'tmpfs', path)
        try:
            yield
        finally:
            self.run_on(host, 'umount', '--lazy', path)

    @contextlib.contextmanager
    def medium(self, host):
        """Put a file that only a host has into the guest's drive."""
        path = str(hosts.state_path(self.layout) / 'only-here.iso')
        self.run_on(host, 'truncate', '--size', '1M', path)
        change = ('virsh', 'change-media', self.domain(), 'hda', '--live')
        before = self.run_on(
            host, *('virsh', 'domblklist', '--details', self.domain())
        )
        [config] = [
            line.split()[-1] for line in before.splitlines() if 'hda' in line
        ]
        self.run_on(host, *change, path)
        try:
            yield
        finally:
            self.run_on(host, *change, config)
            self.run_on(host, 'rm', path)

    def domain(self):
        return self.show()['OS-EXT-SRV-ATTR:instance_name']

    @contextlib.contextmanager
    def switched(self, host, off, on):
        """Switch the compute service of a host off and on."""
        switch = (
            *('--os-compute-api-version', '2.53', 'compute', 'service'),
            *('set', host, 'nova-compute'),
        )
        self.openstack(*switch, off, cloud=self.ADMIN)
        try:
            yield
        finally:
            self.openstack(*switch, on, cloud=self.ADMIN)
            self.wait_for_services()

    def disabled(self, host):
        return self.switched(host, '--disable', '--enable')

    def down(self, host):
        return self.switched(host, '--down', '--up')

    @contextlib.contextmanager
    def inventory_full(self, host, name):
        """Have strangers take all of a resource class of a host."""
        sdk = openstack.connect(cloud=self.ADMIN)
        self.addCleanup(sdk.close)
        provider = self.uuid_of(host)
        url = f'/resource_providers/{provider}'
        found = sdk.placement.get(f'{url}/inventories').json()
        item = found['inventories'][name]
        used = sdk.placement.get(f'{url}/usages').json()['usages'][name]
        room = (item['total'] - item['reserved']) * item['allocation_ratio']
        free = int(room) - used
        strangers = []
        try:
            while free > 0:
                amount = min(free, item['max_unit'])
                strangers.append(str(uuid.uuid4()))
                self.allocate(sdk, strangers[-1], provider, {name: amount})
                free -= amount
            yield
        finally:
            for stranger in strangers:
                sdk.placement.delete(f'/allocations/{stranger}')

    def allocate(self, sdk, consumer, provider, resources):
        answer = sdk.placement.put(
            f'/allocations/{consumer}',
            json={
                'allocations': {provider: {'resources': resources}},
                'project_id': 'strangers',
                'user_id': 'strangers',
                'consumer_generation': None,
            },
            microversion='1.28',
        )
        self.assertEqual(204, answer.status_code, answer.text)

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
        return openssl.issue(
            authority or pki.lab_authority(self.layout),
            openssl.Pair(folder / 'key.pem', folder / 'cert.pem'),
            host,
            alternatives or pki.host_names(self.layout, host),
            days,
        )

    def expire(self, pair, end):
        """Have a certificate end at a moment, which openssl cannot."""
        ca = pki.lab_authority(self.layout)
        old = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        issuer = x509.load_pem_x509_certificate(ca.certificate.read_bytes())
        new = (
            x509.CertificateBuilder()
            .subject_name(old.subject)
            .issuer_name(issuer.subject)
            .public_key(old.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(old.not_valid_before_utc)
            .not_valid_after(end)
        )
        for extension in old.extensions:
            new = new.add_extension(extension.value, extension.critical)
        key = serialization.load_pem_private_key(ca.key.read_bytes(), None)
        pair.certificate.write_bytes(
            new.sign(key, hashes.SHA256()).public_bytes(
                serialization.Encoding.PEM
            )
        )

    def foreign(self):
        """Return an authority that no host trusts."""
        folder = self.useFixture(fixtures.TempDir()).path
        return openssl.authority(pathlib.Path(folder), 'foreign')

    def uuid_of(self, host):
        return hosts.host_uuid(self.layout, host)


def replace(service, files):
    assert isinstance(service, model.Service)
    return dataclasses.replace(service, files=files)
