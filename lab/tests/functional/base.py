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

"""What the tests of a running lab share: its program, and its traces."""

import json
import pathlib
import subprocess
import sys

import testtools

from lab import allot
from lab import model
from lab import passwords
from lab import process
from lab import rest
from lab import seed
from lab.services import common
from lab import up

_ROOT = pathlib.Path(__file__).parents[3]

#: What RabbitMQ calls now and then.
_PASSING = ('sh', 'df', 'inet_gethost')


def command(state, *argv):
    return [sys.executable, '-m', 'lab', '--state', str(state), *argv]


def lab(state, *argv, status=0):
    """Run the lab's program and insist on its exit status."""
    done = subprocess.run(
        command(state, *argv),
        cwd=_ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=600,
    )
    told = f'{argv}\n{done.stdout}{done.stderr}'
    if done.returncode != status or 'Traceback' in told:
        raise AssertionError(f'{done.returncode} of {told}')
    return done.stdout + done.stderr


def spawn(state, *argv):
    """Start the lab's program and leave it alone."""
    return subprocess.Popen(
        command(state, *argv),
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def layout(state):
    return up.layout_of(state, allot.load(state))


def admin(state):
    """A session in the name of a lab's administrator."""
    context = common.Context(
        layout(state),
        passwords.settle(state / 'passwords.json'),
        allot.load(state).key_manager,
    )
    return seed.admin(context)


def demo(state):
    """A session in the name of a lab's ordinary member."""
    words = passwords.settle(state / 'passwords.json')
    url = common.identity_url(layout(state))
    return rest.Session(url, 'demo', words.demo, 'demo')


def processes(state):
    """Pid -> what shows that a process belongs to a lab.

    Beside the mark: a command line that names the state folder, or a mount
    namespace that shows it, for a process may overwrite its environment.
    """
    needle = str(state).encode()
    found = {}
    for folder in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            table = (folder / 'mountinfo').read_bytes()
            words = (folder / 'cmdline').read_bytes()
            environ = (folder / 'environ').read_bytes()
        except OSError:
            continue
        if f'{model.MARK}={state}'.encode() in environ.split(b'\0'):
            found[int(folder.name)] = 'mark'
        elif needle in table:
            found[int(folder.name)] = 'mounts'
        elif needle in words and b'-m\0lab' not in words:
            found[int(folder.name)] = 'command line'
    return found


def services(state):
    """(service, pid) of all that stays, without programs of a moment."""
    return {
        (p.service, p.pid)
        for p in process.find(state)
        if p.service and p.command not in _PASSING
    }


def ip(*argv):
    done = subprocess.run(['ip', *argv], capture_output=True, text=True)
    return done.stdout


def traces(state):
    """All of a lab that can be seen from the root's namespaces."""
    mounts = pathlib.Path('/proc/self/mounts').read_text()
    return {
        'processes': processes(state),
        'mounts': [m for m in mounts.splitlines() if str(state) in m],
    }


def surroundings():
    """What a lab has to leave alone: links, addresses, namespaces."""
    links = [
        line.split(':')[1] for line in ip('-o', 'link').splitlines() if line
    ]
    # Not as text: a leased address says how many seconds it has left.
    addresses = {
        (link['ifname'], address['local'])
        for link in json.loads(ip('-j', '-4', 'address') or '[]')
        for address in link['addr_info']
    }
    return links, addresses, ip('netns')


class LabTest(testtools.TestCase):
    """Says what is left of a lab."""

    def assert_gone(self, state):
        self.assertEqual({'processes': {}, 'mounts': []}, traces(state))
