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
"""Compare a capture with ssh and tcpdump, and with ovs-tcpdump.

The same packets pass a port at a known rate while each of the three writes
them to a file, in turns.  ovs-tcpdump writes on the host, for what it prints
is no capture; the two others bring the packets here.  Needs a lab:

    eval "$(python3 -m lab env)"
    python -m benchmarks.capture_throughput
"""

import argparse
import collections
import collections.abc
import contextlib
import os
import pathlib
import re
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import typing

from benchmarks import results
from benchmarks import traffic

ROUNDS = 3

#: Only the packets that are sent here.
FILTER = 'ether proto 0x88b5'

#: Says its process, and then becomes the command.
EXEC = 'echo $$ >&2; exec "$@"'

LIMIT = 60.0


class Tool(typing.NamedTuple):
    """A capture that runs.

    :ivar process: what runs on this side
    :ivar ready: whether packets are written already
    :ivar stop: has it end in good order
    :ivar path: the file, once it has ended
    """

    process: subprocess.Popen[str]
    ready: collections.abc.Callable[[], bool]
    stop: collections.abc.Callable[[], None]
    path: pathlib.Path


@contextlib.contextmanager
def ours(
    lab: traffic.Lab, end: traffic.End, path: pathlib.Path
) -> typing.Iterator[Tool]:
    process = subprocess.Popen(
        [
            *(sys.executable, '-m', 'openstackclient.shell'),
            *('port', 'mirror', 'capture', end.port, '--file', str(path)),
            *('--max-size', '2G', '--capture-filter', FILTER),
        ],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )

    def ready() -> bool:
        return path.exists() and path.stat().st_size > 0

    try:
        yield Tool(process, ready, lambda: process.send_signal(2), path)
    finally:
        if process.poll() is None:
            process.terminate()


@contextlib.contextmanager
def plain(
    lab: traffic.Lab, end: traffic.End, path: pathlib.Path
) -> typing.Iterator[Tool]:
    with traffic.mirrored(lab, end, ('--to', 'interface')) as made:
        command = ('tcpdump', '-U', '-i', made['device'], '-w', '-', FILTER)
        with path.open('wb') as stream:
            process, pid = remote(lab, command, stream)
        yield Tool(
            process,
            lambda: path.stat().st_size > 0,
            lambda: lab.on(traffic.HOST, 'kill', '-INT', pid) and None,
            path,
        )


@contextlib.contextmanager
def ovs_tcpdump(
    lab: traffic.Lab, end: traffic.End, path: pathlib.Path
) -> typing.Iterator[Tool]:
    there = f'/tmp/{path.name}'  # noqa: S108
    # Its port is a trunk, so that packets keep the VLAN of their bridge.
    tagged = f'{FILTER} or (vlan and {FILTER})'
    command = ('ovs-tcpdump', '-i', end.switch, '-U', '-w', there, tagged)
    process, pid = remote(lab, command, subprocess.DEVNULL)

    def stop() -> None:
        lab.on(traffic.HOST, 'kill', '-INT', pid)
        process.wait(LIMIT)
        with path.open('wb') as stream:
            argv = lab.ssh(traffic.HOST, 'cat', there)
            subprocess.run(argv, stdout=stream, check=True)
        lab.on(traffic.HOST, 'rm', there)

    test = f'test -s {there} && echo yes || :'
    try:
        yield Tool(
            process,
            lambda: lab.on(traffic.HOST, 'sh', '-c', test) == 'yes',
            stop,
            path,
        )
    finally:
        # Its port and its mirror go with it.
        if process.poll() is None:
            lab.on(traffic.HOST, 'kill', '-INT', pid)


TOOLS = {
    'openstack port mirror capture': ours,
    'ssh, tcpdump -w -': plain,
    'ovs-tcpdump -w, on the host': ovs_tcpdump,
}

