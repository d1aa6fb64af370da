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


"""The checks of a guest's devices and disks, case by case."""

import dataclasses

from osc_lab.migration.checks import guest
from osc_lab.migration import facts
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import host_samples as hosts
from osc_lab.tests.unit.migration import samples


def unseen(found):
    """Return facts without a shell at the destination."""
    (host,) = found.destinations
    host = dataclasses.replace(host, shell=hosts.GAP)
    return dataclasses.replace(found, destinations=(host,))


def at_source(found, files):
    """Return facts with what the shell of the source sees of files."""
    shell = dataclasses.replace(found.source.shell, files=files)
    return dataclasses.replace(
        found, source=dataclasses.replace(found.source, shell=shell)
    )


def at_destination(found, files):
    """Return facts with what the shell of the destination sees of files."""
    (host,) = found.destinations
    host = dataclasses.replace(
        host, shell=dataclasses.replace(host.shell, files=files)
    )
    return dataclasses.replace(found, destinations=(host,))


ALIAS = samples.flavor(pci_passthrough__alias='gpu:1')
DIRECT = samples.port(vnic_type='direct')
PHYSICAL = samples.port(vnic_type='direct-physical')
TAGGED = 'flavor must be live_migratable in the pci alias of both hosts.'
FOLDER = hosts.FOLDER
LOOK = 'Use a user who may look into instances_path, with --ssh.'

#: What is told where no shell is set.
UNSET = (['skipped'], 'No shell channel is set.', {}, 'Use --ssh.')

