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

"""What others do to a type while it is made, and how a proof may end."""

import functools
import itertools
from unittest import mock

import requests

from osc_lab.access import process
from osc_lab.encryption import mark
from osc_lab.encryption import reconcile
from osc_lab.encryption import scratch
from osc_lab import exceptions
from osc_lab.tests import bounded
from osc_lab.tests.unit import cinder

LUKS = ('volume', 'encryption', 'preset', 'luks')

GOOD = {
    'provider': 'luks',
    'cipher': 'aes-xts-plain64',
    'key_size': 256,
    'control_location': 'front-end',
}


class RaceTest(bounded.TestCase):
    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(cinder.Cloud())
        patcher = mock.patch('time.sleep')
        patcher.start()
        self.addCleanup(patcher.stop)

    def luks(self, *argv, status=0, text=''):
        run = cinder.Run(*LUKS, *argv, '-f', 'json')
        self.assertNotIn('Traceback', str(run))
        self.assertEqual(status, run.status, str(run))
        self.assertIn(text, run.stderr)
        self.assertEqual([], self.cloud.dangerous())
        return run

    def meddle(self, method, end, what, times=1):
        """Let what() answer, or be done before the answer to, a request."""
        original = self.cloud.handle
        left = itertools.count(times, -1)

        def handle(verb, path, body):
            if verb == method and path.endswith(end) and next(left) > 0:
                return what() or original(verb, path, body)
            return original(verb, path, body)

        self.cloud.handle = handle

    def refuse(self, method, end, status=400, times=99):
        self.meddle(
            method,
            end,
            lambda: (status, {'badRequest': {'message': 'refused'}}),
            times,
        )


class TestTwins(RaceTest):
    def mine(self):
        return next(iter(self.cloud.types))

    def twin(self, type_id):
        """Another run's finished type comes, with this id."""
        item = self.cloud.add('LUKS', **GOOD)
        del self.cloud.types[item['id']]
        self.cloud.types[type_id] = {**item, 'id': type_id}
        self.cloud.encryptions[type_id] = self.cloud.encryptions.pop(
            item['id']
        )

    def test_finished_twin_stays(self):
        for type_id in ('00000000-0', 'ffffffff-f'):
            self.cloud.types.clear()
            comes = functools.partial(self.twin, type_id)
            self.meddle('POST', '/encryption', comes)
            run = self.luks('--no-verify')
            self.assertEqual([type_id], list(self.cloud.types))
            self.assertFalse(run.json['changed'])

    def test_proof_of_a_type_that_gave_way_is_none_of_the_other(self):
        for argv, verified in (((), 'no'), (('--verify',), 'api')):
            self.cloud.types.clear()
            comes = functools.partial(self.twin, '00000000-0')
            # When the volume of the proof goes.
            self.meddle('DELETE', '', comes)
            found = self.luks(*argv).json
            self.assertEqual(
                ('00000000-0', verified), (found['id'], found['verified'])
            )

    def test_withdrawn_while_it_is_looked_at(self):
        self.twin('ffffffff-f')

        def gone():
            self.cloud.types.clear()
            return 404, {'itemNotFound': {'message': 'no such type'}}

        self.meddle('GET', '/encryption', gone)
        run = self.luks('--no-verify')
        self.assertTrue(run.json['changed'])
        self.assertEqual([run.json['id']], list(self.cloud.types))
        self.refuse('GET', '/encryption', 500)
        self.luks('--no-verify', status=1, text='refused')

    def test_name_is_taken_in_the_very_moment(self):
        def taken():
            self.twin('ffffffff-f')
            return 409, {'conflictingRequest': {'message': 'exists'}}

        self.meddle('POST', '/types', taken)
        self.assertFalse(self.luks('--no-verify').json['changed'])

    def test_name_is_taken_again_and_again(self):
        original = self.cloud.handle
        looks = []

        def handle(method, path, body):
            if (method, path) == ('POST', '/types'):
                self.twin('ffffffff-f')
                looks.clear()
                return 409, {'conflictingRequest': {'message': 'exists'}}
            if (method, path) == ('GET', '/types'):
                looks.append(path)
                # It is seen once, and gone when the run starts anew.
                if len(looks) == 2:
                    self.cloud.types.clear()
            return original(method, path, body)

        self.cloud.handle = handle
        self.luks(status=5, text='again and again')

    def test_name_is_taken_by_nobody(self):
        self.refuse('POST', '/types', 409)
        self.luks(status=3, text='shows no such type')

    def test_own_type_is_removed_by_somebody(self):
        def gone():
            self.cloud.types.clear()

        for method, end in (
            ('POST', '/encryption'),
            ('GET', '/encryption'),
        ):
            self.meddle(method, end, gone)
            self.assertTrue(self.luks('--no-verify').json['changed'])
            self.assertEqual(1, len(self.cloud.types))
            self.cloud.types.clear()

    def test_own_type_is_removed_before_it_is_published(self):
        self.luks('--no-verify')
        original = self.cloud._put_type
        calls = []

        def put(type_id, body):
            calls.append(type_id)
            if len(calls) == 1:
                self.cloud.types.clear()
                return 404, {'itemNotFound': {'message': 'no such type'}}
            return original(type_id, body)

        self.cloud._put_type = put
        self.cloud.types.clear()
        self.assertTrue(self.luks('--no-verify').json['changed'])
        self.assertEqual(2, len(calls))

    def test_stored_otherwise(self):
        self.meddle(
            'GET',
            '/encryption',
            lambda: (200, {**GOOD, 'cipher': 'aes-cbc-plain'}),
        )
        self.luks('--no-verify', status=5, text='not stored as it was sent')
        self.assertEqual({}, self.cloud.types)

    def test_access_that_cannot_be_given(self):
        private = ('--private', '--project', 'two', '--no-verify')
        self.refuse('POST', '/action', 500)
        self.luks(*private, status=5, text='everything was undone')
        self.refuse('GET', '/os-volume-type-access', 500)
        self.luks(*private, status=5, text='everything was undone')
        self.assertEqual({}, self.cloud.types)

    def test_access_whose_answer_was_lost(self):
        def lost():
            self.cloud.access[self.mine()] = {'p2'}
            return 500, {'computeFault': {'message': 'lost'}}

        self.meddle('POST', '/action', lost)
        self.luks('--private', '--project', 'two', '--no-verify')


