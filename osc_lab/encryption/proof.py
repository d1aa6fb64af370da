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

"""Prove that a type encrypts: make a volume, look, remove it.

What the API says is a claim: ``encrypted`` only means that the type has
an encryption.  It does show that the key manager made a key, that the
volume's own encryption is the wished one, and where its key is.
"""

import collections.abc
import dataclasses
import logging
import typing

from osc_lab.encryption import compare
from osc_lab.encryption import model
from osc_lab.encryption import probe
from osc_lab.encryption import scratch
from osc_lab.encryption import store as store_
from osc_lab import exceptions
from osc_lab.i18n import _

LOG = logging.getLogger(__name__)

BARBICAN = 'barbican'
FIXED_KEY = 'fixed-key'
UNKNOWN = 'unknown'


@dataclasses.dataclass(frozen=True)
class Proof:
    """What was shown.

    :param level: 'api' or 'attach'
    :param key_manager: BARBICAN, FIXED_KEY or UNKNOWN
    :param notes: what the user should know, one line each
    """

    level: str
    key_manager: str
    notes: tuple[str, ...] = ()


#: Asks Barbican about one secret; see KeyManager.knows().
Knows: typing.TypeAlias = collections.abc.Callable[[str], bool | None]


def key_manager(key_id: str, knows: Knows | None) -> str:
    """Return where a volume's key is.

    An id alone does not tell Barbican from other managers, such as Vault.

    :param knows: None without Barbican
    """
    if key_id == model.ZERO_KEY:
        return FIXED_KEY
    try:
        found = knows is not None and knows(key_id)
    except exceptions.ServiceError as error:
        LOG.debug('nobody tells whose key it is: %s', error)
        found = False
    return BARBICAN if found else UNKNOWN


def fixed_key_warning() -> str:
    return _(
        'The key is the fixed_key of nova.conf and cinder.conf: the same '
        'one opens every volume. Use Barbican where tenants must be apart.'
    )


def judge(
    store: store_.VolumeStore,
    volume: model.Volume,
    wished: model.Encryption,
    knows: Knows | None = None,
) -> Proof:
    """Look at a volume through the API.

    :param knows: asks Barbican about its key
    :raises OperationFailed: when the API itself denies the encryption
    """
    if not volume.encrypted:
        raise exceptions.OperationFailed(
            _('Volume %s of the type says "encrypted: False"') % volume.id,
            _('The type does not encrypt; see the log of cinder-api.'),
        )
    found, key_id = store.volume_encryption(volume.id)
    differences = compare.encryption(found, wished)
    if differences:
        raise exceptions.OperationFailed(
            _('A volume of the type is encrypted otherwise: %s')
            % compare.sentence(differences),
            _('See the log of cinder-api.'),
        )
    key_id = key_id or volume.key_id
    if key_id is None:
        raise exceptions.OperationFailed(
            _('Volume %s has no key') % volume.id,
            _('See [key_manager] in cinder.conf.'),
        )
    notes = []
    manager = key_manager(key_id, knows)
    if manager == FIXED_KEY:
        notes.append(fixed_key_warning())
    return Proof('api', manager, tuple(notes))


def unformatted(
    store: store_.VolumeStore, volume: model.Volume
) -> tuple[str, ...]:
    """Return what to say about a volume that has no header yet."""
    try:
        pools = {item.name: item.protocol for item in store.pools()}
    except exceptions.ServiceError as error:
        LOG.debug('no pools: %s', error)
        return ()
    protocol = pools.get(volume.pool or '')
    if protocol is None or probe.formats(protocol):
        return ()
    return (
        _(
            'A volume on %s is not formatted until its first attach; '
            '"--verify attach" looks at one that is.'
        )
        % volume.pool,
    )


#: Proves more about a volume than the API tells; raises OperationFailed.
Prover: typing.TypeAlias = collections.abc.Callable[
    [model.Volume, model.Encryption, Proof], Proof
]


def prove(
    store: store_.VolumeStore,
    type_id: str,
    wished: model.Encryption,
    further: Prover | None = None,
    knows: Knows | None = None,
) -> Proof:
    """Make a volume of a type, look at it, remove it.

    :raises OperationFailed: when the type does not encrypt as wished
    """
    with scratch.scratch(store, type_id) as volume:
        proof = judge(store, volume, wished, knows)
        if further is not None:
            return further(volume, wished, proof)
        return dataclasses.replace(
            proof, notes=(*proof.notes, *unformatted(store, volume))
        )
