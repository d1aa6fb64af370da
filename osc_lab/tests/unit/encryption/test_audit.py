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

"""The audit: every doubt, and silence about what is right."""

import dataclasses
import itertools

import fixtures
import testtools

from osc_lab.encryption import audit
from osc_lab.encryption import audit_volumes
from osc_lab.encryption import mark
from osc_lab.encryption import model
from osc_lab.encryption import scratch
from osc_lab import exceptions

GOOD = model.Encryption('luks', 'aes-xts-plain64', 256, 'front-end')
TYPE = model.VolumeType('i', 'N', encryption=GOOD)
PLAIN = dataclasses.replace(TYPE, encryption=None)


def encryption(**changes):
    return dataclasses.replace(
        TYPE, encryption=dataclasses.replace(GOOD, **changes)
    )


class AuditTest(testtools.TestCase):
    def told(self, found, subject='type N (i)'):
        """Return (check, result, evidence) of findings that are whole."""
        rows = []
        for item in found:
            self.assertEqual((subject, 'api'), (item.subject, item.source))
            for text in (item.message, item.remedy):
                self.assertIsInstance(text, str)
                self.assertNotEqual('', text)
                self.assertNotIn('None', text)
            rows.append((item.check, item.result.value, dict(item.evidence)))
            self.message, self.remedy = item.message, item.remedy
        return rows

    def says(self, words, row, found, remedy='', **more):
        """See that there is one finding, and what it says."""
        self.assertEqual([row], self.told(found, **more))
        self.assertIn(words, self.message)
        self.assertIn(remedy, self.remedy)


class TestWords(testtools.TestCase):
    def test_unencrypted_is_no_promise(self):
        for text in (
            'LUKS gold',
            'confidential',
            'Encrypted',
            'with a cipher',
            'luks_gold',
            # Words that only begin like a denial.
            'unity-luks',
            'unity-encrypted',
            'nova-luks',
            'north-encrypted',
            'Unlimited LUKS',
            'unified-storage-encrypted',
            'node-local encrypted',
            'un disque LUKS',
            # What is denied is something else.
            'LUKS, no trim',
            'LUKS: no trim',
            'luks-no-trim',
            'luks-off-site',
            'encrypted nonetheless',
        ):
            self.assertTrue(audit.promises(text), text)
        for text in (
            None,
            '',
            'gold',
            'not encrypted',
            'without LUKS',
            'Unencrypted',
            'no real cipher',
            'non-encrypted',
            "isn't at all encrypted",
            'NOT LUKS',
            'NoEncryption',
            'un-encrypted',
            'nonencrypted',
            'isnt encrypted',
            'ssd_unencrypted',
            'ssd_no_encryption',
            'non_encrypted',
            'not_encrypted',
            'not_at_all_encrypted',
            'Encryption: none',
            'encrypted: no',
            'encrypted=no, fast',
            'encryption = off',
            'LUKS is off',
            'luks_disabled',
            'cipher (none)',
            'crypt-false',
            'NVMe, encryption disabled',
        ):
            self.assertFalse(audit.promises(text), text)


