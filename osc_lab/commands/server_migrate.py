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

"""openstack server migrate live"""

import argparse
import typing

from osc_lab import command
from osc_lab import exceptions
from osc_lab.i18n import _

if typing.TYPE_CHECKING:
    from osc_lab.access import live_migration
    from osc_lab.preflight import registry
    from osc_lab.preflight import report as report_

Table = tuple[tuple[str, ...], typing.Iterable[tuple[typing.Any, ...]]]


class LiveMigrate(command.Lister):
    _description = _(
        'Move a running server to another host: know before, watch during, '
        'verify after.\n\n'
        'Checks first, and starts nothing when one fails; then asks Nova, '
        'shows how it goes, and looks where the guest runs in the end. What '
        'the APIs do not tell is seen on the hosts with --ssh, --libvirt-uri '
        'and --ovsdb; without them those checks are "skipped".'
    )
    examples = (
        'openstack server migrate live web1 --preflight',
        'openstack server migrate live web1 --host cmp2 --wait',
        'openstack server migrate live web1 --preflight --forecast \\\n'
        "      --ssh 'root@{host}' --libvirt-uri 'qemu+tls://{host}/system'",
        'openstack server migrate live --explain 17',
        'openstack server migrate live --list-checks --fit-width',
    )

    _offline = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from osc_lab import channels

        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            'server',
            metavar='<server>',
            nargs='?',
            help=_(
                'Server to migrate (name or ID); not needed with '
                '--list-checks and --explain'
            ),
        )
        parser.add_argument(
            '--host',
            metavar='<host>',
            help=_(
                'Destination, a compute service host; the scheduler '
                'validates it. Without it the scheduler chooses; when '
                'hosts fail their checks, the best that passes is named'
            ),
        )
        storage = parser.add_mutually_exclusive_group()
        storage.add_argument(
            '--block-migration',
            dest='storage',
            action='store_const',
            const='block',
            help=_('Copy local disks (default: as Nova finds necessary)'),
        )
        storage.add_argument(
            '--shared-migration',
            dest='storage',
            action='store_const',
            const='shared',
            help=_('Do not copy disks, they are on shared storage'),
        )
        _check_arguments(parser)
        _follow_arguments(parser)
        channels.add_arguments(
            parser, (*channels.SSH, *channels.LIBVIRT, *channels.OVSDB)
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        self._offline = parsed_args.list_checks
        return super().run(parsed_args)

    def authenticate(self) -> None:
        if not self._offline:
            super().authenticate()

    def judge(self, parsed_args: argparse.Namespace) -> None:
        if parsed_args.list_checks:
            return
        if not parsed_args.server and not parsed_args.explain:
            raise exceptions.InvalidInput(
                _('No server was named'), _('Give its name or ID.')
            )
        if parsed_args.preflight and parsed_args.no_preflight:
            raise exceptions.InvalidInput(
                _('--preflight and --no-preflight exclude each other'),
                _('Give one of them.'),
            )
        parsed_args.timeout = _seconds('--timeout', parsed_args.timeout)
        parsed_args.bandwidth = _seconds('--bandwidth', parsed_args.bandwidth)
        if parsed_args.check or parsed_args.skip_check:
            # To load them all takes longer than the rest until the log-in.
            _chosen(parsed_args)

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        from osc_lab.preflight import registry

        if parsed_args.list_checks:
            return _listing(registry.load())
        from osc_lab.access import live_migration

        flow = live_migration.Flow(
            self.connection, parsed_args, _chosen(parsed_args), self.say
        )
        report = self._report(flow, parsed_args)
        self.say(report.summary())
        return _rows(report, parsed_args.long)

    def _report(
        self,
        flow: 'live_migration.Flow',
        parsed_args: argparse.Namespace,
    ) -> 'report_.Report':
        if parsed_args.explain:
            report, self.exit_code = flow.explain(parsed_args.explain)
        elif parsed_args.repair:
            report, self.exit_code = flow.repair()
        elif parsed_args.preflight:
            report, self.exit_code = flow.preflight()
        else:
            report, self.exit_code = flow.migrate()
        return report


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(_('checks'))
    group.add_argument(
        '--preflight',
        action='store_true',
        help=_(
            'Only check and report; nothing is changed. Without --host all '
            'hosts are ranked, with it that host is shown in detail'
        ),
    )
    group.add_argument(
        '--no-preflight',
        action='store_true',
        help=_('Migrate without any check'),
    )
    group.add_argument(
        '--check',
        metavar='<id>',
        action='append',
        default=[],
        help=_(
            'Run only this check (may be repeated); --list-checks names them'
        ),
    )
    group.add_argument(
        '--skip-check',
        metavar='<id>',
        action='append',
        default=[],
        help=_('Leave this check out (may be repeated)'),
    )
    group.add_argument(
        '--ignore-check',
        metavar='<id>',
        action='append',
        default=[],
        help=_(
            'Take a failure of this check, or of "all", for a warning (may '
            'be repeated)'
        ),
    )
    group.add_argument(
        '--strict',
        action='store_true',
        help=_('Exit with status 4 when there are warnings'),
    )
    group.add_argument(
        '--forecast',
        action='store_true',
        help=_(
            'Measure how fast the guest writes to its memory and tell '
            'whether and how fast the migration would end; takes seconds'
        ),
    )
    group.add_argument(
        '--bandwidth',
        metavar='<mib-per-second>',
        help=_(
            'Bandwidth that --forecast reckons with (default: '
            'live_migration_bandwidth of nova.conf)'
        ),
    )
    group.add_argument(
        '--list-checks',
        action='store_true',
        help=_('List every check, what it asks and what it needs'),
    )
    group.add_argument(
        '--long',
        action='store_true',
        help=_('Show source and evidence of each finding'),
    )


def _follow_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(_('during and after'))
    wait = group.add_mutually_exclusive_group()
    wait.add_argument(
        '--wait',
        action='store_true',
        default=None,
        help=_(
            'Follow the migration to its end (default when the output is a '
            'terminal; scripts give it)'
        ),
    )
    wait.add_argument(
        '--no-wait',
        dest='wait',
        action='store_false',
        help=_(
            'Return when Nova has accepted it, with status 0; with status 4 '
            'when nothing was said and the output is no terminal'
        ),
    )
    group.add_argument(
        '--timeout',
        metavar='<seconds>',
        help=_(
            'Follow for so long at most (default: to its end); the '
            'migration goes on'
        ),
    )
    group.add_argument(
        '--on-stall',
        metavar='<action>',
        choices=('report', 'abort', 'force-complete'),
        default='report',
        help=_(
            'What to do when what remains to be copied no longer shrinks: '
            'report (default), abort or force-complete'
        ),
    )
    group.add_argument(
        '--explain',
        metavar='<migration-or-request-id>',
        help=_(
            'Tell how a migration of the past ended, and why; "openstack '
            'server migration list" has the IDs'
        ),
    )
    group.add_argument(
        '--repair',
        action='store_true',
        help=_(
            'Set a server that a failed migration left in ERROR to active, '
            'and remove the port bindings that it left, when libvirt '
            'confirms that its guest runs where Nova says'
        ),
    )


def _seconds(option: str, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 < number < 1e9:
        raise exceptions.InvalidInput(
            _('%(option)s: "%(value)s" is not a number above 0')
            % {'option': option, 'value': value},
            _('Give a number.'),
        )
    return number


def _chosen(parsed_args: argparse.Namespace) -> 'registry.Registry':
    """Return the checks that are to run.

    :raises InvalidInput: for one that there is not
    """
    from osc_lab.preflight import registry

    return registry.load().choose(parsed_args.check, parsed_args.skip_check)


def _listing(checks: 'registry.Registry') -> Table:
    return (
        ('ID', 'Question', 'Source', 'Channel', 'Reason', 'Remedy'),
        [
            (
                item.id,
                item.question,
                item.source.value,
                item.channel,
                item.reason,
                item.remedy,
            )
            for item in checks.checks
        ],
    )


def _rows(report: 'report_.Report', long: bool) -> Table:
    from osc_lab.preflight import finding

    return (
        finding.LONG_COLUMNS if long else finding.COLUMNS,
        [finding.row(item, long) for item in report.findings],
    )
