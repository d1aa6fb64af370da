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
    :param phase: for people
    :param processed: bytes, memory and disks
    :param remaining: bytes; None when nobody says
    :param bandwidth: bytes a second
    :param dirty_rate: bytes a second
    :param downtime_ms: that QEMU expects
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

    def line(self, timeout: float | None = None) -> str:
        """Return one line of progress.

        :param timeout: seconds after which Nova acts
        """
        parts = [self.phase]
        if self.total:
            done = (self.processed or 0) / _MIB
            parts.append(
                _('%(done).0f MiB sent, %(left).0f of %(total).0f MiB left')
                % {
                    'done': done,
                    'left': (self.remaining or 0) / _MIB,
                    'total': self.total / _MIB,
                }
            )
        if self.bandwidth:
            parts.append(f'{self.bandwidth / _MIB:.1f} MiB/s')
            if self.remaining is not None:
                parts.append(
                    _('about %.0f s') % (self.remaining / self.bandwidth)
                )
        if self.dirty_rate:
            parts.append(_('dirty %.1f MiB/s') % (self.dirty_rate / _MIB))
        if self.downtime_ms:
            parts.append(_('downtime %d ms') % self.downtime_ms)
        clock = f'{self.elapsed:.0f} s'
        if timeout:
            clock += _(' of %.0f s') % timeout
        parts.append(clock)
        return ', '.join(parts)


def sample(
    elapsed: float, record: record_.Record | None, job: Job | None = None
) -> Sample:
    """Return what Nova's record and libvirt's job tell together.

    :param job: statistics of libvirt; finer than Nova's, which come every
        five seconds
    """
    if record is None:
        return Sample(elapsed, _('requested'))
    if record.status in record_.WAITING:
        return Sample(elapsed, record.status)
    if job:
        return _from_job(elapsed, job)
    if record.status == 'post-migrating':
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
    )


def _from_job(elapsed: float, job: Job) -> Sample:
    iteration = int(job.get('memory_iteration', 0))
    if job.get('memory_total') and iteration:
        prefix = 'memory'
        phase = _('memory iteration %d') % iteration
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
    )


class Stall:
    """Tells when what remains no longer shrinks.

    Pre-copy goes up and down with each iteration, so the least that was
    left within the window counts: when a whole window brought no new low,
    the migration stands still.

    :param window: seconds
    """

    def __init__(self, window: float = 40.0) -> None:
        self._window = window
        self._phase = ''
        self._low: tuple[float, int] | None = None

    def stands_still(self, sample: Sample) -> bool:
        """Take one sample; True when nothing improved for a window."""
        if sample.remaining is None:
            return False
        kind = sample.phase.partition(' ')[0]
        low = self._low
        # Less than 4 % better is the noise of the measurement.
        if (
            low is None
            or kind != self._phase
            or sample.remaining < low[1] * 0.96
        ):
            self._phase = kind
            self._low = (sample.elapsed, sample.remaining)
            return False
        return sample.elapsed - low[0] >= self._window


class Peak:
    """Keeps the most that was seen of what a result needs."""

    def __init__(self) -> None:
        self.processed: dict[str, int] = collections.defaultdict(int)
        self.iterations = 0

    def take(self, sample: Sample) -> None:
        if sample.processed:
            kind = sample.phase.partition(' ')[0]
            self.processed[kind] = max(self.processed[kind], sample.processed)
        self.iterations = max(self.iterations, sample.iteration or 0)

    @property
    def bytes(self) -> int:
        return sum(self.processed.values())
