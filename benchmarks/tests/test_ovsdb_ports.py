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

"""Whether the times of ours and of ovs-vsctl are of the same work."""

import types
import unittest
from unittest import mock

from benchmarks import ovsdb_ports


class OvsdbPortsTest(unittest.TestCase):
    def test_mirror_is_made_from_the_connection_on(self) -> None:
        now = [0.0]

        def takes(seconds: float, result: object = None) -> mock.Mock:
            def pass_by(*_arguments: object) -> object:
                now[0] += seconds
                return result

            return mock.Mock(side_effect=pass_by)

        seen = mock.Mock(mirrors=[mock.Mock()], own_ports=[(mock.Mock(), '')])
        database = types.SimpleNamespace(
            attachments=takes(2.0, ['found']),
            transact=takes(4.0),
            snapshot=takes(8.0, seen),
        )
        connection = mock.MagicMock()
        connection.__enter__.side_effect = takes(1.0)
        for name, value in (
            ('jsonrpc.Connection', lambda *_arguments: connection),
            ('ovsdb.Database', lambda *_arguments: database),
            ('time', types.SimpleNamespace(monotonic=lambda: now[0])),
            ('transaction', mock.Mock(Wish=ovsdb_ports.transaction.Wish)),
        ):
            patch = mock.patch(f'benchmarks.ovsdb_ports.{name}', value)
            patch.start()
            self.addCleanup(patch.stop)
        self.assertEqual(7.0, ovsdb_ports.create('unix:x', 'port-5'))
        database.attachments.assert_called_once_with('port-5')


if __name__ == '__main__':
    unittest.main()
