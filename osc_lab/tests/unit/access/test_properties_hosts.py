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


"""What commands print on a host, whole, spoiled and endless."""

import itertools
import json
import pathlib
import time
import types

import fixtures
import hypothesis
from hypothesis import strategies as st
import testtools

from osc_lab.access import certificates
from osc_lab.access import disk
from osc_lab.access import host_config
from osc_lab.access import shell
from osc_lab.tests import openssl
from osc_lab.tests import strings
from osc_lab.tests import thorough
from osc_lab.tests.unit.access import test_disk

MEBI = 2**20


def answer(data, status=0):
    return types.SimpleNamespace(
        run=lambda *args, **kwargs: shell.Answer(status, data, ''),
        host=types.SimpleNamespace(name='cmp1'),
    )


CONF = st.one_of(
    strings.TEXT,
    st.text('[]=\n #;abkey_\\\t\0é', max_size=200),
    st.lists(
        st.sampled_from(
            ['[key_manager]', 'fixed_key = 00', ' more', 'a: b', '[', '=', '']
        ),
        max_size=9,
    ).map('\n'.join),
)

#: What a host sends that does not do as it was asked.
ODD = st.one_of(
    st.binary(max_size=60),
    strings.TEXT.map(lambda text: text.encode('utf-8', 'replace')),
)

ODD_LISTINGS = st.lists(
    st.sampled_from(
        [
            *(b'file 640 1 4 /a b', b'[a]', b'x=y', b'end', b'[', b''),
            *(b'file 9 1 -4 /a', b'file x y z /'),
            *(b'unreadable 0 0 0 /a', b'file 640 \xc2\xb2 \xc2\xb2 /'),
        ]
    ),
    max_size=6,
).map(b'\n'.join)


@st.composite
def cut(draw, whole):
    """Return bytes, one half of them with another piece in one place."""
    data = draw(whole)
    if draw(st.booleans()):
        return data
    start = draw(st.integers(0, len(data)))
    end = start + draw(st.integers(0, 9))
    return data[:start] + draw(st.binary(max_size=9)) + data[end:]


# Each is another one: what was tried before is not tried again.
LISTINGS = cut(
    st.lists(
        st.integers().map(b'[a]\nx=%d\n'.__mod__)
        | st.sampled_from([b'# \xff', b'x = y', b'']),
        max_size=3,
    ).map(
        lambda files: (
            b''.join(
                b'file 640 1 %d /a b\n%s' % (len(text), text) for text in files
            )
            + b'end\n'
        )
    )
)

DOMAINS = cut(
    st.builds(
        lambda number, encryption: test_disk.DOMAIN.format(
            path=f'/dev/{number}', encryption=encryption
        ).encode(),
        st.integers(),
        st.sampled_from(['', test_disk.ENCRYPTION]),
    )
)

BLOCKS = (
    st.integers()
    .map(
        lambda size: {
            'qdev': '/a/x',
            'inserted': {'image': {'virtual-size': size}},
        }
    )
    .flatmap(lambda block: st.just([block]) | strings.spoiled([block]))
    .map(lambda found: json.dumps({'return': found}).encode())
)


class TestHosts(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(CONF)
    def test_configuration(self, text):
        try:
            found = host_config.parse(text)
        except ValueError as error:
            # Nothing of the file: it may be the line with the key.
            self.assertRegex(str(error), r'^line [0-9]+\Z')
            return
        for (section, key), value in found.items():
            for item in (section, key, value):
                self.assertIsInstance(item, str)

    def test_configuration_of_many_megabytes(self):
        for text in (
            'x = ' + 'y' * 10 * MEBI,
            '[a]\n' * MEBI,
            'x = y\n' * (200 * 1024),
        ):
            began = time.process_time()
            host_config.parse(text)
            self.assertLess(time.process_time() - began, 4 * thorough.HANG)

    def test_files(self):
        def read(data):
            return host_config._read(answer(data), ['/a'])

        self.assertLess(0.1, strings.share(LISTINGS, read))
        strings.share(ODD_LISTINGS, read)

    @thorough.prop()
    @hypothesis.given(
        st.lists(
            st.one_of(
                strings.HOSTILE,
                st.sampled_from(['now 5', 'now ²', '3 nova-compute', '² x']),
            ),
            max_size=5,
        )
    )
    def test_processes(self, lines):
        text = '\n'.join(lines).encode('utf-8', 'surrogatepass')
        strings.attempt(host_config._processes, answer(text))

    def test_what_libvirt_and_qemu_say(self):
        def host(data):
            return disk.Host(answer(data), 'server')

        for ask, said in (
            (lambda data: host(data)._disk('v1'), DOMAINS),
            (lambda data: host(data)._guest_size('x'), BLOCKS),
            (lambda data: host(data)._io('x', 'flush'), ODD),
        ):
            self.assertLess(0.1, strings.share(said, ask))
            strings.share(ODD, ask)

    def test_certificates(self):
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        ca = openssl.authority(folder)
        pair = openssl.Pair(folder / 'c.pem', folder / 'c.key')
        openssl.issue(ca, pair, 'cmp1', ('DNS:cmp1', 'IP:192.0.2.1'))
        texts = {
            path: (ca if role == 'ca' else pair).certificate.read_text()
            for path, (_stack, role) in certificates.PATHS.items()
        }
        read = []

        @thorough.prop()
        @hypothesis.given(
            strings.spoiled(
                {path: {'pem': text} for path, text in texts.items()}
            ),
            st.sampled_from(list(texts)),
            st.none() | st.integers(0, 500),
        )
        def one(files, path, place):
            if place is not None and isinstance(files, dict):
                text = texts[path]
                text = text[:place] + '?' + text[place + 1 :]
                files = {**files, path: {'pem': text}}
            read.append(certificates.read(files))

        one()
        good = [item for item in read if isinstance(item, tuple) and item]
        self.assertLess(0.1, len(good) / len(read))
        for item in itertools.chain(*good):
            names = {'osc-lab'} if item.role == 'ca' else {'cmp1', '192.0.2.1'}
            self.assertEqual(names, item.names)
