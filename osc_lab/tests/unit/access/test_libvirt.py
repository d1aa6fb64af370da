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


"""What libvirt says of a guest and its host, and what it refuses."""

import dataclasses
import errno
import socket
import sys
import threading
import time
from unittest import mock

import fixtures
import testtools

from osc_lab.access import aftermath
from osc_lab.access import libvirt
from osc_lab.access import libvirt_channel
from osc_lab import exceptions
from osc_lab.migration import domain_xml
from osc_lab.migration import facts
from osc_lab.tests.unit import fake_libvirt

PAUSED, SHUTOFF = 3, 5
UUID = '11111111-aaaa-4aaa-8aaa-111111111111'
LIBRARY = libvirt.library


class LibvirtTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.guest = fake_libvirt.Guest(UUID)
        self.host = fake_libvirt.Host('a', self.guest)
        self.library = self.useFixture(fake_libvirt.Library(a=self.host))
        self.useFixture(
            fixtures.MonkeyPatch('time.sleep', lambda seconds: None)
        )
        self.connection = libvirt.Connection('test:///a')


class TestRuns(LibvirtTest):
    def runs(self, answer):
        self.guest.state_ = answer
        return self.connection.runs(UUID)

    def test_one_that_runs_or_was_paused_by_somebody(self):
        for answer in ([1, 1], [2, 0], [PAUSED, 1]):
            self.assertTrue(self.runs(answer), answer)

    def test_one_that_is_elsewhere_or_not_there_yet(self):
        for reason in (2, 11, 12, 13):
            self.assertFalse(self.runs([PAUSED, reason]), reason)
        self.assertFalse(self.runs([SHUTOFF, 1]))
        self.assertFalse(self.connection.runs('other'))

    def test_libvirt_that_does_not_say(self):
        self.assertRaises(
            exceptions.AccessError, self.runs, fake_libvirt.Error()
        )


class TestConnection(LibvirtTest):
    def test_closes_what_is_gone_already(self):
        self.connection.close()
        self.assertEqual(1, self.host.closed)

    def test_a_host_that_does_not_say_good_bye(self):
        ended = threading.Event()
        self.addCleanup(ended.set)
        self.host.close = lambda: ended.wait(10)
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.access.libvirt.GOODBYE', 0.05)
        )
        began = time.monotonic()
        self.connection.close()
        self.assertLess(time.monotonic() - began, 5)

    def test_refused(self):
        self.host.refuses = fake_libvirt.Error('authentication failed')
        error = self.assertRaises(
            exceptions.AccessError, libvirt.Connection, 'test:///a'
        )
        self.assertEqual('authentication failed', str(error))

    def test_openssh_does_not_ask(self):
        path = 'qemu+ssh://root@h/system'
        for uri, expected in (
            (path, f'{path}?no_tty=1'),
            (f'{path}?keyfile=/a%26b', f'{path}?keyfile=/a%26b&no_tty=1'),
            ('QEMU+SSH://[::1]:2/x', 'QEMU+SSH://[::1]:2/x?no_tty=1'),
            ('qemu+ssh:///system', 'qemu+ssh:///system?no_tty=1'),
            (f'{path}?NO_TTY=0', f'{path}?NO_TTY=0'),
            (f'{path}?a=b;no_tty=', f'{path}?a=b;no_tty='),
            ('qemu+libssh2://h/system', 'qemu+libssh2://h/system'),
            ('qemu+tls://h/system?a=b', 'qemu+tls://h/system?a=b'),
            ('test:///default', 'test:///default'),
        ):
            self.assertEqual(expected, libvirt.silent(uri))

    def test_opened_without_a_terminal(self):
        library = self.useFixture(fake_libvirt.Library())
        library.hosts = {'qemu+ssh://a/system?no_tty=1': self.host}
        found = libvirt.Connection('qemu+ssh://a/system')
        self.assertEqual('qemu+ssh://a/system', found.uri)
        self.assertEqual('a', found.host().hostname)

    def test_no_library(self):
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.access.libvirt.library', LIBRARY)
        )
        self.useFixture(fixtures.MonkeyPatch('sys.modules', dict(sys.modules)))
        sys.modules['libvirt'] = None
        error = self.assertRaises(
            exceptions.MissingLibrary, libvirt.Connection, 'test:///a'
        )
        self.assertIn('osc-lab[libvirt]', str(error))

    def test_source(self):
        found = self.connection.source(UUID)
        self.assertEqual(
            ('a', 'of-a', 9000000, 7002022, (1 << 20) + 1),
            (
                *(found.hostname, found.host_uuid),
                *(found.version, found.qemu_version, found.free_kib),
            ),
        )
        self.assertIn('<model>EPYC</model>', found.host_cpu_xml)
        (disk,) = found.domain.disks
        self.assertEqual(
            (1 << 30, 1 << 20, 1 << 21, ('/i/base',)),
            (disk.size, disk.allocation, disk.length, disk.backing),
        )

    def test_length_of_a_device(self):
        """Nova asks stat, which tells none."""
        guest = fake_libvirt.GUEST.replace("type='file'", "type='block'")
        guest = guest.replace('<source file=', '<source dev=')
        self.useFixture(
            fixtures.MonkeyPatch(f'{fake_libvirt.__name__}.GUEST', guest)
        )
        (disk,) = self.connection.source(UUID).domain.disks
        self.assertEqual(('block', 0), (disk.kind, disk.length))

    def test_source_that_tells_less(self):
        self.host.memory = fake_libvirt.Error()
        found = self.connection.source(UUID)
        self.assertIsNone(found.free_kib)
        found = self.connection.source('other')
        self.assertEqual(facts.Gap('Domain not found'), found.domain)

    def test_host_that_tells_nothing(self):
        for answer in (fake_libvirt.Error(), '<no/>', '<!DOCTYPE x []><x/>'):
            self.host.capabilities = answer
            self.assertRaises(
                exceptions.AccessError, self.connection.source, UUID
            )


