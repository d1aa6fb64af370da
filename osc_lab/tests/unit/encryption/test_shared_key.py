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


class TestSharedKey(testtools.TestCase):
    KEY = ('key_manager', 'fixed_key')
    BACKEND = ('key_manager', 'backend')
    CONF = 'nova.keymgr.conf_key_mgr.ConfKeyManager'

    def service(self, host, *options):
        files = tuple(
            shared_key.File(f'/{number}', 'nova', 0o640, 1.0, one)
            for number, one in enumerate(options)
        )
        return shared_key.Service(
            host, 'nova', files, (('nova-compute', 2.0),)
        )

    def judge(self, *services, size=None):
        return {
            (item.check, item.subject): (item.result.value, item.message)
            for item in shared_key.judge(services, size)
        }

    def test_backend_without_its_key(self):
        found = self.judge(self.service('h', {self.BACKEND: self.CONF}))
        self.assertEqual(
            ('failed', 'The backend needs fixed_key, which is not set'),
            found['key-format', 'h nova'],
        )

    def test_one_host_without_the_key(self):
        with_key = {self.BACKEND: self.CONF, self.KEY: 'ab' * 32}
        found = self.judge(
            self.service('a', with_key),
            self.service('b', with_key),
            self.service('c', {self.BACKEND: self.CONF}),
            shared_key.Service('d', 'nova', problem='no shell'),
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

    def test_mode_of_files_without_the_key_does_not_matter(self):
        open_ = shared_key.File('/o', 'nova', 0o644, 1.0, {})
        closed = shared_key.File(
            '/c', 'nova', 0o640, 1.0, {self.KEY: 'ab' * 32}
        )
        service = shared_key.Service('h', 'nova', (open_, closed))
        found = self.judge(service)
        self.assertEqual(
            ('ok', '/c has mode 0640'), found['key-file-mode', 'h nova']
        )

    def test_size(self):
        options = {self.BACKEND: self.CONF, self.KEY: 'ab' * 64}
        found = self.judge(self.service('h', options), size=512)
        self.assertEqual(('ok', '512 bits'), found['key-format', 'h nova'])

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
            file = shared_key.File('/c', 'n', bits, 1.0, {self.KEY: 'ab' * 32})
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

    def test_restart(self):
        """The file that was changed last counts, wherever it stands."""
        files = tuple(
            shared_key.File(f'/{changed}', 'n', 0o640, changed, {})
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
