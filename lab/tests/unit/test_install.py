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

"""Who holds the lock of the cache."""

import fcntl
import pathlib
import tempfile
import threading
import time
import unittest

from lab import install
from lab import model

#: Stands for pip: goes on until it is told to end.
PIP = 'touch {0}/on; until [ -e {0}/go ]; do sleep 0.02; done'


class LockTest(unittest.TestCase):
    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.layout = model.Layout(
            self.folder / 'state', self.folder / 'cache', '127.79.3', 21000
        )

    def free(self) -> bool:
        with open(self.layout.cache / 'lock', 'w') as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def test_what_installs_holds_it_to_the_end(self) -> None:
        """As after kill -9 of `lab up`, which ends no pip."""
        installer = install.Installer(self.layout, True)
        pip = threading.Thread(
            target=installer._run,
            args=('install-pip', 'sh', '-c', PIP.format(self.folder)),
        )
        limit = time.monotonic() + 10
        with installer.lock():
            pip.start()
            while not (self.folder / 'on').exists():
                self.assertLess(time.monotonic(), limit)
                time.sleep(0.01)
            self.assertFalse(self.free())
        held = not self.free()
        (self.folder / 'go').touch()
        pip.join(10)
        self.assertTrue(held)
        self.assertTrue(self.free())


if __name__ == '__main__':
    unittest.main()
