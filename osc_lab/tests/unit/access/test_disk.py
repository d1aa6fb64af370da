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

import json
import os
import pathlib
import stat
import struct

import fixtures
import testtools

from osc_lab.access import disk
from osc_lab.access import shell
from osc_lab import channels
from osc_lab import exceptions

DOMAIN = """<domain><devices>
<disk type='file'><source file='/other'/><serial>other</serial></disk>
<disk type='file'>
  <source file='{path}'>{encryption}</source>
  <serial>v1</serial><alias name='virtio-disk1'/>
</disk></devices></domain>"""

ENCRYPTION = (
    "<encryption format='luks'><secret type='p' uuid='u'/></encryption>"
)

#: Stands for libvirt's client: answers from files beside it.
VIRSH = """#!/bin/sh
folder=$(dirname "$0")
case "$*" in
    *dumpxml*) cat "$folder/domain.xml" ;;
    *query-block*) cat "$folder/query-block" ;;
    *write*) cat "$folder/write"; [ ! -e "$folder/on-write" ] ||
        . "$folder/on-write" ;;
    *flush*) : ;;
    *read*) cat "$folder/read" ;;
    *) exit 9 ;;
esac
"""

PAYLOAD = 4096
SIZE = 4 * 2**20


def luks(payload=PAYLOAD):
    return struct.pack(
        '>6sH32s32s32sII',
        *(b'LUKS\xba\xbe', 1, b'aes', b'xts-plain64', b'sha256'),
        *(payload // 512, 64),
    ).ljust(payload, b'\0')


def luks2(payload=PAYLOAD + 16384):
    """The parts of a header of cryptsetup 2.6 that are looked at."""
    text = json.dumps(
        {
            'keyslots': {'0': {'type': 'luks2', 'key_size': 64}},
            'segments': {
                '0': {
                    'type': 'crypt',
                    'offset': str(payload),
                    'size': 'dynamic',
                    'encryption': 'aes-xts-plain64',
                }
            },
        }
    )
    begin = struct.pack('>6sHQ', b'LUKS\xba\xbe', 2, 16384)
    return (begin.ljust(4096, b'\0') + text.encode()).ljust(payload, b'\0')


class Host(fixtures.Fixture):
    """This machine as the host of a server with one volume, v1.

    :ivar path: the file that the volume is
    """

    def _setUp(self):
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = self.folder / 'volume'
        self.path.write_bytes(luks() + os.urandom(SIZE))
        virsh = self.folder / 'virsh'
        virsh.write_text(VIRSH)
        virsh.chmod(0o700)
        self.useFixture(
            fixtures.EnvironmentVariable(
                'PATH', f'{self.folder}:{os.environ["PATH"]}'
            )
        )
        self.write('write', '')
        self.write('read', 'read 65536/65536 bytes at offset 1048576\n')
        self.domain()
        self.block({'image': {'virtual-size': SIZE}})

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def domain(self, xml=DOMAIN, encryption=ENCRYPTION):
        self.write(
            'domain.xml', xml.format(path=self.path, encryption=encryption)
        )

    def block(self, inserted, qdev='/machine/peripheral/virtio-disk1/back'):
        answer = {'return': [{}, {'qdev': qdev, 'inserted': inserted}]}
        self.write('query-block', json.dumps(answer))

    def decrypted(self, *below):
        """Let libvirt have a device of dm-crypt, on top of others.

        The rows are those of lsblk -s on a host with LUKS2 on iSCSI.
        """
        rows = ['crypt /dev/dm-3', *below]
        lsblk = self.folder / 'lsblk'
        text = '\n'.join(rows)
        lsblk.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        lsblk.chmod(0o700)
        self.domain(
            DOMAIN.replace("file='{path}'", "dev='/dev/disk/by-path/ip-1'"), ''
        )

    def on_write(self, script):
        """Let the guest's write do something to the file."""
        self.write('on-write', script.format(path=self.path))


class TestLook(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.host = self.useFixture(Host())

    def look(self):
        local = channels.Host('local', 'local', 'local')
        there = shell.Shell(local, channels.Channels())
        return disk.Host(there, 'uuid').look('v1')

    def fails(self, text, kind=exceptions.OperationFailed):
        self.assertIn(text, str(self.assertRaises(kind, self.look)))

    def test_all_that_is_to_be_seen(self):
        seen = self.look()
        self.assertEqual(
            (str(self.host.path), 'luks', True),
            (seen.disk.path, seen.disk.format, seen.disk.secret),
        )
        self.assertEqual(
            ('luks1', 'aes-xts-plain64', 64, PAYLOAD),
            (
                seen.header.kind,
                seen.header.cipher,
                seen.header.key_bytes,
                seen.header.payload,
            ),
        )
        self.assertEqual((SIZE, 'cipher'), (seen.guest, seen.marker))

    def test_marker_in_clear(self):
        self.host.on_write(
            "head -c 65536 /dev/zero | tr '\\0' '\\247' | dd of={path} "
            'bs=4096 seek=257 conv=notrunc status=none'
        )
        self.assertEqual('clear', self.look().marker)

    def test_device_that_os_brick_decrypts(self):
        """What is stored lies below the one that libvirt has."""
        self.host.path.write_bytes(luks2() + os.urandom(SIZE))
        self.host.decrypted(f'disk {self.host.path}')
        seen = self.look()
        self.assertEqual(str(self.host.path), seen.disk.path)
        self.assertEqual(
            ('luks2', 'aes-xts-plain64', 64, PAYLOAD + 16384, 'cipher'),
            (
                *(seen.header.kind, seen.header.cipher),
                *(seen.header.key_bytes, seen.header.payload, seen.marker),
            ),
        )
        self.host.on_write(
            "head -c 65536 /dev/zero | tr '\\0' '\\247' | dd of={path} "
            'bs=4096 seek=261 conv=notrunc status=none'
        )
        self.assertEqual('clear', self.look().marker)

    def test_dm_crypt_without_a_header(self):
        self.host.path.write_bytes(os.urandom(SIZE))
        self.host.decrypted(f'mpath {self.host.path}', 'disk /dev/sdb')
        seen = self.look()
        self.assertEqual(('none', 'cipher'), (seen.header.kind, seen.marker))

    def test_nothing_below(self):
        self.host.decrypted()
        self.fails('does not tell what is below', exceptions.AccessError)

    def test_marker_that_never_came(self):
        self.host.path.write_bytes(luks() + bytes(SIZE))
        self.assertEqual('empty', self.look().marker)

    def test_no_place_for_a_marker(self):
        self.host.block({'image': {'virtual-size': 2**18}})
        self.assertEqual('unknown', self.look().marker)
        self.host.path.write_bytes(b'QFI\xfb' + bytes(SIZE))
        self.assertEqual('unknown', self.look().marker)

    def test_size_that_nobody_tells(self):
        self.host.block(None)
        self.assertIsNone(self.look().guest)

    def test_encryption_beside_the_source(self):
        self.host.domain(
            DOMAIN.replace('<serial>v1', ENCRYPTION + '<serial>v1'), ''
        )
        self.assertTrue(self.look().disk.secret)

    def test_no_encryption(self):
        self.host.domain(encryption='')
        found = self.look().disk
        self.assertEqual(('', False), (found.format, found.secret))

    def test_disk_that_is_not_there(self):
        for xml in (
            '<domain/>',
            DOMAIN.replace("<alias name='virtio-disk1'/>", ''),
        ):
            self.host.domain(xml)
            self.fails('no disk for volume v1')

    def test_network_disk(self):
        self.host.domain(DOMAIN.replace('file=', 'name='))
        self.fails('not a file or device of the host (file)')

    def test_qemu_does_not_know_it(self):
        self.host.block({}, qdev='/machine/peripheral/virtio-disk2')
        self.fails('does not know the disk virtio-disk1')

    def test_qemu_refuses(self):
        self.host.write('write', "Error: Device 'x' not found\n")
        self.fails('QEMU refuses')

    def test_other_bytes_come_back(self):
        self.host.write('read', 'Pattern verification failed at offset 0\n')
        self.fails('cannot be read back: Pattern')

    def test_odd_xml(self):
        self.host.domain('<domain')
        self.fails('malformed', exceptions.AccessError)
        self.host.domain('<!DOCTYPE x [<!ENTITY a "b">]><domain/>')
        self.fails('a document type', exceptions.AccessError)

    def test_no_libvirt_there(self):
        (self.host.folder / 'virsh').chmod(stat.S_IRUSR)
        (self.host.folder / 'virsh').write_text('exit 1')
        self.host.useFixture(
            fixtures.EnvironmentVariable('PATH', str(self.host.folder))
        )
        self.fails('Cannot run virsh', exceptions.AccessError)
