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

"""Ports that are not plugged straight into the integration bridge.

Their devices are made by hand, as os-vif and the trunk driver of Neutron
make them; Neutron's agent on the host takes them for what they look like.
"""

import re
import subprocess
import uuid

from osc_lab.tests.functional import pair

#: Frames of a type that nobody else sends: device, source, VLAN tag.
SEND = """
import socket
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("{device}", 0))
frame = "ff" * 6 + "{mac}" + "{tag}" + "88b5"
link.send(bytes.fromhex(frame.replace(":", "")) + bytes(50))
"""

HYBRID = """
ip link add qbr{0} type bridge
ip link add qvo{0} type veth peer name qvb{0}
for device in qbr{0} qvo{0} qvb{0}
do
    echo 1 >/proc/sys/net/ipv6/conf/$device/disable_ipv6
    ip link set $device up
done
ip link set qvb{0} master qbr{0}
ovs-vsctl add-port br-int qvo{0} -- set Interface qvo{0} {ids}
"""

#: Names of interfaces have 15 characters.
TRUNK = """
ovs-vsctl add-br {1} -- set Bridge {1} datapath_type=netdev \\
    -- add-port {1} tap{0} -- set Interface tap{0} type=internal {ids} \\
    -- add-port {1} tpt-{0} -- set Interface tpt-{0} type=patch \\
    options:peer=tpi-{0} -- add-port br-int tpi-{0} \\
    -- set Interface tpi-{0} type=patch options:peer=tpt-{0} {ids}
ip link set tap{0} up
"""

SUBPORT = """
ovs-vsctl add-port {1} spt-{0} tag=101 -- set Interface spt-{0} \\
    type=patch options:peer=spi-{0} -- add-port br-int spi-{0} \\
    -- set Interface spi-{0} type=patch options:peer=spt-{0} {ids}
"""


