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

"""The checks that are installed, ours and those of third parties."""

import dataclasses
import importlib.metadata
import typing

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.preflight import check
from osc_lab.preflight import finding

GROUP = 'osc_lab.preflight.checks'


@dataclasses.dataclass(frozen=True)
class Registry:
    """Checks by id, and the entry points that could not be loaded.

    :param checks: instances, in the order of their ids
    :param broken: one ``unknown`` finding for each broken entry point
    """

    checks: tuple[check.Check[typing.Any], ...]
    broken: tuple[finding.Finding, ...] = ()

    def choose(
        self, only: typing.Collection[str], skip: typing.Collection[str]
    ) -> 'Registry':
        """Return the registry with the named checks alone.

        :param only: ids to keep; empty keeps all
        :param skip: ids to leave out
        :raises InvalidInput: for an id that no check has
        """
        known = {item.id for item in self.checks}
        known.update(item.check for item in self.broken)
        for option, names in (('--check', only), ('--skip-check', skip)):
            for name in sorted(set(names) - known):
                raise exceptions.InvalidInput(
                    _('%(option)s: there is no check "%(name)s"')
                    % {'option': option, 'name': name},
                    _('Use --list-checks to see their names.'),
                )

        def wanted(name: str) -> bool:
            return (not only or name in only) and name not in skip

        return Registry(
            tuple(item for item in self.checks if wanted(item.id)),
            tuple(item for item in self.broken if wanted(item.check)),
        )


def load(group: str = GROUP) -> Registry:
    """Return all installed checks; a broken one becomes a finding."""
    checks: dict[str, check.Check[typing.Any]] = {}
    broken = []
    for point in importlib.metadata.entry_points(group=group):
        try:
            loaded = point.load()()
            if not isinstance(loaded, check.Check):
                raise TypeError(f'{point.value} is not a Check')
            if loaded.id in checks:
                raise ValueError(f'the id {loaded.id} is taken')
        except Exception as error:
            broken.append(_broken(point, error))
        else:
            checks[loaded.id] = loaded
    return Registry(
        tuple(checks[name] for name in sorted(checks)), tuple(broken)
    )


def _broken(
    point: importlib.metadata.EntryPoint, error: Exception
) -> finding.Finding:
    dist = point.dist.name if point.dist else 'unknown'
    return finding.Finding(
        point.name,
        dist,
        finding.Result.UNKNOWN,
        _('The check could not be loaded: %s')
        % f'{type(error).__name__}: {error}',
        _('Repair or remove the package %s.') % dist,
    )
