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

"""Volumes that are made to prove a type, and removed again.

Each is marked, for a run may end before it has removed its own: whoever
finds one later, removes it or says how.
"""

import collections.abc
import contextlib
import logging
import secrets
import time

from osc_lab.encryption import model
from osc_lab.encryption import store as store_
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab import plan

LOG = logging.getLogger(__name__)

#: Metadata of every volume that is made for a proof.
MARK = 'osc-lab:scratch'

#: Seconds that a volume may take to come, or to go.
PATIENCE = 300.0

#: Seconds that a proof may take: the volume comes, is attached, is detached
#: and goes.
LONGEST = 4 * PATIENCE

_POLL = 0.5

#: How often a volume is looked at and deleted anew when nobody knows what
#: became of a request.
_CHANCES = 3

#: States that end by themselves, before a volume can be deleted.
_PASSING = ('creating', 'deleting', 'reserved', 'attaching', 'detaching')

#: States in which Cinder deletes without force (volume.api.API.delete), or
#: will once the volume is detached.
_PLAIN = (
    *('available', 'in-use', 'detaching'),
    *('error', 'error_restoring', 'error_extending', 'error_managing'),
)


class _Stays(exceptions.OperationFailed):
    """A volume cannot be deleted.

    :param volume: as it was last seen
    """

    def __init__(self, message: str, volume: model.Volume) -> None:
        super().__init__(message)
        self.volume = volume


def removal(reference: str, status: str) -> str:
    """Return the command that deletes a volume which no server has."""
    force = '' if status in _PLAIN else '--force '
    return f'openstack volume delete {force}{reference}'


@contextlib.contextmanager
def scratch(
    store: store_.VolumeStore, type_id: str
) -> collections.abc.Iterator[model.Volume]:
    """Give a new volume of 1 GiB, and remove it whatever happens.

    :raises OperationFailed: when the volume does not come into being
    :raises UndoFailed: when it cannot be removed
    """
    name = f'osc-lab-proof-{secrets.token_hex(4)}'
    held = False
    pauses: tuple[float, ...] = store_.LATE
    try:
        try:
            store.create_volume(name, type_id, 1, {MARK: type_id})
            pauses = ()
        except exceptions.ServiceError as error:
            if not error.unclear:
                pauses = ()
                raise exceptions.OperationFailed(
                    _('A volume of the type is refused: %s') % error.message,
                    _(
                        'Read the log of cinder-api; --no-verify makes the '
                        'type without a volume.'
                    ),
                ) from error
        yield _available(store, name, pauses)
    except exceptions.UndoFailed:
        # It names what holds the volume, and the volume.
        held = True
        raise
    finally:
        if not held:
            with plan.uninterrupted():
                _remove(store, name, pauses)


def _named(
    store: store_.VolumeStore, name: str, pauses: tuple[float, ...] = ()
) -> list[model.Volume]:
    """Return the volumes of a name; wait for one that may come late."""
    for pause in (*pauses, None):
        # Never trust a filter alone with what is then deleted.
        found = [
            item
            for item in store.find_volumes(name=name)
            if item.name == name and MARK in item.metadata
        ]
        if found or pause is None:
            return found
        time.sleep(pause)
    raise AssertionError


def _available(
    store: store_.VolumeStore, name: str, pauses: tuple[float, ...]
) -> model.Volume:
    limit = time.monotonic() + PATIENCE
    while True:
        found = _named(store, name, pauses)
        if not found:
            raise exceptions.OperationFailed(
                _('The volume that was to prove the type never came'),
                _('See the log of cinder-api.'),
            )
        (item,) = found
        if item.status == 'available':
            return item
        if item.status.startswith('error'):
            raise exceptions.OperationFailed(
                _('A volume of the type ends in status "%(status)s": %(why)s')
                % {
                    'status': item.status,
                    'why': store.complaint(item.id) or _('no reason given'),
                },
                _('See the logs of cinder-scheduler and cinder-volume.'),
            )
        if time.monotonic() > limit:
            raise exceptions.OperationFailed(
                _('A volume of the type is still "%(status)s" after %(s)d s')
                % {'status': item.status, 's': PATIENCE},
                _('See the log of cinder-volume.'),
            )
        time.sleep(_POLL)


def _remove(
    store: store_.VolumeStore, name: str, pauses: tuple[float, ...]
) -> None:
    try:
        for item in _named(store, name, pauses):
            _delete(store, item)
    except exceptions.LabError as error:
        status = error.volume.status if isinstance(error, _Stays) else 'error'
        raise exceptions.UndoFailed(
            _('A volume that was made for a proof cannot be removed: %s')
            % error.message,
            [(_('volume %s') % name, removal(name, status))],
        ) from error


def _delete(store: store_.VolumeStore, item: model.Volume) -> None:
    """Delete a volume and wait until it is gone.

    :raises _Stays: when that is refused, or it stays
    :raises ServiceError: when nobody knows whether it is gone
    """
    limit = time.monotonic() + PATIENCE
    asked = False
    chances = _CHANCES
    now = item
    while True:
        try:
            now = store.volume(item.id)
            if not asked and now.status not in _PASSING:
                store.delete_volume(item.id)
                asked = True
            elif now.status == 'error_deleting':
                limit = 0.0
        except exceptions.ServiceError as error:
            if error.status == 404:
                # One answer is not enough for what would stay for ever.
                listed = store.find_volumes(name=item.name)
                if not any(found.id == item.id for found in listed):
                    return
            else:
                chances -= 1
                if not error.unclear or not chances:
                    raise _Stays(error.message, now) from error
        if time.monotonic() > limit:
            raise _Stays(_('volume %s does not go away') % item.id, now)
        time.sleep(_POLL)


def left_over(store: store_.VolumeStore, type_id: str) -> list[model.Volume]:
    """Return the volumes that an ended run made to prove a type.

    Types belong to no project: a run of another one may have begun it.
    """
    mark = {MARK: type_id}
    return [
        item
        # Cinder evaluates it as Python does (check_volume_filters).
        for item in store.find_volumes(metadata=repr(mark))
        if item.metadata.get(MARK) == type_id and item.type_id == type_id
    ]


def left_warning(item: model.Volume) -> str:
    return _(
        'Volume %(id)s was made to prove the type, and is still there. Unless '
        'another run is at work: %(command)s'
    ) % {'id': item.id, 'command': removal(item.id, item.status)}


def at_work(store: store_.VolumeStore, type_id: str) -> bool:
    """Return whether a run may be proving a type right now."""
    now = time.time()
    return any(
        not item.status.startswith('error')
        and (item.created is None or now - item.created < LONGEST)
        for item in left_over(store, type_id)
    )


def remove_scratch(store: store_.VolumeStore, type_id: str) -> bool:
    """Remove volumes that an ended run made to prove a type.

    :returns: whether there were any
    :raises Conflict: when one stays, as while it is attached
    """
    left = left_over(store, type_id)
    for item in left:
        LOG.warning(_('Removing volume %s that another run left.'), item.id)
        try:
            _delete(store, item)
        except exceptions.LabError as error:
            seen = error.volume if isinstance(error, _Stays) else item
            commands = [
                f'openstack server remove volume {server} {item.id}'
                for server in seen.servers
            ]
            commands.append(removal(item.id, seen.status))
            raise exceptions.Conflict(
                _('Volume %(id)s that another run left cannot be removed: ')
                % {'id': item.id}
                + error.message,
                _('Then run this again: %s') % '; '.join(commands),
            ) from error
    return bool(left)
