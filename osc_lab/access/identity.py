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

"""Identity (Keystone): names of projects and of their domains."""

import typing
import urllib.parse

from openstack import connection

from osc_lab.access import rest
from osc_lab.access import settings
from osc_lab import exceptions
from osc_lab.i18n import _


def project_id(
    sdk: connection.Connection, name: str, domain: str | None = None
) -> str:
    """Return the id of a project.

    :param name: its name or id
    :param domain: name or id of the domain that a name is looked for in;
        None: in all of them
    :raises NotFound: when there is none, or the name stands for several
    """
    keystone = rest.Rest(
        rest.proxy(sdk, 'identity'), settings.api_timeout(sdk)
    )
    if _is_id(keystone, 'project', name):
        return name
    filters = (
        {} if domain is None else {'domain_id': _domain(keystone, domain)}
    )
    found = _named(keystone, 'project', name, **filters)
    if len(found) != 1:
        raise exceptions.NotFound(
            _('--project: there are %(count)d projects named "%(name)s"')
            % {'count': len(found), 'name': name},
            _(
                'Use the ID of one, or --project-domain; see "openstack '
                'project list --long".'
            ),
        )
    return found[0]


def _domain(keystone: rest.Rest, name: str) -> str:
    if _is_id(keystone, 'domain', name):
        return name
    try:
        found = _named(keystone, 'domain', name)
    except exceptions.ServiceError as error:
        # As the stock commands do: the caller may know an id.
        if error.status == 403:
            return name
        raise
    if len(found) != 1:
        raise exceptions.NotFound(
            _('--project-domain: there is no domain "%s"') % name,
            _('See "openstack domain list".'),
        )
    return found[0]


def _named(
    keystone: rest.Rest, kind: str, name: str, **filters: typing.Any
) -> list[str]:
    """Return the ids of what has a name."""
    return [
        str(item['id'])
        for item in keystone.pages(
            f'/{kind}s', f'{kind}s', name=name, **filters
        )
    ]


def _is_id(keystone: rest.Rest, kind: str, name: str) -> bool:
    # A list may end before it (list_limit in keystone.conf), and says so in
    # no link.
    path = urllib.parse.quote(name, safe='')
    try:
        found = keystone.get(f'/{kind}s/{path}').get(kind)
    except exceptions.ServiceError as error:
        # To who may not see each one all others are forbidden.
        if error.status in (403, 404):
            return False
        raise
    return isinstance(found, dict) and found.get('id') == name
