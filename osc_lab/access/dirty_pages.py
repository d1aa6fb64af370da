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

"""How many distinct pages a guest writes, measured at the source."""

import dataclasses
import math
import typing

from osc_lab.access import hosts as hosts_
from osc_lab.access import libvirt
from osc_lab.access import libvirt_channel
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts
from osc_lab.migration import forecast
from osc_lab.migration import nova_options
from osc_lab import workers


def measure(hosts: hosts_.Hosts, known: facts.Facts) -> facts.Facts:
    """Return the facts with dirty pages measured in some windows."""
    end = hosts.channel(known.source)
    domain = (
        known.source.libvirt.domain
        if isinstance(known.source.libvirt, facts.Libvirt)
        else None
    )
    if (
        isinstance(end, facts.Gap)
        or not end.libvirt_uri
        or not isinstance(domain, facts.Domain)
    ):
        return dataclasses.replace(
            known,
            measured=facts.Gap(
                _('libvirt on the source was not reached.'),
                _('Use --libvirt-uri.'),
            ),
        )
    uri, uuid = end.libvirt_uri, domain.uuid

    given, limit = known.request.bandwidth_mib_s, None
    if isinstance(known.source.shell, facts.Shell):
        options = nova_options.read(known.source.shell.options)
        limit = float(options.bandwidth_mib_s) or None
    bandwidth = min(filter(None, (given, limit)), default=None)
    touched = _touched(hosts, known.source, uuid, domain.memory_kib)
    planned = forecast.windows(
        (touched or domain.memory_kib // 4) / 256 / (bandwidth or math.inf),
        domain.memory_kib / 1024**2,
    )

    def windows(connection: libvirt.Connection) -> typing.Any:
        return tuple(
            (float(seconds), connection.dirty_pages(uuid, seconds))
            for seconds in planned
        )

    found = workers.run(
        {0: lambda: hosts.with_libvirt(uri, windows)},
        sum(planned) * 2 + 3 * hosts.deadline,
    )[0]
    if isinstance(found, Exception):
        return dataclasses.replace(known, measured=libvirt_channel.gap(found))
    return dataclasses.replace(
        known,
        measured=facts.Measured(
            windows=found,
            total_pages=domain.memory_kib // 4,
            touched_pages=touched,
            bandwidth_mib_s=bandwidth,
            link_mib_s=given,
        ),
    )


def _touched(
    hosts: hosts_.Hosts, host: facts.Host, uuid: str, memory_kib: int
) -> int | None:
    """Return the pages that are not zero; None without a shell."""
    shell = hosts.shell(host)
    if shell is None:
        return None
    try:
        found = shell.ask(guest_memory=[uuid, memory_kib])
    except exceptions.LabError:
        return None
    kib = found.get('guest_memory')
    return None if kib is None else int(kib) // 4
