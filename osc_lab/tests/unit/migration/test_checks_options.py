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

"""The checks of the way between the hosts and of Nova's options."""

import dataclasses

from osc_lab.migration.checks import options
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import host_samples as hosts
from osc_lab.tests.unit.migration import samples

#: The flags of every live migration.
LIVE = ('LIVE', 'PEER2PEER', 'UNDEFINE_SOURCE', 'PERSIST_DEST')

#: A disk whose file nobody looked at.
UNKNOWN = {'length': None, 'allocation': None}


def timed(rate, timeout, **disk):
    """Return facts with a bandwidth, a timeout and a changed disk."""
    shell = hosts.source_conf(
        live_migration_bandwidth=rate,
        live_migration_completion_timeout=timeout,
    ).source.shell
    libvirt = hosts.disk(**disk).source.libvirt
    return hosts.pair(source={'libvirt': libvirt, 'shell': shell})


def post_copy(there=None, flavor=None, state='active', values=(), **domain):
    """Return facts with post-copy and a changed guest, disks shared."""
    found = hosts.pair(
        source={
            'libvirt': hosts.domain(**domain).source.libvirt,
            'shell': hosts.shell(
                options=hosts.conf(
                    live_migration_permit_post_copy=True, **dict(values)
                ),
                files=hosts.HERE,
            ),
        },
        there={'shell': hosts.shell(files=hosts.HERE, **(there or {}))},
    )
    server = samples.flavor(**(flavor or {})).server
    return dataclasses.replace(
        found, server=dataclasses.replace(server, vm_state=state)
    )


ALIAS = {'pci_passthrough__alias': 'gpu:1'}
TUNNEL = {'live_migration_tunnelled': True}
TUNNELLED = {'option': 'live_migration_tunnelled'}
NONE = {'userfaultfd': False}
FILES = {'options': hosts.conf(file_backed_memory=1024)}
WITH = {'flags': [*LIVE, 'POSTCOPY']}
PERMIT = 'permit_post_copy=false on the source.'

#: Of a guest that may go on in post-copy.
POST_COPY = tuple(
    (options.MigrationOptions, *row)
    for row in (
        (post_copy(), [], 'POSTCOPY.', WITH),
        (
            *(post_copy(values=TUNNEL), ['warning', 'failed']),
            'refuses post-copy through its tunnel. Set '
            'live_migration_tunnelled=false on the source.',
            *(TUNNELLED, 'live_migration_tunnelled=false on the source.'),
        ),
        (
            *(post_copy(hostdevs=('mdev', 'usb', 'mdev')), ['failed']),
            *('of the host (mdev) rules out post-copy', {}, PERMIT),
        ),
        (
            *(post_copy(hostdevs=('pci',), flavor=ALIAS), ['failed']),
            *('of the host (pci) rules out post-copy', {}, PERMIT),
        ),
        # That of a port is unplugged.
        (post_copy(hostdevs=('pci',)), [], 'POSTCOPY.', WITH),
        # Nova does not ask for it then.
        (
            *(post_copy(hostdevs=('mdev',), state='paused'), []),
            *('POSTCOPY.', WITH),
        ),
        (
            *(post_copy(there=FILES), ['warning']),
            *('file_backed_memory is set there', {}, PERMIT),
        ),
        (
            *(post_copy(there=NONE), ['warning']),
            *('vm.unprivileged_userfaultfd is 0', {}, 'with sysctl.'),
        ),
        (
            hosts.pair(
                source={
                    'libvirt': hosts.GAP,
                    'shell': post_copy().source.shell,
                }
            ),
            ['unknown'],
            'libvirt does not answer',
        ),
    )
)

