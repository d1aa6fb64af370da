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

"""Measuring dirty pages: which windows, and what of it becomes a fact."""

import dataclasses

import testtools

from osc_lab.access import dirty_pages
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.migration import facts
from osc_lab.tests.unit.migration import samples

GIB_KIB = 1024**2


class Shell:
    def __init__(self, answer):
        self.answer = answer

    def ask(self, **wanted):
        if isinstance(self.answer, Exception):
            raise self.answer
        return {key: self.answer for key in wanted}


class Hosts:
    """The edge: one host with libvirt, perhaps with a shell."""

    deadline = 5.0

    def __init__(self, touched=None, broken=None):
        self.touched = touched
        self.broken = broken
        self.windows = []

    def channel(self, host):
        return channels.Host(host.name, '192.0.2.1', libvirt_uri='test:///')

    def shell(self, host):
        return None if self.touched is None else Shell(self.touched)

    def with_libvirt(self, uri, use):
        if self.broken:
            raise self.broken
        return use(self)

    def dirty_pages(self, uuid, seconds):
        self.windows.append(seconds)
        return 256.0 * seconds


class TestMeasure(testtools.TestCase):
    def facts(self, bandwidth=None, limit=None, gib=8):
        domain = facts.Domain(
            *('d', 's1', 'qemu', 'x86_64', 'pc', '/q'),
            *(gib * GIB_KIB, 1, '', '', ''),
        )
        libvirt = facts.Libvirt(
            *('a', 'x', 9000000, 7002022, True, 1, frozenset()),
            domain=domain,
        )
        source = samples.host('a', libvirt=libvirt)
        if limit is not None:
            options = {'libvirt': {'live_migration_bandwidth': str(limit)}}
            source = dataclasses.replace(
                source, shell=facts.Shell(options, (), '')
            )
        return samples.clean(
            source=source,
            request=facts.Request(host='b', bandwidth_mib_s=bandwidth),
        )

    def measure(self, known, hosts=None):
        return dirty_pages.measure(hosts or Hosts(), known).measured

    def test_windows_as_long_as_the_first_round(self):
        found = self.measure(self.facts(bandwidth=512.0))
        self.assertEqual(
            [1, 2, 4, 8, 16], [seconds for seconds, _pages in found.windows]
        )
        self.assertEqual(512.0, found.windows[1][1])
        self.assertEqual(8 * 262144, found.total_pages)

    def test_memory_that_holds_nothing_is_not_waited_for(self):
        found = self.measure(
            self.facts(bandwidth=512.0), Hosts(touched=2 * GIB_KIB)
        )
        self.assertEqual(2 * 262144, found.touched_pages)
        self.assertEqual(4, found.windows[-1][0])

    def test_the_lower_bandwidth_counts(self):
        found = self.measure(self.facts(bandwidth=512.0, limit=300))
        self.assertEqual(300.0, found.bandwidth_mib_s)
        self.assertEqual(512.0, found.link_mib_s)
        found = self.measure(self.facts(bandwidth=100.0, limit=300))
        self.assertEqual(100.0, found.bandwidth_mib_s)
        found = self.measure(self.facts(limit=300))
        self.assertEqual(300.0, found.bandwidth_mib_s)
        self.assertIsNone(found.link_mib_s)

    def test_without_a_bandwidth_the_windows_are_short(self):
        found = self.measure(self.facts(limit=0))
        self.assertIsNone(found.bandwidth_mib_s)
        self.assertEqual(4, found.windows[-1][0])

    def test_shell_that_does_not_tell(self):
        for answer in (exceptions.AccessError('no'), None):
            hosts = Hosts()
            hosts.shell = lambda host, answer=answer: Shell(answer)
            found = self.measure(self.facts(bandwidth=512.0), hosts)
            self.assertIsNone(found.touched_pages)

    def test_libvirt_that_fails(self):
        hosts = Hosts(broken=exceptions.AccessError('refused'))
        found = self.measure(self.facts(bandwidth=512.0), hosts)
        self.assertEqual('refused', found.message)

    def test_no_libvirt_at_the_source(self):
        known = dataclasses.replace(self.facts(), source=samples.host('a'))
        self.assertIn('--libvirt-uri', self.measure(known).remedy)
