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

"""What is hidden in texts, and what is left as it is."""

import io
import logging

import fixtures
import testtools

from osc_lab import exceptions
from osc_lab import secrecy


class TestHidden(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch('osc_lab.secrecy._known', set()))

    def test_what_is_evident(self):
        for text in (
            'GET http://user:CANARY@h/v3 failed',
            'http://:CANARY@h:80',
            'qemu+tcp://user:CANARY@x@h/system',
            '"http://u:CANARY@h", "b@c"',
            'RESP: [200] Content-Length: 3 Set-Cookie: s=CANARY; Path=/; '
            'Expires=Wed, 21 Oct 2026 07:28:00 GMT, t=CANARY',
            'curl -H "Cookie: s=CANARY; t=CANARY" -X GET',
            'Set-Cookie: s="CANARY"; t="CANARY"',
            "{'Cookie': 's=CANARY'}",
            '{"set-cookie": "s=\\"CANARY\\""}',
            "{'X-Auth-Token': 'CANARY'}",
            '{"e": "{\\"Cookie\\": \\"CANARY\\", \\"a\\": 1}"}',
            '{"e": "{\\"Authorization\\": \\"Basic CANARY\\"}"}',
            '{"e": "{\\"Cookie\\": \\"CANARY\\\\\\\\\\"}"}',
            'as \\"Cookie\\": \\"CANARY\\\\" of a tenant',
            'X-Subject-Token: CANARY',
            "{'Authorization': 'Basic CANARY=='}",
            'Authorization: Bearer CANARY.a-b_c',
            'OpenStack-Auth-Receipt: CANARY',
        ):
            found = secrecy.hidden(text)
            self.assertNotIn('CANARY', found)
            self.assertIn('***', found)

    def test_what_stays(self):
        for text in (
            'http://h:80/a?b=c@d http://[2001:db8::1]:80/x@y',
            'unix:/run/a:b@c',
            '{"url": "http://h:80", "mail": "a@b"}',
            'root@host: Permission denied',
            'X-Auth-Token: {SHA256}0123 X-Other: 1',
            'Cookies are not used',
            'a cookie:jar',
        ):
            self.assertEqual(text, secrecy.hidden(text))

    def test_no_text_takes_long(self):
        """Tenants give names, and services repeat what they get."""
        self.useFixture(fixtures.Timeout(10, gentle=True))
        for begin, part, end in (
            ('X-Auth-Token": "', '\\', 'x'),
            ('X-Auth-Token": \\"', '\\\\', 'x'),
            ('X-Auth-Token": "', '\\a', ''),
            ('', 'Cookie": "', ''),
            ('Cookie: ', ' a', '\n'),
            ('Cookie: ', 'a', '\n'),
            ('', 'Cookie: ', ''),
            ('authorization', '\\', ''),
            ('', 'authorization: a', ''),
            ('a://', ':', ''),
            ('', 'a://:', ''),
        ):
            for times in (60, 5000):
                secrecy.hidden(begin + part * times + end)

    def test_other_headers_stay(self):
        found = secrecy.hidden('Cookie: a X-Trace: 1 Set-Cookie: b Z: 2')
        self.assertEqual('Cookie: *** X-Trace: 1 Set-Cookie: *** Z: 2', found)

    def test_what_is_known_in_any_form(self):
        value = 'a"b\'c d/é&longer'
        secrecy.learn([value, None, ''])
        for text in (
            value,
            f'{value!r}',
            '{"x": "a\\"b\'c d/\\u00e9&longer"}',
            'x=a%22b%27c%20d%2F%C3%A9%26longer',
        ):
            self.assertNotIn('longer', secrecy.hidden(f'say {text} again'))

    def test_the_longer_of_two(self):
        secrecy.learn(['password-1', 'password-1-2'])
        self.assertEqual('is ***.', secrecy.hidden('is password-1-2.'))

    def test_words_stay(self):
        """What is hidden in a known text would be told by that."""
        for text in ('admin', 'a-1', 'openstack'):
            secrecy.learn([text])
            self.assertEqual(text, secrecy.hidden(text))
        secrecy.learn(['correcthorsebattery'])
        self.assertEqual('***', secrecy.hidden('correcthorsebattery'))

    def test_options_of_log_ins(self):
        found = secrecy.of_login(
            {
                'username': 1,
                'password': 2,
                'application_credential_id': 3,
                'application_credential_secret': 4,
                'passcode': 5,
                'token': 6,
                'auth_url': 7,
            }
        )
        self.assertEqual([2, 4, 5, 6], list(found))

    def test_errors(self):
        secrecy.learn(['long-password'])
        error = exceptions.ServiceError('no long-password', 'long-password!')
        for text in (str(error), repr(error), str(error.args)):
            self.assertNotIn('long-password', text)


class TestKept(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        self.root = logging.getLogger()
        self.root.addHandler(handler)
        self.addCleanup(self.root.removeHandler, handler)
        self.log = logging.getLogger('osc_lab.test')

    def test_messages_and_tracebacks(self):
        url = 'http://u:CANARY@h/'
        with secrecy.kept():
            self.log.error('%s and %d', url, 5)
            try:
                raise ValueError(url)
            except ValueError:
                self.log.exception('failed')
        text = self.stream.getvalue()
        self.assertIn('http://u:***@h/ and 5', text)
        self.assertIn('ValueError: http://u:***@h/', text)
        self.assertNotIn('CANARY', text)

    def test_only_meanwhile(self):
        with secrecy.kept():
            pass
        self.log.error('http://u:visible@h/')
        self.assertIn('visible', self.stream.getvalue())