#: (check, facts, results that are not ok, words in message or remedy)
CASES = (
    *POST_COPY,
    (
        options.MigrationOptions,
        hosts.pair(there={'shell': hosts.shell(**NONE, **FILES)}),
        [],
        'Nova will use',
        {'flags': [*LIVE, 'NON_SHARED_INC']},
    ),
    *(
        (
            options.MigrationPorts,
            hosts.pair(
                there={
                    'way': hosts.way(
                        listening=listening,
                        data=hosts.attempt(reach, target='b:49215'),
                    )
                }
            ),
            [result] if result else [],
            words,
            {'target': 'b:49215', 'reach': reach.value, 'seconds': 1.235}
            if result == 'failed'
            else {},
            *remedy,
        )
        for listening, reach, result, words, *remedy in (
            (True, hosts.REACH.OPEN, '', 'The source reaches b:49215.'),
            # Another preflight listens there.
            (False, hosts.REACH.OPEN, '', 'The source reaches b:49215.'),
            (
                False,
                hosts.REACH.REFUSED,
                'unknown',
                'a refusal says nothing',
                'Use --ssh for the destination, too.',
            ),
            (
                True,
                hosts.REACH.UNRESOLVED,
                'unknown',
                'a does not know the name of b:49215.',
                'See libvirt-identity.',
            ),
            (True, hosts.REACH.REFUSED, 'failed', 'b:49215 is rejected on'),
            (True, hosts.REACH.TIMEOUT, 'failed', 'b:49215 is dropped on'),
            (False, hosts.REACH.TIMEOUT, 'failed', 'b:49215 is dropped on'),
            (True, hosts.REACH.ERROR, 'failed', 'b:49215 from a: text.'),
            (False, hosts.REACH.ERROR, 'failed', 'b:49215 from a: text.'),
        )
    ),
    (
        options.MigrationPorts,
        hosts.pair(there={'way': hosts.GAP}),
        ['unknown'],
        'does not answer',
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
            hosts.shared_conf(**values),
            results,
            words,
            evidence,
            remedy,
        )
        for values, results, words, evidence, remedy in (
            (
                {'live_migration_tunnelled': True},
                ['warning'],
                'deprecated.',
                {'option': 'live_migration_tunnelled'},
                'live_migration_tunnelled=false on the source.',
            ),
            (
                {
                    'live_migration_tunnelled': True,
                    'live_migration_with_native_tls': True,
                    'live_migration_scheme': 'tls',
                },
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
        ['unknown'],
        'libvirt does not answer',
    ),
    *(
        (
            options.MigrationOptions,
            hosts.pair(
                source={
                    'libvirt': hosts.GAP,
                    'shell': hosts.shell(options=hosts.conf(**values)),
                }
            ),
            results,
            words,
            evidence,
        )
        for values, results, words, evidence in (
            (
                {'live_migration_tunnelled': True},
                ['unknown'],
                'libvirt does not answer',
                {},
            ),
            (
                {'live_migration_bandwidth': 1},
                ['unknown'],
                'libvirt does not answer',
                {},
            ),
            (
                {
                    'live_migration_bandwidth': 1,
                    'live_migration_permit_post_copy': True,
                },
                ['unknown'],
                'libvirt does not answer',
                {},
            ),
            (
                {
                    'live_migration_bandwidth': 1,
                    'live_migration_completion_timeout': 0,
                },
                [],
                'UNDEFINE_SOURCE, PERSIST_DEST.',
                {'flags': [*LIVE]},
            ),
        )
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
            ('cpu_model_extra_flags', 'warning', '', '"', 'the check cpu'),
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
            timed(rate, timeout, **disk),
            results,
            words,
            {} if results else {'flags': [*LIVE, 'NON_SHARED_INC']},
            'live_migration_bandwidth on the source.' if results else '',
        )
        for rate, timeout, disk, results, words in (
            # 256 MiB of memory and 512 of a disk, which count for 4 GiB.
            (1, 192, {}, [], 'Nova will use'),
            (
                *(1, 191, {}),
                ['failed'],
                'At 1 MiB/s one pass takes 768 s, but Nova acts (abort) '
                'after 764 s.',
            ),
            (2, 95, {}, ['failed'], 'takes 384 s'),
            (2, 96, {}, [], 'Nova will use'),
            (1, 0, {}, [], 'Nova will use'),
            (0, 1, {}, [], 'Nova will use'),
            # A file of 6 GiB counts for as many, however little is used.
            (1, 96, {'length': 6 * hosts.GIB}, [], 'Nova will use'),
            (1, 95, {'length': 6 * hosts.GIB}, ['failed'], 'after 760 s'),
            # Of a disk that nobody saw the file of, nothing is used.
            (1, 64, UNKNOWN, [], 'Nova will use'),
            (1, 63, UNKNOWN, ['failed'], 'takes 256 s'),
        )
    ),
    (
        options.MigrationOptions,
        hosts.shared_conf(
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
    (
        options.MigrationOptions,
        hosts.pair(there={'shell': hosts.shell(config_files=())}),
        ['unknown'],
        'No nova.conf was found on b.',
        {},
        'osc_lab: config_files in clouds.yaml.',
    ),
    *(
        (
            options.MigrationOptions,
            hosts.pair(
                **{
                    end: {
                        'shell': hosts.shell(
                            unread=('/etc/nova/nova.conf', '/x'),
                            files=files,
                        )
                    }
                }
            ),
            ['unknown'],
            f'/etc/nova/nova.conf, /x on {name} cannot be read.',
            {},
            'Use a user who may, with --ssh.',
        )
        for end, name, files in (
            ('source', 'a', hosts.HERE),
            ('there', 'b', {'/i/disk': ''}),
        )
    ),
)

ALL = (options.MigrationPorts, options.MigrationOptions)


class TestChecks(check_cases.HostCasesTest):
    CASES = CASES
    ALL = ALL
