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

"""What libvirt and QEMU say at both ends."""

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_
from osc_lab.migration import nova_options
from osc_lab.preflight import finding

_SERVICES = _(
    'On the destination look at libvirtd or virtproxyd: systemctl status, '
    'ss -ltn, /etc/libvirt/libvirtd.conf (listen_tcp, listen_tls) and the '
    'firewall.'
)

_DAY = 86400.0


class _LibvirtCheck(base.HostCheck):
    source = finding.Source.LIBVIRT
    channel = '--libvirt-uri'

    def ends(
        self, facts: facts_.Facts, host: facts_.Host
    ) -> tuple[facts_.Libvirt, facts_.Libvirt] | facts_.Gap:
        """Return libvirt's facts of source and destination."""
        for end in (facts.source, host):
            if isinstance(end.libvirt, facts_.Gap):
                return end.libvirt
        assert isinstance(facts.source.libvirt, facts_.Libvirt)
        assert isinstance(host.libvirt, facts_.Libvirt)
        return facts.source.libvirt, host.libvirt


def guest(facts: facts_.Facts) -> facts_.Domain | facts_.Gap:
    """Return the running guest, or why it is not known."""
    known = facts.source.libvirt
    if isinstance(known, facts_.Gap):
        return known
    return known.domain or facts_.Gap(_('The guest was not looked at.'))


class LibvirtListen(base.BothEndsCheck):
    id = 'libvirt-listen'
    question = _('Does libvirt answer where the migration will ask it?')
    reason = _(
        "The source's libvirt connects to the destination's over tcp (16509), "
        'tls (16514) or ssh. Nova never tries that before; a dropped packet '
        'costs more than two minutes, a hung daemon has no limit at all.'
    )
    remedy = _SERVICES
    source = finding.Source.LIBVIRT
    channel = '--libvirt-uri'

    def source_host(
        self, facts: facts_.Facts, host: facts_.Host
    ) -> base.Found:
        yield from self._here(host)

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        yield from self._here(host)
        if isinstance(host.way, facts_.Gap):
            if host.way.asked:
                yield self.missing(host.name, host.way)
            return
        yield self._attempt(host.name, host.way.libvirt)

    def _here(self, host: facts_.Host) -> base.Found:
        if host.reach is None:
            assert isinstance(host.libvirt, facts_.Gap)
            yield self.missing(host.name, host.libvirt)
        else:
            yield self._attempt(host.name, host.reach)

    def _attempt(
        self, subject: str, attempt: facts_.Attempt
    ) -> finding.Finding:
        where = (
            _('from %s') % attempt.origin
            if attempt.origin
            else _('from this machine')
        )
        values = {
            'target': attempt.target.partition('?')[0],
            'where': where,
            'text': attempt.text,
        }
        evidence: base.Evidence = {
            'from': attempt.origin,
            'reach': attempt.reach.value,
            'seconds': round(attempt.seconds, 3),
        }
        reach = facts_.Reach
        if attempt.reach in (reach.OPEN, reach.AUTH, reach.TLS):
            # Who answers but refuses is a matter of libvirt-auth and
            # libvirt-tls.
            return self.answer(
                subject,
                base.OK,
                _('libvirt answers at %(target)s, %(where)s.') % values,
                **evidence,
            )
        message = {
            reach.REFUSED: _(
                'Nothing listens at %(target)s, or a firewall rejects it '
                '(%(where)s): %(text)s.'
            ),
            reach.TIMEOUT: _(
                'No answer at %(target)s in time (%(where)s): a firewall '
                'drops it, or libvirt hangs.'
            ),
            reach.UNRESOLVED: _(
                'The name in %(target)s is unknown (%(where)s).'
            ),
        }.get(
            attempt.reach,
            _('%(target)s cannot be reached (%(where)s): %(text)s.'),
        )
        remedy = {
            reach.UNRESOLVED: _(
                'Put the name into DNS or /etc/hosts there, or set '
                '[libvirt] live_migration_inbound_addr on the destination.'
            ),
            reach.TIMEOUT: _(
                'On the destination open the port in the firewall; if it is '
                'open, restart libvirtd (or virtqemud), which hangs.'
            ),
        }.get(attempt.reach, self.remedy)
        return self.answer(
            subject, base.FAILED, message % values, remedy, **evidence
        )


