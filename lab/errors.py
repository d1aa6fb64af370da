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

"""What goes wrong in a lab, in words for the person who started it."""

import pathlib


class LabError(Exception):
    """One line that says what is wrong and what to do about it."""


class StepError(LabError):
    """A step of ``up`` failed.

    :param reason: what happened, in one line
    :param log: where more is written, if anything is
    """

    def __init__(self, reason: str, log: pathlib.Path | None = None) -> None:
        super().__init__(f'{reason}; see {log}' if log else reason)
