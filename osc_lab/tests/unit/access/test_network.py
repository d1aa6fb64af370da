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

import re
import socket
import urllib.parse
import uuid

import openstack
import testtools

from osc_lab.access import network
from osc_lab.access import rest
from osc_lab import exceptions
from osc_lab.tests.unit import fake_cloud

#: Names that would do harm in a path, a query or a terminal.
HOSTILE = (
    '../../servers',
    'a/b?name=c&id=d#e',
    '-x',
    '$(id) `id` "quoted" \'single\'',
    'line\nbreak \x1b[31m',
    'é' * 255,
    '%2e%2e%2f',
    '^.*$',
)


def port(number, **values):
    return {
        'id': str(uuid.UUID(int=number)),
        'name': f'port{number}',
        'network_id': 'net',
        'mac_address': 'fa:16:3e:00:00:01',
        'device_id': '',
        'device_owner': '',
        'fixed_ips': [{'ip_address': f'10.0.0.{number}'}],
        'binding:host_id': 'hosta',
        'binding:vif_type': 'ovs',
        'binding:vnic_type': 'normal',
        'binding:profile': {},
        **values,
    }


def server(number, name, **values):
    return {'id': str(uuid.UUID(int=number)), 'name': name, **values}


class NetworkTest(testtools.TestCase):
    """Neutron and Nova that filter as the real ones do."""

    def setUp(self):
        super().setUp()
        self.servers = [server(90, 'vm', status='ACTIVE')]
        self.ports = [
            port(1, device_id=self.servers[0]['id'], device_owner='compute:x'),
            port(2),
        ]
        self.networks = [{'id': 'net', 'name': 'blue'}]
        self.floating = []
        self.agents = []
        #: pagination_max_limit of Neutron.
        self.page = 1000
        mocked = self.useFixture(fake_cloud.Mocked(fake_cloud.Cloud()))
        self.http = mocked.http
        for path, rows in (
            ('ports', lambda: self.ports),
            ('networks', lambda: self.networks),
            ('floatingips', lambda: self.floating),
            ('agents', lambda: self.agents),
        ):
            self.mount(path, rows)
        self.http.get(
            re.compile('^http://compute.test/v2.1/servers'), json=self.nova
        )
        self.network = network.Network(openstack.connect(cloud='test'))

    def mount(self, path, rows):
        def reply(request, context):
            query = urllib.parse.parse_qs(
                urllib.parse.urlsplit(request.url).query
            )
            query.pop('fields', None)
            size = min(self.page, int(query.pop('limit', ['1000'])[0]))
            (marker,) = query.pop('marker', [''])
            found = [row for row in rows() if self.selected(row, query)]
            ids = [row.get('id') for row in found]
            start = ids.index(marker) + 1 if marker else 0
            # As Neutron does: the page before is linked on the first, too.
            links = [{'rel': 'previous', 'href': 'x'}]
            if len(found[start:]) >= size:
                links.append({'rel': 'next', 'href': 'x'})
            return {
                path: found[start : start + size],
                f'{path}_links': links,
            }

        self.http.get(f'http://network.test/v2.0/{path}', json=reply)

    def selected(self, row, query):
        for key, values in query.items():
            if key == 'fixed_ips':
                found = [
                    f'ip_address={item["ip_address"]}' for item in row[key]
                ]
            else:
                found = [row[key]]
            if not set(found) & set(values):
                return False
        return True

    def nova(self, request, context):
        parts = urllib.parse.urlsplit(request.url)
        name = parts.path.removeprefix('/v2.1/servers').strip('/')
        if name:
            for item in self.servers:
                if item['id'] == name:
                    return {'server': item}
            context.status_code = 404
            return {'itemNotFound': {'message': 'none', 'code': 404}}
        (pattern,) = urllib.parse.parse_qs(parts.query)['name']
        return {
            'servers': [
                item
                for item in self.servers
                if re.search(pattern, item['name'])
            ]
        }

    def not_found(self, text, call, *args):
        error = self.assertRaises(exceptions.NotFound, call, *args)
        self.assertIn(text, str(error))
        self.assertEqual(exceptions.printable(error), str(error))
        several = isinstance(error, exceptions.NoUniqueMatch)
        self.assertEqual('There is no' not in text, several)


