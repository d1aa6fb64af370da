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

"""Requests to one service through the SDK's proxy.

What the SDK leaves out: a deadline for every answer, waiting as long as
``Retry-After`` asks, pages one at a time, and never sending a write
again when it may have been carried out already.
"""

import collections.abc
import datetime
import email.utils
import logging
import time
import typing

from openstack import connection
from openstack import exceptions as sdk
from openstack import proxy as sdk_proxy

from osc_lab.access import cloud
from osc_lab import exceptions
from osc_lab.i18n import _

LOG = logging.getLogger(__name__)

Answer = typing.TypeVar('Answer')

#: Seconds to wait for an answer.
TIMEOUT = 60.0

#: Seconds that one request may spend waiting to be sent again.
PATIENCE = 60.0

#: The service had too many requests, which it says before it does anything.
LIMITED = frozenset({413, 429})

#: It says that it did not carry out the request.
_NOT_NOW = LIMITED | {503}

#: A read may be repeated after these too, and without any answer.
_PASSING = frozenset({502, 504})

#: Seconds before it is sent again each time.
PAUSES = (0.5, 1.0, 2.0)


def proxy(connected: connection.Connection, name: str) -> sdk_proxy.Proxy:
    """Return the SDK's proxy of a service, such as ``block_storage``.

    The SDK makes none for an endpoint of clouds.yaml that tells no versions;
    before 4.11 it ends in an AttributeError. The endpoint may work all the
    same, and a request tells why it does not.
    """
    try:
        found = getattr(connected, name)
    except (AttributeError, sdk.ServiceDiscoveryException):
        found = connected.config.get_session_client(
            name.replace('_', '-'), constructor=sdk_proxy.Proxy
        )
        # As the SDK does it: it asks its connection who counts requests.
        found._connection = connected
    return typing.cast(sdk_proxy.Proxy, found)


