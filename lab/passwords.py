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

"""The secrets of one lab: random, and kept in one file for root alone."""

import base64
import dataclasses
import json
import os
import pathlib
import secrets
import tempfile


@dataclasses.dataclass(frozen=True)
class Passwords:
    """One word for each account, and keys.

    :param fixed_key: 64 hexadecimal digits, for ``--key-manager fixed-key``
    :param kek: key that Barbican encrypts secrets with, base64 of 32 bytes
    :param token_keys: what Keystone signs tokens with: (next, current)
    :param credential_keys: the same for credentials
    """

    database: str
    messages: str
    service: str
    admin: str
    demo: str
    fixed_key: str
    kek: str
    token_keys: tuple[str, str]
    credential_keys: tuple[str, str]


def _key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def make() -> Passwords:
    """New secrets, of letters that need no quoting anywhere."""
    return Passwords(
        database=secrets.token_hex(16),
        messages=secrets.token_hex(16),
        service=secrets.token_hex(16),
        admin=secrets.token_hex(16),
        demo=secrets.token_hex(16),
        fixed_key=secrets.token_hex(32),
        kek=base64.b64encode(os.urandom(32)).decode(),
        token_keys=(_key(), _key()),
        credential_keys=(_key(), _key()),
    )


def write_private(path: pathlib.Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, new = tempfile.mkstemp(dir=path.parent)
    with open(handle, 'w') as stream:
        stream.write(text)
    os.replace(new, path)


def settle(path: pathlib.Path) -> Passwords:
    """Read the secrets, or make them when there are none."""
    try:
        data = json.loads(path.read_text())
        for name in ('token_keys', 'credential_keys'):
            data[name] = tuple(data[name])
        return Passwords(**data)
    except FileNotFoundError:
        made = make()
        write_private(path, json.dumps(dataclasses.asdict(made), indent=1))
        return made
