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

"""A connection to an OVSDB server: JSON-RPC 1.0 as RFC 7047 uses it.

The Python client of Open vSwitch keeps copies of tables, which costs
seconds and many megabytes on a host with thousands of ports, parses JSON
in Python, and does not compare a server's certificate with its name.
The few questions that we ask need no copy, so this is the wire protocol
and nothing else, from the standard library: one request, one answer,
and a deadline for each.  Connections share nothing, so hosts can be
asked from as many threads as there are hosts.
"""

import collections.abc
import dataclasses
import functools
import json
import os
import re
import shlex
import socket
import ssl
import time
import typing

from osc_lab import exceptions
from osc_lab.i18n import _

_CHUNK = 65536

#: Bytes of an answer; all rows of 10,000 ports have 10 MB.
_LONGEST = 64 * 1024 * 1024

#: Of JSON, inside a string.
_ESCAPE = re.compile(rb'\\.', re.DOTALL)

#: X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_MISMATCH = (62, 64)


@dataclasses.dataclass(frozen=True)
class Files:
    """TLS files; None where the user gave none."""

    ca_cert: str | None = None
    cert: str | None = None
    key: str | None = None


class Connection:
    """One connection; use it as a context manager.

    :param remote: ``unix:PATH``, ``tcp:ADDRESS:PORT`` or
        ``ssl:ADDRESS:PORT``; an IPv6 address in brackets
    :param name: host that must be at the other end; its certificate must
        name this or the address
    :param deadline: seconds for connecting, and for each answer
    :raises AccessError: when it cannot be reached, or is another host
    :raises InvalidInput: for a remote that cannot be used
    """

    def __init__(
        self, remote: str, name: str, files: Files, deadline: float
    ) -> None:
        self._name = name
        self._deadline = deadline
        self._open = functools.partial(_connect, remote, name, files, deadline)
        self._id = 0
        self._frame = _Frame()
        #: Bytes that were read, for measurements.
        self.received = 0
        self._socket: socket.socket | None = self._open()

    def __enter__(self) -> 'Connection':
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._frame = _Frame()

    def call(
        self, method: str, params: collections.abc.Sequence[typing.Any]
    ) -> typing.Any:
        """Send a request and return the result.

        After a failure the next request makes a new connection; the one
        that failed may have been carried out all the same.

        :raises AccessError: when no good answer comes in time
        """
        self._id += 1
        limit = time.monotonic() + self._deadline
        if self._socket is None:
            self._socket = self._open()
        self._send(
            {'method': method, 'params': list(params), 'id': self._id}, limit
        )
        while True:
            message = self._receive(limit)
            if message.get('method') == 'echo':
                self._send(
                    {
                        'result': message.get('params'),
                        'error': None,
                        'id': message.get('id'),
                    },
                    limit,
                )
            elif message.get('id') == self._id:
                break
        if message.get('error') is not None:
            raise self._failed(json.dumps(message['error']))
        return message.get('result')

    def _send(self, message: dict[str, typing.Any], limit: float) -> None:
        assert self._socket is not None
        try:
            self._socket.settimeout(max(0.001, limit - time.monotonic()))
            self._socket.sendall(json.dumps(message).encode())
        except (OSError, ValueError) as error:
            raise self._failed(_reason(error)) from error

    def _receive(self, limit: float) -> dict[str, typing.Any]:
        while True:
            message = self._complete()
            if message is not None:
                return message
            left = limit - time.monotonic()
            if left <= 0:
                raise self._failed(_('no answer in time'))
            assert self._socket is not None
            try:
                self._socket.settimeout(left)
                chunk = self._socket.recv(_CHUNK)
            except (OSError, ValueError) as error:
                raise self._failed(_reason(error)) from error
            if not chunk:
                raise self._failed(_('it closed the connection'))
            self.received += len(chunk)
            self._frame.feed(chunk)

    def _complete(self) -> dict[str, typing.Any] | None:
        """Return the first whole message, if there is one."""
        try:
            found = self._frame.take()
        except (ValueError, RecursionError) as error:
            raise self._failed(_('it does not speak OVSDB')) from error
        if found is None:
            return None
        message, rest = found
        if not isinstance(message, dict):
            raise self._failed(_('it does not speak OVSDB'))
        self._frame = _Frame()
        self._frame.feed(rest)
        return message

    def _failed(self, reason: str) -> exceptions.AccessError:
        self.close()
        return exceptions.AccessError(
            _('OVSDB on %(host)s: %(reason)s')
            % {'host': self._name, 'reason': reason},
            _('Check ovsdb-server there, and the option --ovsdb.'),
        )