class TestPlugs(pair.PairTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.assert_same, self.snapshot())
        self.made = []

    def delete_ours(self):
        ids = [item['id'] for item in self.made]
        self.openstack(
            *(*pair.MIRROR, 'delete', *ids, '--host', 'hosta'),
            cloud=self.ADMIN,
        )

    def script(self, text, *arguments, **names):
        self.on('hosta', 'sh', '-ec', f"'{text.format(*arguments, **names)}'")

    def port(self, name, network='lab-net'):
        self.later('port', 'delete', name, cloud=self.ADMIN)
        port = self.json(
            *('port', 'create', '--network', network, '--host', 'hosta'),
            *('--device-owner', 'compute:nova', '--device', str(uuid.uuid4())),
            *('--no-security-group', '--disable-port-security', name),
            cloud=self.ADMIN,
        )
        return port['id'], port['mac_address']

    def plug(self, text, port, mac, *arguments):
        """Make what is plugged in for a port."""
        ids = {
            'iface-id': port,
            'attached-mac': mac,
            'iface-status': 'active',
        }
        self.script(
            text,
            port[:11],
            *arguments,
            ids=' '.join(f'external_ids:{k}="{v}"' for k, v in ids.items()),
        )

    def unplug(self, device):
        self.on('hosta', 'ovs-vsctl', '--if-exists', 'del-port', device)

    def wired(self, port):
        """Wait until the agent has given a port of br-int its VLAN."""

        def known():
            tag = self.on('hosta', 'ovs-vsctl', 'get', 'Port', port, 'tag')
            return tag.strip() not in ('[]', '4095')

        pair.wait_until(f'the VLAN of {port}', known)

    def hybrid(self):
        """Return a port, its device behind the bridge, and the address."""
        port, mac = self.port(self.unique('hybrid'))
        tail = port[:11]
        for kind in ('qbr', 'qvo'):
            self.addCleanup(
                self.on,
                'hosta',
                *('ip', 'link', 'delete', f'{kind}{tail}'),
                status=None,
            )
        self.addCleanup(self.unplug, f'qvo{tail}')
        self.plug(HYBRID, port, mac)
        self.wired(f'qvo{tail}')
        return port, (f'qvb{tail}', mac)

    def trunk(self):
        """Return the parent, its device and address, and the subport."""
        name = self.unique('trunk')
        self.trunk_bridge = f'tbr-{name[-8:]}'
        port, mac = self.port(name)
        # In the same network its frames would come back to the parent.
        self.later('network', 'delete', name, cloud=self.ADMIN)
        self.openstack('network', 'create', name, cloud=self.ADMIN)
        sub, sub_mac = self.port(f'sub-{name}', name)
        self.addCleanup(
            self.on,
            'hosta',
            *('ovs-vsctl', '--if-exists', 'del-br', self.trunk_bridge),
        )
        for patch, found, address, text in (
            ('tpi', port, mac, TRUNK),
            ('spi', sub, sub_mac, SUBPORT),
        ):
            device = f'{patch}-{found[:11]}'
            self.addCleanup(self.unplug, device)
            self.plug(text, found, address, self.trunk_bridge)
            self.wired(device)
        return port, (f'tap{port[:11]}', mac), sub

    def send(self, device, mac, tag=''):
        code = SEND.format(device=device, mac=mac, tag=tag)
        self.on('hosta', 'python3', '-c', f"'{code}'")

    def seen(self, device, *senders):
        """Return whose frames come to a device while all of these send."""
        watch = subprocess.Popen(
            self.ssh(
                'hosta',
                *('timeout', '60', 'tcpdump', '-l', '-enn', '-c', '4'),
                *('-i', device, "'ether proto 0x88b5 or vlan 101'"),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

        def ended():
            for sender in senders:
                self.send(*sender)
            return watch.poll() is not None

        pair.wait_until(f'frames at {device}', ended)
        text = watch.communicate()[0]
        found = re.findall(r'^\S+ (\S+) > ff', text, re.MULTILINE)
        self.assertEqual(4, len(found), text)
        return set(found)

    def mirrored(self, port, direction):
        made = self.mirror(
            *('create', port, '--direction', direction, '--timeout', '0')
        )
        self.made.append(made)
        return made

    def assert_directions(self, port, bridge, own, other):
        for direction, expected in (('out', own), ('in', other)):
            made = self.mirrored(port, direction)
            self.assertEqual(bridge, made['bridge'])
            self.assertEqual(
                {expected[1]}, self.seen(made['device'], own, other)
            )

    def topology(self, port):
        text = self.openstack(
            *('port', 'topology', 'show', port), cloud=self.ADMIN
        ).stdout
        return [line.lstrip(' |`-') for line in text.splitlines()]

    def test_hybrid_and_trunk(self):
        hybrid, one = self.hybrid()
        parent, two, sub = self.trunk()
        # Before their ports go, or nobody ends their guards.
        self.addCleanup(self.delete_ours)
        self.assert_directions(hybrid, 'br-int', one, two)
        self.assert_directions(parent, self.trunk_bridge, two, one)
        # What its subports send is copied as well, with their VLAN.
        tagged = (*two, '81000065')
        self.assertEqual({two[1]}, self.seen(self.made[2]['device'], tagged))
        run = self.openstack(
            *(*pair.MIRROR, 'create', sub), cloud=self.ADMIN, status=3
        )
        self.assertIn('is inside a trunk', run.stderr)
        self.assert_ways(hybrid, parent, sub)

    def assert_ways(self, hybrid, parent, sub):
        """See the devices in the order in which packets pass them."""
        devices = [line.split()[0] for line in self.topology(hybrid)[1:6]]
        tail = hybrid[:11]
        self.assertEqual(
            [f'tap{tail}', f'qbr{tail}', f'qvb{tail}'], devices[:3]
        )
        self.assertEqual([f'qvo{hybrid[:11]}', 'br-int'], devices[3:])
        lines = self.topology(parent)
        self.assertIn(f'tap{parent[:11]}', lines[1])
        patch = [line for line in lines if line.startswith('tpt-')]
        self.assertEqual(1, len(patch), lines)
        self.assertIn('br-int', lines[lines.index(patch[0]) + 1])
        lines = self.topology(sub)
        self.assertIn(f'tap{parent[:11]}', lines[1])
        self.assertIn('[VLAN 101]', lines[3])
        self.assertIn('br-int', lines[4])
