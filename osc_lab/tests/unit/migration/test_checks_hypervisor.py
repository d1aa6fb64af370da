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


"""The checks of the hypervisors, and of what Nova tells them."""

from osc_lab.migration.checks import hypervisor
from osc_lab.migration.checks import options
from osc_lab.migration import facts
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import host_samples as hosts

#: The flags of every live migration.
LIVE = ('LIVE', 'PEER2PEER', 'UNDEFINE_SOURCE', 'PERSIST_DEST')

#: (check, facts, results that are not ok, words in message or remedy)
CASES = (
    (
        hypervisor.LibvirtVersion,
        hosts.pair(there={'libvirt': hosts.connection('b', version=8000000)}),
        ['failed'],
        '8.0.0',
        {'source': 9000000, 'destination': 8000000},
    ),
    (
        hypervisor.LibvirtVersion,
        hosts.pair(),
        [],
        'libvirt 9.0.0 to 9.0.0.',
        {'source': 9000000, 'destination': 9000000},
    ),
    (
        hypervisor.LibvirtVersion,
        hosts.pair(there={'libvirt': hosts.connection('b', version=9000001)}),
        [],
        'libvirt 9.0.0 to 9.0.1.',
        {'source': 9000000, 'destination': 9000001},
    ),
    (
        hypervisor.QemuVersion,
        hosts.pair(source={'libvirt': hosts.GAP}),
        ['unknown'],
        'does not answer',
    ),
    (
        hypervisor.QemuVersion,
        hosts.pair(),
        [],
        'QEMU 7.2.22 to 7.2.22.',
        {'source': 7002022, 'destination': 7002022},
    ),
    (
        hypervisor.MachineType,
        hosts.pair(),
        [],
        'has pc-7.2',
    ),
    *(
        (
            check,
            hosts.pair(there={'libvirt': hosts.connection('b', **changes)}),
            ['unknown'],
            words,
        )
        for check, changes, words in (
            (hypervisor.MachineType, {'machine_ok': hosts.GAP}, 'not answer'),
            (hypervisor.Cpu, {'cpu': None}, 'was not compared'),
        )
    ),
    *(
        (check, hosts.pair(**{end: {'libvirt': hosts.GAP}}), ['unknown'], '')
        for check in (
            hypervisor.MachineType,
            hypervisor.Cpu,
            hypervisor.DomainConflict,
            hypervisor.HostMemory,
        )
        for end in ('source', 'there')
    ),
    *(
        (
            hypervisor.Cpu,
            hosts.cpu(model, mode, **changes),
            results,
            words,
            {'cpu': model} if results else {},
        )
        for model, mode, changes, results, words in (
            ('EPYC', 'x', {}, [], "guest's CPU EPYC."),
            ('', 'host-model', {}, [], "guest's CPU host-model."),
            ('', '', {}, [], "guest's CPU default."),
            (
                'EPYC',
                'x',
                {'cpu': 'incompatible', 'cpu_text': ''},
                ['failed'],
                'CPU EPYC: incompatible.',
            ),
            (
                '',
                'host-model',
                {'cpu': 'incompatible', 'cpu_text': 'lacks vme.'},
                ['failed'],
                'CPU host-model: lacks vme.',
            ),
            ('EPYC', '', {'cpu_models': frozenset({'EPYC'})}, [], 'EPYC'),
            ('', 'm', {'cpu_models': frozenset({'EPYC'})}, [], 'CPU m'),
            ('EPYC', '', {'host_cpu': 'superset'}, [], 'provides'),
        )
    ),
    (
        hypervisor.Cpu,
        hosts.pair(
            there={
                'libvirt': hosts.connection('b', host_cpu='incompatible'),
                'shell': hosts.UNSET,
            }
        ),
        ['warning'],
        "guest's CPU EPYC, but Nova",
        {},
        'on the destination.',
    ),
    (
        hypervisor.DomainConflict,
        hosts.pair(),
        [],
        'are free',
    ),
    (
        hypervisor.DomainConflict,
        hosts.pair(
            there={
                'libvirt': hosts.connection(
                    'b',
                    conflicts=(
                        facts.Conflict('instance-1', 'x', True),
                        facts.Conflict('i', 'y', False),
                    ),
                )
            }
        ),
        ['failed', 'failed'],
        'instance-1 (x) is running there',
        {'uuid': 'x', 'active': True},
    ),
    *(
        (
            hypervisor.HostMemory,
            hosts.pair(
                there={'libvirt': hosts.connection('b', free_kib=free)}
            ),
            results,
            words,
            {'free_kib': free, 'needed_kib': 262144},
        )
        for free, results, words in (
            (262144, [], '256 MiB are free for 256 MiB.'),
            (262143, ['failed'], 'Only 256 MiB are free there'),
            (20 * 1024**2, [], '20.0 GiB are free for 256 MiB.'),
        )
    ),
    (
        hypervisor.HostMemory,
        hosts.pair(there={'libvirt': hosts.connection('b', free_kib=None)}),
        ['unknown'],
        'does not say',
        {},
        'Look with "free" there.',
    ),
    (
        hypervisor.QemuVersion,
        hosts.pair(
            there={'libvirt': hosts.connection('b', qemu_version=6002000)}
        ),
        ['failed'],
        '6.2.0',
        {'source': 7002022, 'destination': 6002000},
    ),
    (
        hypervisor.QemuVersion,
        hosts.pair(there={'libvirt': hosts.GAP}),
        ['unknown'],
        '',
    ),
    (
        hypervisor.MachineType,
        hosts.pair(there={'libvirt': hosts.connection('b', machine_ok=False)}),
        ['failed'],
        'pc-7.2',
        {'machine': 'pc-7.2'},
    ),
    (
        hypervisor.Cpu,
        hosts.pair(
            there={
                'libvirt': hosts.connection(
                    'b', cpu='incompatible', cpu_text='lacks vme'
                )
            }
        ),
        ['failed'],
        'vme',
        {'cpu': 'EPYC'},
    ),
    (
        hypervisor.Cpu,
        hosts.pair(
            there={
                'libvirt': hosts.connection(
                    'b', cpu_models=frozenset({'qemu64'})
                )
            }
        ),
        ['failed'],
        'does not know this model',
        {'cpu': 'EPYC'},
    ),
    (
        hypervisor.Cpu,
        hosts.pair(
            there={'libvirt': hosts.connection('b', host_cpu='incompatible')}
        ),
        ['warning'],
        'skip_cpu_compare',
        {},
        'on the destination.',
    ),
    (
        hypervisor.Cpu,
        hosts.pair(
            there={
                'libvirt': hosts.connection('b', host_cpu='incompatible'),
                'shell': hosts.shell(
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
        hosts.pair(there={'libvirt': hosts.connection('b', cpu=hosts.GAP)}),
        ['unknown'],
        '',
    ),
    (
        hypervisor.DomainConflict,
        hosts.pair(
            there={
                'libvirt': hosts.connection(
                    'b', conflicts=(facts.Conflict('instance-1', 'x', False),)
                )
            }
        ),
        ['failed'],
        'undefine',
        {'uuid': 'x', 'active': False},
    ),
    (
        hypervisor.HostMemory,
        hosts.pair(there={'libvirt': hosts.connection('b', free_kib=1000)}),
        ['failed'],
        '256 MiB',
        {'free_kib': 1000, 'needed_kib': 262144},
    ),
    (
        hypervisor.HostMemory,
        hosts.domain(hugepages=True),
        ['warning'],
        'huge',
        {'free_kib': 8388608, 'needed_kib': 262144},
        'Compare "virsh freepages --all" there.',
    ),
    (
        options.MigrationPorts,
        hosts.pair(
            there={
                'way': hosts.way(
                    data=(
                        hosts.attempt(
                            hosts.REACH.UNRESOLVED, target='b:49152'
                        ),
                    )
                )
            }
        ),
        ['unknown'],
        'See libvirt-identity',
        {},
        'See libvirt-identity.',
    ),
    (
        options.MigrationPorts,
        hosts.pair(
            there={
                'way': hosts.way(
                    data=(
                        hosts.attempt(hosts.REACH.TIMEOUT, target='b:49152'),
                    )
                )
            }
        ),
        ['failed'],
        'dropped',
        {'target': 'b:49152', 'reach': 'timeout', 'seconds': 1.235},
    ),
    (
        options.MigrationPorts,
        hosts.pair(
            there={
                'way': hosts.way(
                    data=(
                        hosts.attempt(hosts.REACH.REFUSED, target='b:49152'),
                    )
                )
            }
        ),
        ['failed'],
        'rejected',
        {'target': 'b:49152', 'reach': 'refused', 'seconds': 1.235},
    ),
    (
        options.MigrationPorts,
        hosts.pair(
            there={
                'way': hosts.way(
                    listening=False,
                    data=(
                        hosts.attempt(hosts.REACH.REFUSED, target='b:49152'),
                    ),
                )
            }
        ),
        ['unknown'],
        'a refusal says nothing',
        {},
        'Use --ssh for the destination, too.',
    ),
    *(
        (
            options.MigrationPorts,
            hosts.pair(
                there={
                    'way': hosts.way(
                        data=tuple(
                            hosts.attempt(reach, target=f'b:4915{number}')
                            for number, reach in enumerate(reaches, 2)
                        ),
                    )
                }
            ),
            results,
            words,
            {'target': target, 'reach': reach, 'seconds': 1.235}
            if target
            else {},
        )
        for reaches, results, words, target, reach in (
            (
                (hosts.REACH.OPEN, hosts.REACH.ERROR),
                ['failed'],
                'b:49153 from a: text.',
                'b:49153',
                'error',
            ),
            (
                (hosts.REACH.TIMEOUT, hosts.REACH.REFUSED),
                ['failed', 'failed'],
                'b:49153 is rejected on the way from a.',
                'b:49152',
                'timeout',
            ),
            (
                (hosts.REACH.OPEN, hosts.REACH.OPEN),
                [],
                'reaches b:49152, b:49153.',
                '',
                '',
            ),
        )
    ),
    (
        options.MigrationPorts,
        hosts.pair(
            there={
                'way': hosts.way(
                    data=(
                        hosts.attempt(hosts.REACH.OPEN),
                        hosts.attempt(
                            hosts.REACH.UNRESOLVED, target='b:49153'
                        ),
                    )
                )
            }
        ),
        ['unknown'],
        'a does not know the name of b:49153.',
        {},
        'See libvirt-identity.',
    ),
    (
        options.MigrationPorts,
        hosts.pair(there={'way': hosts.GAP}),
        ['unknown'],
        'does not answer',
    ),
    (
        options.MigrationPorts,
        hosts.pair(there={'way': hosts.way(listening=False)}),
        ['unknown'],
        'a refusal says nothing',
        {},
        'Use --ssh for the destination, too.',
    ),
    (
        options.MigrationPorts,
        hosts.pair(
            there={
                'way': hosts.way(
                    listening=False,
                    data=(hosts.attempt(hosts.REACH.TIMEOUT, target='b:1'),),
                )
            }
        ),
        ['failed'],
        'b:1 is dropped on the way from a.',
        {'target': 'b:1', 'reach': 'timeout', 'seconds': 1.235},
    ),
    *(
        (
            options.MigrationOptions,
            hosts.source_conf(**values),
            [],
            f'Nova will use {", ".join(flags)}.',
            {'flags': list(flags)},
        )
        for values, flags in (
            ({}, (*LIVE, 'NON_SHARED_INC')),
            (
                {
                    'live_migration_with_native_tls': True,
                    'live_migration_scheme': 'tls',
                },
                (*LIVE, 'NON_SHARED_INC', 'TLS'),
            ),
            (
                {'live_migration_permit_post_copy': True},
                (*LIVE, 'NON_SHARED_INC', 'POSTCOPY'),
            ),
            (
                {'live_migration_parallel_connections': 2},
                (*LIVE, 'NON_SHARED_INC', 'PARALLEL'),
            ),
        )
    ),
    (
        options.MigrationOptions,
        hosts.pair(there={'shell': hosts.shell(files=hosts.HERE)}),
        [],
        'PERSIST_DEST.',
        {'flags': list(LIVE)},
    ),
    (
        options.MigrationOptions,
        hosts.pair(source={'libvirt': hosts.GAP}),
        [],
        'PERSIST_DEST.',
        {'flags': list(LIVE)},
    ),
    (
        options.MigrationOptions,
        hosts.pair(source={'shell': hosts.GAP}),
        ['unknown'],
        'does not answer',
    ),
    *(
        (
            options.MigrationOptions,
            hosts.shared_conf(volumes, **values),
            results,
            words,
            evidence,
            remedy,
        )
        for values, volumes, results, words, evidence, remedy in (
            (
                {'live_migration_tunnelled': True},
                (),
                ['warning'],
                'deprecated.',
                {'option': 'live_migration_tunnelled'},
                'live_migration_tunnelled=false on the source.',
            ),
            (
                {'live_migration_tunnelled': True},
                ('v',),
                ['warning'],
                'deprecated, and refused with volumes.',
                {'option': 'live_migration_tunnelled'},
                'live_migration_tunnelled=false on the source.',
            ),
            (
                {
                    'live_migration_tunnelled': True,
                    'live_migration_with_native_tls': True,
                    'live_migration_scheme': 'tls',
                },
                (),
                ['warning', 'failed'],
                'exclude each other',
                {'option': 'live_migration_tunnelled'},
                'live_migration_tunnelled=false on the source.',
            ),
            (
                {
                    'live_migration_with_native_tls': True,
                    'live_migration_scheme': 'tls',
                    'live_migration_permit_post_copy': True,
                },
                (),
                [],
                'TLS, POSTCOPY.',
                {'flags': [*LIVE, 'TLS', 'POSTCOPY']},
                '',
            ),
        )
    ),
    *(
        (
            options.MigrationOptions,
            hosts.pair(
                source={
                    'libvirt': hosts.connection(
                        'a', domain=hosts.DOMAIN, qemu_version=version
                    ),
                    'shell': hosts.shell(
                        options=hosts.conf(
                            live_migration_permit_post_copy=True,
                            live_migration_parallel_connections=2,
                        ),
                        files=hosts.HERE,
                    ),
                }
            ),
            results,
            words,
            evidence,
            remedy,
        )
        for version, results, words, evidence, remedy in (
            (
                10000999,
                ['failed'],
                'need QEMU 10.1',
                {},
                'parallel_connections=1.',
            ),
            (
                10001000,
                [],
                'PARALLEL.',
                {
                    'flags': [
                        *(*LIVE, 'NON_SHARED_INC', 'POSTCOPY', 'PARALLEL')
                    ]
                },
                '',
            ),
        )
    ),
    (
        options.MigrationOptions,
        hosts.pair(
            source={
                'libvirt': hosts.GAP,
                'shell': hosts.shell(
                    options=hosts.conf(
                        live_migration_permit_post_copy=True,
                        live_migration_parallel_connections=2,
                    )
                ),
            }
        ),
        [],
        'PARALLEL.',
        {'flags': [*LIVE, 'POSTCOPY', 'PARALLEL']},
    ),
    *(
        (
            options.MigrationOptions,
            hosts.pair(
                there={
                    'shell': hosts.shell(
                        options={'libvirt': {option: 'x'}},
                    )
                }
            ),
            [result],
            f'{option} is {quote}{mine}{quote} at the source and '
            f'{quote}x{quote} there',
            {'option': option},
            remedy,
        )
        for option, result, mine, quote, remedy in (
            ('images_type', 'failed', 'default', '', ''),
            ('virt_type', 'failed', 'kvm', '', ''),
            ('cpu_models', 'warning', '', '"', 'see the check cpu'),
        )
    ),
    (
        options.MigrationOptions,
        hosts.pair(
            source={
                'shell': hosts.shell(
                    options=hosts.conf(live_migration_inbound_addr='x'),
                    files=hosts.HERE,
                )
            },
            there={
                'shell': hosts.shell(
                    options=hosts.conf(live_migration_inbound_addr='y')
                )
            },
        ),
        [],
        'Nova will use',
        {'flags': [*LIVE, 'NON_SHARED_INC']},
    ),
    *(
        (
            options.MigrationOptions,
            hosts.source_conf(
                live_migration_bandwidth=rate,
                live_migration_completion_timeout=timeout,
            ),
            results,
            words,
            {} if results else {'flags': [*LIVE, 'NON_SHARED_INC']},
            'live_migration_bandwidth on the source.' if results else '',
        )
        for rate, timeout, results, words in (
            # 256 MiB of memory and a disk of 1 GiB, which count for 4 GiB.
            (1, 320, [], 'Nova will use'),
            (
                1,
                319,
                ['failed'],
                'At 1 MiB/s one pass takes 1280 s, but Nova acts (abort) '
                'after 1276 s.',
            ),
            (2, 159, ['failed'], 'takes 640 s'),
            (2, 160, [], 'Nova will use'),
            (1, 0, [], 'Nova will use'),
            (0, 1, [], 'Nova will use'),
        )
    ),
    (
        options.MigrationOptions,
        hosts.shared_conf(
            (),
            live_migration_bandwidth=1,
            live_migration_completion_timeout=127,
        ),
        ['failed'],
        'one pass takes 256 s, but Nova acts (abort) after 254 s',
        {},
        'live_migration_bandwidth on the source.',
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(live_migration_tunnelled=True),
        ['failed'],
        'live_migration_tunnelled=false',
        {'option': 'live_migration_tunnelled'},
        'on the source and restart nova-compute.',
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(live_migration_with_native_tls=True),
        ['warning'],
        'live_migration_scheme=tls',
        {},
        'Set live_migration_scheme=tls.',
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(
            live_migration_with_native_tls=True,
            live_migration_scheme='tls',
            live_migration_permit_post_copy=True,
        ),
        ['failed'],
        'Post-copy',
        {},
        'Set live_migration_permit_post_copy=false.',
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(
            live_migration_permit_post_copy=True,
            live_migration_parallel_connections=4,
        ),
        ['failed'],
        '10.1',
        {},
        'Set live_migration_parallel_connections=1.',
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(
            live_migration_bandwidth=1, live_migration_completion_timeout=1
        ),
        ['failed'],
        'completion_timeout',
        {},
        'live_migration_bandwidth on the source.',
    ),
    (
        options.MigrationOptions,
        hosts.pair(
            there={
                'shell': hosts.shell(
                    options={'DEFAULT': {'instances_path': '/other'}}
                )
            }
        ),
        ['failed'],
        '/other',
        {'option': 'instances_path'},
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(cpu_mode='custom'),
        ['warning'],
        'cpu_mode',
        {'option': 'cpu_mode'},
        'CPU; see the check cpu for this one.',
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(live_migration_inbound_addr='192.0.2.1'),
        ['warning'],
        'inbound',
        {},
        'too, or migrations take another network.',
    ),
    (
        options.MigrationOptions,
        hosts.pair(
            source={'shell': hosts.shell(config_files=(), files=hosts.HERE)}
        ),
        ['unknown'],
        'config_files',
        {},
        'osc_lab: config_files in clouds.yaml.',
    ),
)

ALL = (
    hypervisor.LibvirtVersion,
    hypervisor.QemuVersion,
    hypervisor.MachineType,
    hypervisor.Cpu,
    hypervisor.DomainConflict,
    hypervisor.HostMemory,
    options.MigrationPorts,
    options.MigrationOptions,
)


class TestChecks(check_cases.HostCasesTest):
    CASES = CASES
    ALL = ALL
