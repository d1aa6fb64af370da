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

"""What may be mirrored, and to where: refusals, with the way out."""

import collections.abc

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import model
from osc_lab.mirroring import targets
from osc_lab.mirroring import transaction

#: binding:vnic_type of ports whose packets the switch sees.
_SWITCHED = ('normal', 'macvtap-ovs', 'virtio-forwarder-ovs')

#: binding:vif_type of ports without a device.
_UNPLUGGED = ('', 'unbound', 'binding_failed')

#: Packets a second above which copying them costs a host much.
BUSY_PACKETS = 100_000

#: Bits a second above which a tunnel may fill its link.
BUSY_BITS = 1_000_000_000

#: Mirror.snaplen, see ovs-vswitchd.conf.db(5).
SNAPLEN = (14, 65535)

#: What to do about a port inside a trunk.
_PARENT = _('Mirror the parent; its copies carry the VLAN of this port.')


def port(found: model.NeutronPort, host: str = '') -> str:
    """Return the host on which to mirror a port.

    :param host: the one that the user insists on
    :raises Conflict: when its packets pass no switch that we can ask
    """
    label = found.name or found.id
    if found.vif_type in _UNPLUGGED or not found.host:
        raise exceptions.Conflict(
            _('The port %(port)s is not plugged in (vif_type %(type)s)')
            % {'port': label, 'type': found.vif_type or 'unbound'},
            _('Start its server, then try again.'),
        )
    if found.vnic_type not in _SWITCHED:
        raise exceptions.Conflict(
            _(
                'The port %(port)s has vnic_type %(type)s: its packets go '
                'past Open vSwitch'
            )
            % {'port': label, 'type': found.vnic_type},
            _("Mirror it on the adapter or the switch that it's cabled to."),
        )
    if found.moving_to and not host:
        raise exceptions.Conflict(
            _('The port %(port)s is moving from %(host)s to %(other)s')
            % {'port': label, 'host': found.host, 'other': found.moving_to},
            _('Wait for the migration, or choose with --host.'),
        )
    if host and host not in (found.host, found.moving_to):
        raise exceptions.Conflict(
            _('The port %(port)s is on %(host)s, not on %(other)s')
            % {'port': label, 'host': found.host, 'other': host},
            _('Leave out --host.'),
        )
    return host or found.host


def attachment(
    candidates: collections.abc.Sequence[model.Attachment],
    found: model.NeutronPort,
    host: str,
) -> model.Attachment:
    """Return the one place where to mirror a port on its host.

    The parent of a trunk is known by the same id twice: as the device of
    the VM on the bridge of the trunk, and as the patch towards br-int.
    The device carries everything.  Its subports are patches alone, and a
    mirror of a patch stays empty: Open vSwitch looks for mirrors where a
    packet comes in and where it goes out at last.  With OVN they are not
    even that.

    :raises Conflict: when there is none, or no single one
    """
    label = found.name or found.id
    if not candidates and found.subport:
        raise exceptions.Conflict(
            _(
                'The port %s is inside a trunk and has no interface of its '
                'own in Open vSwitch'
            )
            % label,
            _PARENT,
        )
    if not candidates:
        raise exceptions.Conflict(
            _('Open vSwitch on %(host)s has no interface of port %(port)s')
            % {'host': host, 'port': label},
            _('See that its server runs there: openstack server show.'),
        )
    devices = [item for item in candidates if item.interface.type != 'patch']
    if not devices:
        raise exceptions.Conflict(
            _(
                'The port %s is inside a trunk: Open vSwitch copies nothing '
                'of what only passes a patch'
            )
            % label,
            _PARENT,
        )
    working = [
        item
        for item in devices
        if (item.interface.ofport or 0) > 0 and not item.interface.error
    ] or devices
    if len(working) > 1:
        raise exceptions.Conflict(
            _('Port %(port)s has several interfaces on %(host)s: %(names)s')
            % {
                'port': label,
                'host': host,
                'names': ', '.join(i.interface.name for i in working),
            },
            _('Remove the stale ones: ovs-vsctl del-port.'),
        )
    return working[0]


def room(found: model.Attachment) -> None:
    """See that the bridge takes one more mirror.

    :raises Conflict: when it has as many as it can
    """
    if len(found.bridge.mirrors) >= model.MAX_MIRRORS:
        raise exceptions.Conflict(
            _('The bridge %(bridge)s has %(count)d mirrors, its limit')
            % {
                'bridge': found.bridge.name,
                'count': len(found.bridge.mirrors),
            },
            _('See "openstack port mirror list --all" and "prune".'),
        )


def existing(
    found: model.Attachment, wish: transaction.Wish
) -> model.Mirror | None:
    """Return our mirror that is this wish already, if there is one.

    :raises Conflict: when the name is taken by another mirror
    """
    same = [mirror for mirror in found.mirrors if mirror.name == wish.name]
    for mirror in same:
        ours = mirror.marks
        if (
            ours
            and ours.port == wish.marks.port
            and ours.direction == wish.direction.value
            and ours.target == str(wish.target)
            and ours.purpose == wish.marks.purpose
            and mirror.snaplen == wish.snaplen
            and mirror.filter == wish.filter
        ):
            return mirror
    if same:
        raise exceptions.Conflict(
            _('The bridge %(bridge)s has a different mirror named %(name)s')
            % {'bridge': found.bridge.name, 'name': wish.name},
            _('Choose another --name, or delete that mirror first.'),
        )
    return None


def same_source(mirror: model.Mirror, found: model.Attachment) -> bool:
    """Return whether a mirror still selects the port as it is now."""
    return found.port.uuid in mirror.selected