class TestUnfinished(RaceTest):
    def setUp(self):
        super().setUp()
        host = process.actor().host
        self.left = self.add(mark.new(host, 2**22 + 1))

    def add(self, mark_):
        self.cloud.types.clear()
        return self.cloud.add('LUKS', str(mark_), False)

    def test_dry_run_shows_that_it_would_be_removed(self):
        run = self.luks('--dry-run')
        self.assertIn(self.left['id'], run.stdout)
        self.assertEqual([], self.cloud.writes)

    def test_cannot_be_removed(self):
        self.refuse('DELETE', self.left['id'])
        self.luks(status=3, text='cannot be removed')

    def test_removed_and_the_answer_lost(self):
        def lost():
            self.cloud.types.clear()
            return 500, {'computeFault': {'message': 'lost'}}

        self.meddle('DELETE', self.left['id'], lost)
        run = self.luks(status=5, text='No answer whether type')
        self.assertNotIn('what uses it', run.stderr)
        self.luks()

    def test_somebody_else_removes_it(self):
        def gone():
            self.cloud.types.clear()

        self.meddle('DELETE', self.left['id'], gone)
        self.luks('--no-verify')
        self.assertEqual(1, len(self.cloud.types))

    def test_of_another_machine_is_waited_for(self):
        self.left = self.add(mark.new('elsewhere', 1))
        with mock.patch.object(reconcile, 'PATIENCE_ELSEWHERE', 0.05):
            self.luks('--no-verify', text='Removing the unfinished type')
        self.assertNotIn(self.left['id'], self.cloud.types)


class TestProof(RaceTest):
    def test_plain_volume(self):
        original = self.cloud._volumes

        def plain(method, path, body):
            status, answer = original(method, path, body)
            for volume in self.cloud.volumes.values():
                volume['encrypted'] = False
            return status, answer

        self.cloud._volumes = plain
        self.luks(status=5, text='"encrypted: False"')

    def test_volume_that_never_comes(self):
        self.cloud.volume_status = 'creating'
        with mock.patch.object(scratch, 'PATIENCE', 0):
            run = self.luks(status=5, text='does not go away')
        (volume,) = self.cloud.volumes.values()
        self.assertIn(
            f'openstack volume delete --force {volume["name"]}', run.stderr
        )
        (type_id,) = self.cloud.types
        self.assertIn(f'openstack volume type delete {type_id}', run.stderr)

    def test_volume_that_does_not_go(self):
        def stay():
            for volume in self.cloud.volumes.values():
                volume['status'] = 'error_deleting'
            return 202, {}

        original = self.cloud._volumes

        def volumes(method, path, body):
            if method == 'DELETE':
                return stay()
            return original(method, path, body)

        self.cloud._volumes = volumes
        self.luks(status=5, text='does not go away')

    def test_volume_that_is_refused(self):
        self.refuse('POST', '/volumes', 413)
        self.luks(status=5, text='A volume of the type is refused')
        self.assertEqual({}, self.cloud.types)

    def test_deletion_whose_answer_was_lost(self):
        """It is looked at again, and deleted again when it is there."""
        for status in (500, 502):
            self.cloud.types.clear()
            self.refuse('DELETE', '', status, times=2)
            self.luks(status=0)
        self.cloud.types.clear()
        self.refuse('DELETE', '', 500, times=3)
        run = self.luks(status=5, text='openstack volume type delete ')
        self.assertIn('openstack volume delete osc-lab-proof', run.stderr)


class TestLate(RaceTest):
    """Requests that are carried out when nobody waits any more."""

    def late(self, path, error, looks):
        """Let a POST end so, and be carried out after that many looks."""
        original = self.cloud.handle
        waiting = []

        def handle(method, where, body):
            if method == 'POST' and where == path and not waiting:
                waiting.append((looks, body))
                raise error
            if waiting and where.startswith(path) and waiting[0]:
                left, wanted = waiting[0]
                waiting[0] = (left - 1, wanted) if left else None
                if not left:
                    original('POST', path, wanted)
            return original(method, where, body)

        self.cloud.handle = handle

    def test_type(self):
        for error, status in (
            (requests.exceptions.ReadTimeout('late'), 0),
            (KeyboardInterrupt(), 130),
            (exceptions.Interrupted('SIGTERM'), 130),
        ):
            self.late('/types', error, 2)
            self.luks(status=status)
            self.assertEqual(status == 0, bool(self.cloud.types))
            self.cloud.types.clear()

    def test_volume(self):
        for error, status in (
            (requests.exceptions.ReadTimeout('late'), 0),
            (KeyboardInterrupt(), 130),
        ):
            self.late('/volumes', error, 2)
            self.luks(status=status)
            self.assertEqual({}, self.cloud.volumes)
            self.assertEqual(status == 0, bool(self.cloud.types))
            self.cloud.types.clear()

    def test_volume_that_never_comes(self):
        self.late('/volumes', requests.exceptions.ReadTimeout('late'), 99)
        self.luks(status=5, text='never came')
        self.assertEqual({}, self.cloud.types)
