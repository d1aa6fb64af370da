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

"""Whether the memory of the guest can be copied faster than it changes."""

import dataclasses

from osc_lab.i18n import _
from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_
from osc_lab.migration import forecast
from osc_lab.migration import nova_options
from osc_lab.migration import precopy
from osc_lab.migration import storage
from osc_lab.preflight import finding

_MIB = 1024**2

#: Between which shares of what QEMU holds memory for pages are sent first;
#: and of all memory, where a shell does not tell how much that is.
FILLED = (0.85, 1.05)
UNTOLD = (0.1, 1.0)


class Convergence(base.HostCheck):
    id = 'convergence'
    question = _(
        'Will the copy of the memory end before Nova loses its patience?'
    )
    reason = _(
        'A guest that writes faster than the network carries is never '
        'finished; Nova aborts it after its timeout, or forces it.'
    )
    remedy = _(
        'Permit auto-converge, or post-copy together with '
        'live_migration_timeout_action=force_complete, give it more '
        'bandwidth, or migrate in a quiet hour.'
    )
    source = finding.Source.LIBVIRT
    channel = '--forecast'

    def host(self, facts: facts_.Facts, host: facts_.Host) -> base.Found:
        measured, domain = facts.measured, facts.source.guest
        for gap in (measured, domain):
            if isinstance(gap, facts_.Gap):
                yield self.missing(host.name, gap)
                return
        assert isinstance(measured, facts_.Measured)
        assert isinstance(domain, facts_.Domain)
        if all(pages == 0 for _seconds, pages in measured.windows):
            # QEMU says 0 when it cannot tell, as with little memory.
            yield self.answer(
                host.name,
                base.UNKNOWN,
                _('QEMU measured no dirty page at all, which says nothing.'),
                _('Its sampling leaves out memory blocks below 128 MiB.'),
            )
        elif not measured.bandwidth_mib_s:
            yield self.answer(
                host.name,
                base.UNKNOWN,
                _('The bandwidth is not known.'),
                _('Use --bandwidth.'),
            )
        else:
            item = self._judged(facts, host, measured, domain)
            unread = base.unread(facts.source)
            yield _assumed(item, unread) if unread else item

    def _judged(
        self,
        facts: facts_.Facts,
        host: facts_.Host,
        measured: facts_.Measured,
        domain: facts_.Domain,
    ) -> finding.Finding:
        options = nova_options.Options()
        if isinstance(facts.source.shell, facts_.Shell):
            options = nova_options.read(facts.source.shell.options)
        setting = setting_of(facts, host, measured, domain, options)
        found = forecast.forecast(
            measured.windows,
            measured.total_pages,
            setting,
            _spread(measured),
            FILLED if measured.touched_pages else UNTOLD,
        )
        evidence = _evidence(measured, found, setting)
        if found.converges:
            return self.answer(
                host.name,
                base.OK,
                _(
                    'It takes %(best).0f to %(worst).0f s and pauses the '
                    'guest for up to %(pause).0f ms, at %(rate).0f MiB/s.'
                )
                % {
                    'best': found.best.seconds,
                    'worst': found.worst.seconds,
                    'pause': (found.worst.downtime or 0) * 1000,
                    'rate': measured.bandwidth_mib_s,
                },
                **evidence,
            )
        if options.forces:
            return self._forced(host, options, setting, found, evidence)
        return self._endless(host, measured, options, setting, found, evidence)

    def _forced(
        self,
        host: facts_.Host,
        options: nova_options.Options,
        setting: precopy.Setting,
        found: forecast.Range,
        evidence: base.Evidence,
    ) -> finding.Finding:
        """Return the finding where Nova makes it end."""
        if options.post_copy:
            return self.answer(
                host.name,
                base.WARNING,
                _(
                    'Pre-copy alone may not end; Nova switches to post-copy '
                    'after %.0f s.'
                )
                % setting.timeout,
                _(
                    'Should the network fail after the switch, the guest is '
                    'lost and must be rebooted.'
                ),
                **evidence,
            )
        return self.answer(
            host.name,
            base.WARNING,
            _(
                'It may not end by itself; after %(timeout).0f s Nova pauses '
                'the guest to send the rest, for up to %(pause).1f s.'
            )
            % {'timeout': setting.timeout, 'pause': found.forced},
            self._advice(
                forecast.advise(found.hard, setting), options, setting
            ),
            **evidence,
            forced_pause_s=round(found.forced, 1),
        )

    def _endless(
        self,
        host: facts_.Host,
        measured: facts_.Measured,
        options: nova_options.Options,
        setting: precopy.Setting,
        found: forecast.Range,
        evidence: base.Evidence,
    ) -> finding.Finding:
        """Return the finding where nothing makes it end."""
        if found.converges is None:
            result = base.WARNING
            message = _(
                'It may not end: %(share).0f %% of what the measurement '
                'allows do, the soonest after %(best).0f s.'
            ) % {'share': found.ending * 100, 'best': found.best.seconds}
        else:
            result = base.FAILED
            message = _(
                'It does not end: the guest writes %(dirty).1f MiB in a '
                'second, %(rate).1f MiB/s can be sent.'
            ) % {
                'dirty': found.curve(1.0) * measured.page_size / _MIB,
                'rate': measured.bandwidth_mib_s,
            }
        advice = self._advice(
            forecast.advise(found.hard, setting), options, setting
        )
        return self.answer(host.name, result, message, advice, **evidence)

    def _advice(
        self,
        advice: forecast.Advice,
        options: nova_options.Options,
        setting: precopy.Setting,
    ) -> str:
        found = []
        if advice.timeout is not None:
            found.append(
                _('a completion timeout above %.0f s') % advice.timeout
            )
        if advice.auto_converge and not setting.auto_converge:
            found.append(
                _(
                    'auto-converge without live_migration_permit_post_copy, '
                    'which slows the guest down'
                )
                if options.post_copy
                else _('auto-converge, which slows the guest down')
            )
        if advice.bandwidth is not None:
            found.append(
                _(
                    '%.0f MiB/s (several connections help where one is the '
                    'limit)'
                )
                % (advice.bandwidth / _MIB)
            )
        found.append(_post_copy(options))
        if advice.downtime is not None:
            found.append(_('a downtime of %.1f s') % advice.downtime)
        return _('It would end with: %s.') % '; or '.join(found)


