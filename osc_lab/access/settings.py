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

"""What the user's clouds.yaml says beyond the log-in."""

import collections.abc
import typing

from openstack import connection

from osc_lab.access import rest
from osc_lab import exceptions
from osc_lab.i18n import _


def cloud(
    sdk: connection.Connection,
) -> collections.abc.Mapping[str, typing.Any]:
    """Return the ``osc_lab`` mapping of the cloud; empty without one.

    :raises InvalidInput: when it is not a mapping
    """
    return _mapping(sdk.config.config.get('osc_lab') or {})


def _mapping(
    found: typing.Any,
) -> collections.abc.Mapping[str, typing.Any]:
    if not isinstance(found, dict):
        raise exceptions.InvalidInput(
            _('osc_lab in clouds.yaml is not a mapping'),
            _('Write one "key: value" a line.'),
        )
    return found


def config_files(
    found: collections.abc.Mapping[str, typing.Any],
) -> dict[str, list[str]]:
    """Return host -> its configuration files, of all services.

    :param found: the ``osc_lab`` mapping of the cloud
    :raises InvalidInput: when it is no mapping of lists
    """
    files = found.get('config_files') or {}
    if not isinstance(files, dict) or not all(
        isinstance(paths, list) for paths in files.values()
    ):
        raise exceptions.InvalidInput(
            _('osc_lab: config_files in clouds.yaml: no mapping of lists'),
            _('Write one "host: [path, path]" a line.'),
        )
    return {
        str(host): [str(path) for path in paths]
        for host, paths in files.items()
    }


def api_timeout(sdk: connection.Connection) -> float:
    """Return the seconds that a service may take to answer.

    The shell ignores ``api_timeout`` of clouds.yaml, so a service that
    hangs would hang it for ever; this is ``osc_lab: api_timeout``.

    :raises InvalidInput: when it is not a number of seconds
    """
    return _seconds(cloud(sdk))


def login_timeout(app: typing.Any) -> float:
    """Return the same, before there is a connection.

    :param app: the shell
    :raises InvalidInput: when it is not a number of seconds
    """
    region = app.cloud_config.get_one(
        cloud=app.options.cloud, argparse=app.options, validate=False
    )
    return _seconds(_mapping(region.config.get('osc_lab') or {}))


def _seconds(found: collections.abc.Mapping[str, typing.Any]) -> float:
    value = found.get('api_timeout', rest.TIMEOUT)
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 < seconds <= 3600:
        raise exceptions.InvalidInput(
            _('osc_lab: api_timeout in clouds.yaml is "%s"') % value,
            _('Use a number of seconds between 0 and 3600.'),
        )
    return seconds
