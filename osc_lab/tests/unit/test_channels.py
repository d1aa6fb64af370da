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

import argparse
import dataclasses

import testtools

from osc_lab import channels
from osc_lab import exceptions


def parse(*argv):
    parser = argparse.ArgumentParser()
    channels.add_arguments(parser)
    return parser.parse_args(argv)


class TestResolve(testtools.TestCase):
    def test_nothing_is_enabled_by_default(self):
        found = channels.resolve(parse(), {}, {})
        self.assertEqual(channels.Channels(), found)
        self.assertEqual(channels.DEADLINE, found.deadline)

    def test_option_wins_over_environment_over_cloud(self):
        cloud = {'ssh': 'c', 'libvirt_uri': 'c', 'ovsdb': 'c'}
        environ = {'OSC_LAB_SSH': 'e', 'OSC_LAB_LIBVIRT_URI': 'e'}
        found = channels.resolve(parse('--ssh', 'o'), environ, cloud)
        self.assertEqual(
            ('o', 'e', 'c'), (found.ssh, found.libvirt_uri, found.ovsdb)
        )

    def test_timeout(self):
        found = channels.resolve(parse('--host-timeout', '1.5'), {}, {})
        self.assertEqual(1.5, found.deadline)
        for bad in ('0', '-1', 'abc', 'nan', 'inf', '601'):
            error = self.assertRaises(
                exceptions.InvalidInput,
                channels.resolve,
                parse('--host-timeout', bad),
                {},
                {},
            )
            self.assertIn('--host-timeout', str(error))

    def test_judged_without_a_cloud(self):
        """What stands in clouds.yaml is not known before the log-in."""
        channels.judge(argparse.Namespace(), {'OSC_LAB_HOST_TIMEOUT': 'x'})
        channels.judge(parse('--ssh', 'o'), {})
        for argv, environ in (
            (['--host-timeout', 'x'], {}),
            ([], {'OSC_LAB_HOST_TIMEOUT': 'x'}),
            ([], {'OSC_LAB_SSH': '-x'}),
        ):
            self.assertRaises(
                exceptions.InvalidInput, channels.judge, parse(*argv), environ
            )

    def refused(self, *argv):
        error = self.assertRaises(
            exceptions.InvalidInput, channels.resolve, parse(*argv), {}, {}
        )
        return str(error)

    def test_refuses_what_would_be_an_option(self):
        self.refused('--ssh=-oProxyCommand=x')
        self.refused('--ssh', 'a\nb')

    def test_refuses_what_would_trust_anybody(self):
        """Any number but 0 is true for libvirt, in any spelling."""
        uri = 'qemu+tls://{host}/system'
        for query in (
            'no_verify=1',
            'no_verify=2',
            'no_verify=-1',
            'no_verify=+1',
            'no_verify=01',
            'no_verify=',
            'NO_Verify=1',
            'no%5Fverify=%31',
            'pkipath=/x&no_verify=1',
            'pkipath=/x;no_verify=1',
            'no_verify=0&no_verify=1',
            'known_hosts_verify=ignore',
            'known_hosts_verify=auto',
        ):
            text = self.refused('--libvirt-uri', f'{uri}?{query}')
            self.assertIn('would trust any host', text)
        for query in (
            'no_verify=0',
            'known_hosts_verify=normal',
            'pkipath=/x',
        ):
            given = parse('--libvirt-uri', f'{uri}?{query}')
            self.assertIn(query, channels.resolve(given, {}, {}).libvirt_uri)

    def test_refuses_a_password_in_an_address(self):
        for option, value in (
            ('--libvirt-uri', 'qemu+tcp://u:canary@{host}/system'),
            ('--libvirt-uri', 'qemu+ssh://:canary@{host}/system'),
            ('--ssh', 'ssh://root:canary@{host}:22'),
            ('--ssh', 'root:canary@{host}'),
            ('--ovsdb', 'ssl:u:canary@{host}:6640'),
        ):
            self.assertNotIn('canary', self.refused(option, value))
        for option, value in (
            ('--libvirt-uri', 'qemu+ssh://root@[2001:db8::1]:22/system'),
            ('--libvirt-uri', 'qemu+unix:///system?socket=/a:b@c'),
            ('--ssh', 'root@2001:db8::1'),
            ('--ovsdb', 'unix:/run/a:b@c/db.sock'),
            ('--ovsdb', 'ssl:[2001:db8::1]:6640'),
        ):
            channels.resolve(parse(option, value), {}, {})

    def test_refuses_what_is_no_uri(self):
        for uri in ('qemu+tls://[{host}/system', 'qemu+tls://[{host_ip}/x'):
            text = self.refused('--libvirt-uri', uri)
            self.assertIn(f'--libvirt-uri: "{uri}" cannot be used', text)

    def test_host_addresses_must_be_a_mapping(self):
        self.assertRaises(
            exceptions.InvalidInput,
            channels.resolve,
            parse(),
            {},
            {'host_addresses': ['a']},
        )