def _assumed(item: finding.Finding, gap: facts_.Gap) -> finding.Finding:
    """Return a finding as one that rests on Nova's defaults.

    :param gap: why nobody read the options
    """
    return dataclasses.replace(
        item,
        result=base.WARNING,
        message=_(
            "%s That is with Nova's default timeout and downtime, for nobody "
            'read them.'
        )
        % item.message,
        remedy=' '.join(
            filter(
                None,
                (item.remedy, gap.remedy or _('See migration-options.')),
            )
        ),
        evidence={**item.evidence, 'assumed': gap.message},
    )


def _post_copy(options: nova_options.Options) -> str:
    """Return what Nova needs to switch to post-copy by itself.

    It does so for one task alone, force-complete, which the timeout or an
    administrator gives it (nova.virt.libvirt.migration, run_tasks).
    """
    needed = []
    if not options.post_copy:
        needed.append('live_migration_permit_post_copy=true')
    if options.timeout_action != 'force_complete':
        needed.append('live_migration_timeout_action=force_complete')
    if not options.timeout_s:
        needed.append(_('a live_migration_completion_timeout'))
    return _('post-copy, which takes %s') % _(' and ').join(needed)


def _evidence(
    measured: facts_.Measured,
    found: forecast.Range,
    setting: precopy.Setting,
) -> base.Evidence:
    ends = (found.best, found.likely, found.worst)
    return {
        'windows': [list(item) for item in measured.windows],
        'bandwidth_mib_s': measured.bandwidth_mib_s,
        'seconds': [round(item.seconds, 2) for item in ends],
        'downtime_ms': [
            None if item.downtime is None else round(item.downtime * 1000)
            for item in ends
        ],
        'ending': found.ending,
        'timeout_s': setting.timeout,
    }


def setting_of(
    facts: facts_.Facts,
    host: facts_.Host,
    measured: facts_.Measured,
    domain: facts_.Domain,
    options: nova_options.Options,
) -> precopy.Setting:
    """Return what Nova would migrate this guest with."""
    disks = storage.copied(facts, host)
    data = options.data_gib(
        domain.memory_kib / 1024, [disk.length or 0 for disk in disks]
    )
    pages = measured.touched_pages or measured.total_pages
    return precopy.Setting(
        pages=pages,
        bandwidth=(measured.bandwidth_mib_s or 0.0) * _MIB,
        steps=tuple(
            (float(start), pause / 1000)
            for start, pause in options.downtime_steps(data)
        ),
        timeout=float(options.completion_timeout(data)),
        disk_bytes=float(sum(disk.allocation or 0 for disk in disks)),
        auto_converge=options.auto_converge and not options.post_copy,
        page_size=measured.page_size,
        zero_pages=measured.total_pages - pages,
        link=measured.link_mib_s and measured.link_mib_s * _MIB,
    )


def _spread(measured: facts_.Measured) -> tuple[float, float]:
    """Return between which multiples the bandwidth may lie.

    QEMU keeps to a limit that is far below what the link carries; near
    that, either end may lack the processor time to reach it.
    """
    link, bandwidth = measured.link_mib_s, measured.bandwidth_mib_s
    if link and bandwidth and bandwidth < 0.5 * link:
        return 0.95, 1.0
    return 0.8, 1.1
