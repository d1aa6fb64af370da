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

"""No command about ports and mirrors shows a secret, even if it fails."""

import stat

from osc_lab.tests.unit.commands import mirrors
from osc_lab.tests.unit.commands import secrecy


class TestMirrors(mirrors.MirrorTest):
    def setUp(self):
        super().setUp()
        self.secrecy = self.useFixture(secrecy.Secrecy(self))
        self.packets()

    def mirror(self, *argv, **kwargs):
        self.secrecy.through('port', 'mirror', *argv, **kwargs)

    def test_create_and_delete(self):
        create = ('create', 'one', '--name', 'm', '--timeout', '0')
        self.mirror(*create, '--dry-run')
        self.mirror(*create, '-f', 'json')
        self.mirror('show', 'm')
        self.mirror('list', '--long')
        self.mirror('prune', '--dry-run')
        self.secrecy.look('port', 'mirror', 'delete', 'm')

    def test_capture(self):
        file = self.folder / 'f.pcap'
        self.mirror('capture', 'one', '--file', file, '--force')
        self.assertEqual(0o600, stat.S_IMODE(file.stat().st_mode))

    def test_topology(self):
        show = ('port', 'topology', 'show', 'one')
        self.secrecy.through(*show)
        self.secrecy.look(*show, '--graph-format', 'svg')

    def test_host_that_fails(self):
        (self.folder / 'calls.fail').touch()
        self.mirror('create', 'one', '--timeout', '0', status=1)
        self.assertTrue(self.secrecy.watch.children)
