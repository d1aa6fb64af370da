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

"""Identity (Keystone): names of projects."""

import urllib.parse

from openstack import connection

from osc_lab.access import rest
from osc_lab.access import settings
from osc_lab import exceptions
from osc_lab.i18n import _


def project_id(sdk: connection.Connection, name: str) -> str:
    """Return the id of a project.

    :param name: its name or id
    :raises NotFound: when there is none, or the name stands for several
    """
    keystone = rest.Rest(sdk.identity, settings.api_timeout(sdk))
    if _is_id(keystone, name):
        return name
    found = [
        str(item['id'])
        for item in keystone.pages('/projects', 'projects', name=name)
    ]
    if len(found) != 1:
        raise exceptions.NotFound(
            _('--project: there are %(count)d projects named "%(name)s"')
            % {'count': len(found), 'name': name},
            _('Use the ID of one; see "openstack project list".'),
        )
    return found[0]


def _is_id(keystone: rest.Rest, name: str) -> bool:
    # A list may end before it (list_limit in keystone.conf), and says so in
    # no link.
    path = urllib.parse.quote(name, safe='')
    try:
        found = keystone.get(f'/projects/{path}').get('project')
    except exceptions.ServiceError as error:
        # To who may not see each project all others are forbidden.
        if error.status in (403, 404):
            return False
        raise
    return isinstance(found, dict) and found.get('id') == name
