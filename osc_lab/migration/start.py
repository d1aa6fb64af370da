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

"""Ask Nova for a migration, and look for it when the answer was lost."""

import collections.abc
import dataclasses
import time
import typing

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts
from osc_lab.migration import record as record_

Json = dict[str, typing.Any]

#: Seconds to look for a migration when nobody knows whether it began.
PATIENCE = 15.0

#: A proxy gave up, or there was no answer: Nova may still be at it.
_UNTOLD = (None, 502, 504)


class Compute(typing.Protocol):
    """What is asked of Nova."""

    def live_migrate(
        self, server_id: str, host: str | None, storage: facts.Storage
    ) -> str: ...
    def migrations(
        self, most: int = 1000, **filters: typing.Any
    ) -> collections.abc.Iterator[Json]: ...
    def server(self, reference: str) -> facts.Server: ...


@dataclasses.dataclass(frozen=True)
class Begun:
    """What is known when Nova has been asked.

    :param request_id: of Nova; empty when its answer was lost
    :param newest: id of the newest migration of before
    :param doubt: why nobody knows whether it began
    """

    request_id: str
    newest: int
    doubt: exceptions.ServiceError | None = None


def start(
    compute: Compute,
    server: facts.Server,
    host: str | None,
    storage: facts.Storage,
    say: collections.abc.Callable[[str], None],
    interval: float = 1.0,
) -> Begun:
    """Ask Nova once.

    :param say: tells the user something
    :param interval: seconds between two looks when the answer was lost
    :raises LabError: when Nova refuses
    """
    last = next(records(compute, server.id), None)
    newest = last.id if last else 0
    try:
        return Begun(compute.live_migrate(server.id, host, storage), newest)
    except exceptions.ServiceError as error:
        if not error.unclear:
            raise
        if not _began(compute, server, newest, error, interval):
            return Begun('', newest, error)
        say(
            _(
                'Nova did not take the request (%s), or its answer was '
                'lost; a migration that began meanwhile is watched, '
                'which may be of somebody else.'
            )
            % error.message
        )
    return Begun('', newest)


def _began(
    compute: Compute,
    server: facts.Server,
    newest: int,
    error: exceptions.ServiceError,
    interval: float,
) -> bool:
    """Return whether a migration is to be seen that was not there before.

    A proxy may have given up while Nova went on; or Nova failed since
    another request came first, which it does not tell.  nova-api sets the
    task of the server before it answers, nova-conductor makes the record
    later.

    :raises ServiceError: the error of the request, when Nova failed and the
        server has no task
    """
    limit = time.monotonic() + PATIENCE
    while True:
        time.sleep(interval)
        try:
            found = next(records(compute, server.id), None)
            if found is not None and found.id != newest:
                return True
            idle = compute.server(server.id).task_state is None
        except exceptions.LabError:
            idle = False
        if idle and error.status not in _UNTOLD:
            raise error
        if time.monotonic() > limit:
            return False


def records(
    compute: Compute, server_id: str
) -> collections.abc.Iterator[record_.Record]:
    """Yield the live migrations of a server, the newest first."""
    bodies = compute.migrations(
        instance_uuid=server_id, migration_type='live-migration'
    )
    return map(record_.record, bodies)
