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

"""What a user is told before and after a mirror is made."""

import dataclasses
import logging

from osc_lab import command as command_
from osc_lab.i18n import _
from osc_lab.mirroring import amounts
from osc_lab.mirroring import health
from osc_lab.mirroring import judge
from osc_lab.mirroring import maker

LOG = logging.getLogger(__name__)


def warn(
    command: command_.Command, request: maker.Request, rate: maker.Rate
) -> None:
    """Tell what the port carries, and when that is much for the target."""
    command.say(
        _('The port carries %(packets).0f packets/s, %(bits)s.')
        % {
            'packets': rate.packets,
            'bits': amounts.show_rate(rate.bits),
        }
    )
    burden = judge.burden(request.target, rate.packets, rate.bits)
    if burden:
        LOG.warning('%s', burden)


def seen(
    command: command_.Command,
    made: maker.Made,
    rate: maker.Rate | None,
) -> health.Entry:
    """Tell what there is to know of a mirror, and return it.

    :param rate: what the port carried before; None when nobody waited
    """
    entry = made.entry
    assert entry.mirror is not None
    if not made.new:
        command.say(_('The mirror exists already; nothing was changed.'))
    if not made.guarded:
        command.say(
            _(
                'Nothing on %s ends this mirror: after its time only '
                '"openstack port mirror prune" removes it.'
            )
            % entry.host
        )
    if rate is not None and not entry.mirror.packets:
        command.say(
            _('No packet seen yet: %s.')
            % (
                _('the port carried none before either')
                if rate.packets == 0
                else _('look again with "openstack port mirror show"')
            )
        )
    output = entry.mirror.output_name or made.device
    return dataclasses.replace(
        entry, mirror=dataclasses.replace(entry.mirror, output_name=output)
    )
