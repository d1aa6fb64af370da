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

"""Encryption providers and what became of their names."""

import types

LUKS = 'luks'
LUKS2 = 'luks2'
PLAIN = 'plain'

#: What a new type may have.
KNOWN = (LUKS, LUKS2, PLAIN)

#: Class names that os-brick still maps (os_brick/encryptors, name
#: LEGACY_PROVIDER_CLASS_TO_FORMAT_MAP).  None: data stays in clear.
LEGACY = types.MappingProxyType(
    {
        'LuksEncryptor': LUKS,
        'nova.volume.encryptors.luks.LuksEncryptor': LUKS,
        'os_brick.encryptors.luks.LuksEncryptor': LUKS,
        'CryptsetupEncryptor': PLAIN,
        'nova.volume.encryptors.cryptsetup.CryptsetupEncryptor': PLAIN,
        'os_brick.encryptors.cryptsetup.CryptsetupEncryptor': PLAIN,
        'NoOpEncryptor': None,
        'nova.volume.encryptors.nop.NoopEncryptor': None,
        'os_brick.encryptors.nop.NoopEncryptor': None,
    }
)

#: Class paths that os-brick does not map but that import and do nothing.
NO_OP = frozenset(
    {
        *(name for name, meaning in LEGACY.items() if meaning is None),
        'NoopEncryptor',
        'nova.volume.encryptors.nop.NoOpEncryptor',
        'os_brick.encryptors.nop.NoOpEncryptor',
    }
)


def canonical(provider: str | None) -> str | None:
    """Return today's name of a provider.

    A name that nobody knows is returned as it is; None stands for a
    provider that does not encrypt.
    """
    if provider is None or provider in NO_OP:
        return None
    return LEGACY.get(provider, provider)