class TestHost(testtools.TestCase):
    def test_templates(self):
        settings = channels.Channels(
            ssh='root@{host}', libvirt_uri='qemu+tls://{host_ip}/system'
        )
        host = settings.host('cmp1', '192.0.2.1')
        self.assertEqual('root@cmp1', host.ssh)
        self.assertEqual('qemu+tls://192.0.2.1/system', host.libvirt_uri)
        self.assertEqual('ssh', host.ovsdb)

    def test_ipv6_is_bracketed_and_configured_address_wins(self):
        settings = channels.Channels(
            ovsdb='ssl:{host_ip}:6640', host_addresses={'a': '2001:db8::1'}
        )
        self.assertEqual(
            'ssl:[2001:db8::1]:6640', settings.host('a', '192.0.2.1').ovsdb
        )

    def test_brackets_that_the_user_gives(self):
        given = parse(
            *('--ssh', 'root@[{host_ip}]'),
            *('--libvirt-uri', 'qemu+tls://[{host_ip}]/system'),
            *('--ovsdb', 'ssl:[{host_ip}]:6640'),
        )
        settings = channels.resolve(given, {}, {})
        for address, shown in (
            ('2001:db8::1', '[2001:db8::1]'),
            ('192.0.2.1', '192.0.2.1'),
            ('cmp1', 'cmp1'),
        ):
            host = settings.host('a', address)
            self.assertEqual(f'root@{address}', host.ssh)
            self.assertEqual(f'qemu+tls://{shown}/system', host.libvirt_uri)
            self.assertEqual(f'ssl:{shown}:6640', host.ovsdb)

    def test_without_channels(self):
        host = channels.Channels().host('a')
        self.assertEqual(
            (None, None, None), (host.ssh, host.libvirt_uri, host.ovsdb)
        )

    def test_openssh_takes_brackets_in_a_uri_alone(self):
        for template, filled in (
            ('root@{host_ip}', 'root@2001:db8::1'),
            ('{host_ip}', '2001:db8::1'),
            ('ssh://root@{host_ip}:22', 'ssh://root@[2001:db8::1]:22'),
        ):
            settings = channels.Channels(ssh=template)
            self.assertEqual(filled, settings.host('a', '2001:db8::1').ssh)

    def test_strange_names_are_refused(self):
        for name in ('-oProxyCommand=x', 'a b', 'a/b', '', 'a\n', '$(x)'):
            for template in ('{host}', '{host_ip}'):
                self.assertRaises(
                    exceptions.AccessError,
                    channels.Channels(ssh=template).host,
                    name,
                )

    def test_strange_name_with_an_address(self):
        """The remedy works: the address is named, the name not used."""
        addresses = {'a b': 'c.example.org', 'd': '$(x)'}
        settings = channels.Channels(
            ssh='root@{host_ip}', host_addresses=addresses
        )
        host = settings.host('a b', '192.0.2.1')
        self.assertEqual('a b', host.name)
        self.assertEqual('root@c.example.org', host.ssh)
        self.assertRaises(exceptions.AccessError, settings.host, 'd')
        settings = dataclasses.replace(settings, ssh='root@{host}')
        error = self.assertRaises(exceptions.AccessError, settings.host, 'a b')
        self.assertIn('"a b"', error.message)
        self.assertIn('{host_ip}', error.remedy)
        self.assertEqual('root@d', settings.host('d').ssh)

    def test_strange_name_that_is_not_used(self):
        host = channels.Channels(ssh='local').host('a b')
        self.assertEqual('local', host.ssh)
