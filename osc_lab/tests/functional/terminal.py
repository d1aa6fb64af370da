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

"""A person at a terminal, who reads what is printed and presses keys."""

import os
import pty
import subprocess
import sys
import termios
import threading
import time

INTERRUPT = b'\x03'
COLUMNS = 80


class Terminal:
    """The openstack shell as the foreground job of a terminal of its own.

    :param environ: more of the environment than this process has
    """

    def __init__(self, *argv, **environ):
        self._keys, side = pty.openpty()
        termios.tcsetwinsize(side, (24, COLUMNS))
        self._read = b''
        try:
            self.process = subprocess.Popen(
                # For its keys to count it has to be the controlling terminal,
                # and what a job in the background ignores is not inherited.
                [
                    *('setsid', '--ctty', 'env', '--default-signal=INT'),
                    *(sys.executable, '-m', 'openstackclient.shell', *argv),
                ],
                stdin=side,
                stdout=side,
                stderr=side,
                env={**os.environ, 'TERM': 'xterm', **environ},
            )
        finally:
            os.close(side)
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def _follow(self):
        try:
            while data := os.read(self._keys, 4096):
                self._read += data
        except OSError:
            # The last one who had the terminal open is gone.
            pass

    @property
    def text(self):
        return self._read.decode(errors='replace')

    def press(self, key):
        os.write(self._keys, key)

    def wait_for(self, check, seconds):
        """Wait until a check of the text gives something; return that."""
        limit = time.monotonic() + seconds
        while not (found := check(self.text)):
            if time.monotonic() > limit:
                raise AssertionError(f'{seconds} s are over:\n{self.text}')
            if not self._reader.is_alive():
                raise AssertionError(f'it has ended:\n{self.text}')
            time.sleep(0.05)
        return found

    def end(self, seconds):
        """Wait for the end of the command; return its exit status."""
        status = self.process.wait(seconds)
        self._reader.join(seconds)
        return status

    def close(self):
        """End what is still there."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._keys)
