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

"""Make a mirror of a port on its host, or find that it is there.

The database and the shell come as arguments; what is decided is decided
by the pure modules beside this one.
"""

import dataclasses
import datetime
import logging
import random
import time
import uuid

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import destination
from osc_lab.mirroring import guard
from osc_lab.mirroring import health
from osc_lab.mirroring import host as host_
from osc_lab.mirroring import inventory
from osc_lab.mirroring import judge
from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import names
from osc_lab.mirroring import targets
from osc_lab.mirroring import transaction
from osc_lab import plan

LOG = logging.getLogger(__name__)

#: How often a transaction is tried when others change the bridge too.
_ATTEMPTS = 60

#: Seconds that the switch may take to make the output port.
_PORT_DEADLINE = 15.0


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user wants.

    :param name: '' for the default
    :param lifetime: None for ever
    """

    direction: model.Direction
    target: targets.Target
    name: str = ''
    snaplen: int | None = None
    filter: str = ''
    lifetime: datetime.timedelta | None = None
    purpose: str = 'mirror'


@dataclasses.dataclass(frozen=True)
class Made:
    """The mirror that is there now.

    :param new: False when it was there before
    :param guarded: whether the host ends it by itself
    """

    entry: health.Entry
    device: str
    new: bool
    guarded: bool


@dataclasses.dataclass(frozen=True)
class Rate:
    """Traffic of a port, both directions together, a second."""

    packets: float
    bits: float


class Maker:
    """Makes one mirror of one port."""

    def __init__(
        self,
        host: host_.Host,
        port: model.NeutronPort,
        request: Request,
        creator: str,
    ) -> None:
        self._host = host
        self._port = port
        self._request = request
        self._creator = creator
        self._id = str(uuid.uuid4())
        self._guard = ''
        self._asked = False
        self._left = False
        # Whether a request may still be carried out, see Connection.call.
        self._unclear = False
        self._existing: model.Mirror | None = None
        self._row = ''
        self._read: model.Mirror | None = None
        if request.target.kind is targets.Kind.INTERFACE and not host.shell:
            raise exceptions.InvalidInput(
                _('A device on %s can only be brought up by a shell')
                % host.name,
                _('Use --ssh, or a tunnel such as --to gre:IP.'),
            )

    def look(self) -> tuple[model.Attachment, transaction.Wish]:
        """Find the port on its host, and judge the wish.

        :raises Conflict: when it cannot be done, with the way out
        """
        database = self._host.database
        found = judge.attachment(
            database.attachments(self._port.id), self._port, self._host.name
        )
        target = self._request.target
        output = None
        if target.kind is targets.Kind.PORT:
            output = judge.output(
                found, target.port, database.port(target.port)
            )
        wish = self._wish(output)
        self._existing = judge.existing(found, wish)
        if self._existing is None:
            judge.room(found)
            destination.check(database, found, target)
        return found, wish

    def _wish(self, output: model.Port | None) -> transaction.Wish:
        request = self._request
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        name = request.name or names.default_name(
            self._port.id,
            request.direction,
            request.target,
            request.snaplen,
            request.filter,
        )
        return transaction.Wish(
            name=name,
            direction=request.direction,
            target=request.target,
            device=names.device(self._id),
            marks=marks.Marks(
                id=self._id,
                name=name,
                purpose=request.purpose,
                creator=self._creator,
                port=self._port.id,
                port_name=self._port.name,
                server=self._port.server,
                server_name=self._port.server_name,
                host=self._host.name,
                direction=request.direction.value,
                target=str(request.target),
                created=now,
                expires=now + request.lifetime if request.lifetime else None,
                guard=self._guard,
            ),
            output=output,
            snaplen=request.snaplen,
            filter=request.filter,
        )

    def rate(self, found: model.Attachment) -> Rate:
        """Measure the traffic of the port; takes up to one interval.

        The switch writes statistics at intervals, so the difference of
        one value and the next is the traffic of one interval.
        """
        before = found.interface.statistics
        after, seconds = host_.changed(
            self._host.database, found.interface.uuid, before
        )
        packets, octets = (
            sum(after.get(key, 0) - before.get(key, 0) for key in keys)
            for keys in (
                ('rx_packets', 'tx_packets'),
                ('rx_bytes', 'tx_bytes'),
            )
        )
        return Rate(max(0, packets) / seconds, max(0, octets) * 8 / seconds)

    def check_output(self, wish: transaction.Wish) -> None:
        """See that the port that shall receive copies is quiet.

        :raises Conflict: when it carries traffic
        """
        if wish.output is not None:
            destination.quiet(self._host.database, wish.output)

    def make(self, wait: float = 0) -> Made:
        """Make the mirror, or find that it is there.

        :param wait: seconds for its first packet; an interrupt until then
            takes it away again
        :raises LabError: when it cannot be made; nothing is left then
        """
        found, wish = self.look()
        existing = self._kept(found, wish)
        if existing is not None:
            return self._there(existing)
        steps = (
            plan.Step(
                _('start the guard'),
                lambda: self._start_guard(found.bridge.uuid),
                undo=self._stop_guard,
            ),
            plan.Step(
                _('make the mirror'),
                self._commit,
                undo=self._remove,
                undo_command=inventory.delete_command(
                    self._host.name, self._id
                ),
            ),
            plan.Step(_('see that the port works'), self._verify),
            plan.Step(
                _('wait for the first packet'), lambda: self._await(wait)
            ),
        )
        plan.Plan(steps).run()
        if self._existing is not None:
            # Somebody made the same one at the same moment.
            self._stop_guard()
            return self._there(self._existing)
        assert self._read is not None
        mirror = dataclasses.replace(
            self._read,
            bridge=found.bridge.name,
            bridge_uuid=found.bridge.uuid,
        )
        return self._made(mirror, new=True)

    def _kept(
        self, found: model.Attachment, wish: transaction.Wish
    ) -> model.Mirror | None:
        """Return the same mirror of before, unless it is of no use.

        :raises Conflict: when a namesake would stop the new one
        """
        mirror = self._existing
        if mirror is None or mirror.marks is None:
            return None
        now = datetime.datetime.now(datetime.UTC)
        if useful(mirror, found, now):
            return mirror
        others = tuple(item for item in found.mirrors if item is not mirror)
        judge.existing(dataclasses.replace(found, mirrors=others), wish)
        for entry in inventory.collect(self._host, now):
            if entry.mirror and entry.mirror.uuid == mirror.uuid:
                inventory.remove(self._host, entry, self._creator)
        self._existing = None
        return None

    def _there(self, mirror: model.Mirror) -> Made:
        made = self._made(mirror, new=False)
        if self._request.target.kind is targets.Kind.INTERFACE:
            self._bring_up(made.device)
        return made

    def _made(self, mirror: model.Mirror, new: bool) -> Made:
        assert mirror.marks is not None
        problems = health.judge(mirror, datetime.datetime.now(datetime.UTC))
        entry = health.Entry(
            self._host.name,
            mirror,
            (),
            mirror.bridge,
            mirror.bridge_uuid,
            health.Owner.OSC_LAB,
            health.worst(problems, mirror.packets),
            problems,
        )
        return Made(
            entry,
            names.device(mirror.marks.id),
            new,
            bool(mirror.marks.guard) or mirror.marks.expires is None,
        )

    def _start_guard(self, bridge: str) -> None:
        shell, lifetime = self._host.shell, self._request.lifetime
        if shell is None or lifetime is None:
            return
        self._asked = True
        answer = shell.run(
            guard.start(
                self._id,
                lifetime.total_seconds(),
                bridge,
                self._host.local_db,
            ),
            check=False,
        )
        self._guard = guard.known(answer.text) if not answer.status else ''
        if not self._guard:
            LOG.warning(
                _('No guard on %(host)s (%(reason)s): only prune ends it.'),
                {
                    'host': exceptions.printable(self._host.name),
                    'reason': exceptions.printable(
                        answer.stderr or f'status {answer.status}'
                    ),
                },
            )

    def _stop_guard(self) -> None:
        # It ends what we could not, and what comes after us.
        if not self._asked or self._left:
            return
        if self._unclear:
            LOG.warning(
                _(
                    'The guard on %s goes on: what the database did not '
                    'answer may still be carried out.'
                ),
                exceptions.printable(self._host.name),
            )
        else:
            inventory.end_guard(self._host, self._id, self._guard)

    def _commit(self) -> None:
        for attempt in range(_ATTEMPTS):
            found, wish = self.look()
            if self._existing is not None:
                return
            operations = transaction.create(found, wish, self._creator)
            self._unclear = True
            try:
                results = self._host.database.transact(operations)
            except model.Refused:
                self._unclear = False
                raise
            except model.Stale:
                self._unclear = False
                # Those who lost the same race must not meet again.
                time.sleep(random.uniform(0, 0.02 * (attempt + 1)))  # noqa: S311
                continue
            self._unclear = False
            self._row = results[4]['uuid'][1]
            return
        raise exceptions.Conflict(
            _('Others keep changing the bridge on %s') % self._host.name,
            _('Try again.'),
        )

    def _remove(self) -> None:
        self._left = True
        now = datetime.datetime.now(datetime.UTC)
        for entry in inventory.collect(self._host, now):
            if self._id in inventory.ids(entry):
                inventory.drop(self._host, entry, self._creator)
                self._unclear = False
        self._left = False

    def _verify(self) -> None:
        if self._existing is not None:
            return
        device = names.device(self._id)
        limit = time.monotonic() + _PORT_DEADLINE
        while True:
            interface = self._host.database.interface(device)
            if interface is not None and (interface.ofport or 0) > 0:
                break
            error = interface.error if interface else ''
            if error or time.monotonic() > limit:
                raise exceptions.OperationFailed(
                    _('Open vSwitch on %(host)s made no port: %(error)s')
                    % {
                        'host': self._host.name,
                        'error': error or _('ovs-vswitchd does not answer'),
                    },
                    _('See the log of ovs-vswitchd on the host.'),
                )
            time.sleep(0.05)
        if self._request.target.kind is targets.Kind.INTERFACE:
            self._bring_up(device)

    def _await(self, seconds: float) -> None:
        if self._existing is not None:
            return
        self._read = host_.await_packets(
            self._host.database, self._row, seconds
        )
        if self._read is None:
            raise exceptions.OperationFailed(
                _('The mirror was removed again by somebody else'),
                _('See "openstack port mirror list".'),
            )

    def _bring_up(self, device: str) -> None:
        assert self._host.shell is not None
        self._host.shell.run(guard.bring_up(device), check=True)


def useful(
    mirror: model.Mirror, found: model.Attachment, now: datetime.datetime
) -> bool:
    """Return whether a mirror that is there does what is asked of it."""
    return judge.same_source(mirror, found) and not health.judge(mirror, now)
