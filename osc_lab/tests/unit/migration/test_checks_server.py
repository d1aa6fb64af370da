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


"""The checks of the server itself, and of who asks."""

import dataclasses

from osc_lab.migration.checks import claims
from osc_lab.migration.checks import server
from osc_lab.migration import facts
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import host_samples as hosts
from osc_lab.tests.unit.migration import samples

GAP = facts.Gap('the service does not answer')


def guest(specs=None, libvirt=None, **changes):
    """Return facts with a guest whose image Nova does not show."""
    found = hosts.domain(**changes)
    known = samples.server(
        image_properties=GAP,
        image_id=None,
        flavor=facts.Flavor('m1', 1, 256, 1, extra_specs=specs or {}),
    )
    source = found.source
    if libvirt is not None:
        source = samples.dataclasses.replace(source, libvirt=libvirt)
    return samples.dataclasses.replace(known, source=source)


#: (check, facts, results that are not ok, words in message or remedy)
CASES = (
    (
        server.ServerState,
        samples.server(vm_state='paused', power_state=3),
        [],
        'paused',
        {'vm_state': 'paused', 'task_state': None, 'power_state': 3},
    ),
    (
        server.ServerState,
        samples.server(vm_state='stopped', power_state=4),
        ['failed'],
        'server start s1',
        {'vm_state': 'stopped', 'task_state': None, 'power_state': 4},
        'openstack server start s1',
    ),
    (
        server.ServerState,
        samples.server(vm_state='error'),
        ['failed'],
        '--repair',
        {'vm_state': 'error', 'task_state': None, 'power_state': 1},
    ),
    (
        server.ServerState,
        samples.server(task_state='resize_prep'),
        ['failed'],
        'resize_prep',
        {'vm_state': 'active', 'task_state': 'resize_prep', 'power_state': 1},
        'task has ended: openstack server show s1',
    ),
    (
        server.ServerState,
        samples.server(power_state=4),
        ['failed'],
        'does not run',
        {'vm_state': 'active', 'task_state': None, 'power_state': 4},
        'openstack server reboot --hard s1',
    ),
    *(
        (
            server.ServerState,
            samples.server(vm_state=state),
            ['failed'],
            f'is {state}',
            {'vm_state': state, 'task_state': None, 'power_state': 1},
            f'openstack server {command} s1',
        )
        for state, command in (
            ('stopped', 'start'),
            ('suspended', 'resume'),
            ('shelved', 'unshelve'),
            ('shelved_offloaded', 'unshelve'),
            ('rescued', 'unrescue'),
            ('resized', 'resize confirm'),
        )
    ),
    (
        server.ServerState,
        samples.server(vm_state='', status='SHUTOFF'),
        ['failed'],
        'is shutoff',
        {'vm_state': '', 'task_state': None, 'power_state': 1},
        'openstack server start s1',
    ),
    (
        server.ServerState,
        samples.server(status='REBOOT'),
        [],
        'is active',
        {'vm_state': 'active', 'task_state': None, 'power_state': 1},
    ),
    (server.ServerLock, samples.clean(), [], 'not locked'),
    (
        server.ServerLock,
        samples.server(locked=True),
        ['failed'],
        'locked (no reason given)',
        {'locked_reason': ''},
        'openstack server unlock s1, if',
    ),
    (
        server.ServerLock,
        samples.server(locked=True, locked_reason='mine'),
        ['failed'],
        'mine',
        {'locked_reason': 'mine'},
        'may also use --ignore-check server-lock.',
    ),
    (
        server.ServerFeatures,
        samples.flavor(hw__mem_encryption='True'),
        ['failed'],
        'SEV',
    ),
    (
        server.ServerFeatures,
        samples.flavor(hw__tpm_version='2.0'),
        ['failed'],
        'user',
        {},
        'from Nova 33 on.',
    ),
    (
        server.ServerFeatures,
        samples.flavor(hw__tpm_version='2.0', hw__tpm_secret_security='host'),
        [],
        'Nothing',
    ),
    (
        server.ServerFeatures,
        samples.flavor(accel__device_profile='x'),
        ['failed'],
        'accelerator',
    ),
    (
        server.ServerFeatures,
        samples.flavor(pci_passthrough__alias='x:1'),
        ['warning'],
        'live_migratable',
        {},
        'live_migratable can travel; look there.',
    ),
    (
        server.ServerFeatures,
        samples.dataclasses.replace(
            samples.flavor(pci_passthrough__alias='x:1'), network=GAP
        ),
        ['warning', 'unknown'],
        'does not answer',
        {},
        'live_migratable can travel; look there.',
    ),
    (
        server.ServerFeatures,
        samples.clean(shares=('x',)),
        ['failed'],
        'Attached shares: 1',
        {},
        'that needs the server to be stopped.',
    ),
    (
        server.ServerFeatures,
        samples.server(image_properties={'hw_mem_encryption': 'true'}),
        ['failed'],
        'SEV',
    ),
    (
        server.ServerFeatures,
        samples.port(vnic_type='accelerator-direct'),
        ['failed'],
        'port1',
        {},
        'Detach the port first.',
    ),
    (
        server.ServerFeatures,
        samples.flavor(hw__tpm_version='2.0', hw__tpm_secret_security='x'),
        ['failed'],
        'the user ("x")',
        {},
        'from Nova 33 on.',
    ),
    (
        server.ServerFeatures,
        samples.server(image_properties={'hw_tpm_version': '1.2'}),
        ['failed'],
        'the user ("user")',
        {},
        'from Nova 33 on.',
    ),
    (
        server.ServerFeatures,
        samples.flavor(hw__mem_encryption='no', other__x='true'),
        [],
        'Nothing that cannot travel',
    ),
    (
        server.ServerFeatures,
        guest(libvirt=GAP),
        ['unknown'],
        'does not answer the service does not answer',
    ),
    (server.ServerFeatures, guest(), [], 'Nothing that cannot travel'),
    (
        server.ServerFeatures,
        guest(tpm='emulator'),
        ['failed'],
        'the user ("user")',
        {},
        'from Nova 33 on.',
    ),
    (
        server.ServerFeatures,
        guest(
            {'hw:tpm_secret_security': 'host'},
            tpm='emulator',
        ),
        [],
        'Nothing that cannot travel',
    ),
    (
        server.ServerFeatures,
        guest(launch_security='sev-snp'),
        ['failed'],
        'SEV',
    ),
    (
        server.ServerFeatures,
        samples.clean(shares=GAP),
        ['unknown'],
        'does not answer',
    ),
    (
        server.ServerFeatures,
        samples.clean(shares=GAP, network=GAP),
        ['unknown', 'unknown'],
        'does not answer',
    ),
    (
        server.ServerFeatures,
        samples.clean(network=GAP),
        ['unknown'],
        'does not answer',
    ),
    (
        server.ServerFeatures,
        samples.flavor(
            accel__device_profile='x', pci_passthrough__alias='x:1'
        ),
        ['failed', 'warning'],
        'accelerator',
    ),
    (
        server.CallerRights,
        samples.clean(),
        [],
        'is admin',
        {'roles': ['admin']},
    ),
    (
        server.CallerRights,
        samples.clean(caller=facts.Caller('u', 'p1', frozenset({'member'}))),
        ['warning'],
        'no admin',
        {'roles': ['member']},
        'may migrate is known only after trying.',
    ),
    (
        server.SourceService,
        samples.clean(
            source=samples.host('a', service=samples.service(up=False))
        ),
        ['failed'],
        'down',
    ),
    (
        server.SourceService,
        samples.clean(
            source=samples.host('a', service=samples.service(forced_down=True))
        ),
        ['failed'],
        'forced',
        {},
        'compute service set --up a nova-compute',
    ),
    (
        server.SourceService,
        samples.clean(
            source=samples.host('a', service=samples.service(enabled=False))
        ),
        [],
        'up',
    ),
    (
        server.SourceService,
        samples.clean(source=samples.host('a', service=GAP)),
        ['unknown'],
        'does not answer',
    ),
    *(
        (
            claims.NumaAndSriov,
            facts,
            ['unknown'],
            f'of the destination ({asked})',
            {'asked': asked.split(', ')},
            'virsh freepages --all',
        )
        for facts, asked in (
            (samples.flavor(hw__numa_nodes='1'), 'hw:numa_nodes'),
            (samples.flavor(hw__mem_page_size='large'), 'hw:mem_page_size'),
            (samples.flavor(hw__pmem='6GB'), 'hw:pmem'),
            (samples.flavor(resources__PCPU='1'), 'resources:PCPU'),
            (samples.flavor(resources1__PCPU='1'), 'resources1:PCPU'),
            (samples.flavor(hw__cpu_policy='mixed'), 'CPU policy mixed'),
            (
                samples.flavor(hw__pmem='6GB', hw__cpu_policy='dedicated'),
                'CPU policy dedicated, hw:pmem',
            ),
            (
                samples.server(image_properties={'hw_numa_nodes': '2'}),
                'hw_numa_nodes',
            ),
            (
                samples.server(image_properties={'hw_mem_page_size': 'any'}),
                'hw_mem_page_size',
            ),
            (
                samples.server(
                    image_properties={'hw_cpu_policy': 'dedicated'}
                ),
                'CPU policy dedicated',
            ),
        )
    ),
    *(
        (
            claims.NumaAndSriov,
            samples.port(vnic_type=kind),
            ['unknown'],
            f'Port port1 ({kind}) needs a device',
            {'vnic_type': kind},
            'pci_stats',
        )
        for kind in (
            *('direct', 'direct-physical', 'macvtap', 'remote-managed'),
            *('vdpa', 'virtio-forwarder'),
        )
    ),
    (
        claims.NumaAndSriov,
        samples.clean(network=GAP),
        ['unknown'],
        'does not answer',
    ),
    (
        claims.NumaAndSriov,
        samples.flavor(
            hw__cpu_policy='shared', hw__numa_mem='1', resources__VCPU='1'
        ),
        [],
        'Nothing asks for them.',
    ),
    (
        claims.NumaAndSriov,
        samples.server(image_properties=GAP),
        ['skipped'],
        'ask for none; of the image: the service does not answer',
        {},
        'numatune',
    ),
    *(
        (
            claims.NumaAndSriov,
            dataclasses.replace(
                hosts.domain(placed=placed),
                server=samples.flavor(**specs).server
                if image is None
                else samples.server(image_properties=image).server,
            ),
            results,
            words,
            {'asked': asked} if asked else {},
            'virsh freepages --all' if asked else '',
        )
        for placed, image, specs, results, words, asked in (
            (
                *(('numatune', 'vcpupin'), GAP, {}, ['unknown']),
                *('(numatune, vcpupin)', ['numatune', 'vcpupin']),
            ),
            ((), GAP, {}, [], 'Nothing asks', []),
            # Its image was seen, and a host may pin whom it likes.
            (('vcpupin',), {}, {}, [], 'Nothing asks', []),
        )
    ),
)