def output(
    found: model.Attachment,
    name: str,
    candidate: tuple[model.Port, model.Interface, str] | None,
) -> model.Port:
    """Return the existing port that may receive copies.

    Open vSwitch reserves the output port of a mirror: whatever else it
    carried is dropped (ovs-vswitchd.conf.db(5), Mirror, output_port).

    :raises Conflict: when it is not there, or is in use
    """
    if candidate is None or candidate[2] != found.bridge.uuid:
        raise exceptions.Conflict(
            _('The bridge %(bridge)s has no port %(name)s')
            % {'bridge': found.bridge.name, 'name': name},
            _('Add it with ovs-vsctl add-port, or use --to interface.'),
        )
    port_, interface, _bridge = candidate
    why = ''
    if port_.uuid == found.port.uuid:
        why = _('it is the mirrored port itself')
    elif port_.name == found.bridge.name:
        why = _('it is the bridge itself')
    elif 'iface-id' in {**interface.external_ids, **port_.external_ids}:
        why = _('it belongs to a Neutron port')
    elif interface.type == 'patch':
        why = _('it is a patch to another bridge')
    elif port_.marks:
        why = _('another mirror made it')
    elif len(port_.interfaces) > 1:
        why = _('it is a bond')
    if why:
        raise _in_use(name, why)
    return port_


def quiet(
    name: str,
    before: collections.abc.Mapping[str, int],
    after: collections.abc.Mapping[str, int],
    outputs: collections.abc.Collection[str],
    uuid: str,
) -> None:
    """See that a port carries no traffic of its own.

    :param outputs: UUIDs of ports that mirrors send to already; what
        such a port sends are copies
    :raises Conflict: when it received packets meanwhile, or sent any
        that are no copies
    """
    keys = (
        ('rx_packets',)
        if uuid in outputs
        else (
            'rx_packets',
            'tx_packets',
        )
    )
    for key in keys:
        if after.get(key, 0) > before.get(key, 0):
            raise _in_use(name, _('it carries traffic'))


def vlan(found: model.Attachment, number: int, users: tuple[str, ...]) -> None:
    """See that nobody uses the VLAN that copies are to flow in.

    :raises Conflict: when a port of the bridge has it
    """
    if users:
        raise exceptions.Conflict(
            _('VLAN %(vlan)d of %(bridge)s is in use by %(ports)s')
            % {
                'vlan': number,
                'bridge': found.bridge.name,
                'ports': ', '.join(users[:3]),
            },
            _('Choose a VLAN that no port has.'),
        )


def closed(
    found: model.Attachment, number: int, ports: tuple[str, ...]
) -> None:
    """See that what flows in a VLAN goes to no port of Neutron.

    Open vSwitch floods copies to each port that has their VLAN, and a port
    without tag and trunks has all (ovs-vswitchd.conf.db(5), Port): those
    of OVN, and the VM's on the bridge of a trunk.

    :param ports: names of such ports on the bridge
    :raises Conflict: when there is one
    """
    if ports:
        raise exceptions.Conflict(
            _(
                'Ports of Neutron would receive the copies in VLAN %(vlan)d '
                'of %(bridge)s, for they have no VLAN of their own: %(ports)s'
            )
            % {
                'vlan': number,
                'bridge': found.bridge.name,
                'ports': ', '.join(ports[:3]),
            },
            _('Use another --to, such as interface or gre:IP.'),
        )


def tunnel(target: targets.Target, overlays: tuple[str, ...]) -> None:
    """See that the other end of a tunnel is no node of the overlay.

    A tunnel with a key of its own comes before one that takes all keys
    (ovs-vswitchd.conf.db(5), Interface, options:in_key): it would swallow
    the packets of a network with that number, and the other end would
    take the copies for packets of one.

    :param overlays: names of tunnels to there that take all keys
    :raises Conflict: when there is one
    """
    if overlays:
        raise exceptions.Conflict(
            _(
                'The tunnel %(name)s to %(address)s is one of the overlay: '
                'its packets and the copies would get mixed up'
            )
            % {'name': overlays[0], 'address': target.address},
            _('Use another address or kind of tunnel, or --to interface.'),
        )


def snaplen(value: int | None) -> int | None:
    """Return the value, when Open vSwitch takes it.

    :raises InvalidInput: when it does not
    """
    low, high = SNAPLEN
    if value is not None and not low <= value <= high:
        raise exceptions.InvalidInput(
            _('--snaplen: %d bytes are not possible') % value,
            _('Use %(low)d to %(high)d.') % {'low': low, 'high': high},
        )
    return value


def flow_filter(text: str) -> str:
    """Return a Mirror.filter that Open vSwitch could take.

    :raises InvalidInput: for one that it refuses, see the column
    """
    if 'in_port' in text or exceptions.printable(text) != text:
        raise exceptions.InvalidInput(
            _('--filter: "%s" cannot be used') % text,
            _('Give an OpenFlow match without in_port, such as "icmp".'),
        )
    return text


def burden(target: targets.Target, packets: float, bits: float) -> str:
    """Return a warning when the traffic is much for the target, or ''.

    :param packets: a second
    :param bits: a second
    """
    if packets > BUSY_PACKETS:
        return _('copying %.0f packets/s costs the host much CPU') % packets
    if target.tunnel and bits > BUSY_BITS:
        return _('the copies may fill the link that the tunnel uses')
    return ''


def _in_use(name: str, why: str) -> exceptions.Conflict:
    return exceptions.Conflict(
        _('The port %(name)s cannot receive copies: %(why)s')
        % {'name': name, 'why': why},
        _('Use a port that nothing else uses, or --to interface.'),
    )
