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

"""Mirrors as rows for the formatters of the shell."""

import collections.abc
import datetime
import json
import typing

from cliff import columns
from osc_lib.cli import format_columns

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import amounts
from osc_lab.mirroring import health
from osc_lab.mirroring import inventory
from osc_lab.mirroring import judge
from osc_lab.mirroring import maker
from osc_lab.mirroring import marks as marks_
from osc_lab.mirroring import model
from osc_lab.mirroring import transaction

LIST = (
    'Name',
    'Port',
    'Server',
    'Host',
    'Direction',
    'Target',
    'Packets',
    'Bytes',
    'Age',
    'Expires',
    'Health',
)
LONG = (
    *LIST,
    'ID',
    'Owner',
    'Purpose',
    'Creator',
    'Bridge',
    'Device',
    'Snaplen',
    'Filter',
    'Problems',
)
SHOW = (
    'id',
    'name',
    'port_id',
    'port_name',
    'server_id',
    'server_name',
    'host',
    'bridge',
    'direction',
    'target',
    'device',
    'snaplen',
    'filter',
    'packets',
    'bytes',
    'health',
    'problems',
    'owner',
    'purpose',
    'creator',
    'created_at',
    'expires_at',
    'guard',
)

#: Columns that are no text, so that nothing is no text either.
_VALUES = ('Packets', 'Bytes', 'Age', 'Expires', 'Snaplen')

#: What --dry-run shows.
PLAN = (
    'name',
    'exists',
    'host',
    'bridge',
    'interface',
    'packets_per_second',
    'bits_per_second',
    'transaction',
    'commands',
)


class Nothing(columns.FormattableColumn[None]):
    """What is not there, or nobody knows: null for programs; sorts last.

    :param word: for people
    """

    def __init__(self, word: str = '') -> None:
        super().__init__(None)
        self._word = word

    def human_readable(self) -> str:
        return self._word

    def __lt__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return not isinstance(other, Nothing)


class Seconds(columns.FormattableColumn[float]):
    """A time span: words for people, whole seconds for programs."""

    def human_readable(self) -> str:
        return amounts.show_duration(self._value)

    def machine_readable(self) -> int:
        return round(self._value)

    def __lt__(self, other: object) -> bool:
        return isinstance(other, Nothing) or super().__lt__(other)


class Lines(format_columns.ListColumn):
    """One below the other for people, in their order."""

    def human_readable(self) -> str:
        return '\n'.join(self._value)


class Operations(format_columns.ListDictColumn):
    """Operations of OVSDB, as JSON for people."""

    def human_readable(self) -> str:
        return json.dumps(self._value, indent=1)


def row(
    entry: health.Entry, now: datetime.datetime, long: bool = False
) -> tuple[typing.Any, ...]:
    """Return a mirror's cells in the order of LIST or LONG."""
    mirror = entry.mirror
    marks = _marks(entry)
    age, expires = None, marks and marks.expires
    if marks:
        age = Seconds((now - marks.created).total_seconds())
    cells = (
        name(entry),
        _text(marks and (marks.port_name or marks.port)),
        _text(marks and (marks.server_name or marks.server)),
        _text(entry.host),
        _text(marks.direction if marks else _direction(entry)),
        _text(target(entry)),
        _known(mirror and mirror.packets),
        _known(mirror and mirror.bytes),
        _known(age),
        Seconds((expires - now).total_seconds())
        if expires
        else _endless(marks),
        entry.health.value,
    )
    if not long:
        return cells
    return (
        *cells,
        identity(entry),
        entry.owner.value,
        _text(marks and marks.purpose),
        _text(marks and marks.creator),
        _text(entry.bridge),
        _text(device(entry)),
        _known(mirror and mirror.snaplen),
        _text(mirror and mirror.filter),
        format_columns.ListColumn(problems(entry)),
    )


def unreachable(host: str, long: bool = False) -> tuple[typing.Any, ...]:
    """Return the row of a host that does not answer."""
    cells = {
        **dict.fromkeys(_VALUES, Nothing()),
        'Host': _text(host),
        'Health': health.Health.UNREACHABLE.value,
        'Problems': format_columns.ListColumn([]),
    }
    return tuple(cells.get(column, '') for column in (LONG if long else LIST))


def show(entry: health.Entry) -> tuple[typing.Any, ...]:
    """Return a mirror's values in the order of SHOW."""
    mirror = entry.mirror
    marks = _marks(entry)
    return (
        identity(entry),
        name(entry),
        _text(marks and marks.port),
        _text(marks and marks.port_name),
        _text(marks and marks.server),
        _text(marks and marks.server_name),
        _text(entry.host),
        _text(entry.bridge),
        _text(marks.direction if marks else _direction(entry)),
        _text(target(entry)),
        _text(device(entry)),
        _known(mirror and mirror.snaplen),
        _text(mirror and mirror.filter),
        _known(mirror and mirror.packets),
        _known(mirror and mirror.bytes),
        entry.health.value,
        format_columns.ListColumn(problems(entry)),
        entry.owner.value,
        _text(marks and marks.purpose),
        _text(marks and marks.creator),
        _known(marks and marks.created.isoformat()),
        marks.expires.isoformat()
        if marks and marks.expires
        else _endless(marks),
        _text(marks and marks.guard),
    )


