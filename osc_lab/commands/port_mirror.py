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

"""openstack port mirror: watch the packets of a Neutron port."""

import argparse
import collections.abc
import typing

from osc_lab import channels
from osc_lab import command
from osc_lab import exceptions
from osc_lab.i18n import _

if typing.TYPE_CHECKING:
    from osc_lab.access import mirror_hosts
    from osc_lab.access import network as network_
    from osc_lab.mirroring import health
    from osc_lab.mirroring import model
    from osc_lab.mirroring import service

_CHANNELS = (*channels.SSH, *channels.OVSDB)

#: Seconds that create waits for the first packet, by default: a little
#: over two of the intervals at which the switch writes statistics.
_WAIT = 11.0


class _Base(command.Command):
    """What the commands share: the cloud, its hosts, and notes."""

    def network(self) -> 'network_.Network':
        from osc_lab.access import network

        return network.Network(self.connection)

    def hosts(
        self,
        parsed_args: argparse.Namespace,
        network: 'network_.Network',
    ) -> 'mirror_hosts.Hosts':
        import os

        from osc_lab.access import mirror_hosts
        from osc_lab.access import settings

        reach = channels.resolve(
            parsed_args, os.environ, settings.cloud(self.connection)
        )
        return mirror_hosts.Hosts(reach, network)

    def find_port(
        self,
        parsed_args: argparse.Namespace,
        network: 'network_.Network',
    ) -> 'model.NeutronPort':
        if parsed_args.server:
            return network.server_port(
                parsed_args.server, parsed_args.network or ''
            )
        if parsed_args.address:
            return network.address_port(parsed_args.address)
        return network.port(parsed_args.port)

    def entries(
        self,
        parsed_args: argparse.Namespace,
        network: 'network_.Network',
        foreign: bool = False,
    ) -> tuple[list['health.Entry'], list[str]]:
        """Return the mirrors of all hosts, and the hosts without answer.

        :param foreign: also those that are not ours
        """
        import datetime

        from osc_lab.mirroring import health
        from osc_lab.mirroring import service

        names = parsed_args.host or network.hosts()
        now = datetime.datetime.now(datetime.UTC)
        answers = self.hosts(parsed_args, network).each(
            names,
            lambda host: service.collect(host, now),
        )
        found: list[health.Entry] = []
        dead = []
        for name, answer in answers:
            if isinstance(answer, exceptions.LabError):
                self.log.warning('%s', answer)
                dead.append(name)
            else:
                found += answer
        ours = health.with_ports(
            found,
            network.ports(
                entry.mirror.marks.port
                for entry in found
                if entry.mirror and entry.mirror.marks
            ),
        )
        if not foreign:
            ours = [
                entry for entry in ours if entry.maker is health.Maker.OSC_LAB
            ]
        return ours, dead

    def remove(
        self,
        hosts: 'mirror_hosts.Hosts',
        chosen: collections.abc.Sequence['health.Entry'],
        user: str,
    ) -> list[tuple['health.Entry', exceptions.LabError | None]]:
        """Remove mirrors, each host by itself."""
        from osc_lab.mirroring import service

        done: list[tuple[health.Entry, exceptions.LabError | None]] = []
        for entry in chosen:
            try:
                with hosts.open(entry.host) as host:
                    service.remove(host, entry, user)
                done.append((entry, None))
            except exceptions.LabError as error:
                self.log.error('%s', error)
                done.append((entry, error))
        return done


