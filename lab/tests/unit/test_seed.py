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

"""What is made in a new cloud, and that nothing is made twice."""

import pathlib
import tempfile
import typing
import unittest

from lab import passwords
from lab import seed
from lab.tests.unit import places


class Cloud:
    """Answers as Keystone, Cinder and Neutron do, and keeps the calls."""

    project_id = 'p'

    def __init__(self, **lists: list[dict[str, typing.Any]]) -> None:
        self.lists = lists
        self.calls: list[tuple[str, str]] = []

    def get(self, url: str) -> dict[str, typing.Any]:
        path, _, query = url.partition('?')
        kind = path.rpartition('/')[2]
        kind = 'volume_types' if kind == 'types' else kind
        wanted = dict(p.split('=') for p in query.split('&') if p)
        return {
            kind: [
                row
                for row in self.lists.get(kind, [])
                if all(row.get(k, v) == v for k, v in wanted.items())
            ]
        }

    def call(
        self, method: str, url: str, body: typing.Any = None
    ) -> dict[str, typing.Any]:
        path = url.partition('127.79.3.1:')[2].partition('/')[2]
        self.calls.append((method, path))
        if method != 'POST':
            return {}
        ((kind, row),) = body.items()
        row = {**row, 'id': f'{kind}-{len(self.calls)}'}
        if kind == 'network':
            row['subnets'] = []
        self.lists.setdefault(f'{kind}s', []).append(row)
        return {kind: row}

    def made(self) -> list[str]:
        return [path for method, path in self.calls if method == 'POST']


class SeedTest(unittest.TestCase):
    def setUp(self) -> None:
        self.layout = places.layout()

    def identity(self, cloud: Cloud, *ports: str) -> None:
        words = places.context().passwords
        session = typing.cast(seed.rest.Session, cloud)
        seed.identity(self.layout, words, session, ports)

    def test_the_catalog_has_only_what_the_lab_runs(self) -> None:
        cloud = Cloud()
        self.identity(cloud, 'keystone', 'cinder')
        types = {row['type'] for row in cloud.lists['services']}
        self.assertEqual({'identity', 'volumev3'}, types)
        urls = {row['url'] for row in cloud.lists['endpoints']}
        self.assertEqual(
            {'http://127.79.3.1:5000/v3', 'http://127.79.3.1:8776/v3'}, urls
        )
        self.assertEqual(6, len(cloud.lists['endpoints']))

    def test_the_second_time_nothing_is_made(self) -> None:
        cloud = Cloud()
        self.identity(cloud, 'cinder')
        cloud.calls.clear()
        self.identity(cloud, 'cinder')
        # Granting what is granted changes nothing.
        self.assertEqual({'PUT'}, {method for method, _ in cloud.calls})

    def test_a_lab_that_moved_changes_its_endpoints(self) -> None:
        cloud = Cloud()
        self.identity(cloud, 'cinder')
        for row in cloud.lists['endpoints']:
            row['url'] = row['url'].replace('127.79.3.1', '127.5.5.1')
        cloud.calls.clear()
        self.identity(cloud, 'cinder')
        changed = [m for m, _ in cloud.calls if m == 'PATCH']
        self.assertEqual(6, len(changed))
        self.assertEqual([], cloud.made())

    def test_the_default_type_is_made_once(self) -> None:
        for there, made in (([], 1), ([{'name': seed.PLAIN_TYPE}], 0)):
            cloud = Cloud(volume_types=there)
            session = typing.cast(seed.rest.Session, cloud)
            seed.volume_types(self.layout, session)
            self.assertEqual(made, len(cloud.made()))

    def test_a_network_without_subnet_gets_one(self) -> None:
        network = {'name': seed.NETWORK, 'id': 'n', 'subnets': []}
        for there, made in (
            ([], ['v2.0/networks', 'v2.0/subnets']),
            ([network], ['v2.0/subnets']),
            ([{**network, 'subnets': ['s']}], []),
        ):
            cloud = Cloud(networks=there)
            session = typing.cast(seed.rest.Session, cloud)
            seed.network(self.layout, session)
            self.assertEqual(made, cloud.made())


class PasswordsTest(unittest.TestCase):
    def test_they_are_made_once_for_the_owner_alone(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / 'passwords.json'
            one = passwords.settle(path)
            self.assertEqual(one, passwords.settle(path))
            self.assertEqual(0o600, path.stat().st_mode & 0o777)

    def test_two_labs_share_none(self) -> None:
        one, two = passwords.make(), passwords.make()
        self.assertNotEqual(one.admin, two.admin)
        self.assertNotEqual(one.admin, one.service)
        self.assertRegex(one.fixed_key, '^[0-9a-f]{64}$')


if __name__ == '__main__':
    unittest.main()
