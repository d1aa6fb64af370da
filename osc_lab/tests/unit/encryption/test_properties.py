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

import dataclasses

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

TEXTS = st.one_of(st.none(), strings.HOSTILE)

GOOD_CIPHERS = tuple(
    f'{algorithm}-{rest}'
    for algorithm in ('aes', 'serpent', 'twofish')
    for rest in (
        *('xts-plain64', 'xts-plain'),
        *('cbc-essiv:sha256', 'cbc-plain64', 'cbc-plain'),
    )
)

#: What a wish may hold, and what spoils it.
GOOD = {
    'name': st.sampled_from([None, 'a b', 'ü' * 255, '🐍' * 64]),
    'provider': st.sampled_from([None, 'luks', 'plain', 'LuksEncryptor']),
    'cipher': st.sampled_from([None, *GOOD_CIPHERS]),
    'key_size': st.sampled_from([None, '256']),
    'control_location': st.sampled_from([None, 'front-end', 'back-end']),
    'description': st.sampled_from([None, '', 'for all', 'ü' * 255]),
    'is_public': st.just(False),
    'projects': st.sampled_from([(), ('p',)]),
    'properties': st.sampled_from([(), ('a=b=c', 'd='), ('e=🐍\x1b',)]),
    'allow_plain': st.just(True),
    'allow_back_end': st.just(True),
}
BAD = {
    **dict.fromkeys(
        ('name', 'provider', 'control_location', 'description'),
        strings.HOSTILE,
    ),
    'key_size': st.sampled_from(['128', '384', '٢٥٦', '512', '9' * 5000, '']),
    'is_public': st.just(True),
    'properties': st.lists(strings.HOSTILE, max_size=2).map(tuple),
    'allow_plain': st.just(False),
    'allow_back_end': st.just(False),
}


@st.composite
def ciphers(draw):
    """Return a cipher, of which a part may be something else."""
    parts = draw(st.sampled_from(GOOD_CIPHERS)).split('-')
    if draw(st.booleans()):
        parts[draw(st.integers(0, 2))] = draw(
            st.sampled_from(['x', 'ctr', 'plain', 'plain64\n', ''])
            | strings.HOSTILE
        )
    return '-'.join(parts)


BAD['cipher'] = ciphers()


@st.composite
def options(draw):
    """Return the options of a wish, and whether one may be spoiled."""
    values = draw(st.fixed_dictionaries(GOOD))
    spoiled = draw(st.booleans())
    if spoiled:
        name = draw(st.sampled_from(sorted(BAD)))
        values[name] = draw(BAD[name])
    return wish.Options(**values), spoiled


@st.composite
def named(draw):
    """Return some names, and one that may be none of them."""
    names = draw(st.lists(strings.HOSTILE, min_size=1, max_size=4))
    if draw(st.booleans()):
        return names, draw(st.sampled_from(names))
    return names, draw(strings.HOSTILE)


class PropertyTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.reached = thorough.Reached(self)


class TestOptions(PropertyTest):
    @thorough.prop()
    @hypothesis.given(ciphers())
    def test_ciphers(self, text):
        good, found = strings.attempt(cipher.parse, text)
        self.assertEqual(text in GOOD_CIPHERS, good)
        self.reached.count(good)
        if good:
            self.assertEqual(text, str(found))
            self.assertTrue(found.key_sizes)
            for size in found.key_sizes:
                self.assertGreaterEqual(found.strength(size), 128)
            self.assertIsInstance(found.weakness(), str)

    @thorough.prop()
    @hypothesis.given(options())
    def test_wishes(self, given):
        made, spoiled = given
        preset = presets.load().get('luks')
        good, judged = strings.attempt(wish.judge, preset, made)
        self.assertTrue(good or spoiled, judged)
        self.reached.count(good)
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
    def test_providers(self, text):
        self.assertIn(provider.canonical(text), (*provider.KNOWN, None, text))

    @thorough.prop()
    @hypothesis.given(named())
    def test_presets(self, given):
        names, text = given
        registry = presets.Registry(
            tuple(
                dataclasses.replace(presets.LUKS, name=name) for name in names
            )
        )
        good, found = strings.attempt(registry.get, text)
        self.assertEqual(text in names, good)
        self.reached.count(good)
        if good:
            self.assertIs(registry.presets[names.index(text)], found)


class TestRead(PropertyTest):
    @thorough.prop()
    @hypothesis.given(
        st.one_of(
            st.binary(max_size=300),
            st.builds(
                lambda start, rest: start + rest,
                st.sampled_from([b'LUKS\xba\xbe\0\1', b'QFI\xfb', b'LUKS']),
                st.binary(min_size=104, max_size=300),
            ),
        )
    )
    def test_headers(self, data):
        found = header.parse(data)
        self.reached.count(found.encrypted or found.kind == 'qcow2-plain')
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
        st.one_of(
            strings.HOSTILE,
            st.text('0123456789abcdefABCDEF'),
            st.binary(min_size=1).map(bytes.hex),
        )
    )
    def test_keys(self, text):
        found = shared_key.key_bits(text)
        self.reached.count(isinstance(found, int))
        if isinstance(found, int):
            self.assertEqual(found, 8 * len(bytes.fromhex(text)))
        elif len(text) > 8:
            # What is wrong is told without the key.
            self.assertNotIn(text, found)


BACKENDS = strings.HOSTILE | st.sampled_from(
    [
        *('barbican', 'vault', ''),
        'nova.keymgr.conf_key_mgr.ConfKeyManager',
        'castellan.key_manager.barbican_key_manager.BarbicanKeyManager',
    ]
)
KEYS = strings.HOSTILE | st.builds(
    lambda key, end: key + end,
    st.binary(min_size=16, max_size=64).map(bytes.hex),
    st.sampled_from(['', '', 'x', '\n', 'a']),
)


class TestAudit(PropertyTest):
    @thorough.prop()
    @hypothesis.given(
        strings.HOSTILE,
        TEXTS,
        st.none()
        | st.builds(
            model.Encryption,
            provider=TEXTS,
            cipher=st.none() | ciphers(),
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
        st.fixed_dictionaries(
            {},
            optional={
                ('key_manager', 'backend'): BACKENDS,
                ('key_manager', 'api_class'): BACKENDS,
                ('keymgr', 'api_class'): BACKENDS,
                ('keymgr', 'fixed_key'): KEYS,
                ('DEFAULT', 'backend'): strings.HOSTILE,
            },
        ),
        KEYS,
        strings.HOSTILE,
    )
    def test_shared_keys(self, options, key, text):
        options[('key_manager', 'fixed_key')] = key
        files = (shared_key.File(text, 0o640, 1.0, options),)
        services = [
            shared_key.Service(text, 'nova', files, ((text, 0.0),)),
            shared_key.Service('h', 'cinder', problem=text or '?'),
        ]
        # The backend may be called so, too.
        shown = [text, *(v for k, v in options.items() if k[1] != 'fixed_key')]
        secret = len(key) > 20 and not any(key in item for item in shown)
        self.reached.count(secret)
        for found in shared_key.judge(services):
            for cell in finding.row(found):
                self.assertEqual(set(), strings.moves_terminals(cell))
                if secret:
                    self.assertNotIn(key, str(cell))
