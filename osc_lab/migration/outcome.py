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

"""What was seen of a migration, and whether that is a success."""

import dataclasses

from osc_lab.migration import facts
from osc_lab.migration import record as record_


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was seen of a migration.

    :param request_id: of Nova; empty when it was never answered
    :param record: None when Nova never made one
    :param before: the server before it
    :param after: the server when it was over
    :param seconds: from the request to its end
    :param interrupted: the user asked to stop
    :param left_running: it goes on without us
    :param overtaken: the server was moved again since, in whatever way
    """

    request_id: str
    record: record_.Record | None
    action: record_.Action | None
    before: facts.Server
    after: facts.Server
    seconds: float
    sent_bytes: int = 0
    iterations: int = 0
    stalled: bool = False
    interrupted: bool = False
    left_running: bool = False
    overtaken: bool = False

    @property
    def moved(self) -> bool:
        return (
            self._arrived and self.record is not None and self.record.succeeded
        )

    @property
    def broken(self) -> bool:
        """Whether it has moved, and Nova failed after that.

        Nova sets the host of the server then, and an error
        (nova.compute.manager._post_live_migration_update_host).
        """
        return (
            self._arrived
            and self.record is not None
            and self.record.status == 'error'
            and not self.overtaken
        )

    @property
    def _arrived(self) -> bool:
        return (
            self.record is not None
            and self.after.host == self.record.destination
            and self.after.host != self.before.host
        )
