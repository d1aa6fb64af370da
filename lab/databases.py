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

"""Make the databases: accounts, then each service's tables.

The tables come from the services' own migrations, which take most of a
first start.  They hold no secret and no address, so the first lab keeps a
dump of them in the cache and every later one loads that.
"""

import collections.abc
import dataclasses
import functools
import hashlib
import os
import pathlib

from lab import commands
from lab import graph
from lab import machine
from lab import model
from lab.services import common
from lab.services import database

#: Nova fills in the URL parts from its own configuration, so that the
#: mapping of a cell names neither a password nor an address.
_CELL_URL = '{scheme}://{username}:{password}@{hostname}:{port}'


@dataclasses.dataclass(frozen=True)
class Schema:
    """The databases of one service.

    :param databases: their names
    :param commands: the migrations, each a command of the virtualenv; {etc}
        stands for the folder with the configuration
    """

    databases: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]


_NOVA = (
    'nova-manage',
    '--config-file={etc}/nova/nova.conf',
    '--config-file={etc}/nova/nova-db.conf',
)

SCHEMAS: collections.abc.Mapping[str, Schema] = {
    'keystone': Schema(
        ('keystone',),
        (('keystone-manage', '--config-dir={etc}/keystone', 'db_sync'),),
    ),
    'placement': Schema(
        ('placement',),
        (
            (
                'placement-manage',
                '--config-dir={etc}/placement',
                'db',
                'sync',
            ),
        ),
    ),
    'glance': Schema(
        ('glance',),
        (
            (
                'glance-manage',
                '--config-file={etc}/glance/glance-api.conf',
                'db_sync',
            ),
        ),
    ),
    'cinder': Schema(
        ('cinder',),
        (
            (
                'cinder-manage',
                '--config-file={etc}/cinder/cinder.conf',
                'db',
                'sync',
            ),
        ),
    ),
    'neutron': Schema(
        ('neutron',),
        (
            (
                'neutron-db-manage',
                '--config-file={etc}/neutron/neutron.conf',
                '--config-file={etc}/neutron/ml2_conf.ini',
                'upgrade',
                'head',
            ),
        ),
    ),
    'nova': Schema(
        ('nova_api', 'nova_cell0', 'nova_cell1'),
        (
            (*_NOVA, 'api_db', 'sync'),
            (
                *_NOVA,
                'cell_v2',
                'map_cell0',
                f'--database_connection={_CELL_URL}/nova_cell0?{{query}}',
            ),
            (
                *_NOVA,
                'cell_v2',
                'create_cell',
                '--name=cell1',
                f'--database_connection={_CELL_URL}/nova_cell1?{{query}}',
                f'--transport-url={_CELL_URL}/',
            ),
            (*_NOVA, 'db', 'sync'),
        ),
    ),
    'barbican': Schema(
        ('barbican',),
        (('barbican-manage', 'db', 'upgrade'),),
    ),
}


def dump_name(service: str, schema: Schema) -> str:
    """Name of a dump in the cache; other migrations, another name."""
    key = hashlib.sha256(repr(schema).encode()).hexdigest()[:12]
    return f'{service}-{key}.sql'


def accounts_sql(password: str) -> str:
    """SQL that lets the services in."""
    return (
        f"CREATE USER IF NOT EXISTS lab@'127.%' IDENTIFIED BY '{password}';\n"
        f"ALTER USER lab@'127.%' IDENTIFIED BY '{password}';\n"
        "GRANT ALL ON *.* TO lab@'127.%';\n"
    )


def empty_sql(databases: collections.abc.Iterable[str]) -> str:
    """SQL that makes databases anew, whatever a killed run left."""
    return ''.join(
        f'DROP DATABASE IF EXISTS {name};\n'
        f'CREATE DATABASE {name} CHARACTER SET utf8mb3;\n'
        for name in databases
    )


