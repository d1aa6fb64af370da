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

"""The words of the lab: where it lives, what it runs.  Pure data, no I/O."""

import collections.abc
import dataclasses
import pathlib
import signal
import types

#: Names of the compute hosts; also their Nova and Neutron host names.
HOSTS = ('hosta', 'hostb')

#: The machine on which every service runs that is not on a compute host.
CONTROL = 'control'

#: Environment variable that every process of a lab carries.  It holds the
#: state folder, so what a lab started is found again without any file.
MARK = 'OSC_LAB_STATE'


#: Environment variable of a command that ``run`` was given, and of all that
#: the command starts.
RUN_MARK = 'OSC_LAB_RUN'

#: Environment variable with the name of the service that a process
#: belongs to.
SERVICE_MARK = 'OSC_LAB_SERVICE'

#: The ports that compute hosts reach too, by the name of what listens.
#: They are the field's usual ones; a lab falls back to others only where
#: a daemon of the machine listens on all addresses already.
PORTS: collections.abc.Mapping[str, int] = types.MappingProxyType(
    {
        'keystone': 5000,
        'placement': 8778,
        'glance': 9292,
        'cinder': 8776,
        'neutron': 9696,
        'nova': 8774,
        'barbican': 9311,
        'amqp': 5672,
        'amqp-dist': 25672,
        'mysql': 3306,
    }
)

#: What is reached from outside on every host, and its port in there.
HOST_PORTS: collections.abc.Mapping[str, int] = types.MappingProxyType(
    {
        'ssh': 22,
        'libvirt': 16509,
        'libvirt-tls': 16514,
        'ovsdb-tls': 6640,
        'ovsdb': 6641,
    }
)

#: Folders of the machine that hosts and control have as they need them; what
#: else is below cannot be written to in there, or not be seen.
COVERED = ('/etc', '/run', '/usr/sbin', '/var/cache', '/var/lib', '/var/log')

#: The share that Cinder's NFS driver and Nova name; what lies behind it
#: is machine.export().
SHARE = '127.0.0.1:/lab'


def loopback(block: str, host: str) -> str:
    """Address of a host in the block of a lab."""
    return f'{block}.{11 + HOSTS.index(host)}'


@dataclasses.dataclass(frozen=True)
class Layout:
    """Paths and addresses of one lab.

    The lab owns one /24 of the loopback range.  A service has the same
    address and port in the root network namespace, where it listens, and
    inside a compute host, where a forwarder listens; so the service
    catalog is true on both sides.

    :param state: absolute path of the state folder
    :param cache: absolute path of the folder with installed packages
    :param block: the first three numbers of the /24, as in '127.79.3'
    :param epmd_port: port of the Erlang port mapper, which also listens
        on 127.0.0.1 and therefore needs a number of its own
    :param ports: port of each thing that listens on ``address``
    :param host_ports: port of each of HOST_PORTS on ``host_loopback``
    """

    state: pathlib.Path
    cache: pathlib.Path
    block: str
    epmd_port: int
    ports: collections.abc.Mapping[str, int] = dataclasses.field(
        default_factory=lambda: PORTS
    )
    host_ports: collections.abc.Mapping[str, int] = dataclasses.field(
        default_factory=lambda: HOST_PORTS
    )

    @property
    def etc(self) -> pathlib.Path:
        return self.state / 'etc'

    @property
    def log(self) -> pathlib.Path:
        return self.state / 'log'

    @property
    def run(self) -> pathlib.Path:
        return self.state / 'run'

    @property
    def data(self) -> pathlib.Path:
        return self.state / 'data'

    @property
    def tools(self) -> pathlib.Path:
        """Programs of the lab that come first in the search path."""
        return self.state / 'bin'

    @property
    def temporary(self) -> pathlib.Path:
        return self.run / 'tmp'

    @property
    def venv(self) -> pathlib.Path:
        """The virtual environment with every OpenStack service."""
        return self.cache / 'venv'

    @property
    def address(self) -> str:
        """Address of the control plane, in every network namespace."""
        return f'{self.block}.1'

    def url(self, name: str) -> str:
        """Base URL of an API, true in every network namespace.

        :param name: a key of ``ports``
        """
        return f'http://{self.address}:{self.ports[name]}'

    def host_dir(self, host: str) -> pathlib.Path:
        return self.state / 'hosts' / host

    def host_loopback(self, host: str) -> str:
        """Address in the root namespace that is forwarded to a host."""
        return loopback(self.block, host)

    def host_door(self, name: str) -> str:
        """What a URI needs after ``host_loopback``: a port, or nothing.

        :param name: a key of ``host_ports``
        """
        port = self.host_ports[name]
        return '' if port == HOST_PORTS[name] else f':{port}'

    def host_address(self, host: str) -> str:
        """Management address of a host, in the lab's own namespaces."""
        return f'10.79.0.{1 + HOSTS.index(host)}'

    def host_tunnel_address(self, host: str) -> str:
        """Address of a host's tunnel end points."""
        return f'10.80.0.{1 + HOSTS.index(host)}'


@dataclasses.dataclass(frozen=True)
class Service:
    """One process that the lab keeps running.

    :param name: unique; also the name of its log, ``log/NAME.out``
    :param argv: the command, run in the foreground
    :param machine: CONTROL or one of HOSTS
    :param env: what is added to the environment
    :param files: absolute path -> content, written before any
        service starts, for root alone
    :param after: names of services that must be ready before the start
    :param prepare: run once before the start, for what is not a file
    :param ready: True when the service answers; polled
    :param timeout: seconds to wait for ``ready``
    :param stop_signal: what ends the process in good order
    """

    name: str
    argv: tuple[str, ...]
    machine: str = CONTROL
    env: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )
    files: collections.abc.Mapping[pathlib.Path, str] = dataclasses.field(
        default_factory=dict
    )
    after: tuple[str, ...] = ()
    prepare: collections.abc.Callable[[], None] | None = None
    ready: collections.abc.Callable[[], bool] | None = None
    timeout: float = 120.0
    stop_signal: signal.Signals = signal.SIGTERM
