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

"""After a migration: is everything where it belongs?"""

import collections.abc
import dataclasses
import shlex

from osc_lab.i18n import _
from osc_lab.migration import facts as facts_
from osc_lab.preflight import finding

_R = finding.Result


@dataclasses.dataclass(frozen=True)
class After:
    """What was seen when a migration was over.

    :param bindings: port id -> (host, status) of each binding
    :param attachments: volume id -> hosts that Cinder attached it to for
        this server
    :param allocations: ids of the providers that hold allocations
    :param running: host -> whether the guest runs there, by libvirt
    :param leftover: the server's folder is still at the source; None
        when it is one folder, seen from both hosts
    :param mirrors: of the server's ports, still on the old host
    """

    server: facts_.Server
    source: facts_.Host
    destination: facts_.Host
    network: facts_.Network | facts_.Gap
    bindings: (
        collections.abc.Mapping[str, tuple[tuple[str, str], ...]] | facts_.Gap
    )
    attachments: collections.abc.Mapping[str, tuple[str, ...]] | facts_.Gap
    allocations: frozenset[str] | facts_.Gap
    running: collections.abc.Mapping[str, bool | facts_.Gap]
    leftover: bool | facts_.Gap | None = None
    folder: str = ''
    mirrors: tuple[facts_.Mirror, ...] | facts_.Gap = ()


def verify(after: After) -> list[finding.Finding]:
    """Return the findings, at least one for each question."""
    return [
        _server(after),
        *_ports(after),
        *_volumes(after),
        _allocations(after),
        *_domain(after),
        *_leftover(after),
        *_mirrors(after),
    ]


def _find(
    check: str,
    subject: str,
    problem: str,
    fine: str,
    remedy: str,
    source: finding.Source = finding.Source.API,
    result: finding.Result = _R.FAILED,
) -> finding.Finding:
    if problem:
        return finding.Finding(check, subject, result, problem, remedy, source)
    return finding.Finding(check, subject, _R.OK, fine, '', source)


def _missing(check: str, subject: str, gap: facts_.Gap) -> finding.Finding:
    return finding.Finding(
        check,
        subject,
        _R.UNKNOWN if gap.asked else _R.SKIPPED,
        gap.message,
        gap.remedy,
    )


def _server(after: After) -> finding.Finding:
    server, host = after.server, after.destination.name
    problem = ''
    if server.host != host:
        problem = _('Nova says that it runs on %s.') % server.host
    elif server.vm_state not in ('active', 'paused'):
        problem = _('The server is %s.') % server.vm_state
    return _find(
        'server-host',
        server.name,
        problem,
        _('Nova says that it runs on %s.') % host,
        f'openstack server migrate live {server.id} --repair',
    )


def _ports(after: After) -> collections.abc.Iterator[finding.Finding]:
    name, host = after.server.name, after.destination.name
    if isinstance(after.network, facts_.Gap):
        yield _missing('port-bindings', name, after.network)
        return
    if isinstance(after.bindings, facts_.Gap):
        yield _missing('port-bindings', name, after.bindings)
    for port in after.network.ports:
        if not isinstance(after.bindings, facts_.Gap):
            bindings = after.bindings.get(port.id, ())
            active = [item[0] for item in bindings if item[1] == 'ACTIVE']
            stale = [item[0] for item in bindings if item[1] != 'ACTIVE']
            problem, remedy = '', ''
            if active != [host]:
                problem = _('Its active binding is on %s.') % (
                    ', '.join(active) or '-'
                )
                remedy = f'openstack port set --host {host} {port.id}'
            elif stale:
                problem = _('An inactive binding is left on %s.') % (
                    ', '.join(stale)
                )
                remedy = (
                    f'openstack server migrate live {after.server.id} --repair'
                )
            yield _find(
                'port-bindings',
                port.id,
                problem,
                _('One binding, active on %s.') % host,
                remedy,
                result=_R.FAILED if active != [host] else _R.WARNING,
            )
        yield _find(
            'port-status',
            port.id,
            _('Neutron says that the port is %s.') % port.status
            if port.late
            else '',
            _('The port is ACTIVE.')
            if port.status == 'ACTIVE'
            else _('The port is %s, for it is disabled.') % port.status,
            _(
                'A change makes Neutron look again: openstack port set '
                '--description %(text)s %(port)s'
            )
            % {'text': _changed(port.description), 'port': port.id},
            result=_R.WARNING,
        )


