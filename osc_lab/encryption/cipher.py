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

"""Cipher specifications as dm-crypt writes them: algorithm-mode-iv.

The combinations are those that both cryptsetup and QEMU open; QEMU reads
the header of a ``luks`` volume itself (its documentation, "LUKS").
"""

import dataclasses
import re

from osc_lab import exceptions
from osc_lab.i18n import _

#: Algorithm -> key sizes in bits, before XTS doubles them.
ALGORITHMS = {
    'aes': (128, 192, 256),
    'serpent': (128, 192, 256),
    'twofish': (128, 192, 256),
}

#: Mode -> IV generators that go with it.
MODES = {
    'xts': ('plain64', 'plain'),
    'cbc': ('essiv:sha256', 'plain64', 'plain'),
}

_SPEC = re.compile(r'([a-z0-9_]+)-([a-z0-9_]+)-([a-z0-9_]+(?::[a-z0-9_]+)?)')


@dataclasses.dataclass(frozen=True)
class Cipher:
    """A parsed cipher."""

    algorithm: str
    mode: str
    iv: str

    def __str__(self) -> str:
        return f'{self.algorithm}-{self.mode}-{self.iv}'

    @property
    def key_sizes(self) -> tuple[int, ...]:
        """Valid key sizes in bits; XTS needs two keys."""
        if self.mode == 'xts':
            # XTS is defined for two sizes (IEEE 1619): there is no 384.
            return (256, 512)
        return ALGORITHMS[self.algorithm]

    def strength(self, key_size: int) -> int:
        """Return the bits of the key that encrypts data."""
        return key_size // 2 if self.mode == 'xts' else key_size

    def weakness(self) -> str:
        """Return what is weak about mode and IV, or an empty string."""
        if self.mode == 'xts':
            if self.iv == 'plain':
                return _('the IV "plain" repeats after 2 TiB; use plain64')
            return ''
        if not self.iv.startswith('essiv:'):
            return _('CBC with a predictable IV shows watermarks')
        return _('CBC lets an attacker flip chosen bits; use XTS')


def parse(text: str) -> Cipher:
    """Return the parts of a cipher.

    :raises InvalidInput: when it is malformed or nobody knows it
    """
    match = _SPEC.fullmatch(text)
    if match is None:
        raise exceptions.InvalidInput(
            _('--cipher: "%s" is not of the form algorithm-mode-iv') % text,
            _('Use for example aes-xts-plain64.'),
        )
    cipher = Cipher(*match.groups())
    for value, known in (
        (cipher.algorithm, tuple(ALGORITHMS)),
        (cipher.mode, tuple(MODES)),
        (cipher.iv, MODES.get(cipher.mode, ())),
    ):
        if value not in known:
            raise exceptions.InvalidInput(
                _('--cipher: "%(value)s" in "%(text)s" is not known')
                % {'value': value, 'text': text},
                _('Use one of: %s.') % ', '.join(known),
            )
    return cipher
