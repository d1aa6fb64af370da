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

"""What a server asks of Placement."""

import collections.abc
import dataclasses
import re

from osc_lab.i18n import _
from osc_lab.migration import facts

#: kind, suffix of a granular group, name (ResourceRequest.XS_KEYPAT)
_KEY = re.compile(r'(resources|trait)([a-zA-Z0-9_-]{1,64})?:(.*)')

#: Keys that ask for what is not reckoned here.
_NOT_RECKONED = ('hw:pmem', 'accel:device_profile')

#: (key of the flavor, of the image) -> value -> trait, that the scheduler
#: makes of it (_translate_* of nova.scheduler.utils, and
#: nova.scheduler.request_filter)
_TRAITS = {
    ('os:secure_boot', 'os_secure_boot'): {
        'required': 'COMPUTE_SECURITY_UEFI_SECURE_BOOT'
    },
    ('hw:tpm_version', 'hw_tpm_version'): {
        '1.2': 'COMPUTE_SECURITY_TPM_1_2',
        '2.0': 'COMPUTE_SECURITY_TPM_2_0',
    },
    ('hw:tpm_secret_security', ''): {
        'host': 'COMPUTE_SECURITY_TPM_SECRET_SECURITY_HOST',
        'deployment': 'COMPUTE_SECURITY_TPM_SECRET_SECURITY_DEPLOYMENT',
    },
    ('hw:maxphysaddr_mode', 'hw_maxphysaddr_mode'): {
        'passthrough': 'COMPUTE_ADDRESS_SPACE_PASSTHROUGH',
        'emulate': 'COMPUTE_ADDRESS_SPACE_EMULATED',
    },
    ('hw:pci_numa_affinity_policy', 'hw_pci_numa_affinity_policy'): {
        'socket': 'COMPUTE_SOCKET_PCI_NUMA_AFFINITY'
    },
}

#: The same, of those that pin CPUs (_translate_pinning_policies).
_PINNING = {
    ('hw:cpu_thread_policy', 'hw_cpu_thread_policy'): {
        'require': 'HW_CPU_HYPERTHREADING',
        'isolate': '!HW_CPU_HYPERTHREADING',
    },
}

Text = collections.abc.Mapping[str, str]


def of(
    server: facts.Server, network: facts.Network | facts.Gap
) -> facts.Demand | facts.Gap:
    """Return what the scheduler would ask for.

    From flavor and image, as ``nova.scheduler.utils.ResourceRequest`` builds
    it: disk only without a boot volume, ``resources:`` overrides,
    ``trait:``, CPU policies and firmware; disabled hosts are forbidden.
    Ports with a QoS policy add a group each.  Of a flavor with groups of
    its own nothing is said.

    Of dedicated CPUs the scheduler asks a second time without the policy,
    for hosts that still have vcpu_pin_set (nova.scheduler.manager,
    select_destinations).
    """
    image = server.image_properties
    if isinstance(image, facts.Gap):
        image = {}
    found = _asked(server, image, network, pinning=True)
    if isinstance(found, facts.Gap):
        return found
    if cpu_policy(server.flavor.extra_specs, image) != 'dedicated':
        return found
    fallback = _asked(server, image, network, pinning=False)
    assert isinstance(fallback, facts.Demand)
    return dataclasses.replace(found, fallback=fallback)


def _asked(
    server: facts.Server,
    image: Text,
    network: facts.Network | facts.Gap,
    pinning: bool,
) -> facts.Demand | facts.Gap:
    """Return what is asked for, with the policies of CPUs or without."""
    flavor, specs = server.flavor, server.flavor.extra_specs
    amounts: dict[str, int] = {}
    traits = {'!COMPUTE_STATUS_DISABLED'}
    for key, value in specs.items():
        found = _KEY.fullmatch(key)
        if key in _NOT_RECKONED or (found and found[2]):
            return _unknown(key)
        if found and found[1] == 'resources' and value.isdigit():
            amounts[found[3]] = int(value)
        elif found and found[1] == 'trait':
            if value in ('required', 'forbidden'):
                traits.add(('!' if value == 'forbidden' else '') + found[3])
    cpus = _cpus(flavor, image) if pinning else {}
    if isinstance(cpus, facts.Gap):
        return cpus
    amounts.update(cpus)
    if not {'VCPU', 'PCPU'} & set(amounts):
        amounts['VCPU'] = flavor.vcpus
    amounts.setdefault('MEMORY_MB', flavor.ram_mib)
    root = flavor.disk_gib if server.image_id else 0
    swap = (flavor.swap_mib + 1023) // 1024
    amounts.setdefault('DISK_GB', root + flavor.ephemeral_gib + swap)
    traits |= _traits(specs, image, pinning)
    ports = () if isinstance(network, facts.Gap) else network.ports
    return facts.Demand(
        {name: amount for name, amount in amounts.items() if amount},
        frozenset(name for name in traits if name[0] != '!'),
        frozenset(name[1:] for name in traits if name[0] == '!'),
        tuple(group for port in ports for group in port.groups),
        tuple(port.same_subtree for port in ports if port.same_subtree),
    )


