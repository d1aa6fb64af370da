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

"""What Nova and libvirt say, and the check that would have said it."""

import testtools

from osc_lab.access import remote_probe
from osc_lab.migration import explain
from osc_lab.migration import facts

#: As they stand in events and in the log of nova-compute.
TEXTS = (
    (
        "libvirt.libvirtError: unable to connect to server at 'cmp2:16509': "
        'Connection refused',
        'libvirt-listen',
    ),
    (
        "libvirt.libvirtError: unable to connect to server at 'cmp2:49152': "
        'Connection refused',
        'migration-ports',
    ),
    (
        'libvirt.libvirtError: Timed out during operation: cannot acquire '
        'state change lock (held by '
        'monitor=remoteDispatchDomainMigratePerform3Params)',
        'migration-ports',
    ),
    (
        'libvirt.libvirtError: authentication failed: Failed to start SASL '
        'negotiation',
        'libvirt-auth',
    ),
    (
        'libvirt.libvirtError: operation failed: Failed to connect to remote '
        'libvirt URI qemu+ssh://cmp2/system: Cannot recv data: Host key '
        'verification failed.: Connection reset by peer',
        'libvirt-auth',
    ),
    (
        'libvirt.libvirtError: internal error: Attempt to migrate guest to '
        'the same host 6e0c2b4f-0000-4000-8000-000000000001',
        'libvirt-identity',
    ),
    (
        'libvirt.libvirtError: unsupported configuration: Emulator '
        "'/usr/bin/qemu-system-x86_64' does not support machine type "
        "'pc-i440fx-7.2'",
        'machine-type',
    ),
    (
        'nova.exception.DestinationDiskExists: The supplied disk path '
        '(/var/lib/nova/instances/1) already exists, it is expected not to '
        'exist.',
        'migration-storage',
    ),
    ('KeyManagerError: Key manager error: Forbidden', 'volume-secrets'),
    (
        'Live migration not completed after 800 seconds',
        'convergence',
    ),
    ('No valid host was found. ', 'destination-capacity'),
)


class TestCause(testtools.TestCase):
    def test_texts(self):
        for text, check in TEXTS:
            self.assertEqual(check, explain.cause(text), text)
        self.assertIsNone(explain.cause('something else'))

    def test_what_waited_for_libvirt(self):
        text = TEXTS[2][0]
        (item,) = explain.findings('s1', [('log', text)], {})
        self.assertTrue(explain.waited(item))
        (item,) = explain.findings('s1', [('log', TEXTS[1][0])], {})
        self.assertFalse(explain.waited(item))

    def test_no_valid_host_follows_from_any_other_reason(self):
        said = [('scheduler', TEXTS[-1][0]), ('log', TEXTS[0][0])]
        found = explain.findings('s1', said, {})
        self.assertEqual(['libvirt-listen'], [item.check for item in found])
        self.assertFalse(explain.from_scheduler(found))
        found = explain.findings('s1', said[:1], {})
        self.assertTrue(explain.from_scheduler(found))
        self.assertFalse(explain.from_scheduler([]))

    def test_silence_is_of_those_that_were_asked(self):
        running = {
            'a': True,
            'b': facts.Gap('no answer in time'),
            'c': facts.Gap('No libvirt channel is set.', asked=False),
        }
        remedies = {'libvirt-listen': 'open', 'libvirt-tls': 'renew'}
        (item,) = explain.silent(running, remedies)
        self.assertEqual(
            ('b', 'libvirt-listen', 'open'),
            (item.subject, item.check, item.remedy),
        )
        text = "authentication failed: Failed to verify peer's certificate"
        (item,) = explain.silent({'b': facts.Gap(text)}, remedies)
        self.assertEqual(('libvirt-tls', 'renew'), (item.check, item.remedy))


class TestLog(testtools.TestCase):
    FIRST = 'req-11111111-0000-4000-8000-000000000001'
    SECOND = 'req-22222222-0000-4000-8000-000000000002'

    def test_lines_of_one_migration_alone(self):
        lines = [
            f'ERROR nova [None {self.FIRST} u p] [instance: s1] first failed',
            'ERROR nova [instance: s1] libvirtError: of the first',
            f'ERROR nova [None {self.SECOND} u p] [instance: s1] second',
            'ERROR nova [instance: s1] libvirtError: of the second',
            'ERROR nova [instance: s2] of another server',
            f'ERROR nova [None {self.FIRST} u p] [instance: s2] elsewhere',
            'ERROR nova [instance: s1] libvirtError: whose?',
        ]
        foreign = f'ERROR nova [{self.FIRST} {self.SECOND} u p] of a service'
        lines.insert(2, foreign)
        about = remote_probe.about
        self.assertEqual(lines[2:5], list(about(lines, 's1', self.SECOND)))
        self.assertEqual(
            [line for line in lines if 's1' in line],
            list(about(lines, 's1', '')),
        )


class TestIdentities(testtools.TestCase):
    def test_files_and_none(self):
        here = remote_probe.identities([__file__, '/', '/no/such/file'])
        self.assertEqual('', here['/no/such/file'])
        self.assertNotEqual(here['/'], here[__file__])
        self.assertEqual(here, remote_probe.identities(list(here)))
