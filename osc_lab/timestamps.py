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

"""Timestamps of services: in UTC, unless they say otherwise."""

import datetime


def read(value: object) -> datetime.datetime | None:
    """Return an aware time; None for what is no timestamp (ISO 8601)."""
    try:
        found = datetime.datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def seconds(value: object) -> float | None:
    """Return POSIX time; None for what is no timestamp."""
    found = read(value)
    return None if found is None else found.timestamp()
