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

import dataclasses

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
)


def native(certificates, seen, unseen=()):
    """Return facts with native TLS, and what QEMU sees of certificates."""
    return hosts.pair(
        source={
            'shell': hosts.shell(
                options=hosts.conf(live_migration_with_native_tls=True),
                certificates=certificates,
                guest_certificates=seen,
                unseen={known: hosts.HIDDEN for known in unseen},
            )
        }
    )


CA, CLIENT, SERVER = (
    hosts.certificate(stack='qemu', role=role, path=f'/{role}')
    for role in ('ca', 'client', 'server')
)
OLD = dataclasses.replace(CA, key_id='old')
HERE = (SERVER, CA, CLIENT)
OTHER = 'If that one has expired or is not trusted any more, stop the server'

CASES += tuple(
    (qemu.QemuProcesses, native(*known), results, words, evidence, remedy)
    for known, results, words, evidence, remedy in (
        (
            *((HERE, (CLIENT,)), ['failed'], 'does not see /ca.'),
            *({'path': '/ca'}, ''),
        ),
        (
            *((HERE, (CA,)), ['failed'], 'does not see /client.'),
            *({'path': '/client'}, ''),
        ),
        ((HERE, ()), ['failed', 'failed'], '/client.', {'path': '/ca'}, ''),
        # The server's is for those that come.
        ((HERE, (CA, CLIENT)), [], 'sees the certificates of its', {}, ''),
        # What nobody has is for libvirt-tls to tell.
        (((), ()), [], 'sees the certificates of its host', {}, ''),
        (((hosts.CA,), ()), [], 'sees the certificates of its host', {}, ''),
        (
            *((HERE, (OLD, CLIENT)), ['warning'], 'sees another /ca and'),
            *({'path': '/ca'}, OTHER),
        ),
        (
            *((HERE, (OLD,)), ['warning', 'failed'], 'does not see /client'),
            *({'path': '/ca'}, OTHER),
        ),
        (
            *((HERE, None), ['unknown'], 'not found on the source.'),
            *({}, 'Look for it with "ps" there.'),
        ),
        ((hosts.GAP, ()), ['unknown'], 'does not answer', {}, ''),
        ((HERE, hosts.GAP), ['unknown'], 'does not answer', {}, ''),
        (
            *(((), (), [('qemu', 'client')]), ['unknown'], 'Nobody can see'),
            *({}, hosts.HIDDEN.remedy),
        ),
        (
            *((HERE, (CLIENT,), [('qemu', 'ca')]), ['failed'], 'see /ca.'),
            *({'path': '/ca'}, ''),
        ),
        (
            *((HERE, HERE, [('qemu', 'server'), ('libvirt', 'ca')]), []),
            *('sees the certificates of its host', {}, ''),
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
