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

"""A service with microversions, asked at the one that a field needs.

The user's own version options are for the stock commands; what we ask
for depends on a field, and that field on a version.
"""

import collections.abc
import itertools
import time
import typing

from osc_lab.access import cloud
from osc_lab.access import rest
from osc_lab import exceptions
from osc_lab.i18n import _

Version = tuple[int, int]
Json = dict[str, typing.Any]

#: Items of a page: what Nova gives at most by default (max_limit).
_PAGE = 1000


class Service(rest.Rest):
    """One service's API at explicit microversions."""

    _maximum: Version | None = None

    @property
    def maximum(self) -> Version:
        """The highest microversion that the cloud offers.

        :raises LabError: when the service does not tell
        """
        if self._maximum is None:
            self._maximum = self._discovered()
        return self._maximum

    def _discovered(self) -> Version:
        limit = time.monotonic() + rest.PATIENCE
        for pause in (*rest.PAUSES, None):
            try:
                data: typing.Any = self._proxy.get_endpoint_data()
            except Exception as error:
                raise cloud.explain(error) from error
            # keystoneauth takes a document that it cannot get for one that
            # has no microversions; the status is in the document alone.
            if data is not None and data.status:
                found = data.max_microversion
                return (found[0], found[1]) if found else (0, 0)
            self._see_certificate()
            if pause is None or time.monotonic() + pause > limit:
                break
            time.sleep(pause)
        raise exceptions.ServiceError(
            _('The service "%s" does not tell its versions')
            % self._proxy.service_type,
            _('Try again, or read its log.'),
        )

    def _see_certificate(self) -> None:
        """Say it when that is why: keystoneauth keeps it to itself."""
        try:
            self._send('GET', '/', None)
        except exceptions.ServiceError as error:
            if cloud.untrusted(error.__cause__):
                raise

    def at(self, wanted: Version) -> Version:
        """Return the wanted microversion, or the highest there is."""
        return min(wanted, self.maximum)

    def value(
        self,
        path: str,
        key: str,
        version: Version | None = None,
        **params: typing.Any,
    ) -> typing.Any:
        """Return what stands under ``key`` in the answer of a GET.

        :raises ServiceError: for an error, or an answer without the key
        """
        body = self.get(path, text(version), **params)
        if key not in body:
            raise self._odd(path)
        return body[key]

    def objects(
        self, path: str, key: str, needed: str, **params: typing.Any
    ) -> list[Json]:
        """Return the objects that a service lists, of all pages.

        :param needed: what each of them has
        :raises ServiceError: for an error, or an answer without it
        """
        return list(self.listed(path, key, needed=needed, **params))

    def maybe(
        self,
        path: str,
        version: Version | None = None,
        absent: collections.abc.Collection[int] = (404,),
        **params: typing.Any,
    ) -> Json | None:
        """Return the body of a GET, or None for these statuses."""
        try:
            return self.get(path, text(version), **params)
        except exceptions.ServiceError as error:
            if error.status in absent:
                return None
            raise

    def listed(
        self,
        path: str,
        key: str,
        version: Version | None = None,
        most: int | None = None,
        **params: typing.Any,
    ) -> collections.abc.Iterator[Json]:
        """Yield the items of a list, as pages() does.

        :param most: stop after so many
        """
        found = self.pages(path, key, text(version), _PAGE, **params)
        return itertools.islice(found, most)

    def post(
        self, path: str, body: Json, version: Version | None = None
    ) -> str:
        """Send a POST and return its request id.

        It is sent again only when the service had too many requests.

        :raises ServiceError: with status None or 5xx when nobody knows
            whether it was carried out
        """
        answer = rest.patiently(
            lambda: self._send('POST', path, text(version), json=body),
            lambda error: error.status in rest.LIMITED,
        )
        return str(answer.headers.get('x-openstack-request-id', ''))

    def tried(self, path: str, accept: str = 'application/json') -> Json:
        """Send a GET, do not read its body, return status and URL.

        :raises ServiceError: when there is no answer at all
        """
        try:
            answer = self._proxy.request(
                path,
                'GET',
                timeout=self._timeout,
                status_code_retries=0,
                headers={'Accept': accept},
                stream=True,
                # A cache reads the body, and keeps it.
                skip_cache=True,
                # It would read the body, which may be a key, and log it.
                log=False,
                raise_exc=False,
            )
        except Exception as error:
            raise cloud.explain(error) from error
        answer.close()
        return {'status': answer.status_code, 'url': str(answer.url)}


def text(version: Version | None) -> str | None:
    """Return a microversion as the header has it."""
    if not version or version == (0, 0):
        return None
    return f'{version[0]}.{version[1]}'
