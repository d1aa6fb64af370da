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

"""What the shell of a compute host tells, in one call a round."""

import collections.abc
import contextlib
import inspect
import json
import math
import subprocess
import typing

from osc_lab.access import remote_probe
from osc_lab.access import shell
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import nova_options

Json = dict[str, typing.Any]

#: Seconds that the probe may go on after nobody waits for it any more.
_MARGIN = 5

#: Bytes of the line that names some ports.
_LINE = 4096


class HostShell:
    """The probe on one host.

    :param host: with a shell channel
    :param files: of nova.conf; empty lets the probe ask nova-compute
    """

    def __init__(
        self,
        host: channels.Host,
        settings: channels.Channels,
        files: collections.abc.Sequence[str] = (),
    ) -> None:
        self._shell = shell.Shell(host, settings)
        self._deadline = settings.deadline
        self._files = list(files)

    def ask(self, **request: typing.Any) -> Json:
        """Return the answers to a request of the probe.

        :raises AccessError: when the host does not answer in time
        """
        limit = self._deadline * 2 + 1
        answer = self._shell.run(
            _command(limit), _line(request), timeout=limit
        )
        lines = answer.text.strip().splitlines()
        try:
            found = json.loads(lines[-1] if lines else '')
        except ValueError as error:
            raise exceptions.AccessError(
                _('The probe failed on %(host)s: %(error)s')
                % {
                    'host': self._shell.host.name,
                    'error': shell.last(answer.stderr)
                    or f'status {answer.status}',
                },
                _('It needs Python 3.9 or later there, as python3.'),
            ) from error
        if not isinstance(found, dict):
            raise exceptions.AccessError(
                _('The probe on %s answered nonsense') % self._shell.host.name
            )
        return found

    def configuration(self) -> Json:
        """Return the request for the options of Nova."""
        return {'files': self._files, 'options': nova_options.WANTED}

    def listen(
        self, ports: collections.abc.Sequence[int], seconds: float
    ) -> 'Listener':
        """Begin to listen on a port of the host, for a moment.

        It closes with the connection, and after ``seconds`` in any case.

        :param ports: the first that is free is taken

        :raises AccessError: when nothing can be run here
        """
        return Listener(
            self._shell.host.name,
            self._shell.argv(_command(seconds)),
            _line({'listen': [list(ports), seconds]}),
        )


class Listener:
    """A socket that listens on a host until it is closed.

    :param host: its name
    :param argv: what opens it and says where
    :param request: of the probe
    """

    def __init__(self, host: str, argv: list[str], request: bytes) -> None:
        self._host = host
        try:
            self._process = subprocess.Popen(
                argv,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=shell.environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise shell.cannot_run(argv[0], error) from error
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(request)

    def port(self) -> int | None:
        """Return where it listens, None when no port was free.  May hang.

        :raises AccessError: when the host does not say
        """
        assert self._process.stdout is not None
        try:
            found = json.loads(self._process.stdout.readline(_LINE))[
                'listening'
            ]
            return None if found is None else int(found)
        except (ValueError, KeyError, TypeError) as error:
            raise exceptions.AccessError(
                _('Nothing could listen on %s') % self._host
            ) from error

    def close(self) -> None:
        # The other end stops when its input ends.
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        shell.reap(self._process, 1.0)


def _command(seconds: float) -> list[str]:
    """Return what runs the probe.

    :param seconds: in which it is done; it ends itself a little later
    """
    source = inspect.getsource(remote_probe)
    return ['python3', '-c', source, str(math.ceil(seconds) + _MARGIN)]


def _line(request: Json) -> bytes:
    """Return a request as the probe reads it; an argument has a limit."""
    return json.dumps(request).encode() + b'\n'
