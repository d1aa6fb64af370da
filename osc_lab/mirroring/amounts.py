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

"""Durations and sizes, read from options and written for people."""

import datetime
import re

from osc_lab import exceptions
from osc_lab.i18n import _

_UNITS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400}
_SIZES = {'': 1, 'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}

_DURATION = re.compile(r'(?:\d{1,9}[smhd])+|\d{1,9}')
_SIZE = re.compile(r'(\d{1,12})([KMG]?)(?:i?B)?', re.IGNORECASE)

#: The longest time that may be asked for.
LONGEST = datetime.timedelta(days=30)


def duration(option: str, text: str) -> datetime.timedelta:
    """Return a duration such as '90', '90s', '1h30m' or '2d'.

    :param option: named in the error
    :raises InvalidInput: when it is none, zero, or over 30 days
    """
    found = datetime.timedelta()
    if _DURATION.fullmatch(text):
        parts = re.findall(r'(\d+)([smhd]?)', text)
        seconds = sum(int(n) * _UNITS[unit or 's'] for n, unit in parts)
        found = min(
            datetime.timedelta(seconds=min(seconds, 10**9)),
            2 * LONGEST,
        )
    if not datetime.timedelta() < found <= LONGEST:
        raise exceptions.InvalidInput(
            _('%(option)s: "%(text)s" is not a time up to 30 days')
            % {'option': option, 'text': text},
            _('Write it like 90s, 15m, 1h30m or 2d.'),
        )
    return found


def lifetime(option: str, text: str) -> datetime.timedelta | None:
    """Return a duration, or None for 'none'.

    :raises InvalidInput: as duration() does
    """
    return None if text == 'none' else duration(option, text)


def size(option: str, text: str) -> int:
    """Return bytes from a size such as '1500', '64K', '100M' or '2G'.

    :raises InvalidInput: when it is none, or zero
    """
    match = _SIZE.fullmatch(text)
    found = int(match[1]) * _SIZES[match[2].upper()] if match else 0
    if found < 1:
        raise exceptions.InvalidInput(
            _('%(option)s: "%(text)s" is not a size')
            % {'option': option, 'text': text},
            _('Write it like 64K, 100M or 2G.'),
        )
    return found


def show_duration(seconds: float) -> str:
    """Return a time for people, two units at most: '1h 5m', '12s'."""
    left = max(0, round(seconds))
    parts = []
    for unit in ('d', 'h', 'm', 's'):
        count, left = divmod(left, _UNITS[unit])
        if count:
            parts.append(f'{count}{unit}')
    return ' '.join(parts[:2]) or '0s'


def show_size(count: float) -> str:
    """Return bytes for people: '1.5 MiB'."""
    return _scaled(count, 1024, ('B', 'KiB', 'MiB', 'GiB'))


def show_rate(bits: float) -> str:
    """Return bits a second for people: '1.5 Mbit/s'."""
    return _scaled(bits, 1000, ('bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s'))


def _scaled(number: float, step: int, units: tuple[str, ...]) -> str:
    power = 0
    while number >= step and power < len(units) - 1:
        number /= step
        power += 1
    return (
        f'{number:.1f} {units[power]}' if power else f'{number:.0f} {units[0]}'
    )
