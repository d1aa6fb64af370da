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

"""What the APIs tell about the server, its host and the caller."""

import collections.abc

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_
from osc_lab.preflight import finding

#: nova.compute.power_state: RUNNING and PAUSED.
_MIGRATABLE_POWER = (1, 3)

#: The first that is newer than Nova 32, where project managers may migrate;
#: 32 has the same maximum as 31, where they may not.
_MANAGER = (2, 101)


class ServerState(base.ServerCheck):
    id = 'server-state'
    question = _('Is the server active or paused, with no task under way?')
    reason = _(
        'Nova migrates only a running guest (nova.compute.api, '
        'check_instance_state); everything else it answers with HTTP 409.'
    )
    remedy = _(
        'Start the server, or wait for its task; for a server in ERROR find '
        'out where its guest runs, then use --repair.'
    )

    def judge(self, facts: facts_.Facts) -> base.Found:
        server = facts.server
        evidence: base.Evidence = {
            'vm_state': server.vm_state,
            'task_state': server.task_state,
            'power_state': server.power_state,
        }
        state = server.vm_state or server.status.lower()
        if server.task_state:
            yield self.answer(
                server.name,
                base.FAILED,
                _('A task is under way: %s.') % server.task_state,
                _('Wait until the task has ended: openstack server show %s')
                % server.id,
                **evidence,
            )
        elif state not in ('active', 'paused'):
            yield self.answer(
                server.name,
                base.FAILED,
                _('The server is %s.') % state,
                self._remedy(state, server.id),
                **evidence,
            )
        elif server.power_state not in _MIGRATABLE_POWER:
            yield self.answer(
                server.name,
                base.FAILED,
                _(
                    'Nova holds the server for %(state)s, but its guest does '
                    'not run (power state %(power)d).'
                )
                % {'state': state, 'power': server.power_state},
                # To start it, Nova would have to hold it for stopped.
                f'openstack server reboot --hard {server.id}',
                **evidence,
            )
        else:
            yield self.answer(
                server.name,
                base.OK,
                _('The server is %s.') % state,
                **evidence,
            )

    def _remedy(self, state: str, server_id: str) -> str:
        command = {
            'stopped': 'start',
            'shutoff': 'start',
            'suspended': 'resume',
            'shelved': 'unshelve',
            'shelved_offloaded': 'unshelve',
            'rescued': 'unrescue',
            'resized': 'resize confirm',
        }.get(state)
        if command:
            return f'openstack server {command} {server_id}'
        return self.remedy


class ServerLock(base.ServerCheck):
    id = 'server-lock'
    question = _('Is the server unlocked?')
    reason = _(
        'Somebody locked the server so that it is left alone. Nova refuses '
        'others with HTTP 409, but not an administrator, who may not know.'
    )
    remedy = _('openstack server unlock SERVER, if its owner agrees.')

    def judge(self, facts: facts_.Facts) -> base.Found:
        server = facts.server
        if not server.locked:
            yield self.answer(
                server.name, base.OK, _('The server is not locked.')
            )
            return
        why = server.locked_reason or _('no reason given')
        yield self.answer(
            server.name,
            base.FAILED,
            _('The server is locked (%s).') % why,
            _(
                'openstack server unlock %s, if its owner agrees; an '
                'administrator may also use --ignore-check server-lock.'
            )
            % server.id,
            locked_reason=server.locked_reason,
        )


class ServerFeatures(base.ServerCheck):
    id = 'server-features'
    question = _('Does the server use anything that cannot travel?')
    reason = _(
        'Memory encryption, accelerators, shares, some TPM policies and most '
        'passed-through devices are tied to their host '
        '(decorators of nova.compute.api.API.live_migrate).'
    )
    remedy = _(
        'Shut the server down and migrate it cold: '
        'openstack server migrate SERVER.'
    )

    def judge(self, facts: facts_.Facts) -> base.Found:
        server = facts.server
        blocked = list(self._blocked(facts))
        for feature, remedy in blocked:
            yield self.answer(
                server.name, base.FAILED, feature, remedy or self.remedy
            )
        risky = [
            name
            for name in server.flavor.extra_specs
            if name.startswith('pci_passthrough:')
        ]
        for name in risky:
            yield self.answer(
                server.name,
                base.WARNING,
                _('The flavor passes PCI devices through (%s).') % name,
                _(
                    'Only devices that the pci alias of both hosts calls '
                    'live_migratable can travel; look there.'
                ),
            )
        if blocked:
            return
        unseen = (
            base.gap_of(_image(facts)),
            base.gap_of(facts.shares),
            base.gap_of(facts.network),
        )
        gaps = [gap for gap in unseen if gap]
        if not gaps and not risky:
            yield self.answer(
                server.name, base.OK, _('Nothing that cannot travel.')
            )
        for gap in gaps:
            yield self.missing(server.name, gap)

    def _blocked(
        self, facts: facts_.Facts
    ) -> collections.abc.Iterator[tuple[str, str]]:
        server, specs = facts.server, facts.server.flavor.extra_specs
        known = _image(facts)
        image = {} if isinstance(known, facts_.Gap) else known
        if 'true' in (
            specs.get('hw:mem_encryption', '').lower(),
            image.get('hw_mem_encryption', '').lower(),
        ):
            yield _('Its memory is encrypted (SEV).'), ''
        if 'hw:tpm_version' in specs or 'hw_tpm_version' in image:
            policy = server.flavor.tpm_security
            if policy != 'host':
                yield (
                    _('The secret of its TPM is kept for the user ("%s").')
                    % policy,
                    _(
                        'Resize it to a flavor with '
                        'hw:tpm_secret_security=host, from Nova 33 on.'
                    ),
                )
        if 'accel:device_profile' in specs:
            yield _('It uses an accelerator (accel:device_profile).'), ''
        if not isinstance(facts.shares, facts_.Gap) and facts.shares:
            yield (
                _('Attached shares: %d.') % len(facts.shares),
                _('Detach them; that needs the server to be stopped.'),
            )
        if not isinstance(facts.network, facts_.Gap):
            for port in facts.network.ports:
                if port.vnic_type.startswith('accelerator-direct'):
                    yield (
                        _('Port %(id)s is of type %(type)s.')
                        % {'id': port.id, 'type': port.vnic_type},
                        _('Detach the port first.'),
                    )


