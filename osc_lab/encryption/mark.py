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

"""The mark of a volume type that is not finished.

It stands in the description, because one request can take it away and
publish the type: there is no moment in which only one of both is done.
The type is private as long as it is marked, so no tenant sees it.
"""

import dataclasses
import re
import secrets

_PREFIX = 'osc-lab: unfinished, do not use'
_MARK = re.compile(
    re.escape(_PREFIX)
    + r' \(host ([A-Za-z0-9_.-]{1,64}), process (\d+), run ([0-9a-f]{16})\)'
)


@dataclasses.dataclass(frozen=True)
class Mark:
    """Who is making a type.

    :param host: name of the machine that the command runs on; see
        reconcile.Actor
    :param process: its process id there
    :param run: random, so that a run knows its own type even when the
        answer to its request was lost
    """

    host: str
    process: int
    run: str

    def __str__(self) -> str:
        return (
            f'{_PREFIX} (host {self.host}, process {self.process}, '
            f'run {self.run})'
        )


def new(host: str, process: int) -> Mark:
    """Return a mark that no other run has."""
    safe = re.sub(r'[^A-Za-z0-9_.-]', '-', host)[:64] or '-'
    return Mark(safe, process, secrets.token_hex(8))


def read(description: str | None) -> Mark | None:
    """Return the mark that a description is, or None."""
    match = _MARK.fullmatch(description or '')
    if match is None:
        return None
    return Mark(match[1], int(match[2]), match[3])
