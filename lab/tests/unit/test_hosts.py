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

"""What the forwarder is told, and what hosts know of each other."""

import dataclasses
import pathlib
import unittest

from lab import dataplane
from lab import forward
from lab import graph
from lab import hosts
from lab import model
from lab import network
from lab import passwords
from lab import pki
from lab.services import common
from lab.services import libvirtd
from lab.services import nova_compute
from lab.services import ovs_agent
from lab.services import sshd

_WORDS = dataclasses.fields(passwords.Passwords)


def layout() -> model.Layout:
    return model.Layout(
        state=pathlib.Path('/nowhere/state'),
        cache=pathlib.Path('/nowhere/cache'),
        block='127.79.3',
        epmd_port=43690,
    )


class ForwardTest(unittest.TestCase):
    def test_services_keep_their_address_inside_a_host(self) -> None:
        spec = forward.specification(layout(), {'hosta': 7}, [9292, 5000])
        self.assertEqual(
            [['hosta', '127.79.3.1', 5000], ['hosta', '127.79.3.1', 9292]],
            spec['outward'],
        )

    def test_each_host_has_its_own_loopback_address(self) -> None:
        pids = {'hosta': 7, 'hostb': 8}
        spec = forward.specification(layout(), pids, [])
        inward = spec['inward']
        assert isinstance(inward, list)
        self.assertIn(['127.79.3.11', 22, 'hosta', '10.79.0.1', 22], inward)
        self.assertIn(['127.79.3.12', 22, 'hostb', '10.79.0.2', 22], inward)
        self.assertEqual(len(inward), 2 * len(forward.HOST_PORTS))
        self.assertEqual(pids, spec['hosts'])


class ListenersTest(unittest.TestCase):
    def test_only_listening_sockets_with_address_and_port(self) -> None:
        table = (
            '  sl  local_address rem_address   st tx_queue\n'
            '   0: 0B034F7F:407D 00000000:0000 0A 0:0 00:0 0 0 0\n'
            '   1: 0100007F:0016 0100007F:D431 01 0:0 00:0 0 0 0\n'
        )
        self.assertEqual(
            {('127.79.3.11', 16509)}, network.parse_listeners(table)
        )


class HostsTest(unittest.TestCase):
    def test_hosts_differ_in_their_uuid_and_labs_do_too(self) -> None:
        one = layout()
        other = model.Layout(
            pathlib.Path('/elsewhere'), one.cache, one.block, one.epmd_port
        )
        found = {
            hosts.host_uuid(place, host)
            for place in (one, other)
            for host in model.HOSTS
        }
        self.assertEqual(4, len(found))

    def test_a_host_finds_both_hosts_by_both_names(self) -> None:
        self.assertEqual(
            ('hostb.lab', 'hostb'), hosts.names(layout())['10.79.0.2']
        )

    def test_certificates_name_the_loopback_address_too(self) -> None:
        names = pki.host_names(layout(), 'hostb')
        for name in ('DNS:hostb', 'DNS:hostb.lab', 'IP:127.79.3.12'):
            self.assertIn(name, names)


class ComputeTest(unittest.TestCase):
    def setUp(self) -> None:
        words = passwords.Passwords(*['secret'] * len(_WORDS))
        self.context = common.Context(layout(), words, 'barbican')

    def test_both_hosts_have_the_same_paths_and_other_addresses(self) -> None:
        one, two = (
            nova_compute.configuration(self.context, host)['DEFAULT']
            for host in model.HOSTS
        )
        self.assertEqual(one['instances_path'], two['instances_path'])
        self.assertNotEqual(one['my_ip'], two['my_ip'])

    def test_no_secret_is_in_a_hosts_own_file(self) -> None:
        for make in (nova_compute.service, ovs_agent.service):
            service = make(self.context, 'hosta')
            for text in (*service.files.values(), *service.argv):
                self.assertNotIn('secret', text)

    def test_the_privileged_helpers_read_both_files(self) -> None:
        made = nova_compute.configuration(self.context, 'hostb')
        helper = str(made['privsep_osbrick']['helper_command'])
        self.assertTrue(helper.startswith('env privsep-helper '))
        self.assertIn('/nova/nova.conf', helper)
        self.assertIn('/nova/hostb/nova-compute.conf', helper)


class StepsTest(unittest.TestCase):
    def test_the_steps_of_the_hosts_need_nothing_unknown(self) -> None:
        place = layout()
        rows = [
            graph.Step(
                row.name, lambda: True, (f'machine {row.machine}', *row.after)
            )
            for row in dataplane.services(place)
        ]
        graph.check([*dataplane.steps(place), *rows])


class ServiceTest(unittest.TestCase):
    def test_libvirtd_listens_unless_told_otherwise(self) -> None:
        self.assertIn('--listen', libvirtd.service(layout(), 'hosta').argv)
        deaf = libvirtd.service(layout(), 'hosta', listen=False)
        self.assertNotIn('--listen', deaf.argv)

    def test_libvirtd_is_configured_with_the_authentication(self) -> None:
        files = libvirtd.configuration(layout(), 'hosta', auth_tcp='sasl')
        text = files[layout().host_dir('hosta') / 'libvirt/libvirtd.conf']
        self.assertIn('auth_tcp = "sasl"', text)

    def test_sshd_reads_its_configuration_from_the_hosts_folder(self) -> None:
        service = sshd.service(layout(), 'hosta')
        (path,) = service.files
        self.assertEqual(str(path), service.argv[-1])
        self.assertIn(layout().host_dir('hosta'), path.parents)


if __name__ == '__main__':
    unittest.main()
