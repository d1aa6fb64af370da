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

"""What Placement tells: room on the destination, by its own books."""

import collections.abc

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_

#: Nova gives this trait to the provider of a disabled service.
_DISABLED = 'COMPUTE_STATUS_DISABLED'


class DestinationCapacity(base.HostCheck):
    id = 'destination-capacity'
    question = _('Would Placement allow the server on the host?')
    reason = _(
        'The scheduler asks Placement for allocation candidates first; a '
        'host that is none is passed over without a word.'
    )
    remedy = _('Free resources on the host, or choose another one.')

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        for gap in (facts.candidates, facts.demand, host.hypervisor):
            if isinstance(gap, facts_.Gap):
                yield self.missing(host.name, gap)
                return
        assert not isinstance(facts.candidates, facts_.Gap)
        assert not isinstance(facts.demand, facts_.Gap)
        assert not isinstance(host.hypervisor, facts_.Gap)
        asked = dict(facts.demand.resources)
        if host.hypervisor.id in facts.candidates:
            yield self.answer(
                host.name,
                base.OK,
                _('Placement has room for %s.') % _amounts(asked),
                asked=asked,
            )
        elif isinstance(facts.fallback, facts_.Gap):
            yield self.missing(host.name, facts.fallback)
        elif host.hypervisor.id in facts.fallback and not _pins(host):
            yield self.answer(
                host.name,
                base.WARNING,
                _(
                    'Placement has no PCPU for it, only VCPU; that does for '
                    'a host which still has vcpu_pin_set.'
                ),
                _(
                    'Set cpu_dedicated_set in nova.conf there; where it is '
                    'set, the compute node refuses.'
                ),
                asked=asked,
            )
        elif _only_disabled(facts.demand, host):
            yield self.answer(
                host.name,
                base.SKIPPED,
                _('Placement leaves out a host whose service is disabled.'),
                _('See destination-service.'),
            )
        elif isinstance(host.provider, facts_.Gap):
            yield self.answer(
                host.name,
                base.FAILED,
                _('Placement does not allow it: %s') % host.provider.message,
                host.provider.remedy or self.remedy,
            )
        elif host.provider is None:
            yield self.answer(
                host.name,
                base.FAILED,
                _('Placement does not allow %s there.') % _amounts(asked),
                _('Name the host with --host to see what is missing.'),
                asked=asked,
            )
        else:
            yield from self._lacks(facts.demand, host.name, host.provider)

    def _lacks(
        self, demand: facts_.Demand, host: str, provider: facts_.Provider
    ) -> base.Found:
        found = False
        for name, asked in sorted(demand.resources.items()):
            item = provider.inventories.get(name)
            message = _shortage(name, asked, item)
            if not message:
                continue
            found = True
            evidence: base.Evidence = (
                {}
                if item is None
                else {
                    'total': item.total,
                    'reserved': item.reserved,
                    'allocation_ratio': item.ratio,
                    'used': item.used,
                    'max_unit': item.max_unit,
                    'free': item.free,
                }
            )
            yield self.answer(
                host,
                base.FAILED,
                message,
                resource_class=name,
                asked=asked,
                **evidence,
            )
        missing = sorted(demand.required - provider.traits)
        unwanted = sorted(demand.forbidden & provider.traits)
        if missing:
            found = True
            yield self.answer(
                host,
                base.FAILED,
                _('The host lacks the traits %s.') % ', '.join(missing),
                missing_traits=missing,
            )
        if unwanted:
            found = True
            yield self.answer(
                host,
                base.FAILED,
                _('The host has the forbidden traits %s.')
                % ', '.join(unwanted),
                _('COMPUTE_STATUS_DISABLED goes when the service is enabled.')
                if _DISABLED in unwanted
                else None,
                forbidden_traits=unwanted,
            )
        if not found:
            yield self.answer(
                host,
                base.FAILED,
                _(
                    'Placement does not allow it, though the compute node '
                    'itself has room; a nested provider may lack %s.'
                )
                % (_groups(demand) or _('it')),
                _(
                    'openstack allocation candidate list with the resources '
                    'of the flavor shows more.'
                ),
            )


def _pins(host: facts_.Host) -> bool:
    """Return whether a host is known to have CPUs for pinning alone.

    It refuses a guest that got VCPU (nova.virt.hardware).
    """
    known = host.provider
    return isinstance(known, facts_.Provider) and 'PCPU' in known.inventories


def _only_disabled(demand: facts_.Demand, host: facts_.Host) -> bool:
    """Return whether nothing is known against it but its service."""
    service, provider = host.service, host.provider
    if isinstance(service, facts_.Gap) or service.enabled:
        return False
    if not isinstance(provider, facts_.Provider):
        return provider is None
    short = any(
        _shortage(name, asked, provider.inventories.get(name))
        for name, asked in demand.resources.items()
    )
    return (
        not short
        and demand.required <= provider.traits
        and demand.forbidden & provider.traits <= {_DISABLED}
    )


def _shortage(
    name: str, asked: int, item: facts_.Inventory | None
) -> str | None:
    if item is None:
        return _('The host has no %s at all.') % name
    values = {
        'name': name,
        'asked': asked,
        'lack': asked - item.free,
        'free': item.free,
        'total': item.total,
        'reserved': item.reserved,
        'ratio': item.ratio,
        'used': item.used,
        'max': item.max_unit,
    }
    if asked > item.free:
        return (
            _(
                '%(lack)d %(name)s too little: %(asked)d asked, %(free)d free '
                '((%(total)d - %(reserved)d reserved) x %(ratio)g - %(used)d '
                'used).'
            )
            % values
        )
    if asked > item.max_unit:
        return (
            _(
                '%(asked)d %(name)s asked, but one server may have at most '
                '%(max)d (max_unit).'
            )
            % values
        )
    return None


def _groups(demand: facts_.Demand) -> str:
    return '; '.join(
        f'{_amounts(group.resources)} ({", ".join(sorted(group.required))})'
        for group in demand.groups
    )


def _amounts(resources: collections.abc.Mapping[str, int]) -> str:
    return ', '.join(
        f'{amount} {name}' for name, amount in sorted(resources.items())
    )
