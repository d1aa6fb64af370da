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

"""A volume that proves a type, whose time is that of a test."""

import dataclasses

import fixtures
import testtools

from osc_lab.encryption import model
from osc_lab.encryption import scratch
from osc_lab import exceptions
from osc_lab.tests.unit import clock

WISHED = model.Encryption('luks', 'aes-xts-plain64', 256, 'front-end')
MARKED = {scratch.MARK: 'T'}

#: Cinder deletes nothing else (volume.api.API.delete).
DELETABLE = (
    *('available', 'error', 'error_restoring'),
    *('error_extending', 'error_managing'),
)


def error(status=500):
    return exceptions.ServiceError('broken', status=status)


class Store:
    """One volume, whose status is that of the second.

    :ivar statuses: second -> status, from then on; None before it is there,
        and when it is gone
    :ivar going: what comes after a deletion, by seconds since then
    :ivar errors: method -> what it answers first
    :ivar asked: seconds at which somebody asked for the deletion
    """

    def __init__(self, statuses=None, going=None):
        self.second = 0.0
        self.statuses = statuses or {0: 'available'}
        self.going = going or {0: None}
        self.errors = {}
        self.asked = []
        self.item = None
        self.found = ({'host@lvm#pool': 'iSCSI'}, (WISHED, 'k'), 'why')

    def sleep(self, seconds):
        self.second += seconds

    def monotonic(self):
        return self.second

    def holds(self, item):
        self.item = item
        return self

    def _answer(self, name):
        errors = self.errors.get(name)
        if errors:
            raise errors.pop(0)

    def _now(self):
        if self.item is None:
            return []
        began, times = 0, self.statuses
        if self.asked:
            began, times = self.asked[0], self.going
        since = [at for at in times if at <= self.second - began]
        status = times[max(since)] if since else None
        return [dataclasses.replace(self.item, status=status)][: bool(status)]

    def create_volume(self, name, type_id, size, metadata):
        self.item = volume(
            name=name, type_id=type_id, size=size, metadata=metadata
        )
        self._answer('create_volume')

    def find_volumes(self, **filters):
        self._answer('find_volumes')
        self.filters = filters
        # Whatever is asked for: a filter may be ignored, a name be taken.
        return [
            volume('other', 'mine', metadata=MARKED, type_id='other'),
            volume('other', filters.get('name', 'mine')),
            *self._now(),
        ]

    def volume(self, volume_id):
        self._answer('volume')
        for item in self._now():
            if item.id == volume_id:
                return item
        raise error(404)

    def delete_volume(self, volume_id):
        assert volume_id == self.item.id
        if not any(item.status in DELETABLE for item in self._now()):
            raise error(400)
        self.asked.append(self.second)
        self._answer('delete_volume')

    def volume_encryption(self, volume_id):
        assert volume_id == 'v'
        return self.found[1]

    def complaint(self, volume_id):
        assert volume_id == 'v'
        return self.found[2]

    def pools(self):
        self._answer('pools')
        return [model.Pool(*item) for item in self.found[0].items()]


def volume(id_='v', name='osc-lab-proof-x', status='available', **more):
    more = {'type_id': 'T', 'encrypted': True, 'key_id': 'k', **more}
    return model.Volume(id_, name, status, **more)


class ProofTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.FakeLogger())
        self.useFixture(clock.Instead(lambda: self.store))

    def fails(self, kind, call, *args, text='', remedy='', after=0.0):
        """See how a call fails, and after how many seconds."""
        found = self.assertRaises(kind, call, *args)
        self.assertIn(text, found.message)
        self.assertIn(remedy, found.remedy)
        self.assertEqual(after, self.store.second)
        return found
