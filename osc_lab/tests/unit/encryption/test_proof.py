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

"""A volume that proves a type is judged."""

import dataclasses

from osc_lab.encryption import model
from osc_lab.encryption import proof
from osc_lab import exceptions
from osc_lab.tests.unit.encryption import proofs


class TestJudge(proofs.ProofTest):
    def setUp(self):
        super().setUp()
        self.store = proofs.Store()

    def judge(
        self, found=proofs.WISHED, told='k', own='k', knows=None, **changes
    ):
        self.store.found = ({}, (found, told), '')
        return proof.judge(
            self.store,
            proofs.volume(key_id=own, **changes),
            proofs.WISHED,
            knows,
        )

    def test_key(self):
        """The id of the fixed key is hidden in the volume (Cinder)."""
        zero, asked = model.ZERO_KEY, []

        def knows(key_id):
            asked.append(key_id)
            return {'k': True, 'j': False, 'i': None}[key_id]

        def fails(key_id):
            raise proofs.error()

        for told, own, ask, expected in (
            ('k', None, knows, 'barbican'),
            (None, 'k', knows, 'barbican'),
            ('k', 'j', knows, 'barbican'),
            ('j', 'k', knows, 'unknown'),
            ('i', None, knows, 'unknown'),
            ('k', None, None, 'unknown'),
            ('k', None, fails, 'unknown'),
            (zero, None, knows, 'fixed-key'),
            (zero, 'k', None, 'fixed-key'),
        ):
            found = self.judge(told=told, own=own, knows=ask)
            self.assertEqual(
                ('api', expected), (found.level, found.key_manager), told
            )
            warnings = [proof.fixed_key_warning()] * (told == zero)
            self.assertEqual(warnings, list(found.notes))
        self.assertEqual(['k', 'k', 'k', 'j', 'i'], asked)

    def test_denied(self):
        other = dataclasses.replace(proofs.WISHED, key_size=512)
        for changes, text, remedy in (
            ({'encrypted': False}, 'Volume v of the type says', 'cinder-api'),
            (
                {'found': other},
                'otherwise: key_size is "512", not "256"',
                'cinder-api',
            ),
            ({'found': None}, 'it stores plain data', 'cinder-api'),
            (
                {'told': None, 'own': None},
                'Volume v has no key',
                '[key_manager]',
            ),
        ):
            found = self.assertRaises(
                exceptions.OperationFailed, self.judge, **changes
            )
            self.assertIn(text, found.message)
            self.assertIn(remedy, found.remedy)

    def test_not_formatted(self):
        item = proofs.volume(pool='host@lvm#pool')
        (note,) = proof.unformatted(self.store, item)
        self.assertIn('host@lvm#pool is not formatted', note)
        for pool, protocol in (
            (None, 'iSCSI'),
            ('other', 'iSCSI'),
            ('host@lvm#pool', 'ceph'),
        ):
            self.store.found = ({'host@lvm#pool': protocol}, (), '')
            self.assertEqual(
                (), proof.unformatted(self.store, proofs.volume(pool=pool))
            )
        self.store.errors = {'pools': [proofs.error(403)]}
        self.assertEqual((), proof.unformatted(self.store, item))

    def test_prove(self):
        self.store.found = ({'p': 'FC'}, (proofs.WISHED, model.ZERO_KEY), '')
        create = self.store.create_volume

        def placed(*args):
            create(*args)
            self.store.item = dataclasses.replace(self.store.item, pool='p')

        self.store.create_volume = placed
        found = proof.prove(self.store, 'T', proofs.WISHED)
        warning, note = found.notes
        self.assertEqual(proof.fixed_key_warning(), warning)
        self.assertIn('A volume on p is not formatted', note)
        self.assertEqual(
            ('api', 'fixed-key'), (found.level, found.key_manager)
        )

    def test_prove_further(self):
        def further(*args):
            self.args = args
            return 'more'

        knows = {'k': True}.get
        self.assertEqual(
            'more', proof.prove(self.store, 'T', proofs.WISHED, further, knows)
        )
        item, wished, found = self.args
        self.assertEqual(('T', ()), (item.type_id, found.notes))
        self.assertEqual((), proof.Proof('api', 'barbican').notes)
        self.assertEqual(self.store.item, item)
        self.assertEqual(
            (proofs.WISHED, 'barbican'), (wished, found.key_manager)
        )
