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

"""What each profile runs, and in which order."""

import collections.abc
import dataclasses
import pathlib
import tempfile
import unittest

from lab import allot
from lab import databases
from lab import errors
from lab import graph
from lab import model
from lab import profiles
from lab.services import common
from lab.tests.unit import places
from lab import up

EVERY = [(p, k) for p in profiles.PROFILES for k in profiles.KEY_MANAGERS]


def rows(profile: str, manager: str) -> tuple[model.Service, ...]:
    return profiles.services(places.context(manager), profile)


class ProfilesTest(unittest.TestCase):
    def each(self) -> collections.abc.Iterator[tuple[str, str]]:
        for profile, manager in EVERY:
            with self.subTest(profile=profile, key_manager=manager):
                yield profile, manager

    def test_every_step_can_start_at_some_time(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for profile, manager in self.each():
                context = places.context(manager, pathlib.Path(folder))
                graph.check(profiles.steps(context, profile))

    def test_the_steps_of_a_profile_start_its_services(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for profile, manager in self.each():
                context = places.context(manager, pathlib.Path(folder))
                steps = {s.name for s in profiles.steps(context, profile)}
                names = {row.name for row in rows(profile, manager)}
                self.assertLessEqual(names, steps)

    def test_a_wider_profile_has_all_of_the_smaller_one(self) -> None:
        for manager in profiles.KEY_MANAGERS:
            small, middle, full = (
                {row.name for row in rows(profile, manager)}
                for profile in profiles.PROFILES
            )
            self.assertLess(small, middle)
            self.assertLess(middle, full)

    def test_small_profiles_have_no_hosts(self) -> None:
        machines = {row.machine for row in rows('volumes', 'barbican')}
        self.assertEqual({model.CONTROL}, machines)
        machines = {row.machine for row in rows('full', 'barbican')}
        self.assertEqual({model.CONTROL, *model.HOSTS}, machines)

    def test_the_fixed_key_has_no_barbican(self) -> None:
        for profile in profiles.PROFILES:
            names = {row.name for row in rows(profile, 'fixed-key')}
            self.assertFalse([n for n in names if 'barbican' in n])
            self.assertNotIn('barbican', profiles.apis(profile, 'fixed-key'))

    def test_two_services_never_write_one_file_differently(self) -> None:
        for profile, manager in self.each():
            texts: dict[pathlib.Path, str] = {}
            for row in rows(profile, manager):
                for path, text in row.files.items():
                    self.assertEqual(text, texts.setdefault(path, text), path)

    def test_every_configuration_that_is_read_is_written(self) -> None:
        for profile, manager in self.each():
            every = rows(profile, manager)
            etc = places.layout().etc
            written = {path for row in every for path in row.files}
            read = {
                (row.name, pathlib.Path(word))
                for row in every
                for word in row.argv
                if word.startswith(f'{etc}/')
            }
            self.assertTrue(read)
            for name, path in read:
                found = path in written or any(
                    path in each.parents for each in written
                )
                self.assertTrue(found, f'{name} reads {path}')

    def test_no_secret_is_in_a_command_line(self) -> None:
        for profile, manager in self.each():
            for row in rows(profile, manager):
                self.assertNotIn(places.SECRET, ' '.join(row.argv), row.name)

    def test_every_database_has_its_migrations(self) -> None:
        for profile, manager in self.each():
            names = profiles.schemas(profile, manager)
            self.assertLessEqual(set(names), databases.SCHEMAS.keys())
            self.assertLessEqual(
                set(profiles.apis(profile, manager)), model.PORTS.keys()
            )


class OnceTest(unittest.TestCase):
    def test_once_for_an_address(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            context = places.context(state=pathlib.Path(folder))
            (context.layout.data / 'done').mkdir(parents=True)
            calls: list[int] = []

            def once(given: common.Context) -> bool:
                return profiles._once(given, 'x', lambda: calls.append(1))

            self.assertTrue(once(context))
            self.assertFalse(once(context))
            self.assertEqual([1], calls)
            # The catalog names addresses, so it is made anew at another.
            moved = common.Context(
                model.Layout(
                    context.layout.state,
                    context.layout.cache,
                    '127.80.4',
                    21000,
                ),
                context.passwords,
                context.key_manager,
            )
            self.assertTrue(once(moved))

    def test_once_for_all_ports(self) -> None:
        """The catalog has the ports of all services, not Keystone's alone."""
        with tempfile.TemporaryDirectory() as folder:
            context = places.context(state=pathlib.Path(folder))
            (context.layout.data / 'done').mkdir(parents=True)
            self.assertTrue(profiles._once(context, 'x', lambda: None))
            for name in model.PORTS:
                layout = dataclasses.replace(
                    context.layout, ports={**model.PORTS, name: 20000}
                )
                moved = dataclasses.replace(context, layout=layout)
                with self.subTest(name):
                    self.assertTrue(profiles._once(moved, 'x', lambda: None))
                    self.assertFalse(profiles._once(moved, 'x', lambda: None))

    def test_what_failed_is_done_again(self) -> None:
        def fail() -> None:
            raise errors.LabError('no')

        with tempfile.TemporaryDirectory() as folder:
            context = places.context(state=pathlib.Path(folder))
            (context.layout.data / 'done').mkdir(parents=True)
            with self.assertRaises(errors.LabError):
                profiles._once(context, 'x', fail)
            self.assertTrue(profiles._once(context, 'x', lambda: None))


class ChooseTest(unittest.TestCase):
    def record(self, profile: str, manager: str) -> allot.Record:
        return allot.Record('127.79.3', 21000, {}, profile, manager)

    def test_a_new_lab_is_full_with_barbican(self) -> None:
        self.assertEqual(('full', 'barbican'), up.choose(None, None, None))
        self.assertEqual(
            ('volumes', 'fixed-key'), up.choose(None, 'volumes', 'fixed-key')
        )

    def test_a_lab_grows_and_never_shrinks(self) -> None:
        old = self.record('network', 'barbican')
        for asked, got in (
            (None, 'network'),
            ('volumes', 'network'),
            ('full', 'full'),
        ):
            self.assertEqual((got, 'barbican'), up.choose(old, asked, None))

    def test_the_key_manager_stays(self) -> None:
        old = self.record('volumes', 'fixed-key')
        self.assertEqual(
            ('volumes', 'fixed-key'), up.choose(old, None, 'fixed-key')
        )
        with self.assertRaisesRegex(errors.LabError, '--state'):
            up.choose(old, None, 'barbican')


class SqlTest(unittest.TestCase):
    def test_other_migrations_have_another_dump(self) -> None:
        schema = databases.SCHEMAS['cinder']
        name = databases.dump_name('cinder', schema)
        self.assertRegex(name, r'^cinder-[0-9a-f]{12}\.sql$')
        other = databases.Schema(schema.databases, (*schema.commands, ('x',)))
        self.assertNotEqual(name, databases.dump_name('cinder', other))

    def test_databases_are_made_anew_and_belong_to_one_service(self) -> None:
        lines = databases.empty_sql(['a', 'b']).splitlines()
        self.assertEqual('DROP DATABASE IF EXISTS a;', lines[0])
        self.assertTrue(lines[1].startswith('CREATE DATABASE a '))
        self.assertEqual(4, len(lines))
        names = [n for s in databases.SCHEMAS.values() for n in s.databases]
        self.assertEqual(len(names), len(set(names)))

    def test_services_come_in_from_loopback_alone(self) -> None:
        sql = databases.accounts_sql('word')
        self.assertIn("lab@'127.%' IDENTIFIED BY 'word'", sql)
        self.assertNotIn("@'%'", sql)

    def test_no_migration_has_a_secret_in_its_command(self) -> None:
        for schema in databases.SCHEMAS.values():
            for command in schema.commands:
                self.assertNotIn('://lab:', ' '.join(command))


if __name__ == '__main__':
    unittest.main()
