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

"""Judge a volume that is attached to a server, by what its host shows."""

import dataclasses

from osc_lab.encryption import header as header_
from osc_lab.encryption import model
from osc_lab.encryption import proof as proof_
from osc_lab.encryption import provider
from osc_lab import exceptions
from osc_lab.i18n import _

#: Largest header that an encryption takes from the volume's size, in
#: bytes: LUKS2 of cryptsetup 2.x.
_LARGEST_HEADER = 16 * 2**20


@dataclasses.dataclass(frozen=True)
class Disk:
    """The disk of a server that a volume is.

    :param path: device or file on the host, where the data is stored
    :param format: of libvirt's ``encryption`` element; empty without one
    :param secret: whether that element names a secret
    """

    path: str
    format: str
    secret: bool


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the host shows.

    :param header: header now
    :param guest: bytes that the guest sees; None when nobody can tell
    :param marker: the bytes where a marker was written: 'clear' text,
        'cipher' text, 'empty' or 'unknown'
    """

    disk: Disk
    header: header_.Header
    guest: int | None
    marker: str


def judge(
    volume: model.Volume,
    wished: model.Encryption,
    proof: proof_.Proof,
    seen: Seen,
) -> proof_.Proof:
    """Return the proof, raised to the level 'attach'.

    :raises OperationFailed: when the host shows plain data, another
        encryption, or a volume that shrank
    """
    native = wished.provider == provider.LUKS
    if native and not (
        seen.disk.format.startswith('luks') and seen.disk.secret
    ):
        raise _failed(
            _('libvirt has no encryption for the disk %s') % seen.disk.path
        )
    found = seen.header
    plain = wished.provider == provider.PLAIN
    if not found.encrypted and not plain:
        raise _failed(
            _('%(path)s has no LUKS header: it is %(kind)s')
            % {'path': seen.disk.path, 'kind': found.kind}
        )
    size = volume.size * 2**30
    if seen.guest is not None and seen.guest < size - _LARGEST_HEADER:
        raise _failed(
            _('The volume shrank: the guest sees %(guest)d bytes of %(api)d')
            % {'guest': seen.guest, 'api': size},
            _(
                'This backend and Nova both format the volume; use another '
                'backend for encrypted volumes.'
            ),
        )
    if seen.marker == 'clear':
        raise _failed(
            _('What the guest writes stands in clear in %s') % seen.disk.path
        )
    if seen.marker == 'empty':
        raise _failed(_('What was written never came to %s') % seen.disk.path)
    if plain and seen.marker != 'cipher':
        raise _failed(
            _('%s is no device of dm-crypt, and has no header')
            % seen.disk.path
        )
    notes = [*proof.notes]
    notes.extend(_cipher(found, wished))
    if seen.guest is not None and seen.guest < size:
        notes.append(
            _('The header takes %d bytes of what the guest sees.')
            % (size - seen.guest)
        )
    if seen.marker == 'unknown':
        notes.append(
            _('Where data lies in the file could not be told; no marker.')
        )
    return proof_.Proof('attach', proof.key_manager, tuple(notes))


def _cipher(found: header_.Header, wished: model.Encryption) -> list[str]:
    if not found.cipher:
        return []
    if found.cipher != wished.cipher:
        raise _failed(
            _('The header says %(found)s, not %(wished)s')
            % {'found': found.cipher, 'wished': wished.cipher}
        )
    if found.key_bytes * 8 != wished.key_size:
        return [
            _('The header has a key of %(found)d bits, the type %(type)s.')
            % {'found': found.key_bytes * 8, 'type': wished.key_size}
        ]
    return [
        _('LUKS header on the host: %(cipher)s, %(bits)d bits.')
        % {'cipher': found.cipher, 'bits': found.key_bytes * 8}
    ]


def _failed(message: str, remedy: str = '') -> exceptions.OperationFailed:
    return exceptions.OperationFailed(
        _('The proof on the host failed: %s') % message,
        remedy or _('See the logs of nova-compute and cinder-volume.'),
    )
