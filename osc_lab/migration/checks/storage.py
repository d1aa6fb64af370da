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

"""Volumes, their secrets, and how local disks would travel."""

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_


class Volumes(base.ServerCheck):
    id = 'volumes'
    question = _('Are all volumes in use, and can they be on two hosts?')
    reason = _(
        'Nova attaches each volume to the destination while the source '
        'still uses it; a volume in another state makes that fail halfway.'
    )
    remedy = _('Look at it: openstack volume show VOLUME.')

    def judge(self, facts: facts_.Facts) -> base.Found:
        volumes = facts.volumes
        if isinstance(volumes, facts_.Gap):
            yield self.missing(facts.server.name, volumes)
            return
        found = False
        for volume in volumes:
            for item in self._volume(facts, volume):
                found = True
                yield item
        if not found:
            yield self.answer(
                facts.server.name,
                base.OK,
                _('Its volumes are in use as they should be.')
                if volumes
                else _('The server has no volume.'),
            )

    def _volume(
        self, facts: facts_.Facts, volume: facts_.Volume
    ) -> base.Found:
        name = volume.name or volume.id
        if volume.status != 'in-use':
            yield self.answer(
                name,
                base.FAILED,
                _('The volume is %s, not in-use.') % volume.status,
                _('Wait, or mend it: openstack volume show %s') % volume.id,
                volume=volume.id,
            )
        elif facts.server.id not in volume.attached_to:
            yield self.answer(
                name,
                base.FAILED,
                _('Nova says that it is attached, Cinder does not.'),
                f'openstack volume attachment list --volume-id {volume.id}',
                volume=volume.id,
            )
        elif volume.multiattach and len(volume.attached_to) > 1:
            yield self.answer(
                name,
                base.WARNING,
                _('%d servers share the volume.') % len(volume.attached_to),
                _(
                    'The migration works where the backend and the libvirt of '
                    'the destination support it; try it in a quiet hour.'
                ),
                volume=volume.id,
            )


class VolumeSecrets(base.ServerCheck):
    id = 'volume-secrets'
    question = _('May the caller decrypt the secret of each volume?')
    reason = _(
        'Nova fetches the key with the token of whoever asks for the '
        "migration. Barbican does not let an administrator read a project's "
        'secret, so the migration fails with KeyManagerError.'
    )
    remedy = _(
        'The owner of the secret allows it: openstack acl user add --user '
        'USER --operation-type read SECRET.'
    )

    def judge(self, facts: facts_.Facts) -> base.Found:
        volumes = facts.volumes
        if isinstance(volumes, facts_.Gap):
            yield self.missing(facts.server.name, volumes)
            return
        encrypted = [item for item in volumes if item.encrypted]
        if not encrypted:
            yield self.answer(
                facts.server.name, base.OK, _('No volume is encrypted.')
            )
        for volume in encrypted:
            yield from self._secret(facts, volume)

    def _secret(
        self, facts: facts_.Facts, volume: facts_.Volume
    ) -> base.Found:
        name = volume.name or volume.id
        secret = volume.secret
        if secret is None:
            secret = facts_.Gap(_('The volume has no key.'))
        if isinstance(secret, facts_.Gap):
            yield self.missing(name, secret)
        elif secret.access is facts_.Access.FIXED_KEY:
            yield self.answer(
                name,
                base.OK,
                _('Its key is the fixed_key of the hosts, not a secret.'),
                volume=volume.id,
            )
        elif secret.access is facts_.Access.ALLOWED:
            yield self.answer(
                name,
                base.OK,
                _('The caller may read its secret.'),
                volume=volume.id,
                secret=secret.id,
            )
        elif secret.access is facts_.Access.ABSENT:
            yield self.answer(
                name,
                base.FAILED,
                _('Its secret %s does not exist.') % secret.id,
                _(
                    'Without it the data is lost once the guest stops; look '
                    'for a backup of Barbican.'
                ),
                volume=volume.id,
                secret=secret.id,
            )
        else:
            yield self.answer(
                name,
                base.FAILED,
                _(
                    'The caller may not read secret %(secret)s of project '
                    '%(project)s.'
                )
                % {'secret': secret.id, 'project': volume.project_id},
                _(
                    'As a user of that project: openstack acl user add --user '
                    '%(user)s --operation-type read %(href)s'
                )
                % {'user': facts.caller.user_id, 'href': secret.href},
                volume=volume.id,
                secret=secret.id,
                project=volume.project_id,
            )
