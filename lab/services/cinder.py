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

"""Cinder: API, scheduler, and a volume service on the NFS driver.

There is no NFS: the mount helper of the lab's machines shows a folder.
The NFS driver needs neither device-mapper nor LVM, and makes real LUKS.
The backend ``blank`` is the same without the header: see lab/drivers.
"""

import dataclasses
import pathlib

from lab import ini
from lab import model
from lab.services import common

NAME = 'cinder'
CONFIGURATION = 'cinder/cinder.conf'

#: Folder with drivers of the lab's own.
DRIVERS = pathlib.Path(__file__).resolve().parent.parent / 'drivers'

#: Name of the host that cinder-volume says it runs on.
HOST = 'lab'


def _backend(layout: model.Layout, driver: str) -> dict[str, ini.Value]:
    return {
        'volume_driver': driver,
        'nfs_shares_config': str(layout.etc / NAME / 'shares'),
        'nfs_mount_point_base': str(layout.data / NAME / 'mnt'),
        'nas_secure_file_operations': False,
        'nas_secure_file_permissions': False,
        'nfs_snapshot_support': True,
        'nfs_qcow2_volumes': False,
        'nfs_sparsed_volumes': True,
    }


def configuration(context: common.Context) -> ini.Sections:
    layout = context.layout
    packaged = layout.venv / 'etc' / NAME
    return ini.merge(
        common.sections(context, NAME),
        {
            'DEFAULT': {
                'auth_strategy': 'keystone',
                'api_paste_config': str(packaged / 'api-paste.ini'),
                'resource_query_filters_file': str(
                    packaged / 'resource_filters.json'
                ),
                'my_ip': layout.address,
                'host': HOST,
                'enabled_backends': 'files,blank',
                'default_volume_type': 'plain',
                'glance_api_servers': layout.url('glance'),
                'rootwrap_config': str(packaged / 'rootwrap.conf'),
                'volume_clear': 'none',
                'quota_volumes': -1,
                'quota_gigabytes': -1,
                'quota_snapshots': -1,
                'report_interval': 10,
                'service_down_time': 60,
                # Beside other work qemu-img cannot measure its own time now
                # and then ("Unable to get accurate CPU usage"), and makes
                # no LUKS volume.
                'scheduler_max_attempts': 20,
            },
            'files': _backend(layout, 'cinder.volume.drivers.nfs.NfsDriver')
            | {'volume_backend_name': 'files'},
            'blank': _backend(layout, 'osc_lab_blank.BlankDriver')
            | {'volume_backend_name': 'blank'},
            'database': common.database(context, NAME),
            'coordination': {
                'backend_url': f'file://{layout.data / NAME / "locks"}'
            },
            'nova': {'interface': 'public', **common.credentials(context)},
            'service_user': {
                'send_service_user_token': True,
                **common.credentials(context),
            },
        },
        common.key_manager(context, NAME),
    )


def files(context: common.Context) -> dict[str, str]:
    """Path below etc/ -> content."""
    return {
        CONFIGURATION: ini.render(configuration(context)),
        'cinder/shares': f'{model.SHARE}\n',
    }


def services(context: common.Context) -> tuple[model.Service, ...]:
    after = ('cinder schema', 'rabbitmq')
    path = context.layout.etc / CONFIGURATION
    return (
        common.uwsgi(
            context,
            'cinder-api',
            'cinder',
            {
                'module': 'cinder.wsgi.api:application',
                'pyargv': f'--config-file {path}',
            },
            files=files(context),
            after=after,
        ),
        common.program(
            context,
            'cinder-scheduler',
            [CONFIGURATION],
            files=files(context),
            after=after,
        ),
        dataclasses.replace(
            common.program(
                context,
                'cinder-volume',
                [CONFIGURATION],
                files=files(context),
                after=after,
            ),
            env={'PYTHONPATH': str(DRIVERS)},
        ),
    )
