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

"""Which host is the best, and what a server asks of Placement."""

import dataclasses

import testtools

from osc_lab import exceptions
from osc_lab.migration import demand
from osc_lab.migration import facts
from osc_lab.migration import ranking
from osc_lab.preflight import finding
from osc_lab.preflight import report
from osc_lab.tests.unit.migration import samples

R = finding.Result
GAP = facts.Gap('no answer')


def found(subject, result, check='cpu', remedy='mend'):
    return finding.Finding(check, subject, result, f'says {check}', remedy)


def host(name, ram=4096, vcpus=7):
    known = samples.host(name)
    return dataclasses.replace(
        known,
        hypervisor=dataclasses.replace(
            known.hypervisor, free_ram_mib=ram, free_vcpus=vcpus
        ),
    )


class TestRank(testtools.TestCase):
    def rank(self, hosts, *findings):
        return ranking.rank(
            samples.clean(destinations=tuple(hosts)),
            report.Report(findings),
            {'cpu', 'host-memory'},
        )

    def order(self, hosts, *findings):
        ranked = self.rank(hosts, *findings)
        return [item.host.name for item in ranked.candidates]

    def test_the_result_counts_first(self):
        """Then failures, what is unknown, warnings, room, and the name."""
        results = {
            'e': (R.FAILED, R.FAILED),
            'd': (R.FAILED,),
            'c': (R.UNKNOWN,),
            'b': (R.WARNING,),
            'a': (R.OK,),
        }
        items = [
            found(name, result)
            for name, all_ in results.items()
            for result in all_
        ]
        hosts = [
            host(name, ram)
            for name, ram in zip('edcba', (9, 8, 7, 6, 5), strict=True)
        ]
        self.assertEqual(list('abcde'), self.order(hosts, *items))

    def test_warnings_count_after_failures(self):
        items = [
            found('a', R.FAILED),
            found('a', R.WARNING),
            found('b', R.FAILED),
        ]
        hosts = [host('a', 9), host('b', 5)]
        self.assertEqual(['b', 'a'], self.order(hosts, *items))

    def test_what_is_unknown_counts_before_warnings(self):
        """A host that lets nobody in is not better than one that was seen."""
        items = [
            *(found('a', R.UNKNOWN), found('a', R.UNKNOWN, 'host-memory')),
            *(found('b', R.UNKNOWN), found('b', R.WARNING, 'host-memory')),
        ]
        hosts = [host('a', 9), host('b', 5)]
        self.assertEqual(['b', 'a'], self.order(hosts, *items))

    def test_room_and_names(self):
        for first, second in (
            (host('z', 5000), host('a', 4000)),
            (host('z', 5000, 8), host('a', 5000, 7)),
            (host('a'), host('z')),
            (host('z', 1, 1), samples.host('a', hypervisor=GAP)),
            (host('z', 1, 0), host('a', None, None)),
            (host('z', 1, 1), host('a', 1, None)),
            (
                host('a', None, None),
                samples.host('z', hypervisor=GAP),
            ),
        ):
            for hosts in ((first, second), (second, first)):
                self.assertEqual([first.name, second.name], self.order(hosts))

    def test_what_is_about_no_host_is_general(self):
        """A server may bear the name of a host."""
        general = (
            found('vm1', R.OK, 'cpu'),
            found('b', R.OK, 'server-lock'),
        )
        own = found('b', R.OK)
        ranked = self.rank([host('b')], own, *general)
        self.assertEqual(general, ranked.general.findings)
        self.assertEqual((own,), ranked.candidates[0].report.findings)

    def test_the_best_decides(self):
        bad, good = found('a', R.FAILED), found('b', R.WARNING)
        ranked = self.rank([host('a'), host('b')], bad, good)
        self.assertEqual('b', ranked.best.host.name)
        code = exceptions.ExitCode
        self.assertEqual(code.DONE, ranked.verdict())
        self.assertEqual(code.UNDECIDED, ranked.verdict(strict=True))
        general = found('vm1', R.FAILED, 'server-lock')
        ranked = self.rank([host('b')], good, general)
        self.assertEqual(code.CHECK_FAILED, ranked.verdict())

    def test_without_a_host(self):
        ranked = self.rank([], found('vm1', R.UNKNOWN))
        self.assertIsNone(ranked.best)
        self.assertEqual(exceptions.ExitCode.UNDECIDED, ranked.verdict())

    def test_full_is_in_the_order_of_the_checks(self):
        items = (
            found('b', R.OK, 'host-memory'),
            found('vm1', R.OK, 'volumes'),
            found('b', R.OK, 'cpu'),
        )
        full = self.rank([host('b')], *items).full()
        self.assertEqual(
            ['cpu', 'host-memory', 'volumes'],
            [item.check for item in full.findings],
        )

    def test_one_line_for_each_host(self):
        general = found('vm1', R.OK, 'volumes')
        items = (
            found('a', R.WARNING, 'cpu', 'first'),
            found('a', R.WARNING, 'host-memory', 'second'),
            found('a', R.OK, 'cpu', ''),
            found('b', R.OK, 'cpu', ''),
        )
        ranked = self.rank([host('a'), host('b', 512)], general, *items)
        first, good, bad = ranked.report().findings
        self.assertEqual(general, first)
        self.assertEqual(
            finding.Finding(
                'candidate',
                'b',
                R.OK,
                'rank 1, 512 MiB of RAM free',
                '',
                finding.Source.API,
                {
                    'rank': 1,
                    'findings': [
                        {
                            'Check': 'cpu',
                            'Subject': 'b',
                            'Result': 'ok',
                            'Message': 'says cpu',
                            'Remedy': '',
                        }
                    ],
                },
            ),
            good,
        )
        self.assertEqual(
            (
                'candidate',
                'a',
                R.WARNING,
                'rank 2: cpu: says cpu; host-memory: says host-memory',
                'first',
            ),
            (bad.check, bad.subject, bad.result, bad.message, bad.remedy),
        )
        self.assertEqual(2, bad.evidence['rank'])
        self.assertEqual(3, len(bad.evidence['findings']))

    def test_room_that_nobody_knows(self):
        for known in (host('b', None), samples.host('b', hypervisor=GAP)):
            (item,) = self.rank([known]).report().findings
            self.assertEqual('rank 1', item.message)


