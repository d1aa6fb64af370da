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

"""The shell channel: commands on hosts through OpenSSH, or here.

Arguments never pass through a shell on this side and are quoted for the
one on the other side.  OpenSSH brings the user's configuration, agent
and jump hosts; it never asks, and it never accepts an unknown host key.
"""

import atexit
import collections.abc
import contextlib
import dataclasses
import functools
import os
import selectors
import shlex
import socket
import subprocess
import tempfile
import time
import typing

from osc_lab import channels
from osc_lab import exceptions
from osc_lab.i18n import _

#: Bytes of an answer: the files and log lines of a host have some MB.
_MOST = 16 << 20
_CHUNK = 1 << 16

#: They are in a session of their own, and nobody else would end them where
#: a thread was left behind that waits for them.
_RUNNING: 'set[subprocess.Popen[bytes]]' = set()


@atexit.register
def _end_all() -> None:
    for process in list(_RUNNING):
        process.kill()


#: Exit status of OpenSSH itself, see ssh(1), EXIT STATUS.
_SSH_FAILED = 255


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command gave back.

    :param status: exit status
    :param stdout: bytes, untouched
    :param stderr: text, for messages
    """

    status: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode('utf-8', 'replace')


def environment() -> dict[str, str]:
    """Return the environment for programs: it has no secret of a log-in.

    Every process of the user can read it in /proc, and OpenSSH may be
    told to send parts of it to the host.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith('OS_')
    }


def cannot_run(program: str, error: OSError) -> exceptions.AccessError:
    return exceptions.AccessError(
        _('Cannot run %(program)s: %(error)s')
        % {'program': program, 'error': error.strerror},
        _('Install it, or choose another channel.')
        if isinstance(error, FileNotFoundError)
        else '',
    )