class CreatePortMirror(_Base, command.ShowOne):
    _description = _(
        'Copy the packets of a port to a device on its host, or through a '
        'tunnel'
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        add_port(parser)
        add_direction(parser)
        parser.add_argument(
            '--name', metavar='<name>', help=_('Name of the mirror')
        )
        parser.add_argument(
            '--to',
            metavar='<target>',
            default='interface',
            help=_(
                'Where the copies go: "interface", a new device on the host '
                '(default); "gre:IP[:KEY]", "erspan:IP[:INDEX]" or '
                '"vxlan:IP[:VNI]", a tunnel; "port:OVS-PORT", a port of the '
                'same bridge that nothing else uses; "vlan:ID", a VLAN of '
                'the bridge that nothing else uses'
            ),
        )
        parser.add_argument(
            '--snaplen',
            metavar='<bytes>',
            type=int,
            help=_('Keep that much of each packet, 14 to 65535 bytes'),
        )
        parser.add_argument(
            '--filter',
            metavar='<flow>',
            default='',
            help=_(
                'Copy only packets that this OpenFlow match selects, for '
                'example "icmp" (Open vSwitch 3.4 or later)'
            ),
        )
        parser.add_argument(
            '--ttl',
            metavar='<time>',
            default='1h',
            help=_(
                'How long the mirror lives, for example 90s, 15m or 1h30m; '
                '"none" for ever (default: 1h)'
            ),
        )
        parser.add_argument(
            '--host',
            metavar='<host>',
            default='',
            help=_('The host, for a port that is moving'),
        )
        parser.add_argument(
            '--wait',
            metavar='<seconds>',
            type=float,
            default=_WAIT,
            help=_(
                'How long to wait for the first packet; 0 also leaves out '
                'the measurement before (default: %(default)g)'
            ),
        )
        parser.add_argument(
            '--dry-run',
            action='store_true',
            help=_('Show the transaction and change nothing'),
        )
        channels.add_arguments(parser, _CHANNELS)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[typing.Sequence[str], typing.Sequence[typing.Any]]:
        from osc_lab.mirroring import judge
        from osc_lab.mirroring import service

        request = self._request(parsed_args)
        network = self.network()
        hosts = self.hosts(parsed_args, network)
        port = self.find_port(parsed_args, network)
        name = judge.port(port, parsed_args.host)
        with hosts.open(name) as host:
            maker = service.Maker(host, port, request, network.creator())
            found, wish = maker.look()
            rate = None
            if parsed_args.wait > 0:
                rate = maker.rate(found)
                self._warn(request, rate)
                maker.check_output(wish)
            if parsed_args.dry_run:
                return self._plan(found, wish, network.creator(), rate)
            made = maker.make()
            return self._result(host, made, rate, parsed_args.wait)

    def _request(self, parsed_args: argparse.Namespace) -> 'service.Request':
        from osc_lab.mirroring import amounts
        from osc_lab.mirroring import judge
        from osc_lab.mirroring import model
        from osc_lab.mirroring import names
        from osc_lab.mirroring import service
        from osc_lab.mirroring import targets

        return service.Request(
            direction=model.Direction(parsed_args.direction),
            target=targets.parse(parsed_args.to),
            name=names.check(parsed_args.name)
            if parsed_args.name is not None
            else '',
            snaplen=judge.snaplen(parsed_args.snaplen),
            filter=judge.flow_filter(parsed_args.filter),
            lifetime=amounts.lifetime('--ttl', parsed_args.ttl),
        )

    def _warn(self, request: 'service.Request', rate: 'service.Rate') -> None:
        from osc_lab.mirroring import amounts
        from osc_lab.mirroring import judge

        self.say(
            _('The port carries %(packets).0f packets/s, %(bits)s.')
            % {
                'packets': rate.packets,
                'bits': amounts.show_rate(rate.bits),
            }
        )
        burden = judge.burden(request.target, rate.packets, rate.bits)
        if burden:
            self.log.warning('%s', burden)

    def _plan(
        self,
        found: 'model.Attachment',
        wish: typing.Any,
        creator: str,
        rate: 'service.Rate | None',
    ) -> tuple[typing.Sequence[str], typing.Sequence[typing.Any]]:
        import json

        from osc_lab.mirroring import judge
        from osc_lab.mirroring import transaction

        exists = judge.existing(found, wish) is not None
        operations = [] if exists else transaction.create(found, wish, creator)
        commands = [] if exists else transaction.create_commands(found, wish)
        return (
            (
                'name',
                'exists',
                'host',
                'bridge',
                'interface',
                'packets_per_second',
                'bits_per_second',
                'transaction',
                'commands',
            ),
            (
                exceptions.printable(wish.name),
                exists,
                exceptions.printable(wish.marks.host),
                exceptions.printable(found.bridge.name),
                exceptions.printable(found.interface.name),
                round(rate.packets, 1) if rate else None,
                round(rate.bits) if rate else None,
                json.dumps(operations, indent=1),
                '\n'.join(map(exceptions.printable, commands)),
            ),
        )

    def _result(
        self,
        host: 'service.Host',
        made: 'service.Made',
        rate: 'service.Rate | None',
        wait: float,
    ) -> tuple[typing.Sequence[str], typing.Sequence[typing.Any]]:
        import dataclasses

        from osc_lab.mirroring import health
        from osc_lab.mirroring import service
        from osc_lab.mirroring import table

        entry = made.entry
        assert entry.mirror is not None
        if not made.new:
            self.say(_('The mirror exists already; nothing was changed.'))
        if not made.guarded:
            self.say(
                _(
                    'Nothing on %s ends this mirror: after its time only '
                    '"openstack port mirror prune" removes it.'
                )
                % host.name
            )
        seen = service.await_packets(
            host.database, entry.mirror.uuid, wait if made.new else 0
        )
        packets = seen.packets if seen else None
        entry = dataclasses.replace(
            entry,
            mirror=dataclasses.replace(
                entry.mirror,
                packets=packets,
                bytes=seen.bytes if seen else None,
                output_name=entry.mirror.output_name or made.device,
            ),
            health=health.worst(entry.problems, packets),
        )
        if not packets and wait > 0:
            idle = rate is not None and rate.packets == 0
            self.say(
                _('No packet seen yet: %s.')
                % (
                    _('the port carried none before either')
                    if idle
                    else _('look again with "openstack port mirror show"')
                )
            )
        return table.SHOW, table.show(entry)


class ListPortMirror(_Base, command.Lister):
    _description = _('List the mirrors of all hosts, read from the hosts')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        add_hosts(parser)
        parser.add_argument(
            '--all',
            action='store_true',
            help=_('Also those that osc-lab did not make'),
        )
        parser.add_argument(
            '--long', action='store_true', help=_('Show more columns')
        )
        channels.add_arguments(parser, _CHANNELS)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[typing.Sequence[str], typing.Iterable[typing.Any]]:
        import datetime

        from osc_lab.mirroring import table

        found, dead = self.entries(
            parsed_args, self.network(), parsed_args.all
        )
        now = datetime.datetime.now(datetime.UTC)
        rows = [table.row(entry, now, parsed_args.long) for entry in found]
        rows += [table.unreachable(name, parsed_args.long) for name in dead]
        if dead:
            self.exit_code = exceptions.ExitCode.UNDECIDED
        return table.LONG if parsed_args.long else table.LIST, rows


class ShowPortMirror(_Base, command.ShowOne):
    _description = _('Show a mirror and whether it works')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'mirror', metavar='<mirror>', help=_('Name or ID of the mirror')
        )
        add_hosts(parser)
        channels.add_arguments(parser, _CHANNELS)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[typing.Sequence[str], typing.Sequence[typing.Any]]:
        from osc_lab.mirroring import table

        found, dead = self.entries(parsed_args, self.network(), foreign=True)
        entry = pick(found, parsed_args.mirror, dead)
        return table.SHOW, table.show(entry)


