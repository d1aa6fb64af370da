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

"""The full lab is a cloud: servers boot, answer, and move."""

import os
import pathlib
import re
import shutil
import tempfile
import time

from lab import machine
from lab import model
from lab import seed
from lab.tests.functional import base

#: The last byte of MAC and address; neighbours ping each other.
BYTES = (0xFA, 0xFB)


class CloudTest(base.LabTest):
    """On the lab of OSC_LAB_STATE_DIR, or else on one of its own."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        given = os.environ.get('OSC_LAB_STATE_DIR')
        cls.state = pathlib.Path(
            given or tempfile.mkdtemp(prefix='osc-lab-')
        ).resolve()
        # What there was before a lab that is up already, nobody knows.
        before = [], set(), ''
        if not given:
            cls.addClassCleanup(shutil.rmtree, cls.state, ignore_errors=True)
            cls.addClassCleanup(base.lab, cls.state, 'down')
            before = base.surroundings()
            base.lab(cls.state, 'up')
        cls.before = before
        cls.layout = base.layout(cls.state)
        cls.admin = base.admin(cls.state)

    def url(self, name, path):
        prefix = {'nova': '/v2.1', 'neutron': '/v2.0', 'glance': '/v2'}
        return self.layout.url(name) + prefix[name] + path

    def call(self, method, name, path, body=None):
        version = 'compute 2.90' if name == 'nova' else ''
        url = self.url(name, path)
        return self.admin.call(method, url, body, version)

    def wait(self, look, what, timeout=120.0):
        """Wait until a look returns something that counts."""
        limit = time.monotonic() + timeout
        while time.monotonic() < limit:
            if found := look():
                return found
            time.sleep(0.5)
        self.fail(f'{what} did not come in {timeout} s')

    def named(self, name, path, kind, wanted):
        listed = self.call('GET', name, path)[kind]
        return next(e['id'] for e in listed if e['name'] == wanted)

    def create_port(self, byte):
        network = self.named('neutron', '/networks', 'networks', seed.NETWORK)
        body = {
            'port': {
                'name': f'smoke-{byte:x}',
                'network_id': network,
                'mac_address': f'fa:16:3e:09:00:{byte:02x}',
                'fixed_ips': [{'ip_address': f'10.9.0.{byte}'}],
            }
        }
        port = self.call('POST', 'neutron', '/ports', body)['port']['id']
        self.addCleanup(self.call, 'DELETE', 'neutron', f'/ports/{port}')
        return port

    def delete_server(self, server):
        self.call('DELETE', 'nova', f'/servers/{server}')

        def gone():
            listed = self.call('GET', 'nova', '/servers')['servers']
            return server not in {entry['id'] for entry in listed}

        self.wait(gone, 'the end of a server')

    def create_server(self, port, host):
        body = {
            'server': {
                'name': f'smoke-{host}',
                'imageRef': self.named('glance', '/images', 'images', 'guest'),
                'flavorRef': self.named(
                    'nova', '/flavors', 'flavors', seed.FLAVOR
                ),
                'networks': [{'port': port}],
                'host': host,
            }
        }
        answer = self.call('POST', 'nova', '/servers', body)
        server = answer['server']['id']
        self.addCleanup(self.delete_server, server)
        return server

    def show(self, server):
        return self.call('GET', 'nova', f'/servers/{server}')['server']

    def wait_active(self, server, host):
        def active():
            shown = self.show(server)
            self.assertNotEqual('ERROR', shown['status'], shown.get('fault'))
            return (
                shown['status'] == 'ACTIVE'
                and shown['OS-EXT-SRV-ATTR:host'] == host
                and shown['OS-EXT-STS:task_state'] is None
            )

        self.wait(active, f'{server} on {host}')

    def pings(self, server, host):
        """Answered pings, from the last line on a guest's console."""
        folder = self.layout.host_dir(host) / 'nova' / 'instances'
        text = (folder / server / 'console.log').read_text(errors='replace')
        counts = re.findall(r'ping=(\d+)/\d+', text)
        return int(counts[-1]) if counts else 0

    def test_two_hypervisors(self):
        listed = self.call('GET', 'nova', '/os-hypervisors/detail')
        rows = listed['hypervisors']
        self.assertEqual(
            [(f'{host}.lab', 'QEMU', 'up') for host in model.HOSTS],
            sorted(
                (r['hypervisor_hostname'], r['hypervisor_type'], r['state'])
                for r in rows
            ),
        )

    def test_only_loopback_in_the_root(self):
        inside = machine.run(self.layout, 'hosta', ['ip', '-o', 'addr'])
        self.assertIn(self.layout.host_address('hosta'), inside.stdout)
        links, addresses, namespaces = base.surroundings()
        old_links, old_addresses, old_namespaces = self.before
        new = {address for _link, address in addresses - old_addresses}
        for host in model.HOSTS:
            self.assertNotIn(self.layout.host_address(host), new)
            self.assertNotIn(self.layout.host_tunnel_address(host), new)
        self.assertNotIn('br-int', ' '.join(set(links) - set(old_links)))
        self.assertEqual(old_namespaces, namespaces)
        self.assertEqual([], base.traces(self.state)['mounts'])

    def test_second_up(self):
        running = base.services(self.state)
        self.assertIn('nothing to do', base.lab(self.state, 'up'))
        self.assertEqual(running, base.services(self.state))

    def test_servers_ping_and_move(self):
        ports = [self.create_port(byte) for byte in BYTES]
        servers = [
            self.create_server(port, host)
            for port, host in zip(ports, model.HOSTS, strict=True)
        ]
        for server, host in zip(servers, model.HOSTS, strict=True):
            self.wait_active(server, host)
        for port, host in zip(ports, model.HOSTS, strict=True):
            found = machine.run(
                self.layout,
                host,
                [
                    *('ovs-vsctl', '--bare', '--columns=name', 'find'),
                    *('Interface', f'external_ids:iface-id={port}'),
                ],
            )
            self.assertTrue(found.stdout.strip(), f'no port on {host}')
        for server, host in zip(servers, model.HOSTS, strict=True):
            self.wait(
                lambda s=server, h=host: self.pings(s, h) >= 2,
                f'pings of the server on {host}',
            )
        moved, target = servers[0], model.HOSTS[1]
        body = {'os-migrateLive': {'host': target, 'block_migration': 'auto'}}
        self.call('POST', 'nova', f'/servers/{moved}/action', body)
        self.wait_active(moved, target)
        before = self.pings(moved, target)
        self.wait(
            lambda: self.pings(moved, target) > before + 1,
            'pings after the migration',
        )
