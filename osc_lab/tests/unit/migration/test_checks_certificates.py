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


"""The check of libvirt's certificates, case by case."""

import dataclasses

from osc_lab.migration.checks import certificates
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import host_samples as hosts

#: A way that proves nothing.
CLOSED = hosts.way(libvirt=hosts.attempt(hosts.REACH.REFUSED))

#: (check, facts, results that are not ok, words in message or remedy)
CASES = (
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
        hosts.certified(
            (hosts.CA, hosts.CLIENT),
            (hosts.CA, hosts.certificate(role='client')),
            way=CLOSED,
        ),
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
        hosts.certified(
            (hosts.CA, hosts.CLIENT),
            (
                hosts.CA,
                hosts.certificate(
                    stack='qemu', not_after=0, names=frozenset()
                ),
            ),
            way=CLOSED,
        ),
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
        hosts.certified((), way=CLOSED),
        ['failed'] * 4,
        'no ca certificate for libvirt',
    ),
    (certificates.LibvirtTls, hosts.certified(()), [], 'are good'),
    (
        certificates.LibvirtTls,
        hosts.certified((), live_migration_with_native_tls=True),
        ['failed'] * 4,
        'no ca certificate for qemu',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified((), way=CLOSED, unseen=[('libvirt', 'ca')]),
        ['unknown', 'failed'] * 2,
        'Nobody can see it.',
        {},
        'Use a user who may.',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified(
            (hosts.CA, hosts.CLIENT),
            (hosts.CA,),
            way=CLOSED,
            unseen=[('libvirt', 'ca'), ('libvirt', 'server'), ('qemu', 'ca')],
        ),
        ['unknown'],
        'Nobody can see it.',
        {},
        'Use a user who may.',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified((), unseen=[('libvirt', 'ca')]),
        [],
        'are good',
    ),
    (
        certificates.LibvirtTls,
        hosts.certified((hosts.CA,), (hosts.certificate(),), way=CLOSED),
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
)

ALL = (certificates.LibvirtTls,)


class TestChecks(check_cases.HostCasesTest):
    CASES = CASES
    ALL = ALL

    def test_one_way_is_enough_for_the_source(self):
        """Its certificates are the same for every destination."""
        facts = hosts.certified((), (hosts.CA, hosts.certificate()))
        # A port that answers, and nobody knows whether libvirt does.
        port = hosts.way(complete=False)
        host = dataclasses.replace(facts.destinations[0], way=port)
        other = dataclasses.replace(host, name='c', way=hosts.way())
        for destinations, failed in (
            ((host,), ['a', 'a']),
            ((host, other), []),
            ((other, host), []),
        ):
            found = self.judge(
                certificates.LibvirtTls(),
                dataclasses.replace(facts, destinations=destinations),
            )
            self.assertEqual(
                failed,
                [item.subject for item in found if item.result != 'ok'],
            )

    def test_the_last_stop_is_not_doubled(self):
        for text in ('why.', 'why', 'why X'):
            facts = hosts.from_source(hosts.REACH.TLS, text=text)
            (item,) = (
                item
                for item in self.judge(certificates.LibvirtTls(), facts)
                if item.result == 'failed'
            )
            end = item.message.rpartition(': ')[2]
            self.assertEqual(text.rstrip('.') + '.', end)
