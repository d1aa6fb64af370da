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

"""After a migration: what is where it belongs."""

import dataclasses

import testtools

from osc_lab.migration import facts
from osc_lab.migration import verify
from osc_lab.tests.unit.migration import samples

GAP = facts.Gap('no answer', 'wait')
UNSET = facts.Gap('not asked', 'ask', asked=False)


def after(server=None, ports=None, **changes):
    """Return what is seen after a good migration from a to b, changed."""
    clean = samples.server(**{'host': 'b', **(server or {})})
    network = clean.network
    if ports is not None:
        network = dataclasses.replace(
            network,
            ports=tuple(
                dataclasses.replace(network.ports[0], **port) for port in ports
            ),
        )
    return dataclasses.replace(
        verify.After(
            clean.server,
            clean.source,
            clean.destinations[0],
            network,
            {'port1': (('b', 'ACTIVE'),)},
            {'v1': ('b',)},
            frozenset({'rp-b'}),
            {'a': False, 'b': True},
            False,
            '/i/s1',
        ),
        **changes,
    )


def mirror(follows):
    return facts.Mirror('m', 'port1', 'a', follows)


class VerifyTest(testtools.TestCase):
    def verify(self, found):
        """Return the findings by their check, each of which is whole."""
        findings = verify.verify(found)
        for item in findings:
            for text in (item.message, item.remedy):
                self.assertIsInstance(text, str)
                self.assertNotIn('None', text)
            self.assertNotEqual('', item.message)
            self.assertEqual(item.result != 'ok', bool(item.remedy), item)
            self.assertEqual({}, item.evidence)
        return findings

    def bad(self, found):
        """Return (check, subject, result, source) of what is not fine."""
        return [
            (item.check, item.subject, item.result.value, item.source.value)
            for item in self.verify(found)
            if item.result != 'ok'
        ]

    def one(self, found, row, words, remedy):
        """See that one finding is not fine, and what it says."""
        self.assertEqual([row], self.bad(found))
        (item,) = (item for item in self.verify(found) if item.result != 'ok')
        self.assertIn(words, item.message)
        self.assertIn(remedy, item.remedy)


