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

"""Shared or block: what Nova will decide, and why."""

import collections.abc
import dataclasses

from osc_lab.i18n import _
from osc_lab.migration import facts as facts_
from osc_lab.migration import nova_options


@dataclasses.dataclass(frozen=True)
class Decision:
    """How local disks travel.

    :param block: they are copied; with a gap, they may be
    :param reason: one sentence
    :param problem: why the kind that was asked for cannot be, or ''
    :param gap: why it is not known whether they are copied
    """

    block: bool
    reason: str
    problem: str = ''
    remedy: str = ''
    gap: facts_.Gap | None = None


def decide(facts: facts_.Facts, host: facts_.Host) -> Decision:
    """Return what Nova will do for one destination.

    As nova.virt.libvirt.driver.check_can_live_migrate_source: disks are
    copied where instances_path is not shared; without local disks there
    is nothing to copy, and the storage counts as shared.
    """
    asked = facts.request.storage
    copied, shared = _seen(facts, host)
    if not copied and asked is facts_.Storage.AUTO:
        return Decision(False, _('No disk is to be copied.'))
    if isinstance(shared, facts_.Gap):
        return Decision(
            copied and asked is not facts_.Storage.SHARED,
            _('If the hosts do not share the disks:'),
            gap=shared,
        )
    if not shared:
        reason = _('The disks lie on the host itself.')
        wrong = asked is facts_.Storage.SHARED
        problem = _(
            '--shared-migration was asked for, but the disks lie on the '
            'host itself.'
        )
        remedy = _('Leave --shared-migration out.')
    else:
        reason = _('Both hosts share the disks.')
        wrong = asked is facts_.Storage.BLOCK
        problem = _(
            '--block-migration was asked for, but both hosts share the disks.'
        )
        remedy = _('Leave --block-migration out.')
        if not copied:
            problem = _(
                '--block-migration was asked for, but no disk is to be copied.'
            )
    if not copied:
        reason = _('No disk is to be copied.')
    block = copied and not shared
    if wrong:
        return Decision(block, reason, problem, remedy)
    return Decision(block, reason)


def copied(facts: facts_.Facts, host: facts_.Host) -> list[facts_.Disk]:
    """Return the disks that Nova copies to a host, or may copy."""
    domain = facts.source.guest
    if isinstance(domain, facts_.Gap) or not decide(facts, host).block:
        return []
    return [disk for disk in domain.disks if disk.copied]


def _seen(
    facts: facts_.Facts, host: facts_.Host
) -> tuple[bool, bool | facts_.Gap]:
    """Return whether there are disks to copy, and whether they are shared.

    A drive with the configuration is never copied as a disk, but Nova
    counts it among the local ones (_get_instance_disk_info).
    """
    domain = facts.source.guest
    if isinstance(domain, facts_.Gap):
        return True, domain
    copied = _copied(domain)
    local = copied or [
        disk.source for disk in domain.disks if disk.local and disk.source
    ]
    return bool(copied), not local or are_shared(facts, host, local)


def are_shared(
    facts: facts_.Facts,
    host: facts_.Host,
    paths: collections.abc.Iterable[str],
) -> bool | facts_.Gap:
    """Return whether both hosts see the same files, or why nobody knows.

    :param paths: of the disks
    """
    here, there = facts.source.shell, host.shell
    if isinstance(here, facts_.Shell):
        if nova_options.read(here.options).images_type == 'rbd':
            return True
    hidden = blind(facts.source, paths)
    if hidden:
        return hidden
    if isinstance(there, facts_.Gap):
        return there
    if any(there.files.get(path) == '' for path in paths):
        return False
    if isinstance(here, facts_.Gap):
        return here
    ends = [(here.files.get(path), there.files.get(path)) for path in paths]
    if not all(all(pair) for pair in ends):
        return facts_.Gap(
            _('The files of the disks could not be looked at.'), may_look()
        )
    return all(one == other for one, other in ends)


def blind(
    source: facts_.Host, paths: collections.abc.Iterable[str]
) -> facts_.Gap | None:
    """Return why what is not seen may be there all the same, if so.

    A guest runs on its files, so a source that does not show them sees
    others than Nova does.

    :param paths: of the running guest
    """
    if isinstance(source.shell, facts_.Gap):
        return None
    for path in paths:
        if source.shell.files.get(path) == '':
            return facts_.Gap(
                _('The shell of %(host)s does not see %(path)s of the guest.')
                % {'host': source.name, 'path': path},
                may_look(),
            )
    return None


def may_look() -> str:
    """Return what helps where a shell sees too little."""
    return _('Use a user who may look into instances_path, with --ssh.')


def left_over(facts: facts_.Facts, host: facts_.Host) -> str | facts_.Gap:
    """Return what lies there and is not that of the source, or ''.

    It is a gap where a shell does not see what Nova does.

    nova.virt.libvirt.driver.pre_live_migration refuses a folder that is
    there already (DestinationDiskExists), unless it is a shared one; that
    has nothing to do with whether disks are copied into it.
    """
    here, there, domain = facts.source.shell, host.shell, facts.source.guest
    if isinstance(there, facts_.Gap):
        return ''
    disks = _copied(domain) if isinstance(domain, facts_.Domain) else []
    folder = nova_options.read(there.options).folder(facts.server.id)
    source = folder
    if isinstance(here, facts_.Shell):
        source = nova_options.read(here.options).folder(facts.server.id)
    hidden = blind(facts.source, (source, *disks))
    if hidden:
        return hidden
    if there.files.get(folder) and '' in map(there.files.get, disks):
        # Not shared, for a disk of the guest is not in it.
        return folder
    if folder not in there.files:
        return facts_.Gap(
            _('Whether %s is there already could not be seen.') % folder,
            may_look(),
        )
    if isinstance(here, facts_.Gap):
        return ''
    for one, other in ((source, folder), *((disk, disk) for disk in disks)):
        ends = here.files.get(one), there.files.get(other)
        if all(ends) and ends[0] != ends[1]:
            return other
    return ''


def _copied(domain: facts_.Domain) -> list[str]:
    return [disk.source for disk in domain.disks if disk.copied]
