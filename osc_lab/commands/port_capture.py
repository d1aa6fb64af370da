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

"""openstack port mirror capture and port topology show.

One module for both: the shell imports every module of a command on every
call.
"""

import argparse
import collections.abc
import typing

from osc_lab.commands import port_mirror
from osc_lab import exceptions
from osc_lab.i18n import _

if typing.TYPE_CHECKING:
    import contextlib

    from osc_lab.access import capture as access
    from osc_lab.access import progress
    from osc_lab.access import sinks
    from osc_lab.mirroring import capture


class CapturePortMirror(port_mirror.Base):
    _description = _(
        'Capture the packets of a port to a file, to the standard output or '
        'to Wireshark.\n\n'
        'A mirror is made for the time of the capture and tcpdump runs on '
        'the host, so it takes --ssh. Ctrl-C ends it; nothing stays behind.'
    )
    examples = (
        'openstack port mirror capture web1-port --file web1.pcap',
        'openstack port mirror capture --server web1 --wireshark',
        'openstack port mirror capture web1-port --packets 20 \\\n'
        '      --capture-filter "icmp or arp" --file - | tcpdump -n -r -',
        'openstack port mirror capture --server web1 --both-ends db1 \\\n'
        '      --file pair.pcapng',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from osc_lab.commands import port_arguments

        parser = super().get_parser(prog_name)
        port_arguments.add_capture(parser)
        port_arguments.add_access(parser)
        return parser

    def judge(self, parsed_args: argparse.Namespace) -> None:
        from osc_lab.commands import port_wishes

        port_wishes.judge_port(parsed_args)
        port_wishes.judge_capture(parsed_args)

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        import os

        from osc_lab.access import capture as access
        from osc_lab.access import progress
        from osc_lab.access import sinks
        from osc_lab.commands import capture_source
        from osc_lab.commands import port_arguments
        from osc_lab.commands import port_wishes

        wish = port_wishes.capture_wish(parsed_args)
        path = parsed_args.file or '-'
        alone = not parsed_args.force and parsed_args.ring is None
        # Found out before anybody is asked.
        if path != '-' and alone and os.path.lexists(path):
            raise exceptions.InvalidInput(
                _('--file: "%s" exists') % path,
                _('Use --force to replace it.'),
            )
        network = self.network()
        hosts = self.hosts(parsed_args, network)
        found: list[capture_source.End] = []
        with sinks.deferred() as stop, capture_source.removed(found):
            for arguments in port_arguments.ends(parsed_args):
                found.append(
                    capture_source.End(self, arguments, network, hosts)
                )
                stop.check()
            if len({end.id for end in found}) < len(found):
                raise exceptions.InvalidInput(
                    _('--both-ends: it is the same port'),
                    _('Name the other one.'),
                )
            # Before anything is made: it may be refused.
            with self._sink(parsed_args, stop) as sink:
                opened = []
                for end in found:
                    opened.append(end.open(wish))
                    stop.check()
                self._begin(wish, ' and '.join(item.label for item in found))
                line = progress.Progress(self.app.stderr, self.say)
                outcome = access.run(
                    opened, wish, sink, stop, self._shown_by(line)
                )
                # Before the file ends, which may fail as well.
                line.say(self._end(outcome))
            where = ' and '.join(dict.fromkeys(item.host for item in found))
            self._report(outcome, where, sink.files)

    def _sink(
        self, parsed_args: argparse.Namespace, stop: 'sinks.Stop'
    ) -> 'contextlib.AbstractContextManager[sinks.Sink]':
        from osc_lab.access import sinks

        if parsed_args.wireshark:
            return sinks.wireshark(stop)
        if parsed_args.file == '-':
            return sinks.output(stop)
        if parsed_args.ring is not None:
            return sinks.ring(parsed_args.file, parsed_args.ring)
        return sinks.file(parsed_args.file, parsed_args.force)

    def _begin(self, wish: 'capture.Wish', label: str) -> None:
        from osc_lab.mirroring import amounts

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

    def _shown_by(self, line: 'progress.Progress') -> 'access.Progress | None':
        """Return what shows the state, once a second."""
        from osc_lab.mirroring import amounts

        if not line.terminal:
            return None
        shown = [-1]

        def show(
            packets: int, size: int, seconds: float, dropped: int | None
        ) -> None:
            if int(seconds) == shown[0]:
                return
            shown[0] = int(seconds)
            line.show(
                _(
                    '%(packets)d packets, %(size)s, %(rate).1f packets/s, '
                    '%(dropped)s dropped'
                )
                % {
                    'packets': packets,
                    'size': amounts.show_size(size),
                    'rate': packets / max(seconds, 1),
                    'dropped': '?' if dropped is None else dropped,
                }
            )

        return show

    def _end(self, outcome: 'capture.Outcome') -> str:
        from osc_lab.mirroring import amounts
        from osc_lab.mirroring import capture

        why = {
            capture.End.TIME: _('the time is over'),
            capture.End.SIZE: _('the size is reached'),
            capture.End.PACKETS: _('all packets are there'),
            capture.End.CLOSED: _('the reader went away'),
            capture.End.INTERRUPTED: _('interrupted'),
            capture.End.FAILED: _('failed'),
        }[outcome.end]
        return _('%(packets)d packets, %(size)s in %(time)s: %(why)s.') % {
            'packets': outcome.packets,
            'size': amounts.show_size(outcome.bytes),
            'time': amounts.show_duration(outcome.seconds),
            'why': why,
        }

    def _report(
        self,
        outcome: 'capture.Outcome',
        host: str,
        files: collections.abc.Sequence[str],
    ) -> None:
        """Tell what there is, and what may be missing.

        :raises OperationFailed: when the capture broke off
        """
        from osc_lab.mirroring import capture

        if len(files) > 1:
            self.say(
                _('%(count)d files stay, %(first)s to %(last)s.')
                % {
                    'count': len(files),
                    'first': files[0],
                    'last': files[-1],
                }
            )
        self._warn(outcome, exceptions.printable(host))
        if outcome.end is capture.End.FAILED:
            raise exceptions.OperationFailed(
                _('The capture on %(host)s broke off: %(why)s')
                % {'host': host, 'why': outcome.detail},
                _('What arrived before is complete.')
                if outcome.packets
                else '',
            )
        self.exit_code = outcome.end.exit_code

    def _warn(self, outcome: 'capture.Outcome', host: str) -> None:
        """Tell what may be missing from the file."""
        from osc_lab.mirroring import capture

        if outcome.dropped:
            self.log.warning(
                _('The kernel of %(host)s dropped %(count)d packets.'),
                {'host': host, 'count': outcome.dropped},
            )
        if outcome.end is capture.End.CLOSED or not outcome.started:
            return
        full = outcome.end in (capture.End.SIZE, capture.End.PACKETS)
        if not full and (outcome.cut_off or not outcome.told):
            self.log.warning(_('The last packets may be missing.'))
        if not outcome.told:
            self.log.warning(
                _('What the kernel of %(host)s dropped is not known.'),
                {'host': host},
            )


class ShowPortTopology(port_mirror.Base):
    _description = _(
        'Show the way of packets from the device of a port through the '
        'switches of its host'
    )
    examples = (
        'openstack port topology show web1-port',
        'openstack port topology show --server web1 \\\n'
        '      --graph-format svg > web1.svg',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from osc_lab.commands import port_arguments

        parser = super().get_parser(prog_name)
        port_arguments.add_port(parser)
        parser.add_argument(
            '--graph-format',
            metavar='<format>',
            choices=('text', 'dot', 'svg'),
            default='text',
            help=_(
                'text (default) is a tree, dot the language of Graphviz, svg '
                'a picture, which needs its program dot'
            ),
        )
        port_arguments.add_host(parser)
        port_arguments.add_access(parser)
        return parser

    def judge(self, parsed_args: argparse.Namespace) -> None:
        from osc_lab.commands import port_wishes

        port_wishes.judge_port(parsed_args)

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from osc_lab.access import topology as access
        from osc_lab.mirroring import judge
        from osc_lab.mirroring import topology

        network = self.network()
        hosts = self.hosts(parsed_args, network)
        port = self.find_port(parsed_args, network)
        name = judge.port(port, parsed_args.host)
        with hosts.database(name) as database:
            facts = access.facts(database, port.id)
        graph = topology.graph(port, name, facts)
        if parsed_args.graph_format == 'text':
            text = topology.text(graph)
        else:
            text = topology.dot(graph)
            if parsed_args.graph_format == 'svg':
                text = access.picture(text)
        with self.printing():
            self.app.stdout.write(text)