class TestDestination(LibvirtTest):
    def setUp(self):
        super().setUp()
        self.domain = domain_xml.domain(self.guest.XMLDesc(0))
        self.guests = dict(self.host.guests)
        self.host.guests.clear()

    def look(self, cpu='<cpu><model>EPYC</model></cpu>'):
        return self.connection.destination(self.domain, cpu)

    def test_good_one(self):
        found = self.look()
        self.assertEqual(
            ('identical', 'identical', True, ()),
            (found.cpu, found.host_cpu, found.machine_ok, found.conflicts),
        )
        self.assertEqual({'EPYC', 'qemu64'}, found.cpu_models)

    def test_without_a_guest(self):
        found = self.connection.destination(None, '')
        self.assertEqual(('a', None), (found.hostname, found.cpu))

    def test_cpu_without_a_model(self):
        self.assertEqual('identical', self.look('<cpu/>').host_cpu)
        self.assertIsNone(self.look('').host_cpu)

    def passthrough(self, mode='host-passthrough', **changes):
        cpu = f"<cpu mode='{mode}' check='none' migratable='on'/>"
        self.domain = dataclasses.replace(
            self.domain, cpu_xml=cpu, cpu_model='', cpu_mode=mode, **changes
        )

    def test_cpu_of_the_host(self):
        for mode in ('host-passthrough', 'maximum'):
            self.passthrough(mode)
            missing = fake_libvirt.Error('missing features: avx512', 91)
            self.host.compared = [0, missing, 0, missing]
            found = self.look()
            self.assertEqual(
                ('incompatible', 'missing features: avx512'),
                (found.cpu, found.cpu_text),
            )
            self.host.compared = [2]
            self.assertEqual('superset', self.look().cpu)
            self.assertIsNone(self.look('').cpu)

    def test_all_features_without_hardware_are_the_same_anywhere(self):
        self.passthrough('maximum', type='qemu')
        self.assertEqual('identical', self.look('').cpu)

    def test_cpu_that_is_less(self):
        missing = fake_libvirt.Error('missing features: avx512', 91)
        self.host.compared = [0, missing]
        found = self.look()
        self.assertEqual(
            ('incompatible', 'missing features: avx512'),
            (found.cpu, found.cpu_text),
        )
        self.assertEqual('incompatible', found.host_cpu)

    def test_cpu_that_is_more_or_unknown(self):
        self.host.compared = [2]
        self.assertEqual('superset', self.look().cpu)
        self.host.compared = [7]
        self.assertEqual('incompatible', self.look().cpu)
        self.host.compared = [fake_libvirt.Error('unsupported')]
        self.assertEqual(facts.Gap('unsupported'), self.look().cpu)

    def test_machine_type(self):
        for code in (8, 67):
            self.host.models = fake_libvirt.Error('no', code)
            self.assertIs(False, self.look().machine_ok)
        self.host.models = fake_libvirt.Error('forbidden', 29)
        found = self.look()
        self.assertEqual(
            (facts.Gap('forbidden'), frozenset()),
            (found.machine_ok, found.cpu_models),
        )

    def test_other_guests(self):
        """Those with the name or the UUID are in the way."""
        name = 'instance-00000001'
        twin, renamed, other = (
            fake_libvirt.Guest('twin', name),
            fake_libvirt.Guest(UUID, 'renamed'),
            fake_libvirt.Guest('other', 'other'),
        )
        renamed.number = -1
        for guest in (twin, renamed, other):
            self.host.guests[guest.uuid] = guest
        self.assertEqual(
            (
                facts.Conflict(name, 'twin', True),
                facts.Conflict('renamed', UUID, False),
            ),
            self.look().conflicts,
        )

    def refuse(self, *arguments):
        raise fake_libvirt.Error('reset', 38)

    def test_names_that_cannot_be_looked_up(self):
        """A connection that breaks is no proof that the name is free."""
        self.host.listAllDomains = self.refuse
        self.assertEqual(facts.Gap('reset'), self.look().conflicts)


