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

"""The steps and services that make the compute hosts, for the profiles."""

import functools

from lab import errors
from lab import forward
from lab import graph
from lab.guest import build
from lab import hosts
from lab import machine
from lab import model
from lab import network
from lab import pki
from lab.services import libvirtd
from lab.services import openvswitch
from lab.services import sshd
from osc_lab.tests import openssl

#: Names of the control plane's ports that a host talks to.
REACHED = (
    'keystone',
    'placement',
    'glance',
    'cinder',
    'neutron',
    'nova',
    'barbican',
    'amqp',
)


def services(layout: model.Layout) -> tuple[model.Service, ...]:
    """What every host runs before there is an OpenStack on it."""
    rows: list[model.Service] = []
    for host in model.HOSTS:
        rows += openvswitch.services(layout, host)
        rows += [libvirtd.service(layout, host), sshd.service(layout, host)]
    return tuple(rows)


def _switch(layout: model.Layout) -> bool:
    new = machine.init_pid(layout, network.SWITCH.name) is None
    try:
        network.start_switch(layout)
    except machine.MachineError as error:
        raise errors.LabError(str(error)) from None
    return new


def _host(layout: model.Layout, host: str) -> bool:
    try:
        return hosts.start(layout, host)
    except (machine.MachineError, openssl.PkiError) as error:
        raise errors.LabError(str(error)) from None


def _forwarder(layout: model.Layout) -> bool:
    try:
        return forward.start(layout, [layout.ports[n] for n in REACHED])
    except machine.MachineError as error:
        raise errors.LabError(str(error)) from None


def _operator(layout: model.Layout) -> bool:
    new = not (layout.state / 'pki' / 'client' / 'cacert.pem').exists()
    try:
        pki.client_folder(layout)
        sshd.write_client(layout)
    except openssl.PkiError as error:
        raise errors.LabError(str(error)) from None
    return new


def _images(layout: model.Layout) -> bool:
    try:
        return build.ensure(layout.cache)
    except build.GuestError as error:
        raise errors.LabError(str(error)) from None


def steps(layout: model.Layout) -> list[graph.Step]:
    """Machines, networks, keys and the guest; all but the services."""
    keys = graph.Step('keys', functools.partial(_operator, layout), ())
    made = [
        keys,
        graph.Step('switch', functools.partial(_switch, layout), (), 0),
    ]
    made += [
        graph.Step(
            f'machine {host}',
            functools.partial(_host, layout, host),
            ('switch', keys.name),
        )
        for host in model.HOSTS
    ]
    made.append(
        graph.Step(
            'forwarder',
            functools.partial(_forwarder, layout),
            tuple(f'machine {host}' for host in model.HOSTS),
            0,
        )
    )
    made.append(graph.Step('guest images', functools.partial(_images, layout)))
    return made
