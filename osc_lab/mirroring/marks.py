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

"""Marks: what our rows say about themselves in external_ids.

Everything that list, delete, prune and the guard need is in the rows, so
any administrator can remove a mirror that another one forgot, and no
file is kept anywhere.  A row without our mark is never touched.
"""

import collections.abc
import dataclasses
import datetime

from osc_lab import timestamps

PREFIX = 'osc-lab-'
OWNER = PREFIX + 'owner'
ID = PREFIX + 'id'

#: Value of OWNER.
OURS = 'osc-lab'


@dataclasses.dataclass(frozen=True)
class Marks:
    """Who made a row, for what, and until when.

    :param id: UUID that all rows of one mirror share
    :param purpose: 'mirror' or 'capture'
    :param creator: user, project and machine, for people
    :param port: UUID of the Neutron port
    :param created: aware, UTC
    :param expires: aware, UTC; None for never
    :param guard: how the guard on the host is found, see guard.py
    """

    id: str
    name: str
    purpose: str
    creator: str
    port: str
    port_name: str
    server: str
    server_name: str
    host: str
    direction: str
    target: str
    created: datetime.datetime
    expires: datetime.datetime | None
    guard: str = ''

    def expired(self, now: datetime.datetime) -> bool:
        return self.expires is not None and self.expires <= now


def encode(marks: Marks) -> dict[str, str]:
    """Return the external_ids of a row; empty values are left out."""
    values = {
        PREFIX + field.name.replace('_', '-'): _text(
            getattr(marks, field.name)
        )
        for field in dataclasses.fields(marks)
    }
    values = {key: value for key, value in values.items() if value}
    return {OWNER: OURS, **values}


def decode(
    external_ids: collections.abc.Mapping[str, str],
) -> Marks | None:
    """Return the marks of a row, or None for a row that is not ours.

    A row with our owner mark and nothing else that can be read is still
    ours: its times are the epoch, so it counts as expired.
    """
    if external_ids.get(OWNER) != OURS or not external_ids.get(ID):
        return None
    values = {
        field.name: external_ids.get(PREFIX + field.name.replace('_', '-'), '')
        for field in dataclasses.fields(Marks)
        if field.name not in ('created', 'expires')
    }
    return Marks(
        **values,
        created=timestamps.read(external_ids.get(PREFIX + 'created', ''))
        or EPOCH,
        expires=_expiry(external_ids.get(PREFIX + 'expires', '')),
    )


EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)


def _text(value: object) -> str:
    if value is None:
        return 'none'
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime('%Y-%m-%dT%H:%M:%SZ')
    # OVSDB takes any text but NUL.
    return str(value).replace('\0', '')


def _expiry(text: str) -> datetime.datetime | None:
    return None if text == 'none' else (timestamps.read(text) or EPOCH)
