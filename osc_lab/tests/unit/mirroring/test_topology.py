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

import dataclasses
import re

import testtools

from osc_lab import exceptions
from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import topology
from osc_lab.tests.unit.mirroring import samples

ID = '11111111-2222-3333-4444-555555555555'
INT = model.Bridge('b-int', 'br-int', 'netdev', 'secure', ('m1', 'm2'))
TUN = model.Bridge('b-tun', 'br-tun')


def plug(name, bridge, kind='patch', tag=None, port='', **options):
    ids = {'iface-id': port} if port else {}
    return topology.Plug(
        model.Interface(
            f'i-{name}', name, kind, 1, external_ids=ids, options=options
        ),
        model.Port(f'p-{name}', name, tag, interfaces=(f'i-{name}',)),
        bridge,
    )


def facts(device='tap1', tunnels=1):
    found = model.Attachment(
        model.Interface('i1', device, '', 5, mtu=1450, link_state='up'),
        model.Port('p1', device, 7, interfaces=('i1',)),
        INT,
    )
    plugs = [
        plug('patch-tun', INT, peer='patch-int'),
        plug('patch-int', TUN, peer='patch-tun'),
        plug('int-br-x', INT, peer='gone'),
    ]
    plugs += [
        plug(f'vxlan-{i}', TUN, 'vxlan', remote_ip=f'192.0.2.{i}')
        for i in range(1, tunnels + 1)
    ]
    mirrors = (
        model.Mirror('m1', 'mine', 'br-int', 'b-int', select_dst=('p1',)),
        model.Mirror('m2', 'other', 'br-int', 'b-int', select_src=('p9',)),
    )
    return topology.Facts((found,), tuple(plugs), mirrors)


def draw(name='web', **kwargs):
    port = model.NeutronPort(ID, name, server_name='srv')
    return topology.graph(port, 'host1', facts(**kwargs))


class TestTrunk(testtools.TestCase):
    """A trunk with one subport, beside the trunk of another server."""

    def draw(self, *names, without=()):
        """Return the way of the port whose interfaces have these names."""
        tbr, other = model.Bridge('b-t', 'tbr-1'), model.Bridge('b-o', 'tbr-2')
        plugs = {
            item.interface.name: item
            for item in (
                plug('tap1', tbr, 'system', port='parent'),
                plug('spt', tbr, tag=101, peer='spi'),
                plug('tpt', tbr, peer='tpi'),
                plug('spi', INT, tag=8, port='sub', peer='spt'),
                plug('tpi', INT, tag=7, port='parent', peer='tpt'),
                plug('tpi2', INT, tag=9, port='stranger', peer='tpt2'),
                plug('tpt2', other, peer='tpi2'),
            )
        }
        found = [plugs[name] for name in names]
        port = found[0].interface.external_ids['iface-id']
        return topology.graph(
            model.NeutronPort(port, port),
            'host1',
            topology.Facts(
                tuple(
                    model.Attachment(f.interface, f.port, f.bridge)
                    for f in found
                ),
                tuple(
                    item for name, item in plugs.items() if name not in without
                ),
                (),
            ),
        )

    def test_parent(self):
        self.assertEqual(
            """\
parent (port, parent, host host1)
`- tap1 (system, ofport 1)
   `- tbr-1 (bridge)
      |- tpt = tpi (patch)
      |  `- br-int (bridge, netdev, secure) [VLAN 7]
      `- spt = spi (patch) [VLAN 101]
         `- br-int (bridge, netdev, secure) [VLAN 8] (see above)
""",
            topology.text(self.draw('tap1', 'tpi')),
        )

    def test_subport(self):
        graph = self.draw('spi')
        self.assertEqual(
            ['port', 'interface', 'bridge'],
            [node.kind for node in graph.nodes[:3]],
        )
        self.assertEqual(
            """\
sub (port, sub, host host1)
`- tap1 (system, ofport 1)
   `- tbr-1 (bridge)
      |- spt = spi (patch) [VLAN 101]
      |  `- br-int (bridge, netdev, secure) [VLAN 8]
      `- tpt = tpi (patch)
         `- br-int (bridge, netdev, secure) [VLAN 7] (see above)
""",
            topology.text(graph),
        )

    def test_what_ends_early(self):
        """Nothing is behind a patch, or no device on the bridge of it."""
        self.assertEqual(
            """\
sub (port, sub, host host1)
`- br-int (bridge, netdev, secure) [VLAN 8]
""",
            topology.text(
                self.draw('spi', without=('tap1', 'spt', 'tpi', 'tpi2'))
            ),
        )
        self.assertEqual(
            """\
sub (port, sub, host host1)
`- tbr-1 (bridge)
   |- spt = spi (patch) [VLAN 101]
   |  `- br-int (bridge, netdev, secure) [VLAN 8]
   `- tpt (patch to nowhere)
""",
            topology.text(self.draw('spi', without=('tap1', 'tpi', 'tpi2'))),
        )


