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

"""Checks over what the APIs tell, one cause at a time."""

import testtools

from osc_lab.migration.checks import destination
from osc_lab.migration.checks import network
from osc_lab.migration.checks import placement
from osc_lab.migration.checks import server
from osc_lab.migration.checks import storage
from osc_lab.migration import facts
from osc_lab.preflight import finding
from osc_lab.tests.unit.migration import samples

GAP = facts.Gap('the service does not answer')
NO_SHELL = facts.Gap('No shell channel is set.', asked=False)


def secret(access):
    return samples.volume(
        encrypted=True, secret=facts.Secret('k1', 'http://k/k1', access)
    )


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


#: (check, facts, result, words of the message or remedy)
CASES = (
    (
        server.ServerState,
        samples.server(vm_state='paused', power_state=3),
        'ok',
        'paused',
    ),
    (
        server.ServerState,
        samples.server(vm_state='stopped', power_state=4),
        'failed',
        'server start s1',
    ),
    (
        server.ServerState,
        samples.server(vm_state='error'),
        'failed',
        '--repair',
    ),
    (
        server.ServerState,
        samples.server(task_state='resize_prep'),
        'failed',
        'resize_prep',
    ),
    (
        server.ServerState,
        samples.server(power_state=4),
        'failed',
        'does not run',
    ),
    (
        server.ServerLock,
        samples.server(locked=True, locked_reason='mine'),
        'failed',
        'mine',
    ),
    (
        server.ServerFeatures,
        samples.flavor(hw__mem_encryption='True'),
        'failed',
        'SEV',
    ),
    (
        server.ServerFeatures,
        samples.flavor(hw__tpm_version='2.0'),
        'failed',
        'user',
    ),
    (
        server.ServerFeatures,
        samples.flavor(hw__tpm_version='2.0', hw__tpm_secret_security='host'),
        'ok',
        'Nothing',
    ),
    (
        server.ServerFeatures,
        samples.flavor(accel__device_profile='x'),
        'failed',
        'accelerator',
    ),
    (
        server.ServerFeatures,
        samples.flavor(pci_passthrough__alias='x:1'),
        'warning',
        'live_migratable',
    ),
    (
        server.ServerFeatures,
        samples.server(shares=('x',)),
        'failed',
        '1 shares',
    ),
    (
        server.ServerFeatures,
        samples.server(image_properties={'hw_mem_encryption': 'true'}),
        'failed',
        'SEV',
    ),
    (
        server.ServerFeatures,
        samples.port(vnic_type='accelerator-direct'),
        'failed',
        'port1',
    ),
    (
        server.CallerRights,
        samples.clean(caller=facts.Caller('u', 'p1', frozenset({'member'}))),
        'warning',
        'no admin',
    ),
    (
        server.SourceService,
        samples.clean(
            source=samples.host('a', service=samples.service(up=False))
        ),
        'failed',
        'down',
    ),
    (
        server.SourceService,
        samples.clean(
            source=samples.host('a', service=samples.service(forced_down=True))
        ),
        'failed',
        'forced',
    ),
    (
        server.SourceService,
        samples.clean(
            source=samples.host('a', service=samples.service(enabled=False))
        ),
        'ok',
        'up',
    ),
    (
        server.SourceService,
        samples.clean(source=samples.host('a', service=GAP)),
        'unknown',
        'does not answer',
    ),
    (
        destination.DestinationService,
        samples.destination(service=samples.service(up=False)),
        'failed',
        'down',
    ),
    (
        destination.DestinationService,
        samples.destination(
            service=samples.service(enabled=False, disabled_reason='repair')
        ),
        'failed',
        'repair',
    ),
    (
        destination.DestinationService,
        samples.destination(service=samples.service(forced_down=True)),
        'failed',
        'forced',
    ),
    (
        destination.DestinationService,
        samples.destination(service=GAP),
        'unknown',
        '',
    ),
    (
        destination.DestinationService,
        samples.clean(destinations=(samples.host('a'),)),
        'failed',
        'already',
    ),
    (
        destination.DestinationService,
        samples.clean(destinations=()),
        'failed',
        'no compute host',
    ),
    (
        destination.SameCell,
        samples.destination(shell=NO_SHELL),
        'skipped',
        '--ssh',
    ),
    (destination.SameCell, cells('x', 'x'), 'ok', 'same'),
    (destination.SameCell, cells('x', 'y'), 'failed', 'another cell'),
    (destination.SameCell, cells('x', ''), 'unknown', 'transport_url'),
    (
        destination.AggregatesAndZone,
        samples.server(pinned_zone='nova'),
        'ok',
        '',
    ),
    (
        destination.AggregatesAndZone,
        samples.server(pinned_zone='east'),
        'failed',
        'east',
    ),
    (
        destination.AggregatesAndZone,
        samples.server(pinned_zone=GAP, zone='east'),
        'warning',
        'east',
    ),
    (
        destination.AggregatesAndZone,
        aggregate(filter_tenant_id='p1,p2'),
        'ok',
        '',
    ),
    (
        destination.AggregatesAndZone,
        aggregate(filter_tenant_id='p2'),
        'failed',
        'other projects',
    ),
    (
        destination.AggregatesAndZone,
        samples.flavor(aggregate_instance_extra_specs__ssd='true'),
        'warning',
        'ssd',
    ),
    (
        destination.AggregatesAndZone,
        samples.clean(aggregates=GAP),
        'unknown',
        '',
    ),
    (
        destination.ServerGroup,
        group('anti-affinity', s2='b'),
        'failed',
        'there',
    ),
    (destination.ServerGroup, group('anti-affinity', s2='c'), 'ok', ''),
    (
        destination.ServerGroup,
        group('affinity', s2='c'),
        'failed',
        'no member',
    ),
    (destination.ServerGroup, group('affinity', s2='b'), 'ok', ''),
    (
        destination.ServerGroup,
        group('soft-anti-affinity', s2='b'),
        'warning',
        '',
    ),
    (destination.ServerGroup, group('soft-affinity', s2='b'), 'ok', ''),
    (destination.ServerGroup, samples.clean(groups=GAP), 'unknown', ''),
    (
        placement.DestinationCapacity,
        samples.clean(candidates=frozenset()),
        'failed',
        '--host',
    ),
    (
        placement.DestinationCapacity,
        disabled(provider=None),
        'skipped',
        'destination-service',
    ),
    (
        placement.DestinationCapacity,
        disabled(provider=provider({'VCPU': 4, 'MEMORY_MB': 512})),
        'skipped',
        'destination-service',
    ),
    (
        placement.DestinationCapacity,
        disabled(provider=facts.Gap('unknown provider')),
        'failed',
        'unknown provider',
    ),
    (
        placement.DestinationCapacity,
        samples.clean(candidates=GAP),
        'unknown',
        '',
    ),
    (
        network.PortBinding,
        samples.agents(samples.agent('a')),
        'failed',
        'No Open vSwitch agent',
    ),
    (
        network.PortBinding,
        samples.agents(samples.agent('a'), samples.agent('b', alive=False)),
        'failed',
        'not alive',
    ),
    (
        network.PortBinding,
        samples.port(physical_network='physnet9'),
        'failed',
        'physnet9',
    ),
    (network.PortBinding, samples.port(physical_network='physnet1'), 'ok', ''),
    (network.PortBinding, samples.port(network_type='gre'), 'failed', 'gre'),
    (
        network.PortBinding,
        samples.agents(samples.agent('b.test', type='OVN Controller agent')),
        'ok',
        '',
    ),
    (network.PortBinding, samples.clean(network=GAP), 'unknown', ''),
    (
        network.Mirrors,
        samples.clean(mirrors=(facts.Mirror('m', 'port1', 'a', False),)),
        'warning',
        'blind',
    ),
    (
        network.Mirrors,
        samples.clean(mirrors=(facts.Mirror('m', 'port1', 'a', True),)),
        'ok',
        '',
    ),
    (
        network.Mirrors,
        samples.clean(mirrors=facts.Gap('no', asked=False)),
        'skipped',
        '--ovsdb',
    ),
    (storage.Volumes, samples.volume(), 'ok', ''),
    (storage.Volumes, samples.volume(status='error'), 'failed', 'error'),
    (storage.Volumes, samples.volume(attached_to=()), 'failed', 'Cinder'),
    (
        storage.Volumes,
        samples.volume(multiattach=True, attached_to=('s1', 's2')),
        'warning',
        '2 servers',
    ),
    (storage.Volumes, samples.clean(volumes=GAP), 'unknown', ''),
    (storage.VolumeSecrets, secret(facts.Access.ALLOWED), 'ok', ''),
    (storage.VolumeSecrets, secret(facts.Access.FIXED_KEY), 'ok', 'fixed_key'),
    (
        storage.VolumeSecrets,
        secret(facts.Access.DENIED),
        'failed',
        'openstack acl user add --user u1 --operation-type read http://k/k1',
    ),
    (
        storage.VolumeSecrets,
        secret(facts.Access.ABSENT),
        'failed',
        'not exist',
    ),
    (
        storage.VolumeSecrets,
        samples.volume(encrypted=True, secret=GAP),
        'unknown',
        '',
    ),
)

