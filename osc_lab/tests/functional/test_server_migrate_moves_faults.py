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

"""Servers that are looked at often, used while they move, or shared."""

import concurrent.futures
import contextlib
import itertools
import re
import shlex
import subprocess
import time

from lab import hosts

from osc_lab.tests.functional import compute
from osc_lab.tests.functional import pair

#: What is told to those for whom somebody else has moved the server, or is
#: about to.  Nova takes the request of one that looked before that.
TOO_LATE = 'server-state|The server runs there already|somebody else'

#: Seconds that a pinged server may be silent; QEMU of the lab has no KVM.
SILENCE = 20

#: What Neutron's agent sets where nothing shall pass (DEAD_VLAN_TAG).
UNWIRED = '4095'


class TestPinged(pair.PairTest):
    """One of two servers that ping each other moves to the other's host."""

    OWN = True

    @contextlib.contextmanager
    def answers(self, host, address):
        """Yield a list that has the times of its packets at the end."""
        tap = f'tap{self.ports[host][:11]}'
        times = []
        watch = subprocess.Popen(
            self.ssh(
                host,
                *('tcpdump', '-tt', '-nn', '-l', '-i', tap),
                *('icmp', 'and', 'src', 'host', address),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield times
        finally:
            watch.terminate()
            out, _err = watch.communicate()
            times += re.findall(r'^(\d+\.\d+) IP', out, re.MULTILINE)

    def test_answers_all_the_time_and_its_mirror_is_named(self):
        made = self.mirror('create', self.ports['hosta'], '--name', 'stays')
        self.addCleanup(self.delete_mirrors, 'hosta')
        with self.answers('hostb', self.addresses['hosta']) as times:
            time.sleep(3)
            found = self.json(
                *(*compute.LIVE, self.names['hosta'], '--host', 'hostb'),
                '--wait',
                cloud=self.ADMIN,
            )
            ended = time.time()
            late = self.wire(found)
            time.sleep(SILENCE)
        moments = [float(item) for item in times]
        self.assertGreater(moments[-1], ended, found)
        gaps = [b - a for a, b in itertools.pairwise(moments)]
        if not late:
            self.assertLess(max(gaps), SILENCE)
        self.assertEqual('ok', found[0]['Result'], found)
        (item,) = [i for i in found if i['Check'] == 'mirrors']
        self.assertEqual('warning', item['Result'], item)
        self.assertIn('port mirror delete stays', item['Remedy'])
        self.orphan(made)

    def wire(self, found):
        """Have Neutron connect a port that it left alone, as we are told to.

        Its agent does so when it looks between the activation of the new
        binding and the removal of the old one.

        :returns: whether it was necessary
        """
        tap = f'tap{self.ports["hosta"][:11]}'
        tag = self.on('hostb', 'ovs-vsctl', 'get', 'Port', tap, 'tag').strip()
        if tag not in ('[]', UNWIRED):
            return False
        (item,) = [i for i in found if i['Check'] == 'port-status']
        self.assertEqual('warning', item['Result'], item)
        words = shlex.split(item['Remedy'].partition(': openstack ')[2])
        self.openstack(*words, cloud=self.ADMIN)
        return True

    def orphan(self, made):
        """See the mirror as what it is now, and remove it alone."""
        row = self.listed('hosta', made)
        self.assertIn(row['Health'], ('orphan', 'blind'))
        removed = self.mirror('prune', '--orphans', '--host', 'hosta')
        self.assertEqual([made['id']], [row['ID'] for row in removed])
        self.assertEqual([], self.mirror('list', '--host', 'hosta'))


class TestClean(compute.ComputeTest):
    def test_no_false_alarm_in_20_looks(self):
        for _round in range(20):
            self.assert_clean()


class TestAtOnce(compute.ComputeTest):
    """Several ask for the same; one moves the server, and nobody twice."""

    def moves(self):
        """Return how often it has moved."""
        found = self.json(
            *('server', 'migration', 'list', '--server', self.server),
            cloud=self.ADMIN,
        )
        return [item['Status'] for item in found].count('completed')

    def run_at_once(self, count, *argv):
        before = self.moves()
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            runs = list(
                pool.map(
                    lambda _number: self.openstack(
                        *(*compute.LIVE, self.server, '--host', self.other),
                        # So many share the hosts: what is late is no fault.
                        *('--wait', '--host-timeout', '60', *argv),
                        cloud=self.ADMIN,
                        status=None,
                    ),
                    range(count),
                )
            )
        text = '\n'.join(map(str, runs))
        self.assertNotIn('Traceback', text)
        self.assertEqual(before + 1, self.moves(), text)
        moved = [run for run in runs if run.status == 0]
        # Nova takes no second request, or fails while it looks at it.
        began = [run for run in moved if 'somebody else' not in run.stderr]
        self.assertEqual(1, len(began), text)
        for run in runs:
            if run.status:
                self.assertIn(run.status, (1, 3, 5), str(run))
                self.assertRegex(run.stdout + run.stderr, TOO_LATE)
        shown = self.show()
        self.assertEqual('ACTIVE', shown['status'], text)
        self.assertEqual(self.other, shown['OS-EXT-SRV-ATTR:host'], text)

    def test_two(self):
        self.run_at_once(2)

    def test_eight(self):
        self.run_at_once(8)

    def test_thirty_two(self):
        self.run_at_once(32, '--no-preflight')


class TestShared(compute.ComputeTest):
    """Both hosts see the same instances_path."""

    @classmethod
    def boot(cls, name, *options):
        for host in pair.HOSTS:
            cls.addClassCleanup(hosts.share_instances, cls.layout, host, False)
            hosts.share_instances(cls.layout, host)
        return super().boot(name, *options)

    def test_moves_there_and_back(self):
        path = hosts.instances_path(self.layout) / self.server / 'disk'
        for host in (self.other, self.source):
            found = self.live(
                self.server, '--host', host, '--preflight', status=0
            )
            (item,) = [i for i in found if i['Check'] == 'migration-storage']
            self.assertIn('share', item['Message'])
            inode = self.run_on(host, 'stat', '-c', '%i', str(path))
            found = self.live(self.server, '--host', host, '--wait')
            self.assertEqual('outcome', found[0]['Check'])
            self.assertEqual(host, self.show()['OS-EXT-SRV-ATTR:host'])
            self.assertEqual(
                inode, self.run_on(host, 'stat', '-c', '%i', str(path))
            )
            self.assert_verified(found)

    def assert_verified(self, found):
        """See nothing wrong but what Neutron forgets, and mend that."""
        wrong = [item for item in found if item['Result'] != 'ok']
        self.assertLessEqual({i['Check'] for i in wrong}, {'port-status'})
        for item in wrong:
            self.assertIn('DOWN', item['Message'])
            command = item['Remedy'].partition(': openstack ')[2]
            self.openstack(*shlex.split(command), cloud=self.ADMIN)

            def active(port=item['Subject']):
                columns = ('-f', 'value', '-c', 'status')
                run = self.openstack(
                    *('port', 'show', *columns, port), cloud=self.ADMIN
                )
                return run.stdout.strip() == 'ACTIVE'

            pair.wait_until('an active port', active)

    def test_disks_are_not_to_be_copied(self):
        found = self.preflight('--block-migration', status=3)
        self.assertEqual(
            {('migration-storage', self.other)}, self.failed(found)
        )
