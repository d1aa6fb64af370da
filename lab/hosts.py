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

"""The compute hosts as machines: private folders, names, certificates.

What may be edited while a host runs is bind-mounted from its folder
under ``hosts/``: ``libvirt`` (/etc/libvirt), ``pki`` (/etc/pki), ``sasl2``
(/etc/sasl2), ``names`` (/etc/hosts, to be rewritten in place) and ``run``.
The rest of its private /etc is read when the host starts.
"""

import collections.abc
import pathlib
import shlex
import shutil
import uuid

from lab import machine
from lab import model
from lab import network
from lab import pki
from osc_lab.tests import openssl

_FUSE_EXPORT = """\
#!/bin/sh
# mount.nfs SOURCE TARGET ...: this kernel has no NFS.  libvirt takes a file
# system for shared by its type, and glusterfs is one that FUSE can claim.
exec bindfs -o nonempty,subtype=glusterfs,fsname="$1" {export} "$2"
"""

# OPERATION is the second argument, the domain comes on standard input.  The
# switch of user space sets PROMISC on a new tap by reading its flags and
# writing them: what libvirt has set up in between is down from then on, and
# nobody looks again.
_QEMU_HOOK = """\
#!/bin/sh
if [ "$2" = started ]; then
    sed -n "s/.*<target dev='\\(tap[^']*\\)'.*/\\1/p" |
        while read -r tap; do ip link set dev "$tap" up; done
else
    cat > /dev/null
fi
"""

_SHARE = (
    'bindfs',
    '--multithreaded',
    '-o',
    'nonempty,subtype=glusterfs,fsname=lab:/instances',
)


def state_path(layout: model.Layout) -> pathlib.Path:
    """Nova's state_path: the same path on every host, another folder."""
    return layout.state / 'nova'


def instances_path(layout: model.Layout) -> pathlib.Path:
    """Nova's instances_path, inside a host."""
    return state_path(layout) / 'instances'


def shared_instances(layout: model.Layout) -> pathlib.Path:
    """The folder that ``share_instances`` shows on both hosts."""
    return layout.data / 'instances'


def host_uuid(layout: model.Layout, host: str) -> str:
    """The host's own UUID: libvirt's host_uuid, machine-id, node uuid."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f'{layout.state}#{host}'))


def names(layout: model.Layout) -> dict[str, tuple[str, ...]]:
    """Address -> host names, as in /etc/hosts of every host."""
    return {
        '127.0.0.1': ('localhost',),
        **{
            layout.host_address(host): (f'{host}.lab', host)
            for host in model.HOSTS
        },
    }


def set_names(
    layout: model.Layout,
    host: str,
    table: collections.abc.Mapping[str, collections.abc.Sequence[str]],
) -> None:
    """Write what a host's resolver knows; it takes effect at once."""
    text = ''.join(f'{a} {" ".join(n)}\n' for a, n in table.items())
    # In place: the file is bind-mounted, another inode would not be seen.
    (layout.host_dir(host) / 'names').write_text(text)


def install_certificates(
    layout: model.Layout, host: str, pair: openssl.Pair | None = None
) -> None:
    """Put certificates where a host's libvirtd, QEMU and OVSDB read them.

    :param pair: for libvirt's server, instead of the host's own
    """
    own = pki.host_pair(layout, host)
    ca = pki.lab_authority(layout).certificate
    server = pair or own
    files = {
        'CA/cacert.pem': ca,
        'libvirt/servercert.pem': server.certificate,
        'libvirt/private/serverkey.pem': server.key,
        'libvirt/clientcert.pem': own.certificate,
        'libvirt/private/clientkey.pem': own.key,
        'qemu/ca-cert.pem': ca,
        'qemu/server-cert.pem': own.certificate,
        'qemu/server-key.pem': own.key,
        'qemu/client-cert.pem': own.certificate,
        'qemu/client-key.pem': own.key,
        'ovs/cert.pem': own.certificate,
        'ovs/key.pem': own.key,
    }
    for name, source in files.items():
        target = layout.host_dir(host) / 'pki' / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


_USER = 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin'
_GROUP = 'libvirt-qemu:x:64055:'


