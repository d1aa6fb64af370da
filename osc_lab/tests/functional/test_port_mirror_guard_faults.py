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

"""The guard of a mirror as a timer of a real systemd.

A host of the lab has no systemd.  Here one runs in namespaces inside it,
with an sshd of its own, because it only serves processes that it can see.
The socket of the database is at another place there, so that nothing can
be removed without the address that the guard was given.
"""

import pathlib
import shlex
import subprocess

import fixtures
from lab import allot
from lab import machine
from lab.services import sshd
from lab import up

from osc_lab.tests.functional import pair

SOCKET = '/run/osc-test/moved.sock'

SYSTEMD = f"""
set -e
mkdir -p /run/systemd/system /run/osc-test
for name in sysinit basic shutdown test
do
    printf '[Unit]\\nDefaultDependencies=no\\n' >"/run/osc-test/$name.target"
done
touch {SOCKET}
mount --bind /run/openvswitch/db.sock {SOCKET}
mount --bind /dev/null /run/openvswitch/db.sock
mount -t proc proc /proc
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
export SYSTEMD_UNIT_PATH=/run/osc-test container=test
exec /lib/systemd/systemd --system --unit=test.target
"""

OWN = ('--mount', '--pid', '--cgroup', '--fork', '--kill-child')


class TestSystemd(pair.PairTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.assert_same, self.snapshot())
        self.addCleanup(self.delete_mirrors, 'hosta')
        self.layout = up.layout_of(self.state, allot.load(self.state))
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.addCleanup(
            self.on, 'hosta', 'rm', '-r', '/run/systemd', '/run/osc-test'
        )
        self.inside = self.start()
        self.way = ('--ovsdb', f'ssh:{SOCKET}', *self.ssh_inside())

    def start(self):
        """Start systemd; return what runs a command beside it."""
        log = open(self.folder / 'systemd.log', 'wb')
        self.addCleanup(log.close)
        process = subprocess.Popen(
            [
                *machine.enter_argv(self.layout, 'hosta'),
                *('unshare', *OWN, 'sh', '-c', SYSTEMD),
            ],
            env=machine.environment(self.layout),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        socket = self.state / 'hosts/hosta/run/systemd/private'
        pair.wait_until('systemd', socket.exists, 20)
        # Both nsenter and unshare wait for a child.
        child = process.pid
        for _generation in range(2):
            path = f'/proc/{child}/task/{child}/children'
            (child,) = pathlib.Path(path).read_text().split()
        own = ('--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup')
        return ['nsenter', '--target', child, *own, '--']

    def ssh_inside(self):
        """Return the options for a shell channel to where systemd is."""
        settings = self.layout.host_dir('hosta') / 'sshd' / 'sshd_config'
        command = shlex.join(
            [*self.inside, '/usr/sbin/sshd', '-i', '-f', str(settings)]
        )
        path = self.folder / 'config'
        path.write_text(
            f'Host hosta\n  ProxyCommand {command}\n'
            f'Include {sshd.folder(self.layout)}/config\n'
        )
        return ('--ssh-config', str(path))

    def systemctl(self, *argv):
        return subprocess.run(
            [*self.inside, 'systemctl', *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            text=True,
        ).stdout

    def units(self):
        return self.systemctl('list-units', '--all', '--plain', 'osc-lab-*')

    def create(self, *argv):
        made = self.mirror(
            *(
                'create',
                self.ports['hosta'],
                '--timeout',
                '0',
                *self.way,
                *argv,
            )
        )
        self.assertEqual('systemd', made['guard'])
        self.assertIn(f'osc-lab-{made["id"]}.timer', self.units())
        return made

    def test_ends_the_mirror(self):
        rows = self.rows('hosta')
        self.create('--ttl', '5s')
        self.assertNotEqual(rows, self.rows('hosta'))
        pair.wait_until('the guard', lambda: self.rows('hosta') == rows, 30)
        pair.wait_until(
            'the end of its unit', lambda: 'osc-lab-' not in self.units(), 20
        )

    def test_delete_ends_the_guard(self):
        made = self.create()
        self.openstack(
            *(*pair.MIRROR, 'delete', made['id'], '--host', 'hosta'),
            *self.way,
            cloud=self.ADMIN,
        )
        self.assertNotIn('osc-lab-', self.units())
