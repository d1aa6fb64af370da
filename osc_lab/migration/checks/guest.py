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

"""The guest itself: its devices and its disks."""

import dataclasses

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_
from osc_lab.migration import storage
from osc_lab.preflight import finding

_GIB = 1024**3

#: Types of ports whose device Nova unplugs for the migration, of those that
#: libvirt may show as a device of the host.
_UNPLUGGED = {'direct', 'direct-physical'}


class GuestDevices(base.HostCheck):
    id = 'guest-devices'
    question = _('Does the running guest have a device that cannot travel?')
    reason = _(
        'Devices of the host, shared folders and media that exist only at '
        'the source stop the migration when it has started.'
    )
    remedy = _('Detach the device, or migrate cold.')
    source = finding.Source.LIBVIRT
    channel = '--libvirt-uri'

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        domain = facts.source.guest
        if isinstance(domain, facts_.Gap):
            yield self.missing(host.name, domain)
            return
        found = [
            *self._passed_through(facts, host, domain),
            *self._devices(facts, host, domain),
            *self._media(facts, host, domain),
        ]
        yield from found
        if not found:
            yield self.answer(
                host.name, base.OK, _('Every device of the guest can travel.')
            )

    def _passed_through(
        self, facts: facts_.Facts, host: facts_.Host, domain: facts_.Domain
    ) -> base.Found:
        """Judge devices of the host by what may have asked for them.

        As nova.conductor.tasks.live_migrate, _check_can_migrate_pci, and
        nova.virt.libvirt.driver, _assert_source_can_live_migrate_mdevs and
        _detach_direct_passthrough_vifs.
        """
        alias = 'pci_passthrough:alias' in facts.server.flavor.extra_specs
        ports: set[str] = set()
        if not isinstance(facts.network, facts_.Gap):
            ports = {port.vnic_type for port in facts.network.ports}
        for kind in domain.hostdevs:
            result, remedy = base.FAILED, self.remedy
            if kind == 'mdev':
                result, remedy = (
                    base.WARNING,
                    _(
                        'Both hosts need libvirt 8.6 and QEMU 8.1, and the '
                        'same type of mediated device.'
                    ),
                )
            elif kind == 'pci' and (alias or ports & _UNPLUGGED):
                result, remedy = (
                    base.WARNING,
                    _(
                        'Nova unplugs that of a port; that of a flavor must '
                        'be live_migratable in the pci alias of both hosts.'
                    ),
                )
            elif kind == 'pci' and isinstance(facts.network, facts_.Gap):
                yield self.missing(host.name, facts.network)
                continue
            yield self.answer(
                host.name,
                result,
                _('A device of the host is passed through (%s).') % kind,
                remedy,
            )

    def _devices(
        self, facts: facts_.Facts, host: facts_.Host, domain: facts_.Domain
    ) -> base.Found:
        for kind in domain.filesystems:
            yield self.answer(
                host.name,
                base.FAILED,
                _('A folder of the host is shared (%s).') % kind,
            )
        if 'hostdev' in domain.interfaces:
            yield self.answer(
                host.name,
                base.WARNING,
                _('A network card of the host is passed through.'),
                _(
                    'Nova unplugs it for the migration; the guest must bear '
                    'that.'
                ),
            )
        if domain.tpm == 'passthrough':
            yield self.answer(
                host.name, base.FAILED, _('The TPM of the host is used.')
            )
        policy = facts.server.flavor.tpm_security
        if domain.tpm == 'emulator' and policy != 'host':
            yield self.answer(
                host.name,
                base.FAILED,
                _('The secret of its TPM is kept for the user ("%s").')
                % policy,
            )

    def _media(
        self, facts: facts_.Facts, host: facts_.Host, domain: facts_.Domain
    ) -> base.Found:
        decision = storage.decide(facts, host)
        for disk in domain.disks:
            if not disk.local or not disk.source or self._made(disk):
                continue
            if disk.copied and (decision.block or decision.gap):
                # migration-storage tells of these.
                continue
            if isinstance(host.shell, facts_.Gap):
                yield self.missing(host.name, host.shell)
                return
            known = host.shell.files.get(disk.source)
            hidden = storage.blind(facts.source, [disk.source])
            if known is None:
                yield self.missing(
                    host.name,
                    facts_.Gap(
                        _('%s could not be looked for there.') % disk.source,
                        storage.may_look(),
                    ),
                )
            elif not known and hidden:
                yield self.missing(host.name, hidden)
            elif not known:
                yield self.answer(
                    host.name,
                    base.FAILED,
                    _('%(path)s (%(device)s %(disk)s) is not there.')
                    % {
                        'path': disk.source,
                        'device': disk.device,
                        'disk': disk.target,
                    },
                    _('Eject it, or copy the file to the same path there.')
                    if disk.device == 'cdrom'
                    else _('Use --block-migration, or share the storage.'),
                    path=disk.source,
                )

    def _made(self, disk: facts_.Disk) -> bool:
        """Nova copies the configuration drive itself."""
        return disk.source.endswith('disk.config')


