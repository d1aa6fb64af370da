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


"""Each cause found before, met when forced, explained, and cured.

A test makes one cause for real, sees that the checks name it and nothing
else, migrates all the same, sees that the result and --explain name it
again, undoes it as the remedy says, and sees that nothing is left to find.
"""

import contextlib
import re
import time

import openstack

from osc_lab.tests.functional import compute


class ThroughTest(compute.ComputeTest):
    """Takes a cause through all that a user would do."""

    def setUp(self):
        super().setUp()
        # What a test leaves in ERROR is not the fault of the next one.
        self.addCleanup(self.mended)

    def through(self, cause, *checks, options=(), other=(), slow=False):
        """Make a cause, and see it named by these checks alone.

        :param other: checks that a forced run may name instead
        :param slow: libvirt may go on trying when Nova has given up, and
            would move the guest behind its back without the cause
        """
        with cause:
            found = self.preflight(*options, status=3)
            failed = self.results(found, 'failed')
            self.assertEqual(
                {(check, self.other) for check in checks},
                self.failed(found),
                found,
            )
            for item in failed:
                self.assertTrue(item['Remedy'], item)
            self.forced({*checks, *other}, options)
            if slow:
                self.mended()
        self.mended()
        self.wait_for(self.clean, 'a clean preflight')

    def clean(self):
        """Return whether nothing is wrong; follow a remedy on the way."""
        found = self.results(self.preflight(), 'failed')
        for item in found:
            left = re.search(
                r'(\S+?)(?:/disk)? lies there already', item['Message']
            )
            if left and 'remove its folder' in item['Remedy']:
                self.run_on(self.other, 'rm', '-r', left[1])
            if item['Remedy'].endswith('--repair'):
                self.repair()
        return not found

    def wait_for(self, check, what):
        """Wait; libvirt may still try to reach the other end for minutes."""
        limit = time.monotonic() + 240
        while not check():
            self.assertLess(time.monotonic(), limit, what)
            time.sleep(2)

    def forced(self, checks, options=()):
        found = self.live(
            self.server,
            *('--host', self.other, '--wait', '--no-preflight'),
            *options,
            status=5,
        )
        self.assertEqual('outcome', found[0]['Check'])
        self.assertNamed(checks, found)
        migration = self.json(
            *('server', 'migration', 'list', '--server', self.server),
            cloud=self.ADMIN,
        )[0]
        self.assertNamed(
            checks, self.live('--explain', str(migration['Id']), status=5)
        )
        server = self.show()
        self.assertEqual(self.source, server['OS-EXT-SRV-ATTR:host'])
        if server['status'] == 'ERROR':
            self.assertIn('--repair', found[0]['Remedy'])

    def assertNamed(self, checks, found):
        named = {i['Check'] for i in self.results(found, 'failed')}
        self.assertTrue(named & set(checks), found)
        self.assertEqual(set(), named - {'outcome', *checks}, found)

    def repair(self):
        """Repair what can be, and return whether all of it was."""
        with self.service_role():
            found = self.live(self.server, '--repair', status=None)
        return not self.failed(found)

    @contextlib.contextmanager
    def service_role(self):
        """Give the user the role that Neutron wants for bindings."""
        with openstack.connect(cloud=self.ADMIN) as sdk:
            session = sdk.session
            grant = (
                *('--user', session.get_user_id()),
                *('--project', session.get_project_id(), 'service'),
            )
        self.admin('role', 'add', *grant)
        try:
            yield
        finally:
            self.admin('role', 'remove', *grant)

    def mended(self):
        if self.show()['status'] == 'ERROR':
            self.wait_for(self.repair, 'the repair')
        self.assertEqual('ACTIVE', self.show()['status'])
