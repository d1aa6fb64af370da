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

"""Combinations that are known to fail, found before anything is made."""

import collections.abc
import typing

from osc_lab.encryption import model
from osc_lab.encryption import provider
from osc_lab import exceptions
from osc_lab.i18n import _

#: Backends whose volumes Cinder formats itself, with qemu-img, by the
#: storage_protocol that their drivers report (RBD; NFS and its kin).
_QEMU_IMG = frozenset({'ceph', 'rbd', 'nfs', 'quobyte', 'vzstorage'})


class KeyOrder(typing.NamedTuple):
    """How a test order for a key ended.

    :param made: the key was made (and removed again); None: it was neither
        made nor refused, as in time, or by a backend that fails
    :param reason: why not
    :param forbidden: the caller's roles may not order keys, or a quota is
        reached: Barbican answers 403 to both (QuotaReached)
    """

    made: bool | None
    reason: str = ''
    forbidden: bool = False


def pools(
    encryption: model.Encryption, found: collections.abc.Iterable[model.Pool]
) -> list[str]:
    """Return warnings about pools that cannot hold such volumes.

    :raises InvalidInput: when no pool can
    """
    bad: dict[str, str] = {}
    total = 0
    for pool in found:
        total += 1
        reason = _reason(encryption, pool.protocol)
        if reason:
            bad[pool.name] = reason
    if not bad:
        return []
    reasons = ' '.join(sorted(set(bad.values())))
    if len(bad) == total:
        raise exceptions.InvalidInput(
            _('No backend of this cloud can make such volumes: %s') % reasons,
            _('Use other options, or insist with --no-probe.'),
        )
    return [
        _('Volumes cannot be made on %(pools)s: %(reasons)s')
        % {'pools': ', '.join(sorted(bad)), 'reasons': reasons}
    ]


def formats(protocol: str) -> bool:
    """Return whether Cinder itself writes the header, at creation."""
    return protocol.lower() in _QEMU_IMG


def _reason(encryption: model.Encryption, protocol: str) -> str:
    if not formats(protocol):
        return ''
    if encryption.provider != provider.LUKS:
        return _(
            'Cinder makes the header with qemu-img there and accepts the '
            'provider luks alone.'
        )
    if (encryption.key_size or 0) > 256:
        return _(
            'Cinder asks qemu-img for "aes-512" there, which it does not '
            'know; with 256 it already makes AES-256 in XTS mode.'
        )
    return ''


def algorithm(encryption: model.Encryption) -> str:
    """Return what Cinder asks Barbican for a key of."""
    return (encryption.cipher or 'aes').partition('-')[0]


def is_usual(encryption: model.Encryption) -> bool:
    """Return whether every backend of Barbican makes such keys."""
    return not _other_options(encryption)


def order(encryption: model.Encryption, answer: KeyOrder) -> list[str]:
    """Return warnings about Barbican's answer to a test order.

    :raises InvalidInput: when it cannot make such keys
    """
    if answer.made:
        return []
    if answer.made is None:
        return [
            _(
                'Barbican made no key (%(why)s): nobody knows yet whether it '
                'can make one of %(bits)s bits.'
            )
            % {'bits': encryption.key_size, 'why': answer.reason}
        ]
    if answer.forbidden:
        return [
            _(
                'Barbican refuses you a key (%s): your roles may not order '
                'one, or a quota is reached. Projects that are to use the '
                'type need a role that may, such as member or creator, and '
                'room in their quota.'
            )
            % answer.reason
        ]
    raise exceptions.InvalidInput(
        _('Barbican cannot make a key of %(bits)s bits for %(name)s: %(why)s')
        % {
            'bits': encryption.key_size,
            'name': algorithm(encryption),
            'why': answer.reason,
        },
        _('%s, or use --no-probe when Cinder does not keep its keys there.')
        % _other_key(encryption),
    )


def _other_key(encryption: model.Encryption) -> str:
    options = _other_options(encryption)
    if options:
        return _('Use %s') % ' '.join(options)
    return _('See the log of barbican-worker')


def _other_options(encryption: model.Encryption) -> list[str]:
    options = []
    if algorithm(encryption) != 'aes':
        options.append('--cipher aes-xts-plain64')
    if (encryption.key_size or 0) > 256:
        options.append('--key-size 256')
    return options
