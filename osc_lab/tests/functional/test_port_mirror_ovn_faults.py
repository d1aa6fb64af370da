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

"""Mirrors beside an OVN controller that has mirrors of its own.

A private Open vSwitch is a chassis of a private OVN.  Nothing of OVN is
installed: its packages are unpacked into a folder of the test.
"""

import pathlib
import subprocess

import fixtures

from osc_lab.mirroring import health
from osc_lab.tests.functional import test_port_mirror_ovsdb as base
from osc_lab.tests.functional import vswitch

UNPACK = """
names='ovn-central ovn-common ovn-host'
apt-get -qq download $names ||
    { apt-get -qq update && apt-get -qq download $names; } || exit
for file in *.deb; do dpkg -x "$file" . || exit; done
"""


class Ovn(fixtures.Fixture):
    """Databases, northd and a controller, on the switch of a test."""

    def __init__(self, switch):
        super().__init__()
        self.switch = switch
        self.folder = switch.folder

    def _setUp(self):
        top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        subprocess.run(
            ['sh', '-c', UNPACK], cwd=top, check=True, capture_output=True
        )
        self.bin = top / 'usr' / 'bin'
        self.env = {
            **self.switch.env,
            'OVN_RUNDIR': str(self.folder),
            'OVN_LOGDIR': str(self.folder),
        }
        for name in ('nb', 'sb'):
            database, socket = (
                self.folder / f'{name}.{kind}' for kind in ('db', 'sock')
            )
            schema = top / f'usr/share/ovn/ovn-{name}.ovsschema'
            self.switch.run('ovsdb-tool', 'create', str(database), str(schema))
            self.start(
                'ovsdb-server',
                *(f'--remote=punix:{socket}', str(database)),
                f'--unixctl={self.folder}/{name}.ctl',
            )
            vswitch.ready(f'the database {name}', socket.exists)
            self.ctl(name, 'init')
        self.start(
            self.bin / 'ovn-northd',
            *(f'--ovnnb-db=unix:{self.folder}/nb.sock',),
            f'--ovnsb-db=unix:{self.folder}/sb.sock',
        )
        self.switch.vsctl(
            *('set', 'Bridge', 'br-int', 'fail-mode=secure', '--', 'set'),
            *('Open_vSwitch', '.', 'external_ids:system-id=chassis'),
            f'external_ids:ovn-remote=unix:{self.folder}/sb.sock',
            'external_ids:ovn-encap-type=geneve',
            'external_ids:ovn-encap-ip=127.0.0.1',
        )
        self.controller()

    def start(self, program, *argv):
        process = subprocess.Popen(
            [program, *argv, '-vsyslog:off', '-vconsole:off'],
            stdin=subprocess.DEVNULL,
            env=self.env,
            cwd=self.folder,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def controller(self):
        self._controller = self.start(
            self.bin / 'ovn-controller', self.switch.remote
        )

    def restart(self):
        """End the controller as a service is ended, and start another."""
        self._controller.terminate()
        self._controller.wait()
        self.controller()
        self.ctl('nb', '--wait=hv', 'sync')

    def recompute(self):
        socket = self.folder / f'ovn-controller.{self._controller.pid}.ctl'
        self.switch.run(
            str(self.bin / 'ovn-appctl'),
            *('-t', str(socket), 'inc-engine/recompute'),
        )
        self.ctl('nb', '--wait=hv', 'sync')

    def ctl(self, database, *argv):
        return self.switch.run(
            str(self.bin / f'ovn-{database}ctl'),
            f'--db=unix:{self.folder}/{database}.sock',
            *argv,
        )


class TestController(base.SwitchTest):
    def setUp(self):
        super().setUp()
        self.ovn = self.useFixture(Ovn(self.switch))
        self.nb('ls-add', 'net')
        for port, mac in (
            (base.PORT, '0a:00:00:00:00:01'),
            (base.OTHER, '0a:00:00:00:00:02'),
        ):
            self.nb('lsp-add', 'net', port)
            self.nb('lsp-set-addresses', port, mac)
            vswitch.ready('the port', lambda port=port: self.up(port))
        self.theirs('one', '192.0.2.7')

    def nb(self, *argv):
        return self.ovn.ctl('nb', *argv)

    def up(self, port):
        return self.nb('get', 'Logical_Switch_Port', port, 'up') == 'true\n'

    def theirs(self, name, sink):
        """Have OVN mirror the same port."""
        self.nb('mirror-add', name, 'gre', '5', 'from-lport', sink)
        self.nb('lsp-attach-mirror', base.PORT, name)
        vswitch.ready('the mirror of OVN', lambda: name in self.makers())

    def makers(self):
        return {entry.mirror.name: entry.owner for entry in self.entries()}

    def owned(self):
        return {
            key: row
            for key, row in self.switch.rows('Mirror').items()
            if 'ovn-owned' in dict(row['external_ids'][1])
        }

    def talk(self, number):
        self.switch.send('tapone', number, base.MAC, base.OTHER_MAC)
        vswitch.ready(
            f'number {number}', lambda: number in self.switch.sent('taptwo')
        )

    def assert_both(self, number):
        """See that both mirrors are there, and that ours copies."""
        (entry,) = self.ours()
        self.assertEqual(frozenset(), entry.problems)
        self.assertEqual(
            {
                'one': health.Owner.OVN,
                entry.mirror.name: health.Owner.OSC_LAB,
            },
            self.makers(),
        )
        self.talk(number)
        vswitch.ready(
            f'the copy of {number}',
            lambda: number in self.switch.sent('watch'),
        )

    def test_side_by_side(self):
        owned = self.owned()
        self.create(direction='out')
        self.assert_both(1)
        self.assertEqual(owned, self.owned())
        self.ovn.recompute()
        self.assert_both(3)
        self.theirs('two', '192.0.2.8')
        self.nb('lsp-detach-mirror', base.PORT, 'two')
        self.nb('mirror-del', 'two')
        vswitch.ready('its end', lambda: 'two' not in self.makers())
        self.assert_both(5)
        self.ovn.restart()
        vswitch.ready('the mirror of OVN', lambda: 'one' in self.makers())
        self.assert_both(7)
        owned = self.owned()
        (entry,) = self.ours()
        self.delete(entry)
        self.assertEqual(owned, self.owned())
        self.talk(9)
        self.assertNotIn(9, self.switch.sent('watch'))
