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

"""What a capture looks at: a mirror, or one that is made for it."""

import argparse
import collections.abc
import contextlib
import datetime
import logging
import time
import typing
import uuid

from osc_lab.access import capture as access
from osc_lab.access import cloud
from osc_lab.access import mirror_hosts
from osc_lab.access import network as network_
from osc_lab.commands import port_mirror
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import capture
from osc_lab.mirroring import health
from osc_lab.mirroring import host as host_
from osc_lab.mirroring import inventory
from osc_lab.mirroring import judge
from osc_lab.mirroring import maker as making
from osc_lab.mirroring import model
from osc_lab.mirroring import table
from osc_lab.mirroring import targets

LOG = logging.getLogger(__name__)

#: How often removing is tried: the connection may just be coming back.
_ATTEMPTS = 3


class End:
    """One end of a capture: a port, or a mirror of ours.

    Nothing is made yet; what open() makes, remove() takes away.

    :raises LabError: when there is no such port or mirror, or no way
    """

    def __init__(
        self,
        command: port_mirror.Base,
        parsed_args: argparse.Namespace,
        network: network_.Network,
        hosts: mirror_hosts.Hosts,
    ) -> None:
        self._command = command
        self._hosts = hosts
        self._direction = model.Direction(parsed_args.direction)
        self._user = network.creator()
        self._port: model.NeutronPort | None = None
        self._made: making.Made | None = None
        self._device = ''
        try:
            self._port = command.find_port(parsed_args, network)
        except exceptions.NoUniqueMatch:
            raise
        except exceptions.NotFound:
            if not parsed_args.port:
                raise
            self._device, self.host, self.label = _mirror(parsed_args, hosts)
            self.id = self._device
        else:
            self.host = judge.port(self._port, parsed_args.host)
            self.label = self._port.name or self._port.id
            self.id = self._port.id
        shell = hosts.shell(self.host)
        if shell is None:
            raise exceptions.InvalidInput(
                _('Packets of %s can only be captured by a shell') % self.host,
                _('Use --ssh.'),
            )
        self._shell = shell

    def open(self, wish: capture.Wish) -> access.Source:
        """Make the mirror when there is none; return where it copies to."""
        if self._port is not None:
            self._make(self._port, wish)
        label = exceptions.printable(f'{self.host} {self.label}')
        return access.Source(self._shell, self._device, label)

    def _make(self, port: model.NeutronPort, wish: capture.Wish) -> None:
        seconds = wish.seconds + 2 * capture.GRACE
        request = making.Request(
            direction=self._direction,
            target=targets.Target(targets.Kind.INTERFACE),
            # Each run has its own, and removes no other.
            name=f'capture-{port.id[:8]}-{uuid.uuid4().hex[:8]}',
            lifetime=datetime.timedelta(seconds=seconds),
            purpose='capture',
        )
        with self._hosts.open(self.host) as host:
            maker = making.Maker(host, port, request, self._user)
            self._made = maker.make()
        self._device = self._made.device

    def remove(self) -> None:
        """Remove what open() made.

        :raises OperationFailed: when it cannot be reached any more
        """
        if self._made is None:
            return
        mirror = self._made.entry.mirror
        assert mirror is not None
        assert mirror.marks is not None
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(1)
            try:
                with self._hosts.open(self.host) as host:
                    self._drop(host, mirror.marks.id)
                return
            except exceptions.LabError as error:
                failure = error
        remedy = _('remove it with: %s') % inventory.delete_command(
            self.host, mirror.marks.id
        )
        if self._made.guarded:
            remedy = _('the host removes it by itself when its time is over')
        raise exceptions.OperationFailed(
            _('The mirror %(name)s may be left on %(host)s: %(error)s')
            % {
                'name': mirror.name,
                'host': self.host,
                'error': failure.message,
            },
            remedy,
        )

    def _drop(self, host: host_.Host, made: str) -> None:
        now = datetime.datetime.now(datetime.UTC)
        for entry in inventory.collect(host, now):
            if made not in inventory.ids(entry):
                continue
            self._lost(host, entry)
            inventory.remove(host, entry, self._user)
            if health.Health.BLIND in entry.problems:
                LOG.warning(
                    _(
                        'The port was made anew while it was captured; later '
                        'packets are missing. Capture it again.'
                    )
                )

    def _lost(self, host: host_.Host, entry: health.Entry) -> None:
        """Tell of copies that the device had no room for."""
        for port in entry.ports:
            interface = host.database.interface(port.name)
            lost = interface.statistics.get('tx_dropped') if interface else 0
            if lost:
                self._command.say(
                    _(
                        'Open vSwitch dropped %d copies, those before the '
                        'capture began among them.'
                    )
                    % lost
                )


@contextlib.contextmanager
def removed(ends: collections.abc.Iterable[End]) -> typing.Iterator[None]:
    """Remove at the end what each of the ends made.

    :raises OperationFailed: with all that cannot be reached any more
    """
    failures = []
    try:
        yield
    finally:
        for end in ends:
            try:
                end.remove()
            except Exception as error:
                failures.append(str(cloud.explain(error)))
        if failures:
            raise exceptions.OperationFailed('; '.join(failures))


def _mirror(
    parsed_args: argparse.Namespace, hosts: mirror_hosts.Hosts
) -> tuple[str, str, str]:
    """Return the device, the host and the name of a mirror of ours."""
    names = [parsed_args.host] if parsed_args.host else None
    found, dead = hosts.survey(names)
    try:
        entry = table.pick(found, parsed_args.port, dead)
    except exceptions.NotFound as error:
        raise exceptions.NotFound(
            _('There is no single port or mirror "%s"') % parsed_args.port,
            error.remedy,
        ) from error
    if entry.problems:
        # It copies nothing of the port, or is about to be removed.
        raise exceptions.Conflict(
            _('The mirror "%(name)s" does not work: %(problems)s')
            % {
                'name': parsed_args.port,
                'problems': ', '.join(table.problems(entry)),
            },
            _('Create it again, or capture the port itself.'),
        )
    mirror = entry.mirror
    # One of ours without a mirror is blind.
    assert mirror is not None
    marks = mirror.marks
    assert marks is not None
    if marks.target != 'interface' or not mirror.output_name:
        raise exceptions.Conflict(
            _('The mirror "%s" has no device on its host') % parsed_args.port,
            _('Capture the port itself.'),
        )
    if parsed_args.direction not in ('both', marks.direction):
        raise exceptions.Conflict(
            _('The mirror "%(name)s" copies the direction "%(there)s"')
            % {'name': parsed_args.port, 'there': marks.direction},
            _('Capture the port itself.'),
        )
    return mirror.output_name, entry.host, mirror.name
