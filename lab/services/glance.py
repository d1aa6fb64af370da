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

"""Glance, with its images in a folder."""

from lab import ini
from lab import model
from lab.services import common

NAME = 'glance'
CONFIGURATION = 'glance/glance-api.conf'


def configuration(context: common.Context) -> ini.Sections:
    layout = context.layout
    data = layout.data / NAME
    paste = layout.venv / 'etc' / NAME / 'glance-api-paste.ini'
    return ini.merge(
        common.sections(context, NAME),
        {
            'DEFAULT': {
                'enabled_backends': 'files:file',
                'worker_self_reference_url': layout.url('glance'),
            },
            'glance_store': {'default_backend': 'files'},
            'files': {'filesystem_store_datadir': str(data / 'store')},
            'os_glance_staging_store': {
                'filesystem_store_datadir': str(data / 'staging')
            },
            'os_glance_tasks_store': {
                'filesystem_store_datadir': str(data / 'tasks')
            },
            'database': common.database(context, NAME),
            'paste_deploy': {'flavor': 'keystone', 'config_file': str(paste)},
        },
    )


def services(context: common.Context) -> tuple[model.Service, ...]:
    return (
        common.uwsgi(
            context,
            'glance-api',
            'glance',
            {
                'module': 'glance.wsgi.api:application',
                'http-chunked-input': True,
            },
            threads=2,
            files={CONFIGURATION: ini.render(configuration(context))},
            env={'OS_GLANCE_CONFIG_DIR': str(context.layout.etc / NAME)},
            after=('glance schema',),
            path='/versions',
        ),
    )
