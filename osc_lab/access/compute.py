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

"""Nova, read for migrations, and the few requests that change it."""

import collections.abc
import functools
import typing
import urllib.parse

from osc_lab.access import rest
from osc_lab.access import service
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts

#: Fields of a server: pinned zone 2.96, image properties 2.98.
SERVER = (2, 98)
#: Hypervisors show their capacity up to here only.
HYPERVISOR = (2, 87)
SERVICE = (2, 69)
#: Shares can be attached from here on.
SHARES = (2, 97)
EVENT = (2, 84)
MIGRATION = (2, 80)
#: From here on no host can be forced, and the answer comes at once.
LIVE_MIGRATE = (2, 68)

_FORBIDDEN = 403
_NOT_FOUND = 404


class Compute:
    """The compute service.

    :param adapter: ``connection.compute``
    """

    def __init__(
        self, adapter: typing.Any, timeout: float = rest.TIMEOUT
    ) -> None:
        self.rest = service.Service(adapter, timeout)

    @property
    def maximum(self) -> service.Version:
        return self.rest.maximum

    def server(self, reference: str) -> facts.Server:
        """Return a server by id, or by a name that only one has.

        :raises NotFound: when there is none, or more than one
        """
        version = self.rest.at(SERVER)
        path = f'/servers/{urllib.parse.quote(reference, safe="")}'
        body = self.rest.maybe(path, version, (_NOT_FOUND, 400))
        if body and isinstance(body.get('server'), dict):
            return self._server(body['server'], version)
        return self._server(self._by_name(reference, version), version)

    def _by_name(self, name: str, version: service.Version) -> service.Json:
        # The filter is a regular expression of the database.
        look = functools.partial(
            self.rest.value,
            *('/servers/detail', 'servers', version),
            name=f'^{_escape(name)}$',
        )
        try:
            items = look(all_tenants='1')
        except exceptions.ServiceError as error:
            if error.status != _FORBIDDEN:
                raise
            # Of all projects an administrator alone may ask.
            items = look()
        matches = [item for item in items if item.get('name') == name]
        if len(matches) == 1:
            found: service.Json = matches[0]
            return found
        if matches:
            raise exceptions.NotFound(
                _('%(count)d servers are named "%(name)s"')
                % {'count': len(matches), 'name': name},
                _('Give the ID of the server.'),
            )
        raise exceptions.NotFound(
            _('There is no server "%s"') % name,
            _('See "openstack server list --all-projects".'),
        )

    def _server(
        self, body: service.Json, version: service.Version
    ) -> facts.Server:
        image = body.get('image') or {}
        if not isinstance(image, dict):
            image = {}
        return facts.Server(
            id=str(body['id']),
            name=str(body.get('name', '')),
            status=str(body.get('status', '')),
            vm_state=str(body.get('OS-EXT-STS:vm_state', '')),
            task_state=body.get('OS-EXT-STS:task_state'),
            power_state=int(body.get('OS-EXT-STS:power_state') or 0),
            locked=bool(body.get('locked')),
            locked_reason=str(body.get('locked_reason') or ''),
            host=str(body.get('OS-EXT-SRV-ATTR:host') or ''),
            zone=str(body.get('OS-EXT-AZ:availability_zone') or ''),
            project_id=str(body.get('tenant_id', '')),
            flavor=_flavor(body.get('flavor') or {}),
            image_id=image.get('id'),
            pinned_zone=(
                body.get('pinned_availability_zone')
                if version >= (2, 96)
                else facts.Gap(
                    _('Nova shows the zone that was asked for from 2.96 on.')
                )
            ),
            image_properties=(
                {str(k): str(v) for k, v in image['properties'].items()}
                if isinstance(image.get('properties'), dict)
                else {}
                if version >= SERVER and image
                else facts.Gap(
                    _(
                        'Nova shows no image properties of a server that was '
                        'booted from a volume.'
                    )
                )
                if not image
                else facts.Gap(_('Nova shows image properties from 2.98 on.'))
            ),
            volume_ids=tuple(
                str(item['id'])
                for item in body.get('os-extended-volumes:volumes_attached')
                or ()
            ),
            group_ids=tuple(body.get('server_groups') or ()),
        )

    def shares(self, server_id: str) -> tuple[str, ...] | facts.Gap:
        """Return ids of shares that are attached to a server."""
        if self.maximum < SHARES:
            return ()
        try:
            body = self.rest.maybe(f'/servers/{server_id}/shares', SHARES)
        except exceptions.LabError as error:
            return facts.Gap(
                _('Nova does not tell the shares of the server: %s')
                % error.message,
                error.remedy,
            )
        return tuple(
            str(item.get('share_id'))
            for item in (body or {}).get('shares') or ()
        )

    def services(self) -> dict[str, facts.Service]:
        """Return nova-compute services by host."""
        items = self.rest.value(
            '/os-services',
            'services',
            self.rest.at(SERVICE),
            binary='nova-compute',
        )
        return {
            str(item['host']): facts.Service(
                up=item.get('state') == 'up',
                enabled=item.get('status') == 'enabled',
                forced_down=bool(item.get('forced_down')),
                disabled_reason=str(item.get('disabled_reason') or ''),
                zone=str(item.get('zone') or ''),
            )
            for item in items
        }

    def hypervisors(self) -> dict[str, facts.Hypervisor]:
        """Return compute nodes by the host of their service."""
        return {
            str((item.get('service') or {}).get('host', '')): _hypervisor(item)
            for item in self.rest.listed(
                '/os-hypervisors/detail',
                'hypervisors',
                self.rest.at(HYPERVISOR),
            )
        }

    def addresses(self) -> dict[str, str]:
        """Return the addresses of compute hosts, where Nova knows them."""
        return {
            host: item.address
            for host, item in self.hypervisors().items()
            if item.address
        }

    def aggregates(self) -> tuple[facts.Aggregate, ...]:
        items = self.rest.value('/os-aggregates', 'aggregates', (2, 1))
        return tuple(
            facts.Aggregate(
                str(item.get('name', '')),
                frozenset(item.get('hosts') or ()),
                {
                    str(k): str(v)
                    for k, v in (item.get('metadata') or {}).items()
                },
            )
            for item in items
        )

    def groups(self, server: facts.Server) -> tuple[facts.Group, ...]:
        """Return the groups of a server, with their members' hosts."""
        if self.maximum < (2, 71):
            raise exceptions.AccessError(
                _('Nova names the groups of a server from 2.71 on')
            )
        if not server.group_ids:
            return ()
        hosts = {
            str(item['id']): str(item.get('OS-EXT-SRV-ATTR:host') or '')
            for item in self.rest.listed(
                '/servers/detail',
                'servers',
                (2, 71),
                all_tenants='1',
                project_id=server.project_id,
            )
        }
        found = []
        for group_id in server.group_ids:
            body = self.rest.value(
                f'/os-server-groups/{group_id}', 'server_group', (2, 64)
            )
            found.append(
                facts.Group(
                    str(body.get('name', '')),
                    str(body.get('policy', '')),
                    int(
                        (body.get('rules') or {}).get('max_server_per_host', 1)
                    ),
                    {
                        member: hosts[member]
                        for member in body.get('members') or ()
                        if member != server.id and hosts.get(member)
                    },
                )
            )
        return tuple(found)

    # What follows is for the migration itself.

    def live_migrate(
        self, server_id: str, host: str | None, storage: facts.Storage
    ) -> str:
        """Ask Nova to live-migrate a server; return the request id.

        At 2.68 and above the scheduler validates a named host and the
        answer comes before the checks; the highest version below that
        which the cloud has is the next best.

        :raises LabError: when Nova refuses at once
        """
        version = self.rest.at(LIVE_MIGRATE)
        block: str | bool = 'auto'
        if storage is not facts.Storage.AUTO:
            block = storage is facts.Storage.BLOCK
        action: service.Json = {'host': host, 'block_migration': block}
        if version < (2, 25):
            action['disk_over_commit'] = False
            if block == 'auto':
                raise exceptions.AccessError(
                    _('Nova chooses the kind of migration from 2.25 on'),
                    _('Use --block-migration or --shared-migration.'),
                )
        if (2, 30) <= version < (2, 68):
            action['force'] = False
        return self.rest.post(
            f'/servers/{server_id}/action',
            {'os-migrateLive': action},
            version,
        )

    def migrations(
        self, most: int = 1000, **filters: typing.Any
    ) -> collections.abc.Iterator[service.Json]:
        """Yield migration records, the newest first."""
        yield from self.rest.listed(
            '/os-migrations',
            'migrations',
            self.rest.at(MIGRATION),
            marker='uuid',
            most=most,
            **filters,
        )

    def progress(self, server_id: str) -> service.Json | None:
        """Return the live migration under way, with byte counters."""
        body = self.rest.maybe(
            f'/servers/{server_id}/migrations', self.rest.at(MIGRATION)
        )
        items = (body or {}).get('migrations') or []
        return items[0] if items else None

    def abort(self, server_id: str, migration_id: int) -> bool:
        """Ask to abort; False when there is nothing left to abort."""
        return self._told(
            'DELETE',
            f'/servers/{server_id}/migrations/{migration_id}',
            None,
            (2, 65),
        )

    def force_complete(self, server_id: str, migration_id: int) -> bool:
        """Ask to pause the guest or go to post-copy, as Nova is set."""
        return self._told(
            'POST',
            f'/servers/{server_id}/migrations/{migration_id}/action',
            {'force_complete': None},
            (2, 22),
        )

    def _told(
        self,
        method: str,
        path: str,
        body: service.Json | None,
        version: service.Version,
    ) -> bool:
        try:
            self.rest.write(
                method, path, body, service.text(self.rest.at(version))
            )
        except exceptions.ServiceError as error:
            if error.status in (400, _NOT_FOUND, 409):
                return False
            raise
        return True

    def action(self, server_id: str, request_id: str) -> service.Json | None:
        """Return an instance action with its events, or None."""
        body = self.rest.maybe(
            f'/servers/{server_id}/os-instance-actions/'
            f'{urllib.parse.quote(request_id, safe="")}',
            self.rest.at(EVENT),
        )
        found = (body or {}).get('instanceAction')
        return found if isinstance(found, dict) else None

    def actions(self, server_id: str) -> list[service.Json]:
        """Return the actions of a server, the newest first."""
        found: list[service.Json] = self.rest.value(
            f'/servers/{server_id}/os-instance-actions',
            'instanceActions',
            self.rest.at(EVENT),
        )
        return found

    def reset_state(self, server_id: str) -> None:
        """Set the state of a server to active, as an administrator."""
        self.rest.write(
            'POST',
            f'/servers/{server_id}/action',
            {'os-resetState': {'state': 'active'}},
        )


