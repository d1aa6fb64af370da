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