class TestVerify(VerifyTest):
    def test_all_is_well(self):
        self.assertEqual(
            [
                ('server-host', 'vm1', 'api', 'runs on b'),
                ('port-bindings', 'port1', 'api', 'active on b'),
                ('port-status', 'port1', 'api', 'ACTIVE'),
                ('volume-attachments', 'v1', 'api', 'on the new host'),
                ('allocations', 'vm1', 'api', 'new host alone'),
                ('domain', 'a', 'libvirt', 'is gone'),
                ('domain', 'b', 'libvirt', 'runs there'),
                ('left-overs', 'a', 'shell', 'Nothing'),
                ('mirrors', 'vm1', 'ovsdb', 'No mirror'),
            ],
            [
                (item.check, item.subject, item.source.value, words)
                for item, words in zip(
                    self.verify(after()),
                    (
                        *('runs on b', 'active on b', 'ACTIVE'),
                        *('on the new host', 'new host alone', 'is gone'),
                        *('runs there', 'Nothing', 'No mirror'),
                    ),
                    strict=True,
                )
                if words in item.message
            ],
        )

    def test_nothing_to_look_at(self):
        found = after(
            ports=(),
            attachments={},
            leftover=None,
            mirrors=(mirror(True),),
        )
        self.assertEqual(
            ['server-host', 'allocations', 'domain', 'domain', 'mirrors'],
            [item.check for item in self.verify(found)],
        )
        self.assertEqual([], self.bad(found))

    def test_what_was_not_seen(self):
        """Unknown when it was asked, skipped when it was not."""
        for gap, result in ((GAP, 'unknown'), (UNSET, 'skipped')):
            for check, changes in (
                ('port-bindings', {'network': gap}),
                ('volume-attachments', {'attachments': gap}),
                ('allocations', {'allocations': gap}),
                (
                    'allocations',
                    {'destination': samples.host('b', hypervisor=gap)},
                ),
                ('mirrors', {'mirrors': gap}),
            ):
                self.one(
                    after(**changes),
                    (check, 'vm1', result, 'api'),
                    gap.message,
                    gap.remedy,
                )
            for check, changes in (
                ('domain', {'running': {'a': gap, 'b': True}}),
                ('left-overs', {'leftover': gap}),
            ):
                self.one(
                    after(**changes),
                    (check, 'a', result, 'api'),
                    gap.message,
                    gap.remedy,
                )

    def test_no_channel_to_libvirt(self):
        self.one(
            after(running={'b': True}),
            ('domain', 'a', 'skipped', 'api'),
            'No libvirt channel',
            '--libvirt-uri',
        )
        self.assertEqual(
            ['a', 'b'],
            [
                item.subject
                for item in self.verify(after(running={'b': True}))
                if item.check == 'domain'
            ],
        )

    def test_what_nobody_told(self):
        """Of the folder at the source, and of mirrors."""
        whole = after()
        found = verify.After(
            *(
                getattr(whole, field.name)
                for field in dataclasses.fields(whole)
                if field.default is dataclasses.MISSING
            )
        )
        self.assertEqual('', found.folder)
        self.assertEqual(
            [
                item
                for item in self.verify(whole)
                if item.check != 'left-overs'
            ],
            self.verify(found),
        )

    def test_bindings_that_nobody_could_see(self):
        """The status of the ports is told all the same."""
        self.one(
            after(bindings=GAP),
            ('port-bindings', 'vm1', 'unknown', 'api'),
            GAP.message,
            GAP.remedy,
        )
        self.assertIn(
            'port-status',
            [item.check for item in self.verify(after(bindings=GAP))],
        )

    def test_server(self):
        row = ('server-host', 'vm1', 'failed', 'api')
        for words, changes in (
            ('runs on c', {'host': 'c'}),
            ('The server is error', {'vm_state': 'error'}),
            ('runs on c', {'host': 'c', 'vm_state': 'error'}),
        ):
            self.one(after(changes), row, words, 'live s1 --repair')
        self.assertEqual([], self.bad(after({'vm_state': 'paused'})))

    def test_bindings(self):
        for bindings, result, words, remedy in (
            (
                (('a', 'ACTIVE'),),
                'failed',
                'active binding is on a.',
                'port set --host b port1',
            ),
            (
                (('a', 'ACTIVE'), ('b', 'ACTIVE')),
                'failed',
                'active binding is on a, b.',
                'port set --host b port1',
            ),
            ((), 'failed', 'binding is on -.', 'port set --host b port1'),
            (
                (('b', 'ACTIVE'), ('a', 'INACTIVE'), ('c', 'INACTIVE')),
                'warning',
                'inactive binding is left on a, c.',
                'server migrate live s1 --repair',
            ),
        ):
            self.one(
                after(bindings={'port1': bindings}),
                ('port-bindings', 'port1', result, 'api'),
                words,
                remedy,
            )
        self.assertEqual(
            [('port-bindings', 'port1', 'failed', 'api')],
            self.bad(after(bindings={})),
        )

    def test_each_port(self):
        """A description is changed, by a space that is there or not."""
        for text, changed in (('n', "'n ' p"), ('n x ', "'n x' p")):
            found = after(
                ports=(
                    {'id': 'p', 'status': 'DOWN', 'description': text},
                    {},
                ),
                bindings={
                    'p': (('b', 'ACTIVE'),),
                    'port1': (('b', 'ACTIVE'),),
                },
            )
            self.one(
                found,
                ('port-status', 'p', 'warning', 'api'),
                'the port is DOWN',
                f'--description {changed}',
            )

    def test_port_that_is_disabled(self):
        found = after(ports=({'status': 'DOWN', 'admin_up': False},))
        self.assertEqual([], self.bad(found))
        self.assertIn(
            'The port is DOWN, for it is disabled.',
            [item.message for item in self.verify(found)],
        )
        self.assertIn(
            'The port is ACTIVE.',
            [item.message for item in self.verify(after())],
        )

    def test_volumes(self):
        row = ('volume-attachments', 'v', 'failed', 'api')
        for hosts, words in (
            ((), '0 attachments for the server: -.'),
            (('a', 'b'), '2 attachments for the server: a, b.'),
            (('a',), 'attached to a'),
        ):
            self.one(
                after(attachments={'v': hosts, 'w': ('b',)}),
                row,
                words,
                'attachment list --volume-id v',
            )

    def test_names_that_cinder_gives_to_a_host(self):
        for name in ('b', '', 'b.test'):
            self.assertEqual([], self.bad(after(attachments={'v': (name,)})))

    def test_allocations(self):
        row = ('allocations', 'vm1', 'failed', 'api')
        for held, words in (
            ((), 'holds nothing'),
            (('rp-a',), 'holds nothing'),
            (('rp-a', 'rp-b'), 'old host'),
        ):
            self.one(
                after(allocations=frozenset(held)),
                row,
                words,
                'heal_allocations --instance s1',
            )
        unknown = samples.host('a', hypervisor=GAP)
        self.assertEqual([], self.bad(after(source=unknown)))

    def test_domain(self):
        for running, host, words in (
            ({'a': True, 'b': True}, 'a', 'still runs'),
            ({'a': False, 'b': False}, 'b', 'does not run'),
        ):
            self.one(
                after(running=running),
                ('domain', host, 'failed', 'libvirt'),
                words,
                'virsh list --all',
            )

    def test_left_overs(self):
        self.one(
            after(leftover=True),
            ('left-overs', 'a', 'warning', 'shell'),
            '/i/s1 is left',
            'by hand',
        )

    def test_mirrors(self):
        self.one(
            after(mirrors=(mirror(True), mirror(False))),
            ('mirrors', 'vm1', 'warning', 'ovsdb'),
            'Mirror m stayed behind on a',
            'port mirror delete m',
        )