class LibvirtAuth(base.BothEndsCheck):
    id = 'libvirt-auth'
    question = _('Does libvirt let the caller and the source in?')
    reason = _(
        'With SASL or client certificates on, the source needs credentials '
        'of its own; with neither, anybody on that network is root on the '
        'hypervisor.'
    )
    remedy = _(
        'Give the source credentials for the destination: '
        '/etc/libvirt/auth.conf, or a client certificate.'
    )
    source = finding.Source.LIBVIRT
    channel = '--libvirt-uri'

    def source_host(
        self, facts: facts_.Facts, host: facts_.Host
    ) -> base.Found:
        yield from self._here(host)

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        yield from self._here(host)
        if isinstance(host.way, facts_.Gap):
            return
        attempt = host.way.libvirt
        if attempt.reach is facts_.Reach.AUTH:
            yield self._refused(host.name, attempt)
        elif attempt.reach is facts_.Reach.OPEN and host.way.complete:
            if host.way.unguarded and '+tcp:' in host.way.uri:
                yield self.answer(
                    host.name,
                    base.WARNING,
                    _('libvirt at %s asks for no password.') % host.way.uri,
                    _(
                        'Use TLS, or SASL (auth_tcp="sasl"): whoever reaches '
                        'the port is root there.'
                    ),
                    uri=host.way.uri,
                )
            else:
                yield self.answer(
                    host.name, base.OK, _('libvirt lets the source in.')
                )

    def _here(self, host: facts_.Host) -> base.Found:
        attempt = host.reach
        if attempt is None:
            assert isinstance(host.libvirt, facts_.Gap)
            yield self.missing(host.name, host.libvirt)
        elif attempt.reach is facts_.Reach.AUTH:
            yield self._refused(host.name, attempt)
        elif attempt.reach is not facts_.Reach.OPEN:
            yield self.answer(
                host.name,
                base.SKIPPED,
                _('libvirt there did not answer.'),
                _('See libvirt-listen and libvirt-tls.'),
            )
        else:
            yield self.answer(
                host.name, base.OK, _('libvirt lets this caller in.')
            )

    def _refused(
        self, subject: str, attempt: facts_.Attempt
    ) -> finding.Finding:
        return self.answer(
            subject,
            base.FAILED,
            _('libvirt refuses %(who)s: %(text)s.')
            % {
                'who': attempt.origin or _('this caller'),
                'text': attempt.text.rstrip('.'),
            },
            reach=attempt.reach.value,
        )


