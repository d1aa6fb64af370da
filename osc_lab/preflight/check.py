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

"""A check: one question, answered from facts, without I/O."""

import abc
import collections.abc
import typing

from osc_lab.preflight import finding

Facts = typing.TypeVar('Facts', contravariant=True)


class Check(abc.ABC, typing.Generic[Facts]):
    """One question about a subject.

    Subclasses are stateless; ``judge`` is pure.  The class attributes
    are the documentation that ``--list-checks`` and the manual show.
    """

    #: Stable name, kebab-case.  An interface: never renamed or reused.
    id: typing.ClassVar[str]
    #: What the check asks, one sentence.
    question: typing.ClassVar[str]
    #: Why an operator wants to know, one or two sentences.
    reason: typing.ClassVar[str]
    #: What mends a failure, one or two sentences.
    remedy: typing.ClassVar[str]
    #: Where its facts come from.
    source: typing.ClassVar[finding.Source] = finding.Source.API
    #: The option that enables the channel it needs; empty for the API.
    channel: typing.ClassVar[str] = ''

    @abc.abstractmethod
    def judge(self, facts: Facts) -> collections.abc.Iterable[finding.Finding]:
        """Return at least one finding for these facts."""

    def answer(
        self,
        subject: str,
        result: finding.Result,
        message: str,
        remedy: str | None = None,
        **evidence: typing.Any,
    ) -> finding.Finding:
        """Return a finding of this check.

        The remedy defaults to the check's own, and to none for ``ok``.
        """
        if remedy is None:
            remedy = '' if result is finding.Result.OK else self.remedy
        return finding.Finding(
            self.id, subject, result, message, remedy, self.source, evidence
        )
