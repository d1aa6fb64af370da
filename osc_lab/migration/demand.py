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

from osc_lab.migration import facts


def of(
    server: facts.Server, network: facts.Network | facts.Gap
) -> facts.Demand:
    """Return what the scheduler would ask for.

    From the flavor, as ``nova.scheduler.utils.ResourceRequest`` builds
    it: disk only without a boot volume, ``resources:`` overrides,
    ``trait:`` and dedicated CPUs; disabled hosts are forbidden.  Ports
    with a QoS policy add a group each.
    """
    flavor = server.flavor
    specs = flavor.extra_specs
    dedicated = specs.get('hw:cpu_policy') == 'dedicated'
    root = flavor.disk_gib if server.image_id else 0
    amounts = {
        'PCPU' if dedicated else 'VCPU': flavor.vcpus,
        'MEMORY_MB': flavor.ram_mib,
        'DISK_GB': root
        + flavor.ephemeral_gib
        + (flavor.swap_mib + 1023) // 1024,
    }
    required, forbidden = set(), {'COMPUTE_STATUS_DISABLED'}
    for key, value in specs.items():
        kind, _colon, name = key.partition(':')
        if kind == 'resources' and value.isdigit():
            amounts[name] = int(value)
        elif kind == 'trait' and value == 'required':
            required.add(name)
        elif kind == 'trait' and value == 'forbidden':
            forbidden.add(name)
    if not isinstance(server.image_properties, facts.Gap):
        for key, value in server.image_properties.items():
            if key.startswith('trait:') and value == 'required':
                required.add(key.partition(':')[2])
    ports = () if isinstance(network, facts.Gap) else network.ports
    return facts.Demand(
        {name: amount for name, amount in amounts.items() if amount},
        frozenset(required),
        frozenset(forbidden),
        tuple(group for port in ports for group in port.groups),
        tuple(port.same_subtree for port in ports if port.same_subtree),
    )
