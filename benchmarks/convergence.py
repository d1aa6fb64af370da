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

"""The forecast against real migrations of guests that write.

Guests of known write rates move between the two hosts of the lab, over
QEMU without KVM, at several bandwidths; each is measured and forecast
first.  Rows are appended to a JSON file, so that runs add up:

    python -m benchmarks.convergence STATE_OF_THE_LAB [FIRST [LAST]]
    python -m benchmarks.convergence_table

What is compared is the copy: from the first byte that QEMU sends to the
guest running at the destination.  Nova's clock, which the downtime and the
timeout go by, starts earlier; what lies between is measured, too.
"""

import json
import pathlib
import subprocess
import sys
import threading
import time
import uuid

from lab import allot
from lab.guest import build
from lab import model
from lab import up
import libvirt

from benchmarks import convergence_table
from benchmarks import results
from osc_lab.access import libvirt as access
from osc_lab.access import remote_probe
from osc_lab.migration import forecast

MIB = 1024**2
#: (MiB that are being written, MiB a second), MiB/s of the migrations
GUESTS = (
    ((64, 8), (25, 50, 75)),
    ((256, 32), (50, 75, 100)),
    ((128, 16), (25, 50, 100)),
    ((384, 24), (50, 75, 100)),
    ((64, 24), (25, 50, 75)),
    ((256, 64), (50, 75, 100)),
    ((192, 12), (25, 50, 75)),
    ((512, 32), (50, 75, 100)),
    ((128, 48), (50, 75, 100)),
    ((384, 48), (50, 75, 100)),
    ((256, 16), (25, 50, 75)),
    ((512, 80), (75, 100)),
)
#: Seconds after which Nova looks at a migration again, and we do.
POLL, LOOK = 0.5, 0.1
#: Share of the processors that is to be idle when a run begins.
IDLE = 0.6

RESULTS = convergence_table.RESULTS
_XML = """
<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>
<kernel>{folder}/vmlinuz</kernel><initrd>{folder}/initrd.gz</initrd>
<cmdline>console=ttyS0 quiet panic=-1 mitigations=off nokaslr
 lab.dirty={size} lab.rate={rate}</cmdline></os>
<cpu mode='custom' match='exact' check='none'><model>qemu64</model></cpu>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<memballoon model='virtio'/></devices></domain>
"""


class Pair:
    """The two hosts of the lab, over TLS from here."""

    def __init__(self, state):
        self.layout = up.layout_of(state, allot.load(state))
        self.folder = state / 'convergence'
        self.folder.mkdir(exist_ok=True)
        build.ensure(self.layout.cache)
        image = build.images(self.layout.cache)['guest']
        for name in ('vmlinuz', 'initrd.gz'):
            subprocess.run(
                [
                    *('mcopy', '-n', '-o', '-i', f'{image}@@1M'),
                    *(f'::{name}', str(self.folder / name)),
                ],
                check=True,
            )
        access.library()
        uris = [
            f'qemu+tls://{self.layout.host_loopback(host)}'
            f'{self.layout.host_door("libvirt-tls")}/system'
            f'?pkipath={state / "pki" / "client"}'
            for host in model.HOSTS
        ]
        self.links = [libvirt.open(uri) for uri in uris]
        self.views = [access.Connection(uri) for uri in uris]

    def ready(self, size, rate):
        """Return the UUID of a new guest on the first host that writes."""
        identity = str(uuid.uuid4())
        self.links[0].createXML(
            _XML.format(
                name=f'conv-{identity[:8]}',
                uuid=identity,
                memory=convergence_table.MEMORY,
                folder=self.folder,
                size=size,
                rate=rate,
            )
        )
        try:
            self._settle(identity, size)
        except BaseException:
            self.end(identity)
            raise
        return identity

    def writes(self, identity, origin):
        """Return whether the guest still writes, within four seconds."""
        return any(
            self.views[origin].dirty_pages(identity, 1) for _try in range(4)
        )

    def _settle(self, identity, size):
        """Wait until the guest is up and has written all that it writes."""
        limit, seen, since = time.monotonic() + 120, 0, time.monotonic()
        while time.monotonic() < limit:
            time.sleep(1)
            mib = touched(identity) // 256
            if mib > seen + 1:
                seen, since = mib, time.monotonic()
            if mib >= 60 + size and time.monotonic() - since > 5:
                return
        raise SystemExit(f'the guest does not write {size} MiB')

    def end(self, identity):
        for link in self.links:
            try:
                link.lookupByUUIDString(identity).destroy()
            except libvirt.libvirtError:
                continue

    def migrate(self, identity, origin, bandwidth):
        """Migrate as Nova does; return what was seen.

        :param origin: index of the host where the guest is
        :param bandwidth: MiB a second; 0 for no limit
        """
        domain = self.links[origin].lookupByUUIDString(identity)
        result = {}

        def perform():
            flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
            try:
                domain.migrateToURI3(
                    f'qemu+tcp://{model.HOSTS[1 - origin]}/system',
                    {'bandwidth': bandwidth} if bandwidth else {},
                    flags,
                )
                result['converged'] = True
            except libvirt.libvirtError as error:
                # Nova aborts at its timeout; all else is a broken lab.
                aborted = libvirt.VIR_ERR_OPERATION_ABORTED
                if error.get_error_code() != aborted:
                    raise
                result['converged'] = False
            result['end'] = time.monotonic()

        started = time.monotonic()
        thread = threading.Thread(target=perform)
        thread.start()
        seen, copying = self._watch(identity, origin, thread, started)
        done = {}
        end = result['end'] - started
        if result['converged']:
            done = self.views[1 - origin].job(identity, True)
            end = done['time_elapsed'] / 1000
        return {
            'converged': result['converged'],
            'seconds': round(end - copying, 2),
            'before': round(copying, 2),
            'whole': round(result['end'] - started, 2),
            'downtime_ms': done.get('downtime'),
            'rounds': done.get('memory_iteration'),
            'sent_mib': round(done.get('memory_processed', 0) / MIB, 1),
            'zero_pages': done.get('memory_constant'),
            'samples': seen,
        }

    def _watch(self, identity, origin, thread, started):
        """Do what Nova's monitor does; return samples and the first byte."""
        domain = self.links[origin].lookupByUUIDString(identity)
        view = self.views[origin]
        copying, pause, looked, seen = None, None, -POLL, []
        while thread.is_alive():
            thread.join(LOOK)
            elapsed = time.monotonic() - started
            job = view.job(identity)
            if not job.get('memory_total'):
                continue
            if copying is None:
                # On the clock of libvirt's job, as at its end.
                copying = job['time_elapsed'] / 1000 - LOOK / 2
            if elapsed - looked < POLL:
                continue
            looked = elapsed
            seen.append(
                [round(elapsed, 2)]
                + [
                    job.get(f'memory_{key}', 0)
                    for key in ('iteration', 'remaining', 'bps', 'dirty_rate')
                ]
            )
            if elapsed > convergence_table.TIMEOUT:
                _quietly(domain.abortJob)
                continue
            allowed = [
                value
                for moment, value in convergence_table.STEPS
                if elapsed > moment
            ]
            if allowed and allowed[-1] != pause:
                pause = allowed[-1]
                _quietly(domain.migrateSetMaxDowntime, int(pause * 1000))
        return seen, copying or 0.0


