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
from osc_lab.i18n import _

if typing.TYPE_CHECKING:
    from osc_lab.access import live_migration
    from osc_lab.migration import wish
    from osc_lab.preflight import registry
    from osc_lab.preflight import report as report_

Table = tuple[tuple[str, ...], typing.Iterable[tuple[typing.Any, ...]]]


class LiveMigrateServer(command.Lister):
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
        from osc_lab.commands import migrate_arguments

        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        migrate_arguments.add(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        self._offline = parsed_args.list_checks
        return super().run(parsed_args)

    def authenticate(self) -> None:
        if not self._offline:
            super().authenticate()

    def judge(self, parsed_args: argparse.Namespace) -> None:
        from osc_lab.commands import migrate_arguments

        migrate_arguments.judge(parsed_args)
        if parsed_args.check or parsed_args.skip_check:
            # To load them all takes longer than the rest until the log-in.
            _chosen(parsed_args)

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        if parsed_args.list_checks:
            return _listing(_chosen(parsed_args))
        import os

        from osc_lab.access import live_migration
        from osc_lab.access import settings
        from osc_lab import channels

        flow = live_migration.Flow(
            self.connection,
            _options(parsed_args),
            channels.resolve(
                parsed_args, os.environ, settings.cloud(self.connection)
            ),
            _chosen(parsed_args),
            self.say,
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


def _options(parsed_args: argparse.Namespace) -> 'wish.Options':
    from osc_lab.migration import drive
    from osc_lab.migration import facts
    from osc_lab.migration import wish

    storage = facts.Storage.AUTO
    if parsed_args.block_migration:
        storage = facts.Storage.BLOCK
    elif parsed_args.shared_migration:
        storage = facts.Storage.SHARED
    wait = None
    if parsed_args.no_wait:
        wait = False
    elif parsed_args.wait or parsed_args.timeout or parsed_args.on_stall:
        wait = True
    return wish.Options(
        server=parsed_args.server or '',
        host=parsed_args.host,
        storage=storage,
        ignored=tuple(parsed_args.ignore_check),
        strict=parsed_args.strict,
        forecast=parsed_args.forecast,
        bandwidth=parsed_args.bandwidth,
        unchecked=parsed_args.no_preflight,
        wait=wait,
        timeout=parsed_args.timeout,
        on_stall=drive.OnStall(parsed_args.on_stall or 'report'),
    )


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
