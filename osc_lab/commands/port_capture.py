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

"""openstack port mirror capture, port topology: packets, and their way."""

import argparse
import typing

from osc_lab import channels
from osc_lab.commands import port_mirror
from osc_lab import exceptions
from osc_lab.i18n import _

if typing.TYPE_CHECKING:
    import contextlib

    from osc_lab.access import capture as access
    from osc_lab.access import mirror_hosts
    from osc_lab.access import network as network_
    from osc_lab.mirroring import capture
    from osc_lab.mirroring import health
    from osc_lab.mirroring import service

#: How often removing is tried: the connection may just be coming back.
_ATTEMPTS = 3


class CapturePortMirror(port_mirror._Base):
    _description = _(
        'Capture the packets of a port, or of a mirror, to a file, to the '
        'standard output or to Wireshark'
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from osc_lab.mirroring import capture

        parser = super().get_parser(prog_name)
        add_port(
            parser,
            '<port|mirror>',
            _(
                'Name or ID of the port, or of a mirror of ours to a device '
                'of the host'
            ),
        )
        port_mirror.add_direction(parser)
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument(
            '--file',
            metavar='<file>',
            help=_('Write to this file; "-" is the standard output'),
        )
        where.add_argument(
            '--wireshark',
            action='store_true',
            help=_('Show the packets in Wireshark as they come'),
        )
        parser.add_argument(
            '--force',
            action='store_true',
            help=_('Replace the file when it exists'),
        )
        parser.add_argument(
            '--duration',
            metavar='<time>',
            default=capture.DURATION,
            help=_(
                'The longest time, for example 90s, 15m or 1h30m '
                '(default: %(default)s)'
            ),
        )
        parser.add_argument(
            '--packets',
            metavar='<count>',
            type=int,
            help=_('Stop after that many packets'),
        )
        parser.add_argument(
            '--max-size',
            metavar='<size>',
            default=capture.MAX_SIZE,
            help=_(
                'Stop before the capture gets larger, for example 64K, 100M '
                'or 2G (default: %(default)s)'
            ),
        )
        parser.add_argument(
            '--snaplen',
            metavar='<bytes>',
            type=int,
            help=_('Keep that much of each packet, 14 to 65535 bytes'),
        )
        parser.add_argument(
            '--capture-filter',
            metavar='<filter>',
            default='',
            help=_(
                'Only packets that this filter selects, see pcap-filter(7), '
                'for example "icmp or arp"'
            ),
        )
        parser.add_argument(
            '--host',
            metavar='<host>',
            default='',
            help=_('The host, for a port that is moving'),
        )
        channels.add_arguments(parser, (*channels.SSH, *channels.OVSDB))
        return parser

    def judge(self, parsed_args: argparse.Namespace) -> None:
        from osc_lab.mirroring import judge

        judge.snaplen(parsed_args.snaplen)
        self._wish(parsed_args)

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        import contextlib

        from osc_lab.access import capture as access

        network = self.network()
        hosts = self.hosts(parsed_args, network)
        with access.deferred() as stop, contextlib.ExitStack() as stack:
            device, host, label = self._source(
                parsed_args, network, hosts, stack
            )
            shell = hosts.shell(host)
            if shell is None:
                raise exceptions.InvalidInput(
                    _('Packets of %s can only be captured by a shell') % host,
                    _('Use --ssh.'),
                )
            wish = self._wish(parsed_args)
            with self._sink(parsed_args, stop) as sink:
                self._begin(parsed_args, label)
                outcome = access.run(
                    shell, device, wish, sink, stop, self._progress()
                )
            self._report(outcome, host)

    def _wish(self, parsed_args: argparse.Namespace) -> 'capture.Wish':
        from osc_lab.mirroring import amounts
        from osc_lab.mirroring import capture

        packets = parsed_args.packets
        if packets is not None and not 0 < packets < 1 << 31:
            raise exceptions.InvalidInput(
                _('--packets: "%s" is no number of packets') % packets,
                _('Use 1 or more.'),
            )
        if '\0' in parsed_args.capture_filter:
            raise exceptions.InvalidInput(
                _('--capture-filter: it holds a NUL character')
            )
        return capture.Wish(
            seconds=amounts.duration(
                '--duration', parsed_args.duration
            ).total_seconds(),
            size=amounts.size('--max-size', parsed_args.max_size),
            packets=packets,
            snaplen=parsed_args.snaplen,
            filter=parsed_args.capture_filter.strip(),
        )

    def _source(
        self,
        parsed_args: argparse.Namespace,
        network: 'network_.Network',
        hosts: 'mirror_hosts.Hosts',
        stack: 'contextlib.ExitStack',
    ) -> tuple[str, str, str]:
        """Return the device, its host, and what it shows.

        A mirror that is made for it is removed with the stack.
        """
        from osc_lab.mirroring import judge

        try:
            port = self.find_port(parsed_args, network)
        except exceptions.NotFound:
            if not parsed_args.port:
                raise
            return self._mirror(parsed_args, network)
        host = judge.port(port, parsed_args.host)
        # Found out before anything is made.
        self._free(parsed_args)
        made = self._make(parsed_args, port, host, network.creator(), hosts)
        stack.callback(self._remove, hosts, host, made, network.creator())
        return made.device, host, port.name or port.id

    def _mirror(
        self, parsed_args: argparse.Namespace, network: 'network_.Network'
    ) -> tuple[str, str, str]:
        parsed = argparse.Namespace(**vars(parsed_args))
        parsed.host = [parsed_args.host] if parsed_args.host else None
        found, dead = self.entries(parsed, network)
        try:
            entry = port_mirror.pick(found, parsed_args.port, dead)
        except exceptions.NotFound as error:
            raise exceptions.NotFound(
                _('There is no single port or mirror "%s"') % parsed_args.port,
                error.remedy,
            ) from error
        mirror = entry.mirror
        marks = mirror.marks if mirror else None
        if not mirror or not marks or marks.target != 'interface':
            raise exceptions.Conflict(
                _('The mirror "%s" has no device on its host')
                % parsed_args.port,
                _('Capture the port itself.'),
            )
        if parsed_args.direction not in ('both', marks.direction):
            raise exceptions.Conflict(
                _('The mirror "%(name)s" copies the direction "%(there)s"')
                % {'name': parsed_args.port, 'there': marks.direction},
                _('Capture the port itself.'),
            )
        return mirror.output_name, entry.host, mirror.name

    def _free(self, parsed_args: argparse.Namespace) -> None:
        import os

        path = parsed_args.file
        if path and path != '-' and not parsed_args.force:
            if os.path.lexists(path):
                raise exceptions.InvalidInput(
                    _('--file: "%s" exists') % path,
                    _('Use --force to replace it.'),
                )

    def _make(
        self,
        parsed_args: argparse.Namespace,
        port: typing.Any,
        host_name: str,
        creator: str,
        hosts: 'mirror_hosts.Hosts',
    ) -> 'service.Made':
        import datetime
        import uuid

        from osc_lab.mirroring import capture
        from osc_lab.mirroring import model
        from osc_lab.mirroring import service
        from osc_lab.mirroring import targets

        seconds = self._wish(parsed_args).seconds + 2 * capture.GRACE
        request = service.Request(
            direction=model.Direction(parsed_args.direction),
            target=targets.Target(targets.Kind.INTERFACE),
            # Each run has its own, and removes no other.
            name=f'capture-{port.id[:8]}-{uuid.uuid4().hex[:8]}',
            lifetime=datetime.timedelta(seconds=seconds),
            purpose='capture',
        )
        with hosts.open(host_name) as host:
            return service.Maker(host, port, request, creator).make()

    def _remove(
        self,
        hosts: 'mirror_hosts.Hosts',
        host_name: str,
        made: 'service.Made',
        user: str,
    ) -> None:
        import time

        mirror = made.entry.mirror
        assert mirror is not None
        assert mirror.marks is not None
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(1)
            try:
                with hosts.open(host_name) as host:
                    self._drop(host, mirror.marks.id, user)
                return
            except exceptions.LabError as error:
                failure = error
        remedy = _('remove it with: openstack port mirror delete %s') % (
            mirror.name
        )
        if made.guarded:
            remedy = _('the host removes it by itself when its time is over')
        raise exceptions.OperationFailed(
            _('The mirror %(name)s is left on %(host)s: %(error)s')
            % {
                'name': mirror.name,
                'host': host_name,
                'error': failure.message,
            },
            remedy,
        )

    def _drop(self, host: 'service.Host', made: str, user: str) -> None:
        import datetime

        from osc_lab.mirroring import health
        from osc_lab.mirroring import service

        now = datetime.datetime.now(datetime.UTC)
        for entry in service.collect(host, now):
            if made not in service.ids(entry):
                continue
            self._lost(host, entry)
            service.remove(host, entry, user)
            if health.Health.BLIND in entry.problems:
                self.log.warning(
                    _(
                        'The port was made anew while it was captured; later '
                        'packets are missing. Capture it again.'
                    )
                )

    def _lost(self, host: 'service.Host', entry: 'health.Entry') -> None:
        """Tell of copies that the device had no room for."""
        from osc_lab.access import ovsdb

        if not isinstance(host.database, ovsdb.Database):
            return
        for port in entry.ports:
            interface = host.database.interface(port.name)
            lost = interface.statistics.get('tx_dropped') if interface else 0
            if lost:
                self.say(
                    _(
                        'Open vSwitch dropped %d copies, those before the '
                        'capture began among them.'
                    )
                    % lost
                )

    def _sink(
        self, parsed_args: argparse.Namespace, stop: 'access.Stop'
    ) -> 'contextlib.AbstractContextManager[access.Sink]':
        from osc_lab.access import capture as access

        if parsed_args.wireshark:
            return access.wireshark(stop)
        if parsed_args.file == '-':
            return access.output(stop)
        return access.file(parsed_args.file, parsed_args.force)

    def _begin(self, parsed_args: argparse.Namespace, label: str) -> None:
        from osc_lab.mirroring import amounts

        wish = self._wish(parsed_args)
        self.say(
            _(
                'Capturing %(what)s for %(time)s at most, up to %(size)s; '
                'Ctrl-C ends it.'
            )
            % {
                'what': label,
                'time': amounts.show_duration(wish.seconds),
                'size': amounts.show_size(wish.size),
            }
        )

    def _progress(self) -> 'access.Progress':
        from osc_lab.mirroring import amounts

        shown = [-1]
        terminal = self.app.stderr.isatty()

        def show(packets: int, size: int, seconds: float) -> None:
            if terminal and int(seconds) != shown[0]:
                shown[0] = int(seconds)
                self.app.stderr.write(
                    '\r\033[K'
                    + _('%(packets)d packets, %(size)s, %(rate).1f packets/s')
                    % {
                        'packets': packets,
                        'size': amounts.show_size(size),
                        'rate': packets / max(seconds, 1),
                    }
                )
                self.app.stderr.flush()

        return show

    def _report(self, outcome: 'capture.Outcome', host: str) -> None:
        from osc_lab.mirroring import amounts
        from osc_lab.mirroring import capture

        if self.app.stderr.isatty():
            self.app.stderr.write('\r\033[K')
        why = {
            capture.End.TIME: _('the time is over'),
            capture.End.SIZE: _('the size is reached'),
            capture.End.PACKETS: _('all packets are there'),
            capture.End.CLOSED: _('the reader went away'),
            capture.End.INTERRUPTED: _('interrupted'),
            capture.End.FAILED: _('failed'),
        }[outcome.end]
        self.say(
            _('%(packets)d packets, %(size)s in %(time)s: %(why)s.')
            % {
                'packets': outcome.packets,
                'size': amounts.show_size(outcome.bytes),
                'time': amounts.show_duration(outcome.seconds),
                'why': why,
            }
        )
        if outcome.dropped:
            self.log.warning(
                _('The kernel of %(host)s dropped %(count)d packets.'),
                {'host': exceptions.printable(host), 'count': outcome.dropped},
            )
        if outcome.end is capture.End.FAILED:
            raise exceptions.OperationFailed(
                _('The capture on %(host)s broke off: %(why)s')
                % {'host': host, 'why': outcome.detail},
                _('What arrived before is complete.')
                if outcome.packets
                else '',
            )
        self.exit_code = outcome.end.exit_code


class ShowPortTopology(port_mirror._Base):
    _description = _(
        'Show the way of packets from the device of a port through the '
        'switches of its host'
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        add_port(parser, '<port>', _('Name or ID of the port'))
        parser.add_argument(
            '--format-graph',
            choices=('text', 'dot', 'svg'),
            default='text',
            help=_(
                'A tree of text, the language of Graphviz, or a picture '
                '(default: text)'
            ),
        )
        parser.add_argument(
            '--host',
            metavar='<host>',
            default='',
            help=_('The host, for a port that is moving'),
        )
        channels.add_arguments(parser, (*channels.SSH, *channels.OVSDB))
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from osc_lab.access import topology as access
        from osc_lab.mirroring import judge
        from osc_lab.mirroring import topology

        network = self.network()
        hosts = self.hosts(parsed_args, network)
        port = self.find_port(parsed_args, network)
        name = judge.port(port, parsed_args.host)
        with hosts.open(name) as host:
            facts = access.facts(host.database, port.id)
        graph = topology.graph(port, name, facts)
        if parsed_args.format_graph == 'text':
            text = topology.text(graph)
        else:
            text = topology.dot(graph)
            if parsed_args.format_graph == 'svg':
                text = access.picture(text)
        self.app.stdout.write(text)


def add_port(parser: argparse.ArgumentParser, metavar: str, text: str) -> None:
    """Add the ways to name a port, the first with a name of its own."""
    port_mirror.add_port(parser)
    for action in parser._actions:
        if action.dest == 'port':
            action.metavar = metavar
            action.help = text
