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

"""Neutron's server: the API and the process that talks to agents."""

from lab import ini
from lab import model
from lab.services import common
from lab.services import ovs_agent

NAME = 'neutron'
CONFIGURATION = ovs_agent.SHARED
PLUGIN = 'neutron/ml2_conf.ini'

_UNLIMITED = ('network', 'subnet', 'port', 'security_group')


def configuration(context: common.Context) -> ini.Sections:
    layout = context.layout
    paste = layout.venv / 'etc' / NAME / 'api-paste.ini'
    quotas: dict[str, ini.Value] = {
        f'quota_{name}': -1 for name in (*_UNLIMITED, 'security_group_rule')
    }
    return ini.merge(
        common.sections(context, NAME),
        {
            'DEFAULT': {
                'core_plugin': 'ml2',
                'service_plugins': '',
                'auth_strategy': 'keystone',
                'api_paste_config': str(paste),
                'rpc_workers': 1,
                'rpc_state_report_workers': 0,
                'api_workers': 1,
                'dhcp_agent_notification': False,
                'notify_nova_on_port_status_changes': True,
                'notify_nova_on_port_data_changes': True,
                'agent_down_time': 300,
            },
            'database': common.database(context, NAME),
            'nova': {
                'endpoint_type': 'public',
                **common.credentials(context),
            },
            'quotas': quotas,
        },
    )


def plugin() -> ini.Sections:
    """Networks are VXLAN; flat and VLAN ones go through every br-ex."""
    physical = ovs_agent.PHYSICAL_NETWORK
    return {
        'ml2': {
            'type_drivers': 'flat,vlan,vxlan,local',
            'tenant_network_types': 'vxlan',
            'mechanism_drivers': 'openvswitch',
            'extension_drivers': 'port_security',
        },
        'ml2_type_flat': {'flat_networks': physical},
        'ml2_type_vlan': {'network_vlan_ranges': f'{physical}:100:199'},
        'ml2_type_vxlan': {'vni_ranges': '1:1000'},
        'securitygroup': {'enable_security_group': True},
    }


def services(context: common.Context) -> tuple[model.Service, ...]:
    etc = context.layout.etc
    files = {
        CONFIGURATION: ini.render(configuration(context)),
        PLUGIN: ini.render(plugin()),
    }
    after = ('neutron schema', 'rabbitmq')
    return (
        common.uwsgi(
            context,
            'neutron-api',
            'neutron',
            {
                'module': 'neutron.wsgi.api:application',
                'pyargv': (
                    f'--config-file {etc / CONFIGURATION} '
                    f'--config-file {etc / PLUGIN}'
                ),
            },
            files=files,
            after=after,
        ),
        common.program(
            context,
            'neutron-rpc-server',
            [CONFIGURATION, PLUGIN],
            files=files,
            after=after,
        ),
    )