class _Frame:
    """Finds the end of messages in a stream, in one pass.

    A message is an object: it is whole when as many braces are closed as
    were opened, strings left aside.  Only then is it parsed.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._escape = b''
        self._inside = 0
        self._open = 0
        self._begun = False

    def feed(self, chunk: bytes) -> None:
        """Take bytes."""
        self._data += chunk
        text = _ESCAPE.sub(b'', self._escape + chunk)
        self._escape = text[-1:] if text.endswith(b'\\') else b''
        # Every other part stands between quotes.
        parts = text.split(b'"')
        bare = b''.join(parts[self._inside :: 2])
        self._inside = (self._inside + len(parts) - 1) % 2
        self._open += bare.count(b'{') - bare.count(b'}')
        self._begun = self._begun or b'{' in bare or b'}' in bare

    def take(self) -> tuple[typing.Any, bytes] | None:
        """Return a whole message and what follows, None without one.

        :raises ValueError: when what is there is no JSON, or too long
        :raises RecursionError: when it is too deep
        """
        if len(self._data) > _LONGEST:
            raise ValueError('too long')
        if not self._begun or self._inside or self._open > 0:
            return None
        text = self._data.decode().lstrip()
        message, end = json.JSONDecoder().raw_decode(text)
        return message, text[end:].encode()


def _connect(
    remote: str, name: str, files: Files, deadline: float
) -> socket.socket:
    kind, _colon, rest = remote.partition(':')
    try:
        if kind == 'unix' and rest:
            return _unix(rest, deadline)
        if kind == 'tcp':
            limit = time.monotonic() + deadline
            return _reached(address(remote, rest), limit)
        if kind == 'ssl':
            return _tls(address(remote, rest), name, files, deadline)
    except ssl.SSLCertVerificationError as error:
        raise exceptions.AccessError(
            _('OVSDB at %(remote)s is not the host %(host)s: %(reason)s')
            % {
                'remote': remote,
                'host': name,
                'reason': error.verify_message,
            },
            _('Check --ovsdb-ca-cert, and the names in its certificate.'),
        ) from error
    except (OSError, ValueError) as error:
        raise exceptions.AccessError(
            _('OVSDB of %(host)s at %(remote)s: %(reason)s')
            % {'host': name, 'remote': remote, 'reason': _reason(error)},
            _('Check ovsdb-server there, and the option --ovsdb.'),
        ) from error
    raise exceptions.InvalidInput(
        _('--ovsdb: "%s" is not a remote') % remote,
        _('Use ssl:{host}:6640, tcp:{host}:6640, unix:PATH or ssh.'),
    )


def address(remote: str, rest: str) -> tuple[str, int]:
    """Return the address and port of what stands after ``ssl:``.

    :raises InvalidInput: when there is none
    """
    host, _colon, port = rest.rpartition(':')
    host = host.removeprefix('[').removesuffix(']')
    if not host or not port.isascii() or not port.isdigit():
        raise exceptions.InvalidInput(
            _('--ovsdb: "%s" names no address and port') % remote,
            _('Write it like ssl:{host}:6640.'),
        )
    return host, min(int(port), 65535)


def _unix(path: str, deadline: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(deadline)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _reached(where: tuple[str, int], limit: float) -> socket.socket:
    """Connect to one of the addresses of a name.

    Each has an equal share of the time that is left.

    :param limit: of time.monotonic(), for all of them
    :raises OSError: of the last one
    """
    found = socket.getaddrinfo(*where, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _name, place) in enumerate(found):
        left = max(0.001, limit - time.monotonic())
        try:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(left / (len(found) - number))
                connection.connect(place)
            except OSError:
                connection.close()
                raise
        except OSError:
            if number + 1 == len(found):
                raise
        else:
            connection.settimeout(max(0.001, limit - time.monotonic()))
            return connection
    raise OSError('no address')


def _tls(
    where: tuple[str, int], name: str, files: Files, deadline: float
) -> socket.socket:
    """Connect and see that the certificate names the host or address.

    OpenSSL compares with one name at a time, so a certificate that names
    the host and not the address costs a second connection.
    """
    context = _context(files)
    limit = time.monotonic() + deadline
    names = list(dict.fromkeys((where[0], name)))
    for number, wanted in enumerate(names, 1):
        plain = _reached(where, limit)
        try:
            return context.wrap_socket(plain, server_hostname=wanted)
        except ssl.SSLCertVerificationError as error:
            plain.close()
            if number == len(names) or error.verify_code not in _MISMATCH:
                raise
        except OSError:
            plain.close()
            raise
    raise AssertionError


def _context(files: Files) -> ssl.SSLContext:
    if not files.ca_cert:
        raise exceptions.InvalidInput(
            _('OVSDB over ssl needs a CA certificate'),
            _('Use --ovsdb-ca-cert, or ovsdb_ca_cert in clouds.yaml.'),
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(
        '--ovsdb-ca-cert',
        files.ca_cert,
        lambda: context.load_verify_locations(files.ca_cert),
    )
    if files.cert:
        cert = files.cert
        _load(
            '--ovsdb-cert and --ovsdb-key',
            cert,
            lambda: context.load_cert_chain(cert, files.key, _no_password),
        )
        if files.key:
            _judge_key('--ovsdb-key', files.key)
        else:
            # It was found beside the certificate.
            _judge_key('--ovsdb-cert', cert)
    return context


def _judge_key(option: str, path: str) -> None:
    """Refuse a private key that is none.

    As OpenSSH does, the group is left to the owner of a file that is not
    the caller's: a service may give its key to those of its group.

    :raises InvalidInput: when more than that can read or change it
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise exceptions.InvalidInput(
            f'{option}: {path}: {_reason(error)}'
        ) from error
    mine = found.st_uid == os.geteuid()
    if found.st_mode & (0o077 if mine else 0o007):
        raise exceptions.InvalidInput(
            _('%(option)s: the private key %(path)s is open to others')
            % {'option': option, 'path': path},
            _('Take their rights away: chmod 600 %s') % shlex.quote(path),
        )


def _no_password() -> str:
    """Return no password, so that OpenSSL never asks on the terminal."""
    return ''


def _load(
    option: str, path: str, load: collections.abc.Callable[[], None]
) -> None:
    try:
        load()
    except (OSError, ValueError) as error:
        raise exceptions.InvalidInput(
            _('%(option)s: %(path)s: %(reason)s')
            % {'option': option, 'path': path, 'reason': _reason(error)},
            _('Give a PEM file that this user may read.'),
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return _('no answer in time')
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
