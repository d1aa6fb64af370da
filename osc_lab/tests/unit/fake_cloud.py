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

"""A cloud to migrate in: answers by service and path, over any transport.

Holds the JSON that Nova, Placement, Neutron, Cinder and Barbican would
send.  A test changes the data, then looks at what was asked of it.
"""

import json
import os
import re
import urllib.parse

import fixtures
from keystoneauth1 import fixture as ksa_fixture
import requests_mock

from osc_lab.tests import inside

SERVER = '11111111-aaaa-4aaa-8aaa-111111111111'
PROJECT = 'p-tenant'
SERVICES = {
    'compute': ('v2.1', '2.100'),
    'placement': ('v1.0', '1.39'),
    'network': ('v2.0', None),
    'block-storage': ('v3.0', '3.71'),
    'key-manager': ('v1', None),
}
PREFIX = {
    'compute': '/v2.1',
    'placement': '',
    'network': '/v2.0',
    'block-storage': '/v3',
    'key-manager': '/v1',
}


#: What Nova shows to administrators alone, by its own policy.
ADMINISTERED = ('/os-services', '/os-hypervisors/detail', '/os-aggregates')


def provider(number):
    return f'00000000-0000-4000-8000-{number:012d}'


def migration(status):
    """Return Nova's record of a live migration from host1 to host2."""
    return {
        'id': 5,
        'uuid': 'uuid-5',
        'status': status,
        'migration_type': 'live-migration',
        'instance_uuid': SERVER,
        'source_compute': 'host1',
        'dest_compute': 'host2',
        'created_at': '2026-01-01T00:00:00',
        'updated_at': '2026-01-01T00:00:09',
    }


