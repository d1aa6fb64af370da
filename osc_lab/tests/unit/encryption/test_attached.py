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

"""The proof on a host, judged."""

import dataclasses
import struct

import testtools

from osc_lab.encryption import attached
from osc_lab.encryption import header
from osc_lab.encryption import model
from osc_lab.encryption import proof
from osc_lab import exceptions

WISHED = model.Encryption('luks', 'aes-xts-plain64', 512, 'front-end')
VOLUME = model.Volume('v', 'v', 'in-use', 1, 'T', True, 'k')
HEADER = header.Header('luks1', 'aes-xts-plain64', 64, 2**21)
GOOD = attached.Seen(
    attached.Disk('/dev/x', 'luks', True),
    HEADER,
    2**30 - 2**21,
    'cipher',
)


class TestJudge(testtools.TestCase):
    def judge(self, wished=WISHED, **changes):
        return attached.judge(
            VOLUME,
            wished,
            proof.Proof('api', 'barbican', ('before',)),
            dataclasses.replace(GOOD, **changes),
        )

    def fails(self, text, remedy='logs of nova-compute', **changes):
        error = self.assertRaises(
            exceptions.OperationFailed, self.judge, **changes
        )
        self.assertIn('The proof on the host failed: ', error.message)
        self.assertIn(text, error.message)
        self.assertIn(remedy, error.remedy)

    def test_good(self):
        found = self.judge()
        self.assertEqual(
            ('attach', 'barbican'), (found.level, found.key_manager)
        )
        before, cipher, size = found.notes
        self.assertEqual('before', before)
        self.assertIn('aes-xts-plain64, 512 bits', cipher)
        self.assertIn('2097152 bytes', size)

    def test_no_encryption_in_the_domain(self):
        for disk in (('/x', '', True), ('/x', 'luks', False)):
            self.fails(
                'libvirt has no encryption for the disk /x',
                disk=attached.Disk(*disk),
            )

    def test_only_luks_is_opened_by_libvirt(self):
        """os-brick opens the others on the host."""
        wished = dataclasses.replace(WISHED, provider='luks2')
        found = self.judge(wished, disk=attached.Disk('/x', '', False))
        self.assertEqual('attach', found.level)

    def test_plain_has_no_header(self):
        wished = dataclasses.replace(WISHED, provider='plain')
        bare = {
            'disk': attached.Disk('/dev/sdb', '', False),
            'header': header.Header('none'),
            'guest': 2**30,
        }
        found = self.judge(wished, **bare)
        self.assertEqual(('attach', ('before',)), (found.level, found.notes))
        for marker, text in (
            ('unknown', '/dev/sdb is no device of dm-crypt'),
            ('clear', 'in clear in /dev/sdb'),
            ('empty', 'never came'),
        ):
            self.fails(text, wished=wished, marker=marker, **bare)

    def test_no_header(self):
        for kind in ('blank', 'none', 'qcow2-plain'):
            self.fails(
                f'/dev/x has no LUKS header: it is {kind}',
                header=header.Header(kind),
            )

    def test_marker(self):
        self.fails('clear in /dev/x', marker='clear')
        self.fails('never came to /dev/x', marker='empty')

    def test_shrunk(self):
        least = 2**30 - 16 * 2**20
        self.fails(
            f'sees {least - 1} bytes of {2**30}',
            'use another backend',
            guest=least - 1,
        )
        found = self.judge(guest=least)
        self.assertIn(f'{16 * 2**20} bytes', found.notes[-1])

    def test_size_that_is_right_or_unknown_is_no_note(self):
        for guest in (2**30, None):
            self.assertEqual(2, len(self.judge(guest=guest).notes))

    def test_other_cipher(self):
        self.fails(
            'The header says aes-cbc-plain, not aes-xts-plain64',
            header=header.Header('luks1', 'aes-cbc-plain', 64, 2**21),
        )

    def test_other_key_size_is_a_note(self):
        found = self.judge(
            header=header.Header('luks1', 'aes-xts-plain64', 32, 2**21)
        )
        self.assertIn('256 bits, the type 512', found.notes[1])

    def test_unknown_place(self):
        found = self.judge(
            header=header.Header('qcow2-luks'), marker='unknown'
        )
        self.assertIn('no marker', found.notes[-1])
        # Its header does not tell the cipher.
        self.assertEqual(3, len(found.notes))


class TestHeader(testtools.TestCase):
    def luks1(self, version=1):
        return struct.pack(
            '>6sH32s32s32sII',
            b'LUKS\xba\xbe',
            version,
            b'aes',
            b'xts-plain64',
            b'sha256',
            4096,
            64,
        )

    def test_luks1(self):
        self.assertEqual(
            header.Header('luks1', 'aes-xts-plain64', 64, 2**21),
            header.parse(self.luks1()),
        )

    def test_luks2_that_is_odd(self):
        """Other data in its place, or more of it than was read."""
        begin = struct.pack('>6sHQ', b'LUKS\xba\xbe', 2, 16384)
        for text in (
            '',
            'x',
            '[]',
            '[' * 10000,
            '{"segments": {"0": 1}, "keyslots": {}}',
            '{"segments": {"0": {"encryption": "a", "offset": "1"}}, '
            '"keyslots": {}}',
        ):
            data = begin.ljust(4096, b'\0') + text.encode()
            self.assertEqual(header.Header('luks2'), header.parse(data), text)

    def test_kinds(self):
        for data, kind in (
            (b'\0' * 4096, 'blank'),
            (b'', 'blank'),
            (b'data', 'none'),
            (b'LUKS\xba\xbe', 'none'),
            (self.luks1(2), 'luks2'),
            (b'QFI\xfb' + b'\0' * 60, 'qcow2-plain'),
            (b'QFI\xfb' + b'\0' * 28 + b'\0\0\0\2' + b'\0' * 60, 'qcow2-luks'),
        ):
            self.assertEqual(kind, header.parse(data).kind)
