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

"""Fill a new cloud through its APIs: users, catalog, types, a network.

Every function looks first and makes what is missing, so it may be run
again after a run that was cut short.
"""

import collections.abc
import pathlib

from lab import model
from lab import passwords
from lab import rest
from lab.services import common

#: (type, name, key of the layout's ports, what follows the port)
CATALOG = (
    ('volumev3', 'cinder', 'cinder', '/v3'),
    ('key-manager', 'barbican', 'barbican', ''),
    ('network', 'neutron', 'neutron', ''),
    ('placement', 'placement', 'placement', ''),
    ('image', 'glance', 'glance', ''),
    ('compute', 'nova', 'nova', '/v2.1'),
)

FLAVOR = 'lab.tiny'
NETWORK = 'lab-net'
NETWORK_RANGE = '10.9.0.0/24'

#: Name of the volume type that Cinder takes by default.
PLAIN_TYPE = 'plain'


def admin(context: common.Context) -> rest.Session:
    """A session in the name of admin."""
    return rest.Session(
        common.identity_url(context.layout),
        'admin',
        context.passwords.admin,
        'admin',
    )


class _Identity:
    """Keystone's things by name."""

    def __init__(self, session: rest.Session, url: str) -> None:
        self._session = session
        self._url = url

    def ensure(
        self, kind: str, name: str, extra: rest.Json | None = None
    ) -> str:
        """The id of a thing of this name, made when there is none.

        :param kind: 'user', 'project', 'role' or 'service'
        :param extra: further attributes, for a new one
        """
        many = f'{self._url}/{kind}s'
        found = self._session.get(f'{many}?name={name}')[f'{kind}s']
        if not found:
            body = {kind: {'name': name, **(extra or {})}}
            found = [self._session.call('POST', many, body)[kind]]
        identity: str = found[0]['id']
        return identity

    def grant(self, project: str, user: str, role: str) -> None:
        path = f'projects/{project}/users/{user}/roles/{role}'
        self._session.call('PUT', f'{self._url}/{path}')

    def ensure_endpoint(self, service: str, interface: str, url: str) -> None:
        many = f'{self._url}/endpoints'
        query = f'service_id={service}&interface={interface}'
        found = self._session.get(f'{many}?{query}')['endpoints']
        body = {
            'endpoint': {
                'service_id': service,
                'interface': interface,
                'url': url,
                'region_id': common.REGION,
            }
        }
        if not found:
            self._session.call('POST', many, body)
        elif found[0]['url'] != url:
            path = f'{many}/{found[0]["id"]}'
            self._session.call('PATCH', path, body)


def _ensure_user(
    identity: _Identity, name: str, password: str, project: str, roles: str
) -> None:
    domain: rest.Json = {'domain_id': 'default'}
    project_id = identity.ensure('project', project, domain)
    user_id = identity.ensure('user', name, {'password': password, **domain})
    for role in roles.split():
        identity.grant(project_id, user_id, identity.ensure('role', role))


def identity(
    layout: model.Layout,
    words: passwords.Passwords,
    session: rest.Session,
    ports: collections.abc.Container[str],
) -> None:
    """Users, roles and the catalog.

    :param ports: the APIs that this lab has, as keys of the layout's ports
    """
    keystone = _Identity(session, common.identity_url(layout))
    _ensure_user(keystone, 'svc', words.service, 'service', 'admin service')
    _ensure_user(keystone, 'demo', words.demo, 'demo', 'member')
    rows = [
        ('identity', 'keystone', 'keystone', '/v3'),
        *(row for row in CATALOG if row[2] in ports),
    ]
    for kind, name, port, suffix in rows:
        service = keystone.ensure('service', name, {'type': kind})
        for interface in ('public', 'internal', 'admin'):
            keystone.ensure_endpoint(
                service, interface, layout.url(port) + suffix
            )


def volume_types(layout: model.Layout, session: rest.Session) -> None:
    """The volume type that cinder.conf names as the default."""
    url = f'{layout.url("cinder")}/v3/{session.project_id}/types'
    names = [entry['name'] for entry in session.get(url)['volume_types']]
    if PLAIN_TYPE not in names:
        session.call(
            'POST',
            url,
            {
                'volume_type': {
                    'name': PLAIN_TYPE,
                    'description': 'No encryption',
                    'os-volume-type-access:is_public': True,
                }
            },
        )


def _image(
    layout: model.Layout,
    session: rest.Session,
    name: str,
    path: pathlib.Path,
) -> None:
    url = f'{layout.url("glance")}/v2/images'
    for image in session.get(f'{url}?name={name}')['images']:
        if image['status'] == 'active':
            return
        # An upload that was cut short.
        session.call('DELETE', f'{url}/{image["id"]}')
    body = {
        'name': name,
        'disk_format': 'raw',
        'container_format': 'bare',
        'visibility': 'public',
    }
    image = session.call('POST', url, body)
    session.call('PUT', f'{url}/{image["id"]}/file', path.read_bytes())


def _flavor(layout: model.Layout, session: rest.Session) -> None:
    url = f'{layout.url("nova")}/v2.1/flavors'
    names = [each['name'] for each in session.get(url)['flavors']]
    if FLAVOR not in names:
        size = {'vcpus': 1, 'ram': 256, 'disk': 1}
        session.call('POST', url, {'flavor': {'name': FLAVOR, **size}})


def network(layout: model.Layout, session: rest.Session) -> None:
    """A network that everybody may use, with one subnet.

    A guest takes its address from the last three bytes of its MAC, so a
    port for one has a MAC like fa:16:3e:09:00:0b and the address 10.9.0.11.
    """
    base = f'{layout.url("neutron")}/v2.0'
    found = session.get(f'{base}/networks?name={NETWORK}')['networks']
    if not found:
        body = {'network': {'name': NETWORK, 'shared': True}}
        answer = session.call('POST', f'{base}/networks', body)
        found = [answer['network']]
    if not found[0]['subnets']:
        subnet = {
            'name': NETWORK,
            'network_id': found[0]['id'],
            'ip_version': 4,
            'cidr': NETWORK_RANGE,
            'gateway_ip': None,
            'enable_dhcp': False,
        }
        session.call('POST', f'{base}/subnets', {'subnet': subnet})


def compute(
    layout: model.Layout,
    session: rest.Session,
    images: collections.abc.Mapping[str, pathlib.Path],
) -> None:
    """The guest's images and a flavor.

    :param images: name -> raw image
    """
    for name, path in images.items():
        _image(layout, session, name, path)
    _flavor(layout, session)
