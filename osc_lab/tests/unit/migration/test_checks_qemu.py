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


"""The checks of QEMU's build and process, case by case."""

from osc_lab.migration.checks import qemu
from osc_lab.migration import facts
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import host_samples as hosts

#: (check, facts, results that are not ok, words in message or remedy)
CASES = (
    (
        qemu.QemuMigrate,
        hosts.pair(
            source={'libvirt': hosts.GAP},
            there={
                'shell': hosts.shell(
                    qemu=facts.Build(frozenset(), frozenset({'migrate'}))
                )
            },
        ),
        ['unknown'],
        'libvirt does not answer',
    ),
    (
        qemu.QemuMigrate,
        hosts.pair(source={'libvirt': hosts.GAP}),
        [],
        'can do what it needs',
    ),
    (
        qemu.QemuMigrate,
        hosts.pair(
            there={
                'shell': hosts.shell(
                    qemu=facts.Build(frozenset(), frozenset({'migrate'}))
                )
            }
        ),
        ['failed', 'failed'],
        'blockdev-mirror',
        {'lacks': 'blockdev-mirror'},
    ),
    (
        qemu.QemuMigrate,
        hosts.pair(
            source={
                'shell': hosts.shell(
                    options=hosts.conf(live_migration_permit_post_copy=True),
                    files=hosts.HERE,
                )
            },
            there={
                'shell': hosts.shell(
                    qemu=facts.Build(frozenset(), hosts.BUILD.commands)
                )
            },
        ),
        ['failed'],
        'postcopy-ram',
        {'lacks': 'postcopy-ram'},
    ),
    *(
        (
            qemu.QemuMigrate,
            hosts.pair(
                source={
                    'shell': hosts.shell(
                        options=hosts.conf(**options),
                        files=hosts.HERE,
                        qemu=facts.Build(
                            frozenset(), hosts.BUILD.commands - {command}
                        ),
                    )
                },
            ),
            ['failed'],
            lacks,
            {'lacks': lacks},
        )
        for lacks, command, options in (
            ('migrate', 'migrate', {}),
            ('nbd-server-start', 'nbd-server-start', {}),
            (
                'auto-converge',
                '',
                {'live_migration_permit_auto_converge': True},
            ),
            ('multifd', '', {'live_migration_parallel_connections': 2}),
            ('postcopy-ram', '', {'live_migration_permit_post_copy': True}),
        )
    ),
    (
        qemu.QemuMigrate,
        hosts.pair(
            there={
                'shell': hosts.shell(
                    files=hosts.HERE,
                    qemu=facts.Build(frozenset(), frozenset({'migrate'})),
                )
            }
        ),
        [],
        'can do what it needs',
    ),
    (
        qemu.QemuMigrate,
        hosts.pair(source={'shell': hosts.UNSET}),
        ['skipped'],
        'No shell channel',
        {},
        'Use --ssh.',
    ),
    (
        qemu.QemuMigrate,
        hosts.pair(there={'shell': hosts.shell(qemu=None)}),
        ['unknown'],
        'QEMU there was not asked',
    ),
    (
        qemu.QemuMigrate,
        hosts.pair(
            source={'libvirt': hosts.GAP},
            there={'shell': hosts.shell(qemu=None)},
        ),
        ['unknown'],
        'libvirt does not answer',
    ),
    (
        qemu.QemuMigrate,
        hosts.pair(there={'shell': hosts.shell(qemu=hosts.GAP)}),
        ['unknown'],
        '',
    ),
    (
        qemu.QemuProcesses,
        hosts.pair(
            source={'shell': hosts.shell(config_files=(), files=hosts.HERE)}
        ),
        ['unknown'],
        'No nova.conf was found on a.',
        {},
        'config_files in clouds.yaml.',
    ),
    (
        qemu.QemuProcesses,
        hosts.pair(
            source={
                'shell': hosts.shell(
                    options=hosts.conf(live_migration_with_native_tls=True),
                    certificates=(
                        hosts.certificate(stack='qemu', changed=hosts.NOW),
                    ),
                )
            }
        ),
        ['failed'],
        'runs since before',
        {'started': 1799999000.0},
    ),
    (
        qemu.QemuProcesses,
        hosts.pair(
            source={
                'shell': hosts.shell(
                    options=hosts.conf(live_migration_with_native_tls=True),
                    qemu_started=None,
                )
            }
        ),
        ['unknown'],
        '',
        {},
        'Look for it with "ps" there.',
    ),
)

#: A certificate that has nothing to do with QEMU.
LIBVIRT = ('libvirt', 'ca')

CASES += tuple(
    (
        qemu.QemuProcesses,
        hosts.pair(
            source={
                'shell': hosts.shell(
                    options=hosts.conf(live_migration_with_native_tls=True),
                    certificates=certificates,
                    unseen={unseen: hosts.HIDDEN},
                )
            }
        ),
        results,
        words,
        {'started': hosts.NOW - 1000} if results == ['failed'] else {},
        hosts.HIDDEN.remedy if 'see' in words else '',
    )
    for unseen, certificates, results, words in (
        (LIBVIRT, hosts.GAP, ['unknown'], 'does not answer'),
        (('qemu', 'client'), (), ['unknown'], 'Nobody can see it.'),
        (
            ('qemu', 'ca'),
            (hosts.certificate(stack='qemu', changed=hosts.NOW, path='/x'),),
            ['failed'],
            'before /x came',
        ),
        (LIBVIRT, (hosts.certificate(changed=hosts.NOW),), [], 'after its'),
        (
            LIBVIRT,
            (hosts.certificate(stack='qemu', changed=hosts.NOW - 1000),),
            [],
            'after its certificates came',
        ),
        (
            LIBVIRT,
            (
                hosts.certificate(stack='qemu', changed=hosts.NOW, path='/x'),
                hosts.certificate(stack='qemu', changed=hosts.NOW, path='/y'),
                hosts.certificate(stack='qemu'),
            ),
            ['failed'],
            'before /x, /y came',
        ),
    )
)

ALL = (
    qemu.QemuMigrate,
    qemu.QemuProcesses,
)


class TestChecks(check_cases.HostCasesTest):
    CASES = CASES
    ALL = ALL
