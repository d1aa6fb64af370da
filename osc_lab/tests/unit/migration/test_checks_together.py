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

"""No defect is hidden by another one, nor by what is not seen.

Each cause of each check is brought upon the same clean pair of hosts, alone
and with each other one; then clean clusters are judged by all checks.
"""

import dataclasses
import itertools
import typing

import testtools

from osc_lab.migration import facts as facts_
from osc_lab.preflight import registry
from osc_lab.tests import thorough
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import host_samples as hosts
from osc_lab.tests.unit.migration import samples
from osc_lab.tests.unit.migration import test_checks_certificates
from osc_lab.tests.unit.migration import test_checks_destination
from osc_lab.tests.unit.migration import test_checks_guest
from osc_lab.tests.unit.migration import test_checks_hypervisor
from osc_lab.tests.unit.migration import test_checks_libvirt
from osc_lab.tests.unit.migration import test_checks_options
from osc_lab.tests.unit.migration import test_checks_placement
from osc_lab.tests.unit.migration import test_checks_ports
from osc_lab.tests.unit.migration import test_checks_qemu
from osc_lab.tests.unit.migration import test_checks_server

TABLES = (
    test_checks_certificates.TestChecks,
    test_checks_destination.TestChecks,
    test_checks_guest.TestChecks,
    test_checks_hypervisor.TestChecks,
    test_checks_hypervisor.TestToldByNova,
    test_checks_libvirt.TestChecks,
    test_checks_options.TestChecks,
    test_checks_placement.TestChecks,
    test_checks_ports.TestChecks,
    test_checks_qemu.TestChecks,
    test_checks_server.TestChecks,
)

#: Ask about disks; another disk, or where it lies, answers them.
OF_DISKS = {
    *('guest-devices', 'migration-options', 'migration-storage'),
    'qemu-migrate',
}

#: (check, another) -> why facts of the other one answer the first.
ANSWERED = {
    ('cpu', 'migration-options'): 'Nova compares the model with this cpu_mode',
    ('port-binding', 'server-state'): 'a resize has bindings of its own',
    ('migration-storage', 'migration-options'): 'another instances_path',
    ('qemu-migrate', 'migration-storage'): 'shared disks, as asked',
    ('server-features', 'numa-and-sriov'): 'the guest shows it, not the image',
}

#: Of each check and another: why it takes a defect for less beside one of
#: the other, though never for none.
MILDER = {
    ('aggregates-and-zone', 'aggregates-and-zone'): 'another zone is asked',
    ('cpu', 'guest-devices'): 'nobody sees the CPU of the guest',
    ('cpu', 'migration-storage'): 'nobody sees the CPU of the guest',
    ('destination-capacity', 'destination-capacity'): 'see the other check',
    ('destination-capacity', 'destination-service'): 'see the other check',
    ('guest-devices', 'guest-devices'): 'its pci alias may let it travel',
    ('guest-devices', 'numa-and-sriov'): 'Nova unplugs the port',
    ('guest-devices', 'server-features'): 'its pci alias may let it travel',
    ('host-memory', 'host-memory'): 'huge pages are counted apart',
    ('libvirt-auth', 'libvirt-listen'): 'who is not reached asks nobody',
    ('libvirt-auth', 'libvirt-tls'): 'who is not reached asks nobody',
    ('libvirt-tls', 'libvirt-tls'): 'other certificates, other options',
    ('mirrors', 'mirrors'): 'they were not looked for',
    ('qemu-processes', 'qemu-processes'): 'it sees more certificates',
    ('numa-and-sriov', 'numa-and-sriov'): 'nobody sees that it is asked',
    ('numa-and-sriov', 'server-features'): 'nobody sees that it is asked',
}

#: Checks and words of what the APIs alone do not tell, but the guest does.
SHOWN = {('numa-and-sriov', 'ask for none; of the image')}

#: How bad what is found is; what nobody sees may be as bad as it gets.
BAD = {'ok': 0, 'skipped': 1, 'warning': 2, 'unknown': 3, 'failed': 3}


class Conflict(Exception):
    """Two causes change the same fact in two ways."""


