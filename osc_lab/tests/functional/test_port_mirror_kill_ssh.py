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

"""Kill each SSH process of a command, or the command itself beside it.

A program in place of OpenSSH counts how often it is called.  It becomes
the real one, and at one call of a run something is killed a moment later.
The calls are counted, not chosen: a run that makes fewer ends the series.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import time

import fixtures

from osc_lab.tests.functional import base
from osc_lab.tests.functional import pair
from osc_lab.tests import thorough

#: The number of the process stays the same when it becomes the real one.
SSH = """#!/bin/sh
echo call >>"$SSH_CALLS"
if [ "$(wc -l <"$SSH_CALLS")" -eq "$SSH_AT" ]
then
    {
        sleep "$SSH_AFTER"
        case $SSH_WHOM in
            ssh) kill -9 "$$";;
            command) kill -9 "$PPID";;
            master)
                check=$(PROGRAM -F "$SSH_CONFIG" -O check hosta 2>&1)
                kill -9 "$(printf %s "$check" | tr -cd 0-9)";;
        esac
    } </dev/null >/dev/null 2>&1 &
    echo "$!" >"$SSH_KILLER"
fi
exec PROGRAM "$@"
"""

#: Seconds between the start of a process and its end: nothing was said,
#: a command may run, what lasts does.
MOMENTS = ('0', '0.4', '3')

#: More than any command needs; a series that gets there does not end.
MOST = 20

CREATE = ('create', '--timeout', '0', '--ttl', '40s', '--ovsdb', 'ssh')


#: How a mirror is told that may not be removed, and what removes it.
LEFT = re.compile('may be left on hosta|May be left behind: make the mirror')
REMEDY = re.compile('remove it with: openstack ([^;\n]+)')


class TestKillSsh(pair.PairTest):
    def setUp(self):
        super().setUp()
        # Those of a test that failed would be a part of what was before.
        pair.wait_until('the end of the guards of others', self.unguarded)
        self.before = self.snapshot()
        self.addCleanup(self.delete_mirrors, 'hosta')
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.calls = self.folder / 'calls'
        self.killer = self.folder / 'killer'
        self.config = self.ssh_config
        program = self.folder / 'bin' / 'ssh'
        program.parent.mkdir()
        program.write_text(SSH.replace('PROGRAM', shutil.which('ssh')))
        program.chmod(0o755)

    def unguarded(self):
        return not any(
            'osc-lab-guard' in item
            for host in pair.HOSTS
            for item in self.belongings(host)
        )

    def killed(self, at, after, whom, *argv):
        """Run a command; return how it ended and how often it used SSH."""
        self.calls.write_text('')
        self.killer.unlink(missing_ok=True)
        if self.config != self.ssh_config:
            self.on_master('-n', 'hosta', 'true')
        run = base.openstack(
            *(*pair.MIRROR, *argv, '--ssh-config', str(self.config)),
            cloud=self.ADMIN,
            PATH=f'{self.folder}/bin:{os.environ["PATH"]}',
            TMPDIR=str(self.folder),
            SSH_CALLS=str(self.calls),
            SSH_KILLER=str(self.killer),
            SSH_AT=str(at),
            SSH_AFTER=after,
            SSH_WHOM=whom,
            SSH_CONFIG=str(self.config),
        )
        self.assertNotIn('Traceback', run.stderr, str(run))
        # A run may end sooner than that, and the next one is not meant.
        pair.wait_until('what kills', self.has_killed)
        return run, len(self.calls.read_text().splitlines())

    def has_killed(self):
        """Return whether nothing of the run is about to be killed."""
        if not self.killer.exists():
            return True
        try:
            status = pathlib.Path(
                '/proc', self.killer.read_text().strip(), 'stat'
            ).read_text()
        except FileNotFoundError:
            return True
        # Of a program that ended, whose parent does not ask for it.
        return status.rpartition(') ')[2].startswith('Z')

    def series(self, whom, *argv, moments=MOMENTS):
        """Kill at one call after the other; yield each run."""
        pairs = thorough.Pairs(self)
        for after in moments:
            for at in range(1, MOST):
                values = {'at': at, 'after': after.replace('.', '-')}
                run, count = self.killed(
                    at, after, whom, *(item.format(**values) for item in argv)
                )
                if whom != 'command':
                    self.assertIn(run.status, (0, 1, 5), str(run))
                with pairs.one():
                    self.assert_whole('hosta')
                    yield run
                if count < at:
                    self.assertEqual(0, run.status, str(run))
                    break
            else:
                self.fail('The series does not end.')
            self.assertGreater(at, 3)

    def over(self, seconds):
        """See that all of it ends by itself on both machines."""
        self.end_master()
        pair.wait_until('the end of our processes', self.quiet, 20)
        limit = time.monotonic() + seconds
        while self.rows('hosta') != self.before['hosta'][0]:
            self.assertLess(time.monotonic(), limit)
            time.sleep(1)
        # A guard may outlive its mirror.
        self.assert_same(self.before, seconds)

    def quiet(self):
        """Return whether no process of a run is left on this machine."""
        mark = f'SSH_CALLS={self.calls}'.encode()
        for entry in pathlib.Path('/proc').glob('[0-9]*/environ'):
            try:
                if mark in entry.read_bytes().split(b'\0'):
                    return False
            except OSError:
                continue
        return True

    def create(self, whom, **kwargs):
        name = f'{whom}-{{after}}-{{at}}'
        port = self.ports['hosta']
        for _run in self.series(whom, *CREATE, port, '--name', name, **kwargs):
            pass
        self.over(60)

    def capture(self, whom, **kwargs):
        path = str(self.folder / '{after}-{at}.pcap')
        left: set[str] = set()
        for run in self.series(
            whom,
            *('capture', self.ports['hosta'], '--file', path),
            *('--duration', '2s', '--ovsdb', 'ssh'),
            **kwargs,
        ):
            for file in self.folder.glob('*.pcap'):
                # It fails when a packet is there in part.
                if file.stat().st_size:
                    pair.pairs(file)
                file.unlink()
            if whom != 'command':
                rows = self.mirror('list', '--host', 'hosta')
                new = {row['Name'] for row in rows} - left
                left |= new
                # Whether a request was carried out that was not answered,
                # the command cannot know.
                said = bool(LEFT.search(run.stderr))
                self.assertLessEqual(bool(new), said, str(run))
                if said:
                    self.assertEqual(5, run.status, str(run))
                for words in REMEDY.findall(run.stderr):
                    done = self.openstack(
                        *shlex.split(words), cloud=self.ADMIN, status=None
                    )
                    if new:
                        self.assertEqual(0, done.status, str(done))
                    else:
                        self.assertEqual(1, done.status, str(done))
                        self.assertIn('There is no mirror', done.stderr)
                    rows = self.mirror('list', '--host', 'hosta')
                    left &= {row['Name'] for row in rows}
                    self.assertFalse(new & left, str(run))
        self.over(90)

    def test_create(self):
        self.create('ssh')

    def test_create_killed(self):
        self.create('command')

    def test_capture(self):
        self.capture('ssh')

    def test_capture_killed(self):
        self.capture('command')

    def shared_connection(self):
        """Let one OpenSSH process hold the connection of all."""
        self.config = self.folder / 'config'
        self.config.write_text(
            'Host *\n  ControlMaster auto\n  ControlPersist yes\n'
            f'  ControlPath {self.folder}/%C\nInclude {self.ssh_config}\n'
        )
        self.addCleanup(self.end_master)

    def on_master(self, *argv):
        """Run OpenSSH, which holds the connection for those that follow."""
        return subprocess.run(
            ['ssh', '-F', str(self.config), *argv],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )

    def end_master(self):
        for host in pair.HOSTS:
            self.on_master('-O', 'exit', host)

    def test_master(self):
        self.shared_connection()
        self.capture('master', moments=('0.4', '3'))

    def test_nothing_stays_in_the_master(self):
        self.shared_connection()
        self.killed(0, '0', 'ssh', 'list', '--ovsdb', 'ssh')
        sockets = pathlib.Path('/proc/net/unix').read_text()
        self.assertNotIn(f'{self.folder}/osc-lab-', sockets)

    def test_without_a_guard(self):
        self.killed(3, '1', 'command', *CREATE, self.ports['hosta'])
        (row,) = self.mirror('list', '--long', '--host', 'hosta')
        shown = self.mirror('show', row['ID'], '--host', 'hosta')
        kind, group = shown['guard'].split()
        self.assertEqual('pid', kind)
        self.on('hosta', 'kill', '--', f'-{group}')

        def expired():
            row = self.listed('hosta', shown)
            return row['Health'] == 'expired'

        pair.wait_until('the time of the mirror', expired)
        removed = self.mirror('prune', '--expired', '--host', 'hosta')
        self.assertEqual([shown['id']], [row['ID'] for row in removed])
        self.over(5)
