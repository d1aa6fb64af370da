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

"""Stop, restart and signal single services, as tests of failures do."""

import signal
import time

from lab import errors
from lab import model
from lab import process

#: Seconds in which a killed process must be gone.
_KILL_TIME = 10.0


def send(layout: model.Layout, name: str, number: signal.Signals) -> None:
    """Send a signal to all processes of a service, but not to nsenter.

    SIGSTOP makes a service hang, SIGCONT lets it go on.

    :raises LabError: the service does not run
    """
    mine = [
        p
        for p in process.find(layout.state)
        if p.service == name
        # nsenter stops itself when its child is stopped, so it has to be
        # woken as well.
        and (number == signal.SIGCONT or p.command != 'nsenter')
    ]
    if not mine:
        raise errors.LabError(f'{name} does not run')
    for each in mine:
        process.send(each, layout.state, number)


def stop(
    layout: model.Layout, service: model.Service, timeout: float = 20.0
) -> None:
    """End a service in good order; kill it when the time is up.

    :raises LabError: not even that ends it
    """
    deadline = time.monotonic() + timeout
    while mine := [
        p for p in process.find(layout.state) if p.service == service.name
    ]:
        late = time.monotonic() - deadline
        if late > _KILL_TIME:
            raise errors.LabError(f'{service.name} does not end')
        for each in mine:
            if late > 0:
                process.send(each, layout.state, signal.SIGKILL)
            elif each.command != 'nsenter':
                process.send(each, layout.state, service.stop_signal)
            # What is stopped sees no other signal before it goes on.
            process.send(each, layout.state, signal.SIGCONT)
        time.sleep(0.1)


def restart(layout: model.Layout, service: model.Service) -> None:
    """Start a service anew, with its files as they are given.

    :raises StepError: it did not come up
    """
    stop(layout, service)
    for path, text in service.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    process.start(layout, service)
