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


"""What mirrors must be there, by a model that knows no OVSDB."""

import dataclasses
import datetime
import types

from osc_lab.mirroring import health
from osc_lab.mirroring import marks

EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)


class Clock(datetime.datetime):
    """The time, which tests move on."""

    ahead = datetime.timedelta()

    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.now(tz) + cls.ahead


#: In place of the module "datetime", where the program asks for the time.
CLOCK = types.SimpleNamespace(
    datetime=Clock, UTC=datetime.UTC, timedelta=datetime.timedelta
)


@dataclasses.dataclass
class Ours:
    """A mirror that we made, and what others did to it since.

    :ivar mirror: UUID of its row, None when somebody removed it
    :ivar port: UUID of the port that was made with it, None likewise
    :ivar known: whether the mirror carries our marks
    :ivar port_known: whether the port does
    :ivar sees: whether the port that it mirrors is as it was
    :ivar sends: whether it has an output
    """

    id: str
    name: str
    source: str
    direction: str
    target: str
    expires: datetime.datetime | None
    mirror: str | None
    port: str | None
    known: bool = True
    port_known: bool = True
    sees: bool = True
    sends: bool = True

    def expired(self):
        return self.expires is not None and self.expires <= Clock.now(
            datetime.UTC
        )

    @property
    def listed(self):
        """Whether the row of the mirror is there and ours."""
        return bool(self.mirror) and self.known

    @property
    def lost(self):
        """Whether a port of ours is all that is known to be left."""
        return bool(self.port) and self.port_known and not self.listed

    def working(self):
        return self.sees and self.sends and not self.expired()

    def same(self, name, source, direction, target):
        return self.listed and (
            (self.name, self.source, self.direction, self.target)
            == (name, source, direction, target)
        )


@dataclasses.dataclass
class Model:
    """All mirrors that were made, and the ports of the API.

    :ivar ours: in the order in which they were made
    :ivar neutron: id of a port -> (host, server); none when it is gone
    """

    ours: list = dataclasses.field(default_factory=list)
    neutron: dict = dataclasses.field(default_factory=dict)

    def problems(self, item, host, server):
        """Return what is wrong with a mirror, as the list must say."""
        found = set()
        if item.expired():
            found.add(health.Health.EXPIRED)
        if item.lost:
            return found | {health.Health.BLIND}
        if self.neutron.get(item.source) != (host, server):
            found.add(health.Health.ORPHAN)
        if not item.sends:
            found.add(health.Health.NO_OUTPUT)
        if not item.sees:
            found.add(health.Health.BLIND)
        return found

    def with_mirror(self):
        return [item for item in self.ours if item.mirror]

    def with_port(self):
        return [item for item in self.ours if item.port]

    def shown(self):
        return [item for item in self.ours if item.listed or item.lost]

    def remove(self, item):
        """Have what carries marks of ours removed."""
        if item.listed:
            item.mirror = None
        if item.port_known:
            item.port = None


def expiry(row):
    """Return when a row of ours expires, by its mark."""
    text = dict(row['external_ids'][1])[f'{marks.PREFIX}expires']
    return None if text == 'none' else datetime.datetime.fromisoformat(text)