class TestType(AuditTest):
    def test_what_is_right(self):
        for item in (
            TYPE,
            PLAIN,
            dataclasses.replace(TYPE, description='encrypted'),
            encryption(cipher='aes-xts-plain64', key_size=512),
        ):
            self.assertEqual([], self.told(audit.judge_type(item)))

    def test_half_made(self):
        """Nothing else about it matters."""
        item = dataclasses.replace(
            encryption(provider='x'), description=str(mark.new('h', 1))
        )
        self.says(
            'half-made',
            ('type-unfinished', 'failed', {}),
            audit.judge_type(item),
            'delete the type',
        )

    def test_extra_specs_that_look_like_an_encryption(self):
        specs = {'luks': '1', 'Encryption': 'y', 'cipher': 'z', 'a': 'b'}
        evidence = {'extra_specs': ['Encryption', 'cipher', 'luks']}
        self.says(
            'plain data: extra specs Encryption, cipher, luks',
            ('type-extra-specs', 'failed', evidence),
            audit.judge_type(
                dataclasses.replace(PLAIN, name='N', extra_specs=specs)
            ),
            'preset luks',
        )
        self.says(
            'Encryption, cipher, luks do not encrypt',
            ('type-extra-specs', 'warning', evidence),
            audit.judge_type(dataclasses.replace(TYPE, extra_specs=specs)),
            'Remove them',
        )

    def test_encryption_of_the_storage(self):
        """Drivers take such keys; whether they encrypt, nobody looked."""
        for key, value, check in (
            ('nimble:encryption', 'yes', 'type-extra-specs'),
            ('netapp_flexvol_encryption', 'true', 'type-extra-specs'),
            ('capabilities:encryption', '<is> True', 'type-extra-specs'),
            ('nimble:encryption', 'no', 'type-not-encrypted'),
            ('netapp_flexvol_encryption', '<is> False', 'type-not-encrypted'),
            ('encryption_provider', 'luks', 'type-extra-specs'),
        ):
            (found,) = audit.judge_type(
                dataclasses.replace(
                    PLAIN, name='encrypted', extra_specs={key: value}
                )
            )
            self.assertEqual(check, found.check, key)
            unknown = ':' in key or 'netapp' in key
            unknown = unknown and check == 'type-extra-specs'
            self.assertEqual(
                'unknown' if unknown else 'failed', found.result.value, key
            )
        specs = {'nimble:encryption': 'yes', 'a:cipher': 'b', 'c': 'd'}
        own = ['a:cipher', 'nimble:encryption']
        self.says(
            ', '.join(own),
            ('type-extra-specs', 'unknown', {'extra_specs': own}),
            audit.judge_type(dataclasses.replace(PLAIN, extra_specs=specs)),
            'whoever runs the storage',
        )
        self.assertEqual(
            [],
            self.told(
                audit.judge_type(dataclasses.replace(TYPE, extra_specs=specs))
            ),
        )
        self.assertEqual(
            [],
            list(
                audit.judge_defaults(
                    {'i': dataclasses.replace(PLAIN, extra_specs=specs)},
                    model.Default('i'),
                    {},
                    'mine',
                )
            ),
        )

    def test_extra_specs_say_more_than_the_name(self):
        item = dataclasses.replace(
            PLAIN, description='LUKS', extra_specs={'luks': '1'}
        )
        (found,) = audit.judge_type(item)
        self.assertEqual('type-extra-specs', found.check)

    def test_plain_although_it_says_otherwise(self):
        for field, subject, changes in (
            ('name', 'type LUKS (i)', {'name': 'LUKS'}),
            ('description', 'type N (i)', {'description': 'encrypted'}),
            (
                'name',
                'type LUKS (i)',
                {'name': 'LUKS', 'description': 'encrypted'},
            ),
        ):
            self.says(
                f'Its {field} says',
                ('type-not-encrypted', 'failed', {'field': field}),
                audit.judge_type(dataclasses.replace(PLAIN, **changes)),
                'rename',
                subject=subject,
            )

    def test_provider(self):
        for check, result, name, words in (
            ('type-no-op', 'failed', 'NoOpEncryptor', 'in clear'),
            ('type-provider', 'failed', 'lukz', 'not known'),
            ('type-provider', 'warning', 'LuksEncryptor', 'means luks'),
            ('type-provider', 'warning', 'plain', 'means plain'),
        ):
            self.says(
                words,
                (check, result, {'provider': name}),
                audit.judge_type(encryption(provider=name)),
                'new type' if check == 'type-no-op' else 'Use luks',
            )
            self.assertIn(f'"{name}"', self.message)
        self.assertEqual(
            [], self.told(audit.judge_type(encryption(provider='luks2')))
        )

    def test_control_location(self):
        for provider, words in (
            ('luks', 'not formatted cannot be attached'),
            ('LuksEncryptor', 'not formatted cannot be attached'),
            ('luks2', 'no compute host encrypts'),
            ('plain', 'no compute host encrypts'),
        ):
            *_others, found = audit.judge_type(
                encryption(provider=provider, control_location='back-end')
            )
            self.says(
                words,
                (
                    'type-control-location',
                    'warning',
                    {'control_location': 'back-end'},
                ),
                [found],
                'front-end',
            )
            self.assertIn('"back-end"', self.message)
        # As os-brick takes it.
        self.assertEqual(
            [],
            self.told(
                audit.judge_type(encryption(control_location='Front-End'))
            ),
        )

    def test_provider_of_the_storage(self):
        """os-brick imports it for front-end alone."""
        provider, _location = audit.judge_type(
            encryption(provider='vendor.X', control_location='back-end')
        )
        self.says(
            'is not known; it is for the storage',
            ('type-provider', 'unknown', {'provider': 'vendor.X'}),
            [provider],
        )

    def test_cipher(self):
        for cipher, result, words in (
            ('aes-xts', 'failed', '"aes-xts" is not known'),
            ('aes-xts-plain', 'warning', 'aes-xts-plain is weak: the IV'),
        ):
            self.says(
                words,
                ('type-cipher', result, {'cipher': cipher}),
                audit.judge_type(encryption(cipher=cipher)),
                'aes-xts-plain64',
            )
        (found,) = audit.judge_type(encryption(cipher=None))
        self.assertEqual('type-cipher', found.check)
        self.assertEqual({'cipher': None}, found.evidence)

    def test_key_size(self):
        self.says(
            '128 is not a key size of aes-xts-plain64',
            ('type-key-size', 'failed', {'key_size': 128}),
            audit.judge_type(encryption(key_size=128)),
            '256, 512',
        )

    def test_all_doubts_at_once(self):
        item = dataclasses.replace(
            encryption(
                provider='plain',
                cipher='aes-xts-plain',
                key_size=1,
                control_location='x',
            ),
            extra_specs={'luks': '1'},
        )
        self.assertEqual(
            [
                'type-extra-specs',
                'type-provider',
                'type-control-location',
                'type-cipher',
                'type-key-size',
            ],
            [found.check for found in audit.judge_type(item)],
        )


