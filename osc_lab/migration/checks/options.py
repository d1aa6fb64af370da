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

"""The way between the hosts, and the options of Nova at both ends."""

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_
from osc_lab.migration import nova_options
from osc_lab.migration import storage
from osc_lab.preflight import finding

_NO_POST_COPY = _('Set live_migration_permit_post_copy=false on the source.')


#: Of an attempt, where reach.classify() knows more than its text.
_FAILURES = {
    facts_.Reach.TIMEOUT: _(
        '%(target)s is dropped on the way from %(origin)s.'
    ),
    facts_.Reach.REFUSED: _(
        '%(target)s is rejected on the way from %(origin)s.'
    ),
}
_FAILURE = _('%(target)s from %(origin)s: %(text)s.')


class MigrationPorts(base.HostCheck):
    id = 'migration-ports'
    question = _(
        "Can the source's QEMU reach ports 49152 to 49215 of the destination?"
    )
    reason = _(
        'Memory and copied disks take connections of their own, besides that '
        'of libvirt; a firewall that drops them costs more than two minutes.'
    )
    remedy = _(
        'Open TCP 49152 to 49215 from the migration network on the '
        'destination.'
    )
    source = finding.Source.SHELL
    channel = '--ssh'

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        if isinstance(host.way, facts_.Gap):
            yield self.missing(host.name, host.way)
            return
        attempt = host.way.data
        values = {
            'target': attempt.target,
            'origin': attempt.origin,
            'text': attempt.text,
        }
        if attempt.reach is facts_.Reach.OPEN:
            yield self.answer(
                host.name,
                base.OK,
                _('The source reaches %(target)s.') % values,
            )
        elif attempt.reach is facts_.Reach.UNRESOLVED:
            yield self.answer(
                host.name,
                base.UNKNOWN,
                _('%(origin)s does not know the name of %(target)s.') % values,
                _('See libvirt-identity.'),
            )
        elif attempt.reach is facts_.Reach.REFUSED and not host.way.listening:
            yield self.answer(
                host.name,
                base.UNKNOWN,
                _('Nothing could listen there, and a refusal says nothing.'),
                _('Use --ssh for the destination, too.'),
            )
        else:
            yield self.answer(
                host.name,
                base.FAILED,
                _FAILURES.get(attempt.reach, _FAILURE) % values,
                target=attempt.target,
                reach=attempt.reach.value,
                seconds=round(attempt.seconds, 3),
            )


