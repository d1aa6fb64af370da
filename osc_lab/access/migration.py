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

"""Puts the adapters of a live migration together."""

import dataclasses
import typing

from osc_lab.access import caller
from osc_lab.access import compute
from osc_lab.access import placement
from osc_lab.access import port_binding
from osc_lab.access import rest
from osc_lab.access import settings
from osc_lab.access import volumes
from osc_lab.migration import facts
from osc_lab.migration import gather


@dataclasses.dataclass(frozen=True)
class Services(gather.Services):
    """The adapters of the services, with what else they can do."""

    compute: compute.Compute
    placement: placement.Placement
    network: port_binding.PortBindings


def services(connection: typing.Any) -> Services:
    """Return the adapters of the services of a cloud.

    :param connection: an SDK connection
    """
    timeout = settings.api_timeout(connection)
    return Services(
        compute=compute.Compute(rest.proxy(connection, 'compute'), timeout),
        placement=placement.Placement(
            rest.proxy(connection, 'placement'), timeout
        ),
        network=port_binding.PortBindings(
            rest.proxy(connection, 'network'), timeout
        ),
        volumes=volumes.Volumes(
            rest.proxy(connection, 'block_storage'),
            lambda: rest.proxy(connection, 'key_manager'),
            timeout,
        ),
    )


def look(
    connection: typing.Any, reference: str, request: facts.Request
) -> facts.Facts:
    """Return what the APIs tell about moving a server.

    :raises NotFound: when there is no such server, or no such host
    """
    return gather.from_apis(
        services(connection),
        reference,
        request,
        caller.of(connection.session),
    )
