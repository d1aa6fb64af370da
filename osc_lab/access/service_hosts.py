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

"""The hosts of nova-compute and cinder-volume, as far as the API tells."""

import collections.abc
import dataclasses

from openstack import connection

from osc_lab.access import block_storage
from osc_lab.access import cloud
from osc_lab.access import compute
from osc_lab.access import rest
from osc_lab.access import settings
from osc_lab import channels
from osc_lab import exceptions


def find(
    sdk: connection.Connection,
) -> tuple[dict[str, set[str]], dict[str, exceptions.AccessError]]:
    """Return host -> 'nova', 'cinder' or both; and whose are unknown, why."""
    timeout = settings.api_timeout(sdk)
    found: dict[str, set[str]] = {}
    unknown = {}
    for service, ask in (
        (
            'nova',
            lambda: compute.Compute(
                rest.proxy(sdk, 'compute'), timeout
            ).services(),
        ),
        (
            'cinder',
            lambda: block_storage.BlockStorage(sdk, timeout).volume_hosts(),
        ),
    ):
        try:
            for host in ask():
                found.setdefault(host, set()).add(service)
        except Exception as error:
            said = cloud.explain(error)
            if not isinstance(said, exceptions.AccessError):
                raise
            unknown[service] = said
    return found, unknown


def addressed(
    sdk: connection.Connection,
    reach: channels.Channels,
    hosts: collections.abc.Set[str],
) -> channels.Channels:
    """Return how hosts are reached, with the addresses that --ssh needs.

    A host that is no hypervisor keeps its name for an address.

    :param hosts: that are to be reached
    :raises ServiceError: when Nova does not tell the addresses
    """
    if '{host_ip}' not in (reach.ssh or ''):
        return reach
    given = {
        host: channels.of_host(reach.host_addresses, host) for host in hosts
    }
    if all(given.values()):
        return reach
    nova = compute.Compute(
        rest.proxy(sdk, 'compute'), settings.api_timeout(sdk)
    )
    found = nova.addresses()
    return dataclasses.replace(
        reach,
        host_addresses={
            host: address or found.get(host, host)
            for host, address in given.items()
        },
    )
