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

"""neutron-openvswitch-agent of a compute host."""

from lab import ini
from lab import model
from lab.services import common
from lab.services import openvswitch

PROGRAM = 'neutron-openvswitch-agent'

#: What Neutron's server reads too; its database is in no section the agent
#: looks at.
SHARED = 'neutron/neutron.conf'

#: Name of the flat and VLAN provider network on every host's br-ex.
PHYSICAL_NETWORK = 'physnet1'


def configuration_file(host: str) -> str:
    """Path below etc/ of what a host's agent reads after the shared file."""
    return f'neutron/{host}/openvswitch_agent.ini'


def configuration(context: common.Context, host: str) -> ini.Sections:
    """What is a host's own."""
    layout = context.layout
    state = layout.host_dir(host) / 'neutron'
    return {
        'DEFAULT': {'host': host, 'state_path': str(state)},
        'oslo_concurrency': {'lock_path': str(state / 'locks')},
        'ovs': {
            'ovsdb_connection': f'unix:{openvswitch.SOCKET}',
            'datapath_type': 'netdev',
            'integration_bridge': 'br-int',
            'tunnel_bridge': 'br-tun',
            'bridge_mappings': f'{PHYSICAL_NETWORK}:br-ex',
            'local_ip': layout.host_tunnel_address(host),
            'of_listen_address': '127.0.0.1',
        },
        'agent': {
            'tunnel_types': 'vxlan',
            # There is no sudo, and all is root's already.
            'root_helper': 'env',
            'report_interval': 30,
            'minimize_polling': True,
        },
        'securitygroup': {'firewall_driver': 'openvswitch'},
    }


def service(context: common.Context, host: str) -> model.Service:
    """The agent of a host."""
    layout = context.layout
    return model.Service(
        name=f'ovs-agent-{host}',
        argv=(
            str(layout.venv / 'bin' / PROGRAM),
            f'--config-file={layout.etc / SHARED}',
            f'--config-file={layout.etc / configuration_file(host)}',
        ),
        machine=host,
        files={
            layout.etc / configuration_file(host): ini.render(
                configuration(context, host)
            )
        },
        after=(f'vswitchd-{host}', 'forwarder', 'neutron-api'),
    )
