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

"""Is data really encrypted?"""

import argparse
import collections
import collections.abc
import typing

from osc_lab import command
from osc_lab import exceptions
from osc_lab.i18n import _

if typing.TYPE_CHECKING:
    from osc_lab.access import block_storage
    from osc_lab.encryption import audit_volumes
    from osc_lab.encryption import model
    from osc_lab.preflight import finding


class AuditVolumeEncryption(command.Lister):
    _description = _(
        'List every volume type, volume and backup whose data may not be '
        'encrypted, or not be readable.\n\n'
        'Nothing is changed. Each row is a finding: "failed" is wrong, '
        '"warning" is weak or old.'
    )
    examples = (
        'openstack volume encryption audit --all-projects',
        'openstack volume encryption audit --type LUKS --strict --long',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--all-projects',
            action='store_true',
            help=_('Look at volumes of all projects (admin only)'),
        )
        parser.add_argument(
            '--type',
            metavar='<type>',
            help=_('Look at this volume type (name or ID) and its volumes'),
        )
        parser.add_argument(
            '--strict',
            action='store_true',
            help=_('Exit with status 4 when there are warnings'),
        )
        parser.add_argument(
            '--long',
            action='store_true',
            help=_('List additional fields in output'),
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[
        tuple[str, ...], collections.abc.Iterable[tuple[typing.Any, ...]]
    ]:
        from osc_lab.preflight import finding

        columns = finding.LONG_COLUMNS if parsed_args.long else finding.COLUMNS
        return columns, self._rows(parsed_args)

    def _rows(
        self, parsed_args: argparse.Namespace
    ) -> collections.abc.Iterator[tuple[typing.Any, ...]]:
        """Yield rows as they are found, and set the exit code at the end."""
        from osc_lab.preflight import finding
        from osc_lab.preflight import report

        counts: collections.Counter[finding.Result] = collections.Counter()
        for item in self._findings(parsed_args):
            counts[item.result] += 1
            yield finding.row(item, parsed_args.long)
        verdict = report.verdict(counts, parsed_args.strict)
        # What could not be read has set it already.
        if verdict is not exceptions.ExitCode.DONE:
            self.exit_code = verdict
        unknown = counts[finding.Result.UNKNOWN]
        self.say(
            _('%(failed)d failed, %(warning)d warnings%(more)s; %(looked)s.')
            % {
                'failed': counts[finding.Result.FAILED],
                'warning': counts[finding.Result.WARNING],
                'more': _(', %d unknown') % unknown if unknown else '',
                'looked': self._looked,
            }
        )

    _looked = ''
    _no_keys = False

    def _findings(
        self, parsed_args: argparse.Namespace
    ) -> collections.abc.Iterator['finding.Finding']:
        from osc_lab.access import block_storage
        from osc_lab.access import settings
        from osc_lab.encryption import audit

        store = block_storage.BlockStorage(
            self.connection, settings.api_timeout(self.connection)
        )
        types = self._types(store, parsed_args.type)
        for item in types.values():
            yield from audit.judge_type(item)
        yield from audit.judge_names(types.values())
        yield from audit.judge_defaults(
            types, *self._defaults(store), self.connection.current_project_id
        )
        volumes = self._judge_of(types)
        for volume in store.volumes(parsed_args.all_projects):
            if parsed_args.type is None or volume.type_id in types:
                yield from volumes.judge(volume)
        yield from volumes.judge_keys()
        unread = ''
        try:
            for backup in store.backups(parsed_args.all_projects):
                yield from volumes.judge_backup(backup)
        except exceptions.ServiceError as error:
            # Cinder without cinder-backup has an empty list; 404 comes from
            # a block storage that knows no backups.
            if error.status != 404:
                self.exit_code = exceptions.ExitCode.UNDECIDED
                unread = _(
                    ', backups could not be read: %s'
                ) % error.message.rstrip('.')
        self._looked = _('%(types)d types and %(volumes)d volumes') % {
            'types': len(types),
            'volumes': volumes.count,
        }
        if volumes.not_looked_up:
            self._looked += (
                _(', the keys of %d could not be looked up')
                % volumes.not_looked_up
            )
            if self._no_keys or volumes.unanswered:
                self.exit_code = exceptions.ExitCode.UNDECIDED
        self._looked += unread

    def _types(
        self, store: 'block_storage.BlockStorage', wanted: str | None
    ) -> 'dict[str, model.VolumeType]':
        import dataclasses

        found = {}
        for item in store.types():
            if wanted is not None and wanted not in (item.id, item.name):
                continue
            try:
                encryption = store.encryption(item.id)
            except exceptions.ServiceError as error:
                # Somebody removed it meanwhile.
                if error.status == 404:
                    continue
                raise
            found[item.id] = dataclasses.replace(item, encryption=encryption)
        if wanted is not None and not found:
            raise exceptions.NotFound(
                _('There is no volume type "%s"') % wanted,
                _('See "openstack volume type list".'),
            )
        return found

    def _defaults(
        self, store: 'block_storage.BlockStorage'
    ) -> 'tuple[model.Default, dict[str, str]]':
        default = store.default_type()
        try:
            by_project = store.default_types()
        except exceptions.ServiceError as error:
            if error.status not in (403, 404, 406):
                raise
            self.log.debug('no defaults of projects: %s', error)
            by_project = {}
            if error.status == 403:
                # Nobody knows whether the project has its own.
                own = str(self.connection.current_project_id)
                by_project[own] = default.type_id or ''
        return default, by_project

    def _judge_of(
        self, types: 'dict[str, model.VolumeType]'
    ) -> 'audit_volumes.Volumes':
        from osc_lab.access import key_manager
        from osc_lab.access import settings
        from osc_lab.encryption import audit_volumes

        manager = key_manager.KeyManager(
            self.connection, settings.api_timeout(self.connection)
        )
        secrets = None
        if manager.available():
            try:
                secrets = set(manager.secrets())
            except exceptions.ServiceError as error:
                self.log.warning(
                    _('Keys cannot be looked up: %s'), error.message
                )
                # Who may not see keys learns so from the summary alone.
                self._no_keys = error.status not in (401, 403)
        return audit_volumes.Volumes(
            types,
            secrets,
            self.connection.current_project_id,
            manager.knows,
        )
