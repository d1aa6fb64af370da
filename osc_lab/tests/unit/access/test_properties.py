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


"""What services and daemons send, whole, spoiled and endless."""

import argparse
import datetime
import json
import time
import types
from unittest import mock

import hypothesis
from hypothesis import strategies as st
import testtools

from osc_lab.access import host_config
from osc_lab.access import jsonrpc
from osc_lab.access import ovsdb
from osc_lab.access import rest
from osc_lab.access import settings
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.mirroring import targets
from osc_lab.tests import strings
from osc_lab.tests import thorough

MEBI = 2**20

#: Of large inputs; what grows with the square of it shows with less, too.
LARGE = (50 if thorough.THOROUGH else 8) * MEBI


class Wire:
    """A socket that gives what it was given, piece by piece."""

    def __init__(self, data, sizes):
        self._data, self._sizes = memoryview(data), sizes or [65536]
        self._at = self._count = 0

    def recv(self, most):
        size = self._sizes[self._count % len(self._sizes)]
        self._count += 1
        self._at += size
        return bytes(self._data[self._at - size : self._at])

    def sendall(self, data):
        """Take a question; the answer is there already."""

    def settimeout(self, seconds):
        """Answer at once."""

    def close(self):
        """End."""


def call(data, sizes=()):
    """Return what a question gets from a server that sends this."""
    with mock.patch.object(
        jsonrpc, '_connect', lambda *args: Wire(data, list(sizes))
    ):
        connection = jsonrpc.Connection('x', 'cmp1', jsonrpc.Files(), 600)
        return connection.call('transact', [])


SIZES = st.lists(st.integers(1, 50), max_size=8)


