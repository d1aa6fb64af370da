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

"""Is data really encrypted?  One finding for each doubt.

Pure, and one item at a time; of types here, of volumes in audit_volumes.
"""

import collections.abc
import re

from osc_lab.encryption import cipher as cipher_
from osc_lab.encryption import extra_specs
from osc_lab.encryption import mark
from osc_lab.encryption import model
from osc_lab.encryption import provider as provider_
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.preflight import finding

_PROMISE = re.compile(r'luks|crypt|cipher|confidential', re.IGNORECASE)
_WORD = '(?:luks|(?:en)?crypt|cipher)'

#: What takes the promise back, once underscores are blanks: a word before,
#: at most two words away, or one behind that is no part of another word.
_DENIAL = re.compile(
    rf"\b(?:un-?|(?:non|not|no|without|isn'?t)(?:[- ](?:\w+[- ]){{0,2}}?)?)"
    rf'{_WORD}'
    rf'|{_WORD}\w*[-\s:=(]+(?:is )?(?:none|off|disabled|false)\b(?!-)'
    # "LUKS, no trim" is none.
    rf'|{_WORD}\w*\s*[:=]\s*no\b(?!\s*[-\w])',
    re.IGNORECASE,
)


def _of_type(item: model.VolumeType) -> str:
    return f'type {item.name} ({item.id})'


def promises(text: str | None) -> bool:
    """Return whether a text says that something is encrypted."""
    words = (text or '').replace('_', ' ')
    return bool(_PROMISE.search(words) and not _DENIAL.search(words))


def judge_type(
    item: model.VolumeType,
) -> collections.abc.Iterator[finding.Finding]:
    """Yield what is wrong with a type; its encryption must be known."""
    if mark.read(item.description):
        yield finding.of_api(
            'type-unfinished',
            _of_type(item),
            finding.Result.FAILED,
            _('A run of a preset command left it half-made'),
            _('Run that command again, or delete the type.'),
        )
        return
    specs = extra_specs.imitations(item.extra_specs)
    if item.encryption is None:
        yield from _plain_type(item, specs)
        return
    if specs:
        yield finding.of_api(
            'type-extra-specs',
            _of_type(item),
            finding.Result.WARNING,
            _('Extra specs %s do not encrypt; the scheduler may even fail')
            % ', '.join(specs),
            _('Remove them; the type has a real encryption.'),
            extra_specs=specs,
        )
    yield from _provider(item, item.encryption)
    yield from _cipher(item, item.encryption)


def _is_plain(item: model.VolumeType) -> bool:
    own = extra_specs.of_storage(item.extra_specs)
    return item.encryption is None and not own


def _plain_type(
    item: model.VolumeType, specs: list[str]
) -> collections.abc.Iterator[finding.Finding]:
    if specs:
        yield finding.of_api(
            'type-extra-specs',
            _of_type(item),
            finding.Result.FAILED,
            _('It stores plain data: extra specs %s do not encrypt')
            % ', '.join(specs),
            _('Make a type with "openstack volume encryption preset luks".'),
            extra_specs=specs,
        )
        return
    own = extra_specs.of_storage(item.extra_specs)
    if own:
        yield finding.of_api(
            'type-extra-specs',
            _of_type(item),
            finding.Result.UNKNOWN,
            _('%s may be an encryption of the storage; nobody looked')
            % ', '.join(own),
            _('Ask whoever runs the storage, or make a type from a preset.'),
            extra_specs=own,
        )
        return
    for field, text in (
        ('name', item.name),
        ('description', item.description),
    ):
        if promises(text):
            yield finding.of_api(
                'type-not-encrypted',
                _of_type(item),
                finding.Result.FAILED,
                _('Its %s says that it encrypts; it stores plain data')
                % field,
                _(
                    'Add an encryption while no volume has the type, or '
                    'rename it.'
                ),
                field=field,
            )
            return


