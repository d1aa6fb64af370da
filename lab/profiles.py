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

"""What belongs to each profile, and in which order it comes up."""

import collections.abc
import functools
import json

from lab import databases
from lab import dataplane
from lab import errors
from lab import graph
from lab.guest import build
from lab import machine
from lab import model
from lab import passwords
from lab import process
from lab import seed
from lab.services import barbican
from lab.services import cinder
from lab.services import common
from lab.services import database
from lab.services import glance
from lab.services import keystone
from lab.services import neutron
from lab.services import nova
from lab.services import nova_compute
from lab.services import ovs_agent
from lab.services import placement
from lab.services import rabbitmq

#: Each holds all of the one before it.
PROFILES = ('volumes', 'network', 'full')

KEY_MANAGERS = ('barbican', 'fixed-key')


def widest(*profiles: str) -> str:
    """The profile among these that holds all others."""
    return max(profiles, key=PROFILES.index)


def schemas(profile: str, key_manager: str) -> list[str]:
    """Names of the services whose databases a profile needs."""
    names = ['keystone']
    if profile == 'full':
        names += ['nova', 'placement', 'glance']
    if profile in ('network', 'full'):
        names.append('neutron')
    names.append('cinder')
    if key_manager == 'barbican':
        names.append('barbican')
    return names


def apis(profile: str, key_manager: str) -> list[str]:
    """The APIs of a profile, as keys of the layout's ports."""
    return schemas(profile, key_manager)


def services(
    context: common.Context, profile: str
) -> tuple[model.Service, ...]:
    """The services of a profile, those that others wait for first."""
    layout = context.layout
    hosted = profile in ('network', 'full')
    rows = [
        *database.services(context),
        *rabbitmq.services(context),
        *keystone.services(context),
    ]
    if hosted:
        rows += dataplane.services(layout)
    if profile == 'full':
        rows += [*placement.services(context), *nova.services(context)]
    if hosted:
        rows += neutron.services(context)
        rows += [ovs_agent.service(context, host) for host in model.HOSTS]
    if profile == 'full':
        rows += [nova_compute.service(context, host) for host in model.HOSTS]
        rows += glance.services(context)
    rows += cinder.services(context)
    if context.key_manager == 'barbican':
        rows += barbican.services(context)
    return tuple(rows)


def _write_files(rows: collections.abc.Iterable[model.Service]) -> bool:
    """Write the configuration; True when something changed."""
    changed = False
    for row in rows:
        for path, text in row.files.items():
            if not path.exists() or path.read_text() != text:
                passwords.write_private(path, text)
                changed = True
    return changed


def _start_machine(layout: model.Layout, own: machine.Machine) -> bool:
    if machine.init_pid(layout, own.name) is not None:
        return False
    try:
        machine.start(layout, own)
    except machine.MachineError as error:
        raise errors.LabError(str(error)) from None
    return True


def _once(
    context: common.Context,
    name: str,
    work: collections.abc.Callable[[], None],
) -> bool:
    """Do work once for this lab at this address, with these ports."""
    layout = context.layout
    done = layout.data / 'done' / name
    key = json.dumps([layout.block, sorted(layout.ports.items())])
    if done.exists() and done.read_text() == key:
        return False
    work()
    done.write_text(key)
    return True


def steps(context: common.Context, profile: str) -> list[graph.Step]:
    """All steps of a profile, in the order of their importance."""
    layout = context.layout
    rows = services(context, profile)
    admin = seed.admin(context)
    ports = apis(profile, context.key_manager)
    control = machine.control(layout)
    made = [
        graph.Step('configuration', lambda: _write_files(rows), (), 0),
        graph.Step(
            f'machine {model.CONTROL}',
            lambda: _start_machine(layout, control),
            (),
            0,
        ),
    ]
    if profile != PROFILES[0]:
        made += dataplane.steps(layout)
    made += databases.Maker(context).steps(
        schemas(profile, context.key_manager)
    )
    made.append(
        graph.Step(
            'users and catalog',
            lambda: _once(
                context,
                f'identity-{profile}',
                lambda: seed.identity(layout, context.passwords, admin, ports),
            ),
            ('keystone', 'bootstrap'),
        )
    )
    made += [
        graph.Step(
            row.name,
            functools.partial(process.start, layout, row),
            (f'machine {row.machine}', 'configuration', *row.after),
            0 if row.name in (database.NAME, rabbitmq.NAME) else 1,
        )
        for row in rows
    ]
    made.append(
        graph.Step(
            'volume types',
            lambda: _once(
                context,
                'volume-types',
                lambda: seed.volume_types(layout, admin),
            ),
            ('cinder-api', 'users and catalog'),
        )
    )
    if profile != PROFILES[0]:
        made.append(
            graph.Step(
                seed.NETWORK,
                lambda: _once(
                    context,
                    'network',
                    lambda: seed.network(layout, admin),
                ),
                ('neutron-api', 'users and catalog'),
            )
        )
    if profile == 'full':
        made.append(
            graph.Step(
                'images and flavor',
                lambda: _once(
                    context,
                    'compute',
                    lambda: seed.compute(
                        layout, admin, build.images(layout.cache)
                    ),
                ),
                (
                    'glance-api',
                    'nova-api',
                    'guest images',
                    'users and catalog',
                ),
            )
        )
    return made
