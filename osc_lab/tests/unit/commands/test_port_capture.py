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

import fcntl
import io
import os
import pty
import resource
import signal
import struct
import termios

import fixtures

from osc_lab.access import sinks
from osc_lab.commands import port_capture
from osc_lab.tests.unit.commands import mirrors


class TestCapture(mirrors.MirrorTest):
    def setUp(self):
        super().setUp()
        self.file = self.folder / 'f.pcap'
        self.data = self.packets()

    def capture(self, *argv, status=0):
        _out, err = self.run_command(
            'capture', *argv, '--file', str(self.file), status=status
        )
        return err

    def test_a_port(self):
        err = self.capture('one')
        self.assertIn('Capturing one for 5m at most, up to 100.0 MiB', err)
        self.assertIn('3 packets, 84 B', err)
        self.assertEqual(self.data, self.file.read_bytes())
        self.assert_none()
        err = self.capture('one', status=2)
        self.assertIn('Use --force', err)

    def test_full_disk(self):
        """What is there ends with a whole packet, and says so."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        write = sinks.File.write

        def limited(sink, data):
            # A limit for files is for write() what a full disk is.
            resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
            try:
                write(sink, data)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)

        with fixtures.MonkeyPatch('osc_lab.access.sinks.File.write', limited):
            err = self.capture('one', status=5)
        self.assertIn('File too large', err)
        self.assertIn('1 packets', err)
        self.assertEqual(self.data[:44], self.file.read_bytes())
        self.assert_none()
        self.capture('one', '--force', '--packets', '2')
        self.assertEqual(self.data[:-20], self.file.read_bytes())

    def test_terminal_that_is_gone(self):
        """The capture goes on to its end, and SIGHUP ends it as ever."""
        action = port_capture.CapturePortMirror.take_action
        write = sinks.File.write
        self.addCleanup(
            signal.signal,
            signal.SIGHUP,
            signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        for hang_up, status in ((False, 0), (True, 130)):
            ours, theirs = pty.openpty()
            terminal = io.TextIOWrapper(
                io.FileIO(theirs, 'w'), write_through=True
            )

            def watched(command, arguments, terminal=terminal):
                command.app.stderr = terminal
                action(command, arguments)

            def lost(sink, data, ours=ours, hang_up=hang_up):
                if not sink.done:
                    os.close(ours)
                    if hang_up:
                        os.kill(os.getpid(), signal.SIGHUP)
                write(sink, data)

            with (
                terminal,
                fixtures.MonkeyPatch(
                    'osc_lab.commands.port_capture.CapturePortMirror'
                    '.take_action',
                    watched,
                ),
                fixtures.MonkeyPatch('osc_lab.access.sinks.File.write', lost),
            ):
                self.capture('one', '--force', status=status)
            self.assertEqual(self.data, self.file.read_bytes())
            self.assert_none()

    def test_narrow_terminal(self):
        """A line that wraps could not be written over."""
        action = port_capture.CapturePortMirror.take_action
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        size = struct.pack('HHHH', 24, 20, 0, 0)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
        terminal = io.TextIOWrapper(io.FileIO(theirs, 'w'), write_through=True)

        def watched(command, arguments):
            command.app.stderr = terminal
            action(command, arguments)

        with (
            terminal,
            fixtures.MonkeyPatch(
                'osc_lab.commands.port_capture.CapturePortMirror.take_action',
                watched,
            ),
        ):
            self.capture('one')
            shown = os.read(ours, 10000).decode().splitlines()
        (line,) = [item for item in shown if 'packets, ' in item][:1]
        self.assertRegex(line, '^[0-3] packets, ')
        self.assertEqual(19, len(line))
        self.assertRegex(shown[-1], '^3 packets, 84 B in ')

    def test_file_that_cannot_take_its_place(self):
        write = sinks.File.write

        def disturbed(sink, data):
            self.file.mkdir(exist_ok=True)
            write(sink, data)

        with fixtures.MonkeyPatch(
            'osc_lab.access.sinks.File.write', disturbed
        ):
            err = self.capture('one', '--force', status=5)
        self.assertIn('3 packets', err)
        self.assertIn('f.pcap" could not be ended: Is a directory', err)
        (kept,) = self.folder.glob('.osc-lab-*')
        self.assertIn(f'What arrived is in "{kept}"', err)
        self.assertEqual(self.data, kept.read_bytes())
        self.assert_none()

    def test_it_breaks_off(self):
        (self.folder / 'calls.status').write_text('255')
        err = self.capture('one', status=5)
        self.assertIn('the connection to the host is gone', err)
        self.assertIn('What arrived before is complete', err)
        self.assertEqual(self.data, self.file.read_bytes())
        self.assert_none()

    def test_what_is_missing(self):
        unknown = 'What the kernel of host1 dropped is not known.'
        missing = 'The last packets may be missing.'
        err = self.capture('one')
        self.assertNotIn('dropped', err)
        self.assertNotIn(missing, err)
        told = self.folder / 'calls.told'
        told.write_text('25 packets dropped by kernel')
        err = self.capture('one', '--force')
        self.assertIn('The kernel of host1 dropped 25 packets.', err)
        self.assertNotIn(missing, err)
        # An answer to a question is not the end.
        told.write_text(
            'tcpdump: 3 packets captured, 0 packets dropped by kernel\n'
        )
        err = self.capture('one', '--force')
        self.assertIn(missing, err)
        self.assertIn(unknown, err)
        err = self.capture('one', '--force', '--packets', '2')
        self.assertIn('all packets are there', err)
        self.assertNotIn(missing, err)
        self.assertIn(unknown, err)

    def test_both_ends(self):
        err = self.capture('one', '--both-ends', 'two')
        self.assertIn('Capturing one and two', err)
        self.assertIn('6 packets', err)
        data = self.file.read_bytes()
        for name in (b'host1 one', b'host2 two'):
            self.assertIn(name, data)
        self.assert_none()
        self.assertEqual({}, self.databases['host2'].tables['Mirror'])
        err = self.capture('one', '--both-ends', 'one', '--force', status=2)
        self.assertIn('it is the same port', err)

    def test_interrupted_before_anything_is_made(self):
        def ask(*args):
            os.kill(os.getpid(), signal.SIGINT)
            return self.neutron(*args)

        self.cloud._network = ask
        err = self.capture('one', status=130)
        self.assertIn('SIGINT', err)
        self.assertEqual('', self.calls.read_text())
        self.assertFalse(self.file.exists())

    def test_interrupted_while_one_of_two_is_made(self):
        def stop(operations):
            if any(item['op'] == 'insert' for item in operations):
                os.kill(os.getpid(), signal.SIGTERM)

        self.database.before = stop
        other = self.databases['host2']
        other.before = lambda operations: self.fail(operations)
        err = self.capture('one', '--both-ends', 'two', status=130)
        self.assertIn('SIGTERM', err)
        self.assertNotIn('tcpdump', self.calls.read_text())
        self.assert_none()

    def test_ring(self):
        err = self.capture('one', '--ring', '3', '--max-size', '1M')
        self.assertIn('3 packets', err)
        self.assertEqual(
            self.data, (self.folder / 'f-00001.pcap').read_bytes()
        )

    def test_ring_beside_the_file_of_that_name(self):
        """It is none of the ring's, and stays."""
        self.file.write_text('mine')
        self.capture('one', '--ring', '3')
        self.assertEqual('mine', self.file.read_text())
        self.assertEqual(
            self.data, (self.folder / 'f-00001.pcap').read_bytes()
        )

    def test_a_place_that_cannot_be(self):
        """It is found out before anything is made."""
        seen = []
        self.database.before = seen.append
        (self.folder / 'f-00007.pcap').touch()
        self.useFixture(
            fixtures.MonkeyPatch('shutil.which', lambda name: None)
        )
        for where, text in (
            (('--file', '/no/such/f.pcap'), 'No such file or directory'),
            (
                ('--file', '/no/such/f.pcap', '--force'),
                'No such file or directory',
            ),
            (
                ('--file', str(self.file), '--ring', '2'),
                'f-00007.pcap" exists',
            ),
            (('--wireshark',), 'there is no Wireshark on this machine'),
        ):
            _out, err = self.run_command('capture', 'one', *where, status=2)
            self.assertIn(text, err)
        self.assertEqual([], seen)

    def test_file_of_a_capture_that_cannot_begin(self):
        self.database.tables['Interface'].clear()
        for words in ((), ('--force',), ('--ring', '2')):
            self.capture('one', *words, status=3)
        for pattern in ('f*', '.osc-lab-*'):
            self.assertEqual([], list(self.folder.glob(pattern)))

    def test_a_mirror(self):
        self.create('--name', 'watch', '--direction', 'in')
        err = self.capture('watch')
        self.assertIn('Capturing watch', err)
        self.assertEqual(self.data, self.file.read_bytes())
        self.assertEqual(1, len(self.ours()['Mirror']))
        err = self.capture('watch', '--direction', 'out', '--force', status=3)
        self.assertIn('copies the direction "in"', err)
        self.create('--name', 'far', '--to', 'gre:192.0.2.1')
        err = self.capture('far', '--force', status=3)
        self.assertIn('has no device on its host', err)
        err = self.capture('nothing', '--force', status=1)
        self.assertIn('There is no single port or mirror "nothing"', err)

    def test_two_ports_of_one_name(self):
        """Their ids are told; a mirror of that name is another thing."""
        self.create('--name', 'two')
        self.cloud.ports[0]['name'] = 'two'
        seen = []
        for database in self.databases.values():
            database.before = seen.append
        err = self.capture('two', status=1)
        self.assertIn(
            f'There are 2: port "two": {mirrors.PORT}, {mirrors.OTHER}. '
            'Use the ID.',
            err,
        )
        self.assertEqual([], seen)
        self.assertFalse(self.file.exists())

    def test_a_mirror_that_does_not_work(self):
        """Nothing would come, and tcpdump needs a device."""

        def blind(mirror):
            mirror.update(select_src_port=[], select_dst_port=[])

        def expired(mirror):
            mirror['external_ids']['osc-lab-expires'] = '2020-01-01T00:00:00Z'

        def lost(mirror):
            self.database.tables['Bridge'][self.bridge]['mirrors'] = []
            self.database._collect()

        for problem, break_ in (
            ('blind', blind),
            ('expired', expired),
            ('no-output', lambda mirror: mirror.update(output_port=[])),
            (
                'orphan',
                lambda mirror: self.cloud.ports[0].update(device_id='other'),
            ),
            ('blind', lost),
        ):
            made = self.create('--name', 'watch')
            (mirror,) = self.database.tables['Mirror'].values()
            break_(mirror)
            err = self.capture('watch', status=3)
            self.assertIn(
                f'The mirror "watch" does not work: {problem}. Create it '
                'again, or capture the port itself.',
                err,
            )
            self.run_command('delete', made['id'])
        self.assertNotIn('tcpdump', self.calls.read_text())
        self.assertFalse(self.file.exists())

    def test_a_mirror_whose_output_is_another(self):
        """It copies to a VLAN now, and to no device."""
        self.create('--name', 'watch')
        (mirror,) = self.database.tables['Mirror'].values()
        mirror.update(output_port=[], output_vlan=[9])
        err = self.capture('watch', status=3)
        self.assertIn('The mirror "watch" has no device on its host', err)

    def test_a_port_that_was_made_anew(self):
        def renew(operations):
            # The device has lost copies, and the port is another one.
            for row in self.database.tables['Interface'].values():
                row['statistics']['tx_dropped'] = 9
            tables = self.database.tables
            if tables['Mirror'] and self.tap in tables['Port']:
                calls = self.calls.read_text()
                if 'tcpdump -i' in calls:
                    self.database.unplug(self.tap)

        self.database.before = renew
        err = self.capture('one')
        self.assertIn('The port was made anew', err)
        self.assertIn('Open vSwitch dropped 9 copies', err)
        self.assert_none()

    def test_the_mirror_cannot_be_removed(self):
        self.refuse_removal()
        self.useFixture(
            fixtures.MonkeyPatch(
                'osc_lab.commands.capture_source._ATTEMPTS', 1
            )
        )
        err = self.capture('one', status=5)
        self.assertIn('may be left on host1', err)
        self.assertIn('the host removes it by itself', err)

    def test_neither_mirror_of_both_ends_can_be_removed(self):
        self.refuse_removal()
        self.database = self.databases['host2']
        self.refuse_removal()
        self.useFixture(
            fixtures.MonkeyPatch(
                'osc_lab.commands.capture_source._ATTEMPTS', 1
            )
        )
        err = self.capture('one', '--both-ends', 'two', status=5)
        for host in ('host1', 'host2'):
            self.assertIn(f'may be left on {host}', err)

    def test_topology_of_a_subport(self):
        """Its trunk is there, and those of other servers are not."""
        for number, ids in enumerate((mirrors.OTHER, 'stranger')):
            trunk = self.database.bridge(f'tbr-{number}')
            names = (f'spt-{number}', f'spi-{number}')
            for bridge, (end, peer), values in (
                (self.bridge, names[::-1], {'iface-id': ids}),
                (trunk, names, {}),
            ):
                self.database.plug(
                    bridge,
                    end,
                    type='patch',
                    options={'peer': peer},
                    external_ids=values,
                )
            parent = {'iface-id': f'parent-{number}'}
            self.database.plug(trunk, f'tap-{number}', external_ids=parent)
        self.cloud.ports[1]['binding:host_id'] = 'host1'
        status, out, err = self.shell.run('port', 'topology', 'show', 'two')
        self.assertEqual(0, status, err)
        for name in ('tap-0 ', 'tbr-0 ', 'spt-0 = spi-0', 'br-int '):
            self.assertIn(name, out)
        self.assertNotIn('-1', out.replace(mirrors.OTHER, ''))

    def test_topology_of_very_many(self):
        """What leads somewhere is there, and the rest is counted."""
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.access.topology._MOST', 12)
        )
        add = self.database
        for number in range(20):
            add.plug(
                self.bridge,
                f'tpi-{number}',
                type='patch',
                options={'peer': f'tpt-{number}'},
                external_ids={'iface-id': f'other-{number}'},
            )
            trunk = add.bridge(f'tbr-{number}')
            add.plug(
                trunk,
                f'tpt-{number}',
                type='patch',
                options={'peer': f'tpi-{number}'},
            )
        for name in ('tun', 'ex'):
            other = add.bridge(f'br-{name}')
            for number in range(20 if name == 'tun' else 0):
                add.plug(other, f'vxlan-{number}', type='vxlan')
            ends = (f'int-{name}', f'phy-{name}')
            for bridge, end, peer in (
                (self.bridge, *ends),
                (other, *reversed(ends)),
            ):
                add.plug(bridge, end, type='patch', options={'peer': peer})
        add.plug(other, 'eth1')
        self.create()
        status, out, err = self.shell.run('port', 'topology', 'show', 'one')
        self.assertEqual(0, status, err)
        self.assertNotIn('nowhere', out)
        for name in ('int-tun = phy-tun', 'int-ex = phy-ex', 'eth1'):
            self.assertIn(name, out)
        listed = out.count('vxlan-')
        self.assertIn(f'and {20 - listed} more of type vxlan', out)

    def test_topology(self):
        patch = self.database.plug(
            self.bridge, 'patch-tun', type='patch', options={'peer': 'p'}
        )
        self.assertTrue(patch)
        tunnel = self.database.bridge('br-tun')
        self.database.plug(
            tunnel, 'p', type='patch', options={'peer': 'patch-tun'}
        )
        self.database.plug(
            tunnel, 'vxlan-1', type='vxlan', options={'remote_ip': '10.0.0.2'}
        )
        self.create()
        status, out, err = self.shell.run('port', 'topology', 'show', 'one')
        self.assertEqual(0, status, err)
        self.assertIn('br-int (bridge', out)
        self.assertIn('br-tun (bridge', out)
        status, out, err = self.shell.run(
            'port', 'topology', 'show', 'one', '--graph-format', 'dot'
        )
        self.assertEqual(0, status, err)
        self.assertTrue(out.startswith('graph port {'), out)