def cpu_policy(specs: Text, image: Text) -> str:
    """Return dedicated, mixed, shared or '' (get_cpu_policy_constraint)."""
    policy = specs.get('hw:cpu_policy') or image.get('hw_cpu_policy') or ''
    return policy if policy in ('dedicated', 'mixed', 'shared') else ''


def _unknown(key: str) -> facts.Gap:
    return facts.Gap(
        _('What the flavor asks of Placement with %s is not known here.')
        % key,
        _(
            'Compare "openstack allocation candidate list" with its groups '
            'by hand.'
        ),
    )


def _cpus(flavor: facts.Flavor, image: Text) -> dict[str, int] | facts.Gap:
    """Return CPUs by a policy (_translate_pinning_policies)."""
    specs = flavor.extra_specs
    policy = cpu_policy(specs, image)
    if policy not in ('dedicated', 'mixed'):
        return {}
    amounts = {'PCPU': flavor.vcpus}
    if policy == 'mixed':
        key = 'hw:cpu_dedicated_mask'
        mask = specs.get(key, '')
        if not mask and _true(specs.get('hw:cpu_realtime', '')):
            key = 'hw:cpu_realtime_mask'
            mask = image.get('hw_cpu_realtime_mask') or specs.get(key, '')
        try:
            pinned = len(_masked(mask, flavor.vcpus))
        except ValueError:
            return _unknown(key)
        amounts = {'VCPU': flavor.vcpus - pinned, 'PCPU': pinned}
    if specs.get('hw:emulator_threads_policy') == 'isolate':
        amounts['PCPU'] += 1
    return amounts


def _masked(mask: str, cpus: int) -> set[int]:
    """Return the CPUs of a mask like ``0-3,^1`` (parse_cpu_spec).

    :param cpus: how many there are; a mask that begins with ``^`` leaves
        out of them
    :raises ValueError: when it is no such mask
    """
    found: set[int] = set()
    without: set[int] = set()
    if mask.strip().startswith('^'):
        found = set(range(cpus))
    for part in filter(None, (item.strip() for item in mask.split(','))):
        first, _dash, last = part.lstrip('^').partition('-')
        some = {cpu for cpu in range(cpus) if cpu >= int(first)}
        some = {cpu for cpu in some if cpu <= int(last or first)}
        (without if part.startswith('^') else found).update(some)
    if not found - without:
        raise ValueError(mask)
    return found - without


def _traits(specs: Text, image: Text, pinning: bool) -> set[str]:
    """Return what else is required, or forbidden with a ``!``."""
    found = {
        key.partition(':')[2]
        for key, value in image.items()
        if key.startswith('trait:') and value == 'required'
    }
    known = _TRAITS | _PINNING if pinning else _TRAITS
    for (key, name), values in known.items():
        trait = values.get(specs.get(key) or image.get(name, ''))
        if trait:
            found.add(trait)
    if specs.get('hw:tpm_version') or image.get('hw_tpm_version'):
        model = specs.get('hw:tpm_model') or image.get('hw_tpm_model', '')
        crb = model == 'tpm-crb'
        found.add(f'COMPUTE_SECURITY_TPM_{"CRB" if crb else "TIS"}')
    if image.get('hw_firmware_type') == 'uefi' and _true(
        image.get('hw_firmware_stateless', '')
    ):
        found.add('COMPUTE_SECURITY_STATELESS_FIRMWARE')
    return found


def _true(text: str) -> bool:
    # oslo_utils.strutils.bool_from_string
    return text.strip().lower() in ('1', 't', 'true', 'on', 'y', 'yes')
