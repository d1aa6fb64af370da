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

"""Arguments of the presets, and what they may be.

Imported when a command is used: the shell imports the commands of every
plug-in on every call.
"""

import argparse
import collections.abc
import typing

from openstackclient.identity import common as identity_common

from osc_lab import channels
from osc_lab import exceptions
from osc_lab.i18n import _

if typing.TYPE_CHECKING:
    from osc_lab.encryption import wish


def add(parser: argparse.ArgumentParser) -> None:
    """Add all arguments of a preset."""
    _add_encryption(parser)
    _add_type(parser)
    _add_proof(parser)
    channels.add_arguments(parser, channels.SSH)


def _add_encryption(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--name',
        metavar='<name>',
        help=_("Name of the volume type (default: the preset's)"),
    )
    parser.add_argument(
        '--provider',
        metavar='<provider>',
        help=_("luks, luks2 or plain (default: the preset's)"),
    )
    parser.add_argument(
        '--cipher',
        metavar='<cipher>',
        help=_('Cipher as algorithm-mode-iv (default: aes-xts-plain64)'),
    )
    parser.add_argument(
        '--key-size',
        metavar='<bits>',
        help=_(
            'Key size in bits; XTS splits the key, so 256 means '
            "AES-128 and 512 means AES-256 (default: the preset's)"
        ),
    )
    parser.add_argument(
        '--control-location',
        metavar='<end>',
        help=_('front-end (default) or back-end'),
    )


def _add_type(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--description',
        metavar='<text>',
        help=_('Description of the volume type'),
    )
    parser.add_argument(
        '--property',
        metavar='<key=value>',
        dest='properties',
        action='append',
        default=[],
        help=_(
            'Extra spec of the volume type, such as '
            'volume_backend_name=ceph (repeat option to set multiple '
            'properties)'
        ),
    )
    visibility = parser.add_mutually_exclusive_group()
    visibility.add_argument(
        '--public',
        dest='is_public',
        action='store_true',
        default=True,
        help=_('Every project may use the type (default)'),
    )
    visibility.add_argument(
        '--private',
        dest='is_public',
        action='store_false',
        help=_('Only projects with access may use the type'),
    )
    parser.add_argument(
        '--project',
        metavar='<project>',
        dest='projects',
        action='append',
        default=[],
        help=_(
            'Give this project (name or ID) access to a private type '
            '(repeat option to give it to multiple projects)'
        ),
    )
    identity_common.add_project_domain_option_to_parser(parser)
    parser.add_argument(
        '--allow-plain',
        action='store_true',
        help=_('Accept the provider plain, which has no header'),
    )
    parser.add_argument(
        '--allow-back-end',
        action='store_true',
        help=_(
            'Accept the control location back-end: no compute host '
            'encrypts for luks2 and plain then, and none formats a volume '
            'for luks'
        ),
    )


def _add_proof(parser: argparse.ArgumentParser) -> None:
    proof = parser.add_mutually_exclusive_group()
    proof.add_argument(
        '--verify',
        metavar='<level>',
        nargs='?',
        const='api',
        help=_(
            'Prove it on a volume of 1 GiB that is removed again: "api" '
            'looks at what the API says (default for a new type; '
            'given here, for one that exists, too), "attach" also '
            'attaches it to a server and looks on its host'
        ),
    )
    # The shell has an option --verify of its own, about certificates,
    # and takes it out of every command line; its value comes here,
    # wherever it stood.
    parser.add_argument(
        'level', nargs='?', default=None, help=argparse.SUPPRESS
    )
    vars(parser)['parse_args'] = parser.parse_intermixed_args
    proof.add_argument(
        '--no-verify',
        action='store_true',
        help=_('Make no volume'),
    )
    parser.add_argument(
        '--server',
        metavar='<server>',
        help=_('Server (name or ID) for "--verify attach"'),
    )
    parser.add_argument(
        '--no-probe',
        action='store_true',
        help=_(
            'Do not ask backends and Barbican beforehand whether they '
            'can do it'
        ),
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help=_('Show the plan and the equal stock commands; do nothing'),
    )


def judge(parsed_args: argparse.Namespace, asked: typing.Any) -> None:
    """Settle which proof is wanted.

    :param asked: value of the shell's own --verify
    :raises InvalidInput: for what does not go together
    """
    if parsed_args.level and not asked:
        raise exceptions.InvalidInput(
            _('"%s" belongs to no option') % parsed_args.level,
            _('See the help of the command.'),
        )
    parsed_args.verify = (
        parsed_args.verify or parsed_args.level or ('api' if asked else '')
    )
    if parsed_args.verify and parsed_args.no_verify:
        raise exceptions.InvalidInput(
            _('--no-verify: it does not go together with --verify'),
            _('Use one of them.'),
        )
    if parsed_args.verify not in ('', 'api', 'attach'):
        raise exceptions.InvalidInput(
            _('--verify: "%s" is not known') % parsed_args.verify,
            _('Use api or attach.'),
        )
    if (parsed_args.verify == 'attach') != bool(parsed_args.server):
        raise exceptions.InvalidInput(
            _('--server: it goes together with --verify attach'),
            _('Name a server that is ACTIVE, in your project.'),
        )


def options(
    parsed_args: argparse.Namespace,
    projects: collections.abc.Iterable[str] | None = None,
) -> 'wish.Options':
    """Return the options as the judgement of a wish has them.

    :param projects: ids in place of the names that were given
    """
    from osc_lab.encryption import wish

    return wish.Options(
        name=parsed_args.name,
        provider=parsed_args.provider,
        cipher=parsed_args.cipher,
        key_size=parsed_args.key_size,
        control_location=parsed_args.control_location,
        description=parsed_args.description,
        is_public=parsed_args.is_public,
        projects=tuple(parsed_args.projects if projects is None else projects),
        properties=tuple(parsed_args.properties),
        allow_plain=parsed_args.allow_plain,
        allow_back_end=parsed_args.allow_back_end,
    )
