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

"""Whether the QEMU of both hosts can do the migration."""

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_
from osc_lab.migration import nova_options
from osc_lab.migration import storage
from osc_lab.preflight import finding

#: Of the QEMU that a guest leaves.
_OF_CLIENT = ('ca', 'client')


class QemuMigrate(base.BothEndsCheck):
    id = 'qemu-migrate'
    question = _('Can the QEMU of both hosts do this kind of migration?')
    reason = _(
        'Builds of QEMU differ: one without migration, NBD or a capability '
        'that Nova is set to use fails only at the last moment. A QEMU '
        'without a guest is asked, so no guest is tainted.'
    )
    remedy = _('Install a QEMU build that can, or turn the option off.')
    source = finding.Source.SHELL
    channel = '--ssh'

    def source_host(
        self, facts: facts_.Facts, host: facts_.Host
    ) -> base.Found:
        yield from self._end(facts, host, True)

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        decision = storage.decide(facts, host)
        yield from self._end(facts, host, decision.block, decision.gap)

    def _end(
        self,
        facts: facts_.Facts,
        host: facts_.Host,
        block: bool,
        gap: facts_.Gap | None = None,
    ) -> base.Found:
        if isinstance(host.shell, facts_.Gap):
            yield self.missing(host.name, host.shell)
            return
        build = host.shell.qemu
        if build is None:
            domain = facts.source.guest
            build = (
                domain
                if isinstance(domain, facts_.Gap)
                else facts_.Gap(_('QEMU there was not asked.'))
            )
        if isinstance(build, facts_.Gap):
            yield self.missing(host.name, build)
            return
        doubted = self._lacking(facts, build, block)
        lacking = self._lacking(facts, build, False) if gap else doubted
        for name in lacking:
            yield self.answer(
                host.name,
                base.FAILED,
                _('QEMU there cannot do %s.') % name,
                lacks=name,
            )
        if gap and doubted != lacking:
            yield self.missing(host.name, gap)
        elif not lacking:
            yield self.answer(
                host.name, base.OK, _('QEMU can do what it needs.')
            )

    def _lacking(
        self, facts: facts_.Facts, build: facts_.Build, block: bool
    ) -> list[str]:
        commands = {'migrate'}
        if block:
            commands |= {'nbd-server-start', 'blockdev-mirror'}
        capabilities = set()
        if isinstance(facts.source.shell, facts_.Shell):
            options = nova_options.read(facts.source.shell.options)
            flags = options.flags(block)
            for flag, name in (
                ('POSTCOPY', 'postcopy-ram'),
                ('AUTO_CONVERGE', 'auto-converge'),
                ('PARALLEL', 'multifd'),
            ):
                if flag in flags:
                    capabilities.add(name)
        return sorted(
            (commands - build.commands) | (capabilities - build.capabilities)
        )


class QemuProcesses(base.ServerCheck):
    id = 'qemu-processes'
    question = _("Does the guest's QEMU see the certificates of its host?")
    reason = _(
        'For native TLS QEMU reads certificates when the migration begins, '
        'from the files that it sees. One that was started before its '
        'container got them does not see them and fails with "Unable to '
        'access credentials".'
    )
    remedy = _('openstack server stop SERVER, then start it.')
    source = finding.Source.SHELL
    channel = '--ssh'

    def judge(self, facts: facts_.Facts) -> base.Found:
        name, shell = facts.source.name, facts.source.shell
        unread = base.unread(facts.source)
        if unread:
            yield self.missing(name, unread)
            return
        assert isinstance(shell, facts_.Shell)
        if not nova_options.read(shell.options).native_tls:
            yield self.answer(
                name, base.OK, _('Native TLS is off; QEMU needs none.')
            )
            return
        if shell.guest_certificates is None:
            yield self.answer(
                name,
                base.UNKNOWN,
                _("The guest's QEMU was not found on the source."),
                _('Look for it with "ps" there.'),
            )
            return
        for known in (shell.certificates, shell.guest_certificates):
            if isinstance(known, facts_.Gap):
                yield self.missing(name, known)
                return
        found = list(self._compared(name, shell))
        yield from found
        if any(item.result is base.FAILED for item in found):
            return
        for role in _OF_CLIENT:
            if ('qemu', role) in shell.unseen:
                yield self.missing(name, shell.unseen['qemu', role])
                return
        if not found:
            yield self.answer(
                name, base.OK, _('It sees the certificates of its host.')
            )

    def _compared(self, name: str, shell: facts_.Shell) -> base.Found:
        """Compare what QEMU sees with what libvirt sees."""
        assert isinstance(shell.certificates, tuple)
        assert isinstance(shell.guest_certificates, tuple)
        seen = {item.path: item.key_id for item in shell.guest_certificates}
        for item in shell.certificates:
            if item.stack != 'qemu' or item.role not in _OF_CLIENT:
                continue
            if item.path not in seen:
                yield self.answer(
                    name,
                    base.FAILED,
                    _('The QEMU of the guest does not see %s.') % item.path,
                    path=item.path,
                )
            elif seen[item.path] != item.key_id:
                yield self.answer(
                    name,
                    base.WARNING,
                    _('The QEMU of the guest sees another %s and uses that.')
                    % item.path,
                    _(
                        'If that one has expired or is not trusted any more, '
                        'stop the server and start it.'
                    ),
                    path=item.path,
                )
