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
first.  Prints a table and the errors, and writes them as JSON:

    python -m benchmarks.convergence STATE_FOLDER_OF_THE_LAB [RUNS]
"""

import json
import pathlib
import statistics
import subprocess
import sys
import threading
import time
import uuid

from lab import allot
from lab import model
from lab import up
import libvirt

from osc_lab.access import libvirt as access
from osc_lab.access import remote_probe
from osc_lab.migration import forecast
from osc_lab.migration import nova_options

MIB = 1024**2
MEMORY = 256
#: MiB that are being written, MiB a second, MiB/s of the migration
CASES = tuple(
    (size, rate, bandwidth)
    for size, rate in ((0, 0), (16, 4), (64, 8), (64, 16), (128, 32))
    for bandwidth in (12, 25, 50)
)
WINDOWS = (1, 2, 4)
#: Nova's options, with a clock that a test can wait for.
OPTIONS = nova_options.Options(delay_s=3, steps=10, timeout_s=20)

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
        image = next(pathlib.Path(self.layout.cache).glob('guest/*/guest.raw'))
        for name in ('vmlinuz', 'initrd.gz'):
            subprocess.run(
                [
                    'mcopy',
                    '-n',
                    '-o',
                    '-i',
                    f'{image}@@1M',
                    f'::{name}',
                    str(self.folder / name),
                ],
                check=True,
            )
        keys = state / 'pki' / 'client'
        access.library()
        self.links = [
            libvirt.open(
                f'qemu+tls://{self.layout.host_loopback(host)}/system'
                f'?pkipath={keys}'
            )
            for host in model.HOSTS
        ]
        self.views = [
            access.Connection(
                f'qemu+tls://{self.layout.host_loopback(host)}/system'
                f'?pkipath={keys}'
            )
            for host in model.HOSTS
        ]

    def start(self, size, rate):
        identity = str(uuid.uuid4())
        domain = self.links[0].createXML(
            _XML.format(
                name=f'conv-{identity[:8]}',
                uuid=identity,
                memory=MEMORY,
                folder=self.folder,
                size=size,
                rate=rate,
            )
        )
        self._settle(identity, size)
        return domain, identity

    def _settle(self, identity, size):
        """Wait until the guest is up and has written all that it writes."""
        limit, seen, since = time.monotonic() + 120, 0, time.monotonic()
        while time.monotonic() < limit:
            time.sleep(1)
            touched = (
                remote_probe.guest_memory(identity, MEMORY * 1024) or 0
            ) // 1024
            if touched > seen + 1:
                seen, since = touched, time.monotonic()
            ready = touched >= 80 + size * 0.8
            if ready and time.monotonic() - since > 8:
                return
        raise SystemExit(f'the guest does not write {size} MiB')

    def migrate(self, domain, bandwidth, steps, limit):
        """Return (converged, seconds, downtime in s) of one migration."""
        started = time.monotonic()
        stop = threading.Event()

        def nova():
            for moment, pause in steps:
                if stop.wait(max(0.0, started + moment - time.monotonic())):
                    return
                self._quietly(domain.migrateSetMaxDowntime, int(pause * 1000))
            stop.wait(max(0.0, started + limit - time.monotonic()))

        def abort():
            if not stop.wait(limit):
                self._quietly(domain.abortJob)

        threads = [threading.Thread(target=item) for item in (nova, abort)]
        for thread in threads:
            thread.start()
        flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
        other = model.HOSTS[1]
        try:
            domain.migrateToURI3(
                f'qemu+tcp://{other}/system', {'bandwidth': bandwidth}, flags
            )
            converged = True
        except libvirt.libvirtError as error:
            # Nova aborts at its timeout; anything else is a broken lab.
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_ABORTED:
                raise
            converged = False
        seconds = time.monotonic() - started
        stop.set()
        for thread in threads:
            thread.join()
        return converged, seconds

    def _quietly(self, call, *arguments):
        try:
            call(*arguments)
        except libvirt.libvirtError:
            return


def run(pair, size, rate, bandwidth, overhead):
    """Return one row: the case, the forecast, what happened."""
    domain, identity = pair.start(size, rate)
    try:
        view = pair.views[0]
        windows = [(float(s), view.dirty_pages(identity, s)) for s in WINDOWS]
        total = MEMORY * 256
        touched = (
            remote_probe.guest_memory(identity, MEMORY * 1024) or 0
        ) // 4
        data = OPTIONS.data_gib(MEMORY, [])
        steps = [(float(a), b / 1000) for a, b in OPTIONS.downtime_steps(data)]
        limit = float(OPTIONS.completion_timeout(data))
        setting = forecast.Setting(
            touched or total,
            bandwidth * MIB,
            steps,
            limit,
            overhead=overhead,
        )
        found = forecast.forecast(
            *forecast.curves(windows or [(1.0, 0.0)], total), setting
        )
        converged, seconds = pair.migrate(domain, bandwidth, steps, limit)
        completed = pair.views[1].job(identity, True) if converged else {}
    finally:
        for link in pair.links:
            try:
                link.lookupByUUIDString(identity).destroy()
            except libvirt.libvirtError:
                continue
    return {
        'case': [size, rate, bandwidth],
        'windows': windows,
        'touched_mib': touched // 256,
        'forecast': [
            [item.converges, round(item.seconds, 2)]
            for item in (found.best, found.likely, found.worst)
        ],
        'converges': found.converges,
        'converged': converged,
        'seconds': round(seconds, 2),
        'downtime_ms': completed.get('downtime'),
        'forecast_downtime_ms': (
            round(found.likely.downtime * 1000)
            if found.likely.downtime is not None
            else None
        ),
    }


def judge(rows):
    """Return the figures of the bars."""
    errors = [
        abs(row['forecast'][1][1] - row['seconds']) / row['seconds']
        for row in rows
        if row['converged'] and row['forecast'][1][0]
    ]
    covered = [
        row['forecast'][0][1] * 0.95
        <= row['seconds']
        <= row['forecast'][2][1] * 1.05
        for row in rows
        if row['converged']
    ]
    return {
        'runs': len(rows),
        'median_error': statistics.median(errors) if errors else None,
        'covered': sum(covered) / len(covered) if covered else None,
        'wrong_will_converge': sum(
            row['converges'] is True and not row['converged'] for row in rows
        ),
        'wrong_never': sum(
            row['converges'] is False and row['converged'] for row in rows
        ),
        'undecided': sum(row['converges'] is None for row in rows),
    }


def main(argv):
    pair = Pair(pathlib.Path(argv[0]).resolve())
    count = int(argv[1]) if len(argv) > 1 else 2 * len(CASES)
    # What a pair of hosts takes besides the data, from one idle guest.
    first = run(pair, 0, 0, 50, 0.0)
    overhead = max(0.0, first['seconds'] - first['forecast'][1][1]) / 2
    rows = []
    for number in range(count):
        row = run(pair, *CASES[number % len(CASES)], overhead)
        rows.append(row)
        print(json.dumps(row), flush=True)
    figures = judge(rows)
    print(json.dumps(figures))
    path = pathlib.Path(__file__).with_suffix('.json')
    path.write_text(json.dumps({'figures': figures, 'rows': rows}, indent=1))
    return 0 if not figures['wrong_will_converge'] else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