class TestMoving(LibvirtTest):
    def test_at_rest(self):
        self.assertIs(False, self.connection.moving(UUID))
        self.host.guests.clear()
        self.assertIs(False, self.connection.moving(UUID))

    def test_under_way(self):
        self.guest.jobs = [{'type': 2}]
        self.assertIs(True, self.connection.moving(UUID))

    def test_while_it_connects(self):
        """Nobody asks for statistics, who would wait for them."""
        self.guest.control = 2
        self.guest.jobs = [fake_libvirt.Error('timed out', 68)]
        self.assertIs(True, self.connection.moving(UUID))

    def test_nobody_knows(self):
        self.guest.jobs = [fake_libvirt.Error('timed out', 68)]
        self.assertRaises(exceptions.AccessError, self.connection.moving, UUID)


class TestJob(LibvirtTest):
    def test_statistics(self):
        self.guest.jobs = [{'type': 2, 'memory_total': 5}]
        self.assertEqual(5, self.connection.job(UUID)['memory_total'])
        found = self.connection.job(UUID, completed=True)
        self.assertEqual(5, found['memory_total'])

    def test_none(self):
        self.assertEqual({}, self.connection.job(UUID))
        self.guest.jobs = [fake_libvirt.Error('domain is not running', 55)]
        self.assertEqual({}, self.connection.job(UUID))
        self.assertEqual({}, self.connection.job('other'))

    def test_unknown(self):
        self.guest.jobs = [fake_libvirt.Error('client socket is closed', 1)]
        self.assertIsNone(self.connection.job(UUID))

    def test_watch_opens_again(self):
        """The daemon is restarted while a guest is moved."""
        self.useFixture(
            fixtures.MonkeyPatch('osc_lab.access.aftermath._PAUSE', 0.001)
        )
        running = {'type': 2, 'memory_total': 5}
        self.guest.jobs = [fake_libvirt.Error('closed'), running]
        refused = [fake_libvirt.Error('refused')]
        opened = self.library.module.open

        def open_(uri):
            if refused:
                raise refused.pop()
            return opened(uri)

        self.library.module.open = open_
        watched = aftermath.JobWatch('test:///a', UUID, 0.001)
        self.addCleanup(watched.stop)
        limit = time.monotonic() + 10
        while not watched() and time.monotonic() < limit:
            threading.Event().wait(0.001)
        self.assertEqual(running, watched())
        self.assertEqual([], refused)

    def test_dirty_pages(self):
        # 3 MiB in each of two seconds.
        self.assertEqual(1536.0, self.connection.dirty_pages(UUID, 2))

    def test_dirty_pages_that_cannot_be_measured(self):
        self.guest.rates = fake_libvirt.Error('not supported')
        error = self.assertRaises(
            exceptions.AccessError, self.connection.dirty_pages, UUID, 1
        )
        self.assertEqual('not supported', str(error))

    def test_dirty_pages_that_never_come(self):
        self.guest.rates = [{}]
        moments = iter(range(0, 1000, 5))
        self.useFixture(
            fixtures.MonkeyPatch('time.monotonic', lambda: next(moments))
        )
        error = self.assertRaises(
            exceptions.AccessError, self.connection.dirty_pages, UUID, 1
        )
        self.assertIn('did not finish', str(error))