class LibvirtTls(base.BothEndsCheck):
    id = 'libvirt-tls'
    question = _('Will every certificate that the migration needs be good?')
    reason = _(
        'A certificate that has expired, is for another name or of another '
        'authority stops the migration; only the log of nova-compute says '
        'so. libvirt and QEMU have certificates of their own.'
    )
    remedy = _(
        'Issue a new certificate with the name and address of the host, put '
        'it under /etc/pki and restart libvirtd.'
    )
    source = finding.Source.LIBVIRT
    channel = '--ssh'

    def source_host(
        self, facts: facts_.Facts, host: facts_.Host
    ) -> base.Found:
        if host.reach and host.reach.reach is facts_.Reach.TLS:
            yield self._refused(host.name, host.reach)
        if isinstance(host.shell, facts_.Shell):
            yield from self._certificates(
                facts, host, host.shell, ('ca', 'client'), ''
            )

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        found = list(self._host(facts, host))
        yield from found
        if found:
            return
        if isinstance(host.shell, facts_.Gap):
            yield self.missing(host.name, host.shell)
        else:
            yield self.answer(
                host.name,
                base.OK,
                _('The certificates that it needs are good.'),
            )

    def _host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        if host.reach and host.reach.reach is facts_.Reach.TLS:
            yield self._refused(host.name, host.reach)
        if not isinstance(host.way, facts_.Gap):
            if host.way.libvirt.reach is facts_.Reach.TLS:
                yield self._refused(host.name, host.way.libvirt)
        if isinstance(host.shell, facts_.Shell):
            address = ''
            if not isinstance(host.way, facts_.Gap):
                address = host.way.data_address
            yield from self._certificates(
                facts, host, host.shell, ('ca', 'server'), address
            )
            yield from self._authorities(facts, host)

    def _refused(
        self, subject: str, attempt: facts_.Attempt
    ) -> finding.Finding:
        return self.answer(
            subject,
            base.FAILED,
            _('TLS fails at %(target)s: %(text)s.')
            % {
                'target': attempt.target.partition('?')[0],
                'text': attempt.text.rstrip('.'),
            },
            origin=attempt.origin,
        )

    def _stacks(self, facts: facts_.Facts) -> set[str]:
        """Return whose certificates this migration uses."""
        if isinstance(facts.source.shell, facts_.Gap):
            return set()
        options = nova_options.read(facts.source.shell.options)
        found = set()
        if options.effective_scheme == 'tls':
            found.add('libvirt')
        if options.native_tls:
            found.add('qemu')
        return found

    def _certificates(
        self,
        facts: facts_.Facts,
        host: facts_.Host,
        shell: facts_.Shell,
        roles: tuple[str, ...],
        address: str,
    ) -> base.Found:
        stacks = self._stacks(facts)
        if isinstance(shell.certificates, facts_.Gap):
            if stacks:
                yield self.missing(host.name, shell.certificates)
            return
        there = {(item.stack, item.role) for item in shell.certificates}
        for stack in sorted(stacks):
            for role in roles:
                if (stack, role) not in there:
                    yield self.answer(
                        host.name,
                        base.FAILED,
                        _('It has no %(role)s certificate for %(stack)s.')
                        % {'role': role, 'stack': stack},
                    )
        for item in shell.certificates:
            if item.stack in stacks and item.role in roles:
                yield from self._one(facts.now, host.name, item, address)

    def _one(
        self,
        now: float,
        subject: str,
        item: facts_.Certificate,
        address: str,
    ) -> base.Found:
        days = int((item.not_after - now) // _DAY)
        evidence: base.Evidence = {'path': item.path, 'days_left': days}
        if item.not_after < now:
            yield self.answer(
                subject,
                base.FAILED,
                _('%(path)s expired %(days)d days ago.')
                % {
                    'path': item.path,
                    'days': (now - item.not_after) // _DAY,
                },
                **evidence,
            )
        elif item.not_before > now:
            yield self.answer(
                subject,
                base.FAILED,
                _('%s is not valid yet; compare the clocks.') % item.path,
                **evidence,
            )
        elif days < 14:
            yield self.answer(
                subject,
                base.WARNING,
                _('%(path)s expires in %(days)d days.')
                % {'path': item.path, 'days': days},
                **evidence,
            )
        if item.role != 'ca' and not item.signed_by:
            yield self.answer(
                subject,
                base.FAILED,
                _('%s is not signed by the authority beside it.') % item.path,
                **evidence,
            )
        if item.role == 'server' and address:
            if address not in item.names:
                yield self.answer(
                    subject,
                    base.FAILED,
                    _('%(path)s is not for %(address)s but for %(names)s.')
                    % {
                        'path': item.path,
                        'address': address,
                        'names': ', '.join(sorted(item.names)) or '-',
                    },
                    **evidence,
                )

    def _authorities(
        self, facts: facts_.Facts, host: facts_.Host
    ) -> base.Found:
        """Compare who signed the server with whom the source trusts."""
        source, there = facts.source.shell, host.shell
        assert isinstance(there, facts_.Shell)
        if isinstance(source, facts_.Gap):
            return
        mine, other = source.certificates, there.certificates
        if isinstance(mine, facts_.Gap) or isinstance(other, facts_.Gap):
            return
        for stack in sorted(self._stacks(facts)):
            trusted = {
                item.key_id
                for item in mine
                if (item.stack, item.role) == (stack, 'ca')
            }
            signers = {
                item.signed_by
                for item in other
                if (item.stack, item.role) == (stack, 'server')
            } - {''}
            if trusted and signers and not trusted & signers:
                yield self.answer(
                    host.name,
                    base.FAILED,
                    _(
                        'The source does not trust the authority that signed '
                        'the %s certificate there.'
                    )
                    % stack,
                    _('Give all hosts the same CA certificate.'),
                )


class LibvirtIdentity(_LibvirtCheck):
    id = 'libvirt-identity'
    question = _('Can libvirt tell the two hosts apart by UUID and name?')
    reason = _(
        'Cloned machines share a UUID ("Attempt to migrate guest to the '
        'same host"), and the source connects to the name that the '
        'destination calls itself.'
    )
    remedy = _(
        'Give each host a UUID of its own (host_uuid in libvirtd.conf) and '
        'a full, resolvable host name.'
    )

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        ends = self.ends(facts, host)
        if isinstance(ends, facts_.Gap):
            yield self.missing(host.name, ends)
            return
        here, there = ends
        problems = []
        if here.host_uuid == there.host_uuid:
            problems.append(_('Both hosts have the UUID %s.') % here.host_uuid)
        if here.hostname == there.hostname:
            problems.append(_('Both call themselves %s.') % here.hostname)
        if there.hostname.partition('.')[0] == 'localhost':
            problems.append(_('It calls itself %s.') % there.hostname)
        if not isinstance(host.way, facts_.Gap) and not host.way.data_resolved:
            problems.append(
                _('The source does not know the name %s.')
                % host.way.data_address
            )
        for text in problems:
            yield self.answer(
                host.name, base.FAILED, text, hostname=there.hostname
            )
        if not problems:
            yield self.answer(
                host.name,
                base.OK,
                _('It is %s, with a UUID of its own.') % there.hostname,
            )


class _VersionCheck(_LibvirtCheck):
    def compare(
        self, host: str, name: str, here: int, there: int
    ) -> finding.Finding:
        values = {
            'name': name,
            'here': base.version(here),
            'there': base.version(there),
        }
        evidence: base.Evidence = {'source': here, 'destination': there}
        if there < here:
            return self.answer(
                host,
                base.FAILED,
                _(
                    '%(name)s there is %(there)s, older than %(here)s at the '
                    'source.'
                )
                % values,
                **evidence,
            )
        return self.answer(
            host,
            base.OK,
            _('%(name)s %(here)s to %(there)s.') % values,
            **evidence,
        )


class LibvirtVersion(_VersionCheck):
    id = 'libvirt-version'
    question = _("Is the destination's libvirt not older?")
    reason = _(
        'Nova refuses an older hypervisor, and an older libvirt may not '
        'know what stands in the XML of the guest.'
    )
    remedy = _('Upgrade the destination, or choose another host.')

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        ends = self.ends(facts, host)
        if isinstance(ends, facts_.Gap):
            yield self.missing(host.name, ends)
        else:
            yield self.compare(
                host.name, 'libvirt', ends[0].version, ends[1].version
            )


class QemuVersion(_VersionCheck):
    id = 'qemu-version'
    question = _("Is the destination's QEMU not older?")
    reason = _(
        'QEMU promises to accept the state of an older QEMU, not of a newer '
        'one.'
    )
    remedy = _('Upgrade the destination, or choose another host.')

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        ends = self.ends(facts, host)
        if isinstance(ends, facts_.Gap):
            yield self.missing(host.name, ends)
        else:
            yield self.compare(
                host.name, 'QEMU', ends[0].qemu_version, ends[1].qemu_version
            )


class MachineType(_LibvirtCheck):
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
        domain = guest(facts)
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


class Cpu(_LibvirtCheck):
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
        domain = guest(facts)
        for gap in (domain, host.libvirt):
            if isinstance(gap, facts_.Gap):
                yield self.missing(host.name, gap)
                return
        assert isinstance(domain, facts_.Domain)
        assert isinstance(host.libvirt, facts_.Libvirt)
        cpu, text = host.libvirt.cpu, host.libvirt.cpu_text
        name = domain.cpu_model or domain.cpu_mode or _('default')
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
        ):
            yield self.answer(
                host.name,
                base.WARNING,
                _(
                    "libvirt accepts the guest's CPU %s, but Nova compares "
                    "the hosts' CPUs and may refuse."
                )
                % name,
                _(
                    'Set [workarounds] skip_cpu_compare_on_dest=true on the '
                    'destination.'
                ),
            )
        else:
            yield self.answer(
                host.name, base.OK, _("It provides the guest's CPU %s.") % name
            )

    def _compare_skipped(self, host: facts_.Host) -> bool:
        if isinstance(host.shell, facts_.Gap):
            return False
        return nova_options.read(host.shell.options).skip_cpu_compare


