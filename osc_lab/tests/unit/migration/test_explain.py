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
from osc_lab.migration import ranking
from osc_lab.migration import record
from osc_lab.preflight import finding
from osc_lab.preflight import report
from osc_lab.tests.unit.migration import samples

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
    ('Failed to verify peer certificate', 'libvirt-tls'),
    ('TLS handshake failed', 'libvirt-tls'),
    ('Unable to access credentials /etc/pki/qemu', 'qemu-processes'),
    ('Permission denied (publickey)', 'libvirt-auth'),
    ("Failed to connect to 'cmp2:49215': timed out", 'migration-ports'),
    (
        'hostname on destination resolved to localhost, but migration '
        'requires an FQDN',
        'libvirt-identity',
    ),
    (
        "Unable to resolve address 'cmp2' service '49152': Name or service "
        'not known',
        'libvirt-identity',
    ),
    (
        "Unable to resolve address 'cmp2' service '16509': Name or service "
        'not known',
        'libvirt-listen',
    ),
    ('End of file while reading data: Input/output error', 'libvirt-listen'),
    ("argument key 'host' must not have null value", 'migration-options'),
    ('flags TUNNELLED are refused', 'migration-options'),
    (
        'post-copy is not supported with tunnelled migration',
        'migration-options',
    ),
    (
        'internal error: unable to execute QEMU command '
        "'migrate-set-capabilities': Postcopy is not supported: Userfaultfd "
        'not available: Operation not permitted',
        'migration-options',
    ),
    (
        "unable to execute QEMU command 'migrate': 0000:b1:00.2: VFIO "
        'migration is not supported with postcopy migration',
        'migration-options',
    ),
    ('the machine type is not there', 'machine-type'),
    (
        'The instance requires a newer hypervisor version than has been '
        'provided.',
        'qemu-version',
    ),
    ('The supplied hypervisor type of is invalid.', 'qemu-version'),
    ('the CPU is incompatible with host CPU', 'cpu'),
    ('CPU model Icelake is not known by hypervisor', 'cpu'),
    ("Cannot access storage file '/media/cd.iso'", 'guest-devices'),
    ("Could not open '/media/cd.iso'", 'guest-devices'),
    ("domain 'x' already exists with uuid 1", 'domain-conflict'),
    ("domain 'x' is already active", 'domain-conflict'),
    ('No space left on device', 'migration-storage'),
    ('exception.DiskSpace', 'migration-storage'),
    ('Migration without shared storage is unsafe', 'migration-storage'),
    (
        'Migration pre-check error: cmp2 is not on shared storage: Shared '
        'storage live-migration requires either shared storage or '
        'boot-from-volume with no local disks.',
        'migration-storage',
    ),
    (
        'cmp2 is not on local storage: Block migration can not be used with '
        'shared storage.',
        'migration-storage',
    ),
    (
        'Migration pre-check error: Insufficient compute resources: '
        'Requested instance NUMA topology cannot fit the given host NUMA '
        'topology.',
        'numa-and-sriov',
    ),
    (
        'Requested instance NUMA topology together with requested PCI '
        'devices cannot fit the given host NUMA topology.',
        'numa-and-sriov',
    ),
    ('PortBindingFailed: Binding failed', 'port-binding'),
    (
        'Binding failed for port 5d1c, please check neutron logs for more '
        'information.',
        'port-binding',
    ),
    ('Virtual Interface creation failed', 'port-binding'),
    ('Virtual interface plugin failed', 'port-binding'),
    (
        'Migration pre-check error: Timeout while checking if we can live '
        'migrate to host: cmp2',
        'destination-service',
    ),
    (
        'Migration pre-check error: Cannot block migrate instance 1 with '
        'mapped volumes. Selective block device migration is not supported '
        'with tunnelled block migrations.',
        'migration-options',
    ),
    ('timed out waiting for network-vif-plugged', 'port-binding'),
    ('ServerGroup policy was violated', 'server-group'),
    ('soft-affinity', 'server-group'),
    ('Affinity instance group policy was violated', 'server-group'),
    ('cannot set CPU affinity on process 7: Invalid argument', 'cpu'),
    ('Invalid PCI NUMA affinity configured: socket', None),
    ('Lack of memory on cmp2', 'destination-capacity'),
    ('Exceeded max scheduling attempts 3', 'destination-capacity'),
    ('No valid host was found. ', 'destination-capacity'),
)

#: What Nova answers at once.
REFUSED = (
    ('Instance 1 is locked', 'server-lock'),
    (
        "Cannot 'os-migrateLive' instance 1 while it is in vm_state stopped",
        'server-state',
    ),
    ('while it is in power_state 4', 'server-state'),
    ("Policy doesn't allow it to be performed", 'caller-rights'),
    ('You are not allowed', 'caller-rights'),
)