#: What is said about dropped packets by tcpdump, and by our command.
DROPPED = {
    False: re.compile(r'(\d+) packets? dropped by kernel'),
    True: re.compile(r'The kernel of .* dropped (\d+) packets'),
}


def remote(
    lab: traffic.Lab, command: tuple[str, ...], stdout: typing.Any
) -> tuple[subprocess.Popen[str], str]:
    """Start a command on the host; return it and its process there."""
    process = subprocess.Popen(
        lab.ssh(traffic.HOST, 'sh', '-c', EXEC, 'sh', *command),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    return process, process.stderr.readline().strip()


def processor(pid: int) -> float:
    """Return the seconds of a process and of its children, so far."""
    ticks, waiting = 0, [pid]
    while waiting:
        item = pathlib.Path('/proc', str(waiting.pop()))
        fields = item.joinpath('stat').read_text().rpartition(')')[2].split()
        ticks += sum(map(int, fields[11:15]))
        for task in item.joinpath('task').iterdir():
            waiting += map(int, (task / 'children').read_text().split())
    return ticks / os.sysconf('SC_CLK_TCK')


def records(path: pathlib.Path) -> int:
    """Return the packets of a capture.

    :raises SystemExit: when its last one is not whole
    """
    data = path.read_bytes()
    order = '<' if data[:1] in b'\xd4\x4d' else '>'
    at, count = 24, 0
    while at < len(data):
        at += 16 + struct.unpack_from(f'{order}I', data, at + 8)[0]
        count += 1
    if at != len(data):
        raise SystemExit(f'{path} ends in the middle of a packet')
    return count


def one_round(
    lab: traffic.Lab,
    ends: tuple[traffic.End, traffic.End],
    make: typing.Any,
    path: pathlib.Path,
) -> dict[str, float]:
    one, two = ends
    with make(lab, one, path) as tool:
        limit = time.monotonic() + LIMIT
        while not tool.ready():
            if time.monotonic() > limit or tool.process.poll() is not None:
                raise SystemExit(f'It does not start: {tool.process.args}')
            time.sleep(0.1)
        packets, start = traffic.arrived(lab, two), processor(tool.process.pid)
        sent = traffic.send(lab, one, two)
        # What is on its way arrives.
        time.sleep(2)
        taken = processor(tool.process.pid) - start
        packets = traffic.arrived(lab, two) - packets
        tool.stop()
        assert tool.process.stderr is not None
        said = tool.process.stderr.read()
        tool.process.wait(LIMIT)
    if 'is not known' in said:
        raise SystemExit(said)
    written = records(tool.path)
    size = tool.path.stat().st_size
    tool.path.unlink()
    dropped = DROPPED[make is ours].findall(said)
    return {
        'packets/s': written / sent.seconds,
        'MB/s': size / sent.seconds / 1e6,
        'of 100 packets': 100 * written / packets,
        'dropped by the kernel': sum(map(int, dropped)),
        'CPU on this side, us a packet': taken / max(written, 1) * 1e6,
    }


def measure(
    _args: argparse.Namespace,
) -> collections.abc.Iterator[results.Row]:
    lab = traffic.Lab()
    found = collections.defaultdict(list)
    with (
        tempfile.TemporaryDirectory() as folder,
        traffic.pair(lab) as ends,
    ):
        for number in range(ROUNDS):
            for name, make in TOOLS.items():
                path = pathlib.Path(folder, f'bench-{os.getpid()}-{number}')
                found[name].append(one_round(lab, ends, make, path))
    middle = {
        name: {
            what: statistics.median(values[what] for values in rounds)
            for what in rounds[0]
        }
        for name, rounds in found.items()
    }
    for name, values in middle.items():
        for what, value in values.items():
            yield results.Row(name, what, value)
    own, other = (middle[name] for name in list(TOOLS)[:2])
    yield results.Row(
        'openstack port mirror capture',
        'packets, times those of ssh and tcpdump',
        own['of 100 packets'] / other['of 100 packets'],
        least=0.99,
    )


if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(results.main(measure, __doc__))
