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

"""Extra specs that have to do with encryption, by their names.

The encryption of a type is none of its extra specs, though people write
it there.  What a driver takes is the storage's own encryption, such as
``nimble:encryption`` and ``netapp_flexvol_encryption``.
"""

import collections.abc
import re

_ENCRYPTION = re.compile(r'encrypt|luks|cipher', re.IGNORECASE)

_IMITATION = re.compile(
    r'encrypt(ion|ed)?|luks[12]?|cipher|encryption-.*'
    r'|encryption[-_:. ](provider|cipher|key[-_]size|control[-_]location)',
    re.IGNORECASE,
)

#: Values that turn something off; "<is>" is of the scheduler's.
_OFF = re.compile(r'(<is>\s*)?(no|false|0|off|none|disabled?)', re.IGNORECASE)


def imitates(key: str) -> bool:
    """Return whether a key is meant for the encryption of a type."""
    return bool(_IMITATION.fullmatch(key))


def imitations(specs: collections.abc.Mapping[str, str]) -> list[str]:
    """Return the keys that look like the encryption of a type."""
    return sorted(key for key in specs if imitates(key))


def of_storage(specs: collections.abc.Mapping[str, str]) -> list[str]:
    """Return the keys that may turn on an encryption of the storage."""
    return sorted(
        key
        for key, value in specs.items()
        if _ENCRYPTION.search(key)
        and not imitates(key)
        and not _OFF.fullmatch(str(value))
    )
