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

"""Block storage and identity at the HTTP level, with state, no network."""

import ast
import json
import os
import re
import urllib.parse
import uuid

import fixtures
from keystoneauth1 import fixture as ksa_fixture
import requests
import requests_mock

from osc_lab.tests import inside

AUTH = 'http://keystone.test/v3'
CINDER = 'http://cinder.test/v3'
BARBICAN = 'http://barbican.test'
NOVA = 'http://nova.test/v2.1'
TENANT = 'os-vol-tenant-attr:tenant_id'
URLS = {'key-manager': BARBICAN, 'compute': NOVA}


#: Cinder deletes nothing else without force (volume.api.API.delete).
DELETABLE = (
    *('available', 'error', 'error_restoring'),
    *('error_extending', 'error_managing'),
)


def pool_name(protocol):
    return f'host@{protocol}#{protocol}'


class Cloud(fixtures.Fixture):
    """A cloud with Cinder alone, unless ``services`` names more.

    :ivar types: id -> volume type as the API shows it
    :ivar encryptions: id of a type -> encryption
    :ivar access: id of a type -> ids of projects
    :ivar log: (method, path) of each request to Cinder
    :ivar faults: number of the request (from 1) -> fault; see _answer()
    :ivar server: the one that Nova has
    :ivar attaching: status of a volume that was to be attached
    :ivar looks: at a volume, until it is attached; it cannot be detached
        before (Nova, detach_volume)
    :ivar detaching: status of a volume that was to be detached
    :ivar orders: what was ordered in Barbican: id -> what Cinder asks for
    :ivar order_status: how orders end, and with which code, if they fail
    :ivar lost: what is raised when an order was taken
    :ivar secrets: ids of what Barbican has
    :ivar refused: (method, start of the path) -> status, elsewhere than in
        Cinder
    """

    def __init__(self, admin=True, services=('block-storage',)):
        self.admin = admin
        self.services = services
        self.types = {}
        self.encryptions = {}
        self.access = {}
        self.volumes = {}
        self.volume_status = 'available'
        self.volume_encryption = {}
        self.key_id = str(uuid.uuid4())
        self.pools = ['iSCSI']
        self.server = {'id': 's1', 'name': 'web', 'status': 'ACTIVE'}
        self.server['OS-EXT-SRV-ATTR:host'] = 'hosta'
        self.attaching = 'in-use'
        self.looks = 0
        self._coming = {}
        self.detaching = 'available'
        self.orders = {}
        self.order_status = 'ACTIVE'
        self.order_code = '400'
        self.lost = None
        self.secrets = []
        self.refused = {}
        self.default = None
        self.defaults = {}
        self.log = []
        self.faults = {}
        self.before = None

    def _setUp(self):
        for name in list(os.environ):
            if name.startswith(('OS_', 'OSC_LAB_')):
                self.useFixture(fixtures.EnvironmentVariable(name))
        folder = self.useFixture(fixtures.TempDir()).path
        path = os.path.join(folder, 'clouds.yaml')
        self._path = path
        self.settings()
        for name, value in (
            ('OS_CLIENT_CONFIG_FILE', path),
            ('OS_CLOUD', 'test'),
        ):
            self.useFixture(fixtures.EnvironmentVariable(name, value))
        self.http = requests_mock.Mocker()
        self.http.start()
        self.addCleanup(self.http.stop)
        self._keystone()
        self.http.register_uri(
            requests_mock.ANY,
            re.compile(re.escape(CINDER) + '/.+'),
            json=self._answer,
        )

    def settings(self, **osc_lab):
        """Write clouds.yaml, with these keys under osc_lab."""
        cloud = {
            'auth': {
                'auth_url': AUTH,
                'username': 'u',
                'password': 'secret',
                'project_name': 'p',
                'user_domain_id': 'default',
                'project_domain_id': 'default',
            },
            'region_name': 'R',
            'osc_lab': {'api_timeout': 5, **osc_lab},
        }
        with open(self._path, 'w') as stream:
            json.dump({'clouds': {'test': cloud}}, stream)

    def _keystone(self):
        token = ksa_fixture.V3Token(project_id='p1')
        for name in self.services:
            service = token.add_service(name)
            url = URLS.get(name, CINDER)
            service.add_standard_endpoints(public=url, region='R')
        keystone = token.add_service('identity')
        keystone.add_standard_endpoints(public=AUTH, region='R')
        self.http.get(
            AUTH,
            json={'version': ksa_fixture.V3Discovery(AUTH)},
        )
        self.http.post(
            AUTH + '/auth/tokens',
            json=token,
            headers={'X-Subject-Token': 'canary-token'},
        )
        root = ksa_fixture.DiscoveryList(v2=False, v3=False)
        root.add_microversion(
            href=CINDER + '/', id='v3.0', max_version='3.71', min_version='3.0'
        )
        for url in (CINDER, CINDER + '/', 'http://cinder.test/'):
            self.http.get(url, json=root, status_code=300)
        self._others()
        self.http.get(
            'http://keystone.test/v3/projects',
            json={'projects': [{'id': 'p2', 'name': 'two'}]},
        )
        self.http.get(
            re.compile('^http://keystone.test/v3/projects/.'),
            json={'error': {'message': 'Could not find', 'code': 404}},
            status_code=404,
        )

    def _others(self):
        """Have Barbican and Nova, whether the catalog names them or not."""
        barbican = ksa_fixture.DiscoveryList(v2=False, v3=False)
        barbican.add_microversion(href=BARBICAN + '/v1/', id='v1')
        self.http.get(BARBICAN, json=barbican, status_code=300)
        nova = ksa_fixture.DiscoveryList(v2=False, v3=False)
        nova.add_microversion(
            href=NOVA + '/', id='v2.1', max_version='2.96', min_version='2.1'
        )
        for url in (NOVA, NOVA + '/', 'http://nova.test/'):
            self.http.get(url, json=nova, status_code=300)
        self.register()

    def hypervisor(self, host, address):
        """Let Nova name a compute host."""
        item = {'id': '1', 'service': {'host': host}, 'host_ip': address}
        self.http.get(
            f'{NOVA}/os-hypervisors/detail', json={'hypervisors': [item]}
        )

    def register(self):
        """Let Barbican and Nova answer."""
        for url, answer in (
            (BARBICAN + '/v1', self._barbican),
            (NOVA, self._nova),
        ):
            self.http.register_uri(
                requests_mock.ANY,
                re.compile(re.escape(url) + '/.+'),
                json=answer,
            )

    def _refused(self, request, context):
        for (method, path), status in self.refused.items():
            if request.method == method and path in request.path:
                context.status_code = status
                return {'error': {'message': 'refused', 'code': status}}
        return None

    def _barbican(self, request, context):
        refused = self._refused(request, context)
        if refused:
            return refused
        _v1, kind, *rest = request.path.strip('/').split('/')
        if kind == 'orders' and request.method == 'POST':
            order = f'o{len(self.orders)}'
            self.orders[order] = request.json()['meta']
            if self.order_status == 'ACTIVE':
                self.secrets.append(f'of-{order}')
            if self.lost:
                raise self.lost
            context.status_code = 202
            return {'order_ref': f'{BARBICAN}/v1/orders/{order}'}
        if request.method == 'DELETE':
            kept = self.orders if kind == 'orders' else self.secrets
            kept.pop(rest[0] if kind == 'orders' else kept.index(rest[0]))
            context.status_code = 204
            return None
        if kind == 'orders' and not rest:
            start = int(request.qs.get('offset', ['0'])[0])
            return {
                'total': len(self.orders),
                'orders': [
                    {'order_ref': f'{BARBICAN}/v1/orders/{key}', 'meta': meta}
                    for key, meta in list(self.orders.items())[start:]
                ],
            }
        if kind == 'orders':
            found = {'status': self.order_status, 'error_reason': 'bad size'}
            found['error_status_code'] = self.order_code
            if f'of-{rest[0]}' in self.secrets:
                found['secret_ref'] = f'{BARBICAN}/v1/secrets/of-{rest[0]}'
            return found
        if rest:
            context.status_code = 200 if rest[0] in self.secrets else 404
            return {'status': 'ACTIVE'}
        start = int(request.qs['offset'][0])
        return {
            'total': len(self.secrets),
            'secrets': [
                {'secret_ref': f'{BARBICAN}/v1/secrets/{secret}'}
                for secret in self.secrets[start : start + 100]
            ],
        }

    def _nova(self, request, context):
        refused = self._refused(request, context)
        if refused:
            return refused
        _version, _servers, server, *rest = request.path.strip('/').split('/')
        if server != self.server['id']:
            context.status_code = 404
            return {'itemNotFound': {'message': 'no such server'}}
        if not rest:
            return {'server': self.server}
        if request.method == 'POST':
            volume = request.json()['volumeAttachment']['volumeId']
            self._coming[volume] = [
                *['reserved'] * (self.looks - self.looks // 2),
                *['attaching'] * (self.looks // 2),
                self.attaching,
            ]
            self._move(volume)
            return {}
        if self._coming.get(rest[1]):
            context.status_code = 400
            return {'badRequest': {'message': "status must be 'in-use'"}}
        self.volumes[rest[1]]['status'] = self.detaching
        context.status_code = 202
        return None

    # -- requests

    def _answer(self, request, context):
        path = request.path.removeprefix('/v3')
        self.log.append((request.method, path))
        fault = self.faults.get(len(self.log))
        if self.before:
            self.before(len(self.log))
        if fault in ('refuse', 'reset-before'):
            raise requests.exceptions.ConnectionError('reset')
        if isinstance(fault, int):
            context.status_code = fault
            context.headers['Retry-After'] = '0'
            return {'error': {'message': f'fault {fault}', 'code': fault}}
        context.status_code, body = self.handle(
            request.method, path, request.json() if request.body else {}
        )
        if path == '/volumes/detail':
            body = {'volumes': self._chosen(body['volumes'], request)}
        if fault == 'reset-after':
            raise requests.exceptions.ConnectionError('reset')
        if fault == 'timeout':
            raise requests.exceptions.ReadTimeout('late')
        if fault == 'garbage':
            return ['neither', 'this', 'nor', 'that']
        return body

    def _chosen(self, volumes, request):
        """Return what the caller may see, and the metadata asked for."""
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.url).query)
        if not self.admin or 'all_tenants' not in query:
            volumes = [v for v in volumes if v.get(TENANT, 'p1') == 'p1']
        wanted = ast.literal_eval(query.get('metadata', ['{}'])[0])
        return [
            v
            for v in volumes
            if wanted.items() <= v.get('metadata', {}).items()
        ]

    def handle(self, method, path, body):
        if path == '/scheduler-stats/get_pools':
            return 200, {
                'pools': [
                    {
                        'name': pool_name(name),
                        'capabilities': {'storage_protocol': name},
                    }
                    for name in self.pools
                ]
            }
        if path == '/types/default':
            if not self.default:
                return 404, {'itemNotFound': {'message': 'no default'}}
            return 200, {'volume_type': self.types[self.default]}
        if path == '/default-types':
            return 200, {
                'default_types': [
                    {'project_id': project, 'volume_type_id': type_id}
                    for project, type_id in self.defaults.items()
                ]
            }
        if path == '/messages':
            return 200, {'messages': [{'id': 'm', 'user_message': 'no key'}]}
        if path.startswith('/volumes'):
            return self._volumes(method, path, body)
        match = re.fullmatch(r'/types(?:/([^/]+))?(?:/(.+))?', path)
        if match is None:
            return 404, {'itemNotFound': {'message': 'no such path'}}
        type_id, rest = match.groups()
        if type_id and type_id not in self.types:
            return 404, {'itemNotFound': {'message': 'no such type'}}
        if method != 'GET' and not self.admin:
            return 403, {'forbidden': {'message': 'Policy does not allow'}}
        if rest == 'encryption':
            return self._encryption(method, type_id, body)
        if rest == 'os-volume-type-access':
            return 200, {
                'volume_type_access': [
                    {'volume_type_id': type_id, 'project_id': project}
                    for project in sorted(self.access.get(type_id, ()))
                ]
            }
        if rest == 'action':
            project = body['addProjectAccess']['project']
            self.access.setdefault(type_id, set()).add(project)
            return 202, {}
        return getattr(self, f'_{method.lower()}_type')(type_id, body)

    def _volumes(self, method, path, body):
        if method == 'POST':
            wanted = body['volume']
            type_id = wanted['volume_type']
            volume_id = str(uuid.uuid4())
            self.volumes[volume_id] = {
                'id': volume_id,
                'name': wanted['name'],
                'size': wanted['size'],
                'metadata': wanted['metadata'],
                'status': self.volume_status,
                'volume_type_id': type_id,
                'encrypted': type_id in self.encryptions,
                'encryption_key_id': self.key_id,
                'os-vol-host-attr:host': pool_name(self.pools[0]),
            }
            return 202, {'volume': self.volumes[volume_id]}
        if path == '/volumes/detail':
            return 200, {'volumes': list(self.volumes.values())}
        volume_id = path.split('/')[2]
        if volume_id not in self.volumes:
            return 404, {'itemNotFound': {'message': 'no such volume'}}
        volume = self.volumes[volume_id]
        if path.endswith('/encryption'):
            return 200, {
                **self.encryptions.get(volume['volume_type_id'], {}),
                **self.volume_encryption,
                'encryption_key_id': self.key_id,
            }
        if method == 'DELETE':
            if volume['status'] not in DELETABLE:
                return 400, {'badRequest': {'message': 'status is not right'}}
            del self.volumes[volume_id]
            return 202, {}
        shown = dict(volume)
        self._move(volume_id)
        return 200, {'volume': shown}

    def _move(self, volume_id):
        """Give a volume that is being attached its next status."""
        coming = self._coming.get(volume_id)
        if coming:
            self.volumes[volume_id]['status'] = coming.pop(0)

    def _encryption(self, method, type_id, body):
        if method == 'GET':
            return 200, self.encryptions.get(type_id, {})
        if type_id in self.encryptions:
            return 400, {'badRequest': {'message': 'exists already'}}
        self.encryptions[type_id] = {
            **body['encryption'],
            'encryption_id': str(uuid.uuid4()),
            'volume_type_id': type_id,
        }
        return 200, body

    def _get_type(self, type_id, body):
        if type_id:
            return 200, {'volume_type': self.types[type_id]}
        return 200, {'volume_types': list(self.types.values())}

    def _post_type(self, type_id, body):
        wanted = body['volume_type']
        name = wanted['name'].casefold()
        if any(t['name'].casefold() == name for t in self.types.values()):
            return 409, {'conflictingRequest': {'message': 'exists already'}}
        made = self.add(
            wanted['name'],
            wanted['description'],
            wanted['os-volume-type-access:is_public'],
        )
        made['extra_specs'] = wanted['extra_specs']
        return 200, {'volume_type': made}

    def add(self, name, description='', is_public=True, **encryption):
        """Put a type there, as another client did."""
        type_id = str(uuid.uuid4())
        self.types[type_id] = {
            'id': type_id,
            'name': name,
            'description': description,
            'is_public': is_public,
            'os-volume-type-access:is_public': is_public,
            'extra_specs': {},
        }
        if encryption:
            self.encryptions[type_id] = {
                'encryption_id': str(uuid.uuid4()),
                **encryption,
            }
        return self.types[type_id]

    def _put_type(self, type_id, body):
        wanted = body['volume_type']
        item = self.types[type_id]
        item['description'] = wanted['description']
        item['is_public'] = wanted['is_public']
        item['os-volume-type-access:is_public'] = wanted['is_public']
        return 200, {'volume_type': item}

    def _delete_type(self, type_id, body):
        if any(v['volume_type_id'] == type_id for v in self.volumes.values()):
            return 400, {'badRequest': {'message': 'still in use'}}
        del self.types[type_id]
        self.encryptions.pop(type_id, None)
        return 202, {}

    # -- what tests ask

    @property
    def writes(self):
        return [item for item in self.log if item[0] != 'GET']

    def dangerous(self):
        """Return public types that do not encrypt."""
        return [
            item['name']
            for item in self.types.values()
            if item['is_public'] and item['id'] not in self.encryptions
        ]


class Run:
    """The whole shell in this process; see house rule on HTTP fakes."""

    def __init__(self, *argv):
        self.status, self.stdout, self.stderr = inside.openstack(*argv)

    @property
    def json(self):
        return json.loads(self.stdout)

    def __str__(self):
        return f'{self.stdout}{self.stderr}[exit status {self.status}]'
