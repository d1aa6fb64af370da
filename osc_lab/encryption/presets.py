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

"""Presets: encryption that is known to be sound, under a short name."""

import dataclasses
import importlib.metadata
import re

from osc_lab.encryption import model
from osc_lab import exceptions
from osc_lab.i18n import _

#: Entry-point group; a value is a Preset, the name is its own.
GROUP = 'osc_lab.encryption.presets'

_NAME = re.compile(r'[a-z0-9][a-z0-9-]*')


@dataclasses.dataclass(frozen=True)
class Preset:
    """An encryption, the name of its volume type, and what it is for.

    :param name: kebab-case, never renamed
    :param type_name: default name of the volume type
    """

    name: str
    type_name: str
    encryption: model.Encryption
    description: str


LUKS = Preset(
    'luks',
    'LUKS',
    model.Encryption('luks', 'aes-xts-plain64', 256, 'front-end'),
    _('LUKS1 with AES-128 (XTS splits 256 bits); works on every backend'),
)
LUKS_AES256 = Preset(
    'luks-aes256',
    'LUKS-AES256',
    model.Encryption('luks', 'aes-xts-plain64', 512, 'front-end'),
    _(
        'LUKS1 with AES-256 (XTS splits 512 bits); needs a key manager '
        'that makes keys of 512 bits'
    ),
)
LUKS2 = Preset(
    'luks2',
    'LUKS2',
    model.Encryption('luks2', 'aes-xts-plain64', 256, 'front-end'),
    _(
        'LUKS2 with AES-128, opened by dm-crypt on the host; not for '
        'RBD and not for files'
    ),
)


@dataclasses.dataclass(frozen=True)
class Registry:
    """Presets in the order of their names, and what could not be loaded.

    :param broken: one line for each entry point that is of no use
    """

    presets: tuple[Preset, ...]
    broken: tuple[str, ...] = ()

    def get(self, name: str) -> Preset:
        """Return a preset by its name.

        :raises NotFound: when no preset has it
        """
        for preset in self.presets:
            if preset.name == name:
                return preset
        raise exceptions.NotFound(
            _('There is no preset "%s"') % name,
            _('See "openstack volume encryption preset list".'),
        )


def get(name: str) -> Preset:
    """Return a preset; ours without a search through all packages.

    :raises NotFound: when no preset has the name
    """
    for preset in (LUKS, LUKS_AES256, LUKS2):
        if preset.name == name:
            return preset
    return load().get(name)


def load(group: str = GROUP) -> Registry:
    """Return all installed presets; one that is broken stops nobody."""
    found: dict[str, Preset] = {}
    broken = []
    for point in importlib.metadata.entry_points(group=group):
        try:
            preset = point.load()
            if not isinstance(preset, Preset):
                raise TypeError(f'{point.value} is not a Preset')
            if preset.name != point.name or not _NAME.fullmatch(point.name):
                raise ValueError(f'its own name is {preset.name!r}')
            if preset.name in found:
                raise ValueError('the name is taken')
        except Exception as error:
            broken.append(
                _('preset %(name)s: %(error)s')
                % {'name': point.name, 'error': error}
            )
        else:
            found[preset.name] = preset
    return Registry(
        tuple(found[name] for name in sorted(found)), tuple(broken)
    )
