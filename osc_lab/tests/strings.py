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


"""Text that tenants and broken hosts send, for hypothesis."""

import copy
import unicodedata

import hypothesis
from hypothesis import strategies as st

from osc_lab import exceptions
from osc_lab.tests import thorough

#: Any text, a lone surrogate included: files and arguments may hold one.
TEXT = st.text(st.characters(exclude_categories=()), max_size=60)

#: What moves a terminal, breaks lines or quotes, or looks like an option.
HOSTILE = st.one_of(
    st.sampled_from(
        [
            '\x1b[31mred\x1b[0m\x9b\u202e\u2028',
            'new\nline\r\ttab\0',
            '--help',
            '$(id) `id` ; "two" \'one\' \\ back',
            'ü' * 255,
            '🐍' * 64,
            '\udcff\ud800',
            '',
        ]
    ),
    TEXT,
)

#: JSON that no service documents.
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=10),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=8), inner, max_size=4),
    ),
    max_leaves=12,
)


def moves_terminals(text):
    """Return the characters of a text that a terminal acts on."""
    return {
        char
        for char in str(text)
        if char != '\n' and unicodedata.category(char) in ('Cc', 'Cf', 'Cs')
    }


def attempt(function, *args):
    """Return (True, result), or (False, error) for an error of ours.

    Any other exception is a failure of the test.
    """
    try:
        return True, function(*args)
    except exceptions.LabError as error:
        assert not moves_terminals(error), repr(str(error))
        assert '\n' not in str(error), repr(str(error))
        return False, error


def share(strategy, function):
    """Return which part of many values was good, from 0 to 1.

    :raises AssertionError: as :func:`attempt` does
    """
    good = []

    @thorough.prop()
    @hypothesis.given(strategy)
    def one(value):
        good.append(attempt(function, value)[0])

    one()
    return sum(good) / len(good)


@st.composite
def spoiled(draw, value):
    """Return JSON with up to two of its values exchanged, or left out."""
    for _place in range(draw(st.integers(0, 2))):
        value = _spoil(draw, value)
    return value


def _spoil(draw, value):
    # Rather one deep inside than all of it.
    if not value or not isinstance(value, dict | list):
        return draw(JSON)
    if draw(st.integers(0, 5)) == 0:
        return draw(JSON)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = draw(st.sampled_from(keys))
    changed = copy.copy(value)
    if draw(st.integers(0, 5)) == 0:
        del changed[key]
    else:
        changed[key] = _spoil(draw, value[key])
    return changed