def _provider(
    item: model.VolumeType, encryption: model.Encryption
) -> collections.abc.Iterator[finding.Finding]:
    name = encryption.provider
    today = provider_.canonical(name)
    # os-brick asks so, and imports a provider for this location alone.
    front_end = (encryption.control_location or '').lower() == 'front-end'
    evidence = {'provider': name}
    if today is None:
        yield finding.of_api(
            'type-no-op',
            _of_type(item),
            finding.Result.FAILED,
            _('Its provider "%s" leaves data in clear') % name,
            _('Make a new type and move the volumes.'),
            **evidence,
        )
    elif today not in provider_.KNOWN and not front_end:
        yield finding.of_api(
            'type-provider',
            _of_type(item),
            finding.Result.UNKNOWN,
            _('Its provider "%s" is not known; it is for the storage') % name,
            _('Make sure that the storage encrypts, or use luks.'),
            **evidence,
        )
    elif today not in provider_.KNOWN:
        yield finding.of_api(
            'type-provider',
            _of_type(item),
            finding.Result.FAILED,
            _('Its provider "%s" is not known; volumes cannot be attached')
            % name,
            _('Use luks.'),
            **evidence,
        )
    elif today != name or today == provider_.PLAIN:
        yield finding.of_api(
            'type-provider',
            _of_type(item),
            finding.Result.WARNING,
            _('Its provider "%(name)s" means %(today)s')
            % {'name': name, 'today': today},
            _('Use luks for new types.'),
            **evidence,
        )
    if not front_end:
        # For luks Nova asks the provider alone (_allow_native_luksv1), but
        # formats by an encryptor, which there is none of.
        words = (
            _(
                'With its control location "%s" a volume that is not '
                'formatted cannot be attached'
            )
            if today == provider_.LUKS
            else _(
                'Its control location "%s" means that no compute host encrypts'
            )
        )
        yield finding.of_api(
            'type-control-location',
            _of_type(item),
            finding.Result.WARNING,
            words % encryption.control_location,
            _('Make sure that the storage encrypts, or use front-end.'),
            control_location=encryption.control_location,
        )


def _cipher(
    item: model.VolumeType, encryption: model.Encryption
) -> collections.abc.Iterator[finding.Finding]:
    try:
        cipher = cipher_.parse(encryption.cipher or '')
    except exceptions.InvalidInput:
        yield finding.of_api(
            'type-cipher',
            _of_type(item),
            finding.Result.FAILED,
            _('Its cipher "%s" is not known') % encryption.cipher,
            _('Use aes-xts-plain64.'),
            cipher=encryption.cipher,
        )
        return
    if cipher.weakness():
        yield finding.of_api(
            'type-cipher',
            _of_type(item),
            finding.Result.WARNING,
            _('Its cipher %(cipher)s is weak: %(why)s')
            % {'cipher': cipher, 'why': cipher.weakness()},
            _('Use aes-xts-plain64.'),
            cipher=encryption.cipher,
        )
    if encryption.key_size not in cipher.key_sizes:
        yield finding.of_api(
            'type-key-size',
            _of_type(item),
            finding.Result.FAILED,
            _('%(size)s is not a key size of %(cipher)s')
            % {'size': encryption.key_size, 'cipher': cipher},
            _('Use one of: %s.')
            % ', '.join(str(size) for size in cipher.key_sizes),
            key_size=encryption.key_size,
        )


def judge_names(
    types: collections.abc.Iterable[model.VolumeType],
) -> collections.abc.Iterator[finding.Finding]:
    """Yield types that share a name, of which one does not encrypt."""
    first: dict[str, model.VolumeType] = {}
    for item in types:
        other = first.setdefault(item.name, item)
        if other is not item:
            yield finding.of_api(
                'type-twins',
                _of_type(item),
                finding.Result.FAILED,
                _('Type %s has the same name') % other.id,
                _('Delete the one that is not used, by ID.'),
                other=other.id,
            )


def judge_defaults(
    types: collections.abc.Mapping[str, model.VolumeType],
    default: model.Default,
    by_project: collections.abc.Mapping[str, str],
    project: str | None,
) -> collections.abc.Iterator[finding.Finding]:
    """Yield default types that do not encrypt, and doubt about them.

    :param types: by id
    :param default: what Cinder names to the caller; evidence names no
        project where it is that of all
    :param by_project: project id -> id of its own default type
    :param project: id of the caller's project; Cinder names its own
        default type first, and then that of cinder.conf
    """
    rows: list[tuple[str | None, str]] = [*sorted(by_project.items())]
    if project not in by_project:
        rows.insert(0, (None, default.type_id or ''))
    for owner, type_id in rows:
        item = types.get(type_id)
        if item is not None and _is_plain(item):
            yield finding.of_api(
                'default-type',
                _of_type(item),
                finding.Result.WARNING,
                _('It is the default of every project and does not encrypt')
                if owner is None
                else _('It is the default of project %s and does not encrypt')
                % owner,
                _(
                    'Make an encrypted type the default, or tell the users; '
                    'StorageClasses of Kubernetes that name no type get it, '
                    'too.'
                ),
                project=owner,
            )
    if default.failed:
        yield finding.of_api(
            'default-type',
            'default type',
            finding.Result.UNKNOWN,
            _('Cinder cannot name it, as when there is no such type'),
            _('See default_volume_type in cinder.conf.'),
        )
    elif project in by_project and any(map(_is_plain, types.values())):
        yield finding.of_api(
            'default-type',
            'default type',
            finding.Result.UNKNOWN,
            _('That of other projects was not seen: yours has its own'),
            _('See default_volume_type in cinder.conf.'),
        )
