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

"""The result of a migration as findings: what was seen, not hoped."""

import collections.abc
import dataclasses
import typing

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import explain
from osc_lab.migration import facts as facts_
from osc_lab.migration import outcome as outcome_
from osc_lab.migration import record as record_
from osc_lab.migration import repair
from osc_lab.preflight import finding

_R = finding.Result
_MIB = 1024**2


def outcome(
    seen: outcome_.Outcome,
    completed: collections.abc.Mapping[str, typing.Any],
    running: collections.abc.Mapping[str, bool | facts_.Gap],
) -> finding.Finding:
    """Return the first line of the result.

    :param completed: libvirt's final statistics
    :param running: host -> whether the guest runs there
    """
    record = seen.record
    evidence = {
        'request_id': seen.request_id,
        'migration_id': record.id if record else None,
        'status': record.status if record else None,
        'type': record.type if record else None,
        'source': seen.before.host,
        'destination': record.destination if record else None,
        'host_before': seen.before.host,
        'host_after': seen.after.host,
        'server_status': seen.after.status,
        'seconds': round(seen.seconds, 1),
        'bytes': sent(seen, completed),
        'iterations': seen.iterations or None,
        'downtime_ms': completed.get('downtime'),
        'stalled': seen.stalled,
        'runs_on': [
            host for host, runs in sorted(running.items()) if runs is True
        ],
    }
    if seen.left_running:
        if record is None:
            message = _('Nova took the request, and has no migration yet.')
        else:
            message = _('It goes on without us: migration %s.') % record.id
        if record is not None and record.ended:
            message = _(
                'Migration %(id)s is %(status)s; what came of the server was '
                'not seen.'
            ) % {'id': record.id, 'status': record.status}
        what = record.id if record else seen.request_id
        return finding.Finding(
            explain.CHECK,
            seen.before.name,
            _R.UNKNOWN,
            message,
            f'openstack server migrate live {seen.before.id} --explain {what}',
            evidence=evidence,
        )
    if seen.moved:
        assert record is not None
        return finding.Finding(
            explain.CHECK,
            seen.before.name,
            _R.OK,
            _('Moved from %(source)s to %(destination)s in %(seconds).1f s')
            % {
                'source': seen.before.host,
                'destination': seen.after.host,
                'seconds': seen.seconds,
            }
            + _details(seen, completed),
            evidence=evidence,
        )
    if seen.broken:
        return _broken(seen, evidence)
    return _failure(seen, running, evidence)


def accepted(server: facts_.Server, request_id: str) -> finding.Finding:
    """Return the result of a migration that nobody follows."""
    return finding.Finding(
        explain.CHECK,
        server.name,
        _R.UNKNOWN,
        _('Nova accepted the migration; nobody waits for it.'),
        telling(server, request_id),
        evidence={'request_id': request_id},
    )


def doubtful(
    server: facts_.Server, why: exceptions.ServiceError
) -> finding.Finding:
    """Return the result of a request that may have been carried out."""
    return finding.Finding(
        explain.CHECK,
        server.name,
        _R.UNKNOWN,
        _('Nobody knows whether Nova took the request: %s') % why.message,
        telling(server, ''),
    )


def unseen(
    server: facts_.Server, request_id: str, why: exceptions.LabError
) -> finding.Finding:
    """Return the result of a migration that was lost out of sight."""
    return finding.Finding(
        explain.CHECK,
        server.name,
        _R.UNKNOWN,
        _('Nova took the request; what came of it was not seen: %s')
        % why.message,
        telling(server, request_id),
        evidence={'request_id': request_id},
    )


def unjudged(
    seen: outcome_.Outcome, why: exceptions.LabError
) -> finding.Finding:
    """Return that not everything could be looked at afterwards."""
    return finding.Finding(
        'reason',
        seen.before.name,
        _R.UNKNOWN,
        _('What else there is to tell was not seen: %s') % why.message,
        telling(seen.before, seen.request_id),
    )


def telling(server: facts_.Server, request_id: str) -> str:
    """Return the command that tells how a migration ended.

    :param request_id: empty when Nova's answer was lost
    """
    if not request_id:
        return f'openstack server migration list --server {server.id}'
    return f'openstack server migrate live {server.id} --explain {request_id}'


