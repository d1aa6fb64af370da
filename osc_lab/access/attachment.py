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

"""Attach a volume to a server for a while."""

import collections.abc
import contextlib
import time

from openstack import connection

from osc_lab.access import block_storage
from osc_lab.access import compute
from osc_lab.access import rest
from osc_lab.access import settings
from osc_lab.encryption import model
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts
from osc_lab import plan

#: Seconds that an attach or a detach may take.
PATIENCE = 300.0

_BASE = '2.1'

_POLL = 0.5

#: How often a detach is asked for when nobody knows what became of it.
_CHANCES = 3

#: Looks at a volume that may still come: nova-api answers a detach with 404
#: until the attach that nobody waited for has made its block device mapping.
_LATE = 10


class Attachments:
    """Volumes of servers.

    :param sdk: the connection of the cloud
    """

    def __init__(self, sdk: connection.Connection) -> None:
        timeout = settings.api_timeout(sdk)
        self._rest = rest.Rest(rest.proxy(sdk, 'compute'), timeout)
        self._compute = compute.Compute(rest.proxy(sdk, 'compute'), timeout)
        self._volumes = block_storage.BlockStorage(sdk, timeout)

    def server(self, reference: str) -> facts.Server:
        """Return a server that a volume can be attached to.

        :raises NotFound: when there is none of that name or id
        :raises InvalidInput: when it does not run, or its host is hidden
        """
        server = self._compute.server(reference)
        if server.status != 'ACTIVE' or not server.host:
            raise exceptions.InvalidInput(
                _('--server: %(name)s is %(status)s on host "%(host)s"')
                % {
                    'name': server.name,
                    'status': server.status,
                    'host': server.host or '?',
                },
                _('Name one that is ACTIVE; an administrator sees its host.'),
            )
        return server

    @contextlib.contextmanager
    def attached(
        self, server: facts.Server, volume: model.Volume
    ) -> collections.abc.Iterator[None]:
        """Attach a volume, and detach it whatever happens.

        :raises OperationFailed: when it does not come
        :raises UndoFailed: when it does not go
        """
        late = _LATE
        try:
            try:
                self._rest.write(
                    'POST',
                    f'/servers/{server.id}/os-volume_attachments',
                    {'volumeAttachment': {'volumeId': volume.id}},
                    _BASE,
                )
                late = 0
            except exceptions.ServiceError as error:
                if not error.unclear:
                    late = 0
                    raise exceptions.OperationFailed(
                        _('The volume cannot be attached: %s') % error.message,
                        error.remedy,
                    ) from error
            # Before 2.101 nova-api answers once Cinder has reserved it.
            self._wait(volume, 'in-use', began=not late)
            yield
        finally:
            with plan.uninterrupted():
                self._detach(server, volume, late)

    def _wait(self, volume: model.Volume, wished: str, began: bool) -> None:
        limit = time.monotonic() + PATIENCE
        while True:
            status = self._volumes.volume(volume.id).status
            if status == wished:
                return
            began = began or status not in ('available', 'reserved')
            settled = status == 'available' and began
            if settled or 'error' in status or time.monotonic() > limit:
                raise exceptions.OperationFailed(
                    _('The volume is "%(status)s", not "%(wished)s"')
                    % {'status': status, 'wished': wished},
                    _("See the log of nova-compute on the server's host."),
                )
            time.sleep(_POLL)

    def _detach(
        self, server: facts.Server, volume: model.Volume, late: int
    ) -> None:
        try:
            self._ask_to_detach(server, volume)
            self._gone(server, volume, late)
        except exceptions.LabError as error:
            raise exceptions.UndoFailed(
                _('Volume %(volume)s cannot be detached: %(why)s')
                % {'volume': volume.id, 'why': error.message},
                [
                    (
                        _('its attachment to %s') % server.name,
                        'openstack server remove volume '
                        f'{server.id} {volume.id}',
                    ),
                    (
                        _('the volume'),
                        # An attach that hangs leaves a status with which
                        # Cinder deletes nothing else.
                        f'openstack volume delete --force {volume.id}',
                    ),
                ],
            ) from error

    def _ask_to_detach(
        self, server: facts.Server, volume: model.Volume
    ) -> None:
        path = f'/servers/{server.id}/os-volume_attachments/{volume.id}'
        limit = time.monotonic() + PATIENCE
        chances = _CHANCES
        while True:
            try:
                self._rest.write('DELETE', path, None, _BASE)
                return
            except exceptions.ServiceError as error:
                # Gone, or on its way.
                if error.status in (404, 409):
                    return
                if error.status == 400:
                    # Also what is asked too early, and a second time.
                    status = self._volumes.volume(volume.id).status
                    if status in ('available', 'detaching', 'error'):
                        return
                    early = status in ('reserved', 'attaching', 'in-use')
                    again = early and time.monotonic() < limit
                else:
                    chances -= 1
                    again = error.unclear and chances > 0
                if not again:
                    raise
            time.sleep(_POLL)

    def _gone(
        self, server: facts.Server, volume: model.Volume, late: int
    ) -> None:
        """Wait until a volume is detached; ask again when it comes late."""
        limit = time.monotonic() + PATIENCE
        while True:
            status = self._volumes.volume(volume.id).status
            if status in ('available', 'error'):
                if not late:
                    return
                late -= 1
            elif time.monotonic() > limit:
                raise exceptions.OperationFailed(
                    _('it is still "%s"') % status,
                    _('Does the guest answer to unplugging?'),
                )
            else:
                late = 0
                if status == 'in-use':
                    self._ask_to_detach(server, volume)
            time.sleep(_POLL)
