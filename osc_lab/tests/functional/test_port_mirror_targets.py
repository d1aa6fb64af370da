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
"""Where copies go with real packets, and what others leave behind."""

import ipaddress
import json
import os
import pty
import struct
import subprocess
import sys


from osc_lab.tests.functional import base
from osc_lab.tests.functional import pair

GRE, ERSPAN = b'\x65\x58', b'\x88\xbe'


class TestTargets(pair.PairTest):
    def setUp(self):
        super().setUp()
        self.before = self.snapshot()
        self.addCleanup(self.assert_same, self.before)
        self.addCleanup(self.delete_mirrors, 'hosta')
        one, two = (
            ipaddress.ip_address(item).packed
            for item in self.addresses.values()
        )
        #: What a ping of the server on hosta holds.
        self.ping = one + two

    def create(self, target, *argv):
        return self.mirror(
            *('create', self.names['hosta'], '--to', target),
            *('--direction', 'out', '--timeout', '0', *argv),
        )

    def delete(self, made):
        self.openstack(
            *(*pair.MIRROR, 'delete', made['id'], '--host', 'hosta'),
            cloud=self.ADMIN,
        )

    def captured(self, host, device, expression):
        """Return the bytes of four packets at a device."""
        done = subprocess.run(
            self.ssh(
                host,
                *('timeout', '60', 'tcpdump', '-i', device, '-c', '4'),
                *('-U', '-w', '-', f"'{expression}'"),
            ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=pair.PATIENCE,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def underlay(self, host):
        text = self.on(host, 'ip', '-j', 'addr', 'show', 'dev', 'br-phy')
        (address,) = (
            item['local']
            for item in json.loads(text)[0]['addr_info']
            if item['family'] == 'inet'
        )
        return address

    def test_tunnels_reach_the_far_end(self):
        far = self.underlay('hostb')
        # The overlay has a tunnel to its first address.
        run = self.openstack(
            *(*pair.MIRROR, 'create', self.names['hosta']),
            *('--to', f'vxlan:{far}:4711', '--timeout', '0'),
            cloud=self.ADMIN,
            status=3,
        )
        self.assertIn('is one of the overlay', run.stderr)
        second = str(ipaddress.ip_address(far) + 100)
        words = (f'{second}/24', 'dev', 'br-phy')
        self.on('hostb', 'ip', 'addr', 'add', *words)
        self.addCleanup(self.on, 'hostb', 'ip', 'addr', 'del', *words)
        for target, expression, header in (
            (
                f'gre:{far}:7',
                'proto gre',
                b'\x20\x00' + GRE + struct.pack('>I', 7),
            ),
            # The index is decimal, and the last word of the header.
            (f'erspan:{far}:102', 'proto gre', struct.pack('>I', 102)),
            (
                f'vxlan:{second}:4711',
                f'udp dst port 4789 and dst host {second}',
                b'\x08\x00\x00\x00' + struct.pack('>I', 4711 << 8),
            ),
        ):
            made = self.create(target)
            data = self.captured('hostb', 'eth1', expression)
            if target.startswith('erspan'):
                self.assertIn(ERSPAN, data)
            inner = data.find(self.ping)
            self.assertGreater(inner, 0, target)
            # Ethernet, and the first 12 bytes of IP, are in between.
            self.assertEqual(
                header, data[inner - 26 - len(header) : inner - 26], target
            )
            self.delete(made)

    def device(self, name, *columns):
        """Add a device to br-int that nobody else uses."""
        self.addCleanup(
            self.on, 'hosta', 'ovs-vsctl', '--if-exists', 'del-port', name
        )
        self.on(
            'hosta',
            *('ovs-vsctl', 'add-port', 'br-int', name, *columns),
            *('--', 'set', 'Interface', name, 'type=internal'),
        )
        # What the host says by itself would be traffic.
        quiet = f'echo 1 >/proc/sys/net/ipv6/conf/{name}/disable_ipv6'
        self.on(
            'hosta',
            *('sh', '-c', f"'{quiet} && ip link set dev {name} up'"),
        )

    def test_ports_and_vlans_reach_the_far_end(self):
        self.device('far0', 'tag=3998')
        # A trunk, as the port towards another switch is.
        self.device('far1', 'trunks=3999')
        ipv4 = b'\x08\x00'
        for target, device, expression, header in (
            ('port:far0', 'far0', 'icmp', ipv4),
            (
                *('vlan:3999', 'far1', 'vlan 3999 and icmp'),
                b'\x81\x00' + struct.pack('>H', 3999) + ipv4,
            ),
        ):
            made = self.create(target)
            data = self.captured('hosta', device, expression)
            inner = data.find(self.ping)
            self.assertGreater(inner, 0, target)
            # The first 12 bytes of IP are in between.
            self.assertEqual(
                header, data[inner - 12 - len(header) : inner - 12], target
            )
            self.delete(made)

    def test_filter_needs_a_newer_switch(self):
        run = self.openstack(
            *(*pair.MIRROR, 'create', self.names['hosta']),
            *('--filter', 'icmp', '--timeout', '0'),
            cloud=self.ADMIN,
            status=None,
        )
        columns = self.on('hosta', 'ovsdb-client', 'list-columns', *self.db())
        if '\nfilter' in columns:
            self.assertEqual(0, run.status, str(run))
        else:
            self.assertEqual(1, run.status, str(run))
            self.assertIn('too old', run.stderr)
            self.assert_same(self.before)

    def db(self):
        socket = 'unix:/run/openvswitch/db.sock'
        return (socket, 'Open_vSwitch', 'Mirror')


class TestLeftOvers(pair.PairTest):
    """What ovs-tcpdump and the recipe leave behind."""

    #: A dummy device, its port, and a mirror that sends to it.
    MADE = """
ip link add {device} type dummy
ovs-vsctl -- --id=@o create Port name={device} interfaces=@i \
    -- --id=@i create Interface name={device} \
    -- --id=@m create Mirror name={name} select_all=true output_port=@o \
    -- add Bridge br-ex ports @o -- add Bridge br-ex mirrors @m
"""

    def setUp(self):
        super().setUp()
        self.before = self.snapshot()
        self.addCleanup(self.assert_same, self.before)
        for name, device in (
            ('m_tapx', 'mitapx'),
            ('mirror0', 'br-ex-tcpdump'),
        ):
            script = self.MADE.format(name=name, device=device)
            self.on('hosta', 'sh', '-c', f"'{script}'")
            self.addCleanup(
                self.on, 'hosta', 'ip', 'link', 'delete', device, status=None
            )
            self.addCleanup(
                self.on,
                'hosta',
                *('ovs-vsctl', '--if-exists', 'del-port', device),
            )
        self.made = self.rows('hosta')

    def answered(self, answer):
        """Run prune on a terminal; return status and what it showed."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        process = subprocess.Popen(
            [
                *(sys.executable, '-m', 'openstackclient.shell'),
                *('--os-cloud', self.ADMIN, *pair.MIRROR, 'prune'),
                *('--foreign', '--host', 'hosta', '-f', 'json'),
            ],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        os.write(ours, answer)
        out, errors = process.communicate(timeout=pair.PATIENCE)
        return process.returncode, out.decode(), errors.decode()

    def test_only_after_showing_them(self):
        shown = self.mirror(
            'prune', '--foreign', '--dry-run', '--host', 'hosta'
        )
        self.assertEqual(
            {('m_tapx', 'ovs-tcpdump', False), ('mirror0', 'recipe', False)},
            {(i['Name'], i['Owner'], i['Removed']) for i in shown},
        )
        self.assertEqual([], self.mirror('prune', '--host', 'hosta'))
        run = self.openstack(
            *(*pair.MIRROR, 'prune', '--foreign', '--host', 'hosta'),
            cloud=self.ADMIN,
            status=2,
        )
        self.assertIn('nobody is there to confirm', run.stderr)
        self.assertIn('Not ours: m_tapx on hosta', run.stderr)
        status, _out, errors = self.answered(b'n\n')
        self.assertEqual(130, status, errors)
        self.assertIn('Nothing was removed', errors)
        self.assertEqual(self.made, self.rows('hosta'))
        status, out, errors = self.answered(b'y\n')
        self.assertEqual(0, status, errors)
        self.assertEqual(
            [True, True], [item['Removed'] for item in json.loads(out)]
        )
        links = self.on('hosta', 'ip', 'link')
        for device in ('mitapx', 'br-ex-tcpdump'):
            self.assertNotIn(device, links)


class TestNames(base.CloudTest):
    def test_a_mirror_is_not_called_so(self):
        for name in ('line\nbreak', '\x1b[31m', '', 'é' * 256):
            run = self.openstack(
                *(*pair.MIRROR, 'create', f'--name={name}', 'x'),
                cloud=self.ADMIN,
                status=2,
            )
            self.assertIn('--name: ', run.stderr)
            self.assertNotIn('\x1b', run.stderr)
