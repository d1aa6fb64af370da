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

"""What the tests of secrets share, whatever the command."""

import logging
import re

import fixtures

from osc_lab.tests import inside
from osc_lab.tests.unit import canary

NOVA_CONF = """[DEFAULT]
transport_url = rabbit://nova:{rabbit}@192.0.2.1:5672/
[key_manager]
backend = nova.keymgr.conf_key_mgr.ConfKeyManager
fixed_key = {fixed_key}
[libvirt]
live_migration_uri = qemu+tcp://nova:{migration_uri}@%s/system
[neutron]
password = {neutron}
"""

CINDER_CONF = """[key_manager]
backend = cinder.keymgr.conf_key_mgr.ConfKeyManager
fixed_key = {fixed_key}
[database]
connection = mysql://cinder:{database}@192.0.2.1/cinder
"""


class Secrecy(fixtures.Fixture):
    """What the tests of all commands share."""

    def __init__(self, test):
        self.test = test
        self.canaries = canary.Canaries()

    def _setUp(self):
        self.watch = self.useFixture(canary.Watch(self.canaries))
        self.useFixture(
            fixtures.MonkeyPatch('time.sleep', lambda seconds: None)
        )
        root = logging.getLogger()
        self.addCleanup(root.setLevel, root.level)
        self.files = {}
        self.canaries.key('fixed_key')
        for name, text in (('nova', NOVA_CONF), ('cinder', CINDER_CONF)):
            path = self.watch.home.parent / f'{self.watch.home.name}.{name}'
            self.addCleanup(path.unlink)
            path.touch(0o640)
            path.write_text(
                text.format_map(
                    {
                        key: self.canaries[key]
                        for key in re.findall(r'{(\w+)}', text)
                    }
                )
            )
            self.files[name] = str(path)

    def look(self, *argv, allowed=(), secret=()):
        """Run a command and insist that nothing came out.

        :param allowed: names of secrets that the shell itself may show
        :param secret: what else must not come out
        """
        log = self.watch.home / 'log'
        log.unlink(missing_ok=True)
        status, out, err = inside.openstack(
            '--debug', '--log-file', log, *argv
        )
        text = log.read_text()
        log.unlink()
        self.test.assertIn('END return value', text)
        found = self.watch.leaks(
            out, err, text, allowed=('auth-url', *allowed)
        )
        self.test.assertEqual(
            set(), found, f'{argv} {self.watch.fault}: {status}'
        )
        return status, out, err

    def through(self, *argv, status=0, **kwargs):
        """Run a command that works, and with every fault from the start.

        The answer that repeats what it got comes once in place of the
        last one, too.
        """
        self.watch.count = 0
        found, out, err = self.look(*argv, **kwargs)
        self.test.assertEqual(status, found, (out + err)[-2000:])
        requests = self.watch.count
        for fault, first in (
            *((fault, 1) for fault in canary.FAULTS if requests),
            *((fault, requests) for fault in (403, 500) if requests > 1),
        ):
            self.watch.count = 0
            self.watch.fault, self.watch.first = fault, first
            self.look(*argv, **kwargs)
        self.watch.fault = None
