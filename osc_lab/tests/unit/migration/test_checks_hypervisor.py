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

"""The checks of the hypervisors."""

import dataclasses

from osc_lab.migration.checks import hypervisor
from osc_lab.migration import facts
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import host_samples as hosts
from osc_lab.tests.unit.migration import samples


def told(**changes):
    """Return facts with another hypervisor at the destination."""
    known = samples.host('b').hypervisor
    return samples.destination(
        hypervisor=dataclasses.replace(known, **changes)
    )


#: (check, facts, results that are not ok, words in message or remedy)
CASES = (
    (
        hypervisor.LibvirtVersion,
        hosts.pair(there={'libvirt': hosts.connection('b', version=8000000)}),
        ['warning'],
        'libvirt there is 8.0.0, older than 9.0.0 at the source',
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
    *(
        (
            hypervisor.Cpu,
            hosts.pair(
                source=source,
                there={
                    'libvirt': hosts.connection('b', host_cpu='incompatible'),
                    **there,
                },
            ),
            ['warning'],
            "guest's CPU EPYC, but unless it was started with cpu_mode=custom",
            {},
            'on the destination.',
        )
        for source, there in (
            ({}, {'shell': hosts.UNSET}),
            ({'shell': hosts.UNSET}, {}),
        )
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
        hosts.domain(memory_kib=10 * 1024**2),
        ['failed'],
        'Only 8192 MiB are free there, the guest needs 10.0 GiB.',
        {'free_kib': 8 * 1024**2, 'needed_kib': 10 * 1024**2},
    ),
    (
        hypervisor.MachineType,
        hosts.pair(source={'libvirt': hosts.connection('a')}),
        ['unknown'],
        'was not looked at',
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
        hosts.cpu('', '', host_cpu='incompatible'),
        ['failed'],
        'for it and refuses.',
        {},
        'skip_cpu_compare_on_dest=true on the destination.',
    ),
    (
        hypervisor.Cpu,
        hosts.pair(
            source={
                'shell': hosts.shell(
                    options=hosts.conf(cpu_mode='custom'), files=hosts.HERE
                )
            },
            there={'libvirt': hosts.connection('b', host_cpu='incompatible')},
        ),
        [],
        "provides the guest's CPU EPYC",
    ),
    (
        hypervisor.Cpu,
        hosts.cpu(
            '',
            'host-passthrough',
            cpu='incompatible',
            host_cpu='incompatible',
        ),
        ['failed'],
        "It cannot provide the guest's CPU host-passthrough: incompatible.",
        {'cpu': ''},
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
        'instance-1 (x) is defined there already',
        {'uuid': 'x', 'active': False},
    ),
    (
        hypervisor.DomainConflict,
        hosts.pair(
            there={'libvirt': hosts.connection('b', conflicts=hosts.GAP)}
        ),
        ['unknown'],
        '',
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
)

ALL = (
    hypervisor.LibvirtVersion,
    hypervisor.MachineType,
    hypervisor.Cpu,
    hypervisor.DomainConflict,
    hypervisor.HostMemory,
)


class TestChecks(check_cases.HostCasesTest):
    CASES = CASES
    ALL = ALL

    def test_the_last_stop_is_not_doubled(self):
        for text in ('lacks vme.', 'lacks vme', '.lacks X'):
            facts = hosts.cpu('', 'm', cpu='incompatible', cpu_text=text)
            (item,) = self.judge(hypervisor.Cpu(), facts)
            self.assertEqual(
                text.rstrip('.') + '.', item.message.partition('m: ')[2]
            )


class TestToldByNova(check_cases.CasesTest):
    """What no channel to a host is needed for."""

    CASES = tuple(
        (hypervisor.QemuVersion, facts, results, words, evidence, remedy)
        for facts, results, words, evidence, remedy in (
            (
                *(samples.clean(), [], 'QEMU 7.2.22 to 7.2.22.'),
                *({'source': 7002022, 'destination': 7002022}, ''),
            ),
            (
                *(told(version=8000000), [], 'QEMU 7.2.22 to 8.0.0.'),
                *({'source': 7002022, 'destination': 8000000}, ''),
            ),
            (
                *(told(version=7002021), ['failed']),
                'QEMU there is 7.2.21, older than 7.2.22 at the source.',
                *({'source': 7002022, 'destination': 7002021}, ''),
            ),
            (
                *(told(type='LXC', version=9000000), ['failed']),
                'The hypervisor there is LXC, at the source QEMU.',
                *({'source': 'QEMU', 'destination': 'LXC'}, 'Choose another'),
            ),
            *(
                (facts, ['unknown'], 'does not answer', {}, '')
                for facts in (
                    samples.clean(
                        source=samples.host('a', hypervisor=hosts.GAP)
                    ),
                    samples.destination(hypervisor=hosts.GAP),
                )
            ),
        )
    )
    ALL = (hypervisor.QemuVersion,)
    CLEAN = samples.clean
