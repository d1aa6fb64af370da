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

"""What all checks of a live migration have in common."""

import testtools

from osc_lab.migration.checks import base
from osc_lab.migration import facts
from osc_lab.tests.unit.migration import samples
from osc_lab.tests.unit import test_entry_points as entry_points

#: What each check is shown as having looked at, and the option for that:
#: an interface.
SHOWN = {
    ('api', ''): {
        *('aggregates-and-zone', 'caller-rights', 'destination-capacity'),
        *('destination-service', 'numa-and-sriov', 'port-binding'),
        *('qemu-version', 'server-features'),
        *('server-group', 'server-lock', 'server-state', 'source-service'),
        *('volume-secrets', 'volumes'),
    },
    ('libvirt', '--libvirt-uri'): {
        *('cpu', 'domain-conflict', 'guest-devices', 'host-memory'),
        *('libvirt-auth', 'libvirt-identity', 'libvirt-listen'),
        *('libvirt-version', 'machine-type', 'migration-storage'),
    },
    ('libvirt', '--forecast'): {'convergence'},
    ('shell', '--ssh'): {
        *('migration-options', 'migration-ports', 'qemu-migrate'),
        *('qemu-processes', 'libvirt-tls', 'same-cell'),
    },
    ('ovsdb', '--ovsdb'): {'mirrors'},
}


class TestRegistered(testtools.TestCase):
    def test_what_is_shown_of_each(self):
        shown = {}
        for group, name, reference in entry_points.entry_points():
            if group != 'osc_lab.preflight.checks':
                continue
            check = entry_points.load(reference)
            self.assertEqual(name, check.id)
            shown.setdefault((check.source, check.channel), set()).add(name)
            for text, end in (
                (check.question, '?'),
                (check.reason, '.'),
                (check.remedy, '.'),
            ):
                self.assertTrue(text.endswith(end), f'{name}: {text}')
        self.assertEqual(SHOWN, shown)


class OfHosts(base.BothEndsCheck):
    id = 'of-hosts'
    remedy = 'its own'

    def host(self, facts, host):
        yield self.missing(host.name, facts.demand)

    def source_host(self, facts, host):
        yield self.answer(host.name, base.OK, 'source')


class WithChannel(OfHosts):
    channel = '--ssh'


class TestBase(testtools.TestCase):
    def judge(self, check, **changes):
        return [
            (item.subject, item.result.value, item.remedy)
            for item in check.judge(samples.clean(**changes))
        ]

    def test_both_ends(self):
        gap = facts.Gap('m', asked=False)
        self.assertEqual(
            [('a', 'ok', ''), ('b', 'skipped', ''), ('c', 'skipped', '')],
            self.judge(
                OfHosts(),
                demand=gap,
                destinations=(samples.host('b'), samples.host('c')),
            ),
        )

    def test_without_a_destination(self):
        (_source, item) = OfHosts().judge(samples.clean(destinations=()))
        self.assertEqual(('vm1', 'skipped'), (item.subject, item.result))
        self.assertIn('besides the source', item.message)
        self.assertIn('destination-service', item.remedy)

    def test_what_is_missing(self):
        for check, gap, result, remedy in (
            (OfHosts, facts.Gap('m'), 'unknown', ''),
            (OfHosts, facts.Gap('m', asked=False), 'skipped', ''),
            (WithChannel, facts.Gap('m'), 'unknown', ''),
            (
                WithChannel,
                facts.Gap('m', asked=False),
                'skipped',
                'Use --ssh.',
            ),
            (WithChannel, facts.Gap('m', 'r'), 'unknown', 'r'),
            (WithChannel, facts.Gap('m', 'r', False), 'skipped', 'r'),
        ):
            item = check().missing('s', gap)
            self.assertEqual(
                ('s', result, 'm', remedy),
                (item.subject, item.result, item.message, item.remedy),
            )

    def test_amounts(self):
        for amount, text in (
            (0, '0 MiB'),
            (10239, '10239 MiB'),
            (10240, '10.0 GiB'),
            (1024 * 1024, '1024.0 GiB'),
        ):
            self.assertEqual(text, base.mib(amount))

    def test_versions(self):
        for number, text in ((7002022, '7.2.22'), (1000000, '1.0.0')):
            self.assertEqual(text, base.version(number))

    def test_gaps(self):
        gap = facts.Gap('m')
        self.assertIs(gap, base.gap_of(gap))
        self.assertIsNone(base.gap_of('m'))
