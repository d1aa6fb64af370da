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

"""Base of tests that run the real openstack shell on a real cloud."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import typing
import uuid

from osc_lab.tests import bounded

# What runs in the background of a shell ignores SIGINT, and so would all
# that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclasses.dataclass(frozen=True)
class Run:
    """What one call of the openstack shell gave back."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    def json(self) -> typing.Any:
        try:
            return json.loads(self.stdout)
        except ValueError as error:
            raise AssertionError(str(self)) from error

    def __str__(self) -> str:
        return (
            f'$ openstack {" ".join(self.argv)}\n{self.stdout}{self.stderr}'
            f'[exit status {self.status}]'
        )


def openstack(*argv, cloud=None, timeout=300, **environ):
    """Run the openstack shell of this environment in a process."""
    env = {**os.environ, **environ}
    if cloud:
        env['OS_CLOUD'] = cloud
    done = subprocess.run(
        [sys.executable, '-m', 'openstackclient.shell', *argv],
        capture_output=True,
        text=True,
        errors='replace',
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        env=env,
    )
    return Run(argv, done.returncode, done.stdout, done.stderr)


class ShellTest(bounded.TestCase):
    """Runs the shell, with or without a cloud."""

    def openstack(self, *argv, status=0, **kwargs):
        """Run a command and insist on its exit status.

        A traceback is never right.
        """
        run = openstack(*argv, **kwargs)
        self.assertNotIn('Traceback', run.stdout + run.stderr, str(run))
        if status is not None:
            self.assertEqual(status, run.status, str(run))
        return run

    def json(self, *argv, **kwargs):
        return self.openstack(*argv, '-f', 'json', **kwargs).json()


class CloudTest(ShellTest):
    """Needs the lab cloud, and fails without it."""

    #: The administrator's and the ordinary member's cloud.
    ADMIN = 'lab'
    MEMBER = 'lab-demo'

    def setUp(self):
        super().setUp()
        if not os.environ.get('OS_CLIENT_CONFIG_FILE'):
            self.fail(
                'These tests need the lab cloud. Run "tox -e functional", or '
                'bring it up with "python3 -m lab up" and load '
                '"python3 -m lab env".'
            )

    def unique(self, prefix):
        """Return a name that no other test uses."""
        return f'{prefix}-{uuid.uuid4().hex[:8]}'

    def later(self, *argv, **kwargs):
        """Run a command when the test is over, whatever it gives."""
        self.addCleanup(openstack, *argv, **kwargs)
