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

"""MariaDB, with its sockets and files in the state folder."""

import shutil
import subprocess

from lab import health
from lab import machine
from lab import model
from lab.services import common

NAME = 'database'


def socket_path(layout: model.Layout) -> str:
    return str(layout.run / 'mysql.sock')


def _prepare(layout: model.Layout) -> None:
    """Make the system tables; a half-made folder is made again."""
    folder = layout.data / 'mysql'
    layout.run.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        return
    new = layout.data / 'mysql.new'
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    with open(layout.log / f'{NAME}-install.out', 'wb') as log:
        subprocess.run(
            [
                *machine.enter_argv(layout, model.CONTROL),
                'mariadb-install-db',
                '--no-defaults',
                f'--datadir={new}',
                '--user=root',
                '--auth-root-authentication-method=socket',
                '--auth-root-socket-user=root',
                '--skip-test-db',
            ],
            check=True,
            env=machine.environment(layout),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    new.rename(folder)


def services(context: common.Context) -> tuple[model.Service, ...]:
    layout = context.layout
    argv = (
        '/usr/sbin/mariadbd',
        '--no-defaults',
        '--user=root',
        f'--datadir={layout.data / "mysql"}',
        f'--socket={socket_path(layout)}',
        f'--pid-file={layout.run / "mysql.pid"}',
        f'--bind-address={layout.address}',
        f'--port={layout.ports["mysql"]}',
        # Nothing here has to survive a power cut.
        '--innodb-flush-log-at-trx-commit=0',
        '--innodb-flush-method=nosync',
        '--innodb-buffer-pool-size=128M',
        '--innodb-log-file-size=32M',
        '--skip-log-bin',
        '--skip-name-resolve',
        '--max-connections=400',
        '--character-set-server=utf8mb3',
        '--performance-schema=off',
    )
    return (
        model.Service(
            NAME,
            argv,
            prepare=lambda: _prepare(layout),
            ready=lambda: health.port_open(
                layout.address, layout.ports['mysql']
            ),
        ),
    )
