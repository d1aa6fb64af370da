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

"""Open vSwitch of a compute host, with the userspace datapath.

The database answers on its usual socket inside the host, on TLS 6640 and
on TCP 6641.
"""

import pathlib

from lab import machine
from lab import model
from lab import network

SOCKET = '/run/openvswitch/db.sock'
_SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'
_PKI = '/etc/pki'

#: Bridge that owns the tunnel address, and the interface that is in it.
UNDERLAY, UPLINK = 'br-phy', 'eth1'


def _database(layout: model.Layout, host: str) -> pathlib.Path:
    return layout.host_dir(host) / 'ovs' / 'conf.db'


def _quiet(layout: model.Layout, name: str) -> tuple[str, ...]:
    log = layout.log / f'{name}.log'
    return ('-vconsole:off', f'--log-file={log}')


def database(layout: model.Layout, host: str) -> model.Service:
    """ovsdb-server of a host."""
    name = f'ovsdb-{host}'
    path = _database(layout, host)

    def prepare() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            argv = ['ovsdb-tool', 'create', str(path), _SCHEMA]
            machine.run(layout, host, argv)

    def ready() -> bool:
        argv = ['ovs-vsctl', '--timeout=2', '--no-wait', 'init']
        return machine.run(layout, host, argv, check=False).returncode == 0

    return model.Service(
        name=name,
        argv=(
            'ovsdb-server',
            str(path),
            f'--remote=punix:{SOCKET}',
            '--remote=pssl:6640:0.0.0.0',
            '--remote=ptcp:6641:0.0.0.0',
            f'--private-key={_PKI}/ovs/key.pem',
            f'--certificate={_PKI}/ovs/cert.pem',
            f'--ca-cert={_PKI}/CA/cacert.pem',
            '--pidfile=/run/openvswitch/ovsdb-server.pid',
            *_quiet(layout, name),
        ),
        machine=host,
        prepare=prepare,
        ready=ready,
        timeout=20.0,
    )


def _settings(layout: model.Layout, host: str) -> list[str]:
    """ovs-vsctl arguments for the bridges every host has."""
    argv = [
        *('ovs-vsctl', '--timeout=5', '--no-wait'),
        *('--', 'set', 'Open_vSwitch', '.'),
        f'external_ids:system-id={host}',
        f'external_ids:hostname={host}',
    ]
    modes = {
        'br-int': 'secure',
        'br-ex': 'standalone',
        UNDERLAY: 'standalone',
    }
    for bridge, mode in modes.items():
        argv += ['--', '--may-exist', 'add-br', bridge]
        argv += ['--', 'set', 'Bridge', bridge]
        argv += ['datapath_type=netdev', f'fail_mode={mode}']
    return [*argv, '--', '--may-exist', 'add-port', UNDERLAY, UPLINK]


def switch(layout: model.Layout, host: str) -> model.Service:
    """ovs-vswitchd of a host, with the bridges every host has."""
    name = f'vswitchd-{host}'

    def prepare() -> None:
        machine.run(layout, host, _settings(layout, host))

    def ready() -> bool:
        address = f'{layout.host_tunnel_address(host)}/24'
        argv = ['ip', 'addr', 'replace', address, 'dev', UNDERLAY]
        if machine.run(layout, host, argv, check=False).returncode:
            return False
        for bridge in (UNDERLAY, 'br-int', 'br-ex'):
            up = ['ip', 'link', 'set', bridge, 'up']
            if machine.run(layout, host, up, check=False).returncode:
                return False
        network.no_offload(layout, host, UNDERLAY)
        return True

    return model.Service(
        name=name,
        argv=(
            'ovs-vswitchd',
            f'unix:{SOCKET}',
            '--pidfile=/run/openvswitch/ovs-vswitchd.pid',
            *_quiet(layout, name),
        ),
        machine=host,
        after=(f'ovsdb-{host}',),
        prepare=prepare,
        ready=ready,
        timeout=20.0,
    )


def services(layout: model.Layout, host: str) -> list[model.Service]:
    """Both daemons of a host."""
    return [database(layout, host), switch(layout, host)]