class TestMessages(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(
        st.one_of(
            st.binary(max_size=200),
            strings.JSON.map(lambda found: json.dumps(found).encode()),
            st.text('{}[]"\\,:1 ', max_size=80).map(str.encode),
        ),
        SIZES,
    )
    def test_that_are_none(self, data, sizes):
        strings.attempt(call, data, sizes)

    @thorough.prop()
    @hypothesis.given(strings.JSON, strings.JSON, SIZES, st.booleans())
    def test_in_any_pieces(self, result, echo, sizes, plain):
        data = b''.join(
            json.dumps(message, ensure_ascii=plain).encode(
                'utf-8', 'surrogatepass'
            )
            for message in (
                {'method': 'echo', 'params': echo, 'id': 'echo'},
                {'id': 1, 'error': None, 'result': result},
            )
        )
        if not plain:
            hypothesis.assume(b'\xed' not in data)
        found = call(data, sizes)
        self.assertEqual(json.dumps(result), json.dumps(found))

    def test_too_deep(self):
        for text in ('{"id": 1, "result": %s}', '%s'):
            deep = text % ('[' * 100_000 + ']' * 100_000)
            good, _error = strings.attempt(call, deep.encode())
            self.assertFalse(good)

    def test_of_many_megabytes(self):
        row = b'{"name": "\\"{[x", "n": {}}'
        sizes = [len(row) * 1000]
        body = (row + b',') * (LARGE // len(row)) + row
        found = self.soon(b'{"id": 1, "result": [%s]}' % body, sizes)
        self.assertEqual(body.count(b'name'), len(found))
        # Hostile ones: one string, and one that never ends.
        text = b'\\"' * (LARGE // 2)
        self.soon(b'{"id": 1, "result": "%s"}' % text, [65536])
        error = self.soon(b'{"' * (35 * MEBI), [65536])
        self.assertIn('does not speak OVSDB', str(error))

    def soon(self, data, sizes):
        """Return an answer, or the error, that takes no minutes.

        A busy machine takes longer; what grows with the square of the
        length takes much longer.
        """
        began = time.process_time()
        _good, found = strings.attempt(call, data, sizes)
        self.assertLess(time.process_time() - began, 4 * thorough.HANG)
        return found

    @thorough.prop()
    @hypothesis.given(strings.HOSTILE)
    def test_remotes(self, text):
        for remote in (text, f'tcp:{text}', f'ssl:[::1]:{text}'):
            good, found = strings.attempt(jsonrpc.address, remote, text)
            if good:
                self.assertTrue(0 <= found[1] <= 65535)
        with mock.patch('socket.getaddrinfo', side_effect=OSError('x')):
            strings.attempt(
                jsonrpc.Connection, text, text, jsonrpc.Files(), 1.0
            )


ROW = {
    '_uuid': ['uuid', 'u'],
    'name': 'n',
    'type': 'internal',
    'ofport': 1,
    'error': ['set', []],
    'mtu': 1500,
    'link_state': 'up',
    'external_ids': ['map', [['osc-lab-owner', 'osc-lab']]],
    'options': ['map', []],
    'statistics': ['map', [['tx_packets', 1]]],
    'tag': 3,
    'trunks': ['set', []],
    'interfaces': ['uuid', 'i'],
    'datapath_type': '',
    'fail_mode': 'secure',
    'mirrors': ['set', [['uuid', 'm']]],
    'select_all': False,
    'select_src_port': ['uuid', 'u'],
    'select_dst_port': ['set', []],
    'select_vlan': ['set', []],
    'output_port': ['uuid', 'u'],
    'output_vlan': ['set', []],
    'other_config': ['map', []],
}


class TestRows(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(st.data())
    def test_that_are_not_of_the_schema(self, data):
        class Server:
            def call(self, method, params):
                good = [{'rows': [ROW, ROW]} for _ in params[1:]]
                return data.draw(strings.spoiled(good))

        database = ovsdb.Database(Server(), 'cmp1')
        for ask in (
            database.mirrors,
            database.bridges,
            database.snapshot,
            database.statistics_interval,
            lambda: database.attachments('port'),
            lambda: database.port('n'),
            lambda: database.interface('n'),
            lambda: database.mirror('m'),
            lambda: database.statistics('i'),
            lambda: database.vlan_users('b', 7),
            lambda: database.open_ports('b'),
            lambda: database.overlays('gre', '192.0.2.9'),
        ):
            strings.attempt(ask)


class TestServices(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(
        st.one_of(
            strings.HOSTILE,
            st.integers().map(str),
            st.from_regex(r'[0-9]{300,400}', fullmatch=True),
            st.datetimes().map(
                lambda found: found.strftime('%a, %d %b %Y %H:%M:%S GMT')
            ),
        )
    )
    def test_retry_after(self, text):
        found = rest.retry_after(text)
        if found is not None:
            self.assertGreaterEqual(found, 0)
            self.assertLess(found, float('inf'))
        now = datetime.datetime.now(datetime.UTC)
        later = now + datetime.timedelta(seconds=60)
        header = later.strftime('%a, %d %b %Y %H:%M:%S GMT')
        self.assertAlmostEqual(60, rest.retry_after(header), delta=2)

    @thorough.prop()
    @hypothesis.given(
        strings.spoiled(
            {
                'items': [{'id': 'a'}],
                'items_links': [{'rel': 'next', 'href': 'x'}],
            }
        )
    )
    def test_pages(self, body):
        bodies = iter([body, {'items': []}])
        service = rest.Rest(None)
        service._send = lambda *args, **kwargs: types.SimpleNamespace(
            json=lambda: next(bodies), url='http://x\x1b'
        )
        strings.attempt(lambda: list(service.pages('/items', 'items')))


KEYS = (*(option.key for option in channels.ALL), 'host_timeout')
CLOUD = st.dictionaries(
    st.sampled_from([*KEYS, 'host_addresses', 'api_timeout', 'local_hosts']),
    st.one_of(strings.JSON, strings.HOSTILE),
    max_size=5,
)


class TestSettings(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(
        CLOUD,
        st.dictionaries(
            st.sampled_from(KEYS), st.none() | strings.HOSTILE, max_size=3
        ),
        st.dictionaries(
            st.sampled_from(
                [f'OSC_LAB_{key.upper()}' for key in (*KEYS, 'HOST_TIMEOUT')]
            ),
            strings.HOSTILE,
            max_size=3,
        ),
        strings.HOSTILE,
    )
    def test_channels(self, cloud, options, environ, host):
        good, found = strings.attempt(
            channels.resolve, argparse.Namespace(**options), environ, cloud
        )
        if not good:
            return
        self.assertTrue(0 < found.deadline <= 600)
        for name in (host, 'cmp1'):
            strings.attempt(found.host, name, host)

    @thorough.prop()
    @hypothesis.given(st.one_of(CLOUD, strings.JSON))
    def test_of_the_cloud(self, found):
        sdk = types.SimpleNamespace(
            config=types.SimpleNamespace(config={'osc_lab': found})
        )
        good, seconds = strings.attempt(settings.api_timeout, sdk)
        if good:
            self.assertTrue(0 < seconds <= 3600)
        if isinstance(found, dict):
            strings.attempt(host_config.local_hosts, found)

    @thorough.prop()
    @hypothesis.given(strings.HOSTILE)
    def test_names_in_templates(self, text):
        reach = channels.Channels(ssh='root@{host}', ovsdb='tcp:{host_ip}:1')
        good, host = strings.attempt(reach.host, text, text)
        if good:
            self.assertNotIn(' ', host.ssh)
            self.assertFalse(host.ssh.startswith('-'))
            self.assertEqual(set(), strings.moves_terminals(host.ssh))
        self.assertRaises(
            exceptions.InvalidInput, targets.parse, 'nothing:' + text
        )
