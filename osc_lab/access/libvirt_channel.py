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

"""What libvirt of a host tells, or why it does not.

Whatever stops a look becomes a :class:`facts.Attempt`; a call may hang, so
it is made under a deadline.
"""

import collections.abc
import typing

from osc_lab.access import libvirt
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import facts
from osc_lab.migration import reach
from osc_lab import workers

Use = collections.abc.Callable[[libvirt.Connection], typing.Any]


def ask(
    where: str | libvirt.Connection, use: Use, deadline: float
) -> typing.Any:
    """Return what a use gives, or why there is none; then close.

    :param where: URI, or a connection that is open already
    :param deadline: seconds in which the host has to accept
    """
    connection = _connect(where, deadline) if isinstance(where, str) else where
    if isinstance(connection, facts.Attempt):
        return connection
    try:
        return _used(connection, use)
    finally:
        connection.close()


def keep(
    uri: str,
    name: str,
    opened: dict[str, libvirt.Connection],
    deadline: float,
) -> typing.Any:
    """Ask a host about itself, and keep the connection.

    :param opened: gets it under the name of the host
    """
    connection = _connect(uri, deadline)
    if isinstance(connection, facts.Attempt):
        return connection
    found = _used(connection, lambda other: other.host())
    if isinstance(found, facts.Attempt):
        connection.close()
    else:
        opened[name] = connection
    return found


def told(seen: typing.Any, uri: str) -> dict[str, typing.Any]:
    """Return the fields of a host that a look has filled.

    :param seen: what :func:`ask` gave, or the error that ended it
    """
    if isinstance(seen, facts.Libvirt):
        opened = facts.Attempt('', uri, facts.Reach.OPEN)
        return {'libvirt': seen, 'reach': opened}
    if isinstance(seen, workers.Late):
        seen = facts.Attempt('', uri, facts.Reach.TIMEOUT, str(seen))
    if isinstance(seen, facts.Attempt):
        return {
            'libvirt': facts.Gap(
                _('libvirt there could not be asked: %s') % seen.text,
                _('See libvirt-listen.'),
            ),
            'reach': seen,
        }
    return {'libvirt': gap(seen), 'reach': None}


def gap(error: Exception) -> facts.Gap:
    """Return the gap that a failed look leaves."""
    if isinstance(error, exceptions.LabError):
        return facts.Gap(error.message, error.remedy)
    return facts.Gap(
        str(error) or type(error).__name__,
        _('Check the host, or give it longer: --host-timeout.'),
    )


def _connect(uri: str, deadline: float) -> libvirt.Connection | facts.Attempt:
    attempt = libvirt.probe(uri, deadline)
    if attempt.reach is not facts.Reach.OPEN:
        return attempt
    try:
        return libvirt.Connection(uri)
    except exceptions.MissingLibrary:
        raise
    except exceptions.AccessError as error:
        return _refused(uri, error)


def _used(connection: libvirt.Connection, use: Use) -> typing.Any:
    try:
        return use(connection)
    except exceptions.AccessError as error:
        return _refused(connection.uri, error)


def _refused(uri: str, error: exceptions.AccessError) -> facts.Attempt:
    text = error.message
    return facts.Attempt('', uri, reach.classify(text), text)