class TestCause(testtools.TestCase):
    def test_texts(self):
        for text, check in TEXTS:
            self.assertEqual(check, explain.cause(text), text)
        self.assertIsNone(explain.cause('something else'))

    def test_the_id_is_an_interface(self):
        self.assertEqual('outcome', explain.CHECK)

    def test_refusals(self):
        for text, check in REFUSED:
            self.assertEqual(check, explain.refusal(text), text)
        self.assertIsNone(explain.refusal('Conflict'))

    def test_findings(self):
        """One for each cause, from whoever said it first."""
        first, second = TEXTS[0][0], TEXTS[3][0]
        said = [
            ('event', first),
            ('log', first + ' again'),
            ('log', 'of no known cause'),
            ('log', second),
        ]
        listen, auth = explain.findings('s1', said, {'libvirt-auth': 'pass'})
        self.assertEqual(
            finding.Finding(
                'libvirt-listen',
                's1',
                finding.Result.FAILED,
                f'event: {first}',
                'See "openstack server event show".',
                finding.Source.API,
                {'text': first},
            ),
            listen,
        )
        self.assertEqual(
            ('libvirt-auth', f'log: {second}', 'pass'),
            (auth.check, auth.message, auth.remedy),
        )

    def test_what_was_said(self):
        """Failed events, then lines of the log, each text once."""

        trace = 'Traceback (most recent call last)'

        def event(name, result, details, host='a'):
            return record.Event(name, host, result, details, True)

        action = record.Action(
            'req-1',
            'live-migration',
            '',
            0.0,
            (
                event(
                    'compute_live',
                    'Error',
                    f'{trace}:\n  line\nBoom: no\n',
                ),
                event('conductor', 'Error', 'Halt: all', host=''),
                event('remote', 'Error', f'Of cmp2\n{trace}: x'),
                event('lines', 'Error', 'First\n\nsecond\n'),
                event('fine', 'Success', 'not told'),
                event('silent', 'Error', ' \n'),
                event('again', 'Error', 'Boom: no\nand more'),
            ),
        )
        lines = [
            'a b libvirtError: refused  ',
            'a b libvirtError: refused',
            'Live Migration failure: x',
            'Live migration failed: y',
            'Pre live migration failed at z',
            'Live migration not completed after 800 s',
            'KeyManagerError: k',
            'Some Exception: e',
            'Halt: all',
            'nothing to tell',
        ]
        log = 'log of nova-compute'
        self.assertEqual(
            [
                ('compute_live (a)', 'Boom: no'),
                ('conductor', 'Halt: all'),
                ('remote (a)', 'Of cmp2'),
                ('lines (a)', 'First\n\nsecond'),
                (log, 'libvirtError: refused'),
                (log, 'Live Migration failure: x'),
                (log, 'Live migration failed: y'),
                (log, 'Pre live migration failed at z'),
                (log, 'Live migration not completed after 800 s'),
                (log, 'KeyManagerError: k'),
                (log, 'Exception: e'),
            ],
            explain.reasons(action, lines),
        )
        self.assertEqual([], explain.reasons(None))

    def test_brief(self):
        self.assertEqual('a', explain.brief('a \n\nb\n'))
        self.assertEqual('', explain.brief(''))

    def test_cause_behind_the_first_line(self):
        """As nova.virt.libvirt.driver._compare_cpu says it."""
        text = (
            'Migration pre-check error: Unacceptable CPU info: CPU doesn\'t '
            'have compatibility.\n\n0\n\nRefer to http://libvirt.org/html/'
        )
        (item,) = explain.findings('s1', [('event', text)], {})
        self.assertEqual(
            ('cpu', f'event: {text.splitlines()[0]}', {'text': text}),
            (item.check, item.message, item.evidence),
        )
        (item,) = explain.findings('s1', [('event', 'Boom\nSASL')], {})
        self.assertEqual('libvirt-auth', item.check)

    def ranked(self, general=(), **hosts):
        """Return a ranking; (check, result) are of the host."""

        def items(subject, pairs):
            return report.Report(
                tuple(
                    finding.Finding(check, subject, result, f'no {check}')
                    for check, result in pairs
                )
            )

        return ranking.Ranking(
            items('s1', general),
            tuple(
                ranking.Candidate(samples.host(name), items(name, pairs))
                for name, pairs in hosts.items()
            ),
        )

    def test_as_of_now(self):
        """Failures alone, and of many hosts one that stands for them."""
        every = [('cpu', result) for result in finding.Result]
        failed = [(check, finding.Result.FAILED) for check in ('cpu', 'x')]
        self.assertEqual(
            [
                finding.Finding(
                    'cpu',
                    'b',
                    finding.Result.FAILED,
                    'No valid host; seen now: no cpu',
                )
            ],
            explain.as_of_now(self.ranked(b=every)),
        )
        found = explain.as_of_now(
            self.ranked(b=every, c=failed * 2, d=failed[:1])
        )
        self.assertEqual(
            [
                ('b', 'No valid host; seen now on 3 hosts: no cpu'),
                ('c', 'No valid host; seen now: no x'),
                ('c', 'No valid host; seen now: no x'),
            ],
            [(item.subject, item.message) for item in found],
        )

    def test_what_others_lack_does_not_keep_it_from_a_host_that_passes(self):
        failed = [('cpu', finding.Result.FAILED)]
        warned = [('cpu', finding.Result.WARNING)]
        ranked = self.ranked(b=failed, c=warned, d=failed)
        self.assertEqual([], explain.as_of_now(ranked))
        (item,) = explain.as_of_now(self.ranked(failed, b=failed, c=warned))
        self.assertEqual('s1', item.subject)
        self.assertEqual(
            finding.Finding(
                'reason',
                'vm1',
                finding.Result.WARNING,
                'No valid host; now 2 of 3 hosts fail a check.',
                'openstack server migrate live s1 --preflight',
            ),
            explain.how_many(ranked, samples.clean().server),
        )

    def test_what_waited_for_libvirt(self):
        text = TEXTS[2][0]
        (item,) = explain.findings('s1', [('log', text)], {})
        self.assertTrue(explain.waited(item))
        (item,) = explain.findings('s1', [('log', TEXTS[1][0])], {})
        self.assertFalse(explain.waited(item))

    def test_no_valid_host_follows_from_any_other_reason(self):
        """Also from one that no check sees."""
        scheduler = ('conductor', TEXTS[-1][0])
        again = ('conductor', TEXTS[-2][0])
        room = ('conductor', 'Lack of memory')
        for said, checks, alone in (
            ([scheduler, ('log', TEXTS[0][0])], ['libvirt-listen'], False),
            ([scheduler, ('log', 'of no known cause')], [], False),
            ([room, scheduler], ['destination-capacity'], False),
            ([scheduler], ['destination-capacity'], True),
            ([again, scheduler], ['destination-capacity'], True),
            ([], [], False),
        ):
            found = explain.findings('s1', said, {})
            self.assertEqual(checks, [item.check for item in found])
            self.assertEqual(alone, explain.from_scheduler(said))
        (item,) = explain.findings('s1', [scheduler, room], {})
        self.assertEqual({'text': room[1]}, item.evidence)

    def test_silence_is_of_those_that_were_asked(self):
        running = {
            'a': True,
            'b': facts.Gap('no answer in time'),
            'c': facts.Gap('No libvirt channel is set.', asked=False),
        }
        remedies = {'libvirt-listen': 'open', 'libvirt-tls': 'renew'}
        (item,) = explain.silent(running, remedies)
        self.assertEqual(
            finding.Finding(
                'libvirt-listen',
                'b',
                finding.Result.FAILED,
                'libvirt there does not answer now: no answer in time',
                'open',
                finding.Source.LIBVIRT,
            ),
            item,
        )
        for text, check, remedy in (
            ("Failed to verify peer's certificate", 'libvirt-tls', 'renew'),
            ('authentication failed', 'libvirt-auth', ''),
            (
                'the CPU is incompatible with host CPU',
                'libvirt-listen',
                'open',
            ),
        ):
            (item,) = explain.silent({'b': facts.Gap(text)}, remedies)
            self.assertEqual((check, remedy), (item.check, item.remedy))
        found = explain.silent({'z': running['b'], 'y': running['b']}, {})
        self.assertEqual(['y', 'z'], [item.subject for item in found])


class TestAborted(testtools.TestCase):
    SAID = "operation aborted: job 'migration out' canceled by client"

    def test_said_once(self):
        lines = [
            f'Live Migration failure: {self.SAID}: libvirt.libvirtError: '
            f'{self.SAID}',
            f'libvirt.libvirtError: {self.SAID}',
            'libvirt.libvirtError: Requested operation is not valid: no job '
            'is active on the domain',
            f'Live migration failed.: libvirt.libvirtError: {self.SAID}',
        ]
        [(_where, text)] = explain.reasons(None, lines)
        self.assertTrue(explain.aborted(text))
        self.assertIsNone(explain.cause(text))
        self.assertFalse(explain.aborted(TEXTS[0][0]))


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