class MigrationOptions(base.HostCheck):
    id = 'migration-options'
    question = _("Do nova.conf's options fit each other and this guest?")
    reason = _(
        'Nova accepts combinations that cannot work, or that give no '
        'protection; the flags that it will use follow from the options of '
        'the source.'
    )
    remedy = _('Change the option on that host and restart nova-compute.')
    source = finding.Source.SHELL
    channel = '--ssh'

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        for end in (facts.source, host):
            unread = base.unread(end)
            if unread:
                yield self.missing(host.name, unread)
                return
        assert isinstance(facts.source.shell, facts_.Shell)
        options = nova_options.read(facts.source.shell.options)
        decision = storage.decide(facts, host)
        block, gap = decision.block, decision.gap
        found = certain = self._found(facts, host, options, block)
        if gap:
            either = self._found(facts, host, options, not block)
            certain = [item for item in found if item in either]
        yield from certain
        if gap and found != certain:
            yield self.missing(host.name, gap)
        elif not found:
            # What is certain: nobody may know whether disks are copied.
            flags = options.flags(block and not gap)
            yield self.answer(
                host.name,
                base.OK,
                _('Nova will use %s.') % ', '.join(flags),
                flags=list(flags),
            )

    def _found(
        self,
        facts: facts_.Facts,
        host: facts_.Host,
        options: nova_options.Options,
        block: bool,
    ) -> list[finding.Finding]:
        guest, unseen = facts.source.guest, []
        timed = options.bandwidth_mib_s and options.timeout_s
        if isinstance(guest, facts_.Gap) and (options.post_copy or timed):
            unseen = [self.missing(host.name, guest)]
        return [
            *unseen,
            *self._tunnel(host.name, options, block),
            *self._native_tls(host.name, options),
            *self._post_copy(facts, host, options, block),
            *self._differences(host, options),
            *self._timeout(host.name, options, facts.source.guest, block),
        ]

    def _tunnel(
        self, host: str, options: nova_options.Options, block: bool
    ) -> base.Found:
        if options.tunnelled and block:
            yield self.answer(
                host,
                base.FAILED,
                _(
                    'live_migration_tunnelled is on: disks cannot be copied '
                    'through the tunnel.'
                ),
                _(
                    'Set live_migration_tunnelled=false on the source and '
                    'restart nova-compute.'
                ),
                option='live_migration_tunnelled',
            )
        elif options.tunnelled:
            yield self.answer(
                host,
                base.WARNING,
                _('live_migration_tunnelled is on: slow, and deprecated.'),
                _('Set live_migration_tunnelled=false on the source.'),
                option='live_migration_tunnelled',
            )
        if options.tunnelled and options.native_tls:
            yield self.answer(
                host,
                base.FAILED,
                _(
                    'live_migration_tunnelled and live_migration_with_native_'
                    'tls exclude each other.'
                ),
            )

    def _native_tls(
        self, host: str, options: nova_options.Options
    ) -> base.Found:
        if options.native_tls and options.effective_scheme != 'tls':
            yield self.answer(
                host,
                base.WARNING,
                _(
                    'Native TLS protects the guest, but libvirt speaks %s '
                    'without it.'
                )
                % options.effective_scheme,
                _('Set live_migration_scheme=tls.'),
            )

    def _post_copy(
        self,
        facts: facts_.Facts,
        host: facts_.Host,
        options: nova_options.Options,
        block: bool,
    ) -> base.Found:
        """Judge what libvirt and QEMU refuse as soon as it is permitted.

        Nova asks for it at the start, whether it is used or not, unless the
        guest is paused (nova.virt.libvirt.driver,
        _live_migration_operation).
        """
        if not options.post_copy:
            return
        known, guest = facts.source.libvirt, facts.source.guest
        if options.connections > 1 and isinstance(known, facts_.Libvirt):
            if known.qemu_version < 10001000:
                yield self.answer(
                    host.name,
                    base.FAILED,
                    _('Several connections with post-copy need QEMU 10.1.'),
                    _('Set live_migration_parallel_connections=1.'),
                )
        if facts.server.vm_state == 'paused':
            return
        if options.tunnelled:
            yield self.answer(
                host.name,
                base.FAILED,
                _('libvirt refuses post-copy through its tunnel.'),
                _('Set live_migration_tunnelled=false on the source.'),
            )
        if options.native_tls and block:
            yield self.answer(
                host.name,
                base.FAILED,
                _(
                    'Post-copy and copying disks over native TLS do not go '
                    'together.'
                ),
                _('Set live_migration_permit_post_copy=false.'),
            )
        if isinstance(guest, facts_.Domain):
            yield from self._post_copy_of(facts, host.name, guest)
        yield from self._post_copy_at(host)

    def _post_copy_of(
        self, facts: facts_.Facts, host: str, guest: facts_.Domain
    ) -> base.Found:
        """Judge devices for which QEMU refuses post-copy.

        As hw/vfio/migration.c of QEMU, vfio_save_prepare.
        """
        alias = 'pci_passthrough:alias' in facts.server.flavor.extra_specs
        for kind in sorted({*guest.hostdevs}):
            if kind == 'mdev' or (kind == 'pci' and alias):
                yield self.answer(
                    host,
                    base.FAILED,
                    _('A device of the host (%s) rules out post-copy.') % kind,
                    _NO_POST_COPY,
                )

    def _post_copy_at(self, host: facts_.Host) -> base.Found:
        """Judge what a destination needs for post-copy.

        As migration/postcopy-ram.c of QEMU, postcopy_ram_supported_by_host.
        """
        assert isinstance(host.shell, facts_.Shell)
        if nova_options.read(host.shell.options).files:
            # Nova asks what is set there, not what the guest has here
            # (nova.virt.libvirt.migration, _update_memory_backing_xml).
            yield self.answer(
                host.name,
                base.WARNING,
                _(
                    'file_backed_memory is set there, and QEMU refuses '
                    'post-copy unless the files lie on a tmpfs.'
                ),
                _NO_POST_COPY,
            )
        if not host.shell.userfaultfd:
            # libvirt gives QEMU none, but /dev/userfaultfd if there is one.
            yield self.answer(
                host.name,
                base.WARNING,
                _(
                    'QEMU refuses post-copy there unless it runs with '
                    'privileges: vm.unprivileged_userfaultfd is 0.'
                ),
                _('Set it to 1 there with sysctl.'),
            )

    def _timeout(
        self,
        host: str,
        options: nova_options.Options,
        domain: facts_.Domain | facts_.Gap,
        block: bool,
    ) -> base.Found:
        if isinstance(domain, facts_.Gap):
            return
        disks = [disk for disk in domain.disks if disk.copied and block]
        files = [disk.length or 0 for disk in disks]
        ram = domain.memory_kib / 1024
        limit = options.completion_timeout(options.data_gib(ram, files))
        if not limit or not options.bandwidth_mib_s:
            return
        used = sum(disk.allocation or 0 for disk in disks)
        needed = (ram + used / 1024**2) / options.bandwidth_mib_s
        if needed > limit:
            yield self.answer(
                host,
                base.FAILED,
                _(
                    'At %(rate)d MiB/s one pass takes %(needed)d s, but Nova '
                    'acts (%(action)s) after %(limit)d s.'
                )
                % {
                    'rate': options.bandwidth_mib_s,
                    'needed': needed,
                    'action': options.timeout_action,
                    'limit': limit,
                },
                _(
                    'Raise live_migration_completion_timeout or '
                    'live_migration_bandwidth on the source.'
                ),
            )

    def _differences(
        self,
        host: facts_.Host,
        here: nova_options.Options,
    ) -> base.Found:
        assert isinstance(host.shell, facts_.Shell)
        there = nova_options.read(host.shell.options)
        for name in ('instances_path', 'images_type', 'virt_type'):
            mine, other = getattr(here, name), getattr(there, name)
            if mine != other:
                yield self.answer(
                    host.name,
                    base.FAILED,
                    _(
                        '%(name)s is %(mine)s at the source and %(other)s '
                        'there.'
                    )
                    % {'name': name, 'mine': mine, 'other': other},
                    option=name,
                )
        for name in ('cpu_mode', 'cpu_models', 'cpu_model_extra_flags'):
            mine, other = getattr(here, name), getattr(there, name)
            if mine != other:
                yield self.answer(
                    host.name,
                    base.WARNING,
                    _(
                        '%(name)s is "%(mine)s" at the source and "%(other)s" '
                        'there.'
                    )
                    % {'name': name, 'mine': mine, 'other': other},
                    _(
                        'A new guest there gets another CPU; see the check '
                        'cpu for this one.'
                    ),
                    option=name,
                )
        if here.inbound and not there.inbound:
            yield self.answer(
                host.name,
                base.WARNING,
                _('live_migration_inbound_addr is set at the source alone.'),
                _('Set it there too, or migrations take another network.'),
            )
