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

import hypothesis
from hypothesis import strategies
import testtools

from osc_lab import exceptions
from osc_lab.mirroring import capture
from osc_lab.tests import thorough

HEADER = struct.pack('<IHHiIII', 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)


def record(length, order='<'):
    header = struct.pack(f'{order}IIII', 1, 2, length, length + 5)
    return header + bytes(length)


class TestRecords(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(
        lengths=strategies.lists(strategies.integers(0, 200), max_size=20),
        cuts=strategies.lists(strategies.integers(1, 90), max_size=60),
        lost=strategies.integers(0, 60),
    )
    def test_only_whole_records_pass(self, lengths, cuts, lost):
        stream = HEADER + b''.join(map(record, lengths))
        stream = stream[: max(0, len(stream) - lost)]
        records = capture.Records(1 << 20)
        out, rest = b'', stream
        for cut in cuts:
            out += records.feed(rest[:cut])
            rest = rest[cut:]
        out += records.feed(rest)
        self.assertEqual(len(out), records.bytes)
        self.assertTrue(stream.startswith(out))
        # Another reader finds whole records and nothing else.
        again = capture.Records(1 << 20)
        self.assertEqual(out, again.feed(out))
        self.assertEqual(records.packets, again.packets)
        if not lost:
            self.assertEqual(stream, out)
            self.assertEqual(len(lengths), records.packets)

    def test_stops_before_the_size_is_passed(self):
        records = capture.Records(24 + 2 * 116 + 115)
        out = records.feed(HEADER + 5 * record(100))
        self.assertEqual(24 + 2 * 116, len(out))
        self.assertTrue(records.full)
        self.assertEqual(b'', records.feed(record(1)))
        self.assertEqual(2, records.packets)

    def test_what_was_not_written_does_not_count(self):
        records = capture.Records(1 << 20)
        records.feed(HEADER + 3 * record(100))
        self.assertEqual(24 + 116, records.keep(24 + 2 * 116 - 1))
        self.assertEqual((1, 24 + 116), (records.packets, records.bytes))
        records = capture.Records(1 << 20)
        records.feed(HEADER + record(100))
        self.assertEqual(0, records.keep(23))
        self.assertEqual((0, 0), (records.packets, records.bytes))

    def test_reads_both_byte_orders(self):
        header = struct.pack('>IHHiIII', 0xA1B23C4D, 2, 4, 0, 0, 9, 1)
        records = capture.Records(1000)
        data = header + record(7, '>')
        self.assertEqual(data, records.feed(data))

    def test_refuses_what_is_no_capture(self):
        records = capture.Records(1000)
        self.assertRaises(
            exceptions.OperationFailed, records.feed, b'Welcome to host1\n' * 3
        )

    def test_refuses_records_that_cannot_be(self):
        """tcpdump keeps no more than 262,144 bytes of a packet."""
        largest = record(1 << 18)
        records = capture.Records(1 << 30)
        self.assertEqual(HEADER + largest, records.feed(HEADER + largest))
        longer = (1 << 18) + 1
        bad = struct.pack('<IIII', 1, 2, longer, longer)
        self.assertRaises(exceptions.OperationFailed, records.feed, bad)


class TestCommand(testtools.TestCase):
    def test_filter_is_never_an_option(self):
        wish = capture.Wish(10, 1000, filter='-w /etc/passwd')
        argv = capture.command('tpm1', wish)
        self.assertEqual(['--', '-w /etc/passwd'], argv[-2:])
        self.assertEqual(['timeout', '-k', '5', '40'], argv[:4])
        self.assertEqual('tpm1', argv[8])

    def test_limits(self):
        wish = capture.Wish(1, 1000, packets=3, snaplen=96)
        self.assertEqual(
            ['-s', '96', '-c', '3'], capture.command('tpm1', wish)[9:]
        )

    def test_drops(self):
        text = (
            '10 packets captured\n12 packets received by filter\n'
            '3 packets dropped by kernel\n1 packet dropped by interface\n'
        )
        self.assertEqual(4, capture.dropped(text))
        # Asked for while it runs, it tells all in one line.
        text += (
            'tcpdump: 10 packets captured, 12 packets received by filter, '
            '9 packets dropped by kernel\n'
        )
        self.assertEqual(10, capture.dropped(text))
        self.assertIsNone(capture.dropped('tcpdump: syntax error'))

    def test_last_words(self):
        usual = (
            'tcpdump: listening on tpm1, link-type EN10MB (Ethernet), '
            'snapshot length 262144 bytes\n'
            'tcpdump: 9 packets captured, 9 packets received by filter, '
            '0 packets dropped by kernel\n'
        )
        reason = 'tcpdump: pcap_loop: The interface disappeared\n'
        last = (
            '1 packet captured\n2 packets received by filter\n'
            '0 packets dropped by kernel\n0 packets dropped by interface\n'
        )
        self.assertEqual('', capture.unusual(usual + last))
        self.assertEqual(
            reason.strip(), capture.unusual(usual + reason + last)
        )
        self.assertFalse(capture.told(usual + reason))
        self.assertTrue(capture.told(usual + reason + last))

    def test_exit_codes(self):
        self.assertEqual(130, capture.End.INTERRUPTED.exit_code)
        self.assertEqual(5, capture.End.FAILED.exit_code)
        self.assertEqual(0, capture.End.CLOSED.exit_code)
