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

import dataclasses

from osc_lab.i18n import _
from osc_lab.migration import facts as facts_
from osc_lab.migration import nova_options


@dataclasses.dataclass(frozen=True)
class Decision:
    """How local disks travel.

    :param block: they are copied
    :param reason: one sentence
    :param problem: why the kind that was asked for cannot be, or ''
    """

    block: bool
    reason: str
    problem: str = ''
    remedy: str = ''


def decide(facts: facts_.Facts, host: facts_.Host) -> Decision:
    """Return what Nova will do for one destination.

    As nova.virt.libvirt.driver.check_can_live_migrate_source: disks are
    copied where instances_path is not shared; without local disks there
    is nothing to copy.
    """
    local = [disk for disk in _disks(facts) if disk.copied]
    if not local:
        return Decision(False, _('The guest has no local disk.'))
    shared = not on_local_disk(facts, host)
    asked = facts.request.storage
    if shared and asked is facts_.Storage.BLOCK:
        return Decision(
            False,
            _('Both hosts share the disks.'),
            _(
                '--block-migration was asked for, but both hosts share the '
                'disks.'
            ),
            _('Leave --block-migration out.'),
        )
    if not shared and asked is facts_.Storage.SHARED:
        return Decision(
            True,
            _('The disks lie on the host itself.'),
            _(
                '--shared-migration was asked for, but the disks lie on the '
                'host itself.'
            ),
            _('Leave --shared-migration out.'),
        )
    if shared:
        return Decision(False, _('Both hosts share the disks.'))
    return Decision(True, _('The disks lie on the host itself.'))


def on_local_disk(facts: facts_.Facts, host: facts_.Host) -> bool:
    """Return whether the destination cannot see the source's disks.

    With a shell there the files are looked for; else images_type and the
    kind of disk decide.
    """
    here, there = facts.source.shell, host.shell
    if isinstance(here, facts_.Shell):
        if nova_options.read(here.options).images_type == 'rbd':
            return False
    if isinstance(there, facts_.Shell):
        return bool(left_over(facts, host)) or any(
            not there.files.get(path) for path in _copied(facts)
        )
    return True


def left_over(facts: facts_.Facts, host: facts_.Host) -> str:
    """Return a path where another file lies than at the source, or ''.

    nova.virt.libvirt.driver.pre_live_migration refuses to copy disks into
    a folder that is there already (DestinationDiskExists).
    """
    here, there = facts.source.shell, host.shell
    if isinstance(here, facts_.Shell) and isinstance(there, facts_.Shell):
        for path in _copied(facts):
            ends = here.files.get(path), there.files.get(path)
            if all(ends) and ends[0] != ends[1]:
                return path
    return ''


def _copied(facts: facts_.Facts) -> list[str]:
    return [disk.source for disk in _disks(facts) if disk.copied]


def _disks(facts: facts_.Facts) -> tuple[facts_.Disk, ...]:
    known = facts.source.libvirt
    if isinstance(known, facts_.Libvirt):
        if isinstance(known.domain, facts_.Domain):
            return known.domain.disks
    return ()
