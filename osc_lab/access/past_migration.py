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

"""What Nova and the hosts still know of a migration of the past."""

import collections.abc
import typing

from osc_lab.access import aftermath
from osc_lab.access import compute
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import examine
from osc_lab.migration import explain
from osc_lab.migration import facts as facts_
from osc_lab.migration import outcome as outcome_
from osc_lab.migration import ranking
from osc_lab.migration import record as record_
from osc_lab.preflight import check
from osc_lab.preflight import finding
from osc_lab.preflight import registry


_Found = tuple[record_.Record | None, record_.Action | None, facts_.Server]

#: Seconds by which the clocks of nova-api and nova-conductor may differ.
_SKEW = 5


class PastMigration:
    """Finds a migration, and why it ended as it did.

    :param compute_: the adapter of Nova
    :param aftermath_: reads the logs of the hosts
    :param look: returns what the APIs tell about moving a server to a host
    """

    def __init__(
        self,
        compute_: compute.Compute,
        aftermath_: aftermath.Aftermath,
        look: collections.abc.Callable[[str, str | None], facts_.Facts],
    ) -> None:
        self._compute = compute_
        self._aftermath = aftermath_
        self._look = look

    def find(
        self, reference: str, server_reference: str | None = None
    ) -> _Found:
        """Return a migration, what was asked for, and its server.

        :raises NotFound: when there is none, or more than one
        """
        server = None
        filters: dict[str, typing.Any] = {'migration_type': 'live-migration'}
        if server_reference:
            server = self._compute.server(server_reference)
            filters['instance_uuid'] = server.id
        records = map(record_.record, self._compute.migrations(**filters))
        if reference.startswith('req-'):
            found = self._by_request(reference, server, records)
        else:
            found = self._by_number(reference, server, records)
        if found is not None:
            return found
        remedy = _('See "openstack server migration list".')
        if server is None:
            remedy = _(
                'The newest 1,000 were looked at; give the server, too.'
            )
        raise exceptions.NotFound(
            _('--explain: there is no live migration "%s"') % reference,
            remedy,
        )

    def _by_number(
        self,
        reference: str,
        server: facts_.Server | None,
        records: collections.abc.Iterable[record_.Record],
    ) -> _Found | None:
        matches = [
            item for item in records if reference in (str(item.id), item.uuid)
        ]
        if not matches:
            return None
        if len(matches) > 1:
            # Each cell counts its own.
            raise exceptions.NotFound(
                _('--explain: %(count)d live migrations have the ID %(id)s')
                % {'count': len(matches), 'id': reference},
                _('Give the UUID of one: %s.')
                % ', '.join(item.uuid for item in matches),
            )
        (record,) = matches
        return (
            record,
            self._action_of(record),
            server or self._compute.server(record.server_id),
        )

    def _by_request(
        self,
        reference: str,
        server: facts_.Server | None,
        records: collections.abc.Iterable[record_.Record],
    ) -> _Found | None:
        ids = (
            [server.id] if server else (record.server_id for record in records)
        )
        # Ordered, and each but once.
        for server_id in dict.fromkeys(ids):
            body = self._compute.action(server_id, reference)
            if body is not None:
                action = record_.action(body)
                server = server or self._compute.server(server_id)
                return self._record_of(server, action), action, server
        return None

    def _action_of(self, record: record_.Record) -> record_.Action | None:
        """Return the action that made a record, with its events."""
        nearest = _nearest(record, self._actions(record.server_id))
        if nearest is None:
            return None
        found = self._compute.action(record.server_id, nearest.request_id)
        return record_.action(found) if found else None

    def _record_of(
        self, server: facts_.Server, action: record_.Action
    ) -> record_.Record | None:
        """Return the record that an action made, None when there is none."""
        actions = self._actions(server.id)
        made = []
        for body in self._compute.migrations(
            instance_uuid=server.id, migration_type='live-migration'
        ):
            record = record_.record(body)
            nearest = _nearest(record, actions)
            if nearest and nearest.request_id == action.request_id:
                made.append(record)
        return min(
            made,
            key=lambda item: abs(item.created - action.started),
            default=None,
        )

    def _actions(self, server_id: str) -> list[record_.Action]:
        """Return the live migrations that a server was asked for."""
        found = map(record_.action, self._compute.actions(server_id))
        return [item for item in found if item.action == 'live-migration']

    def ends(self, seen: outcome_.Outcome) -> list[facts_.Host]:
        """Return the source, and the destination or what it may be.

        Nova names none before both ends have answered.
        """
        names = [seen.before.host]
        if seen.record is not None and seen.record.destination:
            names.append(seen.record.destination)
        elif seen.left_running and seen.record is not None:
            names += [
                name
                for name, service in sorted(self._compute.services().items())
                if service.up and service.enabled
            ]
        return self._aftermath.named(names)

    def causes(
        self,
        seen: outcome_.Outcome,
        source: facts_.Host,
        running: collections.abc.Mapping[str, bool | facts_.Gap],
        wanted: str | None,
    ) -> list[finding.Finding]:
        """Return why a migration failed, from events, logs and hosts.

        :param running: what libvirt on the hosts that took part says now
        :param wanted: the host that was asked for
        """
        lines = self._aftermath.log(seen.after, source, seen.request_id)
        said = explain.reasons(
            seen.action, lines if isinstance(lines, list) else ()
        )
        checks = registry.load().checks
        remedies = {item.id: item.remedy for item in checks}
        found = explain.findings(seen.after.name, said, remedies)
        known = {item.evidence.get('text') for item in found}
        if explain.from_scheduler(said):
            # With a host that was asked for Nova names the destination
            # only once the scheduler has found it
            # (nova.compute.api.API.live_migrate).
            host = (seen.record and seen.record.destination) or wanted
            now = self._now(seen, checks, host)
            if now is not None:
                found = explain.as_of_now(now) or [
                    *found,
                    explain.how_many(now, seen.after),
                ]
        silent = explain.silent(running, remedies)
        if silent:
            # It is libvirt that was waited for, not the way to QEMU.
            found = [item for item in found if not explain.waited(item)]
        named = {item.check for item in found}
        found += [item for item in silent if item.check not in named]
        for where, text in said:
            if explain.aborted(text) and 'convergence' in named:
                continue
            if text not in known:
                found.append(_unsorted(seen, where, text))
        if seen.left_running:
            if not (seen.record and seen.record.destination):
                found.append(_unnamed(seen))
        elif not said:
            found.append(_unsaid(seen, source, lines))
        return found

    def _now(
        self,
        seen: outcome_.Outcome,
        checks: collections.abc.Iterable[check.Check[typing.Any]],
        host: str | None,
    ) -> ranking.Ranking | None:
        """Return what the checks have against the destinations now.

        Nova does not tell why its scheduler found no host.

        :param host: None when it could have been any
        """
        try:
            facts = self._look(seen.after.id, host)
        except exceptions.LabError:
            return None
        asked = registry.Registry(
            tuple(
                item
                for item in checks
                if isinstance(item, base.HostCheck) and not item.channel
            )
        )
        return examine.examine(facts, asked)


