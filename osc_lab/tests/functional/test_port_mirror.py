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

"""Port mirrors on a real cloud: two servers on two hosts that ping."""

import json
import os
import pathlib
import re
import subprocess
import time

import fixtures

from osc_lab.tests.functional import base

MIRROR = ('port', 'mirror')

#: Prints what a mirror of a port would change on a host.
STATE = """
ovsdb-client -f json dump unix:/run/openvswitch/db.sock Open_vSwitch Mirror
for table in Mirror Port Interface
do
    echo ---
    ovs-vsctl --bare --columns=_uuid find "$table" \\
        external_ids:osc-lab-port=PORT
done
"""

#: Seconds for what takes moments on a machine that has nothing else to do.
PATIENCE = 120


def command(*argv):
    """Run a command of the administrator, and insist that it works."""
    run = base.openstack(*argv, cloud=base.CloudTest.ADMIN)
    assert run.status == 0, str(run)
    return run.stdout


class TestPortMirror(base.CloudTest):
    """The guest takes its address from its MAC and pings the next one."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = os.environ.get('OS_CLIENT_CONFIG_FILE')
        if not path:
            return
        cls.ssh_config = pathlib.Path(path).parent / 'ssh' / 'config'
        number = os.getpid() % 32000
        cls.names = {}
        cls.ports = {}
        cls.addresses = {}
        for last, host in enumerate(('hosta', 'hostb')):
            name = f'mir-{os.getpid()}-{host}'
            octets = (number >> 8, number & 0xFF, 0x10 + last)
            cls.names[host] = name
            cls.addresses[host] = '10.' + '.'.join(map(str, octets))
            cls._port(host, ':'.join(f'{octet:02x}' for octet in octets))
            cls._server(host)

    @classmethod
    def _port(cls, host, suffix):
        name = cls.names[host]
        port = command(
            *('port', 'create', '--network', 'lab-net', '-f', 'json'),
            *('--mac-address', f'fa:16:3e:{suffix}'),
            *('--no-security-group', '--disable-port-security', name),
        )
        cls.ports[host] = json.loads(port)['id']
        cls.addClassCleanup(
            base.openstack, 'port', 'delete', cls.ports[host], cloud=cls.ADMIN
        )

    @classmethod
    def _server(cls, host):
        name = cls.names[host]
        cls.addClassCleanup(
            base.openstack,
            *('server', 'delete', '--wait', name),
            cloud=cls.ADMIN,
        )
        command(
            *('--os-compute-api-version', '2.90', 'server', 'create'),
            *('--wait', '--flavor', 'lab.tiny', '--image', 'guest'),
            *('--port', cls.ports[host], '--host', host, name),
        )

    def setUp(self):
        super().setUp()
        # Hosts of a lab share one machine, which may be busy.
        self.useFixture(
            fixtures.EnvironmentVariable('OS_LAB_HOST_TIMEOUT', '60')
        )
        self.port = self.ports['hosta']
        self.address = self.addresses['hosta']
        self.before = self.state()
        self.addCleanup(self.clean)

    def clean(self):
        """Remove what a failing test may have left."""
        if self.state() == self.before:
            return
        for item in self.mirrors('hosta'):
            if item['Server'] == self.names['hosta']:
                base.openstack(
                    *(*MIRROR, 'delete', item['ID'], '--host', 'hosta'),
                    cloud=self.ADMIN,
                )

    def host(self, *argv, status=0):
        """Run a command on the first host."""
        done = subprocess.run(
            ['ssh', '-F', str(self.ssh_config), 'hosta', '--', *argv],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
        )
        if status is not None:
            self.assertEqual(status, done.returncode, done.stderr)
        return done.stdout

    def state(self):
        """Return the rows of this port, and the mirrors that are not ours."""
        script = STATE.replace('PORT', self.port)
        dump, *rows = self.host('sh', '-c', f"'{script}'").split('---')
        mirrors = json.loads(dump)
        volatile = mirrors['headings'].index('statistics')
        ids = mirrors['headings'].index('external_ids')
        foreign = []
        for row in mirrors['data']:
            row[volatile] = None
            if ['osc-lab-owner', 'osc-lab'] not in row[ids][1]:
                foreign.append(row)
        return foreign, [row.split() for row in rows]

    def left(self, made):
        """Return what is left of a mirror on the host, as text."""
        found = self.host('ip', 'link')
        processes = self.host('ps', '-e', '-ww', '-o', 'args=')
        return [
            line
            for line in (found + processes).splitlines()
            if made['device'] in line or made['id'] in line
        ]

    def assert_gone(self, made):
        self.assertEqual(self.before, self.state())
        self.assertEqual([], self.left(made))

    def mirror(self, *argv, **kwargs):
        return self.json(*MIRROR, *argv, cloud=self.ADMIN, **kwargs)

    def mirrors(self, host, *argv):
        return self.mirror('list', '--long', '--host', host, *argv)

    def delete(self, mirror, *argv):
        self.openstack(
            *(*MIRROR, 'delete', mirror, '--host', 'hosta', *argv),
            cloud=self.ADMIN,
        )

    def addresses_seen(self, device):
        """Return the (source, destination) of ICMP at a device."""
        text = self.host(
            *('timeout', '100', 'tcpdump', '-i', device, '-nn', '-c', '6'),
            # A switch may flood what others send.
            *('icmp', 'and', 'host', self.address),
        )
        found = re.findall(r'IP ([\d.]+) > ([\d.]+): ICMP', text)
        self.assertEqual(6, len(found), text)
        return set(found)

    def wait_until(self, what, check):
        limit = time.monotonic() + PATIENCE
        while not check():
            if time.monotonic() > limit:
                self.fail(f'{what} took more than {PATIENCE} s')
            time.sleep(1)

    def wait_for_packets(self, mirror):
        self.wait_until(
            'the first packet',
            lambda: self.mirror('show', mirror, '--host', 'hosta')['packets'],
        )

    def test_from_create_to_delete(self):
        peer = self.addresses['hostb']
        for direction, expected, channel in (
            ('in', (peer, self.address), ()),
            ('out', (self.address, peer), ('--ovsdb', 'ssh')),
        ):
            made = self.mirror(
                *('create', self.names['hosta'], '--direction', direction),
                *channel,
            )
            self.assertEqual(
                (self.port, self.names['hosta'], 'hosta', direction),
                tuple(
                    made[key]
                    for key in ('port_id', 'server_name', 'host', 'direction')
                ),
            )
            self.assertEqual({expected}, self.addresses_seen(made['device']))
            self.wait_for_packets(made['id'])
            (row,) = [
                item
                for item in self.mirrors('hosta', *channel)
                if item['ID'] == made['id']
            ]
            self.assertEqual(('ok', ''), (row['Health'], row['Problems']))
            self.assertNotEqual([], self.left(made))
            self.delete(made['id'], *channel)
            self.assert_gone(made)

    def test_second_create_finds_the_first(self):
        made = self.mirror('create', self.port, '--wait', '0')
        again = self.mirror(
            *('create', '--server', self.names['hosta'], '--wait', '0')
        )
        self.assertEqual(made['id'], again['id'])
        self.delete(made['id'])
        self.assert_gone(made)

    def test_dry_run_changes_nothing(self):
        shown = self.mirror('create', self.port, '--dry-run', '--wait', '0')
        self.assertEqual('br-int', shown['bridge'])
        self.assertIn('ovs-vsctl', shown['commands'])
        operations = [item['op'] for item in json.loads(shown['transaction'])]
        self.assertEqual(3, operations.count('insert'))
        self.assertEqual(self.before, self.state())

    def test_ends_by_itself(self):
        made = self.mirror('create', self.port, '--ttl', '5s', '--wait', '0')
        self.assertNotEqual('', made['guard'])
        self.wait_until('the guard', lambda: self.state() == self.before)
        self.wait_until('its end', lambda: not self.left(made))

    def test_hard_reboot_leaves_it_blind_until_pruned(self):
        made = self.mirror('create', self.port, '--wait', '0')
        self.openstack(
            *('server', 'reboot', '--hard', '--wait', self.names['hosta']),
            cloud=self.ADMIN,
        )
        (row,) = [
            item for item in self.mirrors('hosta') if item['ID'] == made['id']
        ]
        self.assertEqual('blind', row['Health'])
        removed = self.mirror('prune', '--orphans', '--host', 'hosta')
        self.assertIn(
            (made['id'], True),
            [(item['ID'], item['Removed']) for item in removed],
        )
        self.assert_gone(made)

    def test_a_port_that_is_not_plugged_in(self):
        name = self.unique('mir')
        port = self.json(
            *('port', 'create', '--network', 'lab-net', name),
            cloud=self.ADMIN,
        )['id']
        self.later('port', 'delete', port, cloud=self.ADMIN)
        run = self.openstack(
            *(*MIRROR, 'create', name), cloud=self.ADMIN, status=3
        )
        self.assertIn('is not plugged in', run.stderr)
        self.assertEqual(self.before, self.state())

    def test_a_port_that_is_not_there(self):
        run = self.openstack(
            *(*MIRROR, 'create', self.unique('mir')),
            cloud=self.ADMIN,
            status=1,
        )
        self.assertIn('There is no port', run.stderr)

    def test_a_host_that_does_not_answer(self):
        found = self.mirror(
            *('list', '--host', 'hosta', '--host', 'hostb'),
            *('--ovsdb', 'tcp:{host_ip}:9'),
            status=4,
        )
        self.assertEqual(
            [('hosta', 'unreachable'), ('hostb', 'unreachable')],
            [(item['Host'], item['Health']) for item in found],
        )
