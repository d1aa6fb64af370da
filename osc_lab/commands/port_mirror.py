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

from osc_lab import command
from osc_lab import exceptions
from osc_lab.i18n import _

if typing.TYPE_CHECKING:
    from osc_lab.access import mirror_hosts
    from osc_lab.access import network as network_
    from osc_lab.mirroring import health
    from osc_lab.mirroring import model


class Base(command.Command):
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
        from osc_lab import channels

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

    def pick(
        self,
        found: collections.abc.Sequence['health.Entry'],
        wanted: str,
        dead: collections.abc.Sequence[str],
    ) -> 'health.Entry':
        """Return the mirror that the user names.

        :raises NotFound: when there is none, or more than one
        """
        from osc_lab.mirroring import table

        entry = table.pick(found, wanted, dead)
        if dead and not table.matches_id(entry, wanted):
            # A namesake may be there.
            self.exit_code = exceptions.ExitCode.UNDECIDED
        return entry

    def tell_unseen(
        self, entries: collections.abc.Iterable['health.Entry']
    ) -> None:
        """Warn of mirrors that could not be judged to be orphans or not."""
        unseen = [entry for entry in entries if entry.unseen]
        for misplaced, text, remedy in (
            (
                False,
                _(
                    'Whether the ports of %(count)d mirrors are gone is '
                    'unknown, on %(hosts)s: Neutron shows neither'
                ),
                _('Use a user with the admin role, in the same region.'),
            ),
            (
                True,
                _(
                    'Whether the ports of %(count)d mirrors are gone is '
                    'unknown, on %(hosts)s: they were made on other hosts'
                ),
                _('See that --ssh and --ovsdb lead to the host of that name.'),
            ),
        ):
            found = [item for item in unseen if item.misplaced is misplaced]
            if not found:
                continue
            self.exit_code = exceptions.ExitCode.UNDECIDED
            hosts = ', '.join(sorted({entry.host for entry in found}))
            message = text % {'count': len(found), 'hosts': hosts}
            self.log.warning('%s', exceptions.AccessError(message, remedy))


