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
import subprocess
import typing

from osc_lab.access import remote_probe
from osc_lab.access import shell
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import nova_options

Json = dict[str, typing.Any]


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
        answer = self._shell.run(
            _command(request), timeout=self._deadline * 2 + 1
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
                _('It needs python3 there.'),
            ) from error
        if not isinstance(found, dict):
            raise exceptions.AccessError(
                _('The probe on %s answered nonsense') % self._shell.host.name
            )
        return found

    def configuration(self) -> Json:
        """Return the request for the options of Nova."""
        return {'files': self._files, 'options': nova_options.WANTED}

    @contextlib.contextmanager
    def listening(
        self, ports: collections.abc.Sequence[int], seconds: float
    ) -> collections.abc.Iterator[list[int]]:
        """Listen on ports of the host for a moment.

        The sockets close with the connection, and after ``seconds`` in any
        case.

        :returns: the ports that were free
        :raises AccessError: when the host does not answer
        """
        process = subprocess.Popen(
            self._shell.argv(_command({'listen': [list(ports), seconds]})),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            try:
                opened = json.loads(line)['listening']
            except (ValueError, KeyError, TypeError) as error:
                raise exceptions.AccessError(
                    _('Nothing could listen on %s') % self._shell.host.name
                ) from error
            yield opened
        finally:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            try:
                process.wait(self._deadline)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _command(request: Json) -> list[str]:
    return [
        'python3',
        '-c',
        inspect.getsource(remote_probe),
        json.dumps(request),
    ]
