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

"""Read the lab's part of bindep.txt."""

import collections.abc
import re

_LINE = re.compile(r'^(?P<name>[^\s\[#]+)\s*(?:\[(?P<tags>[^\]]*)\])?')


def packages(
    text: str, profiles: collections.abc.Container[str]
) -> tuple[str, ...]:
    """Debian packages of the profiles, in the order of the file.

    A line counts when it names ``platform:dpkg`` and one of the profiles.
    Lines without a profile are for building, not for the lab.

    :param text: a bindep.txt
    :param profiles: the profiles asked for
    """
    found = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or not match['tags']:
            continue
        tags = match['tags'].split()
        platforms = [tag for tag in tags if 'platform:' in tag]
        wanted = [tag for tag in tags if 'platform:' not in tag]
        if 'platform:dpkg' in platforms and any(
            tag in profiles for tag in wanted
        ):
            found.append(match['name'])
    return tuple(dict.fromkeys(found))
