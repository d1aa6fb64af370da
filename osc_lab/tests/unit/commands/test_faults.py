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


"""Every request of every command meets every fault, over real sockets.

The requests are recorded in a run that nothing disturbs; the pairs follow
from them.  A run with a fault gives the same result, or fails with a line
that says why, in time; and what it does, it does once.
"""

import copy
import itertools
import json
import time
import zlib

import fixtures
import testscenarios
import testtools

from osc_lab.encryption import mark
from osc_lab.tests.functional import faulty
from osc_lab.tests import thorough
from osc_lab.tests.unit.commands import listening
from osc_lab.tests.unit.commands import mirrors
from osc_lab.tests.unit import fake_cloud

#: Seconds that a run may take: a fault costs one time-out or one Retry-After,
#: and the machine may be busy.
LIMIT = 20.0

#: A test of each fault: most of the time is waited, so they run at once.
SCENARIOS = [(str(fault), {'faults': [fault]}) for fault in faulty.ALL]

#: Has them listed one by one: what becomes many tests only when it runs is
#: given to one worker.
load_tests = testscenarios.load_tests_apply_scenarios


class Faults(testscenarios.WithScenarios, listening.Listening):
    """What the commands of all clouds have in common."""

    scenarios = SCENARIOS if thorough.THOROUGH else []

    #: By default each request meets one fault; where a test begins follows
    #: from its name, and so not from what ran before.
    faults = None

    def judge(self, status, text):
        """Look at what a run has left."""

    def same(self, expected, out):
        """Return whether a result is as right as without the fault."""
        return out == expected

    def run_once(self, argv, faults):
        self.prepare()
        self.proxy.log.clear()
        self.proxy.struck = False
        self.proxy.loop, self.proxy.faults = ['', 0], faults
        began = time.monotonic()
        found = self.run_shell(*argv)
        return (*found, time.monotonic() - began)

    def every(self, *argv, status=0):
        """Run a command with faults at each of its requests."""
        for _look in range(3):
            expected = self.run_once(argv, {})
            if expected[0] == status:
                break
            # The machine may be busy, so that a request has timed out.
        self.assertEqual(status, expected[0], expected)
        self.judge(expected[0], str(expected))
        requests = list(self.proxy.log)
        self.assertGreater(len(requests), 2)
        pairs, wrong = thorough.Pairs(self), []
        begin = zlib.crc32(self.id().encode()) % len(faulty.ALL)
        turn = itertools.islice(itertools.cycle(faulty.ALL), begin, None)
        for number, request in enumerate(requests, 1):
            for fault in self.faults or (next(turn),):
                pairs.tried += 1
                found = self.one(argv, number, fault, expected)
                if found:
                    pairs.failed += 1
                    wrong.append(f'{fault} at {number}, {request}: {found}')
        self.assertEqual([], wrong, '\n'.join(wrong))

    def one(self, argv, number, fault, expected):
        """Return what is wrong with a run, or nothing."""
        for _look in range(3):
            # The run before may have ended sooner than its fault.
            self.assertTrue(self.proxy.there.wait(10))
            if number == 1 and fault == 'refused':
                self.proxy.away(0.3)
            found = self.run_once(argv, {number: fault})
            if self.proxy.struck and found[-1] < LIMIT:
                break
            # The machine was busy, so that a request before timed out; or it
            # is so again.
        if not self.proxy.struck:
            return f'the fault did not strike: {found}'
        status, out, err, seconds = found
        try:
            self.judge(status, str(found))
        except testtools.testcase.TestCase.failureException as error:
            return f'{error}: {found}'
        if 'Traceback' in out + err or 'report this as a bug' in err:
            return found
        if seconds > LIMIT or 'canary' in out + err or self.web.impostor.told:
            return found
        if status == expected[0] and not self.same(expected[1], out):
            return found
        if status != expected[0] and (not status or not out + err):
            return found
        return None


class MirrorFaults(Faults, mirrors.MirrorTest):
    def setUp(self):
        super().setUp()
        self.saved = self.database.rows()
        self.listen(self.shell.http)
        self.packets()

    def prepare(self):
        self.database.tables = copy.deepcopy(self.saved)

    def same(self, expected, out):
        # A server that is gone has an ID alone.
        gone = expected.replace('"vm"', '""').replace(
            'server vm,', f'server {mirrors.SERVER},'
        )
        return out in (expected, gone)

    def keep_one(self):
        """Let every run find a mirror."""
        self.create('--name', 'mine')
        self.saved = self.database.rows()


class TestMirrors(MirrorFaults):
    def judge(self, status, text):
        expected = 1 if status == 0 else 0
        self.assertEqual(expected, len(self.ours()['Mirror']), text)

    def test_create(self):
        self.every(
            *(
                'port',
                'mirror',
                'create',
                'one',
                '--timeout',
                '0',
                '-f',
                'json',
            ),
            *('-c', 'port_id', '-c', 'server_name', '-c', 'health'),
        )


