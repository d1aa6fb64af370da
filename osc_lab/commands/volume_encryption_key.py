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

"""The shared key of nova.conf and cinder.conf."""

import argparse
import collections.abc
import typing

from osc_lab import command
from osc_lab import exceptions
from osc_lab.i18n import _


def _key_size(text: str | None) -> int | None:
    from osc_lab.encryption import shared_key

    if text is None:
        return None
    sizes = [str(size) for size in shared_key.SIZES]
    if text not in sizes:
        raise exceptions.InvalidInput(
            _('--key-size: "%s" is not the size of a key') % text,
            _('Use one of these numbers of bits: %s.') % ', '.join(sizes),
        )
    return int(text)


class CheckVolumeEncryptionKey(command.Lister):
    _description = _(
        'Check that nova and cinder have the same sound key on all hosts; '
        'no key is ever shown.\n\n'
        'For clouds without Barbican, whose key is fixed_key in the '
        'configuration of the services. It is read on the hosts, so this '
        'takes --ssh.'
    )
    examples = (
        "openstack volume encryption key check --ssh 'root@{host}'",
        'openstack volume encryption key check --host local --key-size 512',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        from osc_lab import channels

        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--host',
            metavar='<host>',
            dest='hosts',
            action='append',
            default=[],
            help=_(
                'Check this host, "local" for this machine (repeat option '
                'to check multiple hosts; default: all compute and '
                'cinder-volume hosts)'
            ),
        )
        parser.add_argument(
            '--key-size',
            metavar='<bits>',
            help=_('Size that the key must have (default: any usual one)'),
        )
        parser.add_argument(
            '--long',
            action='store_true',
            help=_('List additional fields in output'),
        )
        parser.add_argument(
            '--strict',
            action='store_true',
            help=_('Exit with status 4 when there are warnings'),
        )
        channels.add_arguments(parser, channels.SSH)
        return parser

    def judge(self, parsed_args: argparse.Namespace) -> None:
        _key_size(parsed_args.key_size)

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[
        tuple[str, ...], collections.abc.Iterable[tuple[typing.Any, ...]]
    ]:
        import os

        from osc_lab.access import host_config
        from osc_lab.access import key_manager
        from osc_lab.access import service_hosts
        from osc_lab.access import settings
        from osc_lab import channels
        from osc_lab.encryption import shared_key
        from osc_lab.preflight import finding
        from osc_lab.preflight import report

        cloud = settings.cloud(self.connection)
        reach = channels.resolve(parsed_args, os.environ, cloud)
        files = settings.config_files(cloud)
        local = host_config.local_hosts(cloud)
        wanted, unknown = self._wanted(parsed_args.hosts)
        found = host_config.gather(
            wanted,
            service_hosts.addressed(
                self.connection, reach, wanted.keys() - local
            ),
            files,
            local,
        )
        result = report.Report(
            tuple(
                shared_key.judge(
                    found,
                    _key_size(parsed_args.key_size),
                    unknown,
                    key_manager.KeyManager(self.connection).available(),
                )
            )
        )
        self.exit_code = result.exit_code(parsed_args.strict)
        self.say(result.summary())
        columns = finding.LONG_COLUMNS if parsed_args.long else finding.COLUMNS
        return columns, (
            finding.row(item, parsed_args.long) for item in result.findings
        )

    def _wanted(
        self, hosts: list[str]
    ) -> tuple[dict[str, set[str]], dict[str, exceptions.AccessError]]:
        """Return what to look for on each host, and whose are unknown."""
        from osc_lab.access import service_hosts

        found, unknown = service_hosts.find(self.connection)
        if hosts:
            both = {'nova', 'cinder'}
            return {
                # The API names no service of a host that it does not know.
                host: found[host] | unknown.keys() if host in found else both
                for host in hosts
            }, {}
        if not found:
            for why in unknown.values():
                self.log.warning(str(why))
            raise exceptions.NotFound(
                _('There is no host to check'), _('Name them with --host.')
            )
        return found, unknown


class GenerateVolumeEncryptionKey(command.ShowOne):
    _description = _(
        'Write a new random key into two files, one for nova and one for '
        'cinder, to be put into their configuration folders on all hosts'
    )
    examples = ('openstack volume encryption key generate --output keys',)
    cloud_required = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--output',
            metavar='<directory>',
            required=True,
            help=_('Directory for the files; none is ever overwritten'),
        )
        parser.add_argument(
            '--key-size',
            metavar='<bits>',
            default='256',
            help=_('Size of the key in bits (default: 256)'),
        )
        return parser

    def judge(self, parsed_args: argparse.Namespace) -> None:
        _key_size(parsed_args.key_size)

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[typing.Any, ...]]:
        from osc_lab.access import key_files

        size = int(parsed_args.key_size)
        nova, cinder = key_files.write(parsed_args.output, size)
        self.say(
            _(
                'Copy the files to the hosts, as below /etc/nova/nova.conf.d '
                'and /etc/cinder/cinder.conf.d, and restart the services; '
                'keep the key: without it no volume can be read.'
            )
        )
        return ('nova', 'cinder', 'key_size'), (nova, cinder, size)
