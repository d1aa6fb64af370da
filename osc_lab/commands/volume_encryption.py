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

"""Encrypted volume types: presets."""

import argparse
import collections.abc
import typing

from osc_lab import command
from osc_lab import exceptions
from osc_lab.i18n import _

if typing.TYPE_CHECKING:
    from osc_lab.access import block_storage
    from osc_lab.access import key_manager
    from osc_lab.encryption import model
    from osc_lab.encryption import presets
    from osc_lab.encryption import proof
    from osc_lab.encryption import wish as wish_
    from osc_lab import plan

_COLUMNS = (
    'id',
    'name',
    'is_public',
    'provider',
    'cipher',
    'key_size',
    'control_location',
    'key_manager',
    'verified',
    'changed',
)


def _described(encryption: str) -> str:
    return (
        _(
            'Make a volume type whose volumes are encrypted with %s.\n\n'
            'It is published after a volume of it was made, looked at and '
            'removed; when a step fails, all is undone. A type of that name '
            'that is there already is compared and left alone.'
        )
        % encryption
    )


class _Preset(command.ShowOne):
    """Base of the commands that make a type from a preset."""

    preset: typing.ClassVar[str]

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from osc_lab.commands import preset_arguments

        parser = super().get_parser(prog_name)
        preset_arguments.add(parser)
        return parser

    def judge(self, parsed_args: argparse.Namespace) -> None:
        from osc_lab.commands import preset_arguments
        from osc_lab.encryption import presets

        preset_arguments.judge(
            parsed_args, getattr(self.app.options, 'verify', None)
        )
        self._judged(presets.get(self.preset), parsed_args)

    def _judged(
        self,
        preset: 'presets.Preset',
        parsed_args: argparse.Namespace,
        projects: collections.abc.Iterable[str] | None = None,
    ) -> 'wish_.Judged':
        from osc_lab.commands import preset_arguments
        from osc_lab.encryption import wish as wish_

        return wish_.judge(
            preset, preset_arguments.options(parsed_args, projects)
        )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[typing.Any, ...]]:
        from osc_lab.access import process
        from osc_lab.encryption import presets
        from osc_lab.encryption import proof
        from osc_lab.encryption import reconcile
        from osc_lab.encryption import scratch

        preset = presets.get(self.preset)
        judged = self._judged(preset, parsed_args, self._projects(parsed_args))
        self._warn(judged.warnings)
        wish = judged.wish
        store = _store(self)
        #: By type: one that was proven may have given way to another run's.
        proofs: dict[str, proof.Proof] = {}
        further = None
        if parsed_args.verify == 'attach' and not parsed_args.dry_run:
            further = self._on_host(parsed_args)

        def prove(type_id: str) -> None:
            proofs[type_id] = proof.prove(
                store, type_id, wish.encryption, further, self._knows()
            )

        actor = process.actor()
        wanted = None if parsed_args.no_verify else prove
        if parsed_args.dry_run:
            steps = reconcile.preview(store, wish, actor, wanted)
            return (
                (*_COLUMNS, 'plan'),
                (*_row('', wish, None, False), _plan_column(steps)),
            )
        result = reconcile.apply(
            store,
            wish,
            actor,
            wanted,
            before=lambda: self._probe(parsed_args, wish),
        )
        if not result.changed:
            self.say(
                _('Volume type %s is as wished; nothing was changed.')
                % wish.name
            )
        type_id = result.volume_type.id
        if parsed_args.verify and type_id not in proofs:
            # It was there; at most a twin of it was removed.
            left = scratch.left_over(store, type_id)
            self._warn(map(scratch.left_warning, left))
            prove(type_id)
        found = proofs.get(type_id)
        if found is not None:
            self._warn(found.notes)
        return _COLUMNS, _row(type_id, wish, found, result.changed)

    def _warn(self, lines: collections.abc.Iterable[str]) -> None:
        for line in lines:
            self.log.warning(exceptions.printable(line))

    def _probe(
        self, parsed_args: argparse.Namespace, wish: 'model.Wish'
    ) -> None:
        from osc_lab.encryption import probe

        if parsed_args.no_probe:
            return
        try:
            self._warn(probe.pools(wish.encryption, _store(self).pools()))
        except exceptions.ServiceError as error:
            self.log.debug('no pools: %s', error)
        manager = self._key_manager()
        if manager.available():
            self._warn(
                probe.order(
                    wish.encryption, manager.try_order(wish.encryption)
                )
            )

    def _key_manager(self) -> 'key_manager.KeyManager':
        from osc_lab.access import key_manager
        from osc_lab.access import settings

        return key_manager.KeyManager(
            self.connection, settings.api_timeout(self.connection)
        )

    def _knows(self) -> 'proof.Knows | None':
        manager = self._key_manager()
        return manager.knows if manager.available() else None

    def _on_host(self, parsed_args: argparse.Namespace) -> 'proof.Prover':
        """Return what proves more, on the host of a server."""
        import os

        from osc_lab.access import attachment
        from osc_lab.access import disk
        from osc_lab.access import service_hosts
        from osc_lab.access import settings
        from osc_lab.access import shell
        from osc_lab import channels
        from osc_lab.encryption import attached

        attachments = attachment.Attachments(self.connection)
        server = attachments.server(parsed_args.server)
        reach = service_hosts.addressed(
            self.connection,
            channels.resolve(
                parsed_args, os.environ, settings.cloud(self.connection)
            ),
            {server.host},
        )
        there = shell.Shell(reach.host(server.host), reach)
        there.run(['true'], check=True)

        def further(
            volume: 'model.Volume',
            wished: 'model.Encryption',
            found: 'proof.Proof',
        ) -> 'proof.Proof':
            with attachments.attached(server, volume):
                seen = disk.Host(there, server.id).look(volume.id)
            return attached.judge(volume, wished, found, seen)

        return further

    def _projects(self, parsed_args: argparse.Namespace) -> list[str]:
        from osc_lab.access import identity

        return [
            identity.project_id(
                self.connection, name, parsed_args.project_domain
            )
            for name in parsed_args.projects
        ]


