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

"""What the first bytes of a volume say about its encryption."""

import dataclasses
import json
import struct

#: LUKS1 on-disk format, figure 1: magic, version, cipher name, cipher
#: mode, hash, payload offset in sectors, key bytes; big endian.
_LUKS1 = struct.Struct('>6sH32s32s32sII')
_LUKS_MAGIC = b'LUKS\xba\xbe'
_SECTOR = 512

#: LUKS2 on-disk format, binary header: magic, version, size of this header
#: with its JSON area, which begins at byte 4096; big endian.
_LUKS2 = struct.Struct('>6sHQ')
_LUKS2_JSON = 4096

#: QEMU's docs/interop/qcow2.txt: magic, and crypt_method at byte 32.
_QCOW2_MAGIC = b'QFI\xfb'
_QCOW2_LUKS = 2

#: Bytes that parse() needs to see: a LUKS2 header as cryptsetup makes it.
LENGTH = 16384


@dataclasses.dataclass(frozen=True)
class Header:
    """A header.

    :param kind: 'luks1', 'luks2', 'qcow2-luks', 'qcow2-plain', 'blank' or
        'none'
    :param cipher: as dm-crypt writes it; empty when the kind hides it
    :param key_bytes: of the master key; 0 when the kind hides it
    :param payload: offset of the data in bytes; 0 when unknown
    """

    kind: str
    cipher: str = ''
    key_bytes: int = 0
    payload: int = 0

    @property
    def encrypted(self) -> bool:
        return self.kind in ('luks1', 'luks2', 'qcow2-luks')


def parse(data: bytes) -> Header:
    """Return what the first bytes of a device or file are."""
    if data.startswith(_QCOW2_MAGIC) and len(data) >= 36:
        (method,) = struct.unpack_from('>I', data, 32)
        kind = 'qcow2-luks' if method == _QCOW2_LUKS else 'qcow2-plain'
        return Header(kind)
    if not data.startswith(_LUKS_MAGIC) or len(data) < _LUKS1.size:
        return Header('blank' if not data.strip(b'\0') else 'none')
    _magic, version, name, mode, _hash, payload, size = _LUKS1.unpack_from(
        data
    )
    if version != 1:
        return _luks2(data)
    return Header(
        'luks1', f'{_text(name)}-{_text(mode)}', size, payload * _SECTOR
    )


def _luks2(data: bytes) -> Header:
    """Return what a LUKS2 header is; its kind alone when it is odd."""
    _magic, _version, size = _LUKS2.unpack_from(data)
    text, _nul, _rest = data[_LUKS2_JSON:size].partition(b'\0')
    try:
        found = json.loads(text)
        segment = found['segments']['0']
        return Header(
            'luks2',
            str(segment['encryption']),
            max(int(slot['key_size']) for slot in found['keyslots'].values()),
            int(segment['offset']),
        )
    except (
        *(ValueError, TypeError, KeyError, AttributeError),
        RecursionError,
    ):
        return Header('luks2')


def _text(value: bytes) -> str:
    return value.partition(b'\0')[0].decode('ascii', 'replace')
