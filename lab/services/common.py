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

"""What the OpenStack services have in common."""

import collections.abc
import dataclasses

from lab import health
from lab import ini
from lab import model
from lab import passwords

REGION = 'RegionOne'


@dataclasses.dataclass(frozen=True)
class Context:
    """All that decides what a service looks like.

    :param key_manager: 'barbican' or 'fixed-key'
    """

    layout: model.Layout
    passwords: passwords.Passwords
    key_manager: str


def database_url(context: Context, name: str) -> str:
    layout, words = context.layout, context.passwords
    return (
        f'mysql+pymysql://lab:{words.database}@{layout.address}:'
        f'{layout.ports["mysql"]}/{name}?charset=utf8mb4'
    )


def database(context: Context, name: str) -> dict[str, ini.Value]:
    """The options of [database]; few connections, for there are many."""
    return {
        'connection': database_url(context, name),
        'max_pool_size': 5,
    }


def identity_url(layout: model.Layout) -> str:
    return f'{layout.url("keystone")}/v3'


def credentials(context: Context) -> dict[str, ini.Value]:
    """Options with which a service signs in."""
    return {
        'auth_url': identity_url(context.layout),
        'auth_type': 'password',
        'username': 'svc',
        'password': context.passwords.service,
        'project_name': 'service',
        'user_domain_name': 'Default',
        'project_domain_name': 'Default',
        'region_name': REGION,
    }


def message_queue_url(context: Context) -> str:
    layout = context.layout
    return (
        f'rabbit://lab:{context.passwords.messages}@{layout.address}:'
        f'{layout.ports["amqp"]}/'
    )


def sections(context: Context, service: str) -> ini.Sections:
    """The sections of every service that has messages and tokens."""
    data = context.layout.data / service
    return {
        'DEFAULT': {
            'use_stderr': True,
            'transport_url': message_queue_url(context),
            'state_path': str(data),
        },
        'keystone_authtoken': {
            'www_authenticate_uri': identity_url(context.layout),
            **credentials(context),
            'service_token_roles': 'service',
            'service_token_roles_required': True,
        },
        'oslo_concurrency': {'lock_path': str(data / 'locks')},
        'oslo_messaging_rabbit': {'heartbeat_timeout_threshold': 0},
        'oslo_messaging_notifications': {'driver': 'noop'},
        'oslo_policy': {
            'enforce_scope': True,
            'enforce_new_defaults': True,
        },
    }


def key_manager(context: Context, program: str) -> ini.Sections:
    """The sections that say where a service keeps volume keys.

    :param program: 'cinder' or 'nova'
    """
    layout = context.layout
    if context.key_manager == 'fixed-key':
        return {
            'key_manager': {
                'backend': (f'{program}.keymgr.conf_key_mgr.ConfKeyManager'),
                'fixed_key': context.passwords.fixed_key,
            }
        }
    return {
        'key_manager': {'backend': 'barbican'},
        'barbican': {
            'barbican_endpoint': layout.url('barbican'),
            'auth_endpoint': identity_url(layout),
            'send_service_user_token': True,
        },
        'barbican_service_user': credentials(context),
    }


def uwsgi(
    context: Context,
    name: str,
    port: str,
    application: collections.abc.Mapping[str, ini.Value],
    *,
    threads: int = 4,
    files: collections.abc.Mapping[str, str],
    after: tuple[str, ...],
    env: collections.abc.Mapping[str, str] = {},
    path: str = '/',
) -> model.Service:
    """An API served by uwsgi.

    :param port: key of the layout's ports
    :param application: uwsgi's options that name what is served
    :param files: path below etc/ -> content
    :param path: answers without a token when the API is up
    """
    layout = context.layout
    configuration = layout.etc / 'uwsgi' / f'{name}.ini'
    options: dict[str, ini.Value] = {
        'http-socket': f'{layout.address}:{layout.ports[port]}',
        **application,
        'virtualenv': str(layout.venv),
        'processes': 1,
        'threads': threads,
        'master': True,
        'enable-threads': True,
        'lazy-apps': True,
        'single-interpreter': True,
        'die-on-term': True,
        'exit-on-reload': False,
        'need-app': True,
        # Clients that keep a connection would see it reset now and then.
        'add-header': 'Connection: close',
        'buffer-size': 65535,
        'disable-logging': True,
    }
    return model.Service(
        name,
        (str(layout.venv / 'bin' / 'uwsgi'), '--ini', str(configuration)),
        env=env,
        files={
            configuration: ini.render({'uwsgi': options}),
            **{layout.etc / key: text for key, text in files.items()},
        },
        after=after,
        ready=lambda: health.answers(layout, port, path),
    )


def program(
    context: Context,
    name: str,
    configurations: collections.abc.Sequence[str],
    *,
    files: collections.abc.Mapping[str, str],
    after: tuple[str, ...],
) -> model.Service:
    """A process of the control plane that has no API of its own.

    :param name: of the program, and of the service
    :param configurations: paths below etc/, in the order they are read
    :param files: path below etc/ -> content
    """
    layout = context.layout
    argv = [str(layout.venv / 'bin' / name)]
    for configuration in configurations:
        argv += ['--config-file', str(layout.etc / configuration)]
    return model.Service(
        name,
        tuple(argv),
        files={layout.etc / key: text for key, text in files.items()},
        after=after,
    )
