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

"""Placement."""

from lab import ini
from lab import model
from lab.services import common

NAME = 'placement'


def configuration(context: common.Context) -> ini.Sections:
    shared = common.sections(context, NAME)
    return {
        'DEFAULT': {'use_stderr': True},
        'api': {'auth_strategy': 'keystone'},
        'placement_database': common.database(context, NAME),
        'keystone_authtoken': shared['keystone_authtoken'],
    }


def services(context: common.Context) -> tuple[model.Service, ...]:
    return (
        common.uwsgi(
            context,
            NAME,
            NAME,
            {'module': 'placement.wsgi.api:application'},
            threads=2,
            files={
                'placement/placement.conf': ini.render(configuration(context))
            },
            env={'OS_PLACEMENT_CONFIG_DIR': str(context.layout.etc / NAME)},
            after=('placement schema',),
        ),
    )