def merged(clean, one, other):
    """Return facts with the changes of both; what is not seen stays so.

    :raises Conflict: when both change a fact
    """
    if one in (clean, other):
        return other
    if other == clean:
        return one
    for value in (one, other):
        if isinstance(value, facts_.Gap):
            return value
    if type(clean) is type(one) is type(other):
        if isinstance(clean, facts_.Network):
            raise Conflict
        if dataclasses.is_dataclass(clean):
            names = [field.name for field in dataclasses.fields(clean)]
            return type(clean)(
                **{
                    name: merged(
                        *(getattr(x, name) for x in (clean, one, other))
                    )
                    for name in names
                }
            )
        if isinstance(clean, dict):
            return {
                key: merged(*(x.get(key) for x in (clean, one, other)))
                for key in {**clean, **one, **other}
            }
        if clean and isinstance(clean, tuple):
            # Of destinations there is one.
            if isinstance(clean[0], facts_.Host):
                return (merged(clean[0], one[0], other[0]),)
    raise Conflict


class Defect(typing.NamedTuple):
    case: check_cases.Case
    facts: facts_.Facts

    @property
    def id(self):
        return self.case.check.id

    def judged(self, facts):
        return list(self.case.check().judge(facts))

    def __str__(self):
        return f'{self.id} "{self.case.words}"'


def defects():
    """Yield the causes of findings that a clean pair of hosts can have."""
    for table in TABLES:
        clean = table.CLEAN()
        for row in table.CASES:
            case = check_cases.Case(*row)
            names = [host.name for host in case.facts.destinations]
            if not case.results or names != ['b']:
                continue
            if (case.check.id, case.words.partition(':')[0]) in SHOWN:
                continue
            try:
                found = merged(clean, hosts.pair(), case.facts)
            except Conflict:
                continue
            yield Defect(case, found)


def disks(facts):
    """Return what is known of the disks, here and there."""
    there = facts.destinations[0].shell
    domain = facts.source.guest
    known = []
    if not isinstance(domain, facts_.Gap):
        known.append(domain.disks)
    if not isinstance(there, facts_.Gap):
        known.append(there.files)
    return known


def nova_tells(item, facts):
    """Return whether the space is known although nobody looked."""
    there = facts.destinations[0].shell
    return (
        item.id == 'migration-storage'
        and isinstance(there, facts_.Gap)
        and not there.asked
    )


def unasked(facts):
    """Return the channels that are not set, to both hosts."""
    return {
        (host.name, name)
        for host in (facts.source, *facts.destinations)
        for name in ('guest', 'libvirt', 'shell')
        if isinstance(found := getattr(host, name), facts_.Gap)
        and not found.asked
    }


def worst(findings):
    return max((BAD[item.result] for item in findings), default=-1)


def with_server(found, **changes):
    return dataclasses.replace(
        found, server=dataclasses.replace(found.server, **changes)
    )


def conf(**values):
    """Return facts with options at the source."""
    return hosts.pair(
        source={
            'shell': hosts.shell(
                options=hosts.conf(
                    **{f'live_migration_{k}': v for k, v in values.items()}
                ),
                files=hosts.HERE,
            )
        }
    )


def on_pair(found):
    """Return facts of the APIs, and two clean hosts with all channels."""
    return merged(samples.clean(), hosts.pair(), found)


def several():
    """Return facts with three destinations."""
    found = hosts.pair()
    (host,) = found.destinations
    names = ('b', 'c', 'd')
    return dataclasses.replace(
        found,
        destinations=tuple(
            dataclasses.replace(
                host,
                name=name,
                libvirt=hosts.connection(name),
                hypervisor=samples.host(name).hypervisor,
            )
            for name in names
        ),
        candidates=frozenset(f'rp-{name}' for name in names),
        network=dataclasses.replace(
            found.network,
            agents=tuple(samples.agent(name) for name in ('a', *names)),
        ),
        request=facts_.Request(),
    )


def guest(**changes):
    """Return facts with another guest."""
    found = hosts.domain(**changes)
    (host,) = found.destinations
    return dataclasses.replace(found, destinations=(host,))


SHARED = {'shell': hosts.shell(files=hosts.HERE)}
NEWER = hosts.connection('b', version=11000000, qemu_version=10001000)
OVN = samples.agent('b', type='OVN Controller agent', tunnel_types=frozenset())
GROUP = test_checks_destination.group

