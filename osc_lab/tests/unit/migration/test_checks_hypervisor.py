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
    ),
    (
        hypervisor.QemuVersion,
        hosts.pair(
            there={'libvirt': hosts.connection('b', qemu_version=6002000)}
        ),
        ['failed'],
        '6.2.0',
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
    ),
    (
        hypervisor.Cpu,
        hosts.pair(
            there={'libvirt': hosts.connection('b', host_cpu='incompatible')}
        ),
        ['warning'],
        'skip_cpu_compare',
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
    ),
    (
        hypervisor.HostMemory,
        hosts.pair(there={'libvirt': hosts.connection('b', free_kib=1000)}),
        ['failed'],
        '256 MiB',
    ),
    (hypervisor.HostMemory, hosts.domain(hugepages=True), ['warning'], 'huge'),
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
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(live_migration_tunnelled=True),
        ['failed'],
        'live_migration_tunnelled=false',
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(live_migration_with_native_tls=True),
        ['warning'],
        'live_migration_scheme=tls',
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
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(
            live_migration_permit_post_copy=True,
            live_migration_parallel_connections=4,
        ),
        ['failed'],
        '10.1',
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(
            live_migration_bandwidth=1, live_migration_completion_timeout=1
        ),
        ['failed'],
        'completion_timeout',
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
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(cpu_mode='custom'),
        ['warning'],
        'cpu_mode',
    ),
    (
        options.MigrationOptions,
        hosts.source_conf(live_migration_inbound_addr='192.0.2.1'),
        ['warning'],
        'inbound',
    ),
    (
        options.MigrationOptions,
        hosts.pair(
            source={'shell': hosts.shell(config_files=(), files=hosts.HERE)}
        ),
        ['unknown'],
        'config_files',
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
