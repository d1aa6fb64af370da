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


"""The checks of the destination, as the API and Placement tell."""

import testtools

from osc_lab.migration.checks import destination
from osc_lab.migration.checks import placement
from osc_lab.migration import facts
from osc_lab.preflight import finding
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import samples

GAP = facts.Gap('the service does not answer')
NO_SHELL = facts.Gap('No shell channel is set.', asked=False)


def group(policy, **members):
    return samples.clean(groups=(facts.Group('g', policy, 1, members),))


def aggregate(**metadata):
    return samples.clean(
        aggregates=(facts.Aggregate('agg', frozenset({'b'}), metadata),)
    )


def cells(source, destination):
    def end(cell):
        return facts.Shell('h', {}, (), cell)

    return samples.clean(
        source=samples.host('a', shell=end(source)),
        destinations=(samples.host('b', shell=end(destination)),),
    )


def provider(totals):
    return facts.Provider(
        {name: samples.inventory(total) for name, total in totals.items()},
        frozenset({'COMPUTE_STATUS_DISABLED'}),
    )


def disabled(**changes):
    return samples.clean(
        candidates=frozenset(),
        demand=facts.Demand(
            {'VCPU': 1, 'MEMORY_MB': 256},
            forbidden=frozenset({'COMPUTE_STATUS_DISABLED'}),
        ),
        destinations=(
            samples.host(
                'b', service=samples.service(enabled=False), **changes
            ),
        ),
    )


#: (check, facts, results that are not ok, words in message or remedy)
CASES = (
    (
        destination.DestinationService,
        samples.destination(service=samples.service(up=False)),
        ['failed'],
        'down',
        {},
        'there, or choose another host.',
    ),
    (
        destination.DestinationService,
        samples.destination(
            service=samples.service(enabled=False, disabled_reason='repair')
        ),
        ['failed'],
        'repair',
        {'disabled_reason': 'repair'},
        'service set --enable b nova-compute',
    ),
    (
        destination.DestinationService,
        samples.destination(service=samples.service(forced_down=True)),
        ['failed'],
        'forced',
        {},
        'compute service set --up b nova-compute',
    ),
    (
        destination.DestinationService,
        samples.destination(service=GAP),
        ['unknown'],
        '',
    ),
    (
        destination.DestinationService,
        samples.clean(destinations=(samples.host('a'),)),
        ['failed'],
        'already',
    ),
    (
        destination.DestinationService,
        samples.clean(destinations=()),
        ['failed'],
        'no compute host',
        {},
        'See "openstack compute service list".',
    ),
    (
        destination.SameCell,
        samples.destination(shell=NO_SHELL),
        ['skipped'],
        '--ssh',
        {},
        'Use --ssh.',
    ),
    (destination.SameCell, cells('x', 'x'), [], 'same'),
    (destination.SameCell, cells('x', 'y'), ['failed'], 'another cell'),
    (
        destination.SameCell,
        cells('x', ''),
        ['unknown'],
        'transport_url',
        {},
        'cell_v2 list_hosts" by hand.',
    ),
    (
        destination.AggregatesAndZone,
        samples.server(pinned_zone='nova'),
        [],
        '',
    ),
    (
        destination.AggregatesAndZone,
        samples.server(pinned_zone='east'),
        ['failed'],
        'east',
        {'zone': 'nova', 'wanted': 'nova'},
    ),
    (
        destination.AggregatesAndZone,
        samples.server(pinned_zone=GAP, zone='east'),
        ['warning'],
        'east',
        {'zone': 'nova', 'wanted': 'east'},
        'with a zone. the service does not answer',
    ),
    (
        destination.AggregatesAndZone,
        aggregate(filter_tenant_id='p1,p2'),
        [],
        '',
    ),
    (
        destination.AggregatesAndZone,
        aggregate(filter_tenant_id='p2'),
        ['failed'],
        'other projects',
        {'aggregate': 'agg'},
    ),
    (
        destination.AggregatesAndZone,
        samples.flavor(aggregate_instance_extra_specs__ssd='true'),
        ['warning'],
        'ssd',
        {},
        'choose a host of such an aggregate.',
    ),
    (
        destination.AggregatesAndZone,
        samples.clean(aggregates=GAP),
        ['unknown'],
        '',
    ),
    (
        destination.ServerGroup,
        group('anti-affinity', s2='b'),
        ['failed'],
        'there',
        {'group': 'g', 'members_there': ['s2']},
    ),
    (
        destination.ServerGroup,
        group('anti-affinity', s2='c'),
        [],
        '',
        {'group': 'g', 'members_there': []},
    ),
    (
        destination.ServerGroup,
        group('affinity', s2='c'),
        ['failed'],
        'no member',
        {'group': 'g', 'members_there': []},
    ),
    (
        destination.ServerGroup,
        group('affinity', s2='b'),
        [],
        '',
        {'group': 'g', 'members_there': ['s2']},
    ),
    (
        destination.ServerGroup,
        group('soft-anti-affinity', s2='b'),
        ['warning'],
        '',
        {'group': 'g', 'members_there': ['s2']},
    ),
    (
        destination.ServerGroup,
        group('soft-affinity', s2='b'),
        [],
        '',
        {'group': 'g', 'members_there': ['s2']},
    ),
    (destination.ServerGroup, samples.clean(groups=GAP), ['unknown'], ''),
    (
        placement.DestinationCapacity,
        samples.clean(candidates=frozenset()),
        ['failed'],
        '--host',
        {'asked': {'VCPU': 1, 'MEMORY_MB': 256}},
        'host with --host to see what is missing.',
    ),
    (
        placement.DestinationCapacity,
        disabled(provider=None),
        ['skipped'],
        'destination-service',
        {},
        'See destination-service.',
    ),
    (
        placement.DestinationCapacity,
        disabled(provider=provider({'VCPU': 4, 'MEMORY_MB': 512})),
        ['skipped'],
        'destination-service',
        {},
        'See destination-service.',
    ),
    (
        placement.DestinationCapacity,
        disabled(provider=facts.Gap('unknown provider')),
        ['failed'],
        'unknown provider',
    ),
    (
        placement.DestinationCapacity,
        samples.clean(candidates=GAP),
        ['unknown'],
        '',
    ),
)

