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

"""A clean pair of hosts, to be spoilt one fact at a time, and a migration."""

import dataclasses

from osc_lab.migration import facts
from osc_lab.migration import outcome as outcome_
from osc_lab.migration import record as record_

GIB = 1024**3


def inventory(total, used=0):
    return facts.Inventory(total, 0, 1.0, total, used)


def service(**changes):
    return dataclasses.replace(
        facts.Service(True, True, False, '', 'nova'), **changes
    )


def host(name, **changes):
    return dataclasses.replace(
        facts.Host(
            name,
            service(),
            facts.Hypervisor(
                f'rp-{name}',
                f'{name}.test',
                'QEMU',
                7002022,
                '192.0.2.1',
                4096,
                7,
                50,
            ),
        ),
        **changes,
    )


def clean(**changes):
    """Return facts in which no check fails."""
    server = facts.Server(
        id='s1',
        name='vm1',
        status='ACTIVE',
        vm_state='active',
        task_state=None,
        power_state=1,
        locked=False,
        locked_reason='',
        host='a',
        zone='nova',
        project_id='p1',
        flavor=facts.Flavor('m1', 1, 256, 1),
        image_id='i1',
    )
    found = facts.Facts(
        server=server,
        request=facts.Request(host='b'),
        caller=facts.Caller('u1', 'p-admin', frozenset({'admin'})),
        source=host('a'),
        destinations=(host('b'),),
        demand=facts.Demand({'VCPU': 1, 'MEMORY_MB': 256}),
        candidates=frozenset({'rp-b'}),
        aggregates=(),
        groups=(),
        network=facts.Network(
            (
                facts.Port(
                    'port1', 'p', 'ACTIVE', 'normal', 'ovs', 'a', 'vxlan', ''
                ),
            ),
            tuple(agent(name) for name in 'ab'),
        ),
        volumes=(),
        shares=(),
        mirrors=(),
        microversion=(2, 100),
        now=1_800_000_000.0,
    )
    return dataclasses.replace(found, **changes)


def agent(host_name, **changes):
    return dataclasses.replace(
        facts.Agent(
            'Open vSwitch agent',
            host_name,
            True,
            True,
            frozenset({'physnet1'}),
            frozenset(),
            frozenset({'vxlan'}),
        ),
        **changes,
    )


def server(**changes):
    return clean(server=dataclasses.replace(clean().server, **changes))


def flavor(**specs):
    specs = {key.replace('__', ':'): value for key, value in specs.items()}
    return server(flavor=facts.Flavor('m1', 1, 256, 1, extra_specs=specs))


def destination(**changes):
    return clean(destinations=(host('b', **changes),))


def volume(**changes):
    return clean(
        volumes=(
            dataclasses.replace(
                facts.Volume(
                    'v1', 'v1', 'in-use', False, False, 'p1', ('s1',)
                ),
                **changes,
            ),
        )
    )


def ports(changes, *agents):
    """Return facts with a changed port each, and with these agents."""
    found = clean()
    [known] = found.network.ports
    return dataclasses.replace(
        found,
        network=facts.Network(
            tuple(dataclasses.replace(known, **each) for each in changes),
            agents,
        ),
    )


def port(**changes):
    return ports((changes,), agent('a'), agent('b'))


def agents(*items):
    return ports(({},), *items)


def migration(status, number=7, **changes):
    """Return a migration as Nova tells it."""
    return {
        'id': number,
        'uuid': 'u',
        'status': status,
        'migration_type': 'live-migration',
        'instance_uuid': 's1',
        'source_compute': 'a',
        'dest_compute': 'b',
        'created_at': '2026-01-01T00:00:00',
        'updated_at': '2026-01-01T00:00:09',
        **changes,
    }


def outcome(status='completed', host='b', **changes):
    """Return what was seen of a migration from a, and where it is now."""
    record = record_.record(migration(status)) if status else None
    return outcome_.Outcome(
        **{
            'request_id': 'req-1',
            'record': record,
            'action': None,
            'before': server(host='a').server,
            'after': server(host=host).server,
            'seconds': 9.04,
            **changes,
        }
    )
