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

"""Placement, read only: nothing is claimed, nothing allocated."""

import collections.abc
import typing

from osc_lab.access import rest
from osc_lab.access import service
from osc_lab.i18n import _
from osc_lab.migration import facts

#: Forbidden traits 1.22, in_tree 1.31, root providers 1.29, groups with a
#: name 1.33, same_subtree 1.36.
VERSION = (1, 36)


class Placement:
    """The placement service.

    :param adapter: ``connection.placement``
    """

    def __init__(
        self, adapter: typing.Any, timeout: float = rest.TIMEOUT
    ) -> None:
        self.rest = service.Service(adapter, timeout)

    def allocated(self, server_id: str) -> dict[str, dict[str, int]]:
        """Return provider id -> resource class -> amount of a server."""
        found = self.rest.value(
            f'/allocations/{server_id}', 'allocations', (1, 28)
        )
        return {
            str(provider): {
                str(name): int(amount)
                for name, amount in item['resources'].items()
            }
            for provider, item in found.items()
        }

    def candidates(
        self, demand: facts.Demand, root: str | None = None
    ) -> frozenset[str]:
        """Return ids of the root providers that could take a demand.

        :param root: look at this provider and its children alone
        """
        params: dict[str, typing.Any] = {
            'resources': _resources(demand.resources)
        }
        traits = [
            *sorted(demand.required),
            *(f'!{name}' for name in sorted(demand.forbidden)),
        ]
        if traits:
            params['required'] = ','.join(traits)
        if root:
            params['in_tree'] = root
        for group in demand.groups:
            params[f'resources_{group.id}'] = _resources(group.resources)
            if group.required:
                params[f'required_{group.id}'] = ','.join(
                    sorted(group.required)
                )
        if len(demand.groups) > 1:
            params['group_policy'] = 'none'
        if demand.same_subtree:
            params['same_subtree'] = [
                ','.join(f'_{name}' for name in names)
                for names in demand.same_subtree
            ]
        summaries = self.rest.value(
            '/allocation_candidates', 'provider_summaries', VERSION, **params
        )
        return frozenset(
            str(item.get('root_provider_uuid', provider))
            for provider, item in summaries.items()
        )

    def provider(self, provider_id: str) -> facts.Provider | facts.Gap:
        """Return inventories, usages and traits of one provider."""
        path = f'/resource_providers/{provider_id}'
        body = self.rest.maybe(f'{path}/inventories', VERSION)
        if body is None:
            return facts.Gap(
                _('Placement does not know the compute node.'),
                _('Restart nova-compute there, and read its log.'),
            )
        inventories = body.get('inventories') or {}
        usages = self.rest.value(f'{path}/usages', 'usages', VERSION)
        traits = self.rest.value(f'{path}/traits', 'traits', VERSION)
        return facts.Provider(
            {
                str(name): facts.Inventory(
                    total=int(item['total']),
                    reserved=int(item.get('reserved', 0)),
                    ratio=float(item.get('allocation_ratio', 1.0)),
                    max_unit=int(item.get('max_unit', item['total'])),
                    used=int(usages.get(name, 0)),
                )
                for name, item in inventories.items()
            },
            frozenset(str(name) for name in traits),
        )


def _resources(amounts: collections.abc.Mapping[str, int]) -> str:
    return ','.join(
        f'{name}:{amount}' for name, amount in sorted(amounts.items())
    )