class TestTypes(AuditTest):
    def test_twins(self):
        other = dataclasses.replace(TYPE, id='j')
        third = dataclasses.replace(TYPE, id='k', name='M')
        self.says(
            'Type i has the same name',
            ('type-twins', 'failed', {'other': 'i'}),
            audit.judge_names([TYPE, other, third]),
            'by ID',
            subject='type N (j)',
        )

    def defaults(self, types, default, by_project, **more):
        return audit.judge_defaults(
            types, model.Default(default, **more), by_project, 'mine'
        )

    def test_defaults(self):
        types = {'i': PLAIN, 'good': TYPE}
        for default, by_project, who, project in (
            ('i', {}, 'every project', None),
            (None, {'p1': 'i', 'p2': 'good'}, 'project p1', 'p1'),
        ):
            self.says(
                f'default of {who} and does not',
                ('default-type', 'warning', {'project': project}),
                self.defaults(types, default, by_project),
                'tell the users',
            )
        found = self.defaults(types, 'i', {'b': 'i', 'a': 'i'})
        self.assertEqual(
            [None, 'a', 'b'],
            [item.evidence['project'] for item in found],
        )

    def test_defaults_that_encrypt_or_are_hidden(self):
        found = self.defaults({'i': TYPE}, 'i', {'p': 'hidden'})
        self.assertEqual([], list(found))

    def test_own_default_hides_that_of_others(self):
        types = {'i': PLAIN, 'good': TYPE}
        own, unseen = self.defaults(types, 'i', {'mine': 'i'})
        self.assertEqual({'project': 'mine'}, own.evidence)
        self.says(
            'of other projects was not seen',
            ('default-type', 'unknown', {}),
            [unseen],
            'cinder.conf',
            subject='default type',
        )
        # Whichever it is, it encrypts.
        self.assertEqual(
            [], list(self.defaults({'good': TYPE}, 'good', {'mine': 'good'}))
        )

    def test_default_that_cinder_cannot_name(self):
        self.says(
            'Cinder cannot name it',
            ('default-type', 'unknown', {}),
            self.defaults({'good': TYPE}, None, {}, failed=True),
            'cinder.conf',
            subject='default type',
        )


