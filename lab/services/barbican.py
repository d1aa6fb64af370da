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

"""Barbican, which keeps the keys of encrypted volumes."""

from lab import ini
from lab import model
from lab.services import common

NAME = 'barbican'


def home(context: common.Context) -> str:
    """Barbican looks for its configuration in ~/.barbican alone."""
    return str(context.layout.etc / NAME)


def configuration(context: common.Context) -> ini.Sections:
    return ini.merge(
        common.sections(context, NAME),
        {
            'DEFAULT': {
                'host_href': context.layout.url('barbican'),
                'db_auto_create': False,
            },
            'database': common.database(context, NAME),
            'secretstore': {'enabled_secretstore_plugins': 'store_crypto'},
            'crypto': {'enabled_crypto_plugins': 'simple_crypto'},
            'simple_crypto_plugin': {'kek': f"'{context.passwords.kek}'"},
            'queue': {'enable': False},
        },
    )


def files(context: common.Context) -> dict[str, str]:
    """Path below etc/ -> content."""
    return {
        'barbican/.barbican/barbican.conf': ini.render(configuration(context))
    }


def services(context: common.Context) -> tuple[model.Service, ...]:
    paste = context.layout.venv / 'etc' / NAME / 'barbican-api-paste.ini'
    return (
        common.uwsgi(
            context,
            'barbican-api',
            'barbican',
            # Its WSGI module reads /etc; the paste file is what it loads.
            {'paste': f'config:{paste}'},
            threads=2,
            files=files(context),
            env={'HOME': home(context)},
            after=('barbican schema',),
        ),
    )
