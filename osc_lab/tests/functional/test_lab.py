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

"""The lab cloud itself: it starts nothing twice and leaves nothing."""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

from lab import allot
from lab import process
from testtools import content

from osc_lab.tests.functional import base

_TOP = pathlib.Path(allot.__file__).parent.parent


def _root_network():
    """(link, address) of the root namespace, and the named namespaces."""
    links = subprocess.check_output(['ip', '-j', 'address'])
    named = subprocess.check_output(['ip', 'netns'], text=True)
    return {
        (link['ifname'], address.get('local'))
        for link in json.loads(links)
        for address in (*link['addr_info'], {})
    } | {('netns', line) for line in named.splitlines()}


def _mentions(state):
    """Pids of all that has the mark of a lab, its folder or its mounts.

    This looks at more than the lab's own search, so what lost the mark on
    its way is found as well.
    """
    found = {}
    for folder in pathlib.Path('/proc').iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            texts = [
                (folder / name).read_bytes()
                for name in ('environ', 'cmdline', 'mountinfo')
            ]
            if any(str(state).encode() in text for text in texts):
                stat = (folder / 'stat').read_text()
                started = stat.rpartition(')')[2].split()[19]
                name = (folder / 'comm').read_text().strip()
                found[int(folder.name), started] = name
        except OSError:
            continue
    return found


def _services(state):
    """What the lab itself started, by pid.

    A service may start and end children of its own at any time.
    """
    return {
        each.pid: each
        for each in process.find(state)
        if each.service and each.command == 'nsenter'
    }


class LabTest(base.CloudTest):
    """A second, small lab beside the one that the other tests use."""

    def setUp(self):
        super().setUp()
        # Not below the test's own folder: paths of sockets are short.
        self.state = pathlib.Path(
            tempfile.mkdtemp(prefix='osc-lab-', dir='/tmp')
        )
        self.addCleanup(shutil.rmtree, self.state, ignore_errors=True)
        self.addCleanup(self.lab, 'down')
        self.before = _root_network()

    def argv(self, *words):
        return [sys.executable, '-m', 'lab', '--state', self.state, *words]

    def lab(self, *words):
        """Run a command of the lab; its lines, when it went well."""
        done = subprocess.run(
            self.argv(*words), cwd=_TOP, capture_output=True, text=True
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stderr

    def assert_nothing_left(self):
        # The last to go are the dead, which pid 1 buries.
        deadline = time.monotonic() + 10
        while (left := _mentions(self.state)) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual({}, left)
        self.assertEqual(set(), _root_network() - self.before)

    def test_killed_on_the_way_up(self):
        up = subprocess.Popen(
            self.argv('up', '--profile', 'volumes'),
            cwd=_TOP,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(up.wait)
        self.addCleanup(up.kill)
        deadline = time.monotonic() + 120
        while not process.find(self.state) and time.monotonic() < deadline:
            time.sleep(0.05)
        delay = random.uniform(0, 6)
        self.addDetail('delay', content.text_content(f'{delay:.3f} s'))
        time.sleep(delay)
        up.kill()
        up.wait()
        self.assertNotEqual({}, _mentions(self.state))
        self.lab('down')
        self.assert_nothing_left()

    def test_up_twice_beside_another_lab_then_down(self):
        other = pathlib.Path(os.environ['OS_CLIENT_CONFIG_FILE']).parent
        neighbours = {row.service for row in _services(other).values()}
        self.assertIn('keystone', neighbours)

        self.lab('up', '--profile', 'volumes')
        first = _services(self.state)
        self.assertIn('cinder-volume', {r.service for r in first.values()})
        self.assertEqual(set(), _root_network() - self.before)
        self.assertNotEqual(
            allot.load(other).block, allot.load(self.state).block
        )
        types = self.json(
            *('volume', 'type', 'list'),
            cloud=self.ADMIN,
            OS_CLIENT_CONFIG_FILE=str(self.state / 'clouds.yaml'),
        )
        self.assertIn('plain', [row['Name'] for row in types])

        self.assertIn('nothing to do', self.lab('up'))
        self.assertEqual(first, _services(self.state))

        self.lab('down')
        self.assert_nothing_left()
        still = {row.service for row in _services(other).values()}
        self.assertEqual(neighbours, still)
        self.json('token', 'issue', cloud=self.ADMIN)
