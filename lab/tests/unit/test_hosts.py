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
import os
import pathlib
import subprocess
import tempfile
import unittest

from lab import dataplane
from lab import forward
from lab import graph
from lab import hosts
from lab import machine
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
        self.assertEqual(len(inward), 2 * len(model.HOST_PORTS))
        self.assertEqual(pids, spec['hosts'])

    def test_a_port_that_the_machine_has_is_another_one_in_the_root(
        self,
    ) -> None:
        place = dataclasses.replace(
            layout(), host_ports={**model.HOST_PORTS, 'ssh': 22000}
        )
        spec = forward.specification(place, {'hosta': 7}, [])
        self.assertEqual(
            [
                ['127.79.3.11', 22000, 'hosta', '10.79.0.1', 22],
                ['127.79.3.11', 16509, 'hosta', '10.79.0.1', 16509],
                ['127.79.3.11', 16514, 'hosta', '10.79.0.1', 16514],
                ['127.79.3.11', 6640, 'hosta', '10.79.0.1', 6640],
                ['127.79.3.11', 6641, 'hosta', '10.79.0.1', 6641],
            ],
            spec['inward'],
        )


class SshTest(unittest.TestCase):
    """The operator's files, with keys that are there already."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.place = dataclasses.replace(
            layout(), state=pathlib.Path(holder.name)
        )
        keys = [sshd.folder(self.place) / 'id']
        keys += [
            self.place.host_dir(host) / 'sshd' / 'key' for host in model.HOSTS
        ]
        for path in keys:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            path.with_name(f'{path.name}.pub').write_text('ssh-x AAAA me\n')

    def written(self, port: int) -> tuple[str, list[str]]:
        place = dataclasses.replace(
            self.place, host_ports={**model.HOST_PORTS, 'ssh': port}
        )
        sshd.write_client(place)
        config, known = (
            (sshd.folder(place) / name).read_text()
            for name in ('config', 'known_hosts')
        )
        return config, known.splitlines()

    def test_the_usual_port(self) -> None:
        config, known = self.written(22)
        self.assertIn('  Port 22\n', config)
        self.assertEqual(
            [
                'hosta,hosta.lab,127.79.3.11 ssh-x AAAA',
                'hostb,hostb.lab,127.79.3.12 ssh-x AAAA',
            ],
            known,
        )

    def test_another_port(self) -> None:
        config, known = self.written(22000)
        self.assertIn('  Port 22000\n', config)
        self.assertEqual(
            '[hosta]:22000,[hosta.lab]:22000,[127.79.3.11]:22000 ssh-x AAAA',
            known[0],
        )


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

    def test_all_that_a_host_covers_is_refused_for_labs(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            state = pathlib.Path(folder).resolve()
            place = dataclasses.replace(layout(), state=state)
            own = hosts.machine_of(place, 'hosta')
        targets = {
            pathlib.Path(target)
            for _source, target in (*own.overlays, *own.binds)
        }
        covered = {pathlib.Path(path) for path in model.COVERED}
        for target in targets - {hosts.state_path(place)}:
            self.assertTrue(covered & {target, *target.parents}, target)
        self.assertLessEqual(covered, targets)


class HookTest(unittest.TestCase):
    """What libvirt runs for each guest, with a program in place of ip."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        place = dataclasses.replace(layout(), state=pathlib.Path(holder.name))
        hosts.machine_of(place, 'hosta')
        self.hook = place.host_dir('hosta') / 'libvirt' / 'hooks' / 'qemu'
        self.calls = pathlib.Path(holder.name, 'calls')
        machine.write_helper(
            pathlib.Path(holder.name, 'bin', 'ip'),
            f'#!/bin/sh\necho "$@" >> {self.calls}\n',
        )
        self.path = f'{holder.name}/bin:{os.environ["PATH"]}'

    def run_for(self, operation: str) -> list[str]:
        domain = """<domain>
          <target dev='vda' bus='virtio'/>
          <target dev='tapc7632cce-2e'/>
          <target dev='tapb5b2acb5-47'/>
        </domain>"""
        run = subprocess.run(
            [self.hook, 'instance-00000001', operation, 'begin', '-'],
            input=domain,
            text=True,
            capture_output=True,
            check=True,
            env={'PATH': self.path},
        )
        # libvirt would take what it prints for the domain to start.
        self.assertEqual('', run.stdout + run.stderr)
        self.calls.touch()
        return self.calls.read_text().splitlines()

    def test_the_devices_of_a_guest_that_has_started_are_up(self) -> None:
        self.assertEqual(
            [
                'link set dev tapc7632cce-2e up',
                'link set dev tapb5b2acb5-47 up',
            ],
            self.run_for('started'),
        )

    def test_nothing_else_touches_them(self) -> None:
        for operation in ('prepare', 'start', 'migrate', 'stopped'):
            self.assertEqual([], self.run_for(operation))


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
