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
    ),
    (
        libvirt.LibvirtListen,
        hosts.reached(hosts.REACH.TIMEOUT),
        ['failed'],
        'hangs',
    ),
    (
        libvirt.LibvirtListen,
        hosts.from_source(hosts.REACH.REFUSED),
        ['failed'],
        'from a',
    ),
    (
        libvirt.LibvirtListen,
        hosts.from_source(hosts.REACH.UNRESOLVED),
        ['failed'],
        '/etc/hosts',
    ),
    (
        libvirt.LibvirtListen,
        hosts.from_source(hosts.REACH.UNREACHABLE),
        ['failed'],
        'cannot be reached',
    ),
    (libvirt.LibvirtListen, hosts.from_source(hosts.REACH.AUTH), [], ''),
    (
        libvirt.LibvirtAuth,
        hosts.reached(hosts.REACH.AUTH),
        ['failed'],
        'this caller',
    ),
    (
        libvirt.LibvirtAuth,
        hosts.from_source(hosts.REACH.AUTH),
        ['failed'],
        'auth.conf',
    ),
    (
        libvirt.LibvirtAuth,
        hosts.pair(there={'way': hosts.way(unguarded=True)}),
        ['warning'],
        'no password',
    ),
    (
        libvirt.LibvirtAuth,
        hosts.reached(hosts.REACH.REFUSED),
        ['skipped'],
        'listen',
    ),
    (
        certificates.LibvirtTls,
        hosts.reached(hosts.REACH.TLS),
        ['failed'],
        'TLS fails',
    ),
    (
        certificates.LibvirtTls,
        hosts.from_source(hosts.REACH.TLS),
        ['failed'],
        'TLS fails',
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(not_after=hosts.NOW - 86400 * 3),
        ['failed'],
        'expired 3 days ago',
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(not_after=hosts.NOW + 86400 * 3),
        ['warning'],
        'in 3 days',
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(not_before=hosts.NOW + 100),
        ['failed'],
        'clocks',
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(names=frozenset({'c'})),
        ['failed'],
        'not for b.test',
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(signed_by=''),
        ['failed'],
        'not signed',
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(signed_by='other'),
        ['failed'],
        'not trust',
    ),
    (
        certificates.LibvirtTls,
        hosts.tls(role='client'),
        ['failed'],
        'no server',
    ),
    (certificates.LibvirtTls, hosts.tls(), [], ''),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(
            there={'libvirt': hosts.connection('b', host_uuid='uuid-a')}
        ),
        ['failed'],
        'uuid-a',
    ),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(
            there={'libvirt': hosts.connection('b', hostname='a.test')}
        ),
        ['failed'],
        'Both call',
    ),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(
            there={'libvirt': hosts.connection('b', hostname='localhost.x')}
        ),
        ['failed'],
        'localhost',
    ),
    (
        libvirt.LibvirtIdentity,
        hosts.pair(there={'way': hosts.way(data_resolved='')}),
        ['failed'],
        'does not know',
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
