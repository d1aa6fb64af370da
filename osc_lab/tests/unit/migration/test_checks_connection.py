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


"""The checks of the way to libvirt: who listens, and who may."""

import dataclasses

from osc_lab.migration.checks import certificates
from osc_lab.migration.checks import libvirt
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import host_samples as hosts

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
                'answers at qemu+tcp://b/system, from this machine.',
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
    (
        libvirt.LibvirtAuth,
        hosts.reached(hosts.REACH.REFUSED),
        ['skipped'],
        'listen',
        {},
        'See libvirt-listen and libvirt-tls.',
    ),
    (
        certificates.LibvirtTls,
        hosts.reached(hosts.REACH.TLS),
        ['failed'],
        'TLS fails',
        {'origin': ''},
    ),
    (
        certificates.LibvirtTls,
        hosts.certified(
            (hosts.CA, hosts.CLIENT),
            (hosts.CA, hosts.certificate()),
            way=hosts.way(libvirt=hosts.attempt(hosts.REACH.TLS)),
        ),
        ['failed'],
        'TLS fails',
        {'origin': 'a'},
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(not_after=hosts.NOW - 86400 * 3),
        ['failed'],
        'expired 3 days ago',
        {'path': '/etc/pki/libvirt/servercert.pem', 'days_left': -3},
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(not_after=hosts.NOW + 86400 * 3),
        ['warning'],
        'in 3 days',
        {'path': '/etc/pki/libvirt/servercert.pem', 'days_left': 3},
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(not_before=hosts.NOW + 100),
        ['failed'],
        'clocks',
        {'path': '/etc/pki/libvirt/servercert.pem', 'days_left': 115},
    ),
    (
        certificates.LibvirtTls,
        hosts.named({'c'}, 'b.test'),
        ['failed', 'failed'],
        'not for b.test',
        {'origin': 'a'},
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(signed_by=''),
        ['failed'],
        'not signed',
        {'path': '/etc/pki/libvirt/servercert.pem', 'days_left': 115},
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(signed_by='other'),
        ['failed'],
        'not trust',
        {},
        'Give all hosts the same CA certificate.',
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(role='client'),
        ['failed'],
        'no server',
    ),
    (certificates.LibvirtTls, hosts.tls(), [], ''),
    *(
        (
            certificates.LibvirtTls,
            hosts.named({name, 'other'}, address),
            ['failed'] if good else ['failed', 'failed'],
            'TLS fails at' if good else f'is not for {address} but for',
            {'origin': 'a'},
        )
        for name, address, good in (
            ('B.Test', 'b.tesT', True),
            ('*.cloud.test', 'B.cloud.test', True),
            ('b*.cloud.test', 'b1.cloud.test', True),
            ('b*.cloud.test', 'b.cloud.test', True),
            ('b*z.cloud.test', 'b.cloud.test', False),
            ('*b.cloud.test', 'c.cloud.test', False),
            ('*.test', 'b.test', False),
            ('*.cloud.test', 'a.b.cloud.test', False),
            ('*.cloud.test', 'cloud.test', False),
            ('b.cloud.test', 'b', False),
            ('2001:db8::1', '2001:0DB8:0::1', True),
            ('192.0.2.1', '192.0.2.1', True),
            ('192.0.2.1', '192.0.2.2', False),
        )
    ),
    (
        certificates.LibvirtTls,
        hosts.certified(
            (hosts.CA, hosts.CLIENT),
            (hosts.CA, hosts.certificate(names=frozenset({'other'}))),
        ),
        [],
        'are good',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified(
            (hosts.CA, hosts.CLIENT),
            (hosts.CA, hosts.certificate(names=frozenset({'other'}))),
            way=hosts.way(libvirt=hosts.attempt(hosts.REACH.REFUSED)),
        ),
        ['failed'],
        'is not for b.test but for other.',
        {'path': '/etc/pki/libvirt/servercert.pem', 'days_left': 115},
    ),
    (certificates.LibvirtTls, hosts.native({'x'}, 'x'), [], 'are good'),
    (
        certificates.LibvirtTls,
        hosts.native({'x'}, 'y'),
        ['failed'],
        'is not for y but for x.',
        {'path': '/etc/pki/libvirt/servercert.pem', 'days_left': 115},
    ),
    (
        certificates.LibvirtTls,
        hosts.pair(
            source={'shell': hosts.shell(config_files=(), files=hosts.HERE)}
        ),
        ['unknown'],
        'No nova.conf was found on a.',
        {},
        'config_files in clouds.yaml.',
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(not_after=hosts.NOW),
        ['warning'],
        'in 0 days',
        {'path': '/etc/pki/libvirt/servercert.pem', 'days_left': 0},
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(not_after=hosts.NOW + 86400 * 14 - 1),
        ['warning'],
        'in 13 days',
        {'path': '/etc/pki/libvirt/servercert.pem', 'days_left': 13},
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(not_after=hosts.NOW + 86400 * 14, not_before=hosts.NOW),
        [],
        '',
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(not_after=hosts.NOW - 86400 * 1.5),
        ['failed'],
        'expired 1 days ago',
        {'path': '/etc/pki/libvirt/servercert.pem', 'days_left': -2},
    ),
    (
        certificates.LibvirtTls,
        hosts.named((), 'b.test'),
        ['failed', 'failed'],
        'but for -',
        {'origin': 'a'},
    ),
    (
        certificates.LibvirtTls,
        hosts.named({'d', 'c'}, 'b.test'),
        ['failed', 'failed'],
        'but for c, d.',
        {'origin': 'a'},
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(stack='qemu', not_after=0, names=frozenset()),
        ['failed'],
        'no server certificate for libvirt',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified(
            (hosts.CA, hosts.CLIENT),
            (hosts.CA, hosts.certificate(names=frozenset())),
            way=hosts.GAP,
        ),
        ['unknown'],
        'does not answer',
    ),
    (
        certificates.LibvirtTls,
        hosts.pair(
            source={'shell': hosts.UNSET},
            there={
                'shell': hosts.shell(
                    certificates=(hosts.certificate(not_after=0),)
                )
            },
        ),
        ['skipped'],
        'No shell channel',
        {},
        'Use --ssh.',
    ),
    (
        certificates.LibvirtTls,
        hosts.pair(there={'shell': hosts.UNSET}),
        ['skipped'],
        'No shell channel',
        {},
        'Use --ssh.',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified(hosts.GAP, (hosts.CA, hosts.certificate())),
        ['unknown'],
        'does not answer',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified(()),
        ['failed'] * 4,
        'no ca certificate for libvirt',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified((hosts.CA,), (hosts.certificate(),)),
        ['failed', 'failed'],
        'no client certificate for libvirt',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified(
            (hosts.CA, hosts.CLIENT),
            (hosts.CA, hosts.certificate()),
            live_migration_with_native_tls=True,
        ),
        ['failed'] * 4,
        'no server certificate for qemu',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified(hosts.GAP),
        ['unknown', 'unknown'],
        '',
    ),
    (
        certificates.LibvirtTls,
        hosts.pair(there={'shell': hosts.shell(certificates=hosts.GAP)}),
        [],
        'good',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified((hosts.CA, hosts.CLIENT), hosts.GAP),
        ['unknown'],
        '',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified(
            (hosts.CA, dataclasses.replace(hosts.CLIENT, signed_by='')),
            (hosts.CA, hosts.certificate()),
        ),
        ['failed'],
        'clientcert.pem is not signed',
        {'path': '/etc/pki/libvirt/clientcert.pem', 'days_left': 115},
    ),
    (
        certificates.LibvirtTls,
        hosts.pair(
            source={
                'reach': hosts.attempt(
                    hosts.REACH.TLS, '', 'qemu+tls://a/system?x=?', '.t.'
                )
            }
        ),
        ['failed'],
        'TLS fails at qemu+tls://a/system: .t.',
        {'origin': ''},
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
    certificates.LibvirtTls,
    libvirt.LibvirtIdentity,
)


class TestChecks(check_cases.HostCasesTest):
    CASES = CASES
    ALL = ALL
    TWICE = (libvirt.LibvirtListen, libvirt.LibvirtAuth)

    def test_the_last_stop_is_not_doubled(self):
        for check, reach in (
            (certificates.LibvirtTls, hosts.REACH.TLS),
            (libvirt.LibvirtAuth, hosts.REACH.AUTH),
        ):
            for text in ('why.', 'why', 'why X'):
                facts = hosts.from_source(reach, text=text)
                (item,) = (
                    item
                    for item in self.judge(check(), facts)
                    if item.result == 'failed'
                )
                end = item.message.rpartition(': ')[2]
                self.assertEqual(text.rstrip('.') + '.', end)

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
