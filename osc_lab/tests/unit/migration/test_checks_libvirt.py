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


"""The checks of the way to libvirt, case by case."""

from osc_lab.migration.checks import libvirt
from osc_lab.migration import facts as facts_
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import host_samples as hosts

PLAIN = hosts.attempt(hosts.REACH.OPEN, '', 'qemu+tcp://x/system')

#: (check, facts, results that are not ok, words in message or remedy)
CASES = (
    (
        libvirt.LibvirtListen,
        hosts.reached(hosts.REACH.REFUSED),
        ['failed'],
        'firewall',
        {'from': '', 'reach': 'refused', 'seconds': 1.235},
    ),
    (
        libvirt.LibvirtListen,
        hosts.reached(hosts.REACH.TIMEOUT),
        ['failed'],
        'hangs',
        {'from': '', 'reach': 'timeout', 'seconds': 1.235},
        'libvirtd (or virtqemud), which hangs.',
    ),
    (
        libvirt.LibvirtListen,
        hosts.from_source(hosts.REACH.REFUSED),
        ['failed'],
        'from a',
        {'from': 'a', 'reach': 'refused', 'seconds': 1.235},
    ),
    (
        libvirt.LibvirtListen,
        hosts.from_source(hosts.REACH.UNRESOLVED),
        ['failed'],
        '/etc/hosts',
        {'from': 'a', 'reach': 'unresolved', 'seconds': 1.235},
        'on the destination.',
    ),
    (
        libvirt.LibvirtListen,
        hosts.from_source(hosts.REACH.UNREACHABLE),
        ['failed'],
        'cannot be reached',
        {'from': 'a', 'reach': 'unreachable', 'seconds': 1.235},
    ),
    (
        libvirt.LibvirtListen,
        hosts.from_source(hosts.REACH.AUTH),
        [],
        '',
        {'from': '', 'reach': 'open', 'seconds': 1.235},
    ),
    *(
        (
            libvirt.LibvirtListen,
            hosts.from_source(reach, target='qemu+tcp://b/system?x=?'),
            results,
            words,
            {'from': 'a' if results else '', 'reach': told, 'seconds': 1.235},
            remedy,
        )
        for reach, results, words, told, remedy in (
            (
                hosts.REACH.REFUSED,
                ['failed'],
                'Nothing listens at qemu+tcp://b/system, or a firewall '
                'rejects it (from a): text.',
                'refused',
                '',
            ),
            (
                hosts.REACH.TIMEOUT,
                ['failed'],
                'No answer at qemu+tcp://b/system in time (from a)',
                'timeout',
                'open the port in the firewall',
            ),
            (
                hosts.REACH.UNRESOLVED,
                ['failed'],
                'The name in qemu+tcp://b/system is unknown (from a)',
                'unresolved',
                'live_migration_inbound_addr',
            ),
            (
                hosts.REACH.ERROR,
                ['failed'],
                'qemu+tcp://b/system cannot be reached (from a): text.',
                'error',
                '',
            ),
            (
                hosts.REACH.TLS,
                [],
                'answers at qemu+tcp://b/system, from a.',
                'open',
                '',
            ),
            (
                hosts.REACH.OPEN,
                [],
                'answers at qemu+tls://b/system, from this machine.',
                'open',
                '',
            ),
        )
    ),
    (
        libvirt.LibvirtListen,
        hosts.pair(there={'way': hosts.GAP}),
        ['unknown'],
        'does not answer',
    ),
    (
        libvirt.LibvirtListen,
        hosts.pair(there={'way': hosts.UNSET}),
        [],
        'from this machine',
        {'from': '', 'reach': 'open', 'seconds': 1.235},
    ),
    (
        libvirt.LibvirtListen,
        hosts.pair(source={'reach': hosts.attempt(hosts.REACH.TIMEOUT, '')}),
        ['failed'],
        'from this machine',
        {'from': '', 'reach': 'timeout', 'seconds': 1.235},
        'open the port in the firewall',
    ),
    (
        libvirt.LibvirtAuth,
        hosts.pair(
            source={'reach': hosts.attempt(hosts.REACH.AUTH, '', text='t.')}
        ),
        ['failed'],
        'libvirt refuses this caller: t.',
        {'reach': 'auth'},
    ),
    (
        libvirt.LibvirtAuth,
        hosts.pair(there={'way': hosts.GAP}),
        ['unknown'],
        'does not answer',
    ),
    (
        libvirt.LibvirtAuth,
        hosts.pair(
            there={'way': hosts.way(uri='qemu+tls://b/system', unguarded=True)}
        ),
        [],
        'lets the source in',
    ),
    (
        libvirt.LibvirtAuth,
        hosts.reached(hosts.REACH.AUTH),
        ['failed'],
        'this caller',
        {'reach': 'auth'},
    ),
    (
        libvirt.LibvirtAuth,
        hosts.from_source(hosts.REACH.AUTH),
        ['failed'],
        'auth.conf',
        {'reach': 'auth'},
    ),
    (
        libvirt.LibvirtAuth,
        hosts.pair(there={'way': hosts.way(unguarded=True)}),
        ['warning'],
        'no password',
        {'uri': 'qemu+tcp://b/system'},
        'whoever reaches the port is root there.',
    ),
    *(
        (
            libvirt.LibvirtAuth,
            hosts.pair(**{end: {'reach': PLAIN, **changes}}),
            results,
            'not tried' if results else 'lets the source in',
            {'uri': 'qemu+tcp://x/system'} if results else {},
            'Use TLS: without SASL' if results else '',
        )
        for end, changes, results in (
            ('source', {}, ['warning']),
            # The source asks the same port, with and without a password.
            ('there', {}, []),
            ('there', {'way': hosts.way(complete=False)}, ['warning']),
            (
                'there',
                {'way': hosts.way(uri='qemu+tls://b/system')},
                ['warning'],
            ),
        )
    ),
    (
        libvirt.LibvirtAuth,
        hosts.reached(hosts.REACH.REFUSED),
        ['skipped'],
        'listen',
        {},
        'See libvirt-listen and libvirt-tls.',
    ),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(
            there={'libvirt': hosts.connection('b', host_uuid='uuid-a')}
        ),
        ['failed'],
        'uuid-a',
        {'hostname': 'b.test'},
    ),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(
            there={'libvirt': hosts.connection('b', hostname='a.test')}
        ),
        ['failed'],
        'Both call',
        {'hostname': 'a.test'},
    ),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(
            there={'libvirt': hosts.connection('b', hostname='localhost')}
        ),
        ['failed'],
        'localhost',
        {'hostname': 'localhost'},
    ),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(
            there={'libvirt': hosts.connection('b', hostname='localhost.x')}
        ),
        ['failed'],
        'localhost',
        {'hostname': 'localhost.x'},
    ),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(),
        [],
        'is b.test, with a UUID of its own',
    ),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(
            there={'libvirt': hosts.connection('b', hostname='localhost2.x')}
        ),
        [],
        'is localhost2.x',
    ),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(there={'way': hosts.GAP}),
        ['unknown'],
        'does not answer',
    ),
    *(
        (
            libvirt.LibvirtIdentity,
            hosts.pair(**{end: {'libvirt': hosts.GAP}}),
            ['unknown'],
            'does not answer',
        )
        for end in ('source', 'there')
    ),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(
            there={
                'libvirt': hosts.connection(
                    'b', hostname='a.test', host_uuid='uuid-a'
                ),
                'way': hosts.way(data_resolved=''),
            }
        ),
        ['failed'] * 3,
        'does not know the name b.test.',
        {'hostname': 'a.test'},
    ),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(there={'way': hosts.way(data_resolved='')}),
        ['failed'],
        'does not know',
        {'hostname': 'b.test'},
    ),
)

