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

"""The disk that a volume is, on the host of its server.

libvirt is asked through its own client on the host, so the shell channel
is all it takes.
"""

import dataclasses
import json
import shlex
import typing
import xml.etree.ElementTree as etree

from osc_lab.access import shell
from osc_lab.encryption import attached
from osc_lab.encryption import header
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import domain_xml

#: The byte that is written, how often, and where: not at the start, where
#: guests and hosts look for partition tables.
_PATTERN = 0xA7
_LENGTH = 65536
_OFFSET = 2**20

_VIRSH = ('virsh', '-q', '-c', 'qemu:///system')


class Host:
    """The host of a server.

    :param there: its shell
    :param server_id: UUID of the server, and so of libvirt's domain
    """

    def __init__(self, there: shell.Shell, server_id: str) -> None:
        self._there = there
        self._domain = server_id

    def look(self, volume_id: str) -> attached.Seen:
        """Return what the host shows of an attached volume.

        :raises AccessError: when a command fails on the host
        :raises OperationFailed: when the volume is not on the server
        """
        shown, alias = self._disk(volume_id)
        below = self._below(shown.path)
        disk = dataclasses.replace(shown, path=below or shown.path)
        found = header.parse(self._bytes(disk.path, 0, header.LENGTH))
        guest = self._guest_size(alias)
        marker = 'unknown'
        # Without a header, dm-crypt begins at the first byte.
        known = found.payload or (below and not found.encrypted)
        if known and (guest or 0) >= _OFFSET + _LENGTH:
            marker = self._marker(disk, alias, found)
        return attached.Seen(disk, found, guest, marker)

    def _run(self, *command: str) -> shell.Answer:
        return self._there.run(command, check=True, timeout=60.0)

    def _disk(self, volume_id: str) -> tuple[attached.Disk, str]:
        text = self._run(*_VIRSH, 'dumpxml', self._domain).text
        root = _xml(text)
        for disk in root.iterfind('./devices/disk'):
            if disk.findtext('serial') != volume_id:
                continue
            source = disk.find('source')
            alias = disk.find('alias')
            if source is None or alias is None:
                break
            encryption = source.find('encryption')
            if encryption is None:
                encryption = disk.find('encryption')
            path = source.get('file') or source.get('dev')
            if not path:
                raise exceptions.OperationFailed(
                    _('The disk is not a file or device of the host (%s)')
                    % disk.get('type'),
                    _('Use --verify api for such backends.'),
                )
            return attached.Disk(
                path,
                '' if encryption is None else encryption.get('format', ''),
                encryption is not None
                and encryption.find('secret') is not None,
            ), alias.get('name', '')
        raise exceptions.OperationFailed(
            _('libvirt shows no disk for volume %s') % volume_id,
            _("See the log of nova-compute on the server's host."),
        )

    def _below(self, path: str) -> str:
        """Return the device that dm-crypt stores in; empty without one.

        For luks2 and plain, os-brick lets the name that libvirt was given
        point to the decrypted device (os_brick/encryptors/luks.py).
        """
        rows = [
            row.split()
            for row in self._run(
                'sh',
                '-c',
                '[ -f "$1" ] || lsblk -snrp -o TYPE,KNAME -- "$1"',
                'sh',
                path,
            ).text.splitlines()
        ]
        if not rows or rows[0][:1] != ['crypt']:
            return ''
        if len(rows) < 2 or len(rows[1]) != 2:
            raise exceptions.AccessError(
                _('The host does not tell what is below %s') % path,
                _('Try lsblk there.'),
            )
        return rows[1][1]

    def _bytes(self, path: str, offset: int, length: int) -> bytes:
        return self._run(
            'dd',
            f'if={path}',
            'bs=4096',
            'iflag=skip_bytes,count_bytes',
            f'skip={offset}',
            f'count={length}',
            'status=none',
        ).stdout

    def _query(self, alias: str) -> dict[str, typing.Any]:
        text = self._run(
            *_VIRSH,
            'qemu-monitor-command',
            self._domain,
            json.dumps({'execute': 'query-block'}),
        ).text
        try:
            for device in json.loads(text)['return']:
                if alias in str(device.get('qdev', '')).split('/'):
                    return dict(device)
        except (
            *(ValueError, TypeError, KeyError, AttributeError),
            RecursionError,
        ) as error:
            raise exceptions.AccessError(
                _('QEMU does not tell its disks: %s') % shell.last(text),
                _("See QEMU's log on the host."),
            ) from error
        raise exceptions.OperationFailed(
            _('QEMU does not know the disk %s') % alias,
            _("See QEMU's log on the host."),
        )

    def _guest_size(self, alias: str) -> int | None:
        found: typing.Any = self._query(alias)
        for key in ('inserted', 'image', 'virtual-size'):
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, int) else None

    def _marker(
        self, disk: attached.Disk, alias: str, found: header.Header
    ) -> str:
        """Let QEMU write where the guest would, and look at the host."""
        device = str(self._query(alias)['qdev'])
        self._io(device, f'write -P {_PATTERN:#x} {_OFFSET} {_LENGTH}')
        self._io(device, 'flush')
        back = self._io(device, f'read -P {_PATTERN:#x} {_OFFSET} {_LENGTH}')
        if 'verification failed' in back:
            raise exceptions.OperationFailed(
                _('What was written cannot be read back: %s')
                % shell.last(back),
                _("See QEMU's log on the host."),
            )
        raw = self._bytes(disk.path, found.payload + _OFFSET, _LENGTH)
        if not raw.strip(b'\0'):
            return 'empty'
        return 'clear' if bytes([_PATTERN]) * 64 in raw else 'cipher'

    def _io(self, device: str, command: str) -> str:
        text = self._run(
            *_VIRSH,
            'qemu-monitor-command',
            self._domain,
            '--hmp',
            f'qemu-io -d {device} {json.dumps(command)}',
        ).text
        if 'Error' in text or 'failed:' in text:
            raise exceptions.OperationFailed(
                _('QEMU refuses %(command)s: %(why)s')
                % {'command': shlex.quote(command), 'why': text.strip()},
                _("See QEMU's log on the host."),
            )
        return text


def _xml(text: str) -> etree.Element:
    try:
        return domain_xml.parse(text)
    except domain_xml.InvalidDocument as error:
        raise exceptions.AccessError(
            _('The XML of libvirt is malformed: %s') % error,
            _('Try virsh dumpxml on the host.'),
        ) from error