#: What a cluster is like -> facts of one in which nothing is wrong.
CLEAN = {
    'two hosts': hosts.pair(),
    'no channel': samples.clean(),
    'three destinations': several(),
    'shared storage': hosts.pair(there=SHARED),
    'shared storage, as asked': hosts.pair(
        there=SHARED, request=facts_.Request('b', facts_.Storage.SHARED)
    ),
    'copied disks, as asked': hosts.pair(
        request=facts_.Request('b', facts_.Storage.BLOCK)
    ),
    'booted from a volume': with_server(
        merged(
            hosts.pair(),
            hosts.disk(volume_id='v1'),
            on_pair(samples.volume()),
        ),
        volume_ids=('v1',),
    ),
    'an encrypted volume': on_pair(
        test_checks_ports.secret(facts_.Access.ALLOWED)
    ),
    'a fixed key': on_pair(test_checks_ports.secret(facts_.Access.FIXED_KEY)),
    'a newer destination': hosts.pair(there={'libvirt': NEWER}),
    'TLS': hosts.tls(),
    'post-copy': conf(permit_post_copy=True),
    'auto-converge': conf(permit_auto_converge=True),
    'a limit that is enough': conf(bandwidth=1000),
    'many connections': conf(parallel_connections=4),
    'OVN': on_pair(samples.ports(({'network_type': 'geneve'},), OVN)),
    'a provider network': on_pair(
        samples.port(network_type='vlan', physical_network='physnet1')
    ),
    'no port': on_pair(
        samples.clean(network=facts_.Network((), (samples.agent('b'),)))
    ),
    'three ports': on_pair(
        samples.ports(
            ({'id': 'p1'}, {'id': 'p2'}, {'id': 'p3'}),
            *map(samples.agent, 'ab'),
        )
    ),
    'anti-affinity': on_pair(GROUP('anti-affinity', s2='c')),
    'affinity': on_pair(GROUP('affinity', s2='b')),
    'an aggregate of its own': on_pair(
        test_checks_destination.aggregate(
            specs={'ssd': 'true'}, ssd='true', filter_tenant_id='p1'
        )
    ),
    'other names': with_server(
        hosts.pair(),
        name='\u043c\u0430\u0448\u0438\u043d\u0430 \U0001f512; $(id)',
    ),
    'a mirror that follows': on_pair(
        samples.clean(mirrors=(facts_.Mirror('m', 'port1', 'a', True),))
    ),
}


class TestTogether(testtools.TestCase):
    def test_defects(self):
        """Each is seen on hosts with all channels as it is without."""
        found = list(defects())
        self.assertLess(200, len(found))
        for item in found:
            told = [
                finding.result
                for finding in item.judged(item.facts)
                if finding.result != 'ok'
            ]
            self.assertEqual(
                sorted(item.case.results), sorted(told), str(item)
            )

    def test_pairs(self):
        pairs = thorough.Pairs(self)
        clean = hosts.pair()
        for one, other in itertools.combinations(defects(), 2):
            try:
                both = merged(clean, one.facts, other.facts)
            except Conflict:
                continue
            known = [
                pair
                for pair in ((one, other), (other, one))
                if self.answers(*pair, both)
            ]
            if not known:
                continue
            with pairs.one():
                for pair in known:
                    self.seen(*pair, both)
        self.assertLess(20_000, pairs.tried)

    def answers(self, item, beside, both):
        """Return whether a check has still to see its defect."""
        if (item.id, beside.id) in ANSWERED or nova_tells(item, both):
            return False
        before = disks(item.facts)
        return item.id not in OF_DISKS or all(
            known in before for known in disks(both)
        )

    def seen(self, item, beside, both):
        found, text = item.judged(both), f'{item} beside {beside}'
        self.assertNotIn(worst(found), (-1, BAD['ok']), text)
        if (item.id, beside.id) in MILDER or unasked(both) - unasked(
            item.facts
        ):
            return
        alone = worst(item.judged(item.facts))
        self.assertLessEqual(alone, worst(found), text)

    def test_clean(self):
        checks = registry.load().checks
        self.assertLess(30, len(checks))
        self.assertLessEqual(20, len(CLEAN))
        for name, facts in CLEAN.items():
            for check in checks:
                for item in check.judge(facts):
                    self.assertIn(
                        item.result.value, ('ok', 'skipped'), (name, item)
                    )