ALL = (
    server.ServerState,
    server.ServerLock,
    server.ServerFeatures,
    server.CallerRights,
    server.SourceService,
    claims.NumaAndSriov,
)


class TestChecks(check_cases.CasesTest):
    CASES = CASES
    ALL = ALL
    CLEAN = samples.clean

    def test_image_that_nobody_shows(self):
        for image in ('i1', None):
            found = samples.server(image_properties=GAP, image_id=image)
            [item] = self.judge(server.ServerFeatures(), found)
            self.assertEqual('skipped', item.result)
            self.assertEqual(
                f'{GAP.message} No libvirt channel is set.', item.message
            )
            self.assertEqual('Use --libvirt-uri.', item.remedy)

    def test_source_that_nobody_shows(self):
        for name, subject in (('a', 'a'), ('', 'vm1')):
            found = samples.clean(source=samples.host(name, service=GAP))
            [item] = self.judge(server.SourceService(), found)
            self.assertEqual(subject, item.subject)

    def rights(self, roles, project='p1', host='', asked=None, nova=(2, 101)):
        found = samples.dataclasses.replace(
            samples.server(host=host),
            caller=facts.Caller('u', project, frozenset(roles)),
            request=facts.Request(host=asked),
            microversion=nova,
        )
        [item] = self.judge(server.CallerRights(), found)
        self.assertEqual({'roles': sorted(roles)}, item.evidence)
        return item

    def test_member_without_rights(self):
        item = self.rights({'reader', 'member'})
        self.assertEqual('failed', item.result)
        self.assertIn('roles member, reader do not', item.message)
        self.assertEqual(server.CallerRights.remedy, item.remedy)
        self.assertIn('roles - do not', self.rights(()).message)

    def test_manager_may_without_naming_a_host(self):
        for result, words, changes in (
            ('ok', 'manager of the project', {}),
            ('failed', 'do not allow', {'asked': 'b'}),
            ('failed', 'do not allow', {'project': 'p2'}),
            ('warning', 'shows hosts to it', {'asked': 'b', 'host': 'a'}),
            ('ok', 'manager of the project', {'host': 'a'}),
        ):
            item = self.rights({'manager'}, **changes)
            self.assertEqual(result, item.result)
            self.assertIn(words, item.message)

    def test_manager_of_a_cloud_that_may_be_too_old(self):
        """2.100 is the maximum of Nova 31 and of 32."""
        item = self.rights({'manager'}, nova=(2, 100))
        self.assertEqual('warning', item.result)
        self.assertIn('from Nova 32 on', item.message)
        self.assertIn('only after trying', item.remedy)
        self.assertEqual('ok', self.rights({'manager'}, nova=(3, 1)).result)
        for nova in ((2, 100), (2, 101)):
            item = self.rights({'admin'}, nova=nova)
            self.assertEqual('ok', item.result)
