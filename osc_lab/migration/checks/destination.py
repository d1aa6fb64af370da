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

"""Would the scheduler let the server onto the host?"""

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_
from osc_lab.preflight import finding


class DestinationService(base.HostCheck):
    id = 'destination-service'
    question = _('Is nova-compute up and enabled on another host?')
    reason = _(
        'The scheduler passes over hosts that are down or disabled, and '
        'says only "No valid host".'
    )
    remedy = _('Choose another host.')

    def judge(self, facts: facts_.Facts) -> base.Found:
        if facts.destinations:
            yield from super().judge(facts)
            return
        unseen = base.hosts_unseen(facts)
        if unseen:
            yield self.missing(facts.server.name, unseen)
            return
        yield self.answer(
            facts.server.name,
            base.FAILED,
            _('There is no compute host besides the source.'),
            _('See "openstack compute service list".'),
        )

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        service = host.service
        if host.name == facts.source.name:
            yield self.answer(
                host.name, base.FAILED, _('The server runs there already.')
            )
        elif isinstance(service, facts_.Gap):
            yield self.missing(host.name, service)
        elif service.forced_down:
            yield self.answer(
                host.name,
                base.FAILED,
                _('The host is forced down.'),
                f'openstack compute service set --up {host.name} nova-compute',
            )
        elif not service.up:
            yield self.answer(
                host.name,
                base.FAILED,
                _('nova-compute is down.'),
                _('Start nova-compute there, or choose another host.'),
            )
        elif not service.enabled:
            yield self.answer(
                host.name,
                base.FAILED,
                _('nova-compute is disabled (%s).')
                % (service.disabled_reason or _('no reason given')),
                f'openstack compute service set --enable {host.name} '
                'nova-compute',
                disabled_reason=service.disabled_reason,
            )
        else:
            yield self.answer(
                host.name, base.OK, _('nova-compute is up and enabled.')
            )


class SameCell(base.HostCheck):
    id = 'same-cell'
    question = _('Do both hosts belong to the same cell?')
    reason = _(
        'Nova cannot live-migrate between cells, and no API shows the cell '
        'of a host; those of one cell share a message queue.'
    )
    remedy = _('Choose a host in the same cell.')
    source = finding.Source.SHELL
    channel = '--ssh'

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        ends = (facts.source.shell, host.shell)
        for gap in ends:
            if isinstance(gap, facts_.Gap):
                yield self.missing(host.name, gap)
                return
        cells = [end.cell for end in ends if isinstance(end, facts_.Shell)]
        if not all(cells):
            yield self.answer(
                host.name,
                base.UNKNOWN,
                _('No transport_url is in nova.conf.'),
                _('Compare "nova-manage cell_v2 list_hosts" by hand.'),
            )
        elif cells[0] != cells[1]:
            yield self.answer(
                host.name,
                # nova.conf may name one queue in many ways, by another
                # address or a proxy of its host for one.
                base.UNKNOWN,
                _(
                    'Its nova.conf names another message queue than that of '
                    'the source: it may be in another cell.'
                ),
                _('Compare "nova-manage cell_v2 list_hosts" by hand.'),
            )
        else:
            yield self.answer(
                host.name, base.OK, _('Both use the same message queue.')
            )