class TestPort(NetworkTest):
    def test_by_name_and_by_id(self):
        for name in ('port1', str(uuid.UUID(int=1))):
            found = self.network.port(name)
            self.assertEqual(
                (
                    str(uuid.UUID(int=1)),
                    'port1',
                    'hosta',
                    'ovs',
                    'vm',
                    'fa:16:3e:00:00:01',
                    '',
                ),
                (
                    found.id,
                    found.name,
                    found.host,
                    found.vif_type,
                    found.server_name,
                    found.mac,
                    found.moving_to,
                ),
            )

    def test_a_name_that_looks_like_an_id(self):
        name = str(uuid.UUID(int=77))
        self.ports[1]['name'] = name
        self.assertEqual(self.ports[1]['id'], self.network.port(name).id)

    def test_none_and_many(self):
        self.not_found('There is no port "x"', self.network.port, 'x')
        self.ports[1]['name'] = 'port1'
        self.not_found('There are 2', self.network.port, 'port1')

    def test_hostile_names_are_only_names(self):
        for name in HOSTILE:
            self.not_found('There is no port', self.network.port, name)
            self.ports[1]['name'] = name
            self.assertEqual(self.ports[1]['id'], self.network.port(name).id)
            (path,) = {
                urllib.parse.urlsplit(request.url).path
                for request in self.http.request_history[-1:]
            }
            self.assertEqual('/v2.0/ports', path)

    def test_what_is_missing_is_empty(self):
        self.ports[1].update(
            {
                'name': None,
                'binding:host_id': None,
                'binding:vif_type': None,
                'binding:vnic_type': None,
                'binding:profile': None,
                'mac_address': None,
            }
        )
        found = self.network.port(self.ports[1]['id'])
        self.assertEqual(
            ('', '', '', 'normal', '', ''),
            (
                found.name,
                found.host,
                found.vif_type,
                found.vnic_type,
                found.mac,
                found.moving_to,
            ),
        )

    def test_without_its_binding(self):
        """As Neutron shows a port to those who are no administrators."""
        for item in self.ports:
            for key in ('host_id', 'vif_type', 'profile'):
                del item[f'binding:{key}']
        self.ports[1]['name'] = ''
        for name, call in (
            ('port1', lambda: self.network.port('port1')),
            ('port1', lambda: self.network.server_port('vm', '')),
            (
                self.ports[1]['id'],
                lambda: self.network.address_port('10.0.0.2'),
            ),
        ):
            error = self.assertRaises(exceptions.AccessError, call)
            self.assertEqual(
                f'Neutron does not show on which host the port {name} is. '
                'Use a user with the admin role.',
                str(error),
            )
            self.assertEqual(1, error.exit_code)

    def test_moving(self):
        self.servers[0]['status'] = 'MIGRATING'
        self.assertEqual('another host', self.network.port('port1').moving_to)
        self.ports[0]['binding:profile'] = {'migrating_to': 'hostb'}
        self.assertEqual('hostb', self.network.port('port1').moving_to)

    def test_inside_a_trunk(self):
        self.assertFalse(self.network.port('port1').subport)
        self.ports[0]['device_owner'] = 'trunk:subport'
        self.assertTrue(self.network.port('port1').subport)

    def test_server_that_is_gone(self):
        self.servers.clear()
        found = self.network.port('port1')
        self.assertEqual('', found.server_name)
        self.assertEqual(str(uuid.UUID(int=90)), found.server)

    def test_neutron_fails(self):
        self.http.get('http://network.test/v2.0/ports', status_code=500)
        error = self.assertRaises(
            exceptions.ServiceError, self.network.port, 'port1'
        )
        self.assertEqual(500, error.status)

    def test_neutron_sends_something_else(self):
        for body in ({}, [], {'ports': {}}, {'ports': [1]}, {'ports': [{}]}):
            self.http.get('http://network.test/v2.0/ports', json=body)
            error = self.assertRaises(
                exceptions.ServiceError, self.network.port, 'port1'
            )
            self.assertIn('not what the API documents', str(error))


