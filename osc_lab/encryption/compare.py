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

"""What of a volume type is not as it was wished."""

from osc_lab.encryption import model
from osc_lab.encryption import provider
from osc_lab.i18n import _


def encryption(
    found: model.Encryption | None, wished: model.Encryption
) -> list[model.Difference]:
    """Return the fields that differ; legacy provider names are equal."""
    if found is None:
        return [
            model.Difference(
                'encryption', _('none: it stores plain data'), _('yes')
            )
        ]
    fields = (
        (
            'provider',
            provider.canonical(found.provider) or found.provider,
            wished.provider,
        ),
        ('cipher', found.cipher, wished.cipher),
        ('key_size', found.key_size, wished.key_size),
        ('control_location', found.control_location, wished.control_location),
    )
    return [
        model.Difference(name, str(is_), str(should))
        for name, is_, should in fields
        if is_ != should
    ]


def differences(
    found: model.VolumeType, wish: model.Wish
) -> list[model.Difference]:
    """Return each field of a finished type that is not as wished."""
    result = encryption(found.encryption, wish.encryption)
    if found.is_public is not None and found.is_public != wish.is_public:
        result.append(
            model.Difference(
                'is_public', str(found.is_public), str(wish.is_public)
            )
        )
    if wish.description is not None and wish.description != (
        found.description or ''
    ):
        result.append(
            model.Difference(
                'description', found.description or '', wish.description
            )
        )
    for key, value in sorted(wish.properties.items()):
        if found.extra_specs.get(key) != value:
            result.append(
                model.Difference(
                    f'property {key}',
                    str(found.extra_specs.get(key, '')),
                    value,
                )
            )
    missing = wish.projects - (found.projects or frozenset())
    if missing and not found.is_public:
        result.append(
            model.Difference(
                'projects', _('not shared with'), ' '.join(sorted(missing))
            )
        )
    return result


def sentence(differences: list[model.Difference]) -> str:
    """Return all differences on one line."""
    return '; '.join(
        _('%(field)s is "%(found)s", not "%(wished)s"')
        % {'field': item.field, 'found': item.found, 'wished': item.wished}
        for item in differences
    )