class DeletePortMirror(_Base):
    _description = _('Delete mirrors that "port mirror create" made')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'mirror',
            metavar='<mirror>',
            nargs='+',
            help=_('Name or ID of a mirror'),
        )
        add_hosts(parser)
        channels.add_arguments(parser, _CHANNELS)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from osc_lab.mirroring import health

        network = self.network()
        found, dead = self.entries(parsed_args, network, foreign=True)
        chosen = []
        for name in parsed_args.mirror:
            entry = pick(found, name, dead)
            if entry.maker is not health.Maker.OSC_LAB:
                raise exceptions.Conflict(
                    _('The mirror "%(name)s" was made by %(owner)s')
                    % {'name': name, 'owner': entry.maker.value},
                    _(
                        'Remove it with what made it; left-overs of '
                        'ovs-tcpdump with "prune --foreign".'
                    ),
                )
            if entry not in chosen:
                chosen.append(entry)
        hosts = self.hosts(parsed_args, network)
        done = self.remove(hosts, chosen, network.creator())
        if any(error for _entry, error in done):
            self.exit_code = exceptions.ExitCode.OPERATION_FAILED


class PrunePortMirror(_Base, command.Lister):
    _description = _('Remove mirrors that are over or have lost their port')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--expired',
            action='store_true',
            help=_('Only those whose time is over'),
        )
        parser.add_argument(
            '--orphans',
            action='store_true',
            help=_('Only those whose port, server or output is gone or moved'),
        )
        parser.add_argument(
            '--foreign',
            action='store_true',
            help=_(
                'Also left-overs of ovs-tcpdump and of the recipe with a '
                'dummy device, after showing them'
            ),
        )
        parser.add_argument(
            '--yes',
            action='store_true',
            help=_('With --foreign: do not ask'),
        )
        parser.add_argument(
            '--dry-run',
            action='store_true',
            help=_('Show what would be removed and change nothing'),
        )
        add_hosts(parser)
        channels.add_arguments(parser, _CHANNELS)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[typing.Sequence[str], typing.Iterable[typing.Any]]:
        from osc_lab.mirroring import health
        from osc_lab.mirroring import table

        network = self.network()
        found, dead = self.entries(parsed_args, network, foreign=True)
        either = parsed_args.expired or parsed_args.orphans
        chosen = health.to_prune(
            found,
            parsed_args.expired or not either,
            parsed_args.orphans or not either,
            parsed_args.foreign,
        )
        if dead:
            self.exit_code = exceptions.ExitCode.UNDECIDED
        failed: set[str] = set()
        removed = not parsed_args.dry_run
        if removed:
            self._confirm(parsed_args, chosen)
            hosts = self.hosts(parsed_args, network)
            done = self.remove(hosts, chosen, network.creator())
            failed = {table.identity(entry) for entry, err in done if err}
        if failed:
            self.exit_code = exceptions.ExitCode.OPERATION_FAILED
        rows = [
            (
                table.identity(entry),
                table.name(entry),
                exceptions.printable(entry.host),
                entry.maker.value,
                table.problems(entry) or entry.health.value,
                removed and table.identity(entry) not in failed,
            )
            for entry in chosen
        ]
        return ('ID', 'Name', 'Host', 'Owner', 'Problems', 'Removed'), rows

    def _confirm(
        self,
        parsed_args: argparse.Namespace,
        chosen: collections.abc.Sequence['health.Entry'],
    ) -> None:
        """Show what is not ours, and have it confirmed."""
        import sys

        from osc_lab.mirroring import health
        from osc_lab.mirroring import table

        foreign = [
            entry
            for entry in chosen
            if entry.maker is not health.Maker.OSC_LAB
        ]
        if not foreign:
            return
        for entry in foreign:
            self.say(
                _('Not ours: %(name)s on %(host)s, %(packets)s packets')
                % {
                    'name': table.name(entry),
                    'host': entry.host,
                    'packets': entry.mirror.packets if entry.mirror else 0,
                }
            )
        if parsed_args.yes:
            return
        if not sys.stdin.isatty():
            raise exceptions.InvalidInput(
                _('--foreign: nobody is there to confirm'),
                _('Look with --dry-run, then use --yes.'),
            )
        sys.stderr.write(_('Remove them? [y/N] '))
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() != 'y':
            raise exceptions.Interrupted(_('Nothing was removed.'))


