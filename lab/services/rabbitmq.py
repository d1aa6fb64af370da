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

"""RabbitMQ with an Erlang port mapper of its own."""

import shutil

from lab import health
from lab import model
from lab.services import common

NAME = 'rabbitmq'


def _configuration(context: common.Context) -> str:
    layout = context.layout
    options = {
        'listeners.tcp.1': f'{layout.address}:{layout.ports["amqp"]}',
        'default_user': 'lab',
        'default_pass': context.passwords.messages,
        'loopback_users': 'none',
        'disk_free_limit.absolute': '50MB',
        'vm_memory_high_watermark.absolute': '1GB',
        'log.console': 'true',
        'log.file': 'false',
    }
    return ''.join(f'{key} = {value}\n' for key, value in options.items())


def services(context: common.Context) -> tuple[model.Service, ...]:
    layout = context.layout
    folder = layout.data / 'rabbitmq'

    def prepare() -> None:
        # Queues are made again by those who use them, so every start is a
        # first one: no left-over of a killed node can stop it.
        shutil.rmtree(folder / 'mnesia', ignore_errors=True)
        (folder / 'mnesia').mkdir(parents=True)

    erlang_address = '{' + layout.address.replace('.', ',') + '}'
    env = {
        'HOME': str(folder),
        'ERL_EPMD_ADDRESS': layout.address,
        'ERL_EPMD_PORT': str(layout.epmd_port),
        'RABBITMQ_NODENAME': 'lab@localhost',
        'RABBITMQ_NODE_IP_ADDRESS': layout.address,
        'RABBITMQ_NODE_PORT': str(layout.ports['amqp']),
        'RABBITMQ_DIST_PORT': str(layout.ports['amqp-dist']),
        'RABBITMQ_MNESIA_BASE': str(folder / 'mnesia'),
        'RABBITMQ_LOG_BASE': str(folder),
        'RABBITMQ_ENABLED_PLUGINS_FILE': str(folder / 'plugins'),
        'RABBITMQ_PID_FILE': str(layout.run / 'rabbitmq.pid'),
        'RABBITMQ_CONFIG_FILE': str(folder / 'rabbitmq'),
        'RABBITMQ_CONF_ENV_FILE': str(folder / 'rabbitmq-env.conf'),
        'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': (
            f'-kernel inet_dist_use_interface {erlang_address} '
            '+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none'
        ),
        # The script then becomes the node itself, and SIGTERM reaches it.
        'RUNNING_UNDER_SYSTEMD': 'true',
    }
    return (
        model.Service(
            NAME,
            ('/usr/lib/rabbitmq/bin/rabbitmq-server',),
            env=env,
            files={
                folder / 'rabbitmq.conf': _configuration(context),
                folder / 'rabbitmq-env.conf': '',
                folder / 'plugins': '[].\n',
            },
            prepare=prepare,
            ready=lambda: health.port_open(
                layout.address, layout.ports['amqp']
            ),
        ),
    )
