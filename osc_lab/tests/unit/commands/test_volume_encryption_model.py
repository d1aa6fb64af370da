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


"""The preset stays what a model of it says, whatever others do.

Runs are repeated, tried with --dry-run, broken off at any request; others
edit, use and delete types.  What Cinder holds is compared with what the
model expects of each run, and no type of ours is ever public and plain.
"""

import copy
import json
import math
import re

from hypothesis import stateful
from hypothesis import strategies as st
import testtools

from osc_lab.access import process
from osc_lab.encryption import mark
from osc_lab.tests import thorough
from osc_lab.tests.unit import cinder
from osc_lab.tests.unit import clock
from osc_lab.tests.unit.commands import presets

#: Start of a command of the plan, and the write that it stands for.
_WRITES = (
    ('openstack volume type create', ('POST', '/types')),
    ('openstack volume type delete', ('DELETE', '/types/ID')),
    ('openstack volume type set --enc', ('POST', '/types/ID/encryption')),
    ('openstack volume type set --project', ('POST', '/types/ID/action')),
    ('openstack volume type set --desc', ('PUT', '/types/ID')),
    ('openstack volume create', ('POST', '/volumes')),
    ('openstack volume create', ('DELETE', '/volumes/ID')),
    ('openstack volume delete', ('DELETE', '/volumes/ID')),
)

FAULTS = st.sampled_from(
    [
        *('reset-before', 'reset-after', 'timeout', 'garbage'),
        *(400, 401, 403, 404, 409, 413, 429, 500, 502, 503),
    ]
)

WISHES = st.fixed_dictionaries(
    {
        'name': st.sampled_from(['LUKS', 'LUKS', 'geheim 🔒']),
        'key_size': st.sampled_from([256, 256, 512]),
        'is_public': st.booleans(),
        'shared': st.booleans(),
        'spec': st.booleans(),
        'description': st.sampled_from([None, None, 'for all']),
        'proven': st.booleans(),
    }
)
PICK = st.integers(0, 1000)


def argv(wish):
    words = ['--name', wish['name'], '--key-size', str(wish['key_size'])]
    if not wish['is_public']:
        words.append('--private')
        words += ['--project', 'two'] if wish['shared'] else []
    if wish['spec']:
        words += ['--property', 'volume_backend_name=ceph']
    if wish['description']:
        words += ['--description', wish['description']]
    return [*words, *([] if wish['proven'] else ['--no-verify'])]


def encryption(wish):
    return {
        'provider': 'luks',
        'cipher': 'aes-xts-plain64',
        'key_size': wish['key_size'],
        'control_location': 'front-end',
    }


