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

"""The ways to many destinations, with a source that answers at once."""

import math

import testtools

from osc_lab.access import ways
from osc_lab import exceptions
from osc_lab.migration import facts
from osc_lab.migration import nova_options
from osc_lab.tests.unit.migration import host_samples
from osc_lab.tests.unit.migration import samples

OPEN = {'text': 'open', 'seconds': 0.1}
PORT = 49214

#: What the probe tries at once, see remote_probe.at_once().
AT_ONCE = 64

#: Seconds for each attempt.
DEADLINE = 5


class Shells:
    """The shells of all hosts.

    :param fails: which question to the source gets no answer
    :param full: the host to which nothing can be started any more
    :param taken: the host that has no free port
    :param drops: whether a firewall drops what the source sends
    """

    def __init__(self, fails=None, full=None, taken=None, drops=False):
        self.fails, self.full, self.taken = fails, full, taken
        self.drops = drops
        self.asked, self.open, self.most = 0, 0, 0
        self.wanted, self.called = set(), set()

    def __call__(self, host):
        return Shell(self, host.name)


class Shell:
    def __init__(self, shells, name):
        self.shells, self.name = shells, name

    def listen(self, ports, seconds):
        self.shells.wanted |= set(ports)
        if self.name == self.shells.full:
            raise exceptions.AccessError('Too many open files')
        self.shells.open += 1
        self.shells.most = max(self.shells.most, self.shells.open)
        return self

    def port(self):
        if self.name == self.shells.taken:
            return None
        return PORT

    def close(self):
        self.shells.open -= 1

    def ask(self, virsh, resolved, connect):
        self.shells.asked += 1
        self.shells.called |= {port for _host, port, _seconds in connect}
        if self.shells.asked == self.shells.fails:
            raise exceptions.AccessError('gone')
        each = OPEN
        if self.shells.drops:
            each = {'text': 'timed out', 'seconds': DEADLINE}
            for items in (virsh, connect):
                waves = math.ceil(len(items) / AT_ONCE)
                # As long as the caller of the probe waits for it.
                if waves * DEADLINE > 2 * DEADLINE + 1:
                    raise exceptions.AccessError('did not answer')
        return {
            'virsh': [each for _item in virsh],
            'resolved': {},
            'connect': [each for _item in connect],
        }


class TestMany(testtools.TestCase):
    def found(self, **shells):
        self.shells = Shells(**shells)
        source, *targets = (
            samples.host(f'h{number}', shell=host_samples.shell())
            for number in range(131)
        )
        # The source is a destination, too, when nobody named one.
        found = ways.task(source, [source, *targets], self.shells, DEADLINE)()
        self.assertEqual({host.name for host in targets}, found.keys())
        self.assertEqual(0, self.shells.open)
        return found

    def test_some_at_once(self):
        for way in self.found().values():
            self.assertIsInstance(way, facts.Way)
            self.assertTrue(way.listening)
        self.assertEqual(9, self.shells.asked)
        self.assertEqual(ways.WIDTH, self.shells.most)

    def test_firewall_that_drops(self):
        """Each way has its own result, in time."""
        for way in self.found(drops=True).values():
            self.assertIsInstance(way, facts.Way)
            self.assertEqual(facts.Reach.TIMEOUT, way.libvirt.reach)
            self.assertEqual(facts.Reach.TIMEOUT, way.data.reach)

    def test_source_that_is_gone_meanwhile(self):
        found = list(self.found(fails=2).values())
        self.assertEqual(2, self.shells.asked)
        self.assertEqual(
            ways.WIDTH, sum(isinstance(item, facts.Way) for item in found)
        )
        self.assertEqual(
            {'gone'},
            {str(item) for item in found if isinstance(item, Exception)},
        )

    def test_destination_where_nothing_can_listen(self):
        for why in ('full', 'taken'):
            found = self.found(**{why: 'h2'})
            self.assertEqual(
                ['h2'],
                [name for name, way in found.items() if not way.listening],
            )

    def test_ports_of_other_migrations(self):
        """libvirt gives them to QEMU from the lowest, 49152, upwards."""
        self.found(full='h2', taken='h3')
        self.assertEqual({16509, 49214, 49215}, self.shells.called)
        self.assertEqual(set(range(49208, 49216)), self.shells.wanted)


class TestRoute(testtools.TestCase):
    """Where the source goes, by what the destination says of itself."""

    def route(self, inbound, **default):
        values = {'DEFAULT': default, **host_samples.conf()}
        values['libvirt']['live_migration_inbound_addr'] = inbound
        host = host_samples.pair(
            there={'shell': host_samples.shell(options=values)}
        )
        (host,) = host.destinations
        return ways._route(host, nova_options.Options())

    def test_address_that_nova_tells(self):
        self.assertEqual(
            ('qemu+tcp://192.0.2.1/system', '192.0.2.1'), self.route('$my_ip')
        )

    def test_address_in_the_file(self):
        self.assertEqual(
            ('qemu+tcp://192.0.2.7/system', '192.0.2.7'),
            self.route('$my_ip', my_ip='192.0.2.7'),
        )

    def test_without_an_address(self):
        self.assertEqual(('qemu+tcp://b/system', 'b.test'), self.route(''))