class MigrationStorage(base.HostCheck):
    id = 'migration-storage'
    question = _('Will disks be copied, and is there physical space?')
    reason = _(
        'Since microversion 2.25 Nova no longer looks at the free space of '
        "the destination's file system; Placement counts the flavor alone."
    )
    remedy = _('Make room under instances_path there, or choose another host.')
    source = finding.Source.LIBVIRT
    channel = '--libvirt-uri'

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        domain = facts.source.guest
        left = storage.left_over(facts, host)
        if isinstance(left, str) and left:
            yield self.answer(
                host.name,
                base.FAILED,
                _('%s lies there already; Nova refuses to go on.') % left,
                _(
                    'A failed migration may have left it. When no guest of '
                    'that host uses it, remove its folder there.'
                ),
                path=left,
            )
            return
        if isinstance(domain, facts_.Gap):
            yield self.missing(host.name, domain)
            return
        decision = storage.decide(facts, host)
        if decision.gap:
            yield self._doubtful(facts, host, domain, decision)
            return
        if decision.problem:
            yield self.answer(
                host.name, base.FAILED, decision.problem, decision.remedy
            )
            return
        gap = base.gap_of(host.shell) or base.gap_of(left)
        if gap and gap.asked:
            # Nobody saw whether a folder is left.
            yield self.missing(host.name, gap)
            return
        if not decision.block:
            yield self.answer(
                host.name, base.OK, decision.reason, copied=False
            )
            return
        yield self._space(host, domain, decision.reason)

    def _doubtful(
        self,
        facts: facts_.Facts,
        host: facts_.Host,
        domain: facts_.Domain,
        decision: storage.Decision,
    ) -> finding.Finding:
        """Return what holds whether the disks are shared or not.

        Where no look at the host was asked for Nova's figures have to do.
        """
        assert decision.gap
        asked = facts.request.storage
        space = self._space(host, domain, decision.reason)
        if asked is facts_.Storage.BLOCK and space.result is base.FAILED:
            return space
        unset = decision.gap is host.shell and not decision.gap.asked
        if asked is not facts_.Storage.AUTO or not unset:
            return self.missing(host.name, decision.gap)
        if space.result is base.FAILED:
            return dataclasses.replace(space, result=base.WARNING)
        return space

    def _space(
        self, host: facts_.Host, domain: facts_.Domain, reason: str
    ) -> finding.Finding:
        """Return whether the disks fit that are copied.

        :param reason: why they are
        """
        disks = [disk for disk in domain.disks if disk.copied]
        virtual = sum(disk.size or 0 for disk in disks)
        actual = sum(disk.allocation or 0 for disk in disks)
        free = self._free(host)
        evidence: base.Evidence = {
            'virtual_bytes': virtual,
            'allocated_bytes': actual,
            'free_bytes': free,
        }
        values = {
            'virtual': base.mib(virtual / 1024**2),
            'actual': base.mib(actual / 1024**2),
            'free': base.mib((free or 0) / 1024**2),
            'reason': reason,
        }
        if free is None:
            return self.answer(
                host.name,
                base.UNKNOWN,
                _(
                    '%(reason)s %(virtual)s are to be copied; how much is free'
                    ' there is not known.'
                )
                % values,
                _('Use --ssh.'),
                **evidence,
            )
        if free < actual:
            return self.answer(
                host.name,
                base.FAILED,
                _(
                    '%(reason)s %(actual)s are to be copied, only %(free)s '
                    'are free.'
                )
                % values,
                **evidence,
            )
        if free < virtual:
            return self.answer(
                host.name,
                base.WARNING,
                _(
                    '%(reason)s They can grow to %(virtual)s, only %(free)s '
                    'are free.'
                )
                % values,
                **evidence,
            )
        return self.answer(
            host.name,
            base.OK,
            _('%(reason)s %(virtual)s are to be copied, %(free)s are free.')
            % values,
            **evidence,
        )

    def _free(self, host: facts_.Host) -> int | None:
        if isinstance(host.shell, facts_.Shell):
            return host.shell.free_bytes
        if isinstance(host.hypervisor, facts_.Hypervisor):
            gib = host.hypervisor.disk_available_gib
            return None if gib is None else gib * _GIB
        return None
