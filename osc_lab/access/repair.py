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

"""Set a server right whose guest runs where Nova says."""

from osc_lab.access import aftermath
from osc_lab.access import compute
from osc_lab.access import port_binding
from osc_lab import exceptions
from osc_lab.migration import facts as facts_
from osc_lab.migration import gather
from osc_lab.migration import record as record_
from osc_lab.migration import repair
from osc_lab.preflight import finding
from osc_lab.preflight import report as report_


class Repair:
    """Looks at a server that a failed migration left, and repairs it.

    :param compute_: the adapter of Nova
    :param network: the adapter of Neutron
    :param aftermath_: looks at the guest on the hosts
    """

    def __init__(
        self,
        compute_: compute.Compute,
        network: port_binding.PortBindings,
        aftermath_: aftermath.Aftermath,
    ) -> None:
        self._compute = compute_
        self._network = network
        self._aftermath = aftermath_

    def of(self, reference: str) -> report_.Report:
        """Repair a server, when nothing speaks against it.

        :param reference: its name or ID
        """
        server = self._compute.server(reference)
        names = self._took_part(server)
        # The state can be set right without Neutron.
        network = gather.attempt(lambda: self._network.network(server.id))
        seen = network if isinstance(network, facts_.Gap) else network.bindings
        left = () if isinstance(network, facts_.Gap) else network.inactive()
        names.update(host for _port, host in left)
        running = self._aftermath.running(
            server, self._aftermath.named(sorted(names))
        )
        moving: bool | facts_.Gap = False
        for end in self._aftermath.named([server.host]):
            moving = self._aftermath.moving(server, end)
        # What Nova has begun since then is not touched.
        server = self._compute.server(server.id)
        item = repair.repairable(server, running, moving, left)
        if item.result is finding.Result.FAILED:
            return report_.Report((item,))
        if server.vm_state == 'error':
            doubt = self._activate(server.id)
            if doubt is not None:
                return report_.Report((repair.unconfirmed(server, doubt),))
        return report_.Report(
            (
                item,
                *(
                    repair.unbound(port, host, self._unbind(port, host))
                    for port, host in left
                ),
                *repair.unseen(server, seen),
            )
        )

    def _took_part(self, server: facts_.Server) -> set[str]:
        """Return the hosts on which its guest may run.

        One that Nova has no more will never answer.  It does not count
        when all that it took part in had ended before the last migration
        began, for which Nova had the guest on another host.
        """
        records = [
            record_.record(body)
            for body in self._compute.migrations(
                most=5,
                instance_uuid=server.id,
                migration_type='live-migration',
            )
        ]
        names = {server.host}
        past: set[str] = set()
        for item in records:
            over = any(item.ended_before(other) for other in records)
            (past if over else names).update((item.source, item.destination))
        if past - names:
            # They are told of a cell that is down, too; hypervisors not.
            known = gather.attempt(self._compute.services)
            if not isinstance(known, facts_.Gap):
                past.intersection_update(known)
        return names | past

    def _activate(self, server_id: str) -> exceptions.ServiceError | None:
        """Set the state; return why nobody knows whether it is set."""
        try:
            self._compute.reset_state(server_id)
        except exceptions.ServiceError as error:
            if not error.unclear:
                raise
            now = gather.attempt(lambda: self._compute.server(server_id))
            if isinstance(now, facts_.Gap) or now.vm_state != 'active':
                return error
        return None

    def _unbind(self, port: str, host: str) -> bool | exceptions.ServiceError:
        """Return what came of it: what else was done must be told, too."""
        try:
            return self._network.unbind(port, host)
        except exceptions.ServiceError as error:
            return error
