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

"""What is wished of a live migration."""

import dataclasses

from osc_lab.migration import drive
from osc_lab.migration import facts


@dataclasses.dataclass(frozen=True)
class Options:
    """What the user asked for.

    :param server: name or ID; empty where none was given
    :param bandwidth: MiB a second
    :param ignored: checks whose failures are warnings
    :param unchecked: to migrate without any check
    :param wait: None where nothing was said
    :param timeout: seconds to follow a migration for
    """

    server: str = ''
    host: str | None = None
    storage: facts.Storage = facts.Storage.AUTO
    ignored: tuple[str, ...] = ()
    strict: bool = False
    forecast: bool = False
    bandwidth: float | None = None
    unchecked: bool = False
    wait: bool | None = None
    timeout: float | None = None
    on_stall: drive.OnStall = drive.OnStall.REPORT
