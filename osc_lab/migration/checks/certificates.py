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

"""Certificates of libvirt and QEMU, at both ends."""

import collections.abc
import ipaddress

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_
from osc_lab.migration import nova_options
from osc_lab.preflight import finding

_DAY = 86400.0


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
    source = finding.Source.SHELL
    channel = '--ssh'

    def source_host(
        self, facts: facts_.Facts, host: facts_.Host
    ) -> base.Found:
        if host.reach and host.reach.reach is facts_.Reach.TLS:
            yield self._refused(host.name, host.reach)
        if isinstance(host.shell, facts_.Shell):
            proven = any(_spoke(item.way) for item in facts.destinations)
            yield from self._certificates(
                facts, host, host.shell, ('ca', 'client'), {}, proven
            )

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        found = list(self._host(facts, host))
        yield from found
        if found:
            return
        gap = self._unseen(facts, host)
        if gap:
            yield self.missing(host.name, gap)
        else:
            yield self.answer(
                host.name,
                base.OK,
                _('The certificates that it needs are good.'),
            )

    def _unseen(
        self, facts: facts_.Facts, host: facts_.Host
    ) -> facts_.Gap | None:
        """Return what was not seen of all that has to be good."""
        gap = base.gap_of(host.shell) or base.unread(facts.source)
        if gap:
            return gap
        if isinstance(host.way, facts_.Gap) and self._stacks(facts):
            return host.way
        return None

    def _host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        if host.reach and host.reach.reach is facts_.Reach.TLS:
            yield self._refused(host.name, host.reach)
        if not isinstance(host.way, facts_.Gap):
            if host.way.libvirt.reach is facts_.Reach.TLS:
                yield self._refused(host.name, host.way.libvirt)
        if isinstance(host.shell, facts_.Shell):
            yield from self._certificates(
                *(facts, host, host.shell, ('ca', 'server')),
                *(_asked(host.way), _spoke(host.way)),
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
        asked: collections.abc.Mapping[str, str],
        proven: bool,
    ) -> base.Found:
        """Judge the certificates of a host.

        :param proven: libvirt has just used its own, wherever they lie
        """
        stacks = self._stacks(facts)
        if isinstance(shell.certificates, facts_.Gap):
            if stacks:
                yield self.missing(host.name, shell.certificates)
            return
        needed = stacks - ({'libvirt'} if proven else set())
        there = {(item.stack, item.role) for item in shell.certificates}
        for stack in sorted(needed):
            for role in roles:
                if (stack, role) in there:
                    continue
                if (stack, role) in shell.unseen:
                    yield self.missing(host.name, shell.unseen[stack, role])
                    continue
                yield self.answer(
                    host.name,
                    base.FAILED,
                    _('It has no %(role)s certificate for %(stack)s.')
                    % {'role': role, 'stack': stack},
                )
        for item in shell.certificates:
            if item.stack in stacks and item.role in roles:
                address = asked.get(item.stack, '')
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
                    'days': (now - item.not_after) / _DAY,
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
            if not any(_is_for(name, address) for name in item.names):
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


def _spoke(way: facts_.Way | facts_.Gap) -> bool:
    """Return whether libvirt has just answered there."""
    return (
        not isinstance(way, facts_.Gap)
        and way.complete
        and way.libvirt.reach is facts_.Reach.OPEN
    )


def _asked(way: facts_.Way | facts_.Gap) -> dict[str, str]:
    """Return by whom the server is asked for which name.

    libvirt compares the name in its URI, QEMU that of the data connection.
    A connection that has just worked needs no comparison.
    """
    if isinstance(way, facts_.Gap):
        return {}
    asked = {'libvirt': way.host, 'qemu': way.data_address}
    if _spoke(way):
        del asked['libvirt']
    return asked


def _is_for(name: str, address: str) -> bool:
    """Compare as GnuTLS does (gnutls_x509_crt_check_hostname2).

    Letters count alike; a star stands for a part of the first label before
    two others; addresses are compared as such.
    """
    name, address = name.lower(), address.lower()
    if name == address:
        return True
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(address)
    except ValueError:
        pass
    first, _dot, rest = name.partition('.')
    label, _dot, domain = address.partition('.')
    before, star, after = first.partition('*')
    return (
        bool(star)
        and '.' in rest
        and rest == domain
        and len(label) >= len(before + after)
        and label.startswith(before)
        and label.endswith(after)
    )