class CreatePortMirror(Base, command.ShowOne):
    _description = _(
        'Copy the packets of a port to a device on its host, or through a '
        'tunnel.\n\n'
        'The host is looked up; the mirror is added in one transaction that '
        'leaves those of others alone, and ends by itself after --ttl. A '
        'second run finds the mirror of the first.'
    )
    examples = (
        'openstack port mirror create web1-port --direction in',
        'openstack port mirror create --server web1 --ttl 15m --dry-run',
        'openstack port mirror create --address 192.0.2.17 \\\n'
        '      --to gre:198.51.100.9:7',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from osc_lab.commands import port_arguments

        parser = super().get_parser(prog_name)
        port_arguments.add_create(parser)
        port_arguments.add_access(parser)
        return parser

    def judge(self, parsed_args: argparse.Namespace) -> None:
        from osc_lab.commands import port_wishes

        port_wishes.judge_port(parsed_args)
        port_wishes.judge_timeout(parsed_args.timeout)
        port_wishes.request(parsed_args)

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[typing.Sequence[str], typing.Sequence[typing.Any]]:
        from osc_lab.commands import port_creation
        from osc_lab.commands import port_wishes
        from osc_lab.mirroring import judge
        from osc_lab.mirroring import maker as making
        from osc_lab.mirroring import table

        request = port_wishes.request(parsed_args)
        network = self.network()
        hosts = self.hosts(parsed_args, network)
        port = self.find_port(parsed_args, network)
        name = judge.port(port, parsed_args.host)
        with hosts.open(name) as host:
            maker = making.Maker(host, port, request, network.creator())
            found, wish = maker.look()
            rate = None
            if parsed_args.timeout > 0:
                rate = maker.rate(found)
                port_creation.warn(self, request, rate)
            maker.check_output(wish)
            if parsed_args.dry_run:
                return table.PLAN, table.plan(
                    found, wish, network.creator(), rate
                )
            made = maker.make(parsed_args.timeout)
        return table.SHOW, table.show(port_creation.seen(self, made, rate))


class ListPortMirror(Base, command.Lister):
    _description = _('List the mirrors of all hosts, read from the hosts')
    examples = (
        'openstack port mirror list',
        'openstack port mirror list --all --host cmp1 --long',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from osc_lab.commands import port_arguments

        parser = super().get_parser(prog_name)
        port_arguments.add_hosts(parser)
        parser.add_argument(
            '--all',
            action='store_true',
            help=_('Also those that osc-lab did not make'),
        )
        parser.add_argument(
            '--long',
            action='store_true',
            help=_('List additional fields in output'),
        )
        port_arguments.add_access(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[typing.Sequence[str], typing.Iterable[typing.Any]]:
        import datetime

        from osc_lab.mirroring import table

        network = self.network()
        found, dead = self.hosts(parsed_args, network).survey(
            parsed_args.host, parsed_args.all
        )
        now = datetime.datetime.now(datetime.UTC)
        rows = [table.row(entry, now, parsed_args.long) for entry in found]
        rows += [table.unreachable(name, parsed_args.long) for name in dead]
        if dead:
            self.exit_code = exceptions.ExitCode.UNDECIDED
        self.tell_unseen(found)
        return table.LONG if parsed_args.long else table.LIST, rows


class ShowPortMirror(Base, command.ShowOne):
    _description = _('Show a mirror and whether it works')
    examples = ('openstack port mirror show watch',)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from osc_lab.commands import port_arguments

        parser = super().get_parser(prog_name)
        parser.add_argument(
            'mirror', metavar='<mirror>', help=_('Name or ID of the mirror')
        )
        port_arguments.add_hosts(parser)
        port_arguments.add_access(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[typing.Sequence[str], typing.Sequence[typing.Any]]:
        from osc_lab.mirroring import table

        hosts = self.hosts(parsed_args, self.network())
        found, dead = hosts.survey(parsed_args.host, foreign=True)
        entry = self.pick(found, parsed_args.mirror, dead)
        self.tell_unseen([entry])
        return table.SHOW, table.show(entry)


class DeletePortMirror(Base):
    _description = _(
        'Delete mirrors that "port mirror create" made.\n\n'
        'What was made with a mirror goes with it, also when the mirrored '
        'port is gone. Mirrors of others are refused.'
    )
    examples = ('openstack port mirror delete watch',)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from osc_lab.commands import port_arguments

        parser = super().get_parser(prog_name)
        parser.add_argument(
            'mirror',
            metavar='<mirror>',
            nargs='+',
            help=_('Name or ID of a mirror'),
        )
        port_arguments.add_hosts(parser)
        port_arguments.add_access(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from osc_lab.mirroring import health

        network = self.network()
        hosts = self.hosts(parsed_args, network)
        found, dead = hosts.survey(parsed_args.host, foreign=True)
        chosen = []
        for name in parsed_args.mirror:
            entry = self.pick(found, name, dead)
            if entry.owner is not health.Owner.OSC_LAB:
                raise exceptions.Conflict(
                    _('The mirror "%(name)s" was made by %(owner)s')
                    % {'name': name, 'owner': entry.owner.value},
                    _(
                        'Remove it with what made it; left-overs of '
                        'ovs-tcpdump with "prune --foreign".'
                    ),
                )
            if entry not in chosen:
                chosen.append(entry)
        done = hosts.remove(chosen, network.creator())
        if any(error for _entry, error in done):
            self.exit_code = exceptions.ExitCode.OPERATION_FAILED


class PrunePortMirror(Base, command.Lister):
    _description = _(
        'Remove mirrors that are over or have lost their port.\n\n'
        'Without --expired and --orphans both kinds go. Mirrors of others '
        'are only touched with --foreign.'
    )
    examples = (
        'openstack port mirror prune --dry-run',
        'openstack port mirror prune --orphans --host cmp1',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from osc_lab.commands import port_arguments

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
            '--auto-approve',
            action='store_true',
            help=_('With --foreign: do not ask'),
        )
        parser.add_argument(
            '--dry-run',
            action='store_true',
            help=_('Show what would be removed and change nothing'),
        )
        port_arguments.add_hosts(parser)
        port_arguments.add_access(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[typing.Sequence[str], typing.Iterable[typing.Any]]:
        from osc_lib.cli import format_columns

        from osc_lab.mirroring import health
        from osc_lab.mirroring import table

        network = self.network()
        hosts = self.hosts(parsed_args, network)
        found, dead = hosts.survey(parsed_args.host, foreign=True)
        either = parsed_args.expired or parsed_args.orphans
        orphans = parsed_args.orphans or not either
        chosen = health.to_prune(
            found,
            parsed_args.expired or not either,
            orphans,
            parsed_args.foreign,
        )
        if dead:
            self.exit_code = exceptions.ExitCode.UNDECIDED
        if orphans:
            self.tell_unseen(entry for entry in found if entry not in chosen)
        failed: set[str] = set()
        removed = not parsed_args.dry_run
        if removed:
            self._confirm(parsed_args, chosen)
            done = hosts.remove(chosen, network.creator())
            failed = {table.identity(entry) for entry, err in done if err}
        if failed:
            self.exit_code = exceptions.ExitCode.OPERATION_FAILED
        rows = [
            (
                table.identity(entry),
                table.name(entry),
                exceptions.printable(entry.host),
                entry.owner.value,
                format_columns.ListColumn(
                    table.problems(entry) or [entry.health.value]
                ),
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
            if entry.owner is not health.Owner.OSC_LAB
        ]
        if not foreign:
            return
        for entry in foreign:
            self.say(
                _('Not ours: %(name)s on %(host)s, %(packets)s packets')
                % {
                    'name': table.name(entry),
                    'host': entry.host,
                    'packets': (entry.mirror and entry.mirror.packets) or 0,
                }
            )
        if parsed_args.auto_approve:
            return
        if not sys.stdin.isatty():
            raise exceptions.InvalidInput(
                _('--foreign: nobody is there to confirm'),
                _('Look with --dry-run, then use --auto-approve.'),
            )
        sys.stderr.write(_('Remove them? [y/N] '))
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() != 'y':
            raise exceptions.Interrupted(_('Nothing was removed.'))
