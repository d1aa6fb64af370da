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

"""Gives the stock ``openstack server migrate`` a --preflight option.

Loaded with that command alone, and only when it is used; off unless asked
for.
"""

import argparse
import logging

from cliff import hooks

from osc_lab import exceptions
from osc_lab.i18n import _


LOG = logging.getLogger(__name__)


class ServerMigrate(hooks.CommandHook):
    """Checks a live migration before the stock command starts it."""

    def get_parser(
        self, parser: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        parser.add_argument(
            '--preflight',
            action='store_true',
            help=_(
                'With --live-migration: check first, as "openstack server '
                'migrate live --preflight" does, and do not start when a '
                'check fails or none could be made'
            ),
        )
        return parser

    def get_epilog(self) -> str:
        return ''

    def before(self, parsed_args: argparse.Namespace) -> argparse.Namespace:
        """Stop the command when a check fails.

        As "server migrate live" does, it goes on when a check could not
        look; what it could not see was printed.

        :raises SystemExit: with the exit status of the checks, or of a wrong
            command line
        """
        if not parsed_args.preflight:
            return parsed_args
        if not parsed_args.live_migration:
            error = exceptions.InvalidInput(
                _('--preflight needs --live-migration'),
                _('A cold migration has no such checks.'),
            )
            # The shell would take any error for 1.
            LOG.error('%s', error)
            raise SystemExit(error.exit_code)
        self._check(parsed_args)
        return parsed_args

    def _check(self, parsed_args: argparse.Namespace) -> None:
        from osc_lab.commands import server_migrate

        command = server_migrate.LiveMigrateServer(self.cmd.app, None)
        parser = command.get_parser('openstack server migrate live')
        argv = ['--preflight', '--fit-width']
        if parsed_args.host:
            argv += ['--host', parsed_args.host]
        if parsed_args.block_migration is not None:
            argv.append(
                '--block-migration'
                if parsed_args.block_migration
                else '--shared-migration'
            )
        status = command.run(
            parser.parse_args([*argv, '--', parsed_args.server])
        )
        if status not in (
            exceptions.ExitCode.DONE,
            exceptions.ExitCode.UNDECIDED,
        ):
            raise SystemExit(status)

    def after(self, parsed_args: argparse.Namespace, return_code: int) -> int:
        return return_code