def _quietly(call, *arguments):
    """Call what fails when the migration has just ended."""
    try:
        call(*arguments)
    except libvirt.libvirtError:
        return


def idle(seconds):
    """Return the share of all processors that did nothing for a time."""

    def times():
        with open('/proc/stat') as stream:
            found = [int(word) for word in stream.readline().split()[1:]]
        return found[3] + found[4], sum(found)

    before = times()
    time.sleep(seconds)
    after = times()
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def wait_for_quiet():
    """Wait until the machine has time for two guests; return its share.

    It does not wait for ever, but every row has the share.
    """
    limit = time.monotonic() + 15
    while (share := idle(3)) < IDLE and time.monotonic() < limit:
        continue
    return share


def touched(identity):
    kib = remote_probe.guest_memory(identity, convergence_table.MEMORY * 1024)
    return (kib or 0) // 4


def qemu():
    """Return the version of QEMU."""
    words = subprocess.run(
        ['qemu-system-x86_64', '--version'],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout.split()
    return words[3]


def run(pair, identity, origin, case, link, before):
    """Return one row: the case, the forecast, what happened."""
    share = wait_for_quiet()
    limit = case[2]
    total = convergence_table.MEMORY * 256
    pages = touched(identity) or total
    bandwidth = min(limit, link)
    windows = tuple(
        (float(s), pair.views[origin].dirty_pages(identity, s))
        for s in forecast.windows(
            pages / 256 / bandwidth, convergence_table.MEMORY / 1024
        )
    )
    machine = {**results.machine(), 'qemu': qemu()}
    seen = pair.migrate(identity, origin, limit)
    row = {
        'case': list(case),
        'date': machine.pop('date'),
        'idle': round(share, 2),
        'load': machine.pop('load'),
        'machine': machine,
        'windows': windows,
        'total_pages': total,
        'touched_pages': pages,
        'link_mib_s': round(link, 1),
        'given_before': before,
    }
    return {**row, **convergence_table.told(row), **seen}


def measure(pair, guests):
    """Append a row for each migration of some guests."""
    link = before = None
    for (size, rate), limits in guests:
        identity, origin = pair.ready(size, rate), 0
        try:
            if link is None:
                # What the pair can do at all: one move without a limit.
                free = pair.migrate(identity, 0, 0)
                link = free['sent_mib'] / free['seconds']
                before = free['before']
                print(json.dumps({**free, 'link': link}), flush=True)
                origin = 1
            for limit in limits:
                if not pair.writes(identity, origin):
                    # Seen now and then without hardware acceleration, after
                    # a migration; the cause is not known.
                    print(json.dumps({'stands_still': [size, rate]}))
                    pair.end(identity)
                    identity, origin = pair.ready(size, rate), 0
                case = (size, rate, limit)
                row = run(pair, identity, origin, case, link, before)
                print(json.dumps({**row, 'samples': []}), flush=True)
                append(row)
                origin ^= row['converged']
        finally:
            pair.end(identity)


def append(row):
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    convergence_table.write([*rows, row])


def chosen(first='0', last=None):
    """Return the guests from the first, counted from 0, to before the last.

    :raises SystemExit: there is none
    """
    found = GUESTS[int(first) : int(last or len(GUESTS))]
    if not found:
        raise SystemExit(f'there are guests 0 to {len(GUESTS) - 1}')
    return found


def main(argv):
    guests = chosen(*argv[1:])
    measure(Pair(pathlib.Path(argv[0]).resolve()), guests)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