CLEAN = (
    server.ServerState,
    server.ServerLock,
    server.ServerFeatures,
    server.CallerRights,
    server.SourceService,
    destination.DestinationService,
    destination.AggregatesAndZone,
    destination.ServerGroup,
    placement.DestinationCapacity,
    network.PortBinding,
    network.Mirrors,
    storage.Volumes,
    storage.VolumeSecrets,
)


class TestChecks(testtools.TestCase):
    def judge(self, check, found):
        return list(check().judge(found))

    def test_causes(self):
        for check, found, result, words in CASES:
            findings = self.judge(check, found)
            where = f'{check.id}: {words}'
            self.assertEqual([result], [i.result for i in findings], where)
            text = ' '.join((findings[0].message, findings[0].remedy))
            self.assertIn(words, text)
            if result != 'ok':
                self.assertTrue(findings[0].remedy or result == 'unknown')

    def test_clean(self):
        for check in CLEAN:
            for item in self.judge(check, samples.clean()):
                self.assertIs(finding.Result.OK, item.result, item)

    def test_member_without_rights(self):
        found = samples.server(host='')
        found = samples.dataclasses.replace(
            found, caller=facts.Caller('u', 'p1', frozenset({'member'}))
        )
        [item] = self.judge(server.CallerRights, found)
        self.assertIs(finding.Result.FAILED, item.result)

    def test_manager_may_without_naming_a_host(self):
        caller = facts.Caller('u', 'p1', frozenset({'manager'}))
        for host, result in ((None, 'ok'), ('b', 'warning')):
            found = samples.clean(
                caller=caller, request=facts.Request(host=host)
            )
            [item] = self.judge(server.CallerRights, found)
            self.assertEqual(result, item.result)


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
