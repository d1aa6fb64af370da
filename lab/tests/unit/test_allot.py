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

"""Which addresses and ports a lab gets."""

import dataclasses
import itertools
import json
import pathlib
import socket
import tempfile
import unittest
from unittest import mock

from lab import allot
from lab import errors
from lab import model


class CandidatesTest(unittest.TestCase):
    def test_a_folder_always_has_the_same_order_and_no_other_has_it(
        self,
    ) -> None:
        def first(folder: str) -> list[str]:
            every = allot.candidates(pathlib.Path(folder))
            return list(itertools.islice(every, 3))

        self.assertEqual(first('/a'), first('/a'))
        self.assertNotEqual(first('/a'), first('/b'))

    def test_all_blocks_are_loopback_but_for_the_first_65536(self) -> None:
        blocks = list(allot.candidates(pathlib.Path('/a')))
        self.assertEqual(255 * 256, len(set(blocks)))
        numbers = [[int(n) for n in block.split('.')] for block in blocks]
        self.assertEqual({127}, {first for first, _, _ in numbers})
        seconds = {second for _, second, _ in numbers}
        self.assertEqual((1, 255), (min(seconds), max(seconds)))


class FolderTest(unittest.TestCase):
    def test_what_sockets_or_configuration_cannot_hold_is_refused(
        self,
    ) -> None:
        for good in ('/tmp/lab-1_a', '/home/me/.lab', '/srv/c++/1.0'):
            allot.check_state(pathlib.Path(good))
        for bad in (
            '/tmp/' + 'x' * 70,
            *(f'/tmp/a{c}b' for c in ' :%$,;#"\'\\@=*?[]{}()&|<>!~\nä'),
        ):
            with (
                self.subTest(bad),
                self.assertRaisesRegex(errors.LabError, '--state'),
            ):
                allot.check_state(pathlib.Path(bad))

    def test_what_a_host_has_of_its_own_is_refused(self) -> None:
        for bad in ('/run', '/run/lab', '/var/lib/jenkins/lab', '/etc/lab'):
            with (
                self.subTest(bad),
                self.assertRaisesRegex(errors.LabError, '--state'),
            ):
                allot.check_state(pathlib.Path(bad))
        for good in ('/runner/lab', '/var/lab', '/usr/local/lab'):
            allot.check_state(pathlib.Path(good))


class RecordTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = pathlib.Path(folder.name)

    def record(self, block: str) -> allot.Record:
        return allot.Record(
            block, 21000, dict(model.PORTS), 'volumes', 'barbican'
        )

    def test_what_is_saved_is_read_again(self) -> None:
        record = self.record('127.9.9')
        allot.save(self.state, record)
        self.assertEqual(record, allot.load(self.state))

    def test_a_missing_or_broken_record_is_none(self) -> None:
        self.assertIsNone(allot.load(self.state))
        for text in ('', '{', '[]', '{"block": "127.1.1"}'):
            (self.state / allot.RECORD).write_text(text)
            self.assertIsNone(allot.load(self.state), text)

    def test_a_record_of_before_host_ports_has_the_usual_ones(self) -> None:
        record = self.record('127.9.9')
        allot.save(self.state, record)
        path = self.state / allot.RECORD
        data = json.loads(path.read_text())
        del data['host_ports']
        path.write_text(json.dumps(data))
        self.assertEqual(record, allot.load(self.state))
        self.assertEqual(dict(model.HOST_PORTS), record.host_ports)

    def test_a_running_lab_keeps_its_place(self) -> None:
        old = self.record('127.9.9')
        allot.save(self.state, old)
        new, held = allot.settle(self.state, True, 'full', 'barbican')
        held.close()
        self.assertEqual(dataclasses.replace(old, profile='full'), new)

    def test_a_running_lab_without_a_record_is_left_alone(self) -> None:
        with self.assertRaisesRegex(errors.LabError, 'down'):
            allot.settle(self.state, True, 'full', 'barbican')


class SettleTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = pathlib.Path(folder.name)

    def settle(self, folder: pathlib.Path) -> allot.Record:
        record, held = allot.settle(folder, False, 'volumes', 'barbican')
        self.addCleanup(held.close)
        return record

    def test_two_that_start_at_once_get_different_blocks(self) -> None:
        one = self.settle(self.state)
        # The same folder has the same order, so it wants the same block.
        two = self.settle(self.state)
        self.assertNotEqual(one.block, two.block)
        # These two are in the way of other labs on any address.
        self.assertNotEqual(one.epmd_port, two.epmd_port)
        self.assertNotEqual(one.ports['amqp-dist'], two.ports['amqp-dist'])

    def test_a_block_with_a_listener_is_left_to_its_lab(self) -> None:
        block = next(allot.candidates(self.state))
        with socket.socket() as other:
            other.bind((f'{block}.1', model.PORTS['barbican']))
            other.listen()
            self.assertNotEqual(block, self.settle(self.state).block)

    def test_a_lab_that_is_down_gets_its_block_again(self) -> None:
        block = '127.201.77'
        allot.save(
            self.state,
            allot.Record(block, 21000, dict(model.PORTS), 'full', 'barbican'),
        )
        self.assertEqual(block, self.settle(self.state).block)

    def test_no_two_things_of_a_lab_share_a_port(self) -> None:
        ports = self.settle(self.state).ports
        self.assertEqual(model.PORTS.keys(), ports.keys())
        self.assertEqual(len(ports), len(set(ports.values())))

    def test_a_port_of_a_daemon_of_the_machine_is_left_to_it(self) -> None:
        """sshd has port 22 of all addresses, also of those of hosts."""
        with socket.socket() as daemon, socket.socket() as unused:
            daemon.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            daemon.bind(('0.0.0.0', 0))
            daemon.listen()
            taken = daemon.getsockname()[1]
            # A port that nobody has as soon as it is closed.
            unused.bind(('127.0.0.1', 0))
            free = unused.getsockname()[1]
            unused.close()
            usual = {'ssh': taken, 'ovsdb': free}
            with mock.patch.object(model, 'HOST_PORTS', usual):
                found = self.settle(self.state).host_ports
        self.assertEqual(usual.keys(), found.keys())
        self.assertEqual(free, found['ovsdb'])
        self.assertIn(found['ssh'], range(22000, 23000))

    def test_one_port_is_for_all_hosts(self) -> None:
        block = next(allot.candidates(self.state))
        with socket.socket() as other:
            # The second host's address alone.
            other.bind((model.loopback(block, model.HOSTS[1]), 0))
            other.listen()
            usual = {'libvirt': other.getsockname()[1]}
            with mock.patch.object(model, 'HOST_PORTS', usual):
                record = self.settle(self.state)
        self.assertEqual(block, record.block)
        self.assertIn(record.host_ports['libvirt'], range(22000, 23000))


if __name__ == '__main__':
    unittest.main()
