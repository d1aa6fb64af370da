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

"""Run checks over facts; a check that breaks becomes a finding."""

import collections.abc
import logging
import typing

from osc_lab.i18n import _
from osc_lab.preflight import check
from osc_lab.preflight import finding
from osc_lab.preflight import registry as registry_
from osc_lab.preflight import report

LOG = logging.getLogger(__name__)


def run(
    registry: registry_.Registry,
    facts: typing.Any,
    subject: str,
) -> report.Report:
    """Judge the facts with every check of a registry.

    :param registry: the checks that are wanted
    :param facts: what the checks of this registry take
    :param subject: named in the finding of a check that breaks
    """
    findings = list(registry.broken)
    for item in registry.checks:
        findings.extend(_judge(item, facts, subject))
    return report.Report(tuple(findings))


def _judge(
    item: check.Check[typing.Any], facts: typing.Any, subject: str
) -> collections.abc.Sequence[finding.Finding]:
    try:
        found = tuple(item.judge(facts))
    except Exception as error:
        LOG.debug('check %s broke', item.id, exc_info=True)
        return (
            item.answer(
                subject,
                finding.Result.UNKNOWN,
                _('The check itself broke: %s')
                % f'{type(error).__name__}: {error}',
                _('Report this as a bug, with the output of --debug.'),
            ),
        )
    if not found:
        return (
            item.answer(
                subject,
                finding.Result.UNKNOWN,
                _('The check gave no answer.'),
                _('Report this as a bug.'),
            ),
        )
    return found
