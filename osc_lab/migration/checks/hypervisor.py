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

"""Can libvirt and QEMU of the destination run this guest?"""

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration.checks import libvirt
from osc_lab.migration import facts as facts_
from osc_lab.migration import nova_options
from osc_lab.preflight import finding


class LibvirtVersion(libvirt.LibvirtCheck):
    id = 'libvirt-version'
    question = _("Is the destination's libvirt not older?")
    reason = _(
        'An older libvirt may not know what stands in the XML of the guest; '
        'Nova does not compare versions of libvirt.'
    )
    remedy = _('Upgrade the destination, or choose another host.')

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        ends = self.ends(facts, host)
        if isinstance(ends, facts_.Gap):
            yield self.missing(host.name, ends)
            return
        here, there = ends
        yield _compared(
            *(self, host.name, 'libvirt', here.version, there.version),
            base.WARNING,
        )


class QemuVersion(base.HostCheck):
    id = 'qemu-version'
    question = _(
        "Is the destination's hypervisor of the same type, and not older?"
    )
    reason = _(
        'QEMU promises to accept the state of an older QEMU, not of a newer '
        'one. Nova compares what its hosts told it, and says "No valid host '
        'was found" of another type and, unless nova-conductor is set to skip '
        'that (skip_hypervisor_version_check_on_lm), of an older version.'
    )
    remedy = _('Upgrade the destination, or choose another host.')

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        # As nova.conductor.tasks.live_migrate,
        # _check_compatible_with_source_hypervisor.
        here, there = facts.source.hypervisor, host.hypervisor
        if isinstance(here, facts_.Gap):
            yield self.missing(host.name, here)
        elif isinstance(there, facts_.Gap):
            yield self.missing(host.name, there)
        elif here.type != there.type:
            yield self.answer(
                host.name,
                base.FAILED,
                _('The hypervisor there is %(there)s, at the source %(here)s.')
                % {'here': here.type, 'there': there.type},
                _('Choose another host.'),
                source=here.type,
                destination=there.type,
            )
        else:
            yield _compared(
                *(self, host.name, here.type, here.version, there.version),
                base.FAILED,
            )


def _compared(
    check: base.ServerCheck,
    subject: str,
    name: str,
    here: int,
    there: int,
    older: finding.Result,
) -> finding.Finding:
    """Return whether the destination runs at least the source's version.

    :param here: as libvirt encodes it: 9001002 is 9.1.2
    :param older: what it is when it does not
    """
    text = _('%(name)s %(here)s to %(there)s.')
    if there < here:
        text = _(
            '%(name)s there is %(there)s, older than %(here)s at the source.'
        )
    values = {
        'name': name,
        'here': base.version(here),
        'there': base.version(there),
    }
    return check.answer(
        subject,
        older if there < here else base.OK,
        text % values,
        source=here,
        destination=there,
    )


class MachineType(libvirt.LibvirtCheck):
    id = 'machine-type'
    question = _("Does the destination's QEMU know the guest's machine type?")
    reason = _(
        'A guest keeps the machine type that it was started with; Nova does '
        'not look whether the destination still has it.'
    )
    remedy = _(
        'Choose a host whose QEMU has it, or hard-reboot the server after '
        'changing its hw_machine_type.'
    )

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        domain = facts.source.guest
        if isinstance(domain, facts_.Gap):
            yield self.missing(host.name, domain)
            return
        known = host.libvirt
        if isinstance(known, facts_.Gap):
            yield self.missing(host.name, known)
            return
        supported = known.machine_ok
        if isinstance(supported, facts_.Gap):
            yield self.missing(host.name, supported)
        elif supported:
            yield self.answer(
                host.name, base.OK, _('It has %s.') % domain.machine
            )
        else:
            yield self.answer(
                host.name,
                base.FAILED,
                _('QEMU there does not support machine type %s.')
                % domain.machine,
                machine=domain.machine,
            )