class TestMirrorsThatAreThere(MirrorFaults):
    def setUp(self):
        super().setUp()
        self.keep_one()
        self.left = 1

    def judge(self, status, text):
        # What fails takes nothing away, and leaves nothing more behind.
        left = self.left if status == 0 else 1
        self.assertEqual(left, len(self.ours()['Mirror']), text)

    def test_list(self):
        self.every(
            *('port', 'mirror', 'list', '--all', '-f', 'json'),
            *('-c', 'Name', '-c', 'Port', '-c', 'Host', '-c', 'Health'),
        )

    def test_show(self):
        self.every('port', 'mirror', 'show', 'mine', '-f', 'json')

    def test_delete(self):
        self.left = 0
        self.every('port', 'mirror', 'delete', 'mine')

    def test_prune(self):
        self.every('port', 'mirror', 'prune', '-f', 'json')

    def test_topology(self):
        self.every('port', 'topology', 'show', 'one')

    def test_capture(self):
        self.every(
            *('port', 'mirror', 'capture', 'one', '--force', '--file'),
            str(self.folder / 'f.pcap'),
        )


class Rows(Faults):
    """A result that tells of what could not be asked."""

    def same(self, expected, out):
        """Each row is there, or one that says what could not be asked."""
        rows, found = json.loads(expected), json.loads(out)
        instead = [row for row in found if row not in rows]
        gone = {row['Check'] for row in rows if row not in found}
        return gone <= {row['Check'] for row in instead} and all(
            self.open(row) for row in instead
        )

    def open(self, row):
        # A 404 says that Neutron does not have the extension.
        return row['Result'] == 'unknown' or (
            row['Result'] == 'skipped'
            and row['Check'] in ('port-binding', 'port-bindings')
        )


class TestMigrations(Rows, listening.MigrationTest):
    def judge(self, status, text):
        actions = [
            next(iter(item[4]))
            for item in self.cloud.writes()
            if item[2].endswith('/action')
        ]
        self.assertEqual(len(set(actions)), len(actions), text)

    def live(self, *argv, status=0):
        self.every('server', 'migrate', 'live', *argv, status=status)

    def test_preflight(self):
        self.live('vm1', '--preflight', '-f', 'json')

    def test_preflight_of_one_host(self):
        self.live('vm1', '--host', 'host2', '--preflight', '-f', 'json')

    def test_wait(self):
        self.saved['steps'] = [
            fake_cloud.migration(status) for status in ('running', 'completed')
        ]
        self.live(
            *('vm1', '--host', 'host2', '--wait', '-f', 'json'),
            *('-c', 'Check', '-c', 'Result'),
        )

    def test_no_wait(self):
        self.saved['steps'] = [fake_cloud.migration('running')]
        self.live(
            *('vm1', '--host', 'host2', '--no-wait', '-f', 'json'),
            *('-c', 'Check', '-c', 'Subject', '-c', 'Result'),
        )

    def test_explain(self):
        self.saved['migrations'] = [fake_cloud.migration('failed')]
        self.live('vm1', '--explain', '5', '-f', 'json', status=5)


class TestRepairs(Rows, listening.RepairTest):
    def judge(self, status, text):
        done = [(item[1], item[2]) for item in self.cloud.writes()]
        self.assertEqual(len(set(done)), len(done), text)
        if status == 0:
            self.assertEqual('ACTIVE', self.cloud.server['status'], text)
        # A 404 says that there is no such binding, or no such extension.
        if status == 0 and 404 not in self.proxy.faults.values():
            bound = self.cloud.bindings['port-1']
            self.assertEqual(['host1'], [i['host'] for i in bound], text)

    def test_repair(self):
        self.every(
            *('server', 'migrate', 'live', 'vm1', '--repair', '-f', 'json'),
            *('-c', 'Check', '-c', 'Result'),
        )


class TestPresets(Faults, listening.EncryptionTest):
    def judge(self, status, text):
        self.assertEqual([], self.cloud.dangerous(), text)
        types = list(self.cloud.types.values())
        self.assertLessEqual(len(types), 1, text)
        if status == 0:
            self.assertEqual(1, len(types), text)
            self.assertEqual({}, self.cloud.volumes, text)
        for item in types:
            if status and mark.read(item['description']):
                # It is private, and the undo may have met the fault, too.
                self.assertIn('volume type delete', text)
            else:
                self.assertIn(item['id'], self.cloud.encryptions, text)

    def luks(self, *argv):
        self.every(
            *('volume', 'encryption', 'preset', 'luks', *argv, '-f', 'json'),
            *('-c', 'name', '-c', 'verified', '-c', 'changed'),
        )

    def test_luks(self):
        self.luks()

    def test_private(self):
        self.luks('--private', '--project', 'two', '--no-verify')


class TestAudits(Faults, listening.EncryptionTest):
    def prepare(self):
        super().prepare()
        self.cloud.log.clear()

    def judge(self, status, text):
        self.assertEqual([], self.cloud.writes, text)

    def test_audit(self):
        self.every('volume', 'encryption', 'audit', '-f', 'json')

    def test_key_check(self):
        folder = self.useFixture(fixtures.TempDir())
        files = [folder.join(f'{name}.conf') for name in ('nova', 'cinder')]
        for number, path in enumerate(files, 1):
            with open(path, 'w') as stream:
                stream.write(f'[key_manager]\nfixed_key = {number:064x}\n')
        self.cloud.settings(**self.SETTINGS, config_files={'local': files})
        self.every(
            *('volume', 'encryption', 'key', 'check', '--host', 'local'),
            *('-f', 'json', '-c', 'Check'),
            status=3,
        )

    def test_presets_ask_nobody(self):
        for words in (('list',), ('show', 'luks')):
            argv = ('volume', 'encryption', 'preset', *words, '-f', 'json')
            status, out, _err, _seconds = self.run_once(argv, {})
            self.assertEqual((0, []), (status, self.proxy.log))
            self.assertTrue(json.loads(out))