class Maker:
    """Makes the databases of one lab."""

    def __init__(self, context: common.Context) -> None:
        self._context = context
        self._layout = context.layout
        self._folder = context.layout.cache / 'schemas'

    def _done(self, name: str) -> pathlib.Path:
        return self._layout.data / 'done' / name

    def _client(self, program: str, *args: str) -> list[str]:
        return [
            *machine.enter_argv(self._layout, model.CONTROL),
            program,
            f'--socket={database.socket_path(self._layout)}',
            '--user=root',
            *args,
        ]

    def _sql(self, log: str, source: bytes | pathlib.Path) -> None:
        commands.run(
            self._client('mariadb'),
            self._layout.log / f'{log}.out',
            machine.environment(self._layout),
            stdin=source,
        )

    def accounts(self) -> bool:
        """Let the services in."""
        done = self._done('accounts')
        if done.exists():
            return False
        sql = accounts_sql(self._context.passwords.database)
        self._sql('accounts', sql.encode())
        done.parent.mkdir(parents=True, exist_ok=True)
        done.touch()
        return True

    def _migrate(self, service: str, schema: Schema) -> None:
        layout = self._layout
        env = machine.environment(
            layout,
            {
                'PATH': f'{layout.venv}/bin:/usr/bin:/bin',
                'HOME': str(layout.etc / service),
                'TMPDIR': str(layout.temporary),
            },
        )
        for command in schema.commands:
            argv = [part.replace('{etc}', str(layout.etc)) for part in command]
            commands.run(
                [*machine.enter_argv(layout, model.CONTROL), *argv],
                layout.log / f'{service}-schema.out',
                env,
            )

    def _dump(self, service: str, schema: Schema, dump: pathlib.Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        new = dump.with_suffix(f'.{os.getpid()}')
        commands.run(
            self._client(
                'mariadb-dump',
                '--databases',
                *schema.databases,
                '--single-transaction',
                '--skip-comments',
            ),
            self._layout.log / f'{service}-schema.out',
            machine.environment(self._layout),
            stdout=new,
        )
        new.replace(dump)

    def schema(self, service: str) -> bool:
        """Make a service's tables, from the cache when they are there."""
        done = self._done(f'{service}-schema')
        if done.exists():
            return False
        schema = SCHEMAS[service]
        dump = self._folder / dump_name(service, schema)
        self._sql(f'{service}-schema', empty_sql(schema.databases).encode())
        if dump.exists():
            self._sql(f'{service}-schema', dump)
        else:
            self._migrate(service, schema)
            self._dump(service, schema, dump)
        done.touch()
        return True

    def bootstrap(self) -> bool:
        """Make Keystone's first user; the password travels unseen."""
        done = self._done('bootstrap')
        if done.exists():
            return False
        layout = self._layout
        url = common.identity_url(layout)
        env = machine.environment(
            layout,
            {
                'PATH': f'{layout.venv}/bin:/usr/bin:/bin',
                'TMPDIR': str(layout.temporary),
                'OS_BOOTSTRAP_PASSWORD': self._context.passwords.admin,
                'OS_BOOTSTRAP_PUBLIC_URL': url,
                'OS_BOOTSTRAP_INTERNAL_URL': url,
                'OS_BOOTSTRAP_ADMIN_URL': url,
                'OS_BOOTSTRAP_REGION_ID': common.REGION,
            },
        )
        commands.run(
            [
                *machine.enter_argv(layout, model.CONTROL),
                'keystone-manage',
                f'--config-dir={layout.etc / "keystone"}',
                'bootstrap',
            ],
            layout.log / 'bootstrap.out',
            env,
        )
        done.touch()
        return True

    def steps(
        self, services: collections.abc.Sequence[str]
    ) -> list[graph.Step]:
        """The steps for the named services, Keystone's first user too."""
        made = [
            graph.Step('database accounts', self.accounts, ('database',), 0)
        ]
        for service in services:
            made.append(
                graph.Step(
                    f'{service} schema',
                    functools.partial(self.schema, service),
                    ('database accounts', 'configuration'),
                    2,
                )
            )
            if service == 'keystone':
                made.append(
                    graph.Step(
                        'bootstrap', self.bootstrap, ('keystone schema',), 1
                    )
                )
        return made