class TestProbe(testtools.TestCase):
    def reach(self, uri):
        return libvirt.probe(uri, 5).reach

    def test_what_has_no_socket_is_left_to_libvirt(self):
        for uri in ('test:///default', 'qemu+unix:///system', 'qemu+x://h/'):
            self.assertIs(facts.Reach.OPEN, self.reach(uri))

    def test_ssh_is_left_to_openssh(self):
        """An alias, a jump host or a port is known to it alone."""
        uri = 'qemu+ssh://root@no.such.invalid/system'
        library = self.useFixture(fake_libvirt.Library())
        host = fake_libvirt.Host('cmp1')
        library.hosts = {f'{uri}?no_tty=1': host}
        found = libvirt_channel.ask(uri, lambda other: other.host(), 5)
        self.assertEqual('cmp1', found.hostname)
        for text, expected in (
            ('connect to host h port 22: Connection refused', 'REFUSED'),
            ('connect to host h port 22: Connection timed out', 'TIMEOUT'),
            ('connect to host h port 22: No route to host', 'UNREACHABLE'),
            ('Could not resolve hostname h: x', 'UNRESOLVED'),
        ):
            host.refuses = fake_libvirt.Error(f'Cannot recv data: ssh: {text}')
            found = libvirt_channel.ask(uri, lambda other: other.host(), 5)
            self.assertEqual(expected, found.reach.name)

    def test_socket(self):
        with socket.create_server(('127.0.0.1', 0)) as listener:
            port = listener.getsockname()[1]
            uri = f'qemu+tcp://127.0.0.1:{port}/system'
            self.assertIs(facts.Reach.OPEN, self.reach(uri))
        self.assertIs(facts.Reach.REFUSED, self.reach(uri))

    def test_name_and_time(self):
        uri = 'qemu+tls://no.such.invalid/system'
        self.assertIs(facts.Reach.UNRESOLVED, self.reach(uri))

        def late(where, deadline):
            raise TimeoutError

        with fixtures.MonkeyPatch('socket.create_connection', late):
            self.assertIs(facts.Reach.TIMEOUT, self.reach(uri))

    def test_causes_in_another_language(self):
        """The number tells them, and not the words of the C library."""
        for error, expected in (
            (OSError(errno.ECONNREFUSED, 'x'), facts.Reach.REFUSED),
            (OSError(errno.ETIMEDOUT, 'x'), facts.Reach.TIMEOUT),
            (OSError(errno.EHOSTUNREACH, 'x'), facts.Reach.UNREACHABLE),
            (OSError(errno.ENETUNREACH, 'x'), facts.Reach.UNREACHABLE),
            (socket.gaierror(socket.EAI_AGAIN, 'x'), facts.Reach.UNRESOLVED),
            (OSError(errno.EMFILE, 'x'), facts.Reach.ERROR),
            (OSError('x'), facts.Reach.ERROR),
        ):
            with fixtures.MonkeyPatch(
                'socket.create_connection', mock.Mock(side_effect=error)
            ):
                self.assertIs(expected, self.reach('qemu+tls://h/system'))
