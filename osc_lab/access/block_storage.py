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

"""Block storage (Cinder): types, encryption, volumes."""

import collections.abc
import typing

from openstack import connection

from osc_lab.access import rest
from osc_lab.encryption import model
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab import timestamps

#: Types and their encryption are the same in every microversion.
_BASE = '3.0'

#: From 3.63 the type id of a volume is shown, from 3.64 its key id.
_KEYS = '3.64'

#: From 3.62 a project may have a default type of its own.
_DEFAULTS = '3.62'

#: Items of a page: what Cinder gives at most by default
#: (osapi_max_limit).
_PAGE = 1000


class BlockStorage:
    """The API of Cinder as the encryption package sees it.

    :param sdk: the connection of the cloud
    :param timeout: seconds to wait for an answer
    """

    def __init__(
        self, sdk: connection.Connection, timeout: float = rest.TIMEOUT
    ) -> None:
        self._rest = rest.Rest(rest.proxy(sdk, 'block_storage'), timeout)

    def types(self) -> collections.abc.Iterator[model.VolumeType]:
        for item in self._rest.pages(
            '/types', 'volume_types', _BASE, is_public='None'
        ):
            yield _type(item)

    def encryption(self, type_id: str) -> model.Encryption | None:
        body = self._rest.get(f'/types/{type_id}/encryption', _BASE)
        if not body.get('encryption_id') and 'provider' not in body:
            return None
        return _encryption(body)

    def projects(self, type_id: str) -> frozenset[str]:
        body = self._rest.get(f'/types/{type_id}/os-volume-type-access', _BASE)
        access = body.get('volume_type_access')
        if not isinstance(access, list):
            raise _odd('os-volume-type-access')
        return frozenset(str(item.get('project_id')) for item in access)

    def create_type(
        self,
        name: str,
        description: str,
        properties: collections.abc.Mapping[str, str],
    ) -> None:
        self._rest.write(
            'POST',
            '/types',
            {
                'volume_type': {
                    'name': name,
                    'description': description,
                    'os-volume-type-access:is_public': False,
                    'extra_specs': dict(properties),
                }
            },
            _BASE,
        )

    def create_encryption(
        self, type_id: str, encryption: model.Encryption
    ) -> None:
        self._rest.write(
            'POST',
            f'/types/{type_id}/encryption',
            {
                'encryption': {
                    'provider': encryption.provider,
                    'cipher': encryption.cipher,
                    'key_size': encryption.key_size,
                    'control_location': encryption.control_location,
                }
            },
            _BASE,
        )

    def share(self, type_id: str, project_id: str) -> None:
        self._rest.write(
            'POST',
            f'/types/{type_id}/action',
            {'addProjectAccess': {'project': project_id}},
            _BASE,
        )

    def publish(self, type_id: str, description: str, is_public: bool) -> None:
        self._rest.write(
            'PUT',
            f'/types/{type_id}',
            {
                'volume_type': {
                    'description': description,
                    'is_public': is_public,
                }
            },
            _BASE,
        )

    def delete_type(self, type_id: str) -> None:
        self._rest.write('DELETE', f'/types/{type_id}', None, _BASE)

    # -- volumes

    def create_volume(
        self,
        name: str,
        type_id: str,
        size: int,
        metadata: collections.abc.Mapping[str, str],
    ) -> None:
        self._rest.write(
            'POST',
            '/volumes',
            {
                'volume': {
                    'name': name,
                    'size': size,
                    'volume_type': type_id,
                    'metadata': dict(metadata),
                }
            },
            _KEYS,
        )

    def find_volumes(
        self, **filters: str
    ) -> collections.abc.Iterator[model.Volume]:
        # Cinder passes over all_tenants for who is no administrator.
        for item in self._rest.pages(
            '/volumes/detail',
            'volumes',
            _KEYS,
            None,
            all_tenants='1',
            **filters,
        ):
            yield _volume(item)

    def volume(self, volume_id: str) -> model.Volume:
        body = self._rest.get(f'/volumes/{volume_id}', _KEYS)
        item = body.get('volume')
        if not isinstance(item, dict) or 'id' not in item:
            raise _odd('volumes')
        return _volume(item)

    def volume_encryption(
        self, volume_id: str
    ) -> tuple[model.Encryption | None, str | None]:
        body = self._rest.get(f'/volumes/{volume_id}/encryption', _KEYS)
        key_id = _text(body.get('encryption_key_id'))
        if 'provider' not in body:
            return None, key_id
        return _encryption(body), key_id

    def delete_volume(self, volume_id: str) -> None:
        self._rest.write('DELETE', f'/volumes/{volume_id}', None, _KEYS)

    def complaint(self, volume_id: str) -> str:
        try:
            messages = list(
                self._rest.pages(
                    '/messages', 'messages', '3.5', resource_uuid=volume_id
                )
            )
        except exceptions.ServiceError:
            return ''
        return str(messages[0].get('user_message', '')) if messages else ''

    def pools(self) -> list[model.Pool]:
        """Return all places for volumes; only an administrator may ask."""
        body = self._rest.get(
            '/scheduler-stats/get_pools', _BASE, detail='True'
        )
        pools = body.get('pools')
        if not isinstance(pools, list):
            raise _odd('get_pools')
        return [
            model.Pool(
                str(item.get('name')),
                str((item.get('capabilities') or {}).get('storage_protocol')),
            )
            for item in pools
        ]

    # -- for the audit

    def volumes(
        self, all_projects: bool
    ) -> collections.abc.Iterator[model.Volume]:
        """Yield volumes; one page is held at a time."""
        for item in self._rest.pages(
            '/volumes/detail',
            'volumes',
            _KEYS,
            _PAGE,
            **({'all_tenants': '1'} if all_projects else {}),
        ):
            yield _volume(item)

    def backups(
        self, all_projects: bool
    ) -> collections.abc.Iterator[model.Backup]:
        """Yield backups; one page is held at a time."""
        for item in self._rest.pages(
            '/backups/detail',
            'backups',
            _KEYS,
            _PAGE,
            **({'all_tenants': '1'} if all_projects else {}),
        ):
            yield model.Backup(
                str(item['id']),
                str(item.get('name') or ''),
                str(item.get('volume_id')),
                _text(item.get('encryption_key_id')),
                str(item.get('status')),
            )

    def default_type(self) -> model.Default:
        """Return what volumes of the caller get that name no type."""
        try:
            body = self._rest.get('/types/default', _BASE)
        except exceptions.ServiceError as error:
            if error.status in (404, 500):
                return model.Default(failed=error.status == 500)
            raise
        return model.Default(str((body.get('volume_type') or {}).get('id')))

    def default_types(self) -> dict[str, str]:
        """Return project id -> id of its default type."""
        body = self._rest.get('/default-types', _DEFAULTS)
        found = body.get('default_types')
        if not isinstance(found, list):
            raise _odd('default-types')
        return {
            str(item.get('project_id')): str(item.get('volume_type_id'))
            for item in found
        }

    def volume_hosts(self) -> frozenset[str]:
        """Return the hosts of cinder-volume; administrators may ask."""
        body = self._rest.get('/os-services', _BASE, binary='cinder-volume')
        services = body.get('services')
        if not isinstance(services, list):
            raise _odd('os-services')
        return frozenset(
            str(item.get('host')).partition('@')[0] for item in services
        )


