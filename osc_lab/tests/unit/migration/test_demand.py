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


"""Flavor and image in the words of Placement, as Nova translates them."""

import dataclasses

import testtools

from osc_lab.migration import demand
from osc_lab.migration import facts
from osc_lab.tests.unit.migration import samples

#: Extra spec, image property, value -> trait; '!' is forbidden
#: (nova.scheduler.utils.ResourceRequest).
TRAITS = (
    ('hw:tpm_secret_security', '', 'host', 'TPM_SECRET_SECURITY_HOST'),
    (
        *('hw:tpm_secret_security', '', 'deployment'),
        'TPM_SECRET_SECURITY_DEPLOYMENT',
    ),
    (
        *('hw:maxphysaddr_mode', 'hw_maxphysaddr_mode', 'passthrough'),
        'COMPUTE_ADDRESS_SPACE_PASSTHROUGH',
    ),
    (
        *('hw:maxphysaddr_mode', 'hw_maxphysaddr_mode', 'emulate'),
        'COMPUTE_ADDRESS_SPACE_EMULATED',
    ),
    (
        *('hw:pci_numa_affinity_policy', 'hw_pci_numa_affinity_policy'),
        *('socket', 'COMPUTE_SOCKET_PCI_NUMA_AFFINITY'),
    ),
    (
        *('hw:cpu_thread_policy', 'hw_cpu_thread_policy', 'require'),
        'HW_CPU_HYPERTHREADING',
    ),
    (
        *('hw:cpu_thread_policy', 'hw_cpu_thread_policy', 'isolate'),
        '!HW_CPU_HYPERTHREADING',
    ),
)


class TestTraits(testtools.TestCase):
    def of(self, specs=None, image=None):
        server = samples.clean().server
        flavor = dataclasses.replace(server.flavor, extra_specs=specs or {})
        return demand.of(
            dataclasses.replace(
                server, flavor=flavor, image_properties=image or {}
            ),
            facts.Gap(''),
        )

    def traits(self, specs=None, image=None):
        found = self.of(specs, image)
        self.assertIn('COMPUTE_STATUS_DISABLED', found.forbidden)
        forbidden = found.forbidden - {'COMPUTE_STATUS_DISABLED'}
        return found.required | {f'!{name}' for name in forbidden}

    def test_of_flavor_and_image(self):
        for key, name, value, trait in TRAITS:
            if trait.startswith('TPM'):
                trait = f'COMPUTE_SECURITY_{trait}'
            self.assertEqual({trait}, self.traits({key: value}))
            self.assertEqual(set(), self.traits({key: 'other'}))
            if name:
                self.assertEqual({trait}, self.traits(None, {name: value}))

    def test_model_of_a_tpm(self):
        for specs, image, model in (
            ({'hw:tpm_model': 'tpm-crb'}, {}, 'CRB'),
            ({}, {'hw_tpm_model': 'tpm-crb'}, 'CRB'),
            ({'hw:tpm_model': 'tpm-tis'}, {'hw_tpm_model': 'tpm-crb'}, 'TIS'),
            ({}, {}, 'TIS'),
        ):
            found = self.traits({'hw:tpm_version': '2.0', **specs}, image)
            self.assertEqual(
                {
                    'COMPUTE_SECURITY_TPM_2_0',
                    f'COMPUTE_SECURITY_TPM_{model}',
                },
                found,
            )

    def test_firmware_without_a_state(self):
        """As oslo.utils takes a text for true, of UEFI alone."""
        for text in ('1', 't', 'True', ' on ', 'y', 'YES'):
            image = {'hw_firmware_stateless': text}
            self.assertEqual(set(), self.traits(None, image))
            image['hw_firmware_type'] = 'uefi'
            self.assertEqual(
                {'COMPUTE_SECURITY_STATELESS_FIRMWARE'},
                self.traits(None, image),
            )
        image['hw_firmware_stateless'] = 'no'
        self.assertEqual(set(), self.traits(None, image))
        self.assertEqual(
            set(), self.traits(None, {'hw_firmware_type': 'uefi'})
        )

    def test_of_the_image_by_name(self):
        self.assertEqual(
            {'CUSTOM_A:B'}, self.traits(None, {'trait:CUSTOM_A:B': 'required'})
        )

    def test_what_is_not_reckoned(self):
        for key in ('hw:pmem', 'accel:device_profile'):
            found = self.of({key: 'x'})
            self.assertIn(key, found.message)
            self.assertIn('openstack allocation candidate', found.remedy)

    def test_mixed_without_a_mask(self):
        for realtime, key in (
            ({}, 'hw:cpu_dedicated_mask'),
            ({'hw:cpu_realtime': 'yes'}, 'hw:cpu_realtime_mask'),
        ):
            found = self.of({'hw:cpu_policy': 'mixed', **realtime})
            self.assertIn(key, found.message)

    def test_policies(self):
        for text in ('dedicated', 'mixed', 'shared'):
            self.assertEqual(
                text, demand.cpu_policy({}, {'hw_cpu_policy': text})
            )
            self.assertEqual(
                text, demand.cpu_policy({'hw:cpu_policy': text}, {})
            )
        self.assertEqual('', demand.cpu_policy({'hw:cpu_policy': 'x'}, {}))
        self.assertEqual('', demand.cpu_policy({}, {}))
