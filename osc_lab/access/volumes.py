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

"""Cinder, and whether the caller may read a volume's secret.

Nova fetches the key of an encrypted volume with the token of whoever asks
for the migration, so the same is tried here.  The body of the answer, the
key itself, is never read.
"""

import typing

from osc_lab.access import rest
from osc_lab.access import service
from osc_lab.encryption import model
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts

#: encryption_key_id in the details of a volume.
VERSION = (3, 64)


class Volumes:
    """Volumes and their secrets.

    :param block_storage: ``connection.block_storage``
    :param key_manager: returns ``connection.key_manager``; called only
        for an encrypted volume
    """

    def __init__(
        self,
        block_storage: typing.Any,
        key_manager: typing.Callable[[], typing.Any],
        timeout: float = rest.TIMEOUT,
    ) -> None:
        self._timeout = timeout
        self.rest = service.Service(block_storage, timeout)
        self._key_manager = key_manager

    def volumes(self, ids: tuple[str, ...]) -> tuple[facts.Volume, ...]:
        return tuple(self._volume(item) for item in ids)

    def _volume(self, volume_id: str) -> facts.Volume:
        version = self.rest.at(VERSION)
        body = self.rest.value(f'/volumes/{volume_id}', 'volume', version)
        encrypted = bool(body.get('encrypted'))
        key = body.get('encryption_key_id')
        if encrypted and not key:
            details = self.rest.maybe(
                f'/volumes/{volume_id}/encryption', version
            )
            key = (details or {}).get('encryption_key_id')
        return facts.Volume(
            id=volume_id,
            name=str(body.get('name') or ''),
            status=str(body.get('status', '')),
            encrypted=encrypted,
            multiattach=bool(body.get('multiattach')),
            project_id=str(body.get('os-vol-tenant-attr:tenant_id', '')),
            attached_to=tuple(
                str(item.get('server_id'))
                for item in body.get('attachments') or ()
            ),
            hosts=tuple(
                str(item.get('host_name') or '')
                for item in body.get('attachments') or ()
            ),
            secret=self._secret(key) if encrypted else None,
        )

    def _secret(self, key: object) -> 'facts.Secret | facts.Gap':
        if not key:
            return facts.Gap(
                _('Cinder does not name the key of the volume.'),
                _('Ask with the admin role.'),
            )
        if key == model.ZERO_KEY:
            return facts.Secret(model.ZERO_KEY, '', facts.Access.FIXED_KEY)
        try:
            return self._read(str(key))
        except exceptions.LabError as error:
            return facts.Gap(str(error))

    def _read(self, key: str) -> 'facts.Secret | facts.Gap':
        barbican = service.Service(self._key_manager(), self._timeout)
        seen = barbican.tried(
            f'/secrets/{key}/payload', 'application/octet-stream'
        )
        status = seen['status']
        if status // 100 == 2:
            access = facts.Access.ALLOWED
        elif status in (401, 403):
            access = facts.Access.DENIED
        elif status == 404:
            access = facts.Access.ABSENT
        else:
            return facts.Gap(
                _('Barbican answered %d.') % status, _('Read its log.')
            )
        return facts.Secret(key, seen['url'].removesuffix('/payload'), access)
