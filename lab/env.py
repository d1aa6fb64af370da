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

"""What a shell needs to use the lab, and the clouds.yaml it points at."""

import json
import shlex
import typing

from lab import model
from lab import passwords
from lab import profiles
from lab.services import cinder
from lab.services import common

Tree = dict[str, typing.Any]


def yaml(tree: Tree, depth: int = 0) -> str:
    """YAML of nested mappings with strings and lists as leaves."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines.append(f'{"  " * depth}{key}:\n{yaml(value, depth + 1)}')
        else:
            # A JSON value is a YAML value, quoted whatever it holds.
            lines.append(f'{"  " * depth}{key}: {json.dumps(value)}\n')
    return ''.join(lines)


def clouds_path(layout: model.Layout) -> str:
    return str(layout.state / 'clouds.yaml')


def _host_access(context: common.Context, profile: str) -> Tree:
    """The osc_lab mapping of a cloud."""
    layout = context.layout
    files: Tree = {cinder.HOST: [str(layout.etc / cinder.CONFIGURATION)]}
    access: Tree = {'config_files': files, 'local_hosts': [cinder.HOST]}
    if profile == profiles.PROFILES[0]:
        return access
    pki = layout.state / 'pki'
    access.update(
        {
            'ssh': '{host}',
            'ssh_config': str(layout.state / 'ssh' / 'config'),
            'libvirt_uri': (
                f'qemu+tls://{{host_ip}}{layout.host_door("libvirt-tls")}'
                f'/system?pkipath={pki / "client"}'
            ),
            'ovsdb': f'ssl:{{host_ip}}:{layout.host_ports["ovsdb-tls"]}',
            'ovsdb_ca_cert': str(pki / 'client' / 'cacert.pem'),
            'ovsdb_cert': str(pki / 'client' / 'clientcert.pem'),
            'ovsdb_key': str(pki / 'client' / 'clientkey.pem'),
            'host_addresses': {
                host: layout.host_loopback(host) for host in model.HOSTS
            },
        }
    )
    if profile == 'full':
        for host in model.HOSTS:
            files[host] = [
                str(layout.etc / 'nova' / 'nova.conf'),
                str(layout.etc / 'nova' / host / 'nova-compute.conf'),
            ]
    return access


def clouds(context: common.Context, profile: str) -> Tree:
    """The tree of clouds.yaml: ``lab`` is admin, ``lab-demo`` a member."""
    words = context.passwords

    def cloud(user: str, password: str) -> Tree:
        return {
            'auth': {
                'auth_url': common.identity_url(context.layout),
                'username': user,
                'password': password,
                'project_name': user,
                'user_domain_name': 'Default',
                'project_domain_name': 'Default',
            },
            'region_name': common.REGION,
            'identity_api_version': '3',
            'osc_lab': _host_access(context, profile),
        }

    return {
        'clouds': {
            'lab': cloud('admin', words.admin),
            'lab-demo': cloud('demo', words.demo),
        }
    }


def variables(
    layout: model.Layout, profile: str, long: bool = False
) -> dict[str, str]:
    """The environment of a program that uses the lab.

    :param long: also what tests want to know
    """
    pairs = {
        'OS_CLIENT_CONFIG_FILE': clouds_path(layout),
        'OS_CLOUD': 'lab',
    }
    if long:
        pairs.update(
            {
                'OSC_LAB_STATE_DIR': str(layout.state),
                'OSC_LAB_PROFILE': profile,
                'OSC_LAB_ADDRESS': layout.address,
                'OSC_LAB_CINDER_CONF': str(layout.etc / cinder.CONFIGURATION),
                'OSC_LAB_NOVA_CONF': str(layout.etc / 'nova' / 'nova.conf'),
                'OSC_LAB_LOGS': str(layout.log),
                'OSC_LAB_VENV': str(layout.venv),
            }
        )
    return pairs


def exports(layout: model.Layout, profile: str, long: bool = False) -> str:
    """Lines for a shell's ``eval``; see :func:`variables`."""
    return ''.join(
        f'export {key}={shlex.quote(value)}\n'
        for key, value in variables(layout, profile, long).items()
    )


def write_clouds(context: common.Context, profile: str) -> None:
    """Write clouds.yaml; it holds passwords, so for its owner alone."""
    passwords.write_private(
        context.layout.state / 'clouds.yaml', yaml(clouds(context, profile))
    )
