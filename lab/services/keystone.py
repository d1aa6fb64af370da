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

"""Keystone."""

from lab import ini
from lab import model
from lab.services import common

NAME = 'keystone'


def configuration(context: common.Context) -> ini.Sections:
    etc = context.layout.etc / 'keystone'
    return {
        'DEFAULT': {'use_stderr': True},
        'database': common.database(context, 'keystone'),
        'token': {'provider': 'fernet'},
        'fernet_tokens': {'key_repository': str(etc / 'fernet')},
        'fernet_receipts': {'key_repository': str(etc / 'fernet')},
        'credential': {'key_repository': str(etc / 'credential')},
        'cache': {'enabled': True, 'backend': 'dogpile.cache.memory'},
        # The cost of bcrypt is most of what makes Keystone slow in a lab.
        'identity': {
            'password_hash_algorithm': 'bcrypt',
            'password_hash_rounds': 4,
        },
        'oslo_policy': {
            'enforce_scope': True,
            'enforce_new_defaults': True,
        },
    }


def files(context: common.Context) -> dict[str, str]:
    """Path below etc/ -> content."""
    words = context.passwords
    repositories = {
        'fernet': words.token_keys,
        'credential': words.credential_keys,
    }
    # 0 is the key that comes next, the highest number the current one.
    keys = {
        f'keystone/{folder}/{number}': key
        for folder, both in repositories.items()
        for number, key in enumerate(both)
    }
    return {
        'keystone/keystone.conf': ini.render(configuration(context)),
        **keys,
    }


def services(context: common.Context) -> tuple[model.Service, ...]:
    return (
        common.uwsgi(
            context,
            NAME,
            'keystone',
            {'module': 'keystone.wsgi.api:application'},
            files=files(context),
            env={'OS_KEYSTONE_CONFIG_DIR': str(context.layout.etc / NAME)},
            after=('keystone schema',),
            path='/v3',
        ),
    )
