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

"""Nova's control plane: API, conductor and scheduler."""

from lab import ini
from lab import model
from lab.services import common
from lab.services import nova_compute

NAME = 'nova'
CONFIGURATION = nova_compute.SHARED

#: Apart, for nova-compute must not see a database.
DATABASE = 'nova/nova-db.conf'


def configuration(context: common.Context) -> ini.Sections:
    """What the control plane and the compute hosts read."""
    layout = context.layout
    credentials = common.credentials(context)
    paste = layout.venv / 'etc' / NAME / 'api-paste.ini'
    return ini.merge(
        common.sections(context, NAME),
        {
            'DEFAULT': {
                'my_ip': layout.address,
                'compute_link_prefix': '',
                'instance_usage_audit': False,
                'vif_plugging_is_fatal': True,
                'vif_plugging_timeout': 60,
                'report_interval': 10,
                'service_down_time': 60,
                # New hosts are seen at once, not after a random delay.
                'periodic_fuzzy_delay': 0,
            },
            'wsgi': {'api_paste_config': str(paste)},
            'api': {'auth_strategy': 'keystone'},
            'scheduler': {'discover_hosts_in_cells_interval': 5, 'workers': 1},
            'conductor': {'workers': 1},
            'quota': {'instances': -1, 'cores': -1, 'ram': -1},
            'glance': {'valid_interfaces': 'public', **credentials},
            'cinder': {
                'os_region_name': common.REGION,
                'catalog_info': 'volumev3::publicURL',
                **credentials,
            },
            'neutron': {'valid_interfaces': 'public', **credentials},
            'placement': {'valid_interfaces': 'public', **credentials},
            'service_user': {'send_service_user_token': True, **credentials},
            'vnc': {'enabled': False},
        },
        common.key_manager(context, NAME),
    )


def databases(context: common.Context) -> ini.Sections:
    return {
        'api_database': common.database(context, 'nova_api'),
        'database': common.database(context, 'nova_cell1'),
    }


def services(context: common.Context) -> tuple[model.Service, ...]:
    etc = context.layout.etc
    paste = context.layout.venv / 'etc' / NAME / 'api-paste.ini'
    files = {
        CONFIGURATION: ini.render(configuration(context)),
        DATABASE: ini.render(databases(context)),
    }
    return (
        *(
            common.program(
                context,
                name,
                [CONFIGURATION, DATABASE],
                files=files,
                # Both end at once when they cannot sign in, or when the
                # catalog has no Placement.
                after=('nova schema', 'rabbitmq', 'users and catalog'),
            )
            for name in ('nova-conductor', 'nova-scheduler')
        ),
        common.uwsgi(
            context,
            'nova-api',
            'nova',
            {
                'module': 'nova.wsgi.osapi_compute:application',
                'pyargv': (
                    f'--config-file {etc / CONFIGURATION} '
                    f'--config-file {etc / DATABASE}'
                ),
            },
            files=files,
            env={
                'OS_NOVA_CONFIG_DIR': str(etc / NAME),
                # The first is the one that the pipeline is loaded from.
                'OS_NOVA_CONFIG_FILES': f'{paste};nova.conf;nova-db.conf',
            },
            after=('nova schema', 'rabbitmq'),
        ),
    )