def _escape(name: str) -> str:
    return ''.join(
        f'\\{char}' if char in r'\^$.|?*+()[]{}' else char for char in name
    )


def _flavor(body: service.Json) -> facts.Flavor:
    return facts.Flavor(
        name=str(body.get('original_name', '')),
        vcpus=int(body.get('vcpus') or 0),
        ram_mib=int(body.get('ram') or 0),
        disk_gib=int(body.get('disk') or 0),
        ephemeral_gib=int(body.get('ephemeral') or 0),
        swap_mib=int(body.get('swap') or 0),
        extra_specs={
            str(k): str(v) for k, v in (body.get('extra_specs') or {}).items()
        },
    )


def _hypervisor(body: service.Json) -> facts.Hypervisor:
    def number(key: str) -> int | None:
        value = body.get(key)
        return None if value is None else int(value)

    vcpus, used = number('vcpus'), number('vcpus_used')
    return facts.Hypervisor(
        id=str(body['id']),
        hostname=str(body.get('hypervisor_hostname', '')),
        type=str(body.get('hypervisor_type', '')),
        version=int(body.get('hypervisor_version') or 0),
        address=str(body.get('host_ip') or ''),
        free_ram_mib=number('free_ram_mb'),
        free_vcpus=None if vcpus is None or used is None else vcpus - used,
        disk_available_gib=number('disk_available_least'),
    )