class Cloud:
    """The data and the answers.

    :param hosts: how many compute hosts; the server runs on host1
    :ivar log: (service, method, path, query, body) of each request
    :ivar faults: (service, pattern of a path) -> status, or a pair of
        status and message
    :ivar steps: migration records, each replaces the one before when the
        list of migrations is read
    """

    def __init__(self, hosts=3, roles=('admin', 'member', 'reader')):
        self.roles = roles
        self.log = []
        self.faults = {}
        self.services = [self._service(i) for i in range(1, hosts + 1)]
        self.hypervisors = [self._hypervisor(i) for i in range(1, hosts + 1)]
        self.excluded = set()
        self.inventories = {
            'VCPU': self._inventory(8, 4.0),
            'MEMORY_MB': self._inventory(16000, 1.0),
            'DISK_GB': self._inventory(100, 1.0),
        }
        self.usages = {'VCPU': 1, 'MEMORY_MB': 1000, 'DISK_GB': 5}
        self.traits = ['COMPUTE_NODE']
        self.server = {
            'id': SERVER,
            'name': 'vm1',
            'status': 'ACTIVE',
            'tenant_id': PROJECT,
            'locked': False,
            'locked_reason': None,
            'image': {'id': 'image-1', 'properties': {}},
            'flavor': {
                'original_name': 'm1.lab',
                'vcpus': 1,
                'ram': 256,
                'disk': 1,
                'ephemeral': 0,
                'swap': 0,
                'extra_specs': {},
            },
            'OS-EXT-STS:vm_state': 'active',
            'OS-EXT-STS:task_state': None,
            'OS-EXT-STS:power_state': 1,
            'OS-EXT-SRV-ATTR:host': 'host1',
            'OS-EXT-AZ:availability_zone': 'nova',
            'pinned_availability_zone': None,
            'server_groups': [],
            'os-extended-volumes:volumes_attached': [],
        }
        self.others = []
        self.groups = {}
        self.aggregates = []
        self.migrations = []
        self.steps = []
        self.actions = {}
        self.ports = [
            {
                'id': 'port-1',
                'name': 'p1',
                'network_id': 'net-1',
                'status': 'ACTIVE',
                'binding:vnic_type': 'normal',
                'binding:vif_type': 'ovs',
                'binding:host_id': 'host1',
            }
        ]
        self.networks = [
            {
                'id': 'net-1',
                'provider:network_type': 'vxlan',
                'provider:physical_network': None,
            }
        ]
        self.agents = [self._agent(i) for i in range(1, hosts + 1)]
        self.may_unbind = True
        self.bindings = {'port-1': [{'host': 'host1', 'status': 'ACTIVE'}]}
        self.volumes = {}
        self.secrets = {}
        self.shares = 200
        self.allocations = {provider(1): {'resources': {'VCPU': 1}}}

    def _service(self, number):
        return {
            'host': f'host{number}',
            'state': 'up',
            'status': 'enabled',
            'forced_down': False,
            'disabled_reason': None,
            'zone': 'nova',
        }

    def _hypervisor(self, number):
        return {
            'id': provider(number),
            'hypervisor_hostname': f'host{number}.test',
            'hypervisor_type': 'QEMU',
            'hypervisor_version': 7002022,
            'host_ip': f'192.0.2.{number % 250}',
            'service': {'host': f'host{number}'},
            'free_ram_mb': 1000 * number,
            'vcpus': 8,
            'vcpus_used': 1,
            'disk_available_least': 50,
        }

    def _inventory(self, total, ratio):
        return {
            'total': total,
            'reserved': 0,
            'allocation_ratio': ratio,
            'max_unit': total,
        }

    def _agent(self, number):
        return {
            'id': f'agent-{number}',
            'agent_type': 'Open vSwitch agent',
            'host': f'host{number}',
            'alive': True,
            'admin_state_up': True,
            'configurations': {
                'bridge_mappings': {'physnet1': 'br-ex'},
                'tunnel_types': ['vxlan'],
            },
        }

    # -- answers

    def answer(self, service, method, path, query, body, token='t'):
        """Return (status, JSON or text, headers)."""
        self.log.append((service, method, path, query, body))
        for (name, pattern), fault in self.faults.items():
            if name == service and re.search(pattern, path):
                if isinstance(fault, int):
                    fault = (fault, 'fault')
                return fault[0], {'error': {'message': fault[1]}}, {}
        handler = getattr(self, '_' + service.replace('-', '_'))
        found = handler(method, path, query, body)
        if len(found) == 2:
            return (*found, {})
        return found

    def _forbidden(self):
        return 403, {'forbidden': {'message': 'not allowed', 'code': 403}}

    def _missing(self):
        return 404, {'itemNotFound': {'message': 'not found', 'code': 404}}

    def _compute(self, method, path, query, body):
        if 'admin' not in self.roles and (
            path in ADMINISTERED or 'all_tenants' in query
        ):
            return self._forbidden()
        for pattern, name in (
            (r'/servers/detail', '_servers'),
            (r'/servers/([^/]+)', '_one_server'),
            (r'/servers/([^/]+)/action', '_action'),
            (r'/servers/([^/]+)/shares', '_shares'),
            (r'/servers/([^/]+)/migrations', '_running'),
            (r'/servers/([^/]+)/migrations/(\d+)', '_running_one'),
            (r'/servers/([^/]+)/migrations/(\d+)/action', '_running_one'),
            (r'/servers/([^/]+)/os-instance-actions(?:/(.+))?', '_events'),
            (r'/servers/([^/]+)/os-volume_attachments', '_attachments'),
            (r'/os-services', '_services'),
            (r'/os-hypervisors/detail', '_hypervisors'),
            (r'/os-aggregates', '_aggregates'),
            (r'/os-server-groups/(.+)', '_group'),
            (r'/os-migrations', '_migrations'),
        ):
            match = re.fullmatch(pattern, path)
            if match:
                return getattr(self, name)(
                    method, query, body, *match.groups()
                )
        return self._missing()

    def _servers(self, method, query, body):
        found = [self.server, *self.others]
        if 'name' in query:
            found = [s for s in found if re.search(query['name'], s['name'])]
        return 200, {'servers': found}

    def _one_server(self, method, query, body, server_id):
        for server in (self.server, *self.others):
            if server['id'] == server_id:
                return 200, {'server': server}
        return self._missing()

    def _action(self, method, query, body, server_id):
        if 'os-resetState' in body:
            self.server['status'] = 'ACTIVE'
            self.server['OS-EXT-STS:vm_state'] = 'active'
            return 202, {}
        self.migrations = [self.steps.pop(0)] if self.steps else []
        if self.migrations:
            self._arrive()
        return 202, {}, {'x-openstack-request-id': 'req-1'}

    def _shares(self, method, query, body, server_id):
        return self.shares, {'shares': []}

    def _running(self, method, query, body, server_id):
        return 200, {
            'migrations': [
                m
                for m in self.migrations
                if m['status'] in ('running', 'preparing')
            ]
        }

    def _running_one(self, method, query, body, server_id, migration_id):
        return 202, {}

    def _events(self, method, query, body, server_id, request_id):
        if not request_id:
            return 200, {'instanceActions': list(self.actions.values())}
        if request_id not in self.actions:
            return self._missing()
        return 200, {'instanceAction': self.actions[request_id]}

    def _attachments(self, method, query, body, server_id):
        return 200, {
            'volumeAttachments': [
                {'volumeId': v['id'], 'id': v['id']}
                for v in self.server['os-extended-volumes:volumes_attached']
            ]
        }

    def _services(self, method, query, body):
        return 200, {'services': self.services}

    def _hypervisors(self, method, query, body):
        limit = int(query.get('limit', 1000))
        ids = [h['id'] for h in self.hypervisors]
        start = ids.index(query['marker']) + 1 if query.get('marker') else 0
        page = self.hypervisors[start : start + limit]
        found = {'hypervisors': page}
        if start + limit < len(self.hypervisors):
            found['hypervisors_links'] = [{'rel': 'next', 'href': 'x'}]
        return 200, found

    def _aggregates(self, method, query, body):
        return 200, {'aggregates': self.aggregates}

    def _group(self, method, query, body, group_id):
        return 200, {'server_group': self.groups[group_id]}

    def _migrations(self, method, query, body):
        found = list(self.migrations)
        if self.steps and self.migrations:
            self.migrations = [self.steps.pop(0)]
            self._arrive()
        return 200, {'migrations': found}

    def _arrive(self):
        latest = self.migrations[0]
        if latest['status'] != 'completed':
            return
        host = latest['dest_compute']
        self.server['OS-EXT-SRV-ATTR:host'] = host
        for port in self.ports:
            port['binding:host_id'] = host
            self.bindings[port['id']] = [{'host': host, 'status': 'ACTIVE'}]
        self.allocations = {
            h['id']: {'resources': {'VCPU': 1}}
            for h in self.hypervisors
            if h['service']['host'] == host
        }

    def _placement(self, method, path, query, body):
        if path == '/allocation_candidates':
            ids = [h['id'] for h in self.hypervisors]
            if 'in_tree' in query:
                ids = [query['in_tree']]
            if 'PCPU:' in query['resources'] and (
                'PCPU' not in self.inventories
            ):
                ids = []
            return 200, {
                'allocation_requests': [],
                'provider_summaries': {
                    i: {'root_provider_uuid': i}
                    for i in ids
                    if i not in self.excluded
                },
            }
        if path.startswith('/allocations/'):
            return 200, {'allocations': self.allocations}
        kind = path.rsplit('/', 1)[1]
        return 200, {
            'inventories': {'inventories': self.inventories},
            'usages': {'usages': self.usages},
            'traits': {'traits': self.traits},
        }[kind]

    def _network(self, method, path, query, body):
        if '/bindings' in path:
            port_id, _kind, host = (path + '/').split('/')[2:5]
            found = self.bindings.get(port_id, [])
            if method == 'DELETE' and not self.may_unbind:
                return 403, {'NeutronError': {'message': 'disallowed'}}
            if method == 'DELETE':
                found[:] = [item for item in found if item['host'] != host]
                return 204, None
            return 200, {'bindings': found}
        return 200, {
            '/ports': {'ports': self.ports},
            '/networks': {'networks': self.networks},
            '/agents': {'agents': self.agents},
        }[path]

    def _block_storage(self, method, path, query, body):
        match = re.fullmatch(r'/(?:[^/]+/)?volumes/([^/]+)(/.+)?', path)
        if match and match[1] in self.volumes:
            volume = self.volumes[match[1]]
            if match[2]:
                return 200, {'encryption_key_id': volume.get('key')}
            return 200, {'volume': volume}
        return self._missing()

    def _key_manager(self, method, path, query, body):
        match = re.fullmatch(r'/secrets/(.+)/payload', path)
        return self.secrets.get(match[1], 404), {'error': 'x'}

    def add_volume(self, name, **fields):
        volume = {
            'id': name,
            'name': name,
            'status': 'in-use',
            'encrypted': False,
            'multiattach': False,
            'os-vol-tenant-attr:tenant_id': PROJECT,
            'attachments': [{'server_id': SERVER}],
            **fields,
        }
        self.volumes[name] = volume
        self.server['os-extended-volumes:volumes_attached'].append(
            {'id': name}
        )

    def writes(self):
        return [item for item in self.log if item[1] != 'GET']


