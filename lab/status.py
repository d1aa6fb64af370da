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

"""List the services of a lab with what they cost."""

import collections.abc
import contextlib
import dataclasses
import pathlib

from lab import model
from lab import process


@dataclasses.dataclass(frozen=True)
class Row:
    """One service.

    :param pids: of all its processes, none when it does not run
    :param memory: proportional set size of them all, in MiB
    """

    name: str
    machine: str
    pids: tuple[int, ...]
    memory: int


def _memory(pid: int) -> int:
    """Proportional set size in KiB; 0 when the process has gone."""
    with contextlib.suppress(OSError):
        rollup = pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text()
        for line in rollup.splitlines():
            if line.startswith('Pss:'):
                return int(line.split()[1])
    return 0


def table(
    layout: model.Layout, services: collections.abc.Sequence[model.Service]
) -> list[Row]:
    """A row for each service."""
    found = process.find(layout.state)
    rows = []
    for service in services:
        pids = tuple(p.pid for p in found if p.service == service.name)
        memory = sum(_memory(pid) for pid in pids) // 1024
        rows.append(Row(service.name, service.machine, pids, memory))
    return rows


def render(rows: collections.abc.Sequence[Row]) -> str:
    """The table as text, with the sum of the memory last."""
    lines = [f'{"SERVICE":28}{"MACHINE":10}{"STATE":7}{"PID":>8}{"MIB":>7}']
    for row in rows:
        state = 'up' if row.pids else 'down'
        pid = str(row.pids[0]) if row.pids else '-'
        lines.append(
            f'{row.name:28}{row.machine:10}{state:7}{pid:>8}{row.memory:7}'
        )
    total = sum(row.memory for row in rows)
    lines.append(f'{"total":53}{total:7}')
    return '\n'.join(lines) + '\n'