def _broken(
    seen: outcome_.Outcome, evidence: dict[str, typing.Any]
) -> finding.Finding:
    return finding.Finding(
        explain.CHECK,
        seen.before.name,
        _R.FAILED,
        _(
            'Moved from %(source)s to %(destination)s, but Nova failed '
            'afterwards; the server is %(state)s.'
        )
        % {
            'source': seen.before.host,
            'destination': seen.after.host,
            'state': seen.after.status,
        },
        _(
            'Set right what stands below, then: openstack server migrate live '
            '%s --repair'
        )
        % seen.after.id,
        evidence=evidence,
    )


def _failure(
    seen: outcome_.Outcome,
    running: collections.abc.Mapping[str, bool | facts_.Gap],
    evidence: dict[str, typing.Any],
) -> finding.Finding:
    status = seen.record.status if seen.record else _('refused')
    message = _(
        'Not moved: migration %(status)s, the server is %(state)s.'
    ) % {
        'status': status,
        'state': seen.after.status,
    }
    remedy = _('What stopped it stands below; then try again.')
    alive = evidence['runs_on']
    if alive:
        message += _(' Its guest runs on %s.') % ', '.join(alive)
    if seen.after.vm_state == 'error':
        remedy = f'openstack server migrate live {seen.after.id} --repair'
        if not alive and _nowhere(running):
            message += _(' Its guest runs nowhere.')
            remedy = repair.lost(seen.after)
        elif not alive:
            remedy = _(
                'Find out where its guest runs: use --libvirt-uri, then '
                '--repair.'
            )
    return finding.Finding(
        explain.CHECK,
        seen.before.name,
        _R.FAILED,
        message,
        remedy,
        evidence=evidence,
    )


def _nowhere(
    running: collections.abc.Mapping[str, bool | facts_.Gap],
) -> bool:
    """Return whether libvirt at both ends says that a guest does not run."""
    return len(running) > 1 and all(runs is False for runs in running.values())


def sent(
    seen: outcome_.Outcome,
    completed: collections.abc.Mapping[str, typing.Any],
) -> int:
    """Return the bytes that went over the network, as far as known."""
    return max(
        seen.sent_bytes,
        int(completed.get('memory_processed', 0))
        + int(completed.get('disk_processed', 0)),
    )


def _details(
    seen: outcome_.Outcome,
    completed: collections.abc.Mapping[str, typing.Any],
) -> str:
    parts = []
    amount = sent(seen, completed)
    if amount:
        parts.append(_('%.0f MiB sent') % (amount / _MIB))
    if seen.iterations == 1:
        parts.append(_('1 iteration'))
    elif seen.iterations:
        parts.append(_('%d iterations') % seen.iterations)
    if completed.get('downtime') is not None:
        parts.append(_('downtime %d ms') % completed['downtime'])
    return ': ' + ', '.join(parts) + '.' if parts else '.'


def exit_code(
    seen: outcome_.Outcome, findings: collections.abc.Iterable[finding.Finding]
) -> exceptions.ExitCode:
    """Return 0 only when the server runs on the new host and all is well.

    What was not looked for decides nothing; what could not be seen does.
    """
    if seen.interrupted:
        return exceptions.ExitCode.INTERRUPTED
    if seen.left_running:
        return exceptions.ExitCode.UNDECIDED
    results = {item.result for item in findings}
    if not seen.moved or _R.FAILED in results:
        return exceptions.ExitCode.OPERATION_FAILED
    if _R.UNKNOWN in results:
        return exceptions.ExitCode.UNDECIDED
    return exceptions.ExitCode.DONE


def past(
    server: facts_.Server,
    record: record_.Record | None,
    action: record_.Action | None,
    overtaken: bool = False,
) -> outcome_.Outcome:
    """Return the outcome of a migration that is over, or goes on.

    :param overtaken: the server was moved again since
    """
    destination = record.destination if record else ''
    before = server
    if record is not None and record.source:
        before = _on(server, record.source)
    after = server
    if record is not None and record.succeeded:
        # The server may have moved on since.
        after = _on(server, destination)
    return outcome_.Outcome(
        request_id=action.request_id if action else '',
        record=record,
        action=action,
        before=before,
        after=after,
        seconds=max(0.0, record.updated - record.created) if record else 0.0,
        left_running=not record.ended
        if record is not None
        # It may still wait for the conductor.
        else action is not None and not action.refused,
        overtaken=overtaken,
    )


def _on(server: facts_.Server, host: str) -> facts_.Server:
    return dataclasses.replace(server, host=host)