def token(cloud, url):
    """Return the token and the catalog; ``url`` maps a service to its."""
    found = ksa_fixture.V3Token(
        user_id='u-admin', project_id='p-admin', user_name='admin'
    )
    for role in cloud.roles:
        found.add_role(name=role)
    for name in SERVICES:
        found.add_service(name).add_standard_endpoints(
            public=url(name) + PREFIX[name], region='R'
        )
    return found


def discovery(service, url):
    """Return the version document of a service at ``url``."""
    version, maximum = SERVICES[service]
    found = ksa_fixture.DiscoveryList(v2=False, v3=False)
    if maximum:
        found.add_microversion(
            href=url + PREFIX[service] + '/',
            id=version,
            max_version=maximum,
            min_version=version.strip('v'),
        )
    else:
        found.add_microversion(href=url + PREFIX[service] + '/', id=version)
    return found


class Mocked(fixtures.Fixture):
    """The cloud behind requests-mock, and the shell in this process."""

    AUTH = 'http://keystone.test/v3'

    def __init__(self, cloud, settings=None):
        self.cloud = cloud
        self.settings = settings or {}

    def _setUp(self):
        for name in list(os.environ):
            if (
                name.startswith(('OS_', 'OSC_LAB_'))
                and name != 'OS_TEST_TIMEOUT'
            ):
                self.useFixture(fixtures.EnvironmentVariable(name))
        path = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'clouds.yaml'
        )
        entry = {
            'auth': {
                'auth_url': self.AUTH,
                'username': 'admin',
                'password': 'canary-password',
                'project_name': 'admin',
                'user_domain_id': 'default',
                'project_domain_id': 'default',
            },
            'region_name': 'R',
            'osc_lab': self.settings,
        }
        with open(path, 'w') as stream:
            json.dump({'clouds': {'test': entry}}, stream)
        for name, value in (
            ('OS_CLIENT_CONFIG_FILE', path),
            ('OS_CLOUD', 'test'),
        ):
            self.useFixture(fixtures.EnvironmentVariable(name, value))
        self.http = requests_mock.Mocker()
        self.http.start()
        self.addCleanup(self.http.stop)
        self.http.get(
            self.AUTH, json={'version': ksa_fixture.V3Discovery(self.AUTH)}
        )
        self.http.post(
            self.AUTH + '/auth/tokens',
            json=token(self.cloud, self._url),
            headers={'X-Subject-Token': 'canary-token'},
        )
        for name in SERVICES:
            self._mount(name)

    def _url(self, name):
        return f'http://{name}.test'

    def _mount(self, name):
        url, prefix = self._url(name), PREFIX[name]

        def reply(request, context):
            path = urllib.parse.unquote(
                urllib.parse.urlsplit(request.url).path
            ).removeprefix(prefix)
            query = dict(
                urllib.parse.parse_qsl(urllib.parse.urlsplit(request.url)[3])
            )
            if path in ('', '/'):
                return discovery(name, url)
            status, body, headers = self.cloud.answer(
                name,
                request.method,
                path,
                query,
                request.json() if request.body else {},
            )
            context.status_code = status
            context.headers.update(headers)
            return body

        self.http.register_uri(
            requests_mock.ANY, re.compile(re.escape(url)), json=reply
        )

    def run(self, *argv):
        """Run the shell; return (status, stdout, stderr)."""
        return inside.openstack(*argv)
