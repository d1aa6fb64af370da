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

"""The check of the forecast: what it assumes, and what it says."""

import dataclasses
import re

import testtools

from osc_lab.migration.checks import forecast as check
from osc_lab.migration import facts
from osc_lab.migration import nova_options
from osc_lab.migration import precopy
from osc_lab.tests.unit.migration import host_samples
from osc_lab.tests.unit.migration import samples

MIB = 1024**2
#: Pages of a guest with 16 GiB, of which QEMU samples enough.
BIG = 16 * 262144

#: Windows of a guest with 16 GiB: 100 MiB a second, 2,000, and 1.2 GiB
#: that are full before the first window ends.
SLOW = tuple((float(s), s * 25600.0) for s in (1, 2, 4, 8, 16))
FAST = tuple((float(s), s * 512000.0) for s in (1, 2, 4, 8))
FULL = ((1.0, 300000.0), (2.0, 300000.0))


#: The disk as the source sees it.
SEEN = {'/d': 'fs'}


class TestConvergence(testtools.TestCase):
    def facts(self, measured, options=None, disks=(), **shell):
        domain = facts.Domain(
            'd', 's1', 'qemu', 'x86_64', 'pc', '/q', BIG * 4, 1, '', '', ''
        )
        libvirt = facts.Libvirt(
            'a',
            'x',
            9000000,
            7002022,
            1,
            domain=dataclasses.replace(domain, disks=disks),
        )
        values = {
            f'live_migration_{key}': value
            for key, value in (options or {}).items()
        }
        source = samples.host(
            'a',
            libvirt=libvirt,
            shell=host_samples.shell(options={'libvirt': values}, **shell),
        )
        return samples.clean(source=source, measured=measured)

    def judge(self, windows, bandwidth=1000.0, options=None, **changes):
        found = self.facts(
            facts.Measured(windows, BIG, bandwidth_mib_s=bandwidth, **changes),
            options,
        )
        [item] = check.Convergence().judge(found)
        self.assertEqual(
            ('convergence', 'b', 'libvirt'),
            (item.check, item.subject, item.source),
        )
        return item

    def test_ends(self):
        item = self.judge(SLOW, touched_pages=BIG)
        self.assertEqual(('ok', ''), (item.result, item.remedy))
        low, likely, high = item.evidence['seconds']
        self.assertTrue(low < likely < high)
        pause = item.evidence['downtime_ms'][2]
        self.assertEqual(
            f'It takes {low:.0f} to {high:.0f} s and pauses the guest for up '
            f'to {pause} ms, at 1000 MiB/s.',
            item.message,
        )
        self.assertEqual(
            {
                'windows': [list(window) for window in SLOW],
                'bandwidth_mib_s': 1000.0,
                'ending': 1.0,
                'timeout_s': 800.0 * 16,
            },
            {
                key: value
                for key, value in item.evidence.items()
                if key not in ('seconds', 'downtime_ms')
            },
        )
        for value in item.evidence['seconds']:
            self.assertEqual(round(value, 2), value)
        for value in item.evidence['downtime_ms']:
            self.assertIsInstance(value, int)
            self.assertTrue(0 < value < 500)

    def test_bounds_of_what_is_assumed(self):
        """An idle guest takes as long as its memory and the bandwidth."""
        idle = tuple((float(s), 1.0) for s in (1, 2, 4, 8))
        whole = 16384 / 1000
        for changes, best, worst in (
            ({'touched_pages': BIG}, (0.85 / 1.1, 0.95), (1.0, 1.05 / 0.8)),
            ({}, (0.1 / 1.1, 0.3), (0.95, 1.0 / 0.8)),
            (
                {'touched_pages': BIG, 'link_mib_s': 2001.0},
                (0.85, 0.9),
                (0.98, 1.05 / 0.95),
            ),
            (
                {'touched_pages': BIG, 'link_mib_s': 2000.0},
                (0.85 / 1.1, 0.84),
                (1.1, 1.05 / 0.8),
            ),
        ):
            found = self.judge(idle, **changes).evidence['seconds']
            for seconds, (low, high) in ((found[0], best), (found[2], worst)):
                self.assertTrue(
                    low <= seconds / whole <= high, (changes, found)
                )

    def test_what_nova_would_migrate_it_with(self):
        disk = facts.Disk(
            *('disk', 'file', 'vda', '/d', 'qcow2'),
            *(False, False, False, ''),
        )
        disks = (
            # A hundred GiB for the guest, in a file of 20.5, with 15 used.
            dataclasses.replace(
                disk,
                size=100 * 1024**3,
                allocation=15 * 1024**3,
                length=41 * 1024**3 // 2,
            ),
            disk,
            dataclasses.replace(disk, length=7, volume_id='v'),
        )
        measured = facts.Measured(
            SLOW,
            BIG,
            page_size=8192,
            touched_pages=BIG // 4,
            bandwidth_mib_s=100.0,
            link_mib_s=300.0,
        )
        options = nova_options.Options(auto_converge=True)
        for files, data, copied in (
            ({'/d': ''}, 38.5, 15 * 1024.0**3),
            (SEEN, 16, 0.0),
        ):
            found = self.facts(measured, disks=disks, files=SEEN)
            host = dataclasses.replace(
                found.destinations[0],
                shell=facts.Shell({}, (), '', files=dict(files)),
            )
            domain = found.source.libvirt.domain
            self.assertEqual(
                precopy.Setting(
                    pages=BIG // 4,
                    bandwidth=100.0 * MIB,
                    steps=tuple(
                        (float(int(75 * data) * i), (50 + 45 * i) / 1000)
                        for i in range(11)
                    ),
                    timeout=800.0 * data,
                    disk_bytes=copied,
                    auto_converge=True,
                    page_size=8192,
                    zero_pages=BIG - BIG // 4,
                    link=300.0 * MIB,
                ),
                check.setting_of(found, host, measured, domain, options),
            )
        measured = facts.Measured(SLOW, BIG)
        found = self.facts(measured)
        plain = check.setting_of(
            found,
            found.destinations[0],
            measured,
            domain,
            dataclasses.replace(options, post_copy=True),
        )
        self.assertEqual(
            (BIG, 0.0, 0, None, False),
            (
                plain.pages,
                plain.bandwidth,
                plain.zero_pages,
                plain.link,
                plain.auto_converge,
            ),
        )

    def test_does_not_end(self):
        item = self.judge(FAST)
        self.assertEqual('failed', item.result)
        self.assertIn('1000.0 MiB/s can be sent', item.message)
        written = float(item.message.split(' MiB in a')[0].split()[-1])
        self.assertAlmostEqual(2000, written, delta=100)
        advice = item.remedy.removeprefix('It would end with: ')
        converge, bandwidth, post_copy, pause = advice.split('; or ')
        self.assertEqual('auto-converge, which slows the guest down', converge)
        self.assertEqual('3000 MiB/s', bandwidth.partition(' (')[0])
        self.assertEqual(
            'post-copy, which takes live_migration_permit_post_copy=true and '
            'live_migration_timeout_action=force_complete',
            post_copy,
        )
        # In which nearly all memory can be sent.
        self.assertEqual('a downtime of 20.0 s.', pause)
        self.assertEqual([None] * 3, item.evidence['downtime_ms'])
        self.assertEqual(0.0, item.evidence['ending'])

    def test_auto_converge_is_reckoned_with(self):
        item = self.judge(FAST, options={'permit_auto_converge': 'true'})
        self.assertEqual('ok', item.result)

    def test_auto_converge_that_does_not_help_is_no_advice(self):
        """Neither where it is permitted already, nor where it is not."""
        for options in ({'permit_auto_converge': 'true'}, {}):
            item = self.judge(FAST, 1.0, options)
            self.assertEqual('failed', item.result)
            self.assertNotIn('auto-converge', item.remedy)

    def test_post_copy_ends_it(self):
        options = {
            'permit_post_copy': 'true',
            'timeout_action': 'force_complete',
        }
        item = self.judge(FAST, options=options)
        self.assertEqual('warning', item.result)
        self.assertIn('switches to post-copy after 12800 s', item.message)
        self.assertIn('rebooted', item.remedy)
        self.assertEqual(0.0, item.evidence['ending'])

    def test_post_copy_that_nova_never_switches_to(self):
        """Only what is forced is switched, and nothing is without a time."""
        options = {'permit_post_copy': 'true', 'permit_auto_converge': 'true'}
        action = 'live_migration_timeout_action=force_complete'
        timeout = 'a live_migration_completion_timeout'
        never = {'completion_timeout': '0'}
        forced = {'timeout_action': 'force_complete'}
        for more, needed in (
            ({}, action),
            ({'timeout_action': 'abort'}, action),
            (never, f'{action} and {timeout}'),
            (never | forced, timeout),
        ):
            item = self.judge(FAST, options=options | more)
            self.assertEqual('failed', item.result)
            told = item.remedy.partition('post-copy, which takes ')[2]
            self.assertEqual(needed, re.split('[;.]', told)[0])
            self.assertIn(
                'auto-converge without live_migration_permit_post_copy',
                item.remedy,
            )

    def test_forced_without_post_copy_pauses_the_guest(self):
        options = {'timeout_action': 'force_complete'}
        item = self.judge(FAST, 950.0, options)
        self.assertEqual('warning', item.result)
        self.assertIn('after 12800 s Nova pauses the guest', item.message)
        # All 16 GiB are written again in each round, or half of them.
        pause = item.evidence['forced_pause_s']
        self.assertEqual(round(pause, 1), pause)
        self.assertIn(f'for up to {pause} s', item.message)
        self.assertEqual(0.0, item.evidence['ending'])
        self.assertTrue(8 < pause < 1.05 * 16384 / (0.8 * 950), pause)
        self.assertIn(
            'post-copy, which takes live_migration_permit_post_copy=true',
            item.remedy,
        )

    def test_not_decided(self):
        item = self.judge(FULL, 1500.0)
        self.assertEqual('warning', item.result)
        share = item.evidence['ending'] * 100
        best = item.evidence['seconds'][0]
        self.assertIn(
            f'may not end: {share:.0f} % of what the measurement allows do, '
            f'the soonest after {best:.0f} s.',
            item.message,
        )
        self.assertIn('It would end with: ', item.remedy)

    def test_a_longer_timeout_is_advised(self):
        options = {'completion_timeout': '5'}
        item = self.judge(SLOW, 200.0, options, touched_pages=BIG)
        self.assertEqual('failed', item.result)
        text = item.remedy.partition('completion timeout above ')[2]
        self.assertAlmostEqual(82, float(text.split()[0]), delta=30)

    def test_neither_bandwidth_nor_downtime_helps(self):
        item = self.judge(((1.0, BIG), (2.0, BIG)), 1.0)
        self.assertEqual('failed', item.result)
        self.assertNotIn('MiB/s (several', item.remedy)
        self.assertNotIn('a downtime of', item.remedy)

    def test_little_memory_is_copied_sooner(self):
        whole = self.judge(SLOW).evidence['seconds'][1]
        part = self.judge(SLOW, touched_pages=BIG // 16)
        self.assertLess(part.evidence['seconds'][1], whole / 4)

    def test_a_limit_below_the_link_is_kept_to(self):
        def width(item):
            return item.evidence['seconds'][2] - item.evidence['seconds'][0]

        plain = self.judge(SLOW, touched_pages=BIG)
        limited = self.judge(SLOW, touched_pages=BIG, link_mib_s=9000.0)
        self.assertLess(width(limited), width(plain))

    def test_copied_disks_take_their_time(self):
        disk = facts.Disk(
            *('disk', 'file', 'vda', '/d', 'qcow2'),
            *(False, False, False, ''),
            allocation=100 * 1024**3,
        )
        found = self.facts(
            facts.Measured(SLOW, BIG, bandwidth_mib_s=1000.0), disks=(disk,)
        )
        [item] = check.Convergence().judge(found)
        self.assertGreater(item.evidence['seconds'][0], 102.4 / 1.1)

    def test_options_that_nobody_read(self):
        """Neither an end nor none is sure with what is assumed."""
        gap = facts.Gap('no shell', asked=False)
        for windows, told, advice in (
            (SLOW, 'It takes', '^'),
            (FAST, 'does not end', ' s[.] '),
        ):
            measured = facts.Measured(windows, BIG, bandwidth_mib_s=1000.0)
            known = self.facts(measured)
            for changes, why, remedy in (
                ({'shell': gap}, 'no shell', 'See migration-options.'),
                (
                    {'shell': host_samples.shell(unread=('/x',))},
                    '/x on a cannot be read.',
                    'Use a user who may, with --ssh.',
                ),
                (
                    {'shell': host_samples.shell(config_files=())},
                    'No nova.conf was found on a.',
                    'Name it under osc_lab: config_files in clouds.yaml.',
                ),
            ):
                source = dataclasses.replace(known.source, **changes)
                [item] = check.Convergence().judge(
                    dataclasses.replace(known, source=source)
                )
                self.assertEqual('warning', item.result)
                self.assertIn(told, item.message)
                self.assertIn(
                    " That is with Nova's default timeout", item.message
                )
                self.assertRegex(item.remedy, f'{advice}{remedy}$')
                self.assertEqual(why, item.evidence['assumed'])
                self.assertIn('seconds', item.evidence)
            [item] = check.Convergence().judge(known)
            self.assertNotIn('assumed', item.evidence)

    def test_nothing_dirty_is_unknown(self):
        item = self.judge(((1.0, 0.0), (2.0, 0.0)))
        self.assertEqual('unknown', item.result)
        self.assertIn('no dirty page', item.message)
        self.assertIn('below 128 MiB', item.remedy)
        item = self.judge(((1.0, 0.0), (2.0, 100.0)))
        self.assertEqual('ok', item.result)

    def test_without_bandwidth(self):
        for bandwidth in (None, 0.0):
            item = self.judge(((1.0, 10.0),), bandwidth)
            self.assertEqual('unknown', item.result)
            self.assertIn('bandwidth is not known', item.message)
            self.assertIn('--bandwidth', item.remedy)

    def test_a_guest_that_nobody_saw(self):
        found = self.facts(facts.Measured(SLOW, BIG))
        gap = facts.Gap('libvirt does not answer')
        found = dataclasses.replace(
            found, source=samples.host('a', libvirt=gap)
        )
        [item] = check.Convergence().judge(found)
        self.assertEqual(
            ('unknown', 'b', gap.message),
            (item.result, item.subject, item.message),
        )

    def test_not_measured(self):
        found = self.facts(facts.Gap('no', asked=False))
        [item] = check.Convergence().judge(found)
        self.assertEqual('skipped', item.result)
        self.assertIn('--forecast', item.remedy)