class Shell:
    """The shell of one host.

    :param host: where
    :param settings: OpenSSH configuration and the deadline
    :raises AccessError: when the host has no shell channel
    """

    def __init__(
        self, host: channels.Host, settings: channels.Channels
    ) -> None:
        if not host.ssh:
            raise exceptions.AccessError(
                _('There is no shell channel to %s') % host.name,
                _('Use --ssh.'),
            )
        self.host = host
        self.local = host.ssh == 'local'
        self._deadline = settings.deadline
        self._config = settings.ssh_config

    def argv(
        self, command: collections.abc.Sequence[str], *options: str
    ) -> list[str]:
        """Return the local command line that runs a command there.

        :param options: further options for OpenSSH
        """
        if self.local:
            return list(command)
        remote = ['--', shlex.join(command)] if command else []
        return [*self._ssh(*options), *remote]

    def _ssh(self, *options: str) -> list[str]:
        config = ['-F', self._config] if self._config else []
        return [
            'ssh',
            *config,
            '-T',
            '-o',
            'BatchMode=yes',
            '-o',
            'StrictHostKeyChecking=yes',
            # One that is there is used; we end, and others would with us.
            '-o',
            'ControlMaster=no',
            '-o',
            f'ConnectTimeout={max(1, round(self._deadline))}',
            *options,
            typing.cast(str, self.host.ssh),
        ]

    def run(
        self,
        command: collections.abc.Sequence[str],
        stdin: bytes = b'',
        timeout: float | None = None,
        check: bool = False,
    ) -> Answer:
        """Run a command and wait for it.

        :param timeout: seconds; the deadline of a host by default
        :param check: raise when the command's status is not 0
        :raises AccessError: when the host cannot be reached in time, or
            the command failed and ``check`` is set
        """
        limit = timeout or self._deadline + 1
        argv = self.argv(command)
        try:
            # Ctrl-C is for us alone: what it ends may have to be undone.
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise cannot_run(argv[0], error) from error
        stdout, stderr = self._talk(process, stdin, limit)
        answer = Answer(
            process.returncode,
            stdout,
            stderr.decode('utf-8', 'replace').strip(),
        )
        self._check(command, answer, check)
        return answer

    def _talk(
        self, process: 'subprocess.Popen[bytes]', stdin: bytes, limit: float
    ) -> tuple[bytes, bytes]:
        _RUNNING.add(process)
        with process:
            try:
                return _exchange(process, stdin, limit)
            except (TimeoutError, subprocess.TimeoutExpired) as error:
                raise exceptions.AccessError(
                    _('%(host)s did not answer within %(limit)g s')
                    % {'host': self.host.name, 'limit': limit},
                    _('Check the host, or give it longer: --host-timeout.'),
                ) from error
            except OverflowError as error:
                raise exceptions.AccessError(
                    _('%(host)s answered with more than %(most)d MiB')
                    % {'host': self.host.name, 'most': _MOST >> 20},
                    _('Try it by hand: %s') % shlex.join(self.argv(['true'])),
                ) from error
            finally:
                process.kill()
                _RUNNING.discard(process)

    def _check(
        self,
        command: collections.abc.Sequence[str],
        answer: Answer,
        check: bool,
    ) -> None:
        broken = answer.status == _SSH_FAILED or answer.status < 0
        if broken and not self.local:
            raise exceptions.AccessError(
                _('No shell on %(host)s: %(error)s')
                % {
                    'host': self.host.name,
                    'error': last(answer.stderr) or f'status {answer.status}',
                },
                _('Try it by hand: %s') % shlex.join(self.argv(['true'])),
            )
        if check and answer.status:
            raise exceptions.AccessError(
                _('%(command)s failed on %(host)s: %(error)s')
                % {
                    'command': command[0],
                    'host': self.host.name,
                    'error': last(answer.stderr) or f'status {answer.status}',
                },
            )

    @contextlib.contextmanager
    def forward(self, remote_socket: str) -> typing.Iterator[str]:
        """Make a Unix socket of the host reachable here.

        :param remote_socket: absolute path on the host
        :returns: path of a socket on this machine, in a folder that only
            the caller may enter
        :raises AccessError: when OpenSSH cannot forward it in time
        """
        if self.local:
            yield remote_socket
            return
        try:
            temporary = tempfile.TemporaryDirectory(prefix='osc-lab-')
        except OSError as error:
            raise exceptions.AccessError(
                _('Cannot make a folder for the socket of %(host)s: %(error)s')
                % {'host': self.host.name, 'error': error.strerror},
                _('Make room for it, or set TMPDIR.'),
            ) from error
        with temporary as folder:
            path = os.path.join(folder, 'sock')
            where = f'{path}:{remote_socket}'
            ssh = self._forwarding(where)
            end = functools.partial(self._end, ssh, path, where)
            # For a thread that is left behind; the folder goes after that.
            atexit.register(end)
            try:
                self._wait_for(path, ssh)
                yield path
            finally:
                atexit.unregister(end)
                end()

    def _forwarding(self, where: str) -> 'subprocess.Popen[bytes]':
        argv = self.argv(
            ['cat'], '-o', 'ExitOnForwardFailure=yes', '-L', where
        )
        try:
            # The end of its input ends it, also when we are killed; Ctrl-C
            # does not: what is to be undone needs the way to the host.
            return subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise cannot_run(argv[0], error) from error

    def _end(
        self, ssh: 'subprocess.Popen[bytes]', path: str, where: str
    ) -> None:
        """End a forwarding, also in a master that goes on."""
        ssh.terminate()
        for stream in (ssh.stdin, ssh.stderr):
            if stream:
                stream.close()
        reap(ssh, 1.0)
        # Without a descriptor to look, or to run OpenSSH, it stays there.
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if _listens(path):
                # With a master another process has the socket.
                subprocess.run(
                    self.argv([], '-O', 'cancel', '-L', where),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=self._deadline,
                    check=False,
                    env=environment(),
                    start_new_session=True,
                )

    def _wait_for(self, path: str, ssh: 'subprocess.Popen[bytes]') -> None:
        limit = time.monotonic() + self._deadline
        while not os.path.exists(path):
            if ssh.poll() is not None:
                assert ssh.stderr is not None
                text = ssh.stderr.read().decode('utf-8', 'replace')
                raise exceptions.AccessError(
                    _('No shell on %(host)s: %(error)s')
                    % {'host': self.host.name, 'error': last(text)},
                    _('Try it by hand: %s') % shlex.join(self.argv(['true'])),
                )
            if time.monotonic() > limit:
                raise exceptions.AccessError(
                    _('%s did not answer in time') % self.host.name,
                    _('Check the host, or use --host-timeout.'),
                )
            time.sleep(0.02)


def _exchange(
    process: 'subprocess.Popen[bytes]', stdin: bytes, seconds: float
) -> tuple[bytes, bytes]:
    """Return what a process writes until it ends, of errors the last.

    :raises TimeoutError: when it takes longer, or TimeoutExpired
    :raises OverflowError: when it writes more than anything needs
    """
    assert process.stdin and process.stdout and process.stderr
    limit = time.monotonic() + seconds
    output, errors = bytearray(), bytearray()
    with selectors.PollSelector() as selector:
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, errors)
        while selector.get_map():
            left = limit - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _events in selector.select(left):
                if key.data is None:
                    try:
                        stdin = stdin[os.write(key.fd, stdin) :]
                    except BrokenPipeError:
                        stdin = b''
                    if not stdin:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                chunk = os.read(key.fd, _CHUNK)
                key.data.extend(chunk)
                if not chunk:
                    selector.unregister(key.fileobj)
            if len(output) > _MOST:
                raise OverflowError
            del errors[:-_CHUNK]
    process.wait(max(0.0, limit - time.monotonic()))
    return bytes(output), bytes(errors)


def reap(process: 'subprocess.Popen[bytes]', seconds: float) -> None:
    """Wait for a process that was told to end, then kill it.

    It may ignore a signal that was ignored where we were started.
    """
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _listens(path: str) -> bool:
    """Return whether somebody listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def last(text: str) -> str:
    """Return the last line that says something; OpenSSH is chatty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ''
