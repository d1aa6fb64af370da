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

"""Names of what we make on hosts."""

import hashlib

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.mirroring import model
from osc_lab.mirroring import targets

#: Names of our devices start so; 13 of the 15 characters that Linux
#: allows.  On the bridge of a trunk Neutron's agent takes each port for
#: the VM's that begins with none of "tbr-", "tp" and "sp", and keeps the
#: bridge while there is one (is_trunk_service_port in its trunk driver).
#: Its own are "tpt-" and "tpi-"; no agent claims this prefix.
DEVICE_PREFIX = 'tpm'

_LONGEST = 255


def default_name(
    port_id: str,
    direction: model.Direction,
    target: targets.Target,
    snaplen: int | None,
    flow: str,
) -> str:
    """Return the name of a mirror that was given none.

    The same wishes give the same name, so that a second run finds what
    the first one made.
    """
    wishes = f'{target}|{snaplen}|{flow}'
    digest = _digest(wishes)[:4]
    return f'{target.kind.value}-{direction.value}-{port_id[:8]}-{digest}'


def device(mirror_id: str) -> str:
    """Return the name of the device of the mirror with this id."""
    return DEVICE_PREFIX + _digest(mirror_id)[:10]


def _digest(text: str) -> str:
    # JSON may hold half a character.
    return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()


def check(name: str) -> str:
    """Return the name, when it can be used for a mirror.

    :raises InvalidInput: when it is empty, too long, or holds characters
        that only move a terminal
    """
    if (
        not name.strip()
        or len(name) > _LONGEST
        or exceptions.printable(name) != name
    ):
        raise exceptions.InvalidInput(
            _('--name: "%s" cannot be the name of a mirror') % name[:80],
            _('Use 1 to 255 characters, no control characters.'),
        )
    return name
