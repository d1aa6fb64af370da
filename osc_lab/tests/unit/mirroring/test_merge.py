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

import struct

import fixtures
import hypothesis
from hypothesis import strategies
import testtools

from osc_lab import exceptions
from osc_lab.mirroring import merge
from osc_lab.tests import thorough
from osc_lab.tests.unit.access import test_capture

MICRO = struct.pack('<IHHiIII', 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
NANO = struct.pack('>IHHiIII', 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)


def packet(microseconds, data):
    return (
        struct.pack(
            '<IIII', *divmod(microseconds, 10**6), len(data), len(data) + 1
        )
        + data
    )


class TestMerge(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.now = self.began = 1e6

    def merge(self, size=1 << 20, limit=None):
        return merge.Merge(
            ('hosta web', 'hostb ö'), size, limit, lambda: self.now
        )

    def packets(self, data):
        """Return (end, nanoseconds, data) of each packet."""
        found = []
        for kind, body in test_capture.blocks(data):
            if kind == 6:
                end, high, low, length, full = struct.unpack(
                    '<IIIII', body[:20]
                )
                data = body[20 : 20 + length]
                self.assertEqual(length + 1, full)
                found.append((end, high << 32 | low, data))
        return found

    def test_header_names_the_ends(self):
        merged = self.merge()
        self.assertEqual(b'', merged.feed(MICRO))
        self.assertFalse(merged.started)
        header = merged.feed(MICRO, 1)
        self.assertTrue(merged.started)
        magic = b'\x4d\x3c\x2b\x1a'
        self.assertEqual(
            [
                # Version 1.0, of any length.
                (0x0A0D0D0A, magic + b'\1\0\0\0' + b'\xff' * 8),
                self.interface(b'hosta web'),
                self.interface('hostb ö'.encode()),
            ],
            list(test_capture.blocks(header)),
        )
        self.assertEqual(len(header), merged.bytes)

    def interface(self, name):
        """Return the block of one: Ethernet, 262,144 bytes, nanoseconds."""
        return 1, b''.join(
            (
                b'\1\0\0\0\0\0\4\0',
                struct.pack('<HH', 2, len(name)),
                name + bytes(-len(name) % 4),
                b'\x09\0\1\0\x09\0\0\0',
                bytes(4),
            )
        )

    def test_headers_of_any_kind(self):
        """Of both byte orders; above the link type are other numbers."""
        link = 1 | 0x14000000
        long, odd = 'ü' * 600, 'web \udcff'
        merged = merge.Merge((long, odd), 1 << 20)
        little = struct.pack('<IHHiIII', 0xA1B23C4D, 2, 4, 0, 0, 1 << 18, link)
        big = struct.pack('>IHHiIII', 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, link)
        out = merged.feed(little + struct.pack('<IIII', 1, 5, 1, 2) + b'n', 0)
        out += merged.feed(big + struct.pack('>IIII', 1, 6, 1, 2) + b'm', 1)
        out += merged.feed(b'', 0, last=True)
        _section, *interfaces = list(test_capture.blocks(out))[:3]
        self.assertEqual(
            [
                self.interface('ü'.encode() * 500),
                self.interface(b'web ?'),
            ],
            interfaces,
        )
        self.assertEqual(
            [(0, 1000000005, b'n'), (1, 1000006000, b'm')], self.packets(out)
        )

    def test_order_is_that_of_time(self):
        merged = self.merge()
        out = merged.feed(MICRO + packet(5, b'b') + packet(9, b'd'), 0)
        nano = struct.pack('>IIII', 0, 4999, 1, 2) + b'a'
        out += merged.feed(NANO + nano, 1)
        # Of the other end nothing is there that might be earlier.
        self.assertEqual([(1, 4999, b'a')], self.packets(out))
        self.now = self.began + 2.4
        self.assertEqual(b'', merged.feed(b'', 0))
        self.now = self.began + 2.5
        out = merged.feed(b'', 0)
        self.assertEqual([(0, 5000, b'b'), (0, 9000, b'd')], self.packets(out))

    @thorough.prop()
    @hypothesis.given(
        times=strategies.lists(
            strategies.tuples(
                strategies.integers(0, 1), strategies.integers(0, 10**9)
            ),
            max_size=40,
        ),
        cut=strategies.integers(1, 60),
    )
    def test_nothing_is_lost(self, times, cut):
        times = sorted(times, key=lambda item: item[1])
        streams = [MICRO, MICRO]
        for number, (end, time) in enumerate(times):
            streams[end] += packet(time, struct.pack('<I', number))
        merged = self.merge()
        out = b''
        while any(streams):
            for end in (0, 1):
                out += merged.feed(streams[end][:cut], end)
                streams[end] = streams[end][cut:]
        out += merged.feed(b'', 0, last=True)
        found = self.packets(out)
        self.assertEqual(
            sorted(
                (time * 1000, end, struct.pack('<I', number))
                for number, (end, time) in enumerate(times)
            ),
            sorted((time, end, data) for end, time, data in found),
        )
        self.assertEqual(
            sorted(time for _end, time, _data in found),
            [time for _end, time, _data in found],
        )
        self.assertEqual(len(times), merged.packets)
        self.assertEqual(len(out), merged.bytes)

    def test_before_all_have_begun_the_last_ones_are_kept(self):
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.mirroring.merge.EARLY', 1 << 20)
        )
        merged = self.merge()
        early = [packet(number, bytes(1 << 16)) for number in range(20)]
        for data in (MICRO, *early):
            merged.feed(data, 0)
        out = merged.feed(MICRO, 1) + merged.feed(b'', 0, last=True)
        # Each takes a little more than its bytes.
        self.assertEqual(
            [number * 1000 for number in range(5, 20)],
            [time for _end, time, _data in self.packets(out)],
        )
        # Once they have, all wait.
        merged = self.merge(size=1 << 30)
        for end in (0, 1):
            merged.feed(MICRO, end)
        for data in early:
            merged.feed(data, 0)
        merged.feed(b'', 0, last=True)
        self.assertEqual(20, merged.packets)

    def test_what_waits_takes_more_than_its_bytes(self):
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.mirroring.merge.EARLY', 10 * 257)
        )
        merged = self.merge()
        for data in (MICRO, *(packet(number, b'x') for number in range(99))):
            merged.feed(data)
        out = merged.feed(MICRO, 1) + merged.feed(b'', last=True)
        self.assertEqual(
            [number * 1000 for number in range(89, 99)],
            [time for _end, time, _data in self.packets(out)],
        )

    def test_what_is_full_takes_nothing_more(self):
        merged = self.merge(size=400)
        merged.feed(MICRO, 0)
        merged.feed(MICRO + 9 * packet(1, b'x'), 1)
        merged.feed(b'', last=True)
        self.assertTrue(merged.full)
        for _number in range(99):
            merged.feed(packet(1, b'x'), 1)
        for _file in range(9):
            merged.roll()
            merged.feed(b'', last=True)
        self.assertEqual(9, merged.packets)

    def test_limits(self):
        merged = self.merge(limit=2)
        merged.feed(MICRO + 3 * packet(1, b'x'), 0)
        out = merged.feed(MICRO + packet(2, b'y'), 1)
        self.assertEqual(2, len(self.packets(out)))
        self.assertTrue(merged.enough)
        self.assertEqual(b'', merged.feed(b'', 0, last=True))

    def test_files_of_a_ring(self):
        merged = self.merge()
        merged.feed(MICRO, 0)
        header = merged.feed(MICRO, 1)
        merged = self.merge(size=len(header) + 2 * 36)
        merged.feed(MICRO + 3 * packet(1, b'x'), 0)
        out = merged.feed(MICRO, 1) + merged.feed(b'', 0, last=True)
        self.assertTrue(merged.full)
        first = len(self.packets(out))
        self.assertEqual(header, merged.roll())
        rest = header + merged.feed(b'', 0, last=True)
        self.assertEqual(2, first)
        self.assertEqual(3, first + len(self.packets(rest)))
        self.assertEqual(len(out) + len(rest), merged.bytes)

    def test_what_was_not_written_does_not_count(self):
        merged = self.merge()
        merged.feed(MICRO + packet(1, b'x') + packet(1, b'y'), 0)
        merged.feed(MICRO, 1)
        out = merged.feed(b'', 0, last=True)
        whole = merged.keep(len(out) - 1)
        self.assertEqual(1, len(self.packets(out[:whole])))
        self.assertEqual(1, merged.packets)

    def test_refuses_what_is_no_capture(self):
        self.assertRaises(
            exceptions.OperationFailed, self.merge().feed, b'Welcome\n' * 4, 1
        )
