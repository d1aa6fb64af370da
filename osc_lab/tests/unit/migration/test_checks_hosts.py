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

"""Checks over what hosts tell, one cause at a time."""

import dataclasses

import testtools

from osc_lab.migration.checks import certificates
from osc_lab.migration.checks import guest
from osc_lab.migration.checks import hypervisor
from osc_lab.migration.checks import libvirt
from osc_lab.migration.checks import options
from osc_lab.migration import facts
from osc_lab.migration import storage
from osc_lab.tests.unit.migration import samples

GIB = 1024**3
NOW = 1_800_000_000.0
REACH = facts.Reach
GAP = facts.Gap('libvirt does not answer')

DISK = facts.Disk(
    'disk',
    'file',
    'vda',
    '/i/disk',
    'qcow2',
    'none',
    False,
    False,
    False,
    '',
    (),
    GIB,
    GIB // 2,
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


def connection(name, **changes):
    return dataclasses.replace(
        facts.Libvirt(
            'qemu+tls://x/system',
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


def shell(**changes):
    return dataclasses.replace(
        facts.Shell(
            'a',
            {},
            ('/etc/nova/nova.conf',),
            'cell',
            50 * GIB,
            frozenset({'/i/disk'}),
            qemu=BUILD,
            qemu_started=NOW - 1000,
        ),
        **changes,
    )


def conf(**libvirt_options):
    return {'libvirt': {k: str(v) for k, v in libvirt_options.items()}}


def attempt(reach, origin='a', target='qemu+tcp://b/system', text='text'):
    return facts.Attempt(origin, target, reach, text)


def way(**changes):
    return dataclasses.replace(
        facts.Way(
            'qemu+tcp://b/system',
            attempt(REACH.OPEN),
            True,
            False,
            'b.test',
            '192.0.2.2',
            (attempt(REACH.OPEN, target='b.test:49152'),),
            True,
        ),
        **changes,
    )


def certificate(**changes):
    return dataclasses.replace(
        facts.Certificate(
            '/etc/pki/libvirt/servercert.pem',
            'libvirt',
            'server',
            'CN=b',
            frozenset({'b.test'}),
            NOW - 100,
            NOW + 1e7,
            NOW - 5000,
            'k',
            'ca',
        ),
        **changes,
    )


CA = certificate(
    path='/etc/pki/CA/cacert.pem', role='ca', names=frozenset(), key_id='ca'
)
CLIENT = certificate(
    path='/etc/pki/libvirt/clientcert.pem', role='client', names=frozenset()
)


def pair(source=None, there=None, **changes):
    """Return facts of a clean pair with all channels, then changed."""
    here = samples.host(
        'a',
        libvirt=connection('a', domain=DOMAIN),
        reach=attempt(REACH.OPEN, ''),
        shell=shell(absent=frozenset()),
    )
    other = samples.host(
        'b',
        libvirt=connection('b'),
        reach=attempt(REACH.OPEN, ''),
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


def source_conf(**values):
    return pair(
        source={'shell': shell(options=conf(**values), absent=frozenset())}
    )


def tls(**changes):
    """Return facts with TLS on and one changed server certificate."""
    values = conf(live_migration_scheme='tls')
    return pair(
        source={
            'shell': shell(
                options=values, certificates=(CA, CLIENT), absent=frozenset()
            )
        },
        there={'shell': shell(certificates=(CA, certificate(**changes)))},
    )


def reached(reach):
    return pair(there={'reach': attempt(reach, ''), 'libvirt': GAP})


def from_source(reach):
    return pair(there={'way': way(libvirt=attempt(reach))})


#: (check, facts, results that are not ok, words in message or remedy)
CASES = (
    (libvirt.LibvirtListen, reached(REACH.REFUSED), ['failed'], 'firewall'),
    (libvirt.LibvirtListen, reached(REACH.TIMEOUT), ['failed'], 'hangs'),
    (libvirt.LibvirtListen, from_source(REACH.REFUSED), ['failed'], 'from a'),
    (
        libvirt.LibvirtListen,
        from_source(REACH.UNRESOLVED),
        ['failed'],
        '/etc/hosts',
    ),
    (
        libvirt.LibvirtListen,
        from_source(REACH.UNREACHABLE),
        ['failed'],
        'cannot be reached',
    ),
    (libvirt.LibvirtListen, from_source(REACH.AUTH), [], ''),
    (libvirt.LibvirtAuth, reached(REACH.AUTH), ['failed'], 'this caller'),
    (libvirt.LibvirtAuth, from_source(REACH.AUTH), ['failed'], 'auth.conf'),
    (
        libvirt.LibvirtAuth,
        pair(there={'way': way(unguarded=True)}),
        ['warning'],
        'no password',
    ),
    (libvirt.LibvirtAuth, reached(REACH.REFUSED), ['skipped'], 'listen'),
    (certificates.LibvirtTls, reached(REACH.TLS), ['failed'], 'TLS fails'),
    (certificates.LibvirtTls, from_source(REACH.TLS), ['failed'], 'TLS fails'),
    (
        certificates.LibvirtTls,
        tls(not_after=NOW - 86400 * 3),
        ['failed'],
        'expired 3 days ago',
    ),
    (
        certificates.LibvirtTls,
        tls(not_after=NOW + 86400 * 3),
        ['warning'],
        'in 3 days',
    ),
    (certificates.LibvirtTls, tls(not_before=NOW + 100), ['failed'], 'clocks'),
    (
        certificates.LibvirtTls,
        tls(names=frozenset({'c'})),
        ['failed'],
        'not for b.test',
    ),
    (certificates.LibvirtTls, tls(signed_by=''), ['failed'], 'not signed'),
    (certificates.LibvirtTls, tls(signed_by='other'), ['failed'], 'not trust'),
    (certificates.LibvirtTls, tls(role='client'), ['failed'], 'no server'),
    (certificates.LibvirtTls, tls(), [], ''),
    (
        libvirt.LibvirtIdentity,
        pair(there={'libvirt': connection('b', host_uuid='uuid-a')}),
        ['failed'],
        'uuid-a',
    ),
    (
        libvirt.LibvirtIdentity,
        pair(there={'libvirt': connection('b', hostname='a.test')}),
        ['failed'],
        'Both call',
    ),
    (
        libvirt.LibvirtIdentity,
        pair(there={'libvirt': connection('b', hostname='localhost.x')}),
        ['failed'],
        'localhost',
    ),
    (
        libvirt.LibvirtIdentity,
        pair(there={'way': way(data_resolved='')}),
        ['failed'],
        'does not know',
    ),
    (
        hypervisor.LibvirtVersion,
        pair(there={'libvirt': connection('b', version=8000000)}),
        ['failed'],
        '8.0.0',
    ),
    (
        hypervisor.QemuVersion,
        pair(there={'libvirt': connection('b', qemu_version=6002000)}),
        ['failed'],
        '6.2.0',
    ),
    (hypervisor.QemuVersion, pair(there={'libvirt': GAP}), ['unknown'], ''),
    (
        hypervisor.MachineType,
        pair(there={'libvirt': connection('b', machine_ok=False)}),
        ['failed'],
        'pc-7.2',
    ),
    (
        hypervisor.Cpu,
        pair(
            there={
                'libvirt': connection(
                    'b', cpu='incompatible', cpu_text='lacks vme'
                )
            }
        ),
        ['failed'],
        'vme',
    ),
    (
        hypervisor.Cpu,
        pair(
            there={
                'libvirt': connection('b', cpu_models=frozenset({'qemu64'}))
            }
        ),
        ['failed'],
        'does not know this model',
    ),
    (
        hypervisor.Cpu,
        pair(there={'libvirt': connection('b', host_cpu='incompatible')}),
        ['warning'],
        'skip_cpu_compare',
    ),
    (
        hypervisor.Cpu,
        pair(
            there={
                'libvirt': connection('b', host_cpu='incompatible'),
                'shell': shell(
                    options={
                        'workarounds': {'skip_cpu_compare_on_dest': 'true'}
                    }
                ),
            }
        ),
        [],
        '',
    ),
    (
        hypervisor.Cpu,
        pair(there={'libvirt': connection('b', cpu=GAP)}),
        ['unknown'],
        '',
    ),
    (
        hypervisor.DomainConflict,
        pair(
            there={
                'libvirt': connection(
                    'b', conflicts=(facts.Conflict('instance-1', 'x', False),)
                )
            }
        ),
        ['failed'],
        'undefine',
    ),
    (
        hypervisor.HostMemory,
        pair(there={'libvirt': connection('b', free_kib=1000)}),
        ['failed'],
        '256 MiB',
    ),
    (hypervisor.HostMemory, domain(hugepages=True), ['warning'], 'huge'),
    (guest.GuestDevices, domain(hostdevs=('pci',)), ['failed'], 'pci'),
    (
        guest.GuestDevices,
        domain(filesystems=('virtiofs',)),
        ['failed'],
        'virtiofs',
    ),
    (
        guest.GuestDevices,
        domain(interfaces=('hostdev',)),
        ['warning'],
        'unplugs',
    ),
    (guest.GuestDevices, domain(tpm='passthrough'), ['failed'], 'TPM'),
    (guest.GuestDevices, domain(file_memory=True), ['warning'], 'files'),
    (
        guest.GuestDevices,
        disk(device='cdrom', readonly=True),
        ['failed'],
        'Eject',
    ),
    (guest.GuestDevices, disk(source='/i/disk.config', readonly=True), [], ''),
    (
        guest.MigrationStorage,
        pair(there={'shell': shell(free_bytes=GIB // 4)}),
        ['failed'],
        '512 MiB are to be copied',
    ),
    (
        guest.MigrationStorage,
        pair(there={'shell': shell(free_bytes=GIB // 4 * 3)}),
        ['warning'],
        'grow',
    ),
    (
        guest.MigrationStorage,
        pair(request=facts.Request('b', facts.Storage.SHARED)),
        ['failed'],
        'Leave --shared-migration out',
    ),
    (
        guest.MigrationStorage,
        pair(
            there={'shell': shell(absent=frozenset())},
            request=facts.Request('b', facts.Storage.BLOCK),
        ),
        ['failed'],
        'Leave --block-migration out',
    ),
    (
        guest.QemuMigrate,
        pair(
            there={
                'shell': shell(
                    qemu=facts.Build(frozenset(), frozenset({'migrate'}))
                )
            }
        ),
        ['failed', 'failed'],
        'blockdev-mirror',
    ),
    (
        guest.QemuMigrate,
        pair(
            source={
                'shell': shell(
                    options=conf(live_migration_permit_post_copy=True),
                    absent=frozenset(),
                )
            },
            there={
                'shell': shell(qemu=facts.Build(frozenset(), BUILD.commands))
            },
        ),
        ['failed'],
        'postcopy-ram',
    ),
    (
        guest.QemuMigrate,
        pair(there={'shell': shell(qemu=GAP)}),
        ['unknown'],
        '',
    ),
    (
        guest.QemuProcesses,
        pair(
            source={
                'shell': shell(
                    options=conf(live_migration_with_native_tls=True),
                    certificates=(certificate(stack='qemu', changed=NOW),),
                )
            }
        ),
        ['failed'],
        'runs since before',
    ),
    (
        guest.QemuProcesses,
        pair(
            source={
                'shell': shell(
                    options=conf(live_migration_with_native_tls=True),
                    qemu_started=None,
                )
            }
        ),
        ['unknown'],
        '',
    ),
    (
        options.MigrationPorts,
        pair(
            there={
                'way': way(data=(attempt(REACH.TIMEOUT, target='b:49152'),))
            }
        ),
        ['failed'],
        'dropped',
    ),
    (
        options.MigrationPorts,
        pair(
            there={
                'way': way(data=(attempt(REACH.REFUSED, target='b:49152'),))
            }
        ),
        ['failed'],
        'rejected',
    ),
    (
        options.MigrationPorts,
        pair(
            there={
                'way': way(
                    listening=False,
                    data=(attempt(REACH.REFUSED, target='b:49152'),),
                )
            }
        ),
        ['unknown'],
        'a refusal says nothing',
    ),
    (
        options.MigrationOptions,
        source_conf(live_migration_tunnelled=True),
        ['failed'],
        'live_migration_tunnelled=false',
    ),
    (
        options.MigrationOptions,
        source_conf(live_migration_with_native_tls=True),
        ['warning'],
        'live_migration_scheme=tls',
    ),
    (
        options.MigrationOptions,
        source_conf(
            live_migration_with_native_tls=True,
            live_migration_scheme='tls',
            live_migration_permit_post_copy=True,
        ),
        ['failed'],
        'Post-copy',
    ),
    (
        options.MigrationOptions,
        source_conf(
            live_migration_permit_post_copy=True,
            live_migration_parallel_connections=4,
        ),
        ['failed'],
        '10.1',
    ),
    (
        options.MigrationOptions,
        source_conf(
            live_migration_bandwidth=1, live_migration_completion_timeout=1
        ),
        ['failed'],
        'completion_timeout',
    ),
    (
        options.MigrationOptions,
        pair(
            there={
                'shell': shell(
                    options={'DEFAULT': {'instances_path': '/other'}}
                )
            }
        ),
        ['failed'],
        '/other',
    ),
    (
        options.MigrationOptions,
        source_conf(cpu_mode='custom'),
        ['warning'],
        'cpu_mode',
    ),
    (
        options.MigrationOptions,
        source_conf(live_migration_inbound_addr='192.0.2.1'),
        ['warning'],
        'inbound',
    ),
    (
        options.MigrationOptions,
        pair(source={'shell': shell(config_files=(), absent=frozenset())}),
        ['unknown'],
        'config_files',
    ),
)

ALL = (
    libvirt.LibvirtListen,
    libvirt.LibvirtAuth,
    certificates.LibvirtTls,
    libvirt.LibvirtIdentity,
    hypervisor.LibvirtVersion,
    hypervisor.QemuVersion,
    hypervisor.MachineType,
    hypervisor.Cpu,
    hypervisor.DomainConflict,
    hypervisor.HostMemory,
    guest.GuestDevices,
    guest.MigrationStorage,
    guest.QemuMigrate,
    guest.QemuProcesses,
    options.MigrationPorts,
    options.MigrationOptions,
)


class TestChecks(testtools.TestCase):
    def test_causes(self):
        for check, found, results, words in CASES:
            findings = [
                item for item in check().judge(found) if item.result != 'ok'
            ]
            where = f'{check.id}: {words}: {findings}'
            self.assertEqual(results, [i.result for i in findings], where)
            text = ' '.join(f'{i.message} {i.remedy}' for i in findings)
            self.assertIn(words, text)

    def test_clean(self):
        for check in ALL:
            findings = list(check().judge(pair()))
            self.assertEqual(
                {'ok'}, {item.result.value for item in findings}, check.id
            )

    def test_without_channels_nothing_is_said_to_be_fine(self):
        for check in ALL:
            for item in check().judge(samples.clean()):
                self.assertEqual('skipped', item.result, item)
                self.assertIn('Use --', item.remedy)


class TestStorage(testtools.TestCase):
    def test_local_disks_are_copied(self):
        found = pair()
        self.assertTrue(storage.decide(found, found.destinations[0]).block)

    def test_shared_disks_are_not(self):
        found = pair(there={'shell': shell(absent=frozenset())})
        self.assertFalse(storage.decide(found, found.destinations[0]).block)

    def test_volumes_are_not(self):
        found = disk(volume_id='v1')
        self.assertFalse(storage.decide(found, found.destinations[0]).block)
