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


"""What is read and written about encryption, with any input."""

import hypothesis
from hypothesis import strategies as st
import testtools

from osc_lab.encryption import audit
from osc_lab.encryption import cipher
from osc_lab.encryption import header
from osc_lab.encryption import mark
from osc_lab.encryption import model
from osc_lab.encryption import presets
from osc_lab.encryption import provider
from osc_lab.encryption import shared_key
from osc_lab.encryption import wish
from osc_lab.preflight import finding
from osc_lab.tests import strings
from osc_lab.tests import thorough

CIPHERS = st.one_of(
    strings.HOSTILE,
    st.from_regex(
        r'(aes|serpent|x)-(xts|cbc|ctr)-(plain|plain64|essiv:sha256)\n?',
        fullmatch=True,
    ),
)
TEXTS = st.one_of(st.none(), strings.HOSTILE)


class TestOptions(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(CIPHERS)
    def test_ciphers(self, text):
        good, found = strings.attempt(cipher.parse, text)
        if good:
            self.assertEqual(text, str(found))
            self.assertTrue(found.key_sizes)
            for size in found.key_sizes:
                self.assertGreaterEqual(found.strength(size), 128)
            self.assertIsInstance(found.weakness(), str)

    @thorough.prop()
    @hypothesis.given(
        st.builds(
            wish.Options,
            name=TEXTS,
            provider=st.none() | st.sampled_from(['luks', 'plain']) | TEXTS,
            cipher=st.none() | CIPHERS,
            key_size=st.none() | st.sampled_from(['256', '٢٥٦', '512']),
            control_location=st.none() | st.just('back-end') | TEXTS,
            description=TEXTS,
            is_public=st.booleans(),
            projects=st.sampled_from([(), ('p',)]),
            properties=st.lists(
                st.one_of(strings.HOSTILE, st.just('a=b\x1b')), max_size=2
            ).map(tuple),
            allow_plain=st.booleans(),
            allow_back_end=st.booleans(),
        )
    )
    def test_wishes(self, options):
        preset = presets.load().get('luks')
        good, judged = strings.attempt(wish.judge, preset, options)
        if not good:
            return
        made = judged.wish
        for text in (made.name, made.description or ''):
            self.assertEqual(set(), strings.moves_terminals(text))
            self.assertLessEqual(len(text), 255)
        parsed = cipher.parse(made.encryption.cipher)
        self.assertIn(made.encryption.key_size, parsed.key_sizes)
        self.assertIsNone(mark.read(made.description))

    @thorough.prop()
    @hypothesis.given(strings.HOSTILE)
    def test_providers_and_presets(self, text):
        provider.canonical(text)
        strings.attempt(presets.load().get, text)


class TestRead(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(
        st.one_of(
            st.binary(max_size=300),
            st.builds(
                lambda start, rest: start + rest,
                st.sampled_from([b'LUKS\xba\xbe\0\1', b'QFI\xfb', b'LUKS']),
                st.binary(max_size=300),
            ),
        )
    )
    def test_headers(self, data):
        found = header.parse(data)
        self.assertIn(
            found.kind,
            ('luks1', 'luks2', 'qcow2-luks', 'qcow2-plain', 'blank', 'none'),
        )
        self.assertGreaterEqual(found.payload, 0)

    @thorough.prop()
    @hypothesis.given(strings.HOSTILE, st.integers(0, 2**31))
    def test_marks(self, host, process):
        made = mark.new(host, process)
        self.assertEqual(made, mark.read(str(made)))
        self.assertEqual(set(), strings.moves_terminals(made))
        self.assertIsNone(mark.read(host))

    @thorough.prop()
    @hypothesis.given(
        st.one_of(strings.HOSTILE, st.text('0123456789abcdefABCDEF'))
    )
    def test_keys(self, text):
        found = shared_key.key_bits(text)
        if isinstance(found, int):
            self.assertEqual(found, 8 * len(bytes.fromhex(text)))
        elif len(text) > 8:
            # What is wrong is told without the key.
            self.assertNotIn(text, found)


class TestAudit(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(
        strings.HOSTILE,
        TEXTS,
        st.none()
        | st.builds(
            model.Encryption,
            provider=TEXTS,
            cipher=st.none() | CIPHERS,
            key_size=st.none() | st.integers(),
            control_location=TEXTS,
        ),
        st.dictionaries(strings.HOSTILE, strings.HOSTILE, max_size=2),
    )
    def test_types(self, name, description, encryption, specs):
        item = model.VolumeType(
            id='t',
            name=name,
            description=description,
            is_public=True,
            extra_specs=specs,
            encryption=encryption,
        )
        for found in (
            *audit.judge_type(item),
            *audit.judge_names([item, item]),
            *audit.judge_defaults(
                {'t': item}, model.Default('t'), {name: 't'}, 'mine'
            ),
        ):
            for cell in finding.row(found):
                self.assertEqual(set(), strings.moves_terminals(cell))

    @thorough.prop()
    @hypothesis.given(
        st.dictionaries(
            st.tuples(
                st.sampled_from(['key_manager', 'keymgr', 'DEFAULT']),
                st.sampled_from(['backend', 'fixed_key', 'api_class']),
            ),
            strings.HOSTILE,
            max_size=4,
        ),
        strings.HOSTILE,
    )
    def test_shared_keys(self, options, text):
        files = (shared_key.File(text, text, 0o640, 1.0, options),)
        services = [
            shared_key.Service(text, 'nova', files, ((text, 0.0),)),
            shared_key.Service('h', 'cinder', problem=text or '?'),
        ]
        key = services[0].key
        shown = [text, *(v for k, v in options.items() if k[1] != 'fixed_key')]
        for found in shared_key.judge(services):
            for cell in finding.row(found):
                self.assertEqual(set(), strings.moves_terminals(cell))
                if key and len(key[0]) > 20:
                    # The backend may be called so, too.
                    if not any(key[0] in item for item in shown):
                        self.assertNotIn(key[0], str(cell))