def _type(item: collections.abc.Mapping[str, typing.Any]) -> model.VolumeType:
    public = item.get('os-volume-type-access:is_public', item.get('is_public'))
    specs = item.get('extra_specs')
    return model.VolumeType(
        str(item['id']),
        str(item.get('name') or ''),
        _text(item.get('description')),
        public if isinstance(public, bool) else None,
        specs if isinstance(specs, dict) else {},
    )


def _encryption(
    body: collections.abc.Mapping[str, typing.Any],
) -> model.Encryption:
    return model.Encryption(
        _text(body.get('provider')),
        _text(body.get('cipher')),
        _number(body.get('key_size')),
        _text(body.get('control_location')),
    )


def _volume(item: collections.abc.Mapping[str, typing.Any]) -> model.Volume:
    metadata = item.get('metadata')
    return model.Volume(
        str(item['id']),
        str(item.get('name') or ''),
        str(item.get('status')),
        _number(item.get('size')) or 0,
        _text(item.get('volume_type_id')),
        item.get('encrypted') is True,
        _text(item.get('encryption_key_id')),
        _text(item.get('os-vol-tenant-attr:tenant_id')),
        metadata if isinstance(metadata, dict) else {},
        _text(item.get('os-vol-host-attr:host')),
        timestamps.seconds(item.get('created_at')),
        _servers(item.get('attachments')),
    )


def _servers(value: object) -> tuple[str, ...]:
    return tuple(
        str(item['server_id'])
        for item in (value if isinstance(value, list) else ())
        if isinstance(item, dict) and item.get('server_id')
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _odd(what: str) -> exceptions.ServiceError:
    return exceptions.ServiceError(
        _('The answer of %s is not what the API documents') % what,
        _('Is there a proxy in between? See the log of cinder-api.'),
    )
