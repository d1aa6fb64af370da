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

"""Arguments of a live migration, and what they may be.

Imported when the command is used: the shell imports the commands of every
plug-in on every call.
"""

import argparse

from osc_lab import channels
from osc_lab import exceptions
from osc_lab.i18n import _

_CHECKS = (
    *('check', 'skip_check', 'ignore_check'),
    *('strict', 'forecast', 'bandwidth'),
)
_WATCH = ('wait', 'no_wait', 'timeout', 'on_stall')

#: What does not count where another option is given: who gives both expects
#: what will not happen.  --preflight is not here, for to check what would be
#: done is to add it to the command line that does it.
_WITHOUT_EFFECT = {
    'no_preflight': _CHECKS,
    'explain': (*_CHECKS, *_WATCH),
    'repair': (
        *('host', 'block_migration', 'shared_migration'),
        *_CHECKS,
        *_WATCH,
    ),
    'no_wait': ('timeout', 'on_stall'),
}


def add(parser: argparse.ArgumentParser) -> None:
    """Add all arguments of a live migration."""
    parser.add_argument(
        'server',
        metavar='<server>',
        nargs='?',
        help=_(
            'Server to migrate (name or ID); not needed with --list-checks '
            'and --explain'
        ),
    )
    parser.add_argument(
        '--host',
        metavar='<host>',
        help=_(
            'Destination, a compute service host; the scheduler validates '
            'it. Without it the scheduler chooses; when hosts fail their '
            'checks, the best that passes is named'
        ),
    )
    storage = parser.add_mutually_exclusive_group()
    storage.add_argument(
        '--block-migration',
        action='store_true',
        help=_('Copy local disks (default: as Nova finds necessary)'),
    )
    storage.add_argument(
        '--shared-migration',
        action='store_true',
        help=_('Do not copy disks, they are on shared storage'),
    )
    _add_modes(parser)
    _add_checks(parser)
    _add_watch(parser)
    channels.add_arguments(
        parser, (*channels.SSH, *channels.LIBVIRT, *channels.OVSDB)
    )


def _add_modes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        _('what to do'),
        _('Without any of these: check, and migrate when no check fails.'),
    )
    modes = group.add_mutually_exclusive_group()
    modes.add_argument(
        '--preflight',
        action='store_true',
        help=_(
            'Only check and report; nothing is changed. Without --host all '
            'hosts are ranked, with it that host is shown in detail'
        ),
    )
    modes.add_argument(
        '--no-preflight',
        action='store_true',
        help=_('Migrate without any check'),
    )
    modes.add_argument(
        '--explain',
        metavar='<migration-or-request-id>',
        help=_(
            'Tell how a migration of the past ended, and why; "openstack '
            'server migration list" has the IDs'
        ),
    )
    modes.add_argument(
        '--repair',
        action='store_true',
        help=_(
            'Set a server that a failed migration left in ERROR to active, '
            'and remove the port bindings that it left, when libvirt '
            'confirms that its guest runs where Nova says'
        ),
    )
    modes.add_argument(
        '--list-checks',
        action='store_true',
        help=_('List every check, what it asks and what it needs'),
    )


def _add_checks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(_('checks'))
    group.add_argument(
        '--check',
        metavar='<id>',
        action='append',
        default=[],
        help=_(
            'Run only this check (repeat option to run several); '
            '--list-checks names them'
        ),
    )
    group.add_argument(
        '--skip-check',
        metavar='<id>',
        action='append',
        default=[],
        help=_('Leave this check out (repeat option to leave out several)'),
    )
    group.add_argument(
        '--ignore-check',
        metavar='<id>',
        action='append',
        default=[],
        help=_(
            'Take a failure of this check, or of "all", for a warning '
            '(repeat option to name several checks)'
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
            'Bandwidth that --forecast assumes (default: '
            'live_migration_bandwidth of nova.conf)'
        ),
    )
    group.add_argument(
        '--long',
        action='store_true',
        help=_('Show source and evidence of each finding'),
    )


def _add_watch(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(_('during and after'))
    wait = group.add_mutually_exclusive_group()
    wait.add_argument(
        '--wait',
        action='store_true',
        help=_(
            'Follow the migration to its end. This is the default when the '
            'output is a terminal, and with --timeout and --on-stall; else '
            'nobody waits, and the exit status is 4: scripts give it'
        ),
    )
    wait.add_argument(
        '--no-wait',
        action='store_true',
        help=_('Return when Nova has accepted it, with status 0'),
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
        help=_(
            'What to do when what remains to be copied no longer shrinks: '
            'report (default), abort or force-complete'
        ),
    )


def judge(parsed_args: argparse.Namespace) -> None:
    """Refuse arguments that cannot be right, and turn numbers into such.

    :raises InvalidInput: for the first one that is wrong
    """
    if parsed_args.explain == '':
        # As from an empty variable; it must not start a migration.
        raise exceptions.InvalidInput(
            _('--explain: no migration was named'),
            _('"openstack server migration list" has the IDs.'),
        )
    if not (
        parsed_args.server or parsed_args.explain or parsed_args.list_checks
    ):
        raise exceptions.InvalidInput(
            _('No server was named'), _('Give its name or ID.')
        )
    for name, others in _WITHOUT_EFFECT.items():
        for other in others if _given(parsed_args, name) else ():
            if _given(parsed_args, other):
                raise exceptions.InvalidInput(
                    _('%(other)s has no effect with %(option)s')
                    % {'other': _option(other), 'option': _option(name)},
                    _('Leave out one of them.'),
                )
    if _given(parsed_args, 'bandwidth') and not parsed_args.forecast:
        raise exceptions.InvalidInput(
            _('--bandwidth has no effect without --forecast'),
            _('Give both, or neither.'),
        )
    for name in ('timeout', 'bandwidth'):
        value = getattr(parsed_args, name)
        setattr(parsed_args, name, _positive(_option(name), value))


def _given(parsed_args: argparse.Namespace, name: str) -> bool:
    return getattr(parsed_args, name) not in (None, False, [])


def _option(name: str) -> str:
    return '--' + name.replace('_', '-')


def _positive(option: str, value: str | None) -> float | None:
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