class ApplyLuksPreset(_Preset):
    _description = _described('LUKS')
    examples = (
        'openstack volume encryption preset luks --dry-run',
        'openstack volume encryption preset luks --name fast \\\n'
        '      --property volume_backend_name=ceph',
        'openstack volume encryption preset luks \\\n'
        '      --verify attach --server web1',
    )
    preset = 'luks'


class ApplyLuksAes256Preset(_Preset):
    _description = _described('LUKS and AES-256')
    examples = (
        'openstack volume encryption preset luks-aes256 --dry-run',
        'openstack volume encryption preset luks-aes256 \\\n'
        '      --private --project blue',
    )
    preset = 'luks-aes256'


class ApplyLuks2Preset(_Preset):
    _description = _described('LUKS2')
    examples = (
        'openstack volume encryption preset luks2 --dry-run',
        'openstack volume encryption preset luks2 \\\n'
        '      --verify attach --server web1',
    )
    preset = 'luks2'


class ListVolumeEncryptionPreset(command.Lister):
    _description = _('List the presets for encrypted volume types')
    examples = ('openstack volume encryption preset list',)
    cloud_required = False

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[
        tuple[str, ...], collections.abc.Iterable[tuple[typing.Any, ...]]
    ]:
        from osc_lab.encryption import presets

        registry = presets.load()
        for line in registry.broken:
            self.log.warning(exceptions.printable(line))
        return (
            (
                'Name',
                'Volume Type',
                'Provider',
                'Cipher',
                'Key Size',
                'Control Location',
                'Description',
            ),
            (
                (item.name, item.type_name, *_cells(item), item.description)
                for item in registry.presets
            ),
        )


class ShowVolumeEncryptionPreset(command.ShowOne):
    _description = _('Show one preset for encrypted volume types')
    examples = ('openstack volume encryption preset show luks',)
    cloud_required = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'preset', metavar='<preset>', help=_('Name of the preset')
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[typing.Any, ...]]:
        from osc_lab.encryption import presets

        item = presets.get(parsed_args.preset)
        return (
            (
                'name',
                'volume_type',
                'provider',
                'cipher',
                'key_size',
                'control_location',
                'description',
            ),
            (item.name, item.type_name, *_cells(item), item.description),
        )


def _row(
    type_id: str,
    wish: 'model.Wish',
    found: 'proof.Proof | None',
    changed: bool,
) -> tuple[typing.Any, ...]:
    made = wish.encryption
    return (
        type_id,
        wish.name,
        wish.is_public,
        made.provider,
        made.cipher,
        made.key_size,
        made.control_location,
        found.key_manager if found else 'unknown',
        found.level if found else 'no',
        changed,
    )


def _cells(preset: 'presets.Preset') -> tuple[typing.Any, ...]:
    made = preset.encryption
    return made.provider, made.cipher, made.key_size, made.control_location


def _store(item: command.Command) -> 'block_storage.BlockStorage':
    from osc_lab.access import block_storage
    from osc_lab.access import settings

    return block_storage.BlockStorage(
        item.connection, settings.api_timeout(item.connection)
    )


def _plan_column(steps: 'plan.Plan') -> typing.Any:
    from osc_lib.cli import format_columns

    class PlanColumn(format_columns.ListDictColumn):
        """Numbered lines for people, a list of mappings for programs."""

        def human_readable(self) -> str:
            return '\n'.join(
                f'{number}. {title}\n   {cmd}'
                for number, (title, cmd) in enumerate(steps.rows(), 1)
            )

    return PlanColumn(
        [{'step': title, 'command': cmd} for title, cmd in steps.rows()]
    )