def _nearest(
    record: record_.Record, actions: collections.abc.Iterable[record_.Action]
) -> record_.Action | None:
    """Return the action that made a record, the nearest that may have.

    Nova names neither in the other.
    """
    return min(
        (item for item in actions if item.started <= record.created + _SKEW),
        key=lambda item: abs(record.created - item.started),
        default=None,
    )


def _unsorted(
    seen: outcome_.Outcome, where: str, text: str
) -> finding.Finding:
    message = f'{where}: {explain.brief(text)}'
    remedy = _('See "openstack server event show".')
    if explain.aborted(text):
        message = _('It was aborted. %s') % message
        remedy = _('Try again; --forecast tells whether it would end.')
    return finding.Finding(
        'reason', seen.after.name, finding.Result.WARNING, message, remedy
    )


def _unnamed(seen: outcome_.Outcome) -> finding.Finding:
    if seen.record is None:
        return finding.Finding(
            'reason',
            seen.after.name,
            finding.Result.UNKNOWN,
            _('It waits for nova-conductor, which may be busy, or down.'),
            _('Try again; see "openstack compute service list".'),
        )
    return finding.Finding(
        'reason',
        seen.after.name,
        finding.Result.UNKNOWN,
        _(
            'Nova still asks both ends and names no destination: '
            'nova-compute, or libvirt, may not answer on one of them.'
        ),
        f'openstack server migrate live {seen.after.id} --preflight',
    )


def _unsaid(
    seen: outcome_.Outcome, source: facts_.Host, lines: list[str] | facts_.Gap
) -> finding.Finding:
    message = _(
        'Nova keeps no reason, and the log of nova-compute on %s tells none, '
        'as far as it was kept and read.'
    )
    why = remedy = ''
    if isinstance(lines, facts_.Gap):
        message = _(
            'Nova keeps no reason; it stands in the log of nova-compute on %s.'
        )
        why, remedy = lines.message, lines.remedy
    return finding.Finding(
        'reason',
        seen.after.name,
        finding.Result.UNKNOWN,
        f'{message % source.name} {why}'.rstrip(),
        remedy or _('Look there by hand, in older logs, too.'),
    )