def _image(
    facts: facts_.Facts,
) -> collections.abc.Mapping[str, str] | facts_.Gap:
    """Return the properties of the image, or what the guest shows of them."""
    known, guest = facts.server.image_properties, facts.source.guest
    if not isinstance(known, facts_.Gap):
        return known
    if isinstance(guest, facts_.Gap):
        return facts_.Gap(
            f'{known.message} {guest.message}', guest.remedy, guest.asked
        )
    found = {}
    if guest.tpm == 'emulator':
        found['hw_tpm_version'] = guest.tpm
    if guest.launch_security.startswith('sev'):
        found['hw_mem_encryption'] = 'true'
    return found


class CallerRights(base.ServerCheck):
    id = 'caller-rights'
    question = _('May the caller live-migrate this server?')
    reason = _(
        'By default only an administrator may, and from Nova 32 on a project '
        'manager without naming a host (policies '
        'os-migrate-server:migrate_live and migrate_live:host).'
    )
    remedy = _('Use a user with the admin role.')

    def judge(self, facts: facts_.Facts) -> base.Found:
        caller, server = facts.caller, facts.server
        evidence: base.Evidence = {'roles': sorted(caller.roles)}
        if 'admin' in caller.roles:
            yield self.answer(
                server.name, base.OK, _('The caller is admin.'), **evidence
            )
        elif (
            'manager' in caller.roles
            and caller.project_id == server.project_id
            and facts.request.host is None
        ):
            yield self._manager(facts, evidence)
        elif server.host:
            # Nova shows the host to those alone who are administrators
            # by this cloud's own policy.
            yield self.answer(
                server.name,
                base.WARNING,
                _(
                    'The caller has no admin role, but this cloud shows '
                    'hosts to it.'
                ),
                _('Whether it may migrate is known only after trying.'),
                **evidence,
            )
        else:
            yield self.answer(
                server.name,
                base.FAILED,
                _('The roles %s do not allow it.')
                % (', '.join(sorted(caller.roles)) or '-'),
                **evidence,
            )

    def _manager(
        self, facts: facts_.Facts, evidence: base.Evidence
    ) -> finding.Finding:
        if facts.microversion >= _MANAGER:
            return self.answer(
                facts.server.name,
                base.OK,
                _('The caller is manager of the project; no host is named.'),
                **evidence,
            )
        return self.answer(
            facts.server.name,
            base.WARNING,
            _(
                'The caller is manager of the project, which is enough from '
                'Nova 32 on; this one may be older.'
            ),
            _('Whether it may migrate is known only after trying.'),
            **evidence,
        )


class SourceService(base.ServerCheck):
    id = 'source-service'
    question = _('Is nova-compute up on the host that the server runs on?')
    reason = _(
        'The source host does the work; Nova refuses when its service is '
        'down. Disabled is fine: hosts are drained that way.'
    )
    remedy = _('Start nova-compute on the source, or evacuate the server.')

    def judge(self, facts: facts_.Facts) -> base.Found:
        host, service = facts.source.name, facts.source.service
        if isinstance(service, facts_.Gap):
            # Who may not see the service is not told the host either.
            yield self.missing(host or facts.server.name, service)
        elif service.forced_down:
            yield self.answer(
                host,
                base.FAILED,
                _('The source is forced down.'),
                f'openstack compute service set --up {host} nova-compute',
            )
        elif not service.up:
            yield self.answer(
                host, base.FAILED, _('nova-compute is down on the source.')
            )
        else:
            yield self.answer(
                host, base.OK, _('nova-compute is up on the source.')
            )