def plan(
    found: model.Attachment,
    wish: transaction.Wish,
    user: str,
    rate: maker.Rate | None,
) -> tuple[typing.Any, ...]:
    """Return what would be made, in the order of PLAN."""
    before = judge.existing(found, wish)
    now = datetime.datetime.now(datetime.UTC)
    exists = before is not None and maker.useful(before, found, now)
    operations, commands = [], []
    if not exists:
        operations = transaction.create(found, wish, user)
        commands = transaction.create_commands(found, wish)
    if before is not None and before.marks and not exists:
        away = inventory.delete_command(wish.marks.host, before.marks.id)
        commands.insert(0, away)
    return (
        exceptions.printable(wish.name),
        exists,
        exceptions.printable(wish.marks.host),
        exceptions.printable(found.bridge.name),
        exceptions.printable(found.interface.name),
        _known(rate and round(rate.packets, 1)),
        _known(rate and round(rate.bits)),
        Operations(operations),
        Lines(list(map(exceptions.printable, commands))),
    )


def name(entry: health.Entry) -> str:
    """Return the mirror's name, safe for a terminal."""
    marks = _marks(entry)
    if entry.mirror:
        return _text(entry.mirror.name)
    return _text(marks and marks.name)


def identity(entry: health.Entry) -> str:
    """Return our id of a mirror, or the row's for one that is foreign."""
    marks = _marks(entry)
    if marks:
        return _text(marks.id)
    return entry.mirror.uuid if entry.mirror else ''


def target(entry: health.Entry) -> str:
    """Return where packets go."""
    marks = _marks(entry)
    if marks:
        return marks.target
    if entry.mirror is None:
        return ''
    if entry.mirror.output_vlan is not None:
        return f'vlan:{entry.mirror.output_vlan}'
    name = entry.mirror.output_name
    return f'port:{name}' if name else ''


def device(entry: health.Entry) -> str:
    """Return the name of the port that packets leave by."""
    if entry.mirror and entry.mirror.output_name:
        return entry.mirror.output_name
    return entry.ports[0].name if entry.ports else ''


def problems(entry: health.Entry) -> list[str]:
    return sorted(item.value for item in entry.problems)


def matches(entry: health.Entry, wanted: str) -> bool:
    """Return whether a user means this mirror by a name or an id."""
    if matches_id(entry, wanted):
        return True
    if entry.mirror is None:
        marks = _marks(entry)
        return marks is not None and marks.name == wanted
    return wanted == entry.mirror.name


def matches_id(entry: health.Entry, wanted: str) -> bool:
    """Return whether a user means this mirror and can mean no other."""
    return wanted in inventory.ids(entry) or (
        entry.mirror is not None and wanted == entry.mirror.uuid
    )


def pick(
    found: collections.abc.Sequence[health.Entry],
    wanted: str,
    dead: collections.abc.Sequence[str],
) -> health.Entry:
    """Return the mirror that the user names.

    :param dead: hosts that did not answer
    :raises NotFound: when there is none, or more than one
    """
    chosen = [entry for entry in found if matches(entry, wanted)]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise exceptions.NotFound(
            _('There are %(count)d mirrors "%(name)s", on %(hosts)s')
            % {
                'count': len(chosen),
                'name': wanted,
                'hosts': ', '.join(sorted({e.host for e in chosen})),
            },
            _('Use the ID, see "openstack port mirror list --long".'),
        )
    remedy = _('See "openstack port mirror list".')
    if dead:
        remedy = _('It may be on a host that did not answer: %s.') % (
            ', '.join(dead)
        )
    raise exceptions.NotFound(_('There is no mirror "%s"') % wanted, remedy)


def _marks(entry: health.Entry) -> marks_.Marks | None:
    for found in (entry.mirror, *entry.ports):
        if found and found.marks:
            return found.marks
    return None


def _endless(marks: marks_.Marks | None) -> Nothing:
    """Return the cell for the end of a mirror that has none."""
    return Nothing('never' if marks else '')


def _known(value: typing.Any) -> typing.Any:
    return Nothing() if value is None else value


def _direction(entry: health.Entry) -> str:
    mirror = entry.mirror
    if mirror is None:
        return ''
    if mirror.select_all or (mirror.select_src and mirror.select_dst):
        return 'both'
    if mirror.select_src:
        return 'out'
    return 'in' if mirror.select_dst else ''


def _text(value: object) -> str:
    return exceptions.printable(value or '')