class Rest:
    """One service's API.

    :param proxy: the SDK's proxy of the service
    :param timeout: seconds to wait for an answer
    """

    def __init__(
        self, proxy: sdk_proxy.Proxy, timeout: float = TIMEOUT
    ) -> None:
        self._proxy = proxy
        self._timeout = timeout

    def get(
        self,
        url: str,
        microversion: str | None = None,
        **params: typing.Any,
    ) -> dict[str, typing.Any]:
        """Return the body of a GET, repeated when that may help.

        :raises ServiceError: when the service refuses or does not answer
        """
        return self._repeat(
            'GET', url, microversion, params={**params} or None
        )

    def write(
        self,
        method: str,
        url: str,
        body: collections.abc.Mapping[str, typing.Any] | None = None,
        microversion: str | None = None,
    ) -> dict[str, typing.Any]:
        """Send a POST, PUT or DELETE and return the answer's body.

        It is sent again only when the service said that it did nothing.

        :raises ServiceError: with status None or 5xx when nobody knows
            whether the request was carried out: look before repeating
        """
        json = {'json': dict(body)} if body is not None else {}
        return self._repeat(method, url, microversion, **json)

    def pages(
        self,
        url: str,
        key: str,
        microversion: str | None = None,
        limit: int | None = None,
        marker: str = 'id',
        needed: str = 'id',
        **params: typing.Any,
    ) -> collections.abc.Iterator[dict[str, typing.Any]]:
        """Yield the items of a collection; one page is held at a time.

        :param key: name of the list in the body
        :param limit: items of a page; the service's own maximum counts
        :param marker: what of the last item names the next page
        :param needed: what each item has
        :raises ServiceError: for an error, or what is no such list
        """
        query = dict(params)
        if limit:
            query['limit'] = limit
        # What the page came behind, and its own items.
        markers: list[typing.Any] = [None]
        seen: set[typing.Any] = set()
        while True:
            last = markers[-1]
            body = self._page(url, microversion, query, markers)
            items = self._items(url, body.get(key), needed)
            singular = key[:-1] if key.endswith('s') else key
            # Neutron links the page before as well.
            more = has_next(
                body.get(f'{singular}_links') or body.get(f'{key}_links')
            )
            ids = [item.get(marker) for item in items]
            fresh = [
                item
                for item, name in zip(items, ids, strict=True)
                if str(name) not in seen
            ]
            if items and more and (ids[-1] is None or not fresh):
                # It would go on like this for ever.
                raise self._odd(url)
            yield from fresh
            if not items or not more:
                return
            if markers[-1] == last:
                # What was before this page comes no more.
                seen.clear()
            seen.update(map(str, ids))
            markers = [markers[-1], *ids]

    def _page(
        self,
        url: str,
        microversion: str | None,
        query: dict[str, typing.Any],
        markers: list[typing.Any],
    ) -> dict[str, typing.Any]:
        """Return the page behind the last marker that is still there.

        :param markers: those that are gone are taken away, and more with
            each attempt: much may have been deleted
        """
        step = 1
        while True:
            query['marker'] = markers[-1]
            try:
                # What is None is not sent.
                return self.get(url, microversion, **query)
            except exceptions.ServiceError as error:
                # Nova says 400.
                if error.status not in (400, 404) or len(markers) == 1:
                    raise
            del markers[max(1, len(markers) - step) :]
            step *= 2

    def _items(
        self, url: str, items: typing.Any, needed: str
    ) -> list[dict[str, typing.Any]]:
        if not isinstance(items, list) or not all(
            isinstance(item, dict) and needed in item for item in items
        ):
            raise self._odd(url)
        return items

    def _repeat(
        self,
        method: str,
        url: str,
        microversion: str | None,
        **kwargs: typing.Any,
    ) -> dict[str, typing.Any]:
        def once() -> dict[str, typing.Any]:
            answer = self._send(method, url, microversion, **kwargs)
            if method == 'GET':
                return self._body(answer)
            return self._body(answer) if answer.content else {}

        return patiently(once, lambda error: _again(method, error))

    def _send(
        self,
        method: str,
        url: str,
        microversion: str | None,
        **kwargs: typing.Any,
    ) -> typing.Any:
        try:
            # connect_retries=0: keystoneauth counts a reset connection as
            # a failure to connect and would send a write twice.
            answer = self._proxy.request(
                url,
                method,
                connect_retries=0,
                # What may be sent again is decided here, and not by what
                # clouds.yaml says for all requests.
                status_code_retries=0,
                # What is asked again may have changed, and may be secret.
                skip_cache=True,
                microversion=microversion,
                timeout=self._timeout,
                headers={'Accept': 'application/json'},
                **kwargs,
            )
            sdk.raise_from_response(answer)
        except sdk.HttpException as error:
            raise _service_error(error) from error
        except Exception as error:
            if isinstance(error, exceptions.LabError):
                raise
            said = cloud.explain(error)
            if not isinstance(said, exceptions.AccessError):
                said = exceptions.AccessError(
                    _('No whole answer from the service: %s') % said.message,
                    _('Try again.'),
                )
            raise exceptions.ServiceError(said.message, said.remedy) from error
        if answer.status_code >= 300:
            # keystoneauth gives the last of thirty redirections back.
            raise exceptions.ServiceError(
                _('The service redirects %s and never answers') % answer.url,
                _('Check the endpoint with "openstack catalog list".'),
                answer.status_code,
            )
        return answer

    def _body(self, answer: typing.Any) -> dict[str, typing.Any]:
        try:
            body = answer.json()
        except ValueError as error:
            raise self._odd(answer.url) from error
        if not isinstance(body, dict):
            raise self._odd(answer.url)
        return body

    def _odd(self, url: str) -> exceptions.ServiceError:
        return exceptions.ServiceError(
            _('The answer of %s is not what the API documents')
            % url.split('?')[0],
            _('Is there a proxy in between? See the log of the service.'),
        )


def has_next(links: typing.Any) -> bool:
    return isinstance(links, list) and any(
        isinstance(link, dict) and link.get('rel') == 'next' for link in links
    )


def patiently(
    request: collections.abc.Callable[[], Answer],
    again: collections.abc.Callable[[exceptions.ServiceError], bool],
) -> Answer:
    """Return what a request gives, repeated when the service asks for it.

    :param again: whether it may be sent again after an error
    :raises ServiceError: the last one
    """
    limit = time.monotonic() + PATIENCE
    for pause in (*PAUSES, None):
        try:
            return request()
        except exceptions.ServiceError as error:
            if pause is None or not again(error):
                raise
            wait = pause
            if error.retry_after is not None:
                wait = error.retry_after
            if time.monotonic() + wait > limit:
                raise
            LOG.debug('%s: again in %g s', error.message, wait)
            time.sleep(wait)
    raise AssertionError


def _again(method: str, error: exceptions.ServiceError) -> bool:
    if error.status in _NOT_NOW:
        return True
    if cloud.untrusted(error.__cause__):
        return False
    return method == 'GET' and (
        error.status is None or error.status in _PASSING
    )


def _service_error(error: sdk.HttpException) -> exceptions.ServiceError:
    said = cloud.explain(error)
    status = error.status_code or None
    remedy = said.remedy
    if status == 401:
        remedy = _('Log in anew; the password or the role may have changed.')
    headers = getattr(error.response, 'headers', None) or {}
    return exceptions.ServiceError(
        said.message, remedy, status, retry_after(headers.get('Retry-After'))
    )


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, see RFC 9110, 10.2.3."""
    if not value:
        return None
    try:
        return max(0.0, float(int(value)))
    except (ValueError, OverflowError):
        pass
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(
        0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds()
    )