class Machine(stateful.RuleBasedStateMachine):
    """One life of a cloud.

    :ivar tampered: ids of types that others have changed or made
    :ivar wish: of the last run that went well, until somebody edits
    """

    cloud = None
    steps = 0

    def __init__(self):
        super().__init__()
        self.tampered = set()
        self.wish = None
        for kept in (*self.kept(), self.cloud.log, self.cloud.faults):
            kept.clear()

    # -- what is there

    def kept(self):
        """Return what Cinder keeps."""
        cloud = self.cloud
        return cloud.types, cloud.encryptions, cloud.access, cloud.volumes

    def state(self):
        return copy.deepcopy(self.kept())

    def of_name(self, name):
        """Return the finished and the unfinished types of a name."""
        found = [t for t in self.cloud.types.values() if t['name'] == name]
        marked = [t for t in found if mark.read(t['description'])]
        return [t for t in found if t not in marked], marked

    def used(self, item):
        """Return whether others have a volume of a type."""
        return any(
            volume['volume_type_id'] == item['id']
            for volume in self.theirs().values()
        )

    def theirs(self):
        """Return the volumes that were not made to prove a type."""
        return {
            found: volume
            for found, volume in self.cloud.volumes.items()
            if volume['name'] == 'data'
        }

    def matches(self, item, wish):
        """Return whether a type is what a wish asks for."""
        have = self.cloud.encryptions.get(item['id'], {})
        shared = self.cloud.access.get(item['id'], set())
        wanted = {'p2'} if wish['shared'] and not wish['is_public'] else set()
        return (
            {key: have.get(key) for key in encryption(wish)}
            == encryption(wish)
            and item['is_public'] == wish['is_public']
            and wish['description'] in (None, item['description'])
            and (
                not wish['spec']
                or item['extra_specs'].get('volume_backend_name') == 'ceph'
            )
            and wanted <= shared
        )

    # -- what we do

    def run_(self, *words):
        self.cloud.log.clear()
        run = cinder.Run(*words)
        self.cloud.faults.clear()
        assert 'Traceback' not in str(run), run
        assert 'Unexpected' not in run.stderr, run
        return run

    def luks(self, wish, *words):
        return self.run_(*presets.LUKS, *argv(wish), '-f', 'json', *words)

    def expected(self, wish):
        """Return the exit code, and whether something is made."""
        finished, unfinished = self.of_name(wish['name'])
        if any(self.used(item) for item in unfinished):
            return 3, False
        if not finished:
            return 0, True
        if len(finished) > 1 or not self.matches(finished[0], wish):
            return 3, False
        return 0, False

    @stateful.rule(wish=WISHES)
    def preset(self, wish):
        self.judge(wish, self.luks, self.expected(wish))

    def judge(self, wish, luks, expected):
        status, made = expected
        types, encryptions, access, _volumes = self.state()
        theirs = self.theirs()
        finished, unfinished = self.of_name(wish['name'])
        run = luks(wish)
        assert run.status == status, run
        assert self.theirs() == theirs, run
        for item in (*finished, *self.others(types, wish['name'])):
            found = item['id']
            assert self.cloud.types[found] == types[found], run
            assert self.cloud.encryptions.get(found) == encryptions.get(found)
            assert self.cloud.access.get(found) == access.get(found)
        if status:
            assert made or not self.new(types), run
            return
        (item,) = self.of_name(wish['name'])[0]
        assert not self.of_name(wish['name'])[1], run
        for volume in self.cloud.volumes.values():
            assert volume['volume_type_id'] in self.cloud.types, run
            assert volume['name'] == 'data' or (
                volume['volume_type_id'] != item['id']
            ), run
        assert self.matches(item, wish), (item, run)
        assert run.json['id'] == item['id'], run
        assert run.json['changed'] == bool(made or unfinished), run
        assert (item['id'] not in types) == made, run
        if not (made or unfinished):
            assert not self.cloud.writes, (self.cloud.writes, run)
        self.wish = wish

    def others(self, types, name):
        return [item for item in types.values() if item['name'] != name]

    def new(self, types):
        return set(self.cloud.types) - set(types)

    @stateful.rule()
    def preset_again(self):
        if self.wish is None:
            return
        before = self.state()
        run = self.luks(self.wish)
        assert run.status == 0, run
        assert not run.json['changed'], run
        assert not self.cloud.writes, (self.cloud.writes, run)
        assert self.state() == before

    @stateful.rule(wish=WISHES)
    def dry_run_and_run(self, wish):
        before = self.state()
        status, made = self.expected(wish)
        dry = self.luks(wish, '--dry-run')
        assert not self.cloud.writes, self.cloud.writes
        assert self.state() == before
        used = any(self.used(item) for item in self.of_name(wish['name'])[1])
        assert used or dry.status == status, dry
        self.judge(wish, self.luks, (status, made))
        if dry.status == 0 and status == 0:
            planned = [
                write
                for step in dry.json['plan']
                for start, write in _WRITES
                if step['command'].startswith(start)
            ]
            done = [(verb, _generic(path)) for verb, path in self.cloud.writes]
            refused = [_WRITES[1][1], _WRITES[-1][1]]
            if done[:2] == refused:
                # Cinder tells by a refusal that a volume is left.
                del done[0]
            assert planned == done, (planned, done)

    @stateful.rule(wish=WISHES, pick=PICK, fault=FAULTS)
    def fault(self, wish, pick, fault):
        number = self.request(wish, pick)
        self.broken(wish, fault, {number: fault})

    @stateful.rule(
        wish=WISHES,
        pick=PICK,
        last=st.sampled_from(['reset-before', 'reset-after']),
    )
    def kill(self, wish, pick, last):
        """Nothing after the request counts, as with a killed process."""
        number = self.request(wish, pick)
        rest = dict.fromkeys(range(number + 1, 400), 'refuse')
        self.broken(wish, None, {number: last, **rest})

    def request(self, wish, pick):
        """Return the number of one of the requests that a run makes."""
        before = self.state()
        self.luks(wish)
        for kept, was in zip(self.kept(), before, strict=True):
            kept.clear()
            kept.update(was)
        return pick % len(self.cloud.log) + 1

    def broken(self, wish, fault, faults):
        """Run with faults, by the number of the request."""
        status, _made = self.expected(wish)
        types, _encryptions, _access, volumes = self.state()
        self.cloud.faults.update(faults)
        run = self.luks(wish)
        assert len(self.cloud.log) >= min(faults), (faults, self.cloud.log)
        assert run.status in (0, 1, 3, 5), run
        self.own_volumes(volumes, run, fault)
        if run.status == 0:
            (item,) = self.of_name(wish['name'])[0]
            assert self.matches(item, wish), (item, run)
            self.wish = wish
            return
        assert run.stderr.strip(), run
        for found in self.new(types):
            item = self.cloud.types[found]
            if mark.read(item['description']):
                assert not item['is_public'], run
                assert fault is None or 'type delete' in run.stderr, run
            else:
                assert self.matches(item, wish), (item, run)
                self.wish = None
        if run.status == 3:
            assert (
                status == 3
                or fault in (400, 409, 413, 429, None)
                or (self.of_name(wish['name'])[1])
            ), run

    def own_volumes(self, before, run, fault):
        """See that a volume of ours that is left is named; remove it."""
        for found in set(self.cloud.volumes) - set(before):
            name = self.cloud.volumes[found]['name']
            assert run.status == 5, run
            told = f'openstack volume delete (--force )?{name}'
            assert re.search(told, run.stderr), run
            if fault is not None:
                del self.cloud.volumes[found]
        for found, volume in before.items():
            if volume['name'] == 'data':
                assert found in self.cloud.volumes, run

    @stateful.rule()
    def audit(self):
        run = self.run_('volume', 'encryption', 'audit', '-f', 'json')
        assert not self.cloud.writes
        found = {
            (item['Check'], item['Subject'])
            for item in json.loads(run.stdout or '[]')
            if item['Result'] == 'failed'
        }
        plain = {
            f'type {item["name"]} ({item["id"]})'
            for item in self.cloud.types.values()
            if item['name'] == 'LUKS'
            and item['id'] not in self.cloud.encryptions
        }
        doubted = {subject for _check, subject in found}
        assert plain <= doubted, (plain, run)
        assert not plain or run.status == 3, run
        for item in self.cloud.types.values():
            subject = f'type {item["name"]} ({item["id"]})'
            alone = len(self.of_name(item['name'])[0]) < 2
            if mark.read(item['description']):
                assert ('type-unfinished', subject) in found, run
            elif item['id'] not in self.tampered and alone:
                checks = {check for check, where in found if where == subject}
                assert checks <= {'type-twins'}, run

    # -- what others do

    def some(self, pick):
        types = list(self.cloud.types.values())
        if not types:
            # One that is in nobody's list.
            return {'id': 'none', 'extra_specs': {}}
        item = types[pick % len(types)]
        self.tampered.add(item['id'])
        self.wish = None
        return item

    @stateful.rule(pick=PICK, is_public=st.booleans())
    def publish(self, pick, is_public):
        item = self.some(pick)
        item['is_public'] = is_public
        item['os-volume-type-access:is_public'] = is_public

    @stateful.rule(pick=PICK)
    def delete_encryption(self, pick):
        self.cloud.encryptions.pop(self.some(pick)['id'], None)

    @stateful.rule(pick=PICK, value=st.sampled_from(['ceph', 'lvm']))
    def add_a_spec(self, pick, value):
        self.some(pick)['extra_specs']['volume_backend_name'] = value

    @stateful.rule(pick=PICK)
    def delete_a_type(self, pick):
        item = self.some(pick)
        self.cloud.handle('DELETE', f'/types/{item["id"]}', {})

    @stateful.rule(pick=PICK)
    def create_a_volume(self, pick):
        item = self.some(pick)
        if item['id'] == 'none':
            return
        wanted = {'name': 'data', 'size': 1, 'metadata': {}}
        self.cloud.handle(
            'POST',
            '/volumes',
            {'volume': {**wanted, 'volume_type': item['id']}},
        )

    @stateful.rule()
    def delete_volumes(self):
        self.cloud.volumes.clear()

    @stateful.rule(
        name=st.sampled_from(['LUKS', 'geheim 🔒', 'plain']),
        is_public=st.booleans(),
        encrypted=st.booleans(),
    )
    def foreign_type(self, name, is_public, encrypted):
        if len(self.of_name(name)[0]) > 1:
            return
        more = encryption({'key_size': 256}) if encrypted else {}
        item = self.cloud.add(name, 'theirs', is_public, **more)
        self.tampered.add(item['id'])
        self.wish = None

    @stateful.rule(name=st.sampled_from(['LUKS', 'geheim 🔒']))
    def a_run_was_killed_elsewhere(self, name):
        """Its process is gone; its type is what it had come to."""
        left = mark.new(process.actor().host, 2**22 + 1)
        self.cloud.add(name, str(left), False)
        self.wish = None

    # -- what must hold

    @stateful.invariant()
    def no_public_type_of_ours_is_plain(self):
        type(self).steps += 1
        for item in self.cloud.types.values():
            assert (
                not item['is_public']
                or item['id'] in self.cloud.encryptions
                or item['id'] in self.tampered
            ), item


def _generic(path):
    words = path.split('/')
    if len(words) > 2:
        words[2] = 'ID'
    return '/'.join(words)


class Clock(clock.Clock):
    """Whatever is done takes its time, and a model does much."""

    longest = math.inf

    def monotonic(self):
        self.now += 0.001
        return super().monotonic()


class TestModel(testtools.TestCase):
    def test_preset(self):
        cloud = self.useFixture(cinder.Cloud())
        self.useFixture(Clock())
        life = type('Life', (Machine,), {'cloud': cloud})
        stateful.run_state_machine_as_test(
            life, settings=thorough.model(runs=6, steps=25)
        )
        print(f'{life.steps} steps')
