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

"""Look whether nobody is hurt where copies go.

The database comes as an argument; what is decided is decided by judge.
"""

from osc_lab.mirroring import host as host_
from osc_lab.mirroring import judge
from osc_lab.mirroring import model
from osc_lab.mirroring import targets
from osc_lab.mirroring import transaction


def check(
    database: host_.Database, found: model.Attachment, target: targets.Target
) -> None:
    """See that a VLAN or a tunnel is nobody else's.

    :raises Conflict: when it is
    """
    if target.kind is targets.Kind.VLAN:
        assert target.number is not None
        _check_vlan(database, found, target.number)
    elif target.tunnel:
        kind = transaction.interface_type(target)
        judge.tunnel(target, database.overlays(kind, target.address))


def _check_vlan(
    database: host_.Database, found: model.Attachment, number: int
) -> None:
    bridge = found.bridge.uuid
    judge.vlan(found, number, database.vlan_users(bridge, number))
    # Where one has no VLAN, as with OVN, thousands may have none.
    ports = (
        (found.port.name,)
        if found.port.all_vlans
        else database.open_ports(bridge)
    )
    judge.closed(found, number, ports)


def quiet(database: host_.Database, output: model.Port) -> None:
    """See that the port that shall receive copies is quiet.

    Takes up to one interval of statistics.

    :raises Conflict: when it carries traffic
    """
    found = database.port(output.name)
    if found is None:
        return
    interface = found[1]
    after, _seconds = host_.changed(
        database, interface.uuid, interface.statistics
    )
    outputs = {
        mirror.output_port
        for mirror in database.mirrors()
        if mirror.output_port
    }
    judge.quiet(output.name, interface.statistics, after, outputs, output.uuid)
