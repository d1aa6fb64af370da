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

"""Errors of the SDK and of keystoneauth, said so that they help."""

import re

from keystoneauth1 import exceptions as ksa
from openstack import exceptions as sdk
from osc_lib import exceptions as osc

from osc_lab import exceptions
from osc_lab.i18n import _

_REQUEST_ID = re.compile(r'\s*\(Request-ID: [^)]*\)')

#: Characters of an error that are shown.
_LONGEST = 1000

#: As OpenSSL says it, in what requests makes of it.
_CERTIFICATE = re.compile(r'certificate verify failed: ([^()]*)')
_URL = re.compile(r'https://[^\s/]+')


def explain_login(error: Exception) -> exceptions.LabError:
    """Return what to tell a user whose login failed."""
    if isinstance(error, ksa.Unauthorized):
        return exceptions.AccessError(
            _('Keystone refused the user name or the password'),
            _('Check OS_CLOUD and the "auth" section of clouds.yaml.'),
        )
    if untrusted(error):
        return _not_trusted(error)
    if isinstance(error, ksa.ConnectionError | ksa.DiscoveryFailure):
        return exceptions.AccessError(
            _('Keystone does not answer: %s') % _first_line(error),
            _('Check auth_url, and whether the service is running.'),
        )
    if isinstance(error, sdk.ConfigException):
        return exceptions.AccessError(
            _first_line(error), _('Check OS_CLOUD and clouds.yaml.')
        )
    if isinstance(
        error,
        ksa.MissingRequiredOptions
        | osc.CommandError
        | osc.AuthorizationFailure,
    ):
        return exceptions.AccessError(
            _('Not enough to log in with: %s') % _first_line(error),
            _('Use --os-cloud with an entry of clouds.yaml.'),
        )
    if isinstance(error, TypeError):
        # What makes a plugin of keystoneauth1 passes on all that it gets.
        return exceptions.AccessError(
            _('What is given to log in does not go together: %s')
            % _first_line(error),
            _('Check the OS_* variables and --os-auth-type.'),
        )
    return explain(error)


def explain(error: Exception) -> exceptions.LabError:
    """Return what to tell a user when a request failed.

    Errors of this package pass through unchanged.
    """
    if isinstance(error, exceptions.LabError):
        return error
    if isinstance(
        error,
        ksa.EndpointNotFound | sdk.NotSupported | sdk.ServiceDisabledException,
    ):
        return exceptions.AccessError(
            _('The cloud does not offer this service: %s')
            % _first_line(error),
            _('See "openstack catalog list", and --os-region-name.'),
        )
    if isinstance(error, ksa.Unauthorized):
        return exceptions.AccessError(
            _('The token was refused: %s') % _first_line(error),
            _('Log in anew; the password or the role may have changed.'),
        )
    if untrusted(error):
        return _not_trusted(error)
    if isinstance(error, ksa.ConnectionError | ksa.RetriableConnectionFailure):
        return exceptions.AccessError(
            _('A service does not answer: %s') % _first_line(error),
            _('Check the endpoint with "openstack catalog list".'),
        )
    if isinstance(error, sdk.ForbiddenException):
        return exceptions.AccessError(
            _('The cloud refused: %s') % _details(error),
            _('Use a user with the admin role.'),
        )
    if isinstance(error, sdk.HttpException):
        return exceptions.LabError(
            _('The cloud answered %(status)s: %(details)s')
            % {
                'status': error.status_code or _('with an error'),
                'details': _details(error),
            },
            _('Try again, or read the log of the service.'),
        )
    if isinstance(error, OSError) and 'invalid path: ' in str(error):
        # So requests says it.
        return exceptions.AccessError(
            _first_line(error),
            _('Check --os-cacert, --os-cert and --os-key, or clouds.yaml.'),
        )
    if isinstance(
        error, sdk.SDKException | ksa.ClientException | osc.CommandError
    ):
        return exceptions.LabError(
            _first_line(error),
            _('See with --debug which request it was.'),
        )
    return exceptions.LabError(
        _('Unexpected %(type)s: %(error)s')
        % {'type': type(error).__name__, 'error': _first_line(error)},
        _('Run it again with --debug and report this as a bug.'),
    )


def untrusted(error: BaseException | None) -> bool:
    """Return whether a certificate was refused: nothing was sent then."""
    return isinstance(error, ksa.SSLError) and bool(
        _CERTIFICATE.search(str(error))
    )


def _not_trusted(error: Exception) -> exceptions.AccessError:
    text = str(error)
    found, where = _CERTIFICATE.search(text), _URL.search(text)
    return exceptions.AccessError(
        _('The certificate of %(service)s is not trusted: %(why)s')
        % {
            'service': where[0] if where else _('a service'),
            'why': found[1].strip() if found else _first_line(error),
        },
        _('Give the CA with --os-cacert, or as cacert in clouds.yaml.'),
    )


def _details(error: sdk.HttpException) -> str:
    return _cut(str(error.details or error.message or ''))


def _first_line(error: Exception) -> str:
    lines = _cut(str(error)).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def _cut(text: str) -> str:
    """Return what a user may want to read of a text.

    A proxy may answer with a page, and the pattern takes longer with the
    square of a text.
    """
    shown = _REQUEST_ID.sub('', text[: 2 * _LONGEST])
    return shown if len(shown) <= _LONGEST else f'{shown[:_LONGEST]}...'