class AggregatesAndZone(base.HostCheck):
    id = 'aggregates-and-zone'
    question = _('Do availability zone and aggregates let the server in?')
    reason = _(
        'A server that was made in a zone stays in it, and aggregates can '
        'ask for flavors or projects of their own.'
    )
    remedy = _('Choose a host of the same zone and aggregates.')

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        found = False
        for item in (
            *self._zone(facts, host),
            *self._aggregates(facts, host),
        ):
            found = True
            yield item
        if not found:
            yield self.answer(
                host.name, base.OK, _('Zone and aggregates let it in.')
            )

    def _zone(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        service, server = host.service, facts.server
        if isinstance(service, facts_.Gap):
            yield self.missing(host.name, service)
            return
        pinned = server.pinned_zone
        wanted = server.zone if isinstance(pinned, facts_.Gap) else pinned
        if pinned is None or service.zone == wanted:
            return
        evidence: base.Evidence = {'zone': service.zone, 'wanted': wanted}
        if isinstance(pinned, facts_.Gap):
            yield self.answer(
                host.name,
                base.WARNING,
                _('It lies in zone %(zone)s, the server in %(wanted)s.')
                % evidence,
                _('It fails if the server was made with a zone. ')
                + pinned.message,
                **evidence,
            )
        else:
            yield self.answer(
                host.name,
                base.FAILED,
                _(
                    'The server was made for zone %(wanted)s, the host lies '
                    'in %(zone)s.'
                )
                % evidence,
                **evidence,
            )

    def _aggregates(
        self, facts: facts_.Facts, host: facts_.Host
    ) -> base.Found:
        if isinstance(facts.aggregates, facts_.Gap):
            yield self.missing(host.name, facts.aggregates)
            return
        mine = [item for item in facts.aggregates if host.name in item.hosts]
        yield from self._tenants(facts, host, mine)
        for key, wanted in facts.server.flavor.extra_specs.items():
            scope, _colon, name = key.partition(':')
            if scope != 'aggregate_instance_extra_specs':
                continue
            values = {
                value.strip()
                for item in mine
                if name in item.metadata
                for value in item.metadata[name].split(',')
            }
            if wanted not in values:
                yield self.answer(
                    host.name,
                    base.WARNING,
                    _(
                        'No aggregate of the host has %(key)s=%(value)s, '
                        'which the flavor asks for.'
                    )
                    % {'key': name, 'value': wanted},
                    _(
                        'It fails where AggregateInstanceExtraSpecsFilter is '
                        'enabled; choose a host of such an aggregate.'
                    ),
                )

    def _tenants(
        self,
        facts: facts_.Facts,
        host: facts_.Host,
        mine: list[facts_.Aggregate],
    ) -> base.Found:
        # What one aggregate of the host allows counts for all of them
        # (nova.scheduler.filters.aggregate_multitenancy_isolation).  That
        # filter is not among the default ones, and no API shows which are
        # enabled: a host that Nova may accept must not be ruled out.
        allowed: set[str] = set()
        names: set[str] = set()
        for aggregate in mine:
            for key, value in aggregate.metadata.items():
                if key.startswith('filter_tenant_id'):
                    allowed.update(item.strip() for item in value.split(','))
                    names.add(aggregate.name)
        if allowed and facts.server.project_id not in allowed:
            yield self.answer(
                host.name,
                base.WARNING,
                _('Its aggregates are for other projects: %s.')
                % ', '.join(sorted(names)),
                _(
                    'It fails where AggregateMultiTenancyIsolation is '
                    'enabled; choose a host that is for this project.'
                ),
                aggregates=sorted(names),
            )


class ServerGroup(base.HostCheck):
    id = 'server-group'
    question = _('Does the policy of its server group allow the host?')
    reason = _(
        'Anti-affinity forbids a host with another member, affinity forbids '
        'every host without one; Nova counts the server itself as a member '
        'on its present host (nova.scheduler.utils, setup_instance_group).'
    )
    remedy = _('Choose a host that the policy of the group allows.')

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        if isinstance(facts.groups, facts_.Gap):
            yield self.missing(host.name, facts.groups)
            return
        for group in facts.groups:
            here = sorted(
                member
                for member, where in group.member_hosts.items()
                if where == host.name
            )
            evidence: base.Evidence = {
                'group': group.name,
                'members_there': here,
            }
            if (
                group.policy == 'anti-affinity'
                and len(here) >= group.max_per_host
            ):
                yield self.answer(
                    host.name,
                    base.FAILED,
                    _(
                        'Group %(group)s is anti-affinity and %(count)d of '
                        'its members run there.'
                    )
                    % {'group': group.name, 'count': len(here)},
                    **evidence,
                )
            elif group.policy == 'affinity' and not here:
                yield self.answer(
                    host.name,
                    base.FAILED,
                    _('Group %s is affinity and no member runs there.')
                    % group.name,
                    None
                    if group.member_hosts
                    else _(
                        'No other host is allowed while the group has no '
                        'other member that runs.'
                    ),
                    **evidence,
                )
            elif (
                group.policy.startswith('soft-')
                and (bool(here) == (group.policy == 'soft-anti-affinity'))
                and group.member_hosts
            ):
                yield self.answer(
                    host.name,
                    base.WARNING,
                    _('Group %(group)s would rather not: %(policy)s.')
                    % {'group': group.name, 'policy': group.policy},
                    **evidence,
                )
            else:
                yield self.answer(
                    host.name,
                    base.OK,
                    _('Group %s allows it.') % group.name,
                    **evidence,
                )
        if not facts.groups:
            yield self.answer(
                host.name, base.OK, _('The server is in no group.')
            )