#: (check, facts, results that are not ok, words in message or remedy)
CASES = (
    (guest.GuestDevices, hosts.domain(hostdevs=('pci',)), ['failed'], 'pci'),
    (
        guest.GuestDevices,
        hosts.domain(hostdevs=('mdev',)),
        ['warning'],
        'passed through (mdev)',
        {},
        'and the same type of mediated device.',
    ),
    *(
        (
            guest.GuestDevices,
            dataclasses.replace(
                hosts.domain(hostdevs=kinds),
                server=seen.server,
                network=seen.network,
            ),
            results,
            words,
            {},
            remedy,
        )
        for kinds, seen, results, words, remedy in (
            (('pci',), ALIAS, ['warning'], 'passed through (pci)', TAGGED),
            (('pci',), DIRECT, ['warning'], 'passed through (pci)', TAGGED),
            (('pci',), PHYSICAL, ['warning'], 'passed through (pci)', TAGGED),
            (('usb',), ALIAS, ['failed'], 'passed through (usb)', ''),
            (('usb',), DIRECT, ['failed'], 'passed through (usb)', ''),
            (
                *(('pci',), samples.clean(network=hosts.GAP)),
                *(['unknown'], 'does not answer', ''),
            ),
            (
                *(('pci', 'usb'), samples.clean(network=hosts.GAP)),
                *(['unknown', 'failed'], 'passed through (usb)', ''),
            ),
        )
    ),
    (
        guest.GuestDevices,
        hosts.domain(filesystems=('virtiofs',)),
        ['failed'],
        'virtiofs',
    ),
    (
        guest.GuestDevices,
        hosts.domain(interfaces=('hostdev',)),
        ['warning'],
        'unplugs',
        {},
        'the migration; the guest must bear that.',
    ),
    (
        guest.GuestDevices,
        hosts.domain(tpm='emulator'),
        ['failed'],
        'for the user ("user")',
    ),
    (
        guest.GuestDevices,
        dataclasses.replace(
            hosts.domain(tpm='emulator'),
            server=samples.flavor(hw__tpm_secret_security='host').server,
        ),
        [],
        'can travel',
    ),
    (guest.GuestDevices, hosts.domain(tpm='passthrough'), ['failed'], 'TPM'),
    (
        guest.GuestDevices,
        hosts.disk(device='cdrom', readonly=True),
        ['failed'],
        'Eject',
        {'path': '/i/disk'},
        'or copy the file to the same path there.',
    ),
    (
        guest.GuestDevices,
        hosts.disk(source='/i/disk.config', readonly=True),
        [],
        '',
    ),
    (
        guest.GuestDevices,
        hosts.domain(hostdevs=('pci', 'usb'), filesystems=('9p', 'x')),
        ['failed'] * 4,
        'passed through (usb)',
    ),
    (
        guest.GuestDevices,
        hosts.several(
            hosts.DISK,
            dataclasses.replace(hosts.DISK, volume_id='v', source='/v'),
            dataclasses.replace(hosts.DISK, source=''),
            dataclasses.replace(hosts.DISK, kind='network', source='/net'),
            dataclasses.replace(
                hosts.DISK, source='/i/disk.config', device='cdrom'
            ),
            dataclasses.replace(
                hosts.DISK, source='/iso', target='hdc', device='cdrom'
            ),
        ),
        ['failed'],
        '/iso (cdrom hdc) is not there',
        {'path': '/iso'},
        'same path there.',
    ),
    (
        guest.GuestDevices,
        hosts.away('/iso', device='cdrom', target='hdc', readonly=True),
        ['failed'],
        '/iso (cdrom hdc) is not there',
        {'path': '/iso'},
        'same path there.',
    ),
    (
        guest.GuestDevices,
        unseen(hosts.away('/iso', device='cdrom', readonly=True)),
        ['unknown'],
        'does not answer',
    ),
    (
        guest.GuestDevices,
        hosts.away('/iso', {'/else': ''}, device='cdrom', readonly=True),
        ['unknown'],
        '/iso could not be looked for there.',
        {},
        LOOK,
    ),
    (
        guest.GuestDevices,
        at_source(
            hosts.away('/iso', device='cdrom', readonly=True), {'/iso': ''}
        ),
        ['unknown'],
        'The shell of a does not see /iso of the guest.',
        {},
        LOOK,
    ),
    (
        guest.GuestDevices,
        hosts.away('/base', target='vdb', readonly=True),
        ['failed'],
        '/base (disk vdb) is not there',
        {'path': '/base'},
        'Use --block-migration, or share the storage.',
    ),
    (
        guest.MigrationStorage,
        hosts.pair(source={'libvirt': hosts.GAP}),
        ['unknown'],
        'does not answer',
    ),
    (
        guest.GuestDevices,
        hosts.pair(source={'libvirt': hosts.GAP}),
        ['unknown'],
        'does not answer',
    ),
    (
        guest.MigrationStorage,
        unseen(hosts.disk(volume_id='v')),
        ['unknown'],
        'does not answer',
    ),
    (
        guest.MigrationStorage,
        hosts.pair(there={'shell': hosts.shell(files=hosts.HERE)}),
        [],
        'Both hosts share the disks',
        {'copied': False},
    ),
    *(
        (
            guest.MigrationStorage,
            hosts.pair(there={'shell': hosts.shell(free_bytes=free)}),
            results,
            words,
            {
                'virtual_bytes': hosts.GIB,
                'allocated_bytes': hosts.GIB // 2,
                'free_bytes': free,
            },
            'Use --ssh.' if free is None else '',
        )
        for free, results, words in (
            (None, ['unknown'], 'itself. 1024 MiB are to be copied; how much'),
            (hosts.GIB // 2 - 1, ['failed'], 'only 512 MiB are free'),
            (hosts.GIB // 2, ['warning'], 'grow to 1024 MiB, only 512 MiB'),
            (hosts.GIB - 1, ['warning'], 'grow to 1024 MiB'),
            (hosts.GIB, [], '1024 MiB are to be copied, 1024 MiB are free'),
            (
                20 * hosts.GIB,
                [],
                'itself. 1024 MiB are to be copied, 20.0 GiB',
            ),
        )
    ),
    *(
        (
            guest.MigrationStorage,
            hosts.pair(
                there={
                    'shell': hosts.UNSET,
                    'hypervisor': dataclasses.replace(
                        samples.host('b').hypervisor, disk_available_gib=gib
                    ),
                }
            ),
            results,
            '',
            {
                'virtual_bytes': hosts.GIB,
                'allocated_bytes': hosts.GIB // 2,
                'free_bytes': free,
            },
            remedy,
        )
        for gib, free, results, remedy in (
            (None, None, ['unknown'], 'Use --ssh.'),
            (0, 0, ['warning'], ''),
            (2, 2 * hosts.GIB, [], ''),
        )
    ),
    *(
        (
            guest.MigrationStorage,
            hosts.pair(
                there={
                    'shell': shell,
                    'hypervisor': dataclasses.replace(
                        samples.host('b').hypervisor, disk_available_gib=gib
                    ),
                },
                request=facts.Request('b', kind),
            ),
            results,
            words,
            evidence,
            remedy,
        )
        for shell, gib, kind, results, words, evidence, remedy in (
            (hosts.UNSET, 9, facts.Storage.BLOCK, *UNSET),
            (hosts.UNSET, 9, facts.Storage.SHARED, *UNSET),
            (hosts.UNSET, 0, facts.Storage.SHARED, *UNSET),
            (
                *(hosts.UNSET, 0, facts.Storage.BLOCK, ['failed']),
                '512 MiB are to be copied, only 0 MiB',
                {
                    'virtual_bytes': hosts.GIB,
                    'allocated_bytes': hosts.GIB // 2,
                    'free_bytes': 0,
                },
                '',
            ),
            (
                *(hosts.GAP, 9, facts.Storage.AUTO, ['unknown']),
                *('does not answer', {}, ''),
            ),
        )
    ),
    (
        guest.MigrationStorage,
        hosts.pair(
            source={'shell': hosts.GAP},
            there={'shell': hosts.shell(files=hosts.HERE)},
        ),
        ['unknown'],
        'does not answer',
    ),
    (
        guest.MigrationStorage,
        hosts.pair(there={'shell': hosts.UNSET, 'hypervisor': hosts.GAP}),
        ['unknown'],
        'not known',
        {
            'virtual_bytes': hosts.GIB,
            'allocated_bytes': hosts.GIB // 2,
            'free_bytes': None,
        },
        'Use --ssh.',
    ),
    (
        guest.MigrationStorage,
        hosts.disk(size=None, allocation=None),
        [],
        '0 MiB are to be copied',
        {
            'virtual_bytes': 0,
            'allocated_bytes': 0,
            'free_bytes': 50 * hosts.GIB,
        },
    ),
    (
        guest.MigrationStorage,
        hosts.pair(there={'shell': hosts.shell(free_bytes=hosts.GIB // 4)}),
        ['failed'],
        '512 MiB are to be copied',
        {
            'virtual_bytes': 1073741824,
            'allocated_bytes': 536870912,
            'free_bytes': 268435456,
        },
    ),
    (
        guest.MigrationStorage,
        hosts.pair(
            there={'shell': hosts.shell(free_bytes=hosts.GIB // 4 * 3)}
        ),
        ['warning'],
        'grow',
        {
            'virtual_bytes': 1073741824,
            'allocated_bytes': 536870912,
            'free_bytes': 805306368,
        },
    ),
    (
        guest.MigrationStorage,
        hosts.pair(request=facts.Request('b', facts.Storage.SHARED)),
        ['failed'],
        'Leave --shared-migration out',
        {},
        'Leave --shared-migration out.',
    ),
    *(
        (
            guest.MigrationStorage,
            hosts.pair(
                source={
                    'shell': hosts.shell(
                        files={**hosts.HERE, FOLDER: 'fs:1'},
                        options=hosts.conf(images_type=backend),
                    ),
                },
                there={
                    'shell': hosts.shell(files={'/i/disk': '', FOLDER: 'fs:9'})
                },
            ),
            ['failed'],
            'instances/s1 lies there already',
            {'path': FOLDER},
            'host uses it, remove its folder there.',
        )
        for backend in ('rbd', 'qcow2')
    ),
    *(
        (
            guest.MigrationStorage,
            facts,
            ['unknown'],
            words,
            {},
            LOOK,
        )
        for facts, words in (
            (
                at_destination(hosts.disk(volume_id='v1'), {}),
                f'Whether {FOLDER} is there already could not be seen.',
            ),
            (
                at_destination(hosts.pair(), {}),
                'The files of the disks could not be looked at.',
            ),
        )
    ),
    (
        guest.MigrationStorage,
        hosts.pair(there={'shell': hosts.shell(files={'/i/disk': 'fs:2'})}),
        ['failed'],
        'remove its folder',
        {'path': '/i/disk'},
        'host uses it, remove its folder there.',
    ),
    (
        guest.MigrationStorage,
        hosts.pair(
            there={'shell': hosts.shell(files=hosts.HERE)},
            request=facts.Request('b', facts.Storage.BLOCK),
        ),
        ['failed'],
        'Leave --block-migration out',
        {},
        'Leave --block-migration out.',
    ),
    (
        guest.MigrationStorage,
        dataclasses.replace(
            hosts.disk(volume_id='v1'),
            request=facts.Request('b', facts.Storage.BLOCK),
        ),
        ['failed'],
        'asked for, but no disk is to be copied',
        {},
        'Leave --block-migration out.',
    ),
    (
        guest.GuestDevices,
        hosts.pair(there={'shell': hosts.UNSET}),
        [],
        'can travel',
    ),
)

ALL = (
    guest.GuestDevices,
    guest.MigrationStorage,
)


class TestChecks(check_cases.HostCasesTest):
    CASES = CASES
    ALL = ALL

    def test_source_that_does_not_see_its_guest(self):
        """No case above: where nobody looks there it is no defect."""
        shared = {'shell': hosts.shell(files=hosts.HERE)}
        for found, path in (
            (hosts.pair(), '/i/disk'),
            (hosts.pair(there=shared), '/i/disk'),
            (hosts.disk(volume_id='v1'), FOLDER),
        ):
            blind = at_source(found, {'/i/disk': '', FOLDER: ''})
            (item,) = self.judge(guest.MigrationStorage(), blind)
            self.assertEqual('unknown', item.result)
            self.assertIn(f'does not see {path} of', item.message)
            self.assertEqual(LOOK, item.remedy)
