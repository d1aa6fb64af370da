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

"""sshd of a compute host, and an OpenSSH configuration for the operator.

``ssh -F STATE/ssh/config hosta`` works from the root's network: the host
is reached through its loopback address, its key is known, and there is
one key to log in with.
"""

import pathlib
import subprocess

from lab import model
from lab import network

PORT = 22

_SSHD = """\
Port {port}
ListenAddress 0.0.0.0
HostKey "{folder}/key"
PidFile /run/sshd.pid
AuthorizedKeysFile "{folder}/authorized_keys"
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
AllowStreamLocalForwarding yes
MaxStartups 100:30:200
MaxSessions 100
SetEnv PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
Subsystem sftp internal-sftp
"""

_CLIENT = """\
Host {host} {host}.lab {loopback}
  HostName {loopback}
"""

_CLIENT_ALL = """\
Host *
  Port {port}
  User root
  IdentityFile "{folder}/id"
  IdentitiesOnly yes
  UserKnownHostsFile "{folder}/known_hosts"
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  BatchMode yes
"""


def folder(layout: model.Layout) -> pathlib.Path:
    """The operator's: id, id.pub, known_hosts and config."""
    return layout.state / 'ssh'


def _keygen(path: pathlib.Path, comment: str) -> str:
    """Make a key if there is none, and return its public half."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        options = ['-q', '-t', 'ed25519', '-N', '', '-C', comment]
        subprocess.run(
            ['ssh-keygen', *options, '-f', str(path)],
            check=True,
            stdin=subprocess.DEVNULL,
        )
    return path.with_name(path.name + '.pub').read_text()


def _known(name: str, port: int) -> str:
    """A name as OpenSSH looks for it in a list of known hosts."""
    return name if port == PORT else f'[{name}]:{port}'


def write_client(layout: model.Layout) -> None:
    """Make the operator's key, configuration and list of known hosts."""
    place = folder(layout)
    _keygen(place / 'id', 'osc-lab')
    config, known = '', ''
    port = layout.host_ports['ssh']
    for host in model.HOSTS:
        loopback = layout.host_loopback(host)
        public = _keygen(layout.host_dir(host) / 'sshd' / 'key', host)
        kind, key = public.split()[:2]
        names = (host, f'{host}.lab', loopback)
        known += ','.join(_known(name, port) for name in names)
        known += f' {kind} {key}\n'
        config += _CLIENT.format(host=host, loopback=loopback)
    config += _CLIENT_ALL.format(port=port, folder=place)
    (place / 'config').write_text(config)
    (place / 'known_hosts').write_text(known)


def service(layout: model.Layout, host: str) -> model.Service:
    """sshd of a host; the keys are those of ``write_client``."""
    place = layout.host_dir(host) / 'sshd'
    config = place / 'sshd_config'

    def prepare() -> None:
        public = folder(layout) / 'id.pub'
        (place / 'authorized_keys').write_text(public.read_text())

    def ready() -> bool:
        return network.listening(layout, host, PORT)

    return model.Service(
        name=f'sshd-{host}',
        argv=('/usr/sbin/sshd', '-D', '-e', '-f', str(config)),
        machine=host,
        files={config: _SSHD.format(port=PORT, folder=place)},
        prepare=prepare,
        ready=ready,
        timeout=20.0,
    )
