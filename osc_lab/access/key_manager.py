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

"""Key manager (Barbican)."""

import collections.abc
import logging
import secrets
import time

from keystoneauth1 import exceptions as ksa
from openstack import connection

from osc_lab.access import rest
from osc_lab.encryption import model
from osc_lab.encryption import probe
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab import plan

LOG = logging.getLogger(__name__)

#: Items of a page; Barbican gives 100 at most by default
#: (max_limit_paging).
_PAGE = 100

#: Seconds that Barbican may take for one key.
_PATIENCE = 20.0


class KeyManager:
    """The API of Barbican as the encryption package sees it.

    :param sdk: the connection of the cloud
    :param timeout: seconds to wait for an answer
    """

    def __init__(
        self, sdk: connection.Connection, timeout: float = rest.TIMEOUT
    ) -> None:
        self._sdk = sdk
        self._timeout = timeout

    @property
    def _rest(self) -> rest.Rest:
        return rest.Rest(rest.proxy(self._sdk, 'key_manager'), self._timeout)

    def available(self) -> bool:
        """Return whether the catalog or clouds.yaml has a key manager."""
        if self._sdk.config.get_endpoint('key-manager'):
            return True
        try:
            return bool(
                self._sdk.session.get_endpoint(
                    service_type='key-manager',
                    interface=self._sdk.config.get_interface('key-manager'),
                    region_name=self._sdk.config.get_region_name(
                        'key-manager'
                    ),
                )
            )
        except ksa.EndpointNotFound:
            return False

    def try_order(self, encryption: model.Encryption) -> probe.KeyOrder:
        """Order a key as Cinder does, and remove order and key again.

        :raises ServiceError: when Barbican does not answer
        """
        name = f'osc-lab-probe-{secrets.token_hex(4)}'
        try:
            body = self._rest.write(
                'POST',
                '/orders',
                {
                    'type': 'key',
                    'meta': {
                        'name': name,
                        'algorithm': probe.algorithm(encryption),
                        'bit_length': encryption.key_size,
                        'payload_content_type': 'application/octet-stream',
                    },
                },
            )
        except exceptions.ServiceError as error:
            if error.status in (401, 403):
                return probe.KeyOrder(False, error.message, forbidden=True)
            if error.status in (400, 409, 413, 501):
                return probe.KeyOrder(False, error.message)
            self._forget_lost(name)
            raise
        except KeyboardInterrupt:
            self._forget_lost(name)
            raise
        order = str(body.get('order_ref', '')).rpartition('/')[2]
        if not order:
            self._forget_lost(name)
            raise exceptions.ServiceError(
                _('Barbican did not say which order it took'),
                _('Is there a proxy in between?'),
            )
        try:
            return self._outcome(order, name, probe.is_usual(encryption))
        finally:
            with plan.uninterrupted():
                self._forget(order)

    def _outcome(self, order: str, name: str, usual: bool) -> probe.KeyOrder:
        limit = time.monotonic() + _PATIENCE
        while time.monotonic() < limit:
            body = self._rest.get(f'/orders/{order}')
            if body.get('status') == 'ACTIVE':
                return probe.KeyOrder(True)
            if body.get('status') == 'ERROR':
                # 5xx: the plugin failed (barbican.api.
                # generate_safe_exception_message), as that of simple_crypto
                # does for a size that it does not know.
                code = str(body.get('error_status_code') or '')
                return probe.KeyOrder(
                    None if usual and code.startswith('5') else False,
                    str(body.get('error_reason') or _('no reason')),
                )
            time.sleep(0.2)
        return probe.KeyOrder(
            None,
            _('not in %(seconds)d s; "%(name)s" may still come')
            % {'seconds': _PATIENCE, 'name': name},
        )

    def _forget(self, order: str) -> None:
        try:
            body = self._rest.get(f'/orders/{order}')
            secret = str(body.get('secret_ref') or '').rpartition('/')[2]
            if secret:
                self._rest.write('DELETE', f'/secrets/{secret}')
            self._rest.write('DELETE', f'/orders/{order}')
        except exceptions.ServiceError as error:
            LOG.warning(
                _('The test order %(order)s remains in Barbican: %(why)s'),
                {'order': order, 'why': error.message},
            )

    def _forget_lost(self, name: str) -> None:
        """Remove an order whose answer was lost; it is among the last."""
        with plan.uninterrupted():
            try:
                total = int(self._rest.get('/orders', limit=1)['total'])
                page = self._rest.get(
                    '/orders', limit=_PAGE, offset=max(0, total - _PAGE)
                )
                for item in page['orders']:
                    if item['meta']['name'] == name:
                        self._forget(item['order_ref'].rpartition('/')[2])
            except (exceptions.ServiceError, KeyError, TypeError):
                LOG.warning(
                    _('A test order, %s, may remain in Barbican.'), name
                )

    def secrets(self) -> collections.abc.Iterator[str]:
        """Yield the ids of all secrets of the caller's project."""
        offset = 0
        while True:
            body = self._rest.get('/secrets', limit=_PAGE, offset=offset)
            page = body.get('secrets') or []
            for item in page:
                yield str(item.get('secret_ref')).rpartition('/')[2]
            offset += len(page)
            if not page or offset >= int(body.get('total') or 0):
                return

    def knows(self, secret: str) -> bool | None:
        """Return whether a secret exists; None when the caller may not see.

        :param secret: its id
        :raises ServiceError: when Barbican does not answer
        """
        try:
            self._rest.get(f'/secrets/{secret}')
        except exceptions.ServiceError as error:
            if error.status == 404:
                return False
            if error.status in (401, 403):
                return None
            raise
        return True
