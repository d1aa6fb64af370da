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


"""Every message to a real libvirt, on its way and back, with every toxic."""

import os
import time

import openstack

from osc_lab.access import hosts
from osc_lab.access import migration
from osc_lab import channels
from osc_lab.migration.checks import libvirt as checks
from osc_lab.migration import examine
from osc_lab.migration import facts
from osc_lab.preflight import registry
from osc_lab.tests.functional import compute
from osc_lab.tests.functional import toxics
from osc_lab.tests import thorough

#: Seconds that a host may take to answer.
DEADLINE = 1.5


class TestToxics(compute.ComputeTest):
    """The destination is behind a proxy, at an address of loopback."""

    def setUp(self):
        super().setUp()
        number = os.getpid()
        address = f'127.98.{number // 250 % 250}.{number % 250 + 1}'
        # One URI is for both hosts.
        port = self.layout.host_ports['libvirt']
        real = {
            host: self.layout.host_loopback(host)
            for host in (self.source, self.other)
        }
        self.proxy = self.useFixture(
            toxics.Libvirt((address, port), (real[self.other], port))
        )
        self.hosts = hosts.Hosts(
            channels.Channels(
                libvirt_uri='qemu+tcp://{host_ip}'
                f'{self.layout.host_door("libvirt")}/system',
                host_addresses={**real, self.other: address},
                deadline=DEADLINE,
            )
        )
        self.checks = registry.Registry(
            tuple(
                item
                for item in registry.load().checks
                if isinstance(item, checks.LibvirtCheck | checks.LibvirtListen)
            )
        )
        sdk = openstack.connect(cloud=self.ADMIN)
        self.addCleanup(sdk.close)
        self.known = migration.look(
            sdk, self.server, facts.Request(host=self.other)
        )

    def look(self):
        """Return what each check says of the destination."""
        known = self.hosts.look(self.known, [self.other])
        found = examine.examine(known, self.checks).full().findings
        return {
            item.check: item.result.value
            for item in found
            if item.subject == self.other
        }

    def test_look(self):
        self.proxy.arm()
        expected = self.look()
        asked = list(self.proxy.asked)
        self.assertEqual('ok', expected['domain-conflict'], expected)
        self.assertEqual(self.proxy.CLOSE, asked[-1])
        pairs = thorough.Pairs(self)
        for pair in toxics.pairs(self.proxy.count):
            number, _where, kind = pair
            with pairs.one():
                changed = self.changed(expected, pair)
                # Who says good-bye has been told everything.
                if kind in toxics.HARMLESS or number == len(asked):
                    self.assertEqual({}, changed, pair)
                else:
                    self.assertNotEqual({}, changed, pair)
        self.proxy.arm()
        self.assertEqual(expected, self.look())

    def changed(self, expected, pair):
        """Return what the checks say when it is not what they said."""
        self.proxy.arm(*pair)
        began = time.monotonic()
        found = self.look()
        took = time.monotonic() - began
        # The machine may have more to do.
        self.assertLess(took, DEADLINE * 1.1 + 1, pair)
        self.assertEqual(set(expected), set(found), pair)
        changed = {
            check: result
            for check, result in found.items()
            if expected[check] != result
        }
        self.assertLessEqual(
            set(changed.values()), {'unknown', 'failed'}, (pair, changed)
        )
        return changed