ALL = (
    destination.DestinationService,
    destination.AggregatesAndZone,
    destination.ServerGroup,
    placement.DestinationCapacity,
)


class TestChecks(check_cases.CasesTest):
    CASES = CASES
    ALL = ALL
    CLEAN = samples.clean


class TestCapacity(testtools.TestCase):
    def lacks(self, inventories, demand=None, traits=()):
        found = samples.clean(
            candidates=frozenset(),
            demand=demand or facts.Demand({'MEMORY_MB': 256}),
            destinations=(
                samples.host(
                    'b',
                    provider=facts.Provider(inventories, frozenset(traits)),
                ),
            ),
        )
        findings = list(placement.DestinationCapacity().judge(found))
        for item in findings:
            self.assertIs(finding.Result.FAILED, item.result)
        return findings

    def test_too_little(self):
        item = facts.Inventory(1000, 100, 1.5, 1000, 1200)
        [found] = self.lacks({'MEMORY_MB': item})
        self.assertIn('106 MEMORY_MB too little', found.message)
        self.assertEqual(150, found.evidence['free'])

    def test_disabled_and_too_little(self):
        found = disabled(provider=provider({'VCPU': 1, 'MEMORY_MB': 100}))
        short, trait = placement.DestinationCapacity().judge(found)
        self.assertIn('156 MEMORY_MB too little', short.message)
        self.assertIn('enabled', trait.remedy)

    def test_more_than_one_server_may_have(self):
        item = facts.Inventory(1000, 0, 16.0, 128, 0)
        [found] = self.lacks({'MEMORY_MB': item})
        self.assertIn('max_unit', found.message)

    def test_no_such_class(self):
        [found] = self.lacks({})
        self.assertIn('no MEMORY_MB', found.message)

    def test_traits(self):
        demand = facts.Demand({}, frozenset({'A'}), frozenset({'B'}))
        found = self.lacks({}, demand, {'B'})
        self.assertEqual(['A'], found[0].evidence['missing_traits'])
        self.assertEqual(['B'], found[1].evidence['forbidden_traits'])

    def test_nested(self):
        [found] = self.lacks({'MEMORY_MB': samples.inventory(1000)})
        self.assertIn('nested', found.message)

    def test_unknown_provider(self):
        found = samples.clean(
            candidates=frozenset(),
            destinations=(samples.host('b', provider=GAP),),
        )
        [item] = placement.DestinationCapacity().judge(found)
        self.assertIn(GAP.message, item.message)