def _changed(text: str) -> str:
    """Return a text for the shell that is not the same, and looks it.

    Neutron's agents drop an update that changes nothing
    (neutron.agent.resource_cache).
    """
    return shlex.quote(text[:-1] if text.endswith(' ') else f'{text} ')


def _volumes(after: After) -> collections.abc.Iterator[finding.Finding]:
    name, host = after.server.name, after.destination.name
    if isinstance(after.attachments, facts_.Gap):
        yield _missing('volume-attachments', name, after.attachments)
        return
    for volume, hosts in after.attachments.items():
        problem = ''
        if len(hosts) != 1:
            problem = _('%(count)d attachments for the server: %(hosts)s.') % {
                'count': len(hosts),
                'hosts': ', '.join(hosts) or '-',
            }
        elif hosts[0] not in (
            host,
            '',
            getattr(after.destination.hypervisor, 'hostname', ''),
        ):
            problem = _('It is attached to %s.') % hosts[0]
        yield _find(
            'volume-attachments',
            volume,
            problem,
            _('Attached once, on the new host.'),
            f'openstack volume attachment list --volume-id {volume}',
        )


def _allocations(after: After) -> finding.Finding:
    name = after.server.name
    for gap in (after.allocations, after.destination.hypervisor):
        if isinstance(gap, facts_.Gap):
            return _missing('allocations', name, gap)
    assert not isinstance(after.allocations, facts_.Gap)
    assert not isinstance(after.destination.hypervisor, facts_.Gap)
    problem = ''
    source = after.source.hypervisor
    if after.destination.hypervisor.id not in after.allocations:
        problem = _('Placement holds nothing for it on the new host.')
    elif (
        isinstance(source, facts_.Hypervisor)
        and source.id in after.allocations
    ):
        problem = _('Placement still holds resources on the old host.')
    return _find(
        'allocations',
        name,
        problem,
        _('Placement holds its resources on the new host alone.'),
        'nova-manage placement heal_allocations --instance '
        f'{after.server.id} --force',
    )


def _domain(after: After) -> collections.abc.Iterator[finding.Finding]:
    for host, wanted in (
        (after.source.name, False),
        (after.destination.name, True),
    ):
        runs = after.running.get(
            host,
            facts_.Gap(
                _('No libvirt channel is set.'),
                _('Use --libvirt-uri.'),
                asked=False,
            ),
        )
        if isinstance(runs, facts_.Gap):
            yield _missing('domain', host, runs)
            continue
        yield _find(
            'domain',
            host,
            ''
            if runs is wanted
            else (
                _('The guest still runs there.')
                if runs
                else _('The guest does not run there.')
            ),
            _('The guest runs there.') if runs else _('The guest is gone.'),
            _(
                'Look with "virsh list --all" at both hosts before anything '
                'else.'
            ),
            finding.Source.LIBVIRT,
        )


def _leftover(after: After) -> collections.abc.Iterator[finding.Finding]:
    if after.leftover is None:
        return
    if isinstance(after.leftover, facts_.Gap):
        yield _missing('left-overs', after.source.name, after.leftover)
        return
    yield _find(
        'left-overs',
        after.source.name,
        _('%s is left there.') % after.folder if after.leftover else '',
        _('Nothing of the server is left there.'),
        _('Remove it by hand when the guest runs elsewhere.'),
        finding.Source.SHELL,
        _R.WARNING,
    )


def _mirrors(after: After) -> collections.abc.Iterator[finding.Finding]:
    name = after.server.name
    if isinstance(after.mirrors, facts_.Gap):
        yield _missing('mirrors', name, after.mirrors)
        return
    stayed = [mirror for mirror in after.mirrors if not mirror.follows]
    for mirror in stayed:
        yield finding.Finding(
            'mirrors',
            name,
            _R.WARNING,
            _('Mirror %(name)s stayed behind on %(host)s and is blind.')
            % {'name': mirror.name, 'host': mirror.host},
            _(
                'openstack port mirror delete %s, then "openstack port mirror '
                'create" again.'
            )
            % shlex.quote(mirror.name),
            finding.Source.OVSDB,
        )
    if not stayed:
        yield finding.Finding(
            'mirrors',
            name,
            _R.OK,
            _('No mirror of its ports stayed behind.'),
            source=finding.Source.OVSDB,
        )
