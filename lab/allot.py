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

"""Give each lab a /24 of loopback and ports that nobody else uses."""

import collections.abc
import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re
import socket
import typing

from lab import errors
from lab import model

#: File in the state folder that remembers what was chosen.
RECORD = 'lab.json'

#: All that a lab makes in its state folder.
_CONTENTS = frozenset(
    {
        *('bin', 'control', 'data', 'etc', 'hosts', 'log', 'nova', 'pki'),
        *('run', 'ssh', 'clouds.yaml', 'lab.new', 'lock', 'passwords.json'),
        RECORD,
    }
)

#: AF_UNIX paths have 107 characters, and services make sockets in
#: temporary folders below the state folder.
_LONGEST_STATE = 70

#: What needs no quoting, in whatever file or command a path stands.
_PLAIN = r'[A-Za-z0-9._/+-]+'


@dataclasses.dataclass(frozen=True)
class Record:
    """What a lab remembers from one ``up`` to the next."""

    block: str
    epmd_port: int
    ports: collections.abc.Mapping[str, int]
    profile: str
    key_manager: str
    host_ports: collections.abc.Mapping[str, int] = dataclasses.field(
        default_factory=lambda: dict(model.HOST_PORTS)
    )


def candidates(state: pathlib.Path) -> typing.Iterator[str]:
    """All blocks a lab may have, its own order given by its folder."""
    digest = hashlib.sha256(str(state).encode()).digest()
    start = int.from_bytes(digest[:4], 'big')
    # 127.0.0.0/16 is where other programs look for addresses of theirs.
    total = 255 * 256
    for step in range(total):
        second, third = divmod((start + step) % total, 256)
        yield f'127.{second + 1}.{third}'


def check_state(state: pathlib.Path) -> None:
    """Raise LabError for a folder that services cannot live in."""
    if not re.fullmatch(_PLAIN, str(state)):
        raise errors.LabError(
            f'the path {str(state)!r} has characters that configuration '
            'files cannot hold: give one of letters, digits and . _ + - with '
            '--state'
        )
    if len(str(state)) > _LONGEST_STATE:
        raise errors.LabError(
            f'the path {state} is too long for sockets; give one of at most '
            f'{_LONGEST_STATE} characters with --state'
        )
    for covered in model.COVERED:
        if state.is_relative_to(covered):
            raise errors.LabError(
                f'{state} is below {covered}, of which every host of a lab '
                'has its own; give another folder with --state'
            )


def check_contents(state: pathlib.Path) -> None:
    """Raise LabError for a folder with something that no lab has made.

    Without a record a lab is known by its files: what brought it up may
    have been ended at any time.
    """
    try:
        found = {path.name for path in state.iterdir()}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise errors.LabError(
            f'{state} is no folder; give another one with --state'
        ) from None
    if RECORD not in found and (foreign := found - _CONTENTS):
        raise errors.LabError(
            f'{state} is not the folder of a lab: there is {min(foreign)!r} '
            'in it; give another folder with --state'
        )


def load(state: pathlib.Path) -> Record | None:
    """What ``up`` recorded; None when there is nothing to read."""
    try:
        data = json.loads((state / RECORD).read_text())
        return Record(**data)
    except (OSError, ValueError, TypeError):
        return None


def save(state: pathlib.Path, record: Record) -> None:
    """Write the record, whole or not at all."""
    path = state / RECORD
    new = path.with_suffix('.new')
    new.write_text(json.dumps(dataclasses.asdict(record), indent=1) + '\n')
    new.replace(path)


def _bindable(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _claim(held: contextlib.ExitStack, what: str) -> bool:
    """Claim a block or a port until ``held`` is closed, or the program ends.

    Services listen only some time after they were given their ports, and
    until then two labs that start at once must not choose the same.  The
    claim is a socket's abstract name: it is in no folder, and the kernel
    forgets it with the process.
    """
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(f'\0osc-lab/{what}')
    except OSError:
        holder.close()
        return False
    held.enter_context(holder)
    return True


def _free_ports(
    usual: collections.abc.Mapping[str, int],
    others: range,
    free: collections.abc.Callable[[str, int], bool],
) -> dict[str, int]:
    """A port for each thing that listens; the usual one where possible.

    :param others: below the range that outgoing connections use
    :param free: says whether a thing may have a port
    """
    chosen: dict[str, int] = {}
    for name, first in usual.items():
        for port in (first, *others):
            if port not in chosen.values() and free(name, port):
                chosen[name] = port
                break
        else:
            raise errors.LabError(f'no port of loopback is free for {name}')
    return chosen


def _service_ports(block: str, held: contextlib.ExitStack) -> dict[str, int]:
    def free(name: str, port: int) -> bool:
        # RabbitMQ refuses a distribution port that anybody uses, on
        # whatever address: another lab on this machine does.
        if name == 'amqp-dist':
            return _bindable('', port) and _claim(held, f'port/{port}')
        return _bindable(f'{block}.1', port)

    return _free_ports(model.PORTS, range(20000, 21000), free)


def _host_ports(block: str) -> dict[str, int]:
    """Where the forwarder listens: the same ports for every host.

    A daemon of the machine that listens on all addresses, as sshd does,
    has its port on these addresses, too.
    """
    addresses = [model.loopback(block, host) for host in model.HOSTS]

    def free(_name: str, port: int) -> bool:
        return all(_bindable(address, port) for address in addresses)

    return _free_ports(model.HOST_PORTS, range(22000, 23000), free)


def _free_epmd_port(held: contextlib.ExitStack) -> int:
    for port in range(21000, 22000):
        if _bindable('127.0.0.1', port) and _claim(held, f'port/{port}'):
            return port
    raise errors.LabError('no port is free on 127.0.0.1')


def _unused(block: str) -> bool:
    """True when no other lab has something on the block."""
    busy = [
        port
        for port in model.PORTS.values()
        if not _bindable(f'{block}.1', port)
        # Taken on all addresses: a daemon of the machine, not a lab.
        and _bindable('127.0.0.1', port)
    ]
    return not busy


def settle(
    state: pathlib.Path, running: bool, profile: str, key_manager: str
) -> tuple[Record, contextlib.ExitStack]:
    """Choose addresses and ports, or keep those that are recorded.

    :param running: whether processes of this lab run, on what is recorded
    :returns: the record, and what holds the claim until it is closed
    :raises LabError: nothing is free, or the record of a lab that runs is
        lost
    """
    old = load(state)
    held = contextlib.ExitStack()
    if old and running:
        return dataclasses.replace(
            old, profile=profile, key_manager=key_manager
        ), held
    if running:
        raise errors.LabError(
            f'a lab runs in {state}, but its {RECORD} is missing or damaged; '
            f'take it down first: python -m lab --state {state} down'
        )
    first = [old.block] if old else []
    for block in (*first, *candidates(state)):
        if not _claim(held, f'block/{block}') or not _unused(block):
            continue
        with held:
            record = Record(
                block,
                _free_epmd_port(held),
                _service_ports(block, held),
                profile,
                key_manager,
                _host_ports(block),
            )
            return record, held.pop_all()
    raise errors.LabError('no /24 of loopback is free')