ALL = (
    libvirt.LibvirtListen,
    libvirt.LibvirtAuth,
    libvirt.LibvirtIdentity,
)


class TestChecks(check_cases.HostCasesTest):
    CASES = CASES
    ALL = ALL
    TWICE = (libvirt.LibvirtListen, libvirt.LibvirtAuth)

    def test_the_last_stop_is_not_doubled(self):
        for text in ('why.', 'why', 'why X'):
            facts = hosts.from_source(hosts.REACH.AUTH, text=text)
            (item,) = (
                item
                for item in self.judge(libvirt.LibvirtAuth(), facts)
                if item.result == 'failed'
            )
            end = item.message.rpartition(': ')[2]
            self.assertEqual(text.rstrip('.') + '.', end)

    def test_plain_channel_alone(self):
        unset = facts_.Gap('No shell channel is set.', asked=False)
        facts = hosts.pair(
            source={'reach': PLAIN}, there={'reach': PLAIN, 'way': unset}
        )
        for item in self.judge(libvirt.LibvirtAuth(), facts):
            self.assertEqual('warning', item.result)
            self.assertIn('was not tried', item.message)

    def test_each_place(self):
        """Who asks is told apart, and what could not be asked is silent."""
        for facts, told in (
            (
                hosts.pair(),
                [
                    ('a', 'lets this caller in'),
                    ('b', 'lets this caller in'),
                    ('b', 'lets the source in'),
                ],
            ),
            (
                hosts.pair(there={'way': hosts.way(complete=False)}),
                [('a', 'lets this caller in'), ('b', 'lets this caller in')],
            ),
            (
                hosts.from_source(hosts.REACH.REFUSED),
                [
                    ('a', 'lets this caller in'),
                    ('b', 'lets this caller in'),
                    ('b', 'did not answer a'),
                ],
            ),
        ):
            found = self.judge(libvirt.LibvirtAuth(), facts)
            self.assertEqual(len(told), len(found))
            for (subject, words), item in zip(told, found, strict=True):
                self.assertEqual(subject, item.subject)
                self.assertIn(words, item.message)
