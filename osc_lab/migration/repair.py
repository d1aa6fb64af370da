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

"""May the state of a server that a failed migration left be mended?"""

import collections.abc

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts as facts_
from osc_lab.preflight import finding

#: nova.compute.power_state, PAUSED.
_PAUSED = 3

#: What is wrong, and the remedy.
_Doubt = tuple[str, str]


def repairable(
    server: facts_.Server,
    running: collections.abc.Mapping[str, bool | facts_.Gap],
    moving: bool | facts_.Gap,
    left: collections.abc.Collection[tuple[str, str]] = (),
) -> finding.Finding:
    """Return whether a server's state may be set to active.

    Only when libvirt confirms that its guest runs on the host that Nova
    names, and on no other that took part.  All but a failure is a yes.

    :param running: host -> whether the guest runs there
    :param moving: whether libvirt still moves it; Nova may have given up
    :param left: (port, host) of bindings that are not active; they go with
        it
    """
    alive = sorted(host for host, runs in running.items() if runs is True)
    result = finding.Result.FAILED
    doubt = _doubt(server, running, alive, moving)
    if doubt is not None:
        message, remedy = doubt
    elif server.power_state == _PAUSED:
        result = finding.Result.WARNING
        message, remedy = _paused(server)
    else:
        result, remedy = finding.Result.OK, ''
        if server.vm_state != 'active':
            message = (
                _('Its guest runs on %s; the state is set to active.')
                % server.host
            )
        elif left:
            message = _('Its guest runs on %s, as Nova says.') % server.host
        else:
            message = _('There is nothing to repair.')
    return finding.Finding(
        'repair',
        server.name,
        result,
        message,
        remedy,
        finding.Source.LIBVIRT,
        {'runs_on': alive, 'nova_host': server.host},
    )


def _paused(server: facts_.Server) -> _Doubt:
    """Return what is left to do for a guest that was paused before.

    Nova unpauses a server only when it holds it for paused, and pauses one
    that is active, also when its guest is paused already
    (nova.compute.api.API.pause and unpause).
    """
    message = _('Its guest is paused on %s; the state is set to active.')
    if server.vm_state == 'active':
        message = _('Its guest is paused on %s; Nova says active.')
    return message % server.host, _(
        'openstack server pause %(id)s, so that Nova says so, too; that it '
        'goes on, then: openstack server unpause %(id)s'
    ) % {'id': server.id}


def _doubt(
    server: facts_.Server,
    running: collections.abc.Mapping[str, bool | facts_.Gap],
    alive: list[str],
    moving: bool | facts_.Gap,
) -> _Doubt | None:
    """Return what is not as it must be, and what helps."""
    if server.vm_state not in ('error', 'active'):
        return (
            _('The server is %s; nothing is repaired.') % server.vm_state,
            _('Only ERROR after a live migration can be put right.'),
        )
    for host, runs in running.items():
        if isinstance(runs, facts_.Gap):
            return (
                _('libvirt on %(host)s does not confirm anything: %(text)s')
                % {'host': host, 'text': runs.message},
                runs.remedy or _('Reach it, then try again.'),
            )
    if alive != [server.host]:
        return (
            _('Its guest runs on %(hosts)s, Nova says %(nova)s.')
            % {
                'hosts': ', '.join(alive) or _('no host'),
                'nova': server.host or '-',
            },
            _misplaced(server, alive),
        )
    if isinstance(moving, facts_.Gap):
        return (
            _('libvirt on %(host)s does not tell whether it goes on: %(text)s')
            % {'host': server.host, 'text': moving.message},
            _('Try again when it has an answer.'),
        )
    if moving or (server.vm_state == 'active' and server.task_state):
        return (
            _('The migration still goes on.'),
            _('Try again when it has ended.'),
        )
    return None


def _misplaced(server: facts_.Server, alive: list[str]) -> str:
    """Return what helps a guest that runs twice, elsewhere, or nowhere."""
    if not alive:
        return lost(server)
    if len(alive) == 1:
        return _(
            'Do not stop it, it is the only one, and neither reboot nor '
            'evacuate the server: the host that Nova has is wrong, and only '
            'its database can be set right.'
        )
    return _(
        'Stop one of them at once, for they write to the same disks: "virsh '
        'destroy %(id)s" there; when the one on %(host)s is left, --repair.'
    ) % {'id': server.id, 'host': server.host or '-'}


def lost(server: facts_.Server) -> str:
    """Return what helps a server whose guest runs nowhere.

    A hard reboot is allowed in ERROR (nova.compute.vm_states); it knows
    nothing of what is paused on another host and holds its disks.
    """
    return _(
        'When "virsh list --all" shows it, paused, on another host, "virsh '
        'destroy %(id)s" there first; then: openstack server reboot --hard '
        '%(id)s'
    ) % {'id': server.id}


def unconfirmed(
    server: facts_.Server, why: exceptions.ServiceError
) -> finding.Finding:
    """Return that nobody knows whether the state of a server is set."""
    return finding.Finding(
        'repair',
        server.name,
        finding.Result.UNKNOWN,
        _('Nova did not confirm that the state is set to active: %s')
        % why.message,
        _('Try again with --repair.'),
        evidence={'nova_host': server.host},
    )


def unbound(
    port: str, host: str, outcome: bool | exceptions.ServiceError
) -> finding.Finding:
    """Return whether a binding that was left has been removed.

    :param outcome: False when Neutron has refused it; it permits the role
        "service" alone (neutron/conf/policies/port_bindings.py)
    """
    result, remedy = finding.Result.FAILED, ''
    if isinstance(outcome, exceptions.ServiceError):
        if outcome.unclear:
            result = finding.Result.UNKNOWN
        message = _(
            'Neutron did not confirm that the binding on %(host)s is '
            'removed: %(text)s'
        ) % {'host': host, 'text': outcome.message}
        remedy = _('Try again with --repair.')
    elif outcome:
        result = finding.Result.OK
        message = _('The binding on %s is removed.') % host
    else:
        message = (
            _('Neutron does not let you remove the binding on %s.') % host
        )
        remedy = _(
            'Repair it with the role "service": openstack role add --user '
            'USER --project PROJECT service'
        )
    return finding.Finding(
        'port-bindings',
        port,
        result,
        message,
        remedy,
        finding.Source.API,
        {'host': host},
    )


def unseen(
    server: facts_.Server, bindings: facts_.Bindings | facts_.Gap
) -> tuple[finding.Finding, ...]:
    """Return that nobody knows whether a binding is left, or nothing."""
    if not isinstance(bindings, facts_.Gap):
        return ()
    return (
        finding.Finding(
            'port-bindings',
            server.name,
            finding.Result.UNKNOWN
            if bindings.asked
            else finding.Result.SKIPPED,
            bindings.message,
            bindings.remedy,
        ),
    )
