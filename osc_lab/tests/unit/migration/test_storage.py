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


"""Whether disks are copied, and what of that is not known."""

import dataclasses

import testtools

from osc_lab.migration import facts
from osc_lab.migration import storage
from osc_lab.tests.unit.migration import host_samples as hosts


LOOK = 'Use a user who may look into instances_path, with --ssh.'


class TestStorage(testtools.TestCase):
    def decide(self, found):
        """Return whether disks are copied, and what is wrong with that."""
        decision = storage.decide(found, found.destinations[0])
        self.assertIsNone(decision.gap)
        for text in (decision.reason, decision.problem, decision.remedy):
            self.assertIsInstance(text, str)
        self.assertNotEqual('', decision.reason)
        self.assertEqual(bool(decision.problem), bool(decision.remedy))
        return decision.block, decision.problem.partition(' ')[0]

    def test_local_disks_are_copied(self):
        for kind in (facts.Storage.AUTO, facts.Storage.BLOCK):
            found = hosts.pair(request=facts.Request('b', kind))
            self.assertEqual((True, ''), self.decide(found))
        found = hosts.pair(request=facts.Request('b', facts.Storage.SHARED))
        self.assertEqual((True, '--shared-migration'), self.decide(found))

    def test_shared_disks_are_not(self):
        there = {'shell': hosts.shell(files=hosts.HERE)}
        for kind in (facts.Storage.AUTO, facts.Storage.SHARED):
            found = hosts.pair(there=there, request=facts.Request('b', kind))
            self.assertEqual((False, ''), self.decide(found))
        found = hosts.pair(
            there=there, request=facts.Request('b', facts.Storage.BLOCK)
        )
        self.assertEqual((False, '--block-migration'), self.decide(found))

    def test_which_are_copied(self):
        """None where nobody knows of any, as libvirt was not asked."""
        read_only = dataclasses.replace(hosts.DISK, readonly=True)
        domain = dataclasses.replace(
            hosts.DOMAIN, disks=(hosts.DISK, read_only)
        )
        known = hosts.connection('a', domain=domain)
        gap = hosts.connection('a', domain=facts.Gap('not asked'))
        for libvirt, files, copied in (
            (known, None, [hosts.DISK]),
            (known, hosts.HERE, []),
            (gap, None, []),
        ):
            there = {'shell': hosts.shell(files=files)} if files else None
            found = hosts.pair(source={'libvirt': libvirt}, there=there)
            self.assertEqual(
                copied, storage.copied(found, found.destinations[0])
            )

    def test_disks_in_ceph_are_not(self):
        options = hosts.conf(images_type='rbd')
        found = hosts.pair(
            source={'shell': hosts.shell(options=options)},
            there={'shell': hosts.UNSET},
        )
        self.assertEqual((False, ''), self.decide(found))

    def doubt(self, found):
        """Return why it is not known whether disks are copied."""
        decisions = []
        for kind in facts.Storage:
            asked = dataclasses.replace(
                found, request=facts.Request('b', kind)
            )
            decision = storage.decide(asked, found.destinations[0])
            self.assertEqual('', decision.problem)
            self.assertIn('do not share', decision.reason)
            self.assertEqual(kind is not facts.Storage.SHARED, decision.block)
            decisions.append(decision)
        (gap,) = {decision.gap for decision in decisions}
        left = storage.left_over(found, found.destinations[0])
        self.assertIn(left, ('', gap))
        return gap

    def test_nobody_looked_at_the_destination(self):
        for source in (hosts.shell(files=hosts.HERE), hosts.UNSET):
            for there in (hosts.UNSET, hosts.GAP):
                found = hosts.pair(
                    source={'shell': source}, there={'shell': there}
                )
                self.assertEqual(there, self.doubt(found))

    def test_nobody_looked_at_the_source(self):
        for files in ({'/i/disk': ''}, hosts.HERE):
            found = hosts.pair(
                source={'shell': hosts.GAP},
                there={'shell': hosts.shell(files=files)},
            )
            if files is hosts.HERE:
                self.assertEqual(hosts.GAP, self.doubt(found))
            else:
                self.assertEqual((True, ''), self.decide(found))

    def test_a_file_that_nobody_can_look_at(self):
        for here, there in (
            ({hosts.FOLDER: 'fs:3'}, hosts.HERE),
            (hosts.HERE, {}),
        ):
            found = hosts.pair(
                source={'shell': hosts.shell(files=here)},
                there={'shell': hosts.shell(files=there)},
            )
            gap = self.doubt(found)
            self.assertEqual(
                'The files of the disks could not be looked at.', gap.message
            )
            self.assertEqual(LOOK, gap.remedy)

    def test_a_source_that_sees_nothing_of_its_guest(self):
        """What it does not show is no proof, wherever else it is not."""
        for there in (
            hosts.shell(files=hosts.HERE),
            hosts.shell(),
            hosts.shell(files={}),
            hosts.UNSET,
        ):
            found = hosts.pair(
                source={
                    'shell': hosts.shell(
                        files={'/i/disk': '', hosts.FOLDER: 'fs:3'}
                    )
                },
                there={'shell': there},
            )
            gap = self.doubt(found)
            self.assertEqual(
                'The shell of a does not see /i/disk of the guest.',
                gap.message,
            )
            self.assertEqual(LOOK, gap.remedy)
            self.assertEqual(gap, storage.blind(found.source, ['/i/disk']))

    def test_which_source_is_blind(self):
        for shell, hidden in (
            (hosts.shell(files={'/1': 'fs:1', '/2': ''}), True),
            (hosts.shell(files={'/1': 'fs:1'}), False),
            (hosts.UNSET, False),
        ):
            (host,) = hosts.pair(there={'shell': shell}).destinations
            found = storage.blind(host, ['/1', '/2'])
            self.assertEqual(hidden, bool(found), shell)

    def test_another_file_of_that_name_is_not_shared(self):
        found = hosts.pair(
            there={'shell': hosts.shell(files={'/i/disk': 'fs:2'})}
        )
        self.assertEqual((True, ''), self.decide(found))
        self.assertEqual(
            '/i/disk', storage.left_over(found, found.destinations[0])
        )

    def left(self, here, there, **options):
        """Return what is left there, by the identities of the folders."""
        paths = '/var/lib/nova/instances/s1', '/elsewhere/s1'
        found = hosts.pair(
            source={
                'shell': hosts.shell(files={paths[0]: here}),
                'libvirt': hosts.GAP,
            },
            there={
                'shell': hosts.shell(
                    files={paths[bool(options)]: there},
                    options={'DEFAULT': options},
                )
            },
        )
        return storage.left_over(found, found.destinations[0])

    def test_the_folder_of_the_server_is_there(self):
        """Whatever its disks are."""
        folder = '/var/lib/nova/instances/s1'
        self.assertEqual(folder, self.left('fs:1', 'fs:2'))
        self.assertEqual('', self.left('fs:1', 'fs:1'))
        self.assertEqual('', self.left('fs:1', ''))
        self.assertEqual(
            '/elsewhere/s1',
            self.left('fs:1', 'fs:2', instances_path='/elsewhere'),
        )

    def test_a_folder_that_a_shell_does_not_see(self):
        folder = hosts.FOLDER
        for there in ('', 'fs:2'):
            gap = self.left('', there)
            self.assertEqual(
                f'The shell of a does not see {folder} of the guest.',
                gap.message,
            )
        found = hosts.pair()
        (host,) = found.destinations
        unseen = dataclasses.replace(
            host, shell=dataclasses.replace(host.shell, files={'/i/disk': ''})
        )
        for shell in (found.source.shell, hosts.UNSET):
            source = dataclasses.replace(found.source, shell=shell)
            self.assertEqual(
                facts.Gap(
                    f'Whether {folder} is there already could not be seen.',
                    LOOK,
                ),
                storage.left_over(
                    dataclasses.replace(found, source=source), unseen
                ),
            )

    def test_the_folder_is_there_and_nobody_saw_the_source(self):
        folder = '/var/lib/nova/instances/s1'
        for disk, left in (('', folder), ('fs:1', '')):
            files = {'/i/disk': disk, folder: 'fs:2'}
            found = hosts.pair(
                source={'shell': hosts.UNSET},
                there={'shell': hosts.shell(files=files)},
            )
            self.assertEqual(
                left, storage.left_over(found, found.destinations[0])
            )

    def test_one_disk_of_two_is_not_shared(self):
        disks = (hosts.DISK, dataclasses.replace(hosts.DISK, source='/other'))
        known = {**hosts.HERE, '/other': 'fs:2'}
        for files, block in (
            (known, False),
            ({**known, '/other': '', hosts.FOLDER: ''}, True),
        ):
            found = hosts.pair(
                source={
                    'libvirt': hosts.connection(
                        'a',
                        domain=dataclasses.replace(hosts.DOMAIN, disks=disks),
                    ),
                    'shell': hosts.shell(files=known),
                },
                there={'shell': hosts.shell(files=files)},
            )
            self.assertEqual((block, ''), self.decide(found))
            self.assertEqual(
                '', storage.left_over(found, found.destinations[0])
            )

    def asked(self, found, kind):
        return self.decide(
            dataclasses.replace(found, request=facts.Request('b', kind))
        )

    def test_volumes_are_not(self):
        volume = hosts.disk(volume_id='v1')
        ceph = hosts.disk(kind='network', source='vms/s1_disk')
        (host,) = volume.destinations
        unseen = dataclasses.replace(
            volume,
            destinations=(dataclasses.replace(host, shell=hosts.UNSET),),
        )
        for found in (volume, ceph, unseen, hosts.domain(disks=())):
            for kind in (facts.Storage.AUTO, facts.Storage.SHARED):
                self.assertEqual((False, ''), self.asked(found, kind))
            self.assertEqual(
                (False, '--block-migration'),
                self.asked(found, facts.Storage.BLOCK),
            )

    def test_a_configuration_drive_is_local_and_not_copied(self):
        """Nova counts it, though libvirt copies no disk that only reads."""
        for there, refused in (('', 'SHARED'), ('fs:1', 'BLOCK')):
            found = hosts.away(
                *('/i/disk.config', {'/i/disk.config': there}),
                device='cdrom',
                readonly=True,
            )
            for kind in facts.Storage:
                wrong = kind.name == refused
                self.assertEqual(
                    (False, f'--{kind}-migration' if wrong else ''),
                    self.asked(found, kind),
                )

    def test_a_configuration_drive_that_nobody_looked_for(self):
        drive = hosts.disk(device='cdrom', readonly=True)
        (host,) = drive.destinations
        found = dataclasses.replace(
            drive,
            destinations=(dataclasses.replace(host, shell=hosts.GAP),),
        )
        self.assertEqual((False, ''), self.asked(found, facts.Storage.AUTO))
        for kind in (facts.Storage.BLOCK, facts.Storage.SHARED):
            asked = dataclasses.replace(
                found, request=facts.Request('b', kind)
            )
            decision = storage.decide(asked, asked.destinations[0])
            self.assertEqual(
                (False, hosts.GAP), (decision.block, decision.gap)
            )

    def test_a_guest_that_nobody_saw(self):
        for known in (hosts.GAP, hosts.connection('a', domain=hosts.GAP)):
            found = hosts.pair(source={'libvirt': known})
            self.assertEqual(hosts.GAP, self.doubt(found))
