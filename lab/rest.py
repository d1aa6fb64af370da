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

"""A small client of OpenStack's APIs, with the standard library alone."""

import collections.abc
import http.client
import json
import typing
import urllib.error
import urllib.request

from lab import errors

# Proxies are for other networks; the lab is on loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

#: What an API that is not up yet, or is just going away, raises.
UNREACHABLE = (OSError, http.client.HTTPException)

Json = dict[str, typing.Any]


class Refused(errors.LabError):
    """The API answered with an error.

    :param status: HTTP status
    """

    def __init__(self, what: str, status: int, text: str) -> None:
        super().__init__(f'{what} answered {status}: {text[:300]}')
        self.status = status


def request(
    method: str,
    url: str,
    body: Json | bytes | None = None,
    headers: collections.abc.Mapping[str, str] = {},
    timeout: float = 60.0,
) -> tuple[Json, collections.abc.Mapping[str, str]]:
    """Send one request: (what the JSON of the answer says, its headers).

    :raises Refused: the status is 400 or more
    :raises OSError, HTTPException: nobody answers
    """
    data: bytes | None = None
    kind = 'application/json'
    if isinstance(body, bytes):
        data, kind = body, 'application/octet-stream'
    elif body is not None:
        data = json.dumps(body).encode()
    # The URL is always http://127...: nothing else is ever asked for.
    message = urllib.request.Request(  # noqa: S310
        url,
        data,
        {'Accept': 'application/json', 'Content-Type': kind, **headers},
        method=method,
    )
    try:
        with _OPENER.open(message, timeout=timeout) as answer:
            text = answer.read()
            return json.loads(text or b'{}'), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode(errors='replace')
        raise Refused(f'{method} {url}', error.code, text) from None


class Session:
    """Requests in the name of one user.

    :param identity: URL of Keystone, with its version
    :param project: name of the project the token is for
    """

    def __init__(
        self, identity: str, user: str, password: str, project: str
    ) -> None:
        self._identity = identity
        domain = {'name': 'Default'}
        self._auth = {
            'auth': {
                'identity': {
                    'methods': ['password'],
                    'password': {
                        'user': {
                            'name': user,
                            'password': password,
                            'domain': domain,
                        }
                    },
                },
                'scope': {'project': {'name': project, 'domain': domain}},
            }
        }
        self._token = ''
        self._project_id = ''

    def _sign_in(self) -> None:
        body, headers = request(
            'POST', f'{self._identity}/auth/tokens', self._auth
        )
        self._token = headers['X-Subject-Token']
        self._project_id = body['token']['project']['id']

    @property
    def project_id(self) -> str:
        """Id of the project that the token is for."""
        if not self._token:
            self._sign_in()
        return self._project_id

    def call(
        self,
        method: str,
        url: str,
        body: Json | bytes | None = None,
        version: str = '',
    ) -> Json:
        """One request with a token; for the errors see ``request``.

        :param version: value of OpenStack-API-Version, 'compute 2.90'
        """
        if not self._token:
            self._sign_in()
        headers = {'X-Auth-Token': self._token}
        if version:
            headers['OpenStack-API-Version'] = version
        return request(method, url, body, headers)[0]

    def get(self, url: str, version: str = '') -> Json:
        return self.call('GET', url, version=version)