class TestServerPort(NetworkTest):
    def test_by_name_and_by_id(self):
        for name in ('vm', self.servers[0]['id']):
            self.assertEqual('port1', self.network.server_port(name, '').name)

    def test_name_is_no_pattern(self):
        for name in HOSTILE:
            self.not_found(
                'There is no server', self.network.server_port, name, ''
            )
            self.servers[0]['name'] = name
            self.assertEqual('port1', self.network.server_port(name, '').name)

    def test_a_name_that_looks_like_an_id(self):
        name = str(uuid.UUID(int=78))
        self.servers[0]['name'] = name
        self.assertEqual('port1', self.network.server_port(name, '').name)

    def test_two_ports_are_told_apart_by_network(self):
        self.ports.append({**self.ports[0], **port(3, network_id='other')})
        self.ports[-1]['device_id'] = self.servers[0]['id']
        self.networks.append({'id': 'other', 'name': 'red'})
        self.not_found('--network', self.network.server_port, 'vm', '')
        for name, expected in (('blue', 'port1'), ('red', 'port3')):
            found = self.network.server_port('vm', name)
            self.assertEqual(expected, found.name)
        self.not_found(
            'There is no network', self.network.server_port, 'vm', 'green'
        )

    def test_no_port(self):
        self.ports.clear()
        self.not_found(
            'There is no port of server', self.network.server_port, 'vm', ''
        )


class TestAddressPort(NetworkTest):
    def test_fixed(self):
        self.assertEqual('port2', self.network.address_port('10.0.0.2').name)

    def test_floating(self):
        self.floating = [
            {
                'floating_ip_address': '192.0.2.9',
                'port_id': self.ports[1]['id'],
            }
        ]
        self.assertEqual('port2', self.network.address_port('192.0.2.9').name)
        self.floating[0]['port_id'] = None
        self.not_found(
            'There is no port with address',
            self.network.address_port,
            '192.0.2.9',
        )

    def test_in_any_spelling(self):
        self.ports[1]['fixed_ips'] = [{'ip_address': '2001:db8::a'}]
        for text in ('2001:db8::a', '2001:DB8::A', '2001:db8:0:0::000a'):
            self.assertEqual('port2', self.network.address_port(text).name)
        self.assertRaises(ValueError, self.network.address_port, 'web')

    def test_two_networks_have_it(self):
        self.ports[1]['fixed_ips'] = self.ports[0]['fixed_ips']
        self.not_found('There are 2', self.network.address_port, '10.0.0.1')


class TestMany(NetworkTest):
    def test_ports_in_few_requests(self):
        self.ports = [port(number) for number in range(1, 121)]
        wanted = [item['id'] for item in self.ports] * 2
        wanted += ['no-id', str(uuid.UUID(int=999))]
        before = len(self.http.request_history)
        found = self.network.ports(wanted)
        self.assertEqual({item['id'] for item in self.ports}, set(found))
        asked = [
            request
            for request in self.http.request_history[before:]
            if '/v2.0/ports' in request.url
        ]
        self.assertEqual(3, len(asked))
        self.assertEqual({}, self.network.ports(()))

    def test_pages(self):
        self.page = 20
        self.ports = [port(number) for number in range(1, 51)]
        wanted = {item['id'] for item in self.ports}
        self.assertEqual(wanted, set(self.network.ports(wanted)))
        self.agents = [
            {
                'id': f'agent-{number}',
                'host': f'host-{number:02}',
                'agent_type': 'Open vSwitch agent',
            }
            for number in range(45)
        ]
        self.assertEqual(45, len(self.network.hosts()))
        self.assertIn('fields=id', self.http.last_request.url)

    def test_a_port_without_its_binding_is_not_seen(self):
        self.ports = [port(1), port(2)]
        del self.ports[0]['binding:host_id']
        self.assertEqual(
            {self.ports[1]['id']},
            set(self.network.ports(item['id'] for item in self.ports)),
        )

    def test_hosts_are_those_of_switch_agents(self):
        self.agents = [
            {'host': host, 'agent_type': kind}
            for host, kind in (
                ('b', 'Open vSwitch agent'),
                ('a', 'OVN Controller agent'),
                ('a', 'OVN Metadata agent'),
                ('g', 'OVN Controller Gateway agent'),
                ('d', 'DHCP agent'),
            )
        ]
        self.assertEqual(['a', 'b', 'g'], self.network.hosts())

    def test_hosts_that_the_caller_may_not_see(self):
        self.agents = []
        error = self.assertRaises(exceptions.NotFound, self.network.hosts)
        self.assertIn('--host', str(error))

    def test_addresses(self):
        self.assertEqual(
            {f'host{number}': f'192.0.2.{number}' for number in (1, 2, 3)},
            self.network.addresses(),
        )
        # As for every request of ours.
        self.assertEqual(rest.TIMEOUT, self.http.last_request.timeout)

    def test_creator(self):
        self.assertRegex(
            self.network.creator(),
            f'^admin/[0-9a-f]{{32}} on {socket.gethostname()}$',
        )