class TestTopology(testtools.TestCase):
    def test_text(self):
        self.assertEqual(
            f"""\
web (port, {ID}, server srv, host host1)
`- tap1 (system, ofport 5, MTU 1450, link up)
   `- br-int (bridge, netdev, secure) [VLAN 7]
      |- mirror mine (in, unknown) to nowhere
      |- patch-tun = patch-int (patch)
      |  `- br-tun (bridge)
      |     `- vxlan-1 (vxlan, to 192.0.2.1, ofport 1)
      `- int-br-x (patch to nowhere)
""",
            topology.text(draw()),
        )

    def test_labels(self):
        """Mirrors, a port of ours, and what is wrong with an interface."""
        bridge = model.Bridge('b', 'br', fail_mode='secure')
        where = {'bridge': 'br', 'bridge_uuid': 'b'}
        taken = marks.encode(samples.marked())
        broken = dataclasses.replace(
            plug('eth1', bridge, 'system').interface,
            ofport=None,
            link_state='down',
            error='no such device',
        )
        output = plug('tpm0123456789', bridge, 'internal')
        facts = topology.Facts(
            (
                model.Attachment(
                    model.Interface('i1', 'tap1', ofport=5),
                    model.Port('p1', 'tap1'),
                    bridge,
                ),
            ),
            (
                topology.Plug(broken, model.Port('p', 'eth1', 9), bridge),
                dataclasses.replace(
                    output,
                    port=dataclasses.replace(output.port, external_ids=taken),
                ),
                plug('tap1', model.Bridge('b-other', 'other'), 'internal'),
            ),
            (
                model.Mirror('m4', 'others', **where, select_src=('p9',)),
                model.Mirror('m5', 'far', bridge_uuid='x', select_all=True),
                model.Mirror('m1', 'sent', **where, select_src=('p1',)),
                model.Mirror(
                    *('m2', 'all'),
                    **where,
                    select_all=True,
                    output_vlan=0,
                ),
                model.Mirror(
                    *('m3', 'ours'),
                    **where,
                    select_src=('p1', 'p9'),
                    select_dst=('p1',),
                    output_port='p-tpm0123456789',
                    output_name='tpm0123456789',
                    output_vlan=7,
                    external_ids=taken,
                ),
            ),
        )
        port = model.NeutronPort('p', mac='fa:16', moving_to='host2')
        self.assertEqual(
            """\
fa:16 (port, p, host host1, moving to host2)
`- tap1 (system, ofport 5)
   `- br (bridge, secure)
      |- mirror sent (out, unknown) to nowhere
      |- mirror all (both, unknown) to VLAN 0
      |- mirror ours (both, osc-lab) to tpm0123456789
      `- eth1 (system, link down, no such device) [VLAN 9]
""",
            topology.text(topology.graph(port, 'host1', facts)),
        )

    def test_many_are_counted(self):
        """Those that were not looked at, too."""
        more = {
            ('b-tun', 'vxlan'): 5,
            ('b-tun', 'gre'): 2,
            ('b-int', ''): 1,
            ('elsewhere', 'stt'): 9,
        }
        seen = facts(tunnels=20)
        graph = topology.graph(
            model.NeutronPort(ID),
            'host1',
            dataclasses.replace(seen, more=more),
        )
        self.assertEqual(8, topology.text(graph).count('vxlan-'))
        above = {child: parent for parent, child, _label in graph.edges}
        self.assertEqual(
            [
                ('b-tun', 'b-tun/gre', 'and 2 more of type gre'),
                ('b-tun', 'b-tun/vxlan', 'and 17 more of type vxlan'),
                ('b-int', 'b-int/', 'and 1 more of type system'),
            ],
            [
                (above[node.id], node.id, node.label)
                for node in graph.nodes
                if node.label.startswith('and ') and node.kind == 'interface'
            ],
        )

    def test_hybrid_plug_has_a_linux_bridge(self):
        text = topology.text(draw(device='qvo11111111-22'))
        for name in ('tap', 'qbr', 'qvb', 'qvo'):
            self.assertIn(f'- {name}11111111-22 (', text)

    def test_names_do_not_move_a_terminal_or_leave_a_label(self):
        name = 'a\x1b[2J"; x -- y; "\n'
        graph = draw(name=name)
        self.assertNotIn('\x1b', topology.text(graph))
        dot = topology.dot(graph)
        self.assertNotIn('\x1b', dot)
        self.assertIn('\\"; x -- y; \\"\\\\n', dot)

    def test_dot(self):
        graph = draw(device='qvo1', tunnels=2)
        self.assertEqual(
            [
                (ID, 'port'),
                ('tap1', 'linux'),
                ('qbr1', 'linux'),
                ('qvb1', 'linux'),
                ('i1', 'interface'),
                ('b-int', 'bridge'),
                ('m1', 'mirror'),
                ('p-patch-tun', 'interface'),
                ('b-tun', 'bridge'),
                ('i-vxlan-1', 'tunnel'),
                ('i-vxlan-2', 'tunnel'),
                ('p-int-br-x', 'interface'),
            ],
            [(node.id, node.kind) for node in graph.nodes],
        )
        self.assertEqual(
            r"""graph port {
  node [fontname="sans", margin="0.2,0.1"];
  edge [fontname="sans"];
  n0 [shape=oval, label="web (port,\nID,\nserver srv, host host1)"];
  n1 [shape=box3d, label="tap1 (device)"];
  n2 [shape=box3d, label="qbr1 (Linux bridge)"];
  n3 [shape=box3d, label="qvb1 (veth)"];
  n4 [shape=box, label="qvo1 (system, ofport 5, MTU\n1450, link up)"];
  n5 [shape=box3d, label="br-int (bridge, netdev,\nsecure)"];
  n6 [shape=note, label="mirror mine (in, unknown) to\nnowhere"];
  n7 [shape=box, label="patch-tun = patch-int (patch)"];
  n8 [shape=box3d, label="br-tun (bridge)"];
  n9 [shape=cylinder, label="vxlan-1 (vxlan, to 192.0.2.1,\nofport 1)"];
  n10 [shape=cylinder, label="vxlan-2 (vxlan, to 192.0.2.2,\nofport 1)"];
  n11 [shape=box, label="int-br-x (patch to nowhere)"];
  n0 -- n1;
  n1 -- n2;
  n2 -- n3;
  n3 -- n4;
  n4 -- n5 [label="VLAN 7"];
  n5 -- n6;
  n5 -- n7;
  n7 -- n8;
  n8 -- n9;
  n8 -- n10;
  n5 -- n11;
}
""",
            topology.dot(graph).replace(ID, 'ID'),
        )

    def test_kinds(self):
        """Of what is drawn; those of other bridges are in the test above."""
        bridge = model.Bridge('b-int', 'br-int')
        plugs = [
            plug('eth0', bridge, 'system'),
            plug('geneve0', bridge, 'geneve'),
            plug('gre0', bridge, 'gre', remote_ip='192.0.2.1'),
            plug('stt0', bridge, 'stt', local_ip='192.0.2.2'),
        ]
        found = facts().attachments
        graph = topology.graph(
            model.NeutronPort(ID), 'host1', topology.Facts(found, plugs, ())
        )
        self.assertEqual(
            {
                'eth0 (system, ofport 1)': 'interface',
                'geneve0 (geneve, to ?, ofport 1)': 'tunnel',
                'gre0 (gre, to 192.0.2.1, ofport 1)': 'tunnel',
                'stt0 (stt, to ?, ofport 1)': 'tunnel',
            },
            {node.label: node.kind for node in graph.nodes[3:]},
        )

    def test_dot_breaks_long_labels(self):
        name = f'{"n" * 25}-{"n" * 25}'
        labels = re.findall('label="(.*)"', topology.dot(draw(name=name)))
        lines = [line for label in labels for line in label.split(r'\n')]
        self.assertIn(name, lines)
        # A name or an ID is not broken; all else is.
        wide = [line for line in lines if len(line) > 36 and ' ' in line]
        self.assertEqual([], wide)
        self.assertGreater(len(lines), len(labels))

    def test_a_long_chain_of_bridges(self):
        """Beside a short one, which makes it no shorter."""

        def chain(name, length):
            bridges = [INT]
            bridges += [
                model.Bridge(f'{name}{n}', f'{name}{n}')
                for n in range(1, length)
            ]
            for n, bridge in enumerate(bridges):
                yield plug(f'{name}r{n}', bridge, peer=f'{name}l{n + 1}')
                if n:
                    yield plug(f'{name}l{n}', bridge, peer=f'{name}r{n - 1}')

        plugs = (
            *chain('short', 5),
            *chain('long', 2000),
            *chain('other', 100),
        )
        seen = dataclasses.replace(facts(), plugs=plugs)
        graph = topology.graph(samples.neutron(), 'cmp1', seen)
        for text in (topology.text(graph), topology.dot(graph)):
            self.assertIn('short4 (bridge)', text)
            self.assertIn('long64 (bridge)', text)
            self.assertNotIn('long65', text.replace('longl65', ''))
        self.assertEqual(
            [
                (f'p-{name}r64/more', 'bridge', 'and what is behind it')
                for name in ('long', 'other')
            ],
            [
                (node.id, node.kind, node.label)
                for node in graph.nodes
                if 'behind' in node.label
            ],
        )
        for name in ('long', 'other'):
            self.assertIn(
                (f'p-{name}r64', f'p-{name}r64/more', ''), graph.edges
            )

    def test_port_that_is_not_there(self):
        for name, shown in (('web', 'web'), ('', ID)):
            error = self.assertRaises(
                exceptions.NotFound,
                topology.graph,
                model.NeutronPort(ID, name),
                'host1',
                topology.Facts((), (), ()),
            )
            self.assertIn(f'host1 has the port {shown}', str(error))
            self.assertIn('openstack port show', str(error))

    def test_subport_that_is_not_there(self):
        error = self.assertRaises(
            exceptions.NotFound,
            topology.graph,
            model.NeutronPort(ID, 'web', subport=True),
            'host1',
            topology.Facts((), (), ()),
        )
        self.assertIn('show its parent', str(error))
