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


"""The check of what a destination has left, case by case."""

import dataclasses

from osc_lab.migration.checks import placement
from osc_lab.migration import facts
from osc_lab.preflight import finding
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import samples

DISABLED = 'COMPUTE_STATUS_DISABLED'
GAP = facts.Gap('the service does not answer')


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


def pinned(**changes):
    """Return facts of a host that has VCPU and no PCPU for a server."""
    return samples.clean(
        candidates=frozenset(),
        fallback=frozenset({'rp-b'}),
        demand=facts.Demand({'PCPU': 1}, fallback=facts.Demand({'VCPU': 1})),
        destinations=(samples.host('b', **changes),),
    )


#: (check, facts, results that are not ok, words in message or remedy)
CASES = (
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
        pinned(),
        ['warning'],
        'no PCPU for it, only VCPU; that does for a host which still has',
        {'asked': {'PCPU': 1}},
        'Set cpu_dedicated_set in nova.conf there;',
    ),
    (
        placement.DestinationCapacity,
        pinned(provider=provider({'VCPU': 16})),
        ['warning'],
        'vcpu_pin_set',
        {'asked': {'PCPU': 1}},
        'Set cpu_dedicated_set in nova.conf there;',
    ),
    (
        placement.DestinationCapacity,
        dataclasses.replace(
            pinned(provider=facts.Provider({}, frozenset())),
            fallback=frozenset({'rp-c'}),
        ),
        ['failed'],
        'no PCPU at all',
        {'resource_class': 'PCPU', 'asked': 1},
    ),
    (
        placement.DestinationCapacity,
        dataclasses.replace(pinned(), fallback=GAP),
        ['unknown'],
        'does not answer',
    ),
    (
        placement.DestinationCapacity,
        dataclasses.replace(pinned(), candidates=frozenset({'rp-b'})),
        [],
        'room for 1 PCPU',
        {'asked': {'PCPU': 1}},
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

ALL = (placement.DestinationCapacity,)


class TestChecks(check_cases.CasesTest):
    CASES = CASES
    ALL = ALL
    CLEAN = samples.clean


class TestCapacity(check_cases.Judge):
    def test_host_whose_dedicated_cpus_are_taken(self):
        """It has others, and does not give them to a pinned server."""
        books = facts.Provider(
            {
                'VCPU': samples.inventory(16),
                'PCPU': dataclasses.replace(samples.inventory(4), used=4),
            },
            frozenset(),
        )
        (item,) = self.judge(
            placement.DestinationCapacity(), pinned(provider=books)
        )
        self.assertEqual('failed', item.result)
        self.assertIn('1 PCPU too little', item.message)

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
