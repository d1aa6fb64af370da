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

"""A server that is used while it moves."""

import contextlib
import itertools
import re
import subprocess
import time

from osc_lab.tests.functional import compute
from osc_lab.tests.functional import pair

#: Seconds that a pinged server may be silent; QEMU of the lab has no KVM.
SILENCE = 20


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
            time.sleep(SILENCE)
        moments = [float(item) for item in times]
        self.assertGreater(moments[-1], ended)
        gaps = [b - a for a, b in itertools.pairwise(moments)]
        self.assertLess(max(gaps), SILENCE)
        self.assertEqual('ok', found[0]['Result'], found)
        (item,) = [i for i in found if i['Check'] == 'mirrors']
        self.assertEqual('warning', item['Result'], item)
        self.assertIn('port mirror delete stays', item['Remedy'])
        self.orphan(made)

    def orphan(self, made):
        """See the mirror as what it is now, and remove it alone."""
        row = self.listed('hosta', made)
        self.assertIn(row['Health'], ('orphan', 'blind'))
        removed = self.mirror('prune', '--orphans', '--host', 'hosta')
        self.assertEqual([made['id']], [row['ID'] for row in removed])
        self.assertEqual([], self.mirror('list', '--host', 'hosta'))
