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
"""Traffic between two Neutron ports on a host of the lab, at a known rate.

Two ports get a veth pair each, and one sends to the other through br-int.
Needs a lab of the profile "full" and its environment.
"""

import contextlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time
import typing
import uuid

HOST, OTHER = 'hosta', 'hostb'

#: Seconds of traffic, packets a second, and bytes of each.
SECONDS, RATE, SIZE = 5, 20000, 512

#: The least part of RATE that a figure may be of.
SHARE = 0.9

#: Arguments: device, frame in hexadecimal, seconds, packets a second.
#: Says how many packets went, and in how many seconds.
SENDER = """
import socket, sys, time
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind((sys.argv[1], 0))
frame = bytes.fromhex(sys.argv[2])
seconds, rate = float(sys.argv[3]), int(sys.argv[4])
began, sent = time.monotonic(), 0
while (now := time.monotonic() - began) < seconds:
    while sent < now * rate:
        link.send(frame)
        sent += 1
    time.sleep(0.001)
print(sent, time.monotonic() - began)
"""


class Lab:
    """A host of the lab, reached by OpenSSH."""

    def __init__(self) -> None:
        path = os.environ.get('OS_CLIENT_CONFIG_FILE', '')
        self.ssh_config = pathlib.Path(path).parent / 'ssh' / 'config'

    def ssh(self, host: str, *argv: str) -> list[str]:
        """Return the command that runs another one on a host."""
        config = str(self.ssh_config)
        return ['ssh', '-F', config, host, '--', shlex.join(argv)]

    def on(self, host: str, *argv: str) -> str:
        return subprocess.run(
            self.ssh(host, *argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout.strip()

    def openstack(self, *argv: str) -> typing.Any:
        text = subprocess.run(
            [sys.executable, '-m', 'openstackclient.shell', *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout
        return json.loads(text) if text.strip() else None


class End(typing.NamedTuple):
    """A Neutron port and its veth pair; the switch has the second one."""

    port: str
    mac: str
    device: str

    @property
    def switch(self) -> str:
        return f'{self.device}s'


@contextlib.contextmanager
def plugged(lab: Lab, name: str) -> typing.Iterator[End]:
    """Plug a Neutron port in on the host."""
    port = lab.openstack(
        *('port', 'create', '--network', 'lab-net', '--host', HOST),
        *('--no-security-group', '--disable-port-security'),
        *('-f', 'json', f'throughput-{uuid.uuid4().hex[:8]}'),
    )
    end = End(port['id'], port['mac_address'], f'tp{name}')
    try:
        lab.on(
            HOST,
            *('ip', 'link', 'add', end.device, 'address', end.mac),
            *('type', 'veth', 'peer', 'name', end.switch),
        )
        for device in (end.device, end.switch):
            lab.on(HOST, 'sh', '-c', disable_ipv6(device))
            lab.on(HOST, 'ip', 'link', 'set', 'dev', device, 'up')
        lab.on(
            HOST,
            *('ovs-vsctl', 'add-port', 'br-int', end.switch, '--'),
            *('set', 'Interface', end.switch),
            f'external_ids:iface-id={end.port}',
            'external_ids:iface-status=active',
            f'external_ids:attached-mac="{end.mac}"',
        )
        wait_for_agent(lab, end.switch)
        yield end
    finally:
        lab.on(HOST, 'ovs-vsctl', '--if-exists', 'del-port', end.switch)
        lab.on(HOST, 'sh', '-c', f'ip link delete {end.device} || :')
        lab.openstack('port', 'delete', end.port)


@contextlib.contextmanager
def pair(lab: Lab) -> typing.Iterator[tuple[End, End]]:
    """Plug two ports in, and let the switch learn their addresses."""
    with plugged(lab, 'one') as one, plugged(lab, 'two') as two:
        _transmit(lab, two, one, 0.1)
        _transmit(lab, one, two, 0.1)
        yield one, two


def disable_ipv6(device: str) -> str:
    """Return what keeps a device from sending on its own, for a shell."""
    # A kernel without IPv6 has no such setting, and needs none.
    setting = f'net.ipv6.conf.{device}.disable_ipv6=1'
    return f'[ ! -d /proc/sys/net/ipv6 ] || sysctl -qw {setting}'


def wait_for_agent(lab: Lab, switch: str) -> None:
    """Wait until Neutron's agent has given a port its VLAN."""
    limit = time.monotonic() + 120
    while lab.on(HOST, 'ovs-vsctl', 'get', 'Port', switch, 'tag') in (
        '[]',
        '4095',
    ):
        if time.monotonic() > limit:
            raise SystemExit(f'The agent does nothing for {switch}')
        time.sleep(0.5)


def frame(source: End, destination: End) -> str:
    data = bytes.fromhex(
        (destination.mac + source.mac).replace(':', '') + '88b5'
    )
    return data.ljust(SIZE, b'\0').hex()


class Sent(typing.NamedTuple):
    """Packets that went, and the seconds that they took."""

    packets: int
    seconds: float


def send(lab: Lab, source: End, destination: End) -> Sent:
    """Send what is measured.

    :raises SystemExit: it was too far from what it is to be
    """
    sent = _transmit(lab, source, destination, SECONDS)
    if sent.packets < SHARE * RATE * sent.seconds:
        raise SystemExit(
            f'{sent.packets} packets went in {sent.seconds:.1f} s, '
            f'not {RATE} a second'
        )
    return sent


def _transmit(lab: Lab, source: End, destination: End, seconds: float) -> Sent:
    text = lab.on(
        HOST,
        *('python3', '-c', SENDER, source.device, frame(source, destination)),
        *(str(seconds), str(RATE)),
    )
    packets, taken = text.split()
    return Sent(int(packets), float(taken))


def processor(lab: Lab) -> float:
    """Return the seconds that ovs-vswitchd has taken so far."""
    pid = lab.on(HOST, 'cat', '/run/openvswitch/ovs-vswitchd.pid')
    fields = lab.on(HOST, 'cat', f'/proc/{pid}/stat').rpartition(')')[2]
    user, system = map(int, fields.split()[11:13])
    return (user + system) / os.sysconf('SC_CLK_TCK')


def arrived(lab: Lab, end: End) -> int:
    path = f'/sys/class/net/{end.device}/statistics/rx_packets'
    return int(lab.on(HOST, 'cat', path))


@contextlib.contextmanager
def mirrored(
    lab: Lab, end: End, argv: tuple[str, ...]
) -> typing.Iterator[typing.Any]:
    """Mirror a port; yields what create printed, None without arguments."""
    if not argv:
        yield None
        return
    made = lab.openstack(
        *(
            'port',
            'mirror',
            'create',
            end.port,
            '--timeout',
            '0',
            '-f',
            'json',
        ),
        *argv,
    )
    try:
        yield made
    finally:
        lab.openstack('port', 'mirror', 'delete', made['id'], '--host', HOST)
