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

"""Is libvirt reached, does it let the source in, who does it say it is?"""

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_
from osc_lab.preflight import finding

_SERVICES = _(
    'On the destination look at libvirtd or virtproxyd: systemctl status, '
    'ss -ltn, /etc/libvirt/libvirtd.conf (listen_tcp, listen_tls) and the '
    'firewall.'
)


class LibvirtCheck(base.HostCheck):
    """A question that libvirt of a destination answers."""

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
        }.get(attempt.reach)
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
        '/etc/libvirt/auth.conf, or a client certificate; over ssh a key, '
        "and the destination's host key in known_hosts."
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
            if host.way.asked:
                yield self.missing(host.name, host.way)
            return
        attempt = host.way.libvirt
        if attempt.reach is facts_.Reach.AUTH:
            yield self._refused(host.name, attempt)
        elif attempt.reach is not facts_.Reach.OPEN:
            yield self._silent(
                host.name,
                _('libvirt there did not answer %s.') % attempt.origin,
            )
        elif host.way.complete:
            if host.way.unguarded and _plain(host.way.uri):
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
            yield self._silent(host.name, _('libvirt there did not answer.'))
        elif _plain(attempt.target) and not _tried(host.way):
            yield self.answer(
                host.name,
                base.WARNING,
                _(
                    'libvirt lets this caller in over plain TCP; whether it '
                    'asks for a password was not tried.'
                ),
                _('Use TLS: without SASL whoever reaches the port is root.'),
                uri=attempt.target,
            )
        else:
            yield self.answer(
                host.name, base.OK, _('libvirt lets this caller in.')
            )

    def _silent(self, subject: str, message: str) -> finding.Finding:
        return self.answer(
            subject,
            base.SKIPPED,
            message,
            _('See libvirt-listen and libvirt-tls.'),
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


def _plain(uri: str) -> bool:
    """Return whether libvirt is spoken to over plain TCP."""
    return '+tcp:' in uri


def _tried(way: facts_.Way | facts_.Gap) -> bool:
    """Return whether plain TCP was tried there without a password, too."""
    return isinstance(way, facts_.Way) and way.complete and _plain(way.uri)


class LibvirtIdentity(LibvirtCheck):
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
        if problems:
            return
        if isinstance(host.way, facts_.Gap) and host.way.asked:
            yield self.missing(host.name, host.way)
        else:
            yield self.answer(
                host.name,
                base.OK,
                _('It is %s, with a UUID of its own.') % there.hostname,
            )
