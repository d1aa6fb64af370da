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

from osc_lab.migration.checks import destination
from osc_lab.migration.checks import placement
from osc_lab.migration import facts
from osc_lab.preflight import finding
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import samples

DISABLED = 'COMPUTE_STATUS_DISABLED'
GAP = facts.Gap('the service does not answer')
NO_HOST = ('no compute host', 'See "openstack compute service list".')
NO_SHELL = facts.Gap('No shell channel is set.', asked=False)


def group(policy, most=1, **members):
    return samples.clean(groups=(facts.Group('g', policy, most, members),))


def aggregate(*others, host='b', specs=None, **metadata):
    """Return facts with an aggregate, and what the flavor asks for."""
    found = samples.flavor(
        **{
            f'aggregate_instance_extra_specs__{key}': value
            for key, value in (specs or {}).items()
        }
    )
    return samples.dataclasses.replace(
        found,
        aggregates=(
            facts.Aggregate('agg', frozenset({host}), metadata),
            *others,
        ),
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
    *(
        (
            destination.DestinationService,
            samples.clean(source=samples.host('a', **seen), destinations=()),
            results,
            words,
            {},
            remedy,
        )
        for seen, results, words, remedy in (
            (
                {'service': GAP, 'hypervisor': GAP},
                *(['unknown'], 'the service does not answer', ''),
            ),
            ({'service': GAP}, ['failed'], *NO_HOST),
            ({'hypervisor': GAP}, ['failed'], *NO_HOST),
        )
    ),
    (
        destination.SameCell,
        samples.destination(shell=NO_SHELL),
        ['skipped'],
        '--ssh',
        {},
        'Use --ssh.',
    ),
    (
        destination.SameCell,
        samples.clean(source=samples.host('a', shell=GAP)),
        ['unknown'],
        'does not answer',
    ),
    (
        destination.DestinationService,
        samples.destination(
            service=samples.service(enabled=False, disabled_reason='')
        ),
        ['failed'],
        'disabled (no reason given)',
        {'disabled_reason': ''},
        'set --enable b nova-compute',
    ),
    (
        destination.SameCell,
        cells('', 'x'),
        ['unknown'],
        'transport_url',
        {},
        'list_hosts" by hand.',
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
        'made for zone east, the host lies in nova',
        {'zone': 'nova', 'wanted': 'east'},
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
        aggregate(host='c', filter_tenant_id='p2'),
        [],
        'let it in',
    ),
    (
        destination.AggregatesAndZone,
        aggregate(filter_tenant_id='p2', filter_tenant_id_2='p3, p1'),
        [],
        '',
    ),
    (
        destination.AggregatesAndZone,
        aggregate(
            facts.Aggregate('x', frozenset({'b'}), {'ssd': 'no ,true'}),
            specs={'ssd': 'true', 'gpu': '2'},
            gpu='2, 3',
        ),
        [],
        '',
    ),
    (
        destination.AggregatesAndZone,
        aggregate(specs={'a__b': '1'}, **{'a:b': '1'}),
        [],
        '',
    ),
    (
        destination.AggregatesAndZone,
        aggregate(specs={'ssd': ''}),
        ['warning'],
        'has ssd=, which',
        {},
        'choose a host of such an aggregate.',
    ),
    (
        destination.AggregatesAndZone,
        aggregate(host='c', specs={'ssd': 'true'}, ssd='true'),
        ['warning'],
        'ssd=true',
        {},
        'choose a host of such an aggregate.',
    ),
    (
        destination.AggregatesAndZone,
        samples.flavor(hw__ssd='true', aggregate_instance_extra_specs__a='1'),
        ['warning'],
        'a=1',
        {},
        'choose a host of such an aggregate.',
    ),
    (
        destination.AggregatesAndZone,
        samples.destination(service=GAP),
        ['unknown'],
        'not answer',
    ),
    (
        destination.AggregatesAndZone,
        samples.server(pinned_zone=GAP),
        [],
        'let it in',
    ),
    (
        destination.AggregatesAndZone,
        samples.flavor(aggregate_instance_extra_specs__a__b='1'),
        ['warning'],
        'a:b=1',
        {},
        'choose a host of such an aggregate.',
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
    (
        destination.ServerGroup,
        group('anti-affinity', 2, s2='b', s3='c'),
        [],
        'allows it',
        {'group': 'g', 'members_there': ['s2']},
    ),
    (
        destination.ServerGroup,
        group('anti-affinity', 2, s3='b', s2='b'),
        ['failed'],
        '2 of its members',
        {'group': 'g', 'members_there': ['s2', 's3']},
    ),
    (
        destination.ServerGroup,
        group('affinity'),
        ['failed'],
        'no member runs there',
        {'group': 'g', 'members_there': []},
        'No other host is allowed while the group',
    ),
    (
        destination.ServerGroup,
        group('soft-affinity'),
        [],
        'allows it',
        {'group': 'g', 'members_there': []},
    ),
    (
        destination.ServerGroup,
        group('soft-affinity', s2='c'),
        ['warning'],
        'soft-affinity',
        {'group': 'g', 'members_there': []},
    ),
    (
        destination.ServerGroup,
        group('soft-anti-affinity', s2='c'),
        [],
        'allows it',
        {'group': 'g', 'members_there': []},
    ),
    (destination.ServerGroup, samples.clean(), [], 'in no group'),
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
    (
        placement.DestinationCapacity,
        samples.clean(demand=GAP),
        ['unknown'],
        '',
    ),
    (
        placement.DestinationCapacity,
        samples.destination(hypervisor=GAP),
        ['unknown'],
        '',
    ),
    (
        placement.DestinationCapacity,
        samples.clean(),
        [],
        'room for 256 MEMORY_MB, 1 VCPU.',
        {'asked': {'VCPU': 1, 'MEMORY_MB': 256}},
    ),
    (
        placement.DestinationCapacity,
        disabled(provider=facts.Gap('unknown', 'ask somebody')),
        ['failed'],
        'does not allow it: unknown',
        {},
        'ask somebody',
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


class TestCapacity(check_cases.Judge):
    def lacks(self, inventories, demand=None, traits=(), **service):
        found = samples.clean(
            candidates=frozenset(),
            demand=demand or facts.Demand({'MEMORY_MB': 256}),
            destinations=(
                samples.host(
                    'b',
                    provider=facts.Provider(inventories, frozenset(traits)),
                    service=samples.service(**service),
                ),
            ),
        )
        return self.judge(placement.DestinationCapacity(), found)

    def failed(self, *args, **kwargs):
        findings = self.lacks(*args, **kwargs)
        for item in findings:
            self.assertIs(finding.Result.FAILED, item.result)
        return findings

    def test_too_little(self):
        item = facts.Inventory(1000, 100, 1.5, 1000, 1200)
        [found] = self.failed({'MEMORY_MB': item})
        self.assertIn(
            '106 MEMORY_MB too little: 256 asked, 150 free '
            '((1000 - 100 reserved) x 1.5 - 1200 used)',
            found.message,
        )
        self.assertEqual(
            {
                'resource_class': 'MEMORY_MB',
                'asked': 256,
                'total': 1000,
                'reserved': 100,
                'allocation_ratio': 1.5,
                'used': 1200,
                'max_unit': 1000,
                'free': 150,
            },
            found.evidence,
        )
        self.assertEqual(placement.DestinationCapacity.remedy, found.remedy)

    def test_disabled_and_too_little(self):
        found = disabled(provider=provider({'VCPU': 1, 'MEMORY_MB': 100}))
        short, trait = self.judge(placement.DestinationCapacity(), found)
        self.assertIn('156 MEMORY_MB too little', short.message)
        self.assertIn('enabled', trait.remedy)
        self.assertIn('COMPUTE_STATUS_DISABLED', trait.message)

    def test_exactly_enough(self):
        """Then something else is in the way."""
        item = facts.Inventory(256, 0, 1.0, 256, 0)
        [found] = self.failed({'MEMORY_MB': item})
        self.assertIn('nested', found.message)

    def test_more_than_one_server_may_have(self):
        item = facts.Inventory(1000, 0, 16.0, 255, 0)
        [found] = self.failed({'MEMORY_MB': item})
        self.assertIn('256 MEMORY_MB asked', found.message)
        self.assertIn('at most 255 (max_unit)', found.message)

    def test_no_such_class(self):
        [found] = self.failed({})
        self.assertIn('no MEMORY_MB', found.message)
        self.assertEqual(
            {'resource_class': 'MEMORY_MB', 'asked': 256}, found.evidence
        )

    def test_each_class(self):
        demand = facts.Demand({'VCPU': 1, 'DISK_GB': 2, 'MEMORY_MB': 3})
        found = self.failed({'MEMORY_MB': samples.inventory(3)}, demand)
        self.assertEqual(
            ['DISK_GB', 'VCPU'],
            [item.evidence['resource_class'] for item in found],
        )

    def test_traits(self):
        demand = facts.Demand({}, frozenset('DAC'), frozenset('EBX'))
        missing, unwanted = self.failed({}, demand, {'B', 'E', 'D'})
        self.assertIn('lacks the traits A, C.', missing.message)
        self.assertEqual({'missing_traits': ['A', 'C']}, missing.evidence)
        self.assertIn('forbidden traits B, E.', unwanted.message)
        self.assertEqual({'forbidden_traits': ['B', 'E']}, unwanted.evidence)
        for item in (missing, unwanted):
            self.assertEqual(placement.DestinationCapacity.remedy, item.remedy)

    def test_one_kind_of_trait(self):
        for demand in (
            facts.Demand({}, frozenset('A')),
            facts.Demand({}, forbidden=frozenset('B')),
        ):
            [item] = self.failed({}, demand, {'B'})
            self.assertIn('traits', item.message)

    def test_disabled_and_another_trait(self):
        """Its service is not all that is in the way."""
        for demand, traits, count in (
            (
                facts.Demand({}, frozenset('A'), frozenset({DISABLED})),
                {DISABLED},
                2,
            ),
            (
                facts.Demand({}, forbidden=frozenset({DISABLED, 'B'})),
                {DISABLED, 'B'},
                1,
            ),
        ):
            found = self.failed({}, demand, traits, enabled=False)
            self.assertEqual(count, len(found))

    def test_only_disabled(self):
        demand = facts.Demand({}, forbidden=frozenset({DISABLED}))
        for traits in ((), (DISABLED,), (DISABLED, 'A')):
            [found] = self.lacks({}, demand, traits, enabled=False)
            self.assertEqual('skipped', found.result)
        [found] = self.lacks({}, demand, (DISABLED,))
        self.assertEqual('failed', found.result)

    def test_nested(self):
        inventory = {'MEMORY_MB': samples.inventory(1000)}
        [found] = self.failed(inventory)
        self.assertIn('may lack it.', found.message)
        self.assertIn('candidate list', found.remedy)
        demand = facts.Demand(
            {},
            groups=(
                facts.Granular('p', {'B': 2, 'A': 1}, frozenset({'Y', 'X'})),
                facts.Granular('q', {'C': 3}),
            ),
        )
        [found] = self.failed(inventory, demand)
        self.assertIn('may lack 1 A, 2 B (X, Y); 3 C ().', found.message)

    def test_unknown_provider(self):
        found = samples.clean(
            candidates=frozenset(),
            destinations=(samples.host('b', provider=GAP),),
        )
        [item] = self.judge(placement.DestinationCapacity(), found)
        self.assertIn(GAP.message, item.message)

    def test_unknown_service(self):
        """Nobody knows that it is disabled."""
        found = samples.clean(
            candidates=frozenset(),
            destinations=(samples.host('b', service=GAP),),
        )
        [item] = self.judge(placement.DestinationCapacity(), found)
        self.assertEqual('failed', item.result)