class TestDemand(testtools.TestCase):
    """As the scheduler of Nova reckons."""

    def of(self, network=GAP, **server):
        return demand.of(samples.server(**server).server, network)

    def flavor(self, **changes):
        specs = changes.pop('specs', {})
        return facts.Flavor(
            **{
                'name': 'f',
                'vcpus': 2,
                'ram_mib': 512,
                'disk_gib': 10,
                'extra_specs': specs,
                **changes,
            }
        )

    def test_flavor(self):
        found = self.of(flavor=self.flavor())
        self.assertEqual(
            facts.Demand(
                {'VCPU': 2, 'MEMORY_MB': 512, 'DISK_GB': 10},
                forbidden=frozenset({'COMPUTE_STATUS_DISABLED'}),
            ),
            found,
        )

    def disk(self, **changes):
        server = {'image_id': changes.pop('image_id', 'i1')}
        found = self.of(flavor=self.flavor(**changes), **server)
        return found.resources.get('DISK_GB')

    def test_disk(self):
        for expected, changes in (
            (10, {}),
            (None, {'image_id': None}),
            (None, {'image_id': ''}),
            (14, {'ephemeral_gib': 4}),
            (4, {'ephemeral_gib': 4, 'image_id': None}),
            (11, {'swap_mib': 1}),
            (11, {'swap_mib': 1024}),
            (12, {'swap_mib': 1025}),
            (6, {'swap_mib': 1025, 'ephemeral_gib': 4, 'disk_gib': 0}),
        ):
            self.assertEqual(expected, self.disk(**changes), changes)

    def test_extra_specs(self):
        found = self.of(
            flavor=self.flavor(
                specs={
                    'hw:cpu_policy': 'dedicated',
                    'resources:MEMORY_MB': '0',
                    'resources:CUSTOM_X': '3',
                    'resources:DISK_GB': 'many',
                    'trait:HW_A': 'required',
                    'trait:HW_B': 'forbidden',
                    'trait:HW_C': 'perhaps',
                    'other:HW_D': 'required',
                    'other:HW_E': 'forbidden',
                    'other:HW_F': '7',
                }
            )
        )
        self.assertEqual(
            facts.Demand(
                {'PCPU': 2, 'CUSTOM_X': 3, 'DISK_GB': 10},
                frozenset({'HW_A'}),
                frozenset({'HW_B', 'COMPUTE_STATUS_DISABLED'}),
                fallback=facts.Demand(
                    {'VCPU': 2, 'CUSTOM_X': 3, 'DISK_GB': 10},
                    frozenset({'HW_A'}),
                    frozenset({'HW_B', 'COMPUTE_STATUS_DISABLED'}),
                ),
            ),
            found,
        )

    def test_hosts_that_tell_no_dedicated_cpus(self):
        """The scheduler asks for VCPU besides, and for no policy."""
        policies = {
            'hw:cpu_policy': 'dedicated',
            'hw:cpu_thread_policy': 'require',
            'hw:emulator_threads_policy': 'isolate',
        }
        masked = {'hw:cpu_policy': 'mixed', 'hw:cpu_dedicated_mask': '^0'}
        for amounts, traits, specs in (
            ({'VCPU': 2}, set(), policies),
            (
                {'VCPU': 2},
                {'HW_CPU_HYPERTHREADING'},
                {**policies, 'trait:HW_CPU_HYPERTHREADING': 'required'},
            ),
            ({'PCPU': 2}, set(), {**policies, 'resources:PCPU': '2'}),
            (None, None, masked),
            (None, None, {'hw:cpu_policy': 'shared'}),
            (None, None, {'resources:PCPU': '2'}),
        ):
            flavor = self.flavor(specs=specs, ram_mib=0, disk_gib=0)
            found = self.of(flavor=flavor).fallback
            self.assertEqual(
                (amounts, traits),
                (found and found.resources, found and found.required),
                specs,
            )
        flavor = self.flavor(ram_mib=0, disk_gib=0)
        found = self.of(
            flavor=flavor,
            image_properties={
                'hw_cpu_policy': 'dedicated',
                'hw_cpu_thread_policy': 'isolate',
            },
        )
        self.assertEqual({'VCPU': 2}, found.fallback.resources)
        self.assertEqual({'COMPUTE_STATUS_DISABLED'}, found.fallback.forbidden)

    def test_traits_of_the_image(self):
        properties = {
            'trait:HW_A': 'required',
            'trait:HW_B': 'forbidden',
            'hw_x:y': 'required',
        }
        self.assertEqual(
            {'HW_A'}, self.of(image_properties=properties).required
        )
        self.assertEqual(set(), self.of(image_properties=GAP).required)

    def cpus(self, specs, **image):
        flavor = self.flavor(vcpus=4, specs=specs)
        found = self.of(flavor=flavor, image_properties=image)
        return {
            name: amount
            for name, amount in found.resources.items()
            if name in ('VCPU', 'PCPU')
        }

    def test_cpus(self):
        dedicated = {'hw:cpu_policy': 'dedicated'}
        mixed = {'hw:cpu_policy': 'mixed'}
        masked = {**mixed, 'hw:cpu_dedicated_mask': '^0'}
        realtime = {'hw:cpu_realtime': 'yes', 'hw:cpu_realtime_mask': '0,3'}
        isolate = {'hw:emulator_threads_policy': 'isolate'}
        for expected, specs, image in (
            ({'VCPU': 4}, {}, {}),
            ({'PCPU': 3}, {'resources:PCPU': '3'}, {}),
            ({'VCPU': 1}, {'resources:VCPU': '1'}, {}),
            ({'PCPU': 4}, dedicated, {}),
            ({'PCPU': 4}, {}, {'hw_cpu_policy': 'dedicated'}),
            ({'VCPU': 4}, {}, {'hw_cpu_policy': 'shared'}),
            (
                {'VCPU': 4},
                {'hw:cpu_policy': 'shared'},
                {'hw_cpu_policy': 'dedicated'},
            ),
            ({'VCPU': 1, 'PCPU': 3}, masked, {}),
            ({'VCPU': 2, 'PCPU': 2}, {**mixed, **realtime}, {}),
            (
                {'VCPU': 1, 'PCPU': 3},
                {**mixed, **realtime},
                {'hw_cpu_realtime_mask': '1-3'},
            ),
            (
                {'VCPU': 1, 'PCPU': 3},
                {**mixed, 'hw:cpu_dedicated_mask': '0-3, ^2'},
                {},
            ),
            ({'PCPU': 5}, {**dedicated, **isolate}, {}),
            ({'VCPU': 1, 'PCPU': 4}, {**masked, **isolate}, {}),
            ({'VCPU': 4}, isolate, {}),
            (
                {'PCPU': 5},
                isolate,
                {'hw_cpu_policy': 'dedicated'},
            ),
        ):
            self.assertEqual(expected, self.cpus(specs, **image), specs)

    def test_what_is_not_reckoned_is_not_known(self):
        mixed = {'hw:cpu_policy': 'mixed'}
        for key, specs in (
            ('resources1:VGPU', {'resources1:VGPU': '1'}),
            ('trait_x:HW_A', {'trait_x:HW_A': 'required'}),
            ('hw:pmem', {'hw:pmem': '6GB'}),
            ('hw:pmem', {'hw:pmem': '6GB', 'hw:cpu_policy': 'dedicated'}),
            ('hw:cpu_dedicated_mask', mixed),
            ('hw:cpu_dedicated_mask', {**mixed, 'hw:cpu_realtime_mask': '1'}),
            (
                'hw:cpu_dedicated_mask',
                {**mixed, 'hw:cpu_dedicated_mask': 'all'},
            ),
        ):
            found = self.of(flavor=self.flavor(specs=specs))
            self.assertIn(key, found.message)

    def test_traits(self):
        tpm, stateless = 'COMPUTE_SECURITY_TPM', {'hw_firmware_type': 'uefi'}
        for expected, specs, image in (
            (
                {'COMPUTE_SECURITY_UEFI_SECURE_BOOT'},
                {'os:secure_boot': 'required'},
                {},
            ),
            (set(), {}, {'os_secure_boot': 'optional'}),
            (
                {'COMPUTE_SECURITY_UEFI_SECURE_BOOT'},
                {},
                {'os_secure_boot': 'required'},
            ),
            ({f'{tpm}_1_2', f'{tpm}_TIS'}, {'hw:tpm_version': '1.2'}, {}),
            (
                {f'{tpm}_2_0', f'{tpm}_CRB', f'{tpm}_SECRET_SECURITY_HOST'},
                {'hw:tpm_secret_security': 'host'},
                {'hw_tpm_version': '2.0', 'hw_tpm_model': 'tpm-crb'},
            ),
            (
                {'HW_CPU_HYPERTHREADING'},
                {'hw:cpu_thread_policy': 'require'},
                {},
            ),
            (
                {'COMPUTE_SECURITY_STATELESS_FIRMWARE'},
                {},
                {**stateless, 'hw_firmware_stateless': 'True'},
            ),
            (set(), {}, {'hw_firmware_stateless': 'True'}),
            (set(), {}, stateless),
        ):
            flavor = self.flavor(specs=specs)
            found = self.of(flavor=flavor, image_properties=image)
            self.assertEqual(expected, found.required, (specs, image))
        flavor = self.flavor(specs={'hw:cpu_thread_policy': 'isolate'})
        self.assertIn(
            'HW_CPU_HYPERTHREADING', self.of(flavor=flavor).forbidden
        )

    def test_ports_with_a_policy(self):
        group = facts.Granular('g', {'NET_BW': 1})
        ports = samples.port(
            groups=(group, group), same_subtree=('g', 'h')
        ).network.ports
        network = facts.Network((*ports, *samples.clean().network.ports), ())
        found = self.of(network)
        self.assertEqual((group, group), found.groups)
        self.assertEqual((('g', 'h'),), found.same_subtree)
