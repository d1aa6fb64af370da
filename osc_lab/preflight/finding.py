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

"""A finding: the answer of one check about one subject."""

import collections.abc
import dataclasses
import enum
import typing

from osc_lib.cli import format_columns

from osc_lab import exceptions


class Result(enum.StrEnum):
    """How a check ended, from best to worst."""

    OK = 'ok'
    SKIPPED = 'skipped'
    WARNING = 'warning'
    UNKNOWN = 'unknown'
    FAILED = 'failed'


class Source(enum.StrEnum):
    """Where the facts came from."""

    API = 'api'
    LIBVIRT = 'libvirt'
    OVSDB = 'ovsdb'
    SHELL = 'shell'


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one check found about one subject.

    :param check: id of the check, kebab-case, never renamed
    :param subject: what it is about: a host, port, volume type, volume
    :param result: see :class:`Result`
    :param message: what was seen, one line
    :param remedy: what to do about it; empty only for ``ok``
    :param source: where the facts came from
    :param evidence: the facts that decided; JSON-safe, no secrets
    """

    check: str
    subject: str
    result: Result
    message: str
    remedy: str = ''
    source: Source = Source.API
    evidence: collections.abc.Mapping[str, typing.Any] = dataclasses.field(
        default_factory=dict
    )

    def as_warning(self) -> 'Finding':
        """Return a failed finding as a warning, any other as it is."""
        if self.result is not Result.FAILED:
            return self
        return dataclasses.replace(self, result=Result.WARNING)


class EvidenceColumn(format_columns.DictColumn):
    """Keys and values for people, safe for a terminal; else a mapping."""

    def human_readable(self) -> str:
        return exceptions.printable(super().human_readable())


COLUMNS = ('Check', 'Subject', 'Result', 'Message', 'Remedy')
LONG_COLUMNS = (*COLUMNS, 'Source', 'Evidence')


def row(finding: Finding, long: bool = False) -> tuple[typing.Any, ...]:
    """Return a finding's cells in the order of COLUMNS or LONG_COLUMNS.

    Text is made safe for a terminal; evidence is a column of cliff's.
    """
    cells: tuple[typing.Any, ...] = (
        finding.check,
        exceptions.printable(finding.subject),
        finding.result.value,
        exceptions.printable(finding.message),
        exceptions.printable(finding.remedy),
    )
    if not long:
        return cells
    evidence = EvidenceColumn(dict(finding.evidence))
    return (*cells, finding.source.value, evidence)


def of_api(
    check: str,
    subject: str,
    result: Result,
    message: str,
    remedy: str,
    **evidence: typing.Any,
) -> Finding:
    """Return what an API has shown."""
    return Finding(
        check, subject, result, message, remedy, Source.API, evidence
    )
