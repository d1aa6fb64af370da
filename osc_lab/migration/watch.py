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

"""What a migration under way looks like, and when it stands still."""

import collections
import collections.abc
import dataclasses
import typing

from osc_lab.i18n import _
from osc_lab.migration import record as record_

_MIB = 1024**2

#: Operations of libvirt's job statistics are numbers; only running ones
#: are seen here.
Job = collections.abc.Mapping[str, typing.Any]


@dataclasses.dataclass(frozen=True)
class Sample:
    """One moment of a migration.

    :param elapsed: seconds since it was asked for
    :param phase: for people, in their language
    :param processed: bytes, memory and disks
    :param remaining: bytes; None when nobody says
    :param bandwidth: bytes a second
    :param dirty_rate: bytes a second
    :param downtime_ms: that QEMU expects
    :param kind: whose counters these are: of libvirt's "memory" or "disk",
        or of "nova"; empty without any
    """

    elapsed: float
    phase: str
    processed: int | None = None
    remaining: int | None = None
    total: int | None = None
    bandwidth: float | None = None
    dirty_rate: float | None = None
    downtime_ms: int | None = None
    iteration: int | None = None
    kind: str = ''

    def line(
        self, timeout: float | None = None, width: int | None = None
    ) -> str:
        """Return one line of progress, what matters most first.

        :param timeout: seconds after which Nova acts
        :param width: columns; what does not fit is left out
        """
        clock = f'{self.elapsed:.0f} s'
        if timeout:
            clock = _('%(now).0f of %(timeout).0f s') % {
                'now': self.elapsed,
                'timeout': timeout,
            }
        parts = [clock, self.phase]
        if self.total and self.total >= _MIB:
            parts.append(
                _('%(left).0f of %(total).0f MiB left')
                % {
                    'left': (self.remaining or 0) / _MIB,
                    'total': self.total / _MIB,
                }
            )
        if self.bandwidth:
            rate = f'{self.bandwidth / _MIB:.1f} MiB/s'
            if self.dirty_rate:
                rate += _(' (dirty %.1f)') % (self.dirty_rate / _MIB)
            parts.append(rate)
        if self.bandwidth and self.remaining is not None:
            parts.append(_('about %.0f s') % (self.remaining / self.bandwidth))
        if self.downtime_ms:
            parts.append(_('downtime %d ms') % self.downtime_ms)
        if self.processed and self.processed >= _MIB:
            parts.append(_('%.0f MiB sent') % (self.processed / _MIB))
        line = ', '.join(parts)
        while width and len(line) > width and len(parts) > 1:
            parts.pop()
            line = ', '.join(parts)
        return line[:width]


def sample(
    elapsed: float,
    record: record_.Record | None,
    job: Job | None = None,
    begun: bool = False,
) -> Sample:
    """Return what Nova's record and libvirt's job tell together.

    :param job: statistics of libvirt, finer than Nova's, which come every
        five seconds; empty when there is no job, None when nobody knows
    :param begun: memory was being sent before
    """
    if record is None:
        return Sample(elapsed, _('requested'))
    if record.status in record_.WAITING:
        return Sample(elapsed, record.status)
    if job:
        return _from_job(elapsed, job, begun)
    if record.status == 'post-migrating' or (begun and job is not None):
        return Sample(elapsed, _('post'))
    if record.memory is None and record.disk is None:
        return Sample(elapsed, record.status)
    parts = [part for part in (record.memory, record.disk) if part]
    total, processed, remaining = (sum(x) for x in zip(*parts, strict=True))
    return Sample(
        elapsed,
        record.status,
        processed=processed,
        remaining=remaining,
        total=total,
        kind='nova',
    )


def _from_job(elapsed: float, job: Job, begun: bool) -> Sample:
    iteration = int(job.get('memory_iteration', 0))
    if job.get('memory_total') and iteration:
        prefix = 'memory'
        phase = _('memory iteration %d') % iteration
    elif begun:
        # Only when it is aborted is there a job without memory.
        return Sample(elapsed, _('ending'))
    elif job.get('disk_total'):
        prefix, phase = 'disk', _('disk copy')
    else:
        return Sample(elapsed, _('starting'))
    page = int(job.get('memory_page_size', 4096))
    rate = job.get('memory_dirty_rate')
    return Sample(
        elapsed,
        phase,
        processed=int(job.get(f'{prefix}_processed', 0)),
        remaining=int(job.get(f'{prefix}_remaining', 0)),
        total=int(job.get(f'{prefix}_total', 0)),
        bandwidth=float(job.get(f'{prefix}_bps', 0)) or None,
        dirty_rate=float(rate) * page if rate else None,
        downtime_ms=int(job.get('downtime', 0)) or None,
        iteration=iteration or None,
        kind=prefix,
    )


class Stall:
    """Tells when what remains no longer shrinks.

    Within a round of pre-copy it always does, so rounds are compared: one
    that begins with less than any before is progress for as long as it
    lasts, and when a whole window brought none, the migration stands still.

    :param window: seconds
    """

    def __init__(self, window: float = 40.0) -> None:
        self._window = window
        self._kind = ''
        self._iteration: int | None = None
        self._last = 0
        self._least: int | None = None
        self._progress = True
        self._since = 0.0

    def stands_still(self, sample: Sample) -> bool:
        """Take one sample; True when nothing improved for a window."""
        left = sample.remaining
        if left is None:
            return False
        if sample.kind != self._kind:
            self._kind, self._least = sample.kind, None
        # Nova does not number its rounds.
        begins = self._least is None or (
            sample.iteration != self._iteration
            if sample.iteration
            else left > self._last
        )
        if begins:
            # Less than 4 % better is the noise of the measurement.
            self._progress = self._least is None or left < self._least * 0.96
            if self._progress:
                self._least = left
        if self._progress and (begins or left < self._last):
            self._since = sample.elapsed
        self._iteration, self._last = sample.iteration, left
        return sample.elapsed - self._since >= self._window


class Peak:
    """Keeps the most that was seen of what a result needs."""

    def __init__(self) -> None:
        self.processed: dict[str, int] = collections.defaultdict(int)
        self.iterations = 0

    def take(self, sample: Sample) -> None:
        if sample.processed:
            self.processed[sample.kind] = max(
                self.processed[sample.kind], sample.processed
            )
        self.iterations = max(self.iterations, sample.iteration or 0)

    @property
    def bytes(self) -> int:
        """Return what was sent: libvirt's two counters, or Nova's one."""
        by_libvirt = sum(self.processed.get(x, 0) for x in ('memory', 'disk'))
        return max(by_libvirt, *self.processed.values(), 0)
