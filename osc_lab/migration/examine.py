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

"""Judge facts with the chosen checks and rank the destinations."""

import collections.abc

from osc_lab.migration.checks import base
from osc_lab.migration import facts as facts_
from osc_lab.migration import ranking
from osc_lab.preflight import finding
from osc_lab.preflight import registry as registry_
from osc_lab.preflight import runner


def examine(
    facts: facts_.Facts,
    checks: registry_.Registry,
    ignore: collections.abc.Collection[str] = (),
) -> ranking.Ranking:
    """Return all destinations with their findings, the best first.

    :param ignore: ids of checks whose failures count as warnings, or 'all'
    """
    report = runner.run(checks, facts, facts.server.name)
    about_hosts = {
        item.id for item in checks.checks if isinstance(item, base.HostCheck)
    }
    return ranking.rank(facts, report.ignoring(ignore), about_hosts)


def promising(
    facts: facts_.Facts, checks: registry_.Registry
) -> frozenset[str]:
    """Return names of the hosts that are worth looking at themselves.

    A host that the user named always is.
    """
    if facts.request.host is not None:
        return frozenset({facts.request.host})
    quick = registry_.Registry(
        tuple(item for item in checks.checks if not item.channel)
    )
    ranked = examine(facts, quick)
    return frozenset(
        item.host.name
        for item in ranked.candidates
        if item.result is not finding.Result.FAILED
    )
