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

"""The mirrors of a host: find all of them, remove one.

A row that does not carry our marks is found and never removed, but for
the left-overs that ``prune --foreign`` names.
"""

import datetime
import logging
import shlex

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import guard
from osc_lab.mirroring import health
from osc_lab.mirroring import host as host_
from osc_lab.mirroring import transaction

LOG = logging.getLogger(__name__)


def collect(host: host_.Host, now: datetime.datetime) -> list[health.Entry]:
    """Return all mirrors of a host by name, foreign ones as well.

    OVSDB gives rows in an order of its own, another one each time.
    """
    seen = host.database.snapshot()
    found = health.entries(
        host.name,
        seen.mirrors,
        seen.own_ports,
        now,
        {bridge.uuid: bridge.name for bridge in seen.bridges},
    )
    return sorted(found, key=_order)


def again(
    host: host_.Host, entry: health.Entry, now: datetime.datetime
) -> health.Entry | None:
    """Return an entry as it is now, or None when its rows are gone.

    A port that was alone and has a mirror now is another entry.
    """
    for found in collect(host, now):
        if _rows(found) & _rows(entry) and (entry.mirror or not found.mirror):
            return found
    return None


def _rows(entry: health.Entry) -> set[str]:
    return {row.uuid for row in (entry.mirror, *entry.ports) if row}


def _order(entry: health.Entry) -> tuple[bool, str, str]:
    if entry.mirror is None:
        return True, '', entry.ports[0].uuid
    return False, entry.mirror.name, entry.mirror.uuid


def ids(entry: health.Entry) -> set[str]:
    """Return the ids in the marks of an entry's rows."""
    rows = (entry.mirror, *entry.ports)
    return {row.marks.id for row in rows if row and row.marks}


def delete_command(host: str, made: str) -> str:
    """Return what removes a mirror, for people.

    :param made: the id in its marks
    """
    return f'openstack port mirror delete --host {shlex.quote(host)} {made}'


def remove(host: host_.Host, entry: health.Entry, user: str) -> None:
    """Remove a mirror, its port and its guard; what is gone is gone."""
    drop(host, entry, user)
    if (
        entry.owner in health.REMOVABLE
        and entry.mirror
        and entry.mirror.output_name
        and host.shell
    ):
        # Open vSwitch did not make this device, and leaves it.
        host.shell.run(
            guard.remove_dummy(entry.mirror.output_name), check=True
        )
    rows = (entry.mirror, *entry.ports)
    for found in (row.marks for row in rows if row):
        if found and found.guard:
            end_guard(host, found.id, found.guard)
            break


def end_guard(host: host_.Host, mirror_id: str, known: str) -> None:
    """End the guard of a mirror that is gone; it would find nothing."""
    if host.shell is None:
        LOG.info(
            _('The guard on %s ends when its time is over.'),
            exceptions.printable(host.name),
        )
        return
    try:
        host.shell.run(guard.stop(mirror_id, known), check=False)
    except exceptions.AccessError as error:
        LOG.warning(
            _('The guard on %(host)s ends when its time is over: %(error)s'),
            {'host': exceptions.printable(host.name), 'error': error},
        )


def drop(host: host_.Host, entry: health.Entry, user: str) -> None:
    mirrors = [entry.mirror.uuid] if entry.mirror else []
    ports = [port.uuid for port in entry.ports]
    if (
        entry.owner in health.REMOVABLE
        and entry.mirror
        and entry.mirror.output_port
    ):
        ports.append(entry.mirror.output_port)
    host.database.transact(
        transaction.remove(entry.bridge_uuid, mirrors, ports, user)
    )
