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


"""What Nova, libvirt and logs say about a migration, with any input."""

import hypothesis
from hypothesis import strategies as st
import testtools

from osc_lab.access import libvirt
from osc_lab.access import remote_probe
from osc_lab.migration import domain_xml
from osc_lab.migration import explain
from osc_lab.migration import nova_options
from osc_lab.migration import reach
from osc_lab.migration import record
from osc_lab.migration import watch
from osc_lab.preflight import finding
from osc_lab.preflight import report
from osc_lab.tests import strings
from osc_lab.tests import thorough
from osc_lab.tests.unit.migration import test_domain_xml

MODELS = (
    "<domainCapabilities><cpu><mode name='custom'>"
    "<model usable='yes'>qemu64</model></mode></cpu></domainCapabilities>"
)
LINES = st.one_of(
    strings.HOSTILE,
    st.sampled_from(
        [
            'Live Migration failure: x',
            'req-11111111-1111-1111-1111-111111111111 ERROR migration vm',
            "Unable to resolve address '\x1b[31m' service '49",
            'No valid host\u2028found',
        ]
    ),
)

#: What libvirt said about another host, whatever its name is.
FAILURES = strings.HOSTILE.map(
    lambda host: (
        f"libvirtError: unable to connect to server at '{host}:16509': "
        'Connection refused'
    )
)


class TestXml(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(st.one_of(test_domain_xml.mangled(MODELS), st.text()))
    def test_cpu_models(self, text):
        try:
            found = domain_xml.cpu_models(text)
        except domain_xml.InvalidDocument:
            return
        self.assertIsInstance(found, frozenset)


class TestLogs(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(st.lists(LINES, max_size=4), FAILURES, strings.HOSTILE)
    def test_lines(self, lines, failure, text):
        lines.append(failure)
        said = explain.reasons(None, lines)
        found = explain.findings(text, said, {})
        self.assertIn('libvirt-listen', [item.check for item in found])
        for item in found:
            for cell in finding.row(item):
                self.assertEqual(set(), strings.moves_terminals(cell))
        explain.refusal(text)
        explain.brief(text)
        reach.classify(text)
        about = list(
            remote_probe.about(
                lines, 'vm', 'req-11111111-1111-1111-1111-111111111111'
            )
        )
        self.assertLessEqual(len(about), len(lines))

    def test_a_line_of_a_megabyte(self):
        for text in (
            'Live Migration failure: ' * 40_000,
            "connect to '" * 90_000,
            'CPU model ' * 100_000,
            'req-' * 250_000,
        ):
            explain.cause(text)
            explain.reasons(None, [text])
            list(remote_probe.about([text], 'vm', 'req-1'))


BODY = {
    'id': 5,
    'uuid': 'u',
    'status': 'running',
    'source_compute': 'a',
    'dest_compute': 'b',
    'created_at': '2026-01-01T00:00:00',
    'updated_at': '2026-01-01T00:00:00',
    'memory_total_bytes': 5,
    'memory_processed_bytes': 4,
    'memory_remaining_bytes': 1,
}
ACTION = {
    'request_id': 'req-1',
    'action': 'live-migration',
    'start_time': '2026-01-01T00:00:00',
    'events': [
        {'event': 'e', 'host': 'h', 'result': 'Error', 'details': 'x\ny'}
    ],
}


class TestRecords(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(strings.spoiled(BODY), strings.spoiled(BODY))
    def test_records(self, body, running):
        good, found = strings.attempt(record.record, body, running)
        if good:
            self.assertIsInstance(found.id, int)
            watch.sample(1.0, found).line(60.0)

    @thorough.prop()
    @hypothesis.given(strings.spoiled(ACTION))
    def test_actions(self, body):
        good, found = strings.attempt(record.action, body)
        if good:
            explain.reasons(found)

    @thorough.prop()
    @hypothesis.given(
        st.one_of(strings.HOSTILE, strings.JSON, st.datetimes().map(str))
    )
    def test_moments(self, value):
        self.assertIsInstance(record.moment(value), float)


class TestOptions(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(
        st.fixed_dictionaries(
            {
                section: st.dictionaries(
                    st.sampled_from(names),
                    st.one_of(
                        st.none(), strings.HOSTILE, st.integers().map(str)
                    ),
                    max_size=4,
                )
                for section, names in nova_options.WANTED.items()
            }
        ),
        strings.HOSTILE,
    )
    def test_of_nova(self, values, host):
        found = nova_options.read(values)
        self.assertGreaterEqual(found.steps, 3)
        self.assertGreaterEqual(found.downtime_ms, 100)
        self.assertIsInstance(found.destination_uri(host), str)
        self.assertIsInstance(found.effective_scheme, str)
        found.flags(True)
        found.completion_timeout(found.data_gib(1024, [1]))

    @thorough.prop()
    @hypothesis.given(
        st.one_of(
            strings.HOSTILE.map(lambda text: f'qemu+unix://{text}/system'),
            strings.HOSTILE,
            st.sampled_from(['qemu+unix://[::1', 'qemu+ssh://h:x/system']),
        )
    )
    def test_uris(self, uri):
        hypothesis.assume('tcp' not in uri and 'tls' not in uri)
        strings.attempt(libvirt.probe, uri, 0.01)


class TestReports(testtools.TestCase):
    @thorough.prop()
    @hypothesis.given(
        st.lists(
            st.builds(
                finding.Finding,
                check=st.just('check'),
                subject=strings.HOSTILE,
                result=st.sampled_from(finding.Result),
                message=strings.HOSTILE,
                remedy=strings.HOSTILE,
                evidence=st.dictionaries(strings.HOSTILE, strings.JSON),
            ),
            max_size=3,
        )
    )
    def test_cells(self, findings):
        found = report.Report(tuple(findings))
        self.assertEqual(set(), strings.moves_terminals(found.summary()))
        for item in found.ignoring(('all',)).findings:
            *cells, evidence = finding.row(item, True)
            for cell in (*cells, evidence.human_readable()):
                self.assertEqual(set(), strings.moves_terminals(cell))