class TestVolumes(AuditTest):
    """Volumes, their keys, and backups."""

    def volumes(self, secrets=frozenset(), knows=False):
        self.asked = []

        def look(key):
            self.asked.append(key)
            return knows

        return audit_volumes.Volumes(
            {'i': TYPE, 'plain': PLAIN}, secrets, 'p', look
        )

    def judge(self, volumes, name='vol', **changes):
        item = model.Volume('v', name, 'available', 1, 'i', True, 'key')
        return self.told(
            volumes.judge(dataclasses.replace(item, **changes)),
            f'volume {name or "-"} (v)',
        )

    def test_plain_ones(self):
        volumes = self.volumes()
        for type_id in (None, 'plain', 'hidden'):
            self.assertEqual(
                [], self.judge(volumes, type_id=type_id, encrypted=False)
            )
        self.assertEqual(
            [('volume-not-encrypted', 'failed', {'type': 'N'})],
            self.judge(volumes, encrypted=False),
        )
        self.assertIn('its type N encrypts', self.message)
        self.assertEqual(4, volumes.count)

    def test_fixed_key(self):
        for key in (None, model.ZERO_KEY):
            self.assertEqual(
                [('volume-zero-key', 'warning', {})],
                self.judge(self.volumes(), name='', key_id=key),
            )
        self.assertEqual([], self.asked)

    def test_while_it_is_made_or_goes_it_may_have_no_key(self):
        for status in ('creating', 'error', 'error_deleting', 'deleting'):
            self.assertEqual(
                [], self.judge(self.volumes(), key_id=None, status=status)
            )

    def test_volume_of_a_proof(self):
        found = self.judge(self.volumes({'key'}), metadata={scratch.MARK: 'i'})
        self.assertEqual(
            [('volume-of-proof', 'warning', {'status': 'available'})], found
        )
        self.assertIn('Remove it unless', self.remedy)

    def test_key_that_barbican_knows(self):
        volumes = self.volumes({'key'})
        self.assertEqual([], self.judge(volumes))
        self.assertEqual([], self.asked)
        self.assertEqual([], self.keys(volumes))

    def test_key_that_came_after_the_list(self):
        volumes = self.volumes(knows=True)
        self.assertEqual([], self.judge(volumes))
        self.assertEqual([], self.keys(volumes))
        self.assertEqual(['key'], self.asked)

    def keys(self, volumes, subject='volume vol (v)'):
        return self.told(volumes.judge_keys(), subject)

    def test_key_that_is_gone(self):
        for project in (None, 'p'):
            volumes = self.volumes({'other'})
            self.judge(volumes, project_id=project)
            self.judge(volumes, key_id='other')
            self.assertEqual(
                [('volume-key-unknown', 'failed', {'key_id': 'key'})],
                self.keys(volumes),
            )
            self.assertEqual(0, volumes.not_looked_up)
        self.assertIn('from a backup of Barbican', self.remedy)

    def test_keys_that_are_in_another_key_manager(self):
        """Barbican knows none of them, or they are castellan's of Vault."""
        vault = '0123456789abcdef' * 2
        for known, key in ((False, 'key'), (True, vault)):
            volumes = self.volumes({'other'})
            self.judge(volumes, key_id=key)
            self.judge(volumes, key_id=key)
            if known:
                self.judge(volumes, key_id='other')
            self.assertEqual(
                [('volume-key-unknown', 'unknown', {'volumes': 2})],
                self.keys(volumes, 'key manager'),
            )
        self.assertEqual([], self.keys(self.volumes()))

    def test_nobody_may_look(self):
        volumes = self.volumes(knows=None)
        self.assertEqual([], self.judge(volumes))
        self.assertEqual([], self.keys(volumes))
        self.assertEqual(
            (1, False), (volumes.not_looked_up, volumes.unanswered)
        )
        for volumes, project in (
            (self.volumes(None), 'p'),
            (self.volumes(), 'other'),
        ):
            self.assertEqual([], self.judge(volumes, project_id=project))
            self.assertEqual([], self.judge(volumes, project_id=project))
            self.assertEqual(2, volumes.not_looked_up)
            self.assertFalse(volumes.unanswered)
        self.assertEqual([], self.asked)

    def test_key_manager_that_does_not_answer(self):
        """It is asked once; the rest is looked at."""
        self.useFixture(fixtures.FakeLogger())
        asked = []

        def fails(key):
            asked.append(key)
            raise exceptions.ServiceError('broken', status=503)

        volumes = self.volumes({'other'})
        volumes._knows = fails
        for key in ('key', 'other', 'another'):
            self.assertEqual([], self.judge(volumes, key_id=key))
        self.assertEqual([], self.keys(volumes))
        self.assertEqual(
            (2, True), (volumes.not_looked_up, volumes.unanswered)
        )
        self.assertEqual(['key'], asked)

    def test_backups(self):
        volumes = self.volumes({'key'})
        self.judge(volumes)
        self.judge(volumes, id='z', key_id=None, status='creating')

        def told(volume_id, key_id, name='b', status='restoring'):
            backup = model.Backup('b', name, volume_id, key_id, status)
            return self.told(
                volumes.judge_backup(backup), f'backup {name or "-"} (b)'
            )

        self.assertEqual([], told('v', 'copy'))
        self.assertEqual([], told('plain', None))
        for status in ('creating', 'error', 'deleting', 'error_deleting'):
            self.assertEqual([], told('v', None, status=status))
        for key, status in itertools.product(
            (None, model.ZERO_KEY), ('available', 'restoring')
        ):
            self.assertEqual(
                [('backup-no-key', 'failed', {})],
                told('v', key, status=status),
            )
            self.assertEqual(
                [('backup-zero-key', 'warning', {})],
                told('z', key, '', status),
            )
