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

"""Volumes and backups: are they encrypted, and can they be opened?

Pure, and one item at a time: what is kept of volumes are ids alone.
"""

import collections.abc
import logging
import re

from osc_lab.encryption import model
from osc_lab.encryption import scratch
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.preflight import finding

LOG = logging.getLogger(__name__)

#: Ids of keys as castellan's Vault makes them.
_VAULT = re.compile(r'[0-9a-f]{32}')


class Volumes:
    """Judges volumes and then backups, one at a time.

    :param types: id -> type, with encryption
    :param secrets: ids of the secrets that the caller's project has; None
        when nobody could look
    :param project: id of the caller's project
    :param knows: asks the key manager about one secret: True, False, or
        None when it does not tell; may raise ServiceError
    """

    def __init__(
        self,
        types: collections.abc.Mapping[str, model.VolumeType],
        secrets: collections.abc.Set[str] | None,
        project: str | None,
        knows: collections.abc.Callable[[str], bool | None],
    ) -> None:
        self._types = types
        self._secrets = secrets
        self._project = project
        self._knows = knows
        #: id -> whether its key is the fixed one.
        self._encrypted: dict[str, bool] = {}
        #: How many volumes were judged, how many keys were not looked up,
        #: as those that the caller may not see, and whether the key manager
        #: failed to answer for one.
        self.count = 0
        self.not_looked_up = 0
        self.unanswered = False
        #: Whether Barbican has any key; (subject, id) of those it has not.
        self._any_known = False
        self._missing: list[tuple[str, str]] = []

    def judge(
        self, item: model.Volume
    ) -> collections.abc.Iterator[finding.Finding]:
        self.count += 1
        subject = f'volume {item.name or "-"} ({item.id})'
        if scratch.MARK in item.metadata:
            yield finding.of_api(
                'volume-of-proof',
                subject,
                finding.Result.WARNING,
                _('A run made it to prove a type, and has not removed it'),
                _('Remove it unless such a run is at work.'),
                status=item.status,
            )
        type_ = self._types.get(item.type_id or '')
        if not item.encrypted:
            if type_ is not None and type_.encryption is not None:
                yield finding.of_api(
                    'volume-not-encrypted',
                    subject,
                    finding.Result.FAILED,
                    _('It is plain although its type %s encrypts')
                    % type_.name,
                    _('Copy its data to a new volume of the type.'),
                    type=type_.name,
                )
            return
        self._encrypted[item.id] = item.key_id is None
        if item.status in ('creating', 'error', 'error_deleting', 'deleting'):
            return
        yield from self._key(subject, item.key_id, item.project_id)

    def _key(
        self, subject: str, key_id: str | None, project: str | None
    ) -> collections.abc.Iterator[finding.Finding]:
        # For Cinder "encrypted" means: has a key.  It hides the id of the
        # fixed key, and no other one, in lists.
        if key_id in (None, model.ZERO_KEY):
            yield finding.of_api(
                'volume-zero-key',
                subject,
                finding.Result.WARNING,
                _('Its key is the fixed_key, which opens every volume'),
                _('Move the keys to Barbican; see the manual of Cinder.'),
            )
            return
        assert key_id is not None
        if self._secrets is None or (
            project is not None and project != self._project
        ):
            self.not_looked_up += 1
            return
        known = key_id in self._secrets or self._ask(key_id)
        if known:
            self._any_known = True
        elif known is None:
            self.not_looked_up += 1
        else:
            self._missing.append((subject, key_id))

    def _ask(self, key_id: str) -> bool | None:
        # Who does not answer may take minutes each time.
        if self.unanswered:
            return None
        try:
            return self._knows(key_id)
        except exceptions.ServiceError as error:
            LOG.warning(_('Keys cannot be looked up: %s'), error.message)
            self.unanswered = True
            return None

    def judge_keys(self) -> collections.abc.Iterator[finding.Finding]:
        """Yield which keys are lost; all volumes come before.

        Where Barbican has none of them at all, or their ids are not of its
        form, they are in another key manager (castellan's Vault gives ids
        without hyphens).
        """
        others = 0
        for subject, key_id in self._missing:
            if not self._any_known or _VAULT.fullmatch(key_id):
                others += 1
                continue
            yield finding.of_api(
                'volume-key-unknown',
                subject,
                finding.Result.FAILED,
                _('Barbican does not know its key: nobody can open it'),
                _('Restore the secret from a backup of Barbican.'),
                key_id=key_id,
            )
        if others:
            yield finding.of_api(
                'volume-key-unknown',
                'key manager',
                finding.Result.UNKNOWN,
                _('The keys of %d volumes are not in this Barbican') % others,
                _('See [key_manager] in cinder.conf: is it another one?'),
                volumes=others,
            )

    def judge_backup(
        self, item: model.Backup
    ) -> collections.abc.Iterator[finding.Finding]:
        """Yield what is wrong with a backup; volumes come before."""
        # Its key is copied while it is made; a failed one has no data.
        made = item.status in ('available', 'restoring')
        if item.volume_id not in self._encrypted or not made:
            return
        subject = f'backup {item.name or "-"} ({item.id})'
        if item.key_id not in (None, model.ZERO_KEY):
            return
        if self._encrypted[item.volume_id]:
            yield finding.of_api(
                'backup-zero-key',
                subject,
                finding.Result.WARNING,
                _('Its key is the fixed_key, which opens every volume'),
                _('Move the keys to Barbican; see the manual of Cinder.'),
            )
        else:
            yield finding.of_api(
                'backup-no-key',
                subject,
                finding.Result.FAILED,
                _('Its volume has a key in Barbican, and it has none'),
                _('Make a new backup, and restore it as a test.'),
            )
