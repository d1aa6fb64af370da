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

"""Migration records and action events, as Nova keeps them."""

import collections.abc
import dataclasses
import typing

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab import secrecy
from osc_lab import timestamps

#: Statuses after which nothing happens any more.
DONE = ('completed', 'done')
ENDED = (*DONE, 'failed', 'error', 'cancelled')
WAITING = ('accepted', 'queued', 'preparing')


@dataclasses.dataclass(frozen=True)
class Record:
    """One migration.

    :param created: POSIX time
    :param memory: (total, processed, remaining) bytes; None when unknown
    :param disk: the same
    """

    id: int
    uuid: str
    status: str
    type: str
    server_id: str
    source: str
    destination: str
    created: float
    updated: float
    memory: tuple[int, int, int] | None = None
    disk: tuple[int, int, int] | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def ended_before(self, other: 'Record') -> bool:
        """Return whether it had ended when another one began."""
        return (
            self.ended
            and self.uuid != other.uuid
            and 0 < self.updated <= other.created
        )

    @property
    def succeeded(self) -> bool:
        return self.status in DONE


@dataclasses.dataclass(frozen=True)
class Event:
    """One step of an action.

    :param details: text of the error, from microversion 2.84 on
    """

    name: str
    host: str
    result: str
    details: str
    finished: bool

    @property
    def failed(self) -> bool:
        return self.result == 'Error'


@dataclasses.dataclass(frozen=True)
class Action:
    """What one request did to a server."""

    request_id: str
    action: str
    message: str
    started: float
    events: tuple[Event, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the conductor failed; there may never be a record then."""
        return any(
            event.failed and event.finished and 'conductor' in event.name
            for event in self.events
        )


def record(
    body: collections.abc.Mapping[str, typing.Any],
    running: collections.abc.Mapping[str, typing.Any] | None = None,
) -> Record:
    """Return a record from the API's body.

    :param running: the same migration with byte counters
    :raises AccessError: for a body that is no migration
    """
    counters = running if isinstance(running, dict) else {}
    number = body.get('id') if isinstance(body, dict) else None
    if not isinstance(number, int):
        raise _odd()
    return Record(
        id=number,
        uuid=str(body.get('uuid') or ''),
        status=str(body.get('status', '')),
        type=str(body.get('migration_type', '')),
        server_id=str(
            body.get('instance_uuid') or body.get('server_uuid') or ''
        ),
        source=str(body.get('source_compute') or ''),
        destination=str(body.get('dest_compute') or ''),
        created=moment(body.get('created_at')),
        updated=moment(body.get('updated_at')),
        memory=_counters(counters, 'memory'),
        disk=_counters(counters, 'disk'),
    )


def _counters(
    body: collections.abc.Mapping[str, typing.Any], name: str
) -> tuple[int, int, int] | None:
    values = [
        body.get(f'{name}_{part}_bytes')
        for part in ('total', 'processed', 'remaining')
    ]
    total, processed, remaining = values
    if (
        not isinstance(total, int)
        or not isinstance(processed, int)
        or not isinstance(remaining, int)
        or not total
    ):
        return None
    return total, processed, remaining


def action(body: collections.abc.Mapping[str, typing.Any]) -> Action:
    """Return an action from the API's body, its events in their order.

    :raises AccessError: for a body that is no action
    """
    if not isinstance(body, dict):
        raise _odd()
    listed = body.get('events')
    events = sorted(
        (
            item
            for item in (listed if isinstance(listed, list) else ())
            if isinstance(item, dict)
        ),
        key=lambda item: str(item.get('start_time') or ''),
    )
    return Action(
        request_id=str(body.get('request_id', '')),
        action=str(body.get('action', '')),
        message=str(body.get('message') or ''),
        started=moment(body.get('start_time')),
        events=tuple(
            Event(
                str(item.get('event', '')),
                str(item.get('host') or ''),
                str(item.get('result') or ''),
                secrecy.hidden(item.get('details') or ''),
                bool(item.get('finish_time')),
            )
            for item in events
        ),
    )


def _odd() -> exceptions.AccessError:
    return exceptions.AccessError(
        _('What Nova tells of the migration is not what its API documents'),
        _('Is there a proxy in between? See the log of nova-api.'),
    )


def moment(value: typing.Any) -> float:
    """Return POSIX time of a timestamp; 0.0 without one."""
    return timestamps.seconds(value) or 0.0
