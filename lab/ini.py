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

"""Write ini files from mappings."""

import collections.abc

#: Value of an option; a sequence is an option given several times.
Value = str | int | collections.abc.Sequence[str]
Sections = collections.abc.Mapping[str, collections.abc.Mapping[str, Value]]


def _text(value: str | int) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def render(sections: Sections) -> str:
    """The text of an ini file, sections and options in the given order.

    :raises ValueError: a value would start a line of its own
    """
    lines = []
    for section, options in sections.items():
        lines.append(f'[{section}]')
        for option, given in options.items():
            values: collections.abc.Sequence[str | int]
            if isinstance(given, str | int):
                values = [given]
            else:
                values = given
            for value in values:
                text = _text(value)
                if '\n' in text:
                    raise ValueError(f'{section}.{option} has two lines')
                lines.append(f'{option} = {text}')
        lines.append('')
    return '\n'.join(lines)


def merge(*parts: Sections) -> dict[str, dict[str, Value]]:
    """One set of sections out of several; a later option wins."""
    merged: dict[str, dict[str, Value]] = {}
    for part in parts:
        for section, options in part.items():
            merged.setdefault(section, {}).update(options)
    return merged
