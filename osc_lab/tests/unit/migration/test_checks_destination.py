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


"""The checks of where a server may go, case by case."""

from osc_lab.migration.checks import destination
from osc_lab.migration import facts
from osc_lab.tests.unit.migration import check_cases
from osc_lab.tests.unit.migration import samples

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
        return facts.Shell({}, (), cell)

    return samples.clean(
        source=samples.host('a', shell=end(source)),
        destinations=(samples.host('b', shell=end(destination)),),
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
    (
        destination.SameCell,
        cells('x', 'y'),
        ['unknown'],
        'it may be in another cell.',
        {},
        'Compare "nova-manage cell_v2 list_hosts" by hand.',
    ),
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
        ['warning'],
        'Its aggregates are for other projects: agg.',
        {'aggregates': ['agg']},
        'where AggregateMultiTenancyIsolation is enabled; choose a host',
    ),
    (
        destination.AggregatesAndZone,
        aggregate(
            facts.Aggregate(
                'a2', frozenset({'b'}), {'filter_tenant_id': 'p3'}
            ),
            facts.Aggregate('a3', frozenset({'b'}), {'ssd': 'p1'}),
            facts.Aggregate(
                'a4', frozenset({'c'}), {'filter_tenant_id': 'p1'}
            ),
            filter_tenant_id='p2',
        ),
        ['warning'],
        'other projects: a2, agg.',
        {'aggregates': ['a2', 'agg']},
        'choose a host that is for this project.',
    ),
    *(
        (
            destination.AggregatesAndZone,
            aggregate(
                facts.Aggregate(
                    'a2', frozenset({'b'}), {'filter_tenant_id': other}
                ),
                filter_tenant_id=first,
            ),
            [],
            'let it in',
        )
        for first, other in (('p1', 'p2'), ('p2', 'p1'))
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
)

ALL = (
    destination.DestinationService,
    destination.AggregatesAndZone,
    destination.ServerGroup,
)


class TestChecks(check_cases.CasesTest):
    CASES = CASES
    ALL = ALL
    CLEAN = samples.clean
