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

"""Certificates for tests and for the lab, made with ``openssl``."""

import collections.abc
import dataclasses
import pathlib
import secrets
import subprocess
import tempfile

_CURVE = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1')

_REQUEST = """\
[req]
distinguished_name = subject
prompt = no
[subject]
O = osc-lab
CN = {name}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth, clientAuth
authorityKeyIdentifier = keyid
"""


class PkiError(Exception):
    """``openssl`` refused; the message is its own."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: pathlib.Path
    key: pathlib.Path


def _openssl(*argv: str) -> None:
    done = subprocess.run(
        ('openssl', *argv), check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise PkiError(f'openssl {argv[0]}: {done.stderr.strip()}')


def authority(folder: pathlib.Path, name: str = 'osc-lab') -> Pair:
    """The authority in a folder, made when it is not there."""
    pair = Pair(folder / 'cacert.pem', folder / 'cakey.pem')
    if pair.certificate.exists() and pair.key.exists():
        return pair
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        config = pathlib.Path(scratch, 'config')
        config.write_text(_REQUEST.format(name=name))
        part = pathlib.Path(scratch, 'cert')
        _openssl(
            *('req', '-x509', '-nodes', '-days', '3650', *_CURVE),
            *('-config', str(config), '-extensions', 'authority'),
            *('-keyout', str(pair.key), '-out', str(part)),
        )
        pair.key.chmod(0o600)
        part.rename(pair.certificate)
    return pair


def issue(
    ca: Pair,
    pair: Pair,
    common_name: str,
    alternatives: collections.abc.Sequence[str] = (),
    days: int = 365,
) -> Pair:
    """Make a certificate, in place of the one that is there.

    :param alternatives: as in 'DNS:hosta' and 'IP:10.79.0.1'
    :param days: negative for one that has expired
    """
    pair.key.parent.mkdir(parents=True, exist_ok=True)
    pair.certificate.parent.mkdir(parents=True, exist_ok=True)
    text = _REQUEST.format(name=common_name)
    if alternatives:
        text += f'subjectAltName = {", ".join(alternatives)}\n'
    with tempfile.TemporaryDirectory(dir=pair.key.parent) as scratch:
        config = pathlib.Path(scratch, 'config')
        config.write_text(text)
        request = pathlib.Path(scratch, 'request')
        part = pathlib.Path(scratch, 'cert')
        _openssl(
            *('req', '-new', '-nodes', *_CURVE, '-config', str(config)),
            *('-keyout', str(pair.key), '-out', str(request)),
        )
        pair.key.chmod(0o600)
        _openssl(
            *('x509', '-req', '-in', str(request), '-days', str(days)),
            *('-CA', str(ca.certificate), '-CAkey', str(ca.key)),
            *('-set_serial', f'0x{secrets.token_hex(8)}'),
            *('-extfile', str(config), '-extensions', 'leaf'),
            *('-out', str(part)),
        )
        part.replace(pair.certificate)
    return pair
