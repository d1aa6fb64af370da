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

"""From options to the volume type that is wished, or a clear refusal."""

import dataclasses
import re

from osc_lab.encryption import cipher as cipher_
from osc_lab.encryption import extra_specs
from osc_lab.encryption import mark
from osc_lab.encryption import model
from osc_lab.encryption import presets
from osc_lab.encryption import provider as provider_
from osc_lab import exceptions
from osc_lab.i18n import _

#: Longest name and description of a volume type (Cinder's API schema).
LONGEST = 255

#: Key of an extra spec (Cinder's API schema).
_KEY = re.compile(r'[A-Za-z0-9_:. /-]{1,255}')

_LOCATIONS = ('front-end', 'back-end')


@dataclasses.dataclass(frozen=True)
class Options:
    """What the user typed; None where nothing was typed."""

    name: str | None = None
    provider: str | None = None
    cipher: str | None = None
    key_size: str | None = None
    control_location: str | None = None
    description: str | None = None
    is_public: bool = True
    projects: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    allow_plain: bool = False
    allow_back_end: bool = False


@dataclasses.dataclass(frozen=True)
class Judged:
    """A wish that can be carried out, and what to tell the user."""

    wish: model.Wish
    warnings: tuple[str, ...] = ()


def judge(preset: presets.Preset, options: Options) -> Judged:
    """Return the wish that a preset and the options make.

    :raises InvalidInput: for a value that cannot be right
    """
    base = preset.encryption
    warnings: list[str] = []
    provider = _provider(
        _given(options.provider, base.provider), options.allow_plain, warnings
    )
    cipher = cipher_.parse(_given(options.cipher, base.cipher))
    key_size = _key_size(_given(options.key_size, str(base.key_size)), cipher)
    location = _location(
        _given(options.control_location, base.control_location),
        options.allow_back_end,
        warnings,
    )
    weakness = cipher.weakness()
    if weakness:
        warnings.append(f'--cipher: {weakness}')
    if options.projects and options.is_public:
        raise exceptions.InvalidInput(
            _('--project: a public type is shared with everybody'),
            _('Use it together with --private.'),
        )
    name = _text('--name', _given(options.name, preset.type_name))
    description = options.description
    if description is not None:
        _text('--description', description, empty=True)
        if mark.read(description):
            raise exceptions.InvalidInput(
                _('--description: this text marks unfinished types'),
                _('Use another text.'),
            )
    return Judged(
        model.Wish(
            name,
            model.Encryption(provider, str(cipher), key_size, location),
            description,
            options.is_public,
            frozenset(options.projects),
            _properties(options.properties),
        ),
        tuple(warnings),
    )


def _given(typed: str | None, preset: str | None) -> str:
    return typed if typed is not None else preset or ''


def _provider(text: str, allow_plain: bool, warnings: list[str]) -> str:
    name = provider_.canonical(text)
    if name is None:
        raise exceptions.InvalidInput(
            _('--provider: "%s" does not encrypt at all') % text,
            _('Use luks.'),
        )
    if name not in provider_.KNOWN:
        raise exceptions.InvalidInput(
            _('--provider: "%s" is not known') % text,
            _('Use one of: %s.') % ', '.join(provider_.KNOWN),
        )
    if name != text:
        warnings.append(
            _('--provider: "%(old)s" is a legacy name, "%(new)s" is used')
            % {'old': text, 'new': name}
        )
    if name == provider_.PLAIN and not allow_plain:
        raise exceptions.InvalidInput(
            _(
                '--provider: plain has no header, so a wrong key is not '
                'noticed and a key cannot be changed'
            ),
            _('Use luks, or insist with --allow-plain.'),
        )
    return name


def _key_size(text: str, cipher: cipher_.Cipher) -> int:
    try:
        size = int(text) if text.isascii() and text.isdigit() else 0
    except ValueError:
        size = 0
    if size not in cipher.key_sizes:
        explained = ', '.join(
            _('%(size)d (%(algorithm)s-%(strength)d)')
            % {
                'size': size,
                'algorithm': cipher.algorithm.upper(),
                'strength': cipher.strength(size),
            }
            for size in cipher.key_sizes
        )
        raise exceptions.InvalidInput(
            _('--key-size: "%(text)s" is not a key size of %(cipher)s')
            % {'text': text, 'cipher': cipher},
            _('Use one of these numbers of bits: %s.') % explained,
        )
    return size


def _location(text: str, allow_back_end: bool, warnings: list[str]) -> str:
    if text not in _LOCATIONS:
        raise exceptions.InvalidInput(
            _('--control-location: "%s" is not known') % text,
            _('Use one of: %s.') % ', '.join(_LOCATIONS),
        )
    if text == 'back-end':
        if not allow_back_end:
            raise exceptions.InvalidInput(
                _(
                    '--control-location: with back-end no compute host '
                    'encrypts with luks2 or plain, though volumes say '
                    '"encrypted", nor formats with luks'
                ),
                _('Use front-end, or insist with --allow-back-end.'),
            )
        warnings.append(
            _(
                '--control-location: with back-end a compute host encrypts '
                'with luks alone, and never formats a volume'
            )
        )
    return text


def _properties(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition('=')
        if not equals or not _KEY.fullmatch(key) or len(value) > LONGEST:
            raise exceptions.InvalidInput(
                _('--property: "%s" is not of the form key=value') % text,
                _('Use for example volume_backend_name=ceph.'),
            )
        if extra_specs.imitates(key):
            raise exceptions.InvalidInput(
                _('--property: "%s" does not encrypt; it is only a word')
                % key,
                _('Leave it out: the preset sets the real encryption.'),
            )
        found[key] = value
    return found


def _text(option: str, text: str, empty: bool = False) -> str:
    if not empty and not text.strip():
        raise exceptions.InvalidInput(
            _('%s: it is empty') % option,
            _('Use a name of 1 to %d characters.') % LONGEST,
        )
    if len(text) > LONGEST:
        raise exceptions.InvalidInput(
            _('%(option)s: it has %(length)d characters')
            % {'option': option, 'length': len(text)},
            _('Use %d at most.') % LONGEST,
        )
    if exceptions.printable(text) != text:
        raise exceptions.InvalidInput(
            _('%(option)s: "%(text)s" holds control characters')
            % {'option': option, 'text': text},
            _('Leave them out.'),
        )
    if text != text.strip():
        raise exceptions.InvalidInput(
            _('%s: it begins or ends with a blank') % option,
            _('Leave it out.'),
        )
    return text