def add_port(parser: argparse.ArgumentParser) -> None:
    """Add the ways to name a port."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument(
        'port', metavar='<port>', nargs='?', help=_('Name or ID of the port')
    )
    group.add_argument(
        '--server',
        metavar='<server>',
        help=_('The port of this server (name or ID)'),
    )
    group.add_argument(
        '--address',
        metavar='<address>',
        help=_('The port with this fixed or floating IP address'),
    )
    parser.add_argument(
        '--network',
        metavar='<network>',
        help=_('With --server: its port on this network (name or ID)'),
    )


def add_direction(parser: argparse.ArgumentParser) -> None:
    """Add the choice of packets."""
    parser.add_argument(
        '--direction',
        choices=('in', 'out', 'both'),
        default='both',
        help=_(
            'Packets to the server, from the server, or both (default: both)'
        ),
    )


def add_hosts(parser: argparse.ArgumentParser) -> None:
    """Add the choice of hosts."""
    parser.add_argument(
        '--host',
        metavar='<host>',
        action='append',
        help=_(
            'Only this host (repeat for several; default: every host with '
            'an Open vSwitch or OVN agent)'
        ),
    )


def pick(
    found: collections.abc.Sequence['health.Entry'],
    wanted: str,
    dead: collections.abc.Sequence[str],
) -> 'health.Entry':
    """Return the mirror that the user names.

    :param dead: hosts that did not answer
    :raises NotFound: when there is none, or more than one
    """
    from osc_lab.mirroring import table

    chosen = [entry for entry in found if table.matches(entry, wanted)]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise exceptions.NotFound(
            _('There are %(count)d mirrors "%(name)s", on %(hosts)s')
            % {
                'count': len(chosen),
                'name': wanted,
                'hosts': ', '.join(sorted({e.host for e in chosen})),
            },
            _('Use the ID, see "openstack port mirror list --long".'),
        )
    remedy = _('See "openstack port mirror list".')
    if dead:
        remedy = _('It may be on a host that did not answer: %s.') % (
            ', '.join(dead)
        )
    raise exceptions.NotFound(_('There is no mirror "%s"') % wanted, remedy)
