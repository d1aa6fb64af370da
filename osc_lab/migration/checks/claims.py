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

"""What Nova claims on the destination, and no API shows."""

import collections.abc

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import demand
from osc_lab.migration import facts as facts_

#: nova.network.model.VNIC_TYPES_SRIOV
_SRIOV = {
    *('direct', 'direct-physical', 'macvtap', 'remote-managed', 'vdpa'),
    'virtio-forwarder',
}


class NumaAndSriov(base.ServerCheck):
    id = 'numa-and-sriov'
    question = _(
        'Does it ask for NUMA nodes, CPUs of its own, large pages or SR-IOV?'
    )
    reason = _(
        'Nova claims them on the destination when the migration begins, and '
        'rejects the host then; Placement does not know how they lie '
        '(nova.compute.manager, _live_migration_claim and '
        '_claim_pci_for_instance_vifs).'
    )
    remedy = _('Look on the destination whether they are free.')

    def judge(self, facts: facts_.Facts) -> base.Found:
        name, found = facts.server.name, False
        asked, gap = _asked(facts)
        if asked:
            found = True
            yield self.answer(
                name,
                base.UNKNOWN,
                _(
                    'Nova fits it into the NUMA nodes of the destination '
                    '(%s); whether it fits no API tells.'
                )
                % ', '.join(asked),
                _(
                    'Compare "virsh capabilities", "virsh freepages --all" '
                    'and "virsh vcpupin" of the guests there.'
                ),
                asked=asked,
            )
        network = facts.network
        ports = () if isinstance(network, facts_.Gap) else network.ports
        for port in ports:
            if port.vnic_type in _SRIOV:
                found = True
                yield self.answer(
                    name,
                    base.UNKNOWN,
                    _(
                        'Port %(id)s (%(type)s) needs a device; whether one '
                        'is free there no API tells.'
                    )
                    % {'id': port.id, 'type': port.vnic_type},
                    _(
                        'See pci_stats in the last "Final resource view" in '
                        'the log of nova-compute there.'
                    ),
                    vnic_type=port.vnic_type,
                )
        if found:
            return
        if isinstance(network, facts_.Gap):
            yield self.missing(name, network)
            return
        if gap:
            yield self.answer(
                name,
                base.SKIPPED,
                _('Flavor and ports ask for none; of the image: %s')
                % gap.message,
                _(
                    'Use --libvirt-uri, or look for numatune, cputune and '
                    'hugepages in "virsh dumpxml" on the source.'
                ),
            )
            return
        yield self.answer(name, base.OK, _('Nothing asks for them.'))


def _asked(facts: facts_.Facts) -> tuple[list[str], facts_.Gap | None]:
    """Return what asks for a topology, and why some may not be seen."""
    asked = sorted(_topology(facts.server))
    gap = base.gap_of(facts.server.image_properties)
    guest = facts.source.guest
    if gap is None or isinstance(guest, facts_.Gap):
        return asked, gap
    # What the image asks for is to be seen in the guest.
    return asked or list(guest.placed), None


def _topology(
    server: facts_.Server,
) -> collections.abc.Iterator[str]:
    """Yield what gives a guest a topology (numa_get_constraints)."""
    specs, image = server.flavor.extra_specs, server.image_properties
    if isinstance(image, facts_.Gap):
        image = {}
    for key in specs:
        if key in ('hw:numa_nodes', 'hw:mem_page_size', 'hw:pmem') or (
            key.startswith('resources') and key.endswith(':PCPU')
        ):
            yield key
    for key in ('hw_numa_nodes', 'hw_mem_page_size'):
        if key in image:
            yield key
    policy = demand.cpu_policy(specs, image)
    if policy in ('dedicated', 'mixed'):
        yield f'CPU policy {policy}'