class DomainConflict(_LibvirtCheck):
    id = 'domain-conflict'
    question = _('Is the name and the UUID of the guest free over there?')
    reason = _(
        'What an earlier migration or evacuation left behind stops the next '
        'one: "domain already exists".'
    )
    remedy = _('Look what it is, then: virsh undefine DOMAIN on that host.')

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        if isinstance(host.libvirt, facts_.Gap):
            yield self.missing(host.name, host.libvirt)
            return
        for item in host.libvirt.conflicts:
            state = _('running') if item.active else _('defined')
            yield self.answer(
                host.name,
                base.FAILED,
                _('Domain %(name)s (%(uuid)s) is %(state)s there already.')
                % {'name': item.name, 'uuid': item.uuid, 'state': state},
                uuid=item.uuid,
                active=item.active,
            )
        if not host.libvirt.conflicts:
            domain = guest(facts)
            if isinstance(domain, facts_.Gap):
                yield self.missing(host.name, domain)
            else:
                yield self.answer(
                    host.name, base.OK, _('Name and UUID are free.')
                )


class HostMemory(_LibvirtCheck):
    id = 'host-memory'
    question = _('Is there memory for the guest now, not only in Placement?')
    reason = _(
        "Placement's books do not see other programs, caches that cannot "
        'shrink, or an allocation ratio above what is there.'
    )
    remedy = _('Choose another host, or make room there.')

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        domain = guest(facts)
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
