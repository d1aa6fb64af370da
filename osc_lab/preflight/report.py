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

"""A report: all findings of a run, the verdict and the exit code."""

import collections
import collections.abc
import dataclasses

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.preflight import finding


def verdict(
    counts: collections.abc.Mapping[finding.Result, int], strict: bool
) -> exceptions.ExitCode:
    """Return the exit code of findings.

    Skipped findings decide nothing: their check was not enabled.  Unknown
    ones never pass, for the check was wanted and could not look.

    :param counts: how many ended in each way
    :param strict: let warnings keep the verdict open, too
    """
    if counts.get(finding.Result.FAILED):
        return exceptions.ExitCode.CHECK_FAILED
    if counts.get(finding.Result.UNKNOWN):
        return exceptions.ExitCode.UNDECIDED
    if strict and counts.get(finding.Result.WARNING):
        return exceptions.ExitCode.UNDECIDED
    return exceptions.ExitCode.DONE


@dataclasses.dataclass(frozen=True)
class Report:
    """Findings in the order in which they are shown."""

    findings: tuple[finding.Finding, ...]

    def count(self, result: finding.Result) -> int:
        return sum(item.result is result for item in self.findings)

    def ignoring(self, checks: collections.abc.Collection[str]) -> 'Report':
        """Return the report with failures of these checks as warnings.

        :param checks: ids of checks; 'all' means every check
        """
        return Report(
            tuple(
                item.as_warning()
                if 'all' in checks or item.check in checks
                else item
                for item in self.findings
            )
        )

    def exit_code(self, strict: bool = False) -> exceptions.ExitCode:
        """Return the verdict; see verdict()."""
        return verdict(
            collections.Counter(item.result for item in self.findings), strict
        )

    def summary(self) -> str:
        """Return one line: how many findings ended in which way."""
        counts = collections.Counter(item.result for item in self.findings)
        if not counts:
            return _('No finding.')
        return ', '.join(
            f'{counts[result]} {result.value}'
            for result in (
                finding.Result.FAILED,
                finding.Result.UNKNOWN,
                finding.Result.WARNING,
                finding.Result.OK,
                finding.Result.SKIPPED,
            )
            if counts[result]
        )