def _private_etc(layout: model.Layout, host: str) -> None:
    folder = layout.host_dir(host) / 'etc'
    for name in ('libvirt', 'pki', 'sasl2'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / 'hostname').write_text(f'{host}\n')
    (folder / 'hosts').touch()
    # libvirtd does not start without its own user, which comes with the
    # package that would also make it a service of this machine.
    for name, line in (('passwd', _USER), ('group', _GROUP)):
        own = pathlib.Path('/etc', name).read_text()
        (folder / name).write_text(f'{own.rstrip()}\n{line}\n')
    identity = host_uuid(layout, host).replace('-', '')
    (folder / 'machine-id').write_text(f'{identity}\n')


def machine_of(layout: model.Layout, host: str) -> machine.Machine:
    """A host's machine; its folders and files are written on the way."""
    folder = layout.host_dir(host)
    binds = {
        'libvirt': '/etc/libvirt',
        'pki': '/etc/pki',
        'sasl2': '/etc/sasl2',
        'names': '/etc/hosts',
        'run': '/run',
        'lib': '/var/lib/libvirt',
        'log': '/var/log/libvirt',
        'cache': '/var/cache/libvirt',
        'nova': str(state_path(layout)),
    }
    if machine.init_pid(layout, host) is None:
        shutil.rmtree(folder / 'run', ignore_errors=True)
    for name in binds:
        if name != 'names':
            (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ('libvirt', 'lock', 'openvswitch', 'sshd'):
        (folder / 'run' / name).mkdir(parents=True, exist_ok=True)
    # Debian's libvirtd makes its folders when it runs as a service: where it
    # never did, there is nothing yet to mount over.
    for name in ('lib', 'log', 'cache'):
        (folder / 'var' / name / 'libvirt').mkdir(parents=True, exist_ok=True)
    (folder / 'nova' / 'instances').mkdir(exist_ok=True)
    state_path(layout).mkdir(exist_ok=True)
    shared_instances(layout).mkdir(parents=True, exist_ok=True)
    _private_etc(layout, host)
    set_names(layout, host, names(layout))
    install_certificates(layout, host)
    export = machine.export(layout)
    export.mkdir(parents=True, exist_ok=True)
    machine.write_helper(
        folder / 'sbin' / 'mount.nfs',
        _FUSE_EXPORT.format(export=shlex.quote(str(export))),
    )
    machine.write_helper(folder / 'libvirt' / 'hooks' / 'qemu', _QEMU_HOOK)
    return machine.Machine(
        host,
        machine.NAMESPACES,
        hostname=host,
        overlays=(
            (folder / 'etc', '/etc'),
            (folder / 'sbin', '/usr/sbin'),
            *(
                (folder / 'var' / name, f'/var/{name}')
                for name in ('lib', 'log', 'cache')
            ),
        ),
        binds=tuple((folder / n, t) for n, t in binds.items()),
    )


def start(layout: model.Layout, host: str) -> bool:
    """Start a host and plug it into the switch, which must be there.

    :returns: False when it was there already
    :raises machine.MachineError: it did not start
    """
    new = machine.init_pid(layout, host) is None
    machine.start(layout, machine_of(layout, host))
    network.plug(layout, host)
    return new


def share_instances(
    layout: model.Layout, host: str, shared: bool = True
) -> None:
    """Have instances_path be one folder for both hosts, or the host's own.

    :raises machine.MachineError: it is in use
    """
    target = instances_path(layout)
    for path in (target / 'locks', target):
        mounted = ['mountpoint', '-q', str(path)]
        while not machine.run(layout, host, mounted, check=False).returncode:
            machine.run(layout, host, ['umount', str(path)])
    if not shared:
        return
    source = shared_instances(layout)
    (source / 'locks').mkdir(exist_ok=True)
    machine.run(layout, host, [*_SHARE, str(source), str(target)])
    # Locks stay within one FUSE mount: QEMU's must, for it would find the
    # other host's in its way, and Nova's must not.
    bind = ['mount', '--bind', str(source / 'locks'), str(target / 'locks')]
    machine.run(layout, host, bind)


def firewall(
    layout: model.Layout, host: str, rules: collections.abc.Iterable[str]
) -> None:
    """Set the rules for what comes in to a host; none opens everything.

    :param rules: as in 'tcp dport 16509 reject with tcp reset'
    """
    lines = ['table inet lab', 'delete table inet lab']
    body = list(rules)
    if body:
        chain = 'type filter hook input priority 0; policy accept;'
        inner = '\n'.join([chain, *body])
        lines.append(f'table inet lab {{\nchain input {{\n{inner}\n}}\n}}')
    machine.run(layout, host, ['nft', '-f', '-'], stdin='\n'.join(lines))
