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

"""Port mirrors on a host that belong to some ports of Neutron."""

import collections.abc

from osc_lab import channels
from osc_lab.migration import facts


def look(
    host: channels.Host,
    settings: channels.Channels,
    ports: collections.abc.Collection[str],
    names: collections.abc.Collection[str] = (),
) -> tuple[facts.Mirror, ...]:
    """Return the mirrors of some ports.

    A port that has left the host has left the selection of its mirror as
    well, so the marks of our mirrors count, too.

    :param ports: ids of Neutron
    :param names: mirrors that are known to belong to one of the ports
    :raises AccessError: when the OVSDB of the host cannot be asked
    """
    # Slow to load, and most have no mirror.
    from osc_lab.access import ovsdb

    with ovsdb.connect(host, settings) as database:
        here = {
            item.port.uuid: port
            for port in ports
            for item in database.attachments(port)
        }
        found: list[facts.Mirror] = []
        for mirror in database.mirrors():
            marks = mirror.marks
            selected = {
                here[uuid]
                for uuid in (*mirror.select_src, *mirror.select_dst)
                if uuid in here
            }
            marked = {marks.port} & set(ports) if marks else set()
            if mirror.name in names and not selected | marked:
                selected = {''}
            found.extend(
                facts.Mirror(
                    mirror.name,
                    port,
                    host.name,
                    mirror.external_ids.get('ovn-owned') == 'true',
                )
                for port in sorted(selected | marked)
            )
        return tuple(found)
