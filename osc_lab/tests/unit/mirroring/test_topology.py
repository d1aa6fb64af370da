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

    def draw(self, *names):
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
        return topology.text(
            topology.graph(
                model.NeutronPort(port, port),
                'host1',
                topology.Facts(
                    tuple(
                        model.Attachment(f.interface, f.port, f.bridge)
                        for f in found
                    ),
                    tuple(plugs.values()),
                    (),
                ),
            )
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
            self.draw('tap1', 'tpi'),
        )

    def test_subport(self):
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
            self.draw('spi'),
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
                model.Mirror('m4', 'others', **where, select_src=('p9',)),
                model.Mirror('m5', 'far', bridge_uuid='x', select_all=True),
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

    def test_many_tunnels_are_counted(self):
        text = topology.text(draw(tunnels=20))
        self.assertEqual(8, text.count('vxlan-'))
        self.assertIn('and 12 more of type vxlan', text)

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

    def test_dot_connects_all(self):
        graph = draw()
        dot = topology.dot(graph)
        self.assertEqual(len(graph.nodes) - 1, dot.count(' -- '))
        self.assertIn('label="VLAN 7"', dot)

    def test_dot_breaks_long_labels(self):
        labels = re.findall('label="(.*)"', topology.dot(draw(name='n' * 50)))
        lines = [line for label in labels for line in label.split(r'\n')]
        self.assertIn('n' * 50, lines)
        # A name or an ID is not broken; all else is.
        wide = [line for line in lines if len(line) > 36 and ' ' in line]
        self.assertEqual([], wide)
        self.assertGreater(len(lines), len(labels))

    def test_port_that_is_not_there(self):
        self.assertRaises(
            exceptions.NotFound,
            topology.graph,
            model.NeutronPort(ID),
            'host1',
            topology.Facts((), (), ()),
        )
