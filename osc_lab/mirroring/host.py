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

"""A host, and the ways to it; adapters of the access package fit in."""

import collections.abc
import dataclasses
import time
import typing

from osc_lab.mirroring import model


class Answer(typing.Protocol):
    """What a command gave back."""

    @property
    def status(self) -> int: ...

    @property
    def text(self) -> str: ...

    @property
    def stderr(self) -> str: ...


class Shell(typing.Protocol):
    """The shell of the host, see access.shell."""

    def run(
        self, command: collections.abc.Sequence[str], *, check: bool = ...
    ) -> Answer: ...


class Database(model.Database, typing.Protocol):
    """What making a mirror needs beyond model.Database."""

    def interface(self, name: str) -> model.Interface | None: ...

    def mirror(self, uuid: str) -> model.Mirror | None: ...

    def statistics_interval(self) -> float: ...


@dataclasses.dataclass(frozen=True)
class Host:
    """A host and the ways to it.

    :param shell: None without a shell channel
    :param local_db: how ovs-vsctl on the host finds the database, or ''
    """

    name: str
    database: Database
    shell: Shell | None = None
    local_db: str = ''


def changed(
    database: Database,
    interface: str,
    before: collections.abc.Mapping[str, int],
) -> tuple[collections.abc.Mapping[str, int], float]:
    """Wait until statistics change, for little more than one interval.

    :returns: the values, and the seconds that they are apart
    """
    interval = database.statistics_interval()
    limit = time.monotonic() + interval + 0.5
    while time.monotonic() < limit:
        after = database.statistics(interface)
        if dict(after) != dict(before):
            return after, interval
        time.sleep(0.1)
    return before, interval


def await_packets(
    database: Database, mirror: str, seconds: float
) -> model.Mirror | None:
    """Wait until a mirror (UUID) has copied a packet, or time is over."""
    limit = time.monotonic() + seconds
    while True:
        found = database.mirror(mirror)
        if found is None or found.packets or time.monotonic() >= limit:
            return found
        time.sleep(0.2)
