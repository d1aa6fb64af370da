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

"""What is said about the shared key, and about where it is looked for."""

import testtools

from osc_lab.encryption import shared_key
from osc_lab import exceptions


class TestSharedKey(testtools.TestCase):
    KEY = ('key_manager', 'fixed_key')
    BACKEND = ('key_manager', 'backend')
    CONF = 'nova.keymgr.conf_key_mgr.ConfKeyManager'

    def service(self, host, *options):
        files = tuple(
            shared_key.File(f'/{number}', 0o640, 1.0, one)
            for number, one in enumerate(options)
        )
        return shared_key.Service(
            host, 'nova', files, (('nova-compute', 2.0),)
        )

    def judge(self, *services, **more):
        """Return (result, message) of findings that are whole."""
        found = {}
        self.evidence = {}
        self.remedy = {}
        for item in shared_key.judge(services, **more):
            at = item.check, item.subject
            self.assertNotIn(at, found)
            self.assertIs('', item.remedy) if item.result.value == 'ok' else (
                self.assertRegex(item.remedy, '.')
            )
            found[at] = item.result.value, item.message
            self.evidence[at] = dict(item.evidence)
            self.remedy[at] = item.remedy
        return found

    def test_backend_without_its_key(self):
        found = self.judge(self.service('h', {self.BACKEND: self.CONF}))
        self.assertEqual(
            ('failed', 'The backend needs fixed_key, which is not set'),
            found['key-format', 'h nova'],
        )

    def test_nothing_is_known(self):
        bare = shared_key.Service('h', 'nova')
        self.assertEqual(
            ('', 'barbican', None), (bare.problem, bare.backend, bare.key)
        )
        unknown = {
            'cinder': exceptions.ServiceError('no answer', 'Try again.'),
            'nova': exceptions.ServiceError('no answer'),
        }
        findings = shared_key.judge([], unknown=unknown)
        self.assertEqual(
            [
                (
                    *('key-config', name, 'unknown', 'api'),
                    'Nobody knows its hosts: no answer',
                    remedy,
                )
                for name, remedy in (
                    ('cinder', 'Try again.'),
                    ('nova', 'Name the hosts with --host.'),
                )
            ],
            [
                (
                    *(item.check, item.subject, item.result.value),
                    *(item.source, item.message, item.remedy),
                )
                for item in findings
            ],
        )

    def test_format(self):
        sizes = '128, 192, 256, 512'
        for key, size, result, message, bits in (
            ('ab' * 16, None, 'ok', '128 bits', 128),
            ('ab' * 24, None, 'ok', '192 bits', 192),
            ('aB' * 32, None, 'ok', '256 bits', 256),
            ('09' * 64, None, 'ok', '512 bits', 512),
            ('ab' * 64, 512, 'ok', '512 bits', 512),
            ('ab' * 20, None, 'failed', f'has 160 bits, not {sizes}', 160),
            ('ab' * 64, 256, 'failed', 'has 512 bits, not 256', 512),
            ('ab' * 32, 512, 'failed', 'has 256 bits, not 512', 256),
            (
                'abc',
                None,
                'failed',
                'is malformed: it has an odd number of digits (3)',
                None,
            ),
            (
                'xy',
                None,
                'failed',
                'is malformed: it is not hexadecimal',
                None,
            ),
            (
                'ab\n',
                None,
                'failed',
                'is malformed: it is not hexadecimal',
                None,
            ),
            ('', None, 'failed', 'is malformed: it is empty', None),
        ):
            service = self.service('h', {self.KEY: key})
            found = self.judge(service, key_size=size)
            at = 'key-format', 'h nova'
            if result == 'failed':
                message = f'The fixed_key {message}'
            self.assertEqual((result, message), found[at])
            self.assertEqual({'bits': bits} if bits else {}, self.evidence[at])
            self.assertNotIn(key or 'secret', repr(service))

    def test_one_host_without_the_key(self):
        with_key = {self.BACKEND: self.CONF, self.KEY: 'ab' * 32}
        found = self.judge(
            shared_key.Service('d', 'nova', problem='no shell'),
            self.service('a', with_key),
            self.service('b', with_key),
            self.service('c', {self.BACKEND: self.CONF}),
        )
        self.assertEqual(
            ('failed', 'It has no fixed_key, others have'),
            found['key-same', 'c nova'],
        )
        self.assertEqual(
            ('ok', 'Same key as most'), found['key-same', 'a nova']
        )
        self.assertEqual(
            ('unknown', 'no shell'), found['key-config', 'd nova']
        )
        self.assertNotIn(('key-same', 'd nova'), found)
        self.assertIn(('key-backend', 'a nova'), found)

    def same(self, *keys):
        """Return what is said of hosts with these keys, and their prints."""
        backend = {self.BACKEND: self.CONF}
        found = self.judge(
            *(
                self.service(
                    str(number), {self.KEY: key, **backend} if key else backend
                )
                for number, key in enumerate(keys)
            )
        )
        rows = [key for key in found if key[0] == 'key-same']
        prints = [self.evidence[row]['fingerprint'] for row in rows]
        self.remedy_of_rows = [self.remedy[row] for row in rows]
        return [found[row] for row in rows], prints

    def test_same(self):
        everywhere = ('ok', 'Same key wherever it was read')
        other = ('failed', 'Its key is not the one that most have')
        most = ('ok', 'Same key as most')
        none = ('failed', 'It has no fixed_key, others have')
        for keys, expected in (
            (('ab', 'AB', 'ab'), [everywhere] * 3),
            (('ab', 'cd', 'cd'), [other, most, most]),
            (('', '', 'ab'), [none, none, most]),
            (('ab',), [everywhere]),
            # Of what no file should hold, too.
            (('\udcff', '\udcff'), [everywhere] * 2),
            (('', ''), []),
        ):
            found, prints = self.same(*keys)
            self.assertEqual(expected, found)
            for row, remedy in zip(found, self.remedy_of_rows, strict=True):
                if row[0] == 'failed':
                    self.assertIn('the same key.', remedy)
            self.assertEqual(
                len({key.lower() for key in keys if found}), len(set(prints))
            )
            for key, text in zip(keys, prints, strict=bool(found)):
                self.assertRegex(text, '^[0-9a-f]{12}$' if key else '^none$')
        # They tell nobody anything about the key in another run.
        self.assertNotEqual(self.same('ab')[1], self.same('ab')[1])

    def test_other_backends(self):
        key = {self.KEY: 'ab' * 32}
        found = self.judge(
            self.service('a', {self.BACKEND: self.CONF, **key}),
            self.service('b', {self.BACKEND: 'vault', **key}),
        )
        for host, mine, others in (
            ('a', 'fixed-key', 'vault'),
            ('b', 'vault', 'fixed-key'),
        ):
            message = f'Its backend is {mine}, but there are also: {others}'
            self.assertEqual(
                ('failed', message), found['key-same', f'{host} nova']
            )
            self.assertEqual(
                'Give all nova and cinder services the same backend.',
                self.remedy['key-same', f'{host} nova'],
            )
        found = self.judge(
            self.service('a', {self.BACKEND: self.CONF, **key}),
            self.service('b', {self.BACKEND: 'vault'}),
            self.service('c', {}),
        )
        self.assertEqual(
            'Its backend is fixed-key, but there are also: barbican, vault',
            found['key-same', 'a nova'][1],
        )

    def test_other_backends_without_a_fixed_key(self):
        """Cinder makes the keys that Nova asks for."""
        vault = 'castellan.key_manager.vault_key_manager.VaultKeyManager'
        for mine, other, name in (
            ('barbican', 'vault', 'vault'),
            ('', vault, 'vault'),
            ('barbican', vault + '2', vault + '2'),
        ):
            found = self.judge(
                self.service('a', {self.BACKEND: mine}),
                self.service('b', {self.BACKEND: other}),
                shared_key.Service('c', 'nova', problem='no shell'),
            )
            for host, own, others in (
                ('a', 'barbican', name),
                ('b', name, 'barbican'),
            ):
                message = f'Its backend is {own}, but there are also: {others}'
                at = 'key-same', f'{host} nova'
                self.assertEqual(('failed', message), found[at])
                self.assertEqual({'fingerprint': 'none'}, self.evidence[at])
            self.assertNotIn(('key-same', 'c nova'), found)
        for mine, other in (
            ('vault', vault),
            ('', 'castellan.key_manager.barbican_key_manager.X'),
        ):
            found = self.judge(
                self.service('a', {self.BACKEND: mine}),
                self.service('b', {self.BACKEND: other}),
            )
            self.assertNotIn(('key-same', 'a nova'), found)

    def test_backend(self):
        """By the options of the files, the first file first."""
        key, old_key = self.KEY, ('keymgr', 'fixed_key')
        old, oldest = ('key_manager', 'api_class'), ('keymgr', 'api_class')
        barbican = 'castellan.key_manager.barbican_key_manager.X'
        cinder = self.CONF.replace('nova', 'cinder')
        legacy = '%s, set by a legacy option name'
        both = (
            'Barbican, and a fixed_key as well: keys of old volumes are being '
            'moved to Barbican'
        )
        secret = 'ab' * 32
        for options, result, message in (
            ([{}], 'ok', 'barbican'),
            ([{self.BACKEND: ''}], 'ok', 'barbican'),
            ([{self.BACKEND: barbican}], 'ok', 'barbican'),
            ([{self.BACKEND: 'Barbican'}], 'ok', 'barbican'),
            ([{self.BACKEND: self.CONF, key: secret}], 'ok', 'fixed-key'),
            ([{self.BACKEND: cinder}], 'ok', 'fixed-key'),
            ([{self.BACKEND: self.CONF + '2'}], 'ok', self.CONF + '2'),
            ([{self.BACKEND: 'vault'}, {}], 'ok', 'vault'),
            ([{self.BACKEND: 'a'}, {self.BACKEND: 'b'}], 'ok', 'b'),
            ([{self.BACKEND: 'a'}, {old: 'b', oldest: 'c'}], 'ok', 'a'),
            ([{old: 'vault', oldest: 'c'}], 'warning', legacy % 'vault'),
            ([{oldest: self.CONF}], 'warning', legacy % 'fixed-key'),
            (
                [{self.BACKEND: self.CONF, old_key: secret}],
                'warning',
                legacy % 'fixed-key',
            ),
            (
                [{self.BACKEND: self.CONF, old_key: 'x', key: secret}],
                'ok',
                'fixed-key',
            ),
            ([{key: secret}], 'warning', both),
            ([{old_key: secret}], 'warning', both),
        ):
            self.assertEqual(
                (result, message),
                self.judge(self.service('h', *options))[
                    'key-backend', 'h nova'
                ],
                options,
            )
            self.assertEqual(
                ['backend'], list(self.evidence['key-backend', 'h nova'])
            )
            self.assertIn(
                self.evidence['key-backend', 'h nova']['backend'],
                message.replace('Barbican,', 'barbican'),
            )

    def test_no_key_manager_in_the_catalog(self):
        """Castellan asks it, unless barbican_endpoint is set."""
        barbican = {self.BACKEND: 'barbican'}
        legacy = {('keymgr', 'api_class'): 'castellan.barbican.X'}
        endpoint = {('barbican', 'barbican_endpoint'): 'http://b.test'}
        nobody = (
            'No backend is set, so it is Barbican, and the catalog has no '
            'key manager'
        )
        nowhere = (
            'Barbican, which neither the catalog nor barbican_endpoint has'
        )
        both = 'Barbican, and a fixed_key as well: '
        key = {self.KEY: 'ab' * 32}
        for options, result, message in (
            ({}, 'failed', nobody),
            ({self.BACKEND: ''}, 'failed', nobody),
            (key, 'failed', nobody),
            (endpoint, 'ok', 'barbican'),
            ({('barbican', 'barbican_endpoint'): ''}, 'failed', nobody),
            (barbican, 'unknown', nowhere),
            (barbican | key, 'unknown', nowhere),
            (legacy, 'unknown', nowhere),
            (barbican | endpoint, 'ok', 'barbican'),
            (barbican | endpoint | key, 'warning', both),
            ({self.BACKEND: 'vault'}, 'ok', 'vault'),
            ({self.BACKEND: self.CONF} | key, 'ok', 'fixed-key'),
        ):
            found = self.judge(self.service('h', options), in_catalog=False)
            at = 'key-backend', 'h nova'
            self.assertEqual(result, found[at][0], options)
            self.assertIn(message, found[at][1])
            backend = message if result == 'ok' else 'barbican'
            self.assertEqual({'backend': backend}, self.evidence[at])
            # What the catalog has is enough.
            found = self.judge(self.service('h', options))
            self.assertNotIn(found[at][0], ('failed', 'unknown'))

    def test_mode_of_files_without_the_key_does_not_matter(self):
        open_ = shared_key.File('/o', 0o644, 1.0, {self.BACKEND: ''})
        closed = shared_key.File('/c', 0o640, 1.0, {self.KEY: 'ab' * 32})
        service = shared_key.Service('h', 'nova', (open_, closed))
        found = self.judge(service)
        self.assertEqual(
            ('ok', '/c has mode 0640'), found['key-file-mode', 'h nova']
        )

    def test_which_file_counts(self):
        for files, expected in (
            (({self.KEY: 'a'}, {self.KEY: 'b'}), ('b', '/1')),
            (({self.KEY: 'a'}, {}), ('a', '/0')),
            (({self.KEY: 'a'}, {('keymgr', 'fixed_key'): 'b'}), ('a', '/0')),
            (({('keymgr', 'fixed_key'): 'b'},), ('b', '/0')),
            (({},), None),
        ):
            self.assertEqual(expected, self.service('h', *files).key)

    def test_modes(self):
        """Others may neither read nor write it, nor run it."""
        for bits in range(0o1000):
            file = shared_key.File('/c', bits, 1.0, {self.KEY: 'ab' * 32})
            (found,) = (
                item
                for item in shared_key.judge(
                    [shared_key.Service('h', 'nova', (file,))]
                )
                if item.check == 'key-file-mode'
            )
            self.assertEqual(
                (
                    'failed' if bits % 8 else 'ok',
                    {'path': '/c', 'mode': f'{bits:04o}'},
                ),
                (found.result.value, dict(found.evidence)),
            )
            self.assertIn(f'mode {bits:04o}', found.message)
            self.assertEqual(bool(bits % 8), bool(found.remedy))

    def test_restart(self):
        """The file that was changed last counts, wherever it stands."""
        files = tuple(
            shared_key.File(f'/{changed}', 0o640, changed, {})
            for changed in (10.0, 30.0, 20.0)
        )
        for started, expected in (
            ((), ('unknown', 'No process of cinder was seen', {})),
            (
                (('z', 28.9), ('a', 28.9), ('z', 5.0), ('c', 29.0)),
                (
                    'failed',
                    'a, z started before /30.0 was changed',
                    {'processes': ['a', 'z']},
                ),
            ),
            (
                # ps counts in whole seconds.
                (('a', 29.0), ('b', 31.0)),
                ('ok', 'All processes started after the last change', {}),
            ),
        ):
            service = shared_key.Service('h', 'cinder', files, started)
            *_others, found = shared_key.judge([service])
            self.assertEqual(
                ('key-service-restart', 'h cinder', 'shell'),
                (found.check, found.subject, found.source),
            )
            self.assertEqual(
                expected,
                (found.result.value, found.message, dict(found.evidence)),
            )
            self.assertEqual(expected[0] != 'ok', bool(found.remedy))


class TestGenerate(testtools.TestCase):
    def test_new_key(self):
        for bits in shared_key.SIZES:
            key = shared_key.new_key(bits)
            self.assertEqual(bits, shared_key.key_bits(key))
            self.assertNotEqual(key, shared_key.new_key(bits))

    def test_snippet(self):
        self.assertEqual(
            '[key_manager]\n'
            'backend = cinder.keymgr.conf_key_mgr.ConfKeyManager\n'
            'fixed_key = c0ffee\n',
            shared_key.snippet('cinder', 'c0ffee'),
        )
