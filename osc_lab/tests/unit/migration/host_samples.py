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


"""Facts of two clean hosts with all channels, and changed ones."""

import dataclasses

from osc_lab.migration import facts
from osc_lab.tests.unit.migration import samples

GIB = 1024**3
NOW = 1_800_000_000.0
REACH = facts.Reach
GAP = facts.Gap('libvirt does not answer')
UNSET = facts.Gap('No shell channel is set.', 'Use --ssh.', asked=False)
HIDDEN = facts.Gap('Nobody can see it.', 'Use a user who may.')

DISK = facts.Disk(
    'disk',
    'file',
    'vda',
    '/i/disk',
    'qcow2',
    False,
    False,
    False,
    '',
    (),
    GIB,
    GIB // 2,
    GIB // 4,
)
DOMAIN = facts.Domain(
    'instance-1',
    's1',
    'kvm',
    'x86_64',
    'pc-7.2',
    '/usr/bin/q',
    262144,
    1,
    '<cpu><model>EPYC</model></cpu>',
    'EPYC',
    'custom',
    (DISK,),
)
BUILD = facts.Build(
    frozenset({'postcopy-ram', 'auto-converge', 'multifd'}),
    frozenset({'migrate', 'nbd-server-start', 'blockdev-mirror'}),
)

FOLDER = '/var/lib/nova/instances/s1'

#: The disk and the folder of the server as the source sees them.
HERE = {'/i/disk': 'fs:1', FOLDER: 'fs:3'}


def connection(name, **changes):
    return dataclasses.replace(
        facts.Libvirt(
            f'{name}.test',
            f'uuid-{name}',
            9000000,
            7002022,
            8 * 1024**2,
            cpu='superset',
            machine_ok=True,
        ),
        **changes,
    )


def shell(files=None, **changes):
    """Return what a shell says; the folder is always looked for."""
    return dataclasses.replace(
        facts.Shell(
            {},
            ('/etc/nova/nova.conf',),
            'cell',
            50 * GIB,
            {FOLDER: '', **({'/i/disk': ''} if files is None else files)},
            qemu=BUILD,
            guest_certificates=(),
        ),
        **changes,
    )


def conf(**libvirt_options):
    return {'libvirt': {k: str(v) for k, v in libvirt_options.items()}}


def attempt(reach, origin='a', target='qemu+tcp://b/system', text='text'):
    return facts.Attempt(origin, target, reach, text, 1.23456)


def way(**changes):
    return dataclasses.replace(
        facts.Way(
            'qemu+tcp://b/system',
            attempt(REACH.OPEN),
            True,
            False,
            'b.test',
            '192.0.2.2',
            attempt(REACH.OPEN, target='b.test:49215'),
            True,
            'b.test',
        ),
        **changes,
    )


def certificate(**changes):
    return dataclasses.replace(
        facts.Certificate(
            '/etc/pki/libvirt/servercert.pem',
            'libvirt',
            'server',
            frozenset({'b.test'}),
            NOW - 100,
            NOW + 1e7,
            'k',
            'ca',
        ),
        **changes,
    )


CA = certificate(
    path='/etc/pki/CA/cacert.pem',
    role='ca',
    names=frozenset(),
    key_id='ca',
    signed_by='',
)
CLIENT = certificate(
    path='/etc/pki/libvirt/clientcert.pem', role='client', names=frozenset()
)


def pair(source=None, there=None, **changes):
    """Return facts of a clean pair with all channels, then changed."""
    here = samples.host(
        'a',
        libvirt=connection('a', domain=DOMAIN),
        reach=attempt(REACH.OPEN, '', 'qemu+tls://a/system'),
        shell=shell(files=HERE),
    )
    other = samples.host(
        'b',
        libvirt=connection('b'),
        reach=attempt(REACH.OPEN, '', 'qemu+tls://b/system'),
        shell=shell(),
        way=way(),
    )
    return samples.clean(
        source=dataclasses.replace(here, **(source or {})),
        destinations=(dataclasses.replace(other, **(there or {})),),
        now=NOW,
        **changes,
    )


def domain(**changes):
    return pair(
        source={
            'libvirt': connection(
                'a', domain=dataclasses.replace(DOMAIN, **changes)
            )
        }
    )


def disk(**changes):
    return domain(disks=(dataclasses.replace(DISK, **changes),))


def away(source, files=None, **changes):
    """Return facts with one disk, whose file the destination has not."""
    one = dataclasses.replace(DISK, source=source, **changes)
    known = {source: 'fs:1', FOLDER: 'fs:3'}
    return pair(
        source={
            'libvirt': connection(
                'a', domain=dataclasses.replace(DOMAIN, disks=(one,))
            ),
            'shell': shell(files=known),
        },
        there={'shell': shell(files=files or {source: ''})},
    )


def source_conf(**values):
    return pair(source={'shell': shell(options=conf(**values), files=HERE)})


def tls(**changes):
    """Return facts with TLS on and one changed server certificate."""
    return certified((CA, CLIENT), (CA, certificate(**changes)))


def named(names, address):
    """Return facts with TLS that fails, and a certificate for names."""
    return certified(
        (CA, CLIENT),
        (CA, certificate(names=frozenset(names))),
        way=way(
            libvirt=attempt(REACH.TLS), host=address, data_address='other'
        ),
    )


def native(names, address):
    """Return facts with native TLS, and a QEMU's certificate for names."""
    mine = (
        *(dataclasses.replace(item, stack='qemu') for item in (CA, CLIENT)),
        certificate(stack='qemu', names=frozenset(names)),
    )
    return certified(
        (*mine, CA, CLIENT),
        (*mine, CA, certificate()),
        way=way(data_address=address),
        live_migration_with_native_tls=True,
    )


def several(*disks):
    """Return facts with these disks, and with none of their files there."""
    return pair(
        source={
            'libvirt': connection(
                'a', domain=dataclasses.replace(DOMAIN, disks=disks)
            )
        },
        there={'shell': shell(files={item.source: '' for item in disks})},
    )


def shared_conf(**values):
    """Return facts with shared disks and options."""
    return pair(
        source={'shell': shell(options=conf(**values), files=HERE)},
        there={'shell': shell(files=HERE)},
    )


def cpu(model, mode, **changes):
    """Return facts with a CPU of the guest, and what is seen there."""
    return pair(
        source={
            'libvirt': connection(
                'a',
                domain=dataclasses.replace(
                    DOMAIN, cpu_model=model, cpu_mode=mode
                ),
            )
        },
        there={'libvirt': connection('b', **changes)},
    )


def certified(mine, other=None, way=None, unseen=(), **values):
    """Return facts with TLS on and these certificates at both ends.

    :param unseen: (stack, role) of those that nobody can see at either
    """
    options = conf(live_migration_scheme='tls', **values)
    hidden = dict.fromkeys(unseen, HIDDEN)
    return pair(
        source={
            'shell': shell(
                options=options, certificates=mine, files=HERE, unseen=hidden
            )
        },
        there={
            'shell': shell(
                certificates=mine if other is None else other, unseen=hidden
            ),
            **({} if way is None else {'way': way}),
        },
    )


def reached(reach):
    return pair(there={'reach': attempt(reach, ''), 'libvirt': GAP})


def from_source(reach, **changes):
    return pair(there={'way': way(libvirt=attempt(reach, **changes))})
