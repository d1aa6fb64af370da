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

"""Who the caller is, from the token that the session has anyway."""

import typing

from osc_lab.access import cloud
from osc_lab.migration import facts


def of(session: typing.Any) -> facts.Caller:
    """Return the caller of a keystoneauth session.

    :raises LabError: when the session cannot log in
    """
    try:
        access = session.auth.get_access(session)
    except Exception as error:
        raise cloud.explain(error) from error
    return facts.Caller(
        user_id=str(access.user_id or ''),
        project_id=str(access.project_id or ''),
        roles=frozenset(access.role_names or ()),
    )