class Cpu(libvirt.LibvirtCheck):
    id = 'cpu'
    question = _('Can the destination give the guest the CPU that it has?')
    reason = _(
        'A running guest cannot lose a CPU feature. Nova compares in its own '
        'way, older than that of libvirt, and can refuse what would work.'
    )
    remedy = _(
        'Choose a host with that CPU; for the future set cpu_mode=custom '
        'with a model that all hosts have.'
    )

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        domain = facts.source.guest
        for gap in (domain, host.libvirt):
            if isinstance(gap, facts_.Gap):
                yield self.missing(host.name, gap)
                return
        assert isinstance(domain, facts_.Domain)
        assert isinstance(host.libvirt, facts_.Libvirt)
        cpu, text = host.libvirt.cpu, host.libvirt.cpu_text
        name = domain.cpu_model or domain.cpu_mode or _('default')
        models = host.libvirt.cpu_models
        if models and domain.cpu_model and domain.cpu_model not in models:
            cpu = 'incompatible'
            text = _('QEMU there does not know this model')
        if cpu is None:
            cpu = facts_.Gap(_('The CPU was not compared.'))
        if isinstance(cpu, facts_.Gap):
            yield self.missing(host.name, cpu)
        elif cpu == 'incompatible':
            yield self.answer(
                host.name,
                base.FAILED,
                _("It cannot provide the guest's CPU %(cpu)s: %(text)s.")
                % {
                    'cpu': name,
                    'text': text.rstrip('.') or _('incompatible'),
                },
                cpu=domain.cpu_model,
            )
        elif (
            host.libvirt.host_cpu == 'incompatible'
            and not self._compare_skipped(host)
            and not (domain.cpu_model and self._custom(facts))
        ):
            yield self._of_nova(host, domain.cpu_model, name)
        else:
            yield self.answer(
                host.name, base.OK, _("It provides the guest's CPU %s.") % name
            )

    def _of_nova(
        self, host: facts_.Host, model: str, name: str
    ) -> finding.Finding:
        """Return what Nova's own comparison does where libvirt accepts.

        Nova compares the model that the guest was started with, and the
        hosts' CPUs when there was none, as with cpu_mode=host-model.
        """
        result, words = (
            base.WARNING,
            _(
                "libvirt accepts the guest's CPU %s, but unless it was "
                "started with cpu_mode=custom Nova compares the hosts' CPUs "
                'and may refuse.'
            ),
        )
        if not model and isinstance(host.shell, facts_.Shell):
            result, words = (
                base.FAILED,
                _(
                    "libvirt accepts the guest's CPU %s, but Nova compares "
                    "the hosts' CPUs for it and refuses."
                ),
            )
        return self.answer(
            host.name,
            result,
            words % name,
            _(
                'Set [workarounds] skip_cpu_compare_on_dest=true on the '
                'destination.'
            ),
        )

    def _custom(self, facts: facts_.Facts) -> bool:
        source = facts.source.shell
        if isinstance(source, facts_.Gap):
            return False
        return nova_options.read(source.options).cpu_mode == 'custom'

    def _compare_skipped(self, host: facts_.Host) -> bool:
        if isinstance(host.shell, facts_.Gap):
            return False
        return nova_options.read(host.shell.options).skip_cpu_compare


class DomainConflict(libvirt.LibvirtCheck):
    id = 'domain-conflict'
    question = _('Is the name and the UUID of the guest free over there?')
    reason = _(
        'What an earlier migration or evacuation left behind stops the next '
        'one: "domain already exists".'
    )
    remedy = _('Look what it is, then: virsh undefine DOMAIN on that host.')

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        found = host.libvirt
        conflicts = found if isinstance(found, facts_.Gap) else found.conflicts
        if isinstance(conflicts, facts_.Gap):
            yield self.missing(host.name, conflicts)
            return
        for item in conflicts:
            state = _('running') if item.active else _('defined')
            yield self.answer(
                host.name,
                base.FAILED,
                _('Domain %(name)s (%(uuid)s) is %(state)s there already.')
                % {'name': item.name, 'uuid': item.uuid, 'state': state},
                uuid=item.uuid,
                active=item.active,
            )
        if not conflicts:
            domain = facts.source.guest
            if isinstance(domain, facts_.Gap):
                yield self.missing(host.name, domain)
            else:
                yield self.answer(
                    host.name, base.OK, _('Name and UUID are free.')
                )


class HostMemory(libvirt.LibvirtCheck):
    id = 'host-memory'
    question = _('Is there memory for the guest now, not only in Placement?')
    reason = _(
        "Placement's books do not see other programs, caches that cannot "
        'shrink, or an allocation ratio above what is there.'
    )
    remedy = _('Choose another host, or make room there.')

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        domain = facts.source.guest
        for gap in (domain, host.libvirt):
            if isinstance(gap, facts_.Gap):
                yield self.missing(host.name, gap)
                return
        assert isinstance(domain, facts_.Domain)
        assert isinstance(host.libvirt, facts_.Libvirt)
        free, need = host.libvirt.free_kib, domain.memory_kib
        if free is None:
            yield self.answer(
                host.name,
                base.UNKNOWN,
                _('libvirt there does not say how much memory is free.'),
                _('Look with "free" there.'),
            )
            return
        values = {
            'free': base.mib(free / 1024),
            'need': base.mib(need / 1024),
        }
        evidence: base.Evidence = {'free_kib': free, 'needed_kib': need}
        if domain.hugepages:
            yield self.answer(
                host.name,
                base.WARNING,
                _('The guest lives on huge pages (%(need)s).') % values,
                _('Compare "virsh freepages --all" there.'),
                **evidence,
            )
        elif free < need:
            yield self.answer(
                host.name,
                base.FAILED,
                _('Only %(free)s are free there, the guest needs %(need)s.')
                % values,
                **evidence,
            )
        else:
            yield self.answer(
                host.name,
                base.OK,
                _('%(free)s are free for %(need)s.') % values,
                **evidence,
            )
