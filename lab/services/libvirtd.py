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

"""libvirtd of a compute host: TCP 16509 and TLS 16514."""

import pathlib
import re
import time

from lab import forward
from lab import hosts
from lab import machine
from lab import model
from lab import network
from lab import restart

_LIBVIRTD = """\
listen_tls = 1
listen_tcp = 1
listen_addr = "0.0.0.0"
auth_tcp = "{auth_tcp}"
auth_tls = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0770"
host_uuid = "{uuid}"
log_outputs = "2:file:{log}"
"""

# There is no systemd, virtlogd, cgroup or security module in a host.
_QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = [ ]
cgroup_controllers = [ ]
stdio_handler = "file"
"""

# Read only with auth_tcp "sasl": no mechanism with a better name works over
# plain TCP.
_SASL = """\
mech_list: digest-md5
sasldb_path: /etc/libvirt/passwd.db
"""

TCP, TLS = 16509, 16514

_PID_FILE = '/run/libvirtd.pid'

#: Has a program, and what that starts, see nothing in a folder.
_HIDING = ('unshare', '--mount', 'sh', '-c')
_HIDE = 'mount -t tmpfs none "$1" && shift && exec "$@"'

#: Seconds that the forwarder may take to follow.
_FORWARD_TIME = 5.0


def configuration(
    layout: model.Layout,
    host: str,
    auth_tcp: str = 'none',
    uuid: str | None = None,
) -> dict[pathlib.Path, str]:
    """Path -> content of libvirt's configuration on a host.

    :param auth_tcp: 'none' or 'sasl'
    :param uuid: the host's, when it is not to be its own
    """
    folder = layout.host_dir(host) / 'libvirt'
    return {
        layout.host_dir(host) / 'sasl2' / 'libvirt.conf': _SASL,
        folder / 'libvirtd.conf': _LIBVIRTD.format(
            auth_tcp=auth_tcp,
            uuid=uuid or hosts.host_uuid(layout, host),
            log=layout.log / f'libvirtd-{host}.log',
        ),
        folder / 'qemu.conf': _QEMU,
    }


def service(
    layout: model.Layout,
    host: str,
    listen: bool = True,
    auth_tcp: str = 'none',
    uuid: str | None = None,
    unseen: str | None = None,
) -> model.Service:
    """libvirtd of a host.

    :param listen: whether it listens on TCP and TLS at all
    :param unseen: a folder that neither it nor a QEMU that it starts sees,
        as in a container that was not given it
    """

    def ready() -> bool:
        ports = (TCP, TLS) if listen else ()
        if not all(network.listening(layout, host, p) for p in ports):
            return False
        argv = ['virsh', '-q', '-c', 'qemu:///system', 'uri']
        return machine.run(layout, host, argv, check=False).returncode == 0

    options = ('--listen',) if listen else ()
    hiding = (*_HIDING, _HIDE, 'sh', unseen) if unseen else ()
    return model.Service(
        name=f'libvirtd-{host}',
        argv=(
            *hiding,
            '/usr/sbin/libvirtd',
            *options,
            '--pid-file',
            _PID_FILE,
        ),
        machine=host,
        files=configuration(layout, host, auth_tcp, uuid),
        ready=ready,
        timeout=30.0,
    )


def reconfigure(
    layout: model.Layout,
    host: str,
    listen: bool = True,
    auth_tcp: str = 'none',
    uuid: str | None = None,
    unseen: str | None = None,
) -> None:
    """Start a host's libvirtd anew, with other settings if wanted.

    Guests go on running.  The arguments are those of ``service``.

    :raises errors.StepError: it does not start, as with a certificate that
        has expired
    """
    new = service(layout, host, listen, auth_tcp, uuid, unseen)
    restart.restart(layout, new)
    _wait_forwarded(layout, host, listen)


def _wait_forwarded(layout: model.Layout, host: str, listen: bool) -> None:
    """Wait until the forwarder has seen it, if there is one."""
    door = (layout.host_loopback(host), layout.host_ports['libvirt'])
    deadline = time.monotonic() + _FORWARD_TIME
    while machine.marked(layout, forward.ROLE):
        open_now = door in network.listeners()
        if open_now == listen or time.monotonic() > deadline:
            return
        time.sleep(0.05)


def hide_machine_type(layout: model.Layout, host: str, name: str) -> None:
    """Make a host's libvirt believe that QEMU lacks a machine type.

    It is taken out of libvirt's cache of QEMU's capabilities, which
    ``reconfigure`` has it read again; ``forget_capabilities`` undoes it.
    """
    _hide(layout, host, re.compile(f"<machine .*name='{re.escape(name)}'"))


def hide_cpu_model(layout: model.Layout, host: str, name: str) -> None:
    """Make a host's libvirt believe that QEMU without KVM lacks a CPU.

    It is done, and undone, as in ``hide_machine_type``.
    """
    _hide(
        layout, host, re.compile(f"<cpu type='tcg' name='{re.escape(name)}'")
    )


def _hide(layout: model.Layout, host: str, pattern: re.Pattern[str]) -> None:
    for path in _capabilities(layout, host):
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not pattern.search(line)]
        path.write_text(''.join(kept))


def forget_capabilities(layout: model.Layout, host: str) -> None:
    """Have libvirt ask QEMU again when it is started the next time."""
    for path in _capabilities(layout, host):
        path.unlink()


def _capabilities(layout: model.Layout, host: str) -> list[pathlib.Path]:
    folder = layout.host_dir(host) / 'cache' / 'qemu' / 'capabilities'
    return sorted(folder.glob('*.xml'))
