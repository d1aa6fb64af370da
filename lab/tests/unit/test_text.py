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

"""What the lab reads and writes as text: ini, bindep, YAML, exports."""

import dataclasses
import pathlib
import shlex
import unittest

import yaml

from lab import bindep
from lab import env
from lab import ini
from lab import install
from lab import model
from lab import process
from lab import status
from lab.tests.unit import places

_TOP = pathlib.Path(install.__file__).parent.parent


class IniTest(unittest.TestCase):
    def test_numbers_truths_and_repeated_options(self) -> None:
        text = ini.render({'a': {'n': 3, 'on': True, 'many': ['x', 'y']}})
        self.assertEqual('[a]\nn = 3\non = true\nmany = x\nmany = y\n', text)

    def test_a_value_cannot_add_a_line(self) -> None:
        with self.assertRaisesRegex(ValueError, 'a.b has two lines'):
            ini.render({'a': {'b': 'x\ndebug = true'}})

    def test_a_later_option_wins_and_the_others_stay(self) -> None:
        first: ini.Sections = {'a': {'x': 1, 'y': 1}}
        merged = ini.merge(first, {'a': {'y': 2}, 'b': {}})
        self.assertEqual({'a': {'x': 1, 'y': 2}, 'b': {}}, merged)
        self.assertEqual({'a': {'x': 1, 'y': 1}}, first)


class BindepTest(unittest.TestCase):
    def test_the_profile_and_the_platform_decide(self) -> None:
        text = (
            '# gcc [platform:dpkg lab]\n'
            'a [platform:dpkg lab]\n'
            'b [platform:dpkg lab-hosts]\n'
            'c [platform:rpm lab]\n'
            'd [platform:dpkg]\n'
            'e\n'
            'a [platform:dpkg lab-hosts]\n'
        )
        self.assertEqual(('a',), bindep.packages(text, {'lab'}))
        self.assertEqual(
            ('a', 'b'), bindep.packages(text, {'lab', 'lab-hosts'})
        )

    def test_the_projects_file_has_what_each_profile_starts(self) -> None:
        text = (_TOP / 'bindep.txt').read_text()
        small = bindep.packages(text, {'lab'})
        hosts = bindep.packages(text, {'lab-hosts'})
        self.assertIn('mariadb-server', small)
        self.assertIn('rabbitmq-server', small)
        self.assertNotIn('openvswitch-switch', small)
        self.assertIn('openvswitch-switch', hosts)
        self.assertIn('libvirt-daemon', hosts)


class RequirementsTest(unittest.TestCase):
    def test_every_pin_is_exact_and_in_one_group(self) -> None:
        text = (_TOP / 'lab' / 'constraints.txt').read_text()
        wheels, compiled = install.requirements(text)
        for pin in (*wheels, *compiled):
            self.assertRegex(pin, r'^[A-Za-z0-9._-]+===?[^=\s]+$')
        names = [pin.split('==')[0].lower() for pin in (*wheels, *compiled)]
        self.assertEqual(len(names), len(set(names)))
        self.assertIn('uwsgi', ' '.join(compiled).lower())
        for service in ('keystone', 'cinder', 'barbican', 'neutron', 'nova'):
            self.assertIn(service, names)


class CloudsTest(unittest.TestCase):
    def clouds(self, profile: str) -> dict[str, env.Tree]:
        text = env.yaml(env.clouds(places.context(), profile))
        clouds: dict[str, env.Tree] = yaml.safe_load(text)['clouds']
        return clouds

    def test_the_yaml_is_what_was_meant(self) -> None:
        tree = {'a': {'b': ['x: y', '#'], 'c': 'no', 'd': {'e': '{h}'}}}
        self.assertEqual(tree, yaml.safe_load(env.yaml(tree)))

    def test_there_are_an_admin_and_a_member(self) -> None:
        clouds = self.clouds('volumes')
        self.assertEqual({'lab', 'lab-demo'}, clouds.keys())
        self.assertEqual('admin', clouds['lab']['auth']['username'])
        self.assertEqual('demo', clouds['lab-demo']['auth']['project_name'])
        self.assertEqual(
            'http://127.79.3.1:5000/v3', clouds['lab']['auth']['auth_url']
        )

    def test_hosts_are_told_only_where_there_are_hosts(self) -> None:
        self.assertNotIn('ssh', self.clouds('volumes')['lab']['osc_lab'])
        access = self.clouds('full')['lab']['osc_lab']
        self.assertEqual(
            {'hosta': '127.79.3.11', 'hostb': '127.79.3.12'},
            access['host_addresses'],
        )
        self.assertLessEqual(set(model.HOSTS), access['config_files'].keys())
        network = self.clouds('network')['lab']['osc_lab']
        self.assertNotIn('hosta', network['config_files'])

    def test_the_ports_of_hosts_are_told(self) -> None:
        moved = {name: 22000 for name in model.HOST_PORTS}
        for ports, libvirt, ovsdb in (
            (model.HOST_PORTS, '', '6640'),
            (moved, ':22000', '22000'),
        ):
            context = places.context()
            layout = dataclasses.replace(context.layout, host_ports=ports)
            context = dataclasses.replace(context, layout=layout)
            tree = env.clouds(context, 'network')['clouds']
            access = tree['lab']['osc_lab']
            self.assertEqual(
                f'qemu+tls://{{host_ip}}{libvirt}/system'
                '?pkipath=/nowhere/state/pki/client',
                access['libvirt_uri'],
            )
            self.assertEqual(f'ssl:{{host_ip}}:{ovsdb}', access['ovsdb'])

    def test_a_shell_reads_the_exports_and_finds_no_secret(self) -> None:
        layout = places.layout(pathlib.Path("/a'b"))
        text = env.exports(layout, 'volumes', long=True)
        words = shlex.split(text)
        self.assertIn("OS_CLIENT_CONFIG_FILE=/a'b/clouds.yaml", words)
        self.assertIn('OSC_LAB_PROFILE=volumes', words)
        self.assertEqual(words[::2], ['export'] * (len(words) // 2))
        self.assertNotIn(places.SECRET, text)


class EnvironTest(unittest.TestCase):
    def test_values_may_hold_anything_but_nul(self) -> None:
        self.assertEqual(
            {'A': 'b=c\nd', 'E': '', 'F': ''},
            process.parse(b'A=b=c\nd\0E=\0F\0'),
        )


class StatusTest(unittest.TestCase):
    def test_a_service_without_process_is_down(self) -> None:
        rows = [
            status.Row('nova-api', 'control', (7, 8), 30),
            status.Row('sshd-hosta', 'hosta', (), 0),
        ]
        lines = [line.split() for line in status.render(rows).splitlines()]
        self.assertEqual(['nova-api', 'control', 'up', '7', '30'], lines[1])
        self.assertEqual(['sshd-hosta', 'hosta', 'down', '-', '0'], lines[2])
        self.assertEqual(['total', '30'], lines[3])


if __name__ == '__main__':
    unittest.main()
