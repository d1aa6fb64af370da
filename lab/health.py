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

"""Tell whether a part of the lab answers."""

import socket

from lab import model
from lab import rest


def port_open(address: str, port: int) -> bool:
    """True when something accepts connections."""
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False


def answers(layout: model.Layout, name: str, path: str = '/') -> bool:
    """True when an API answers a request without a token.

    :param name: a key of the layout's ports
    """
    try:
        rest.request('GET', layout.url(name) + path, timeout=10)
    except rest.Refused as refused:
        return refused.status in (300, 401)
    except (*rest.UNREACHABLE, ValueError):
        return False
    return True


def _volume_services(layout: model.Layout, admin: rest.Session) -> set[str]:
    url = f'{layout.url("cinder")}/v3/{admin.project_id}/os-services'
    up = {
        entry['binary']
        for entry in admin.get(url)['services']
        if entry['state'] == 'up'
    }
    return {'cinder-scheduler', 'cinder-volume'} - up


def _agents(layout: model.Layout, admin: rest.Session) -> set[str]:
    url = f'{layout.url("neutron")}/v2.0/agents'
    alive = {
        entry['host'] for entry in admin.get(url)['agents'] if entry['alive']
    }
    return {f'agent of {host}' for host in model.HOSTS if host not in alive}


def _compute(layout: model.Layout, admin: rest.Session) -> set[str]:
    base = f'{layout.url("nova")}/v2.1'
    services = admin.get(f'{base}/os-services')['services']
    up = {
        (entry['binary'], entry['host'])
        for entry in services
        if entry['state'] == 'up'
    }
    missing = {'nova-conductor', 'nova-scheduler'} - {name for name, _ in up}
    missing |= {
        f'nova-compute of {host}'
        for host in model.HOSTS
        if ('nova-compute', host) not in up
    }
    hypervisors = admin.get(f'{base}/os-hypervisors')['hypervisors']
    if len(hypervisors) < len(model.HOSTS):
        missing.add('hypervisors')
    providers = admin.get(f'{layout.url("placement")}/resource_providers')
    if len(providers['resource_providers']) < len(model.HOSTS):
        missing.add('resource providers')
    return missing


def missing(
    layout: model.Layout, admin: rest.Session, profile: str
) -> set[str]:
    """What the APIs do not report as up yet; empty when all is there."""
    absent = _volume_services(layout, admin)
    if profile in ('network', 'full'):
        absent |= _agents(layout, admin)
    if profile == 'full':
        absent |= _compute(layout, admin)
    return absent
