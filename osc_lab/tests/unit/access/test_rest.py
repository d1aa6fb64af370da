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

import datetime
import email.utils
from unittest import mock

import openstack
from openstack import proxy
import requests
import testtools

from osc_lab.access import rest
from osc_lab import exceptions
from osc_lab.tests.unit import cinder

URL = cinder.CINDER


class RestTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.http = self.useFixture(cinder.Cloud()).http
        sdk = openstack.connect(cloud='test')
        self.addCleanup(sdk.close)
        patcher = mock.patch('time.sleep')
        self.sleep = patcher.start()
        self.addCleanup(patcher.stop)
        self.rest = rest.Rest(sdk.block_storage, 5)

    def get(self, *answers):
        self.http.get(URL + '/x', list(answers))
        return self.rest.get('/x', limit=3)

    def refused(self, call, *args):
        return self.assertRaises(exceptions.ServiceError, call, *args)

    def paused(self):
        return [call.args[0] for call in self.sleep.mock_calls]


class TestOne(RestTest):
    def test_body(self):
        self.assertEqual({'a': 1}, self.get({'json': {'a': 1}}))
        self.assertEqual('limit=3', self.http.last_request.query)

    def test_read_is_repeated_while_that_may_help(self):
        for first in (
            {'status_code': 502},
            {'status_code': 503},
            {'status_code': 504},
            {'exc': requests.exceptions.ConnectionError},
            {'exc': requests.exceptions.ReadTimeout},
            {'text': '<html>'},
            {'json': ['neither', 'nor']},
        ):
            self.sleep.reset_mock()
            self.assertEqual({}, self.get(first, {'json': {}}))
            self.assertEqual([0.5], self.paused(), first)

    def test_read_is_given_up(self):
        error = self.refused(self.get, {'status_code': 502})
        self.assertEqual(502, error.status)
        self.assertEqual([0.5, 1.0, 2.0], self.paused())

    def test_refusal_is_not_repeated(self):
        for status in (400, 401, 403, 404, 409, 500):
            error = self.refused(self.get, {'status_code': status})
            self.assertEqual(status, error.status)
        self.assertEqual([], self.paused())

    def test_certificate_is_not_tried_again(self):
        for why, calls in (
            ('certificate verify failed: self-signed certificate', 1),
            ('EOF occurred in violation of protocol', 4),
        ):
            error = requests.exceptions.SSLError(f'[SSL] {why} (_ssl.c:1)')
            sent = self.http.get(URL + '/x', exc=error)
            found = self.refused(self.rest.get, '/x')
            self.assertEqual((None, calls), (found.status, sent.call_count))
            self.assertIn(why.rpartition(': ')[2], str(found))

    def test_redirected_for_ever(self):
        """The last redirection is no answer, and nothing was deleted."""
        there = {'status_code': 302, 'headers': {'Location': URL + '/x'}}
        self.http.delete(URL + '/x', [there])
        for call in (
            lambda: self.get(there),
            lambda: self.rest.write('DELETE', '/x'),
        ):
            error = self.refused(call)
            self.assertEqual(302, error.status)
            self.assertIn('redirects', error.message)
            self.assertIn('catalog list', error.remedy)

    def test_log_in_again(self):
        self.assertIn(
            'Log in', self.refused(self.get, {'status_code': 401}).remedy
        )

    def test_not_what_the_api_documents(self):
        error = self.refused(self.get, {'json': []})
        self.assertIn(f'{URL}/x is not what', error.message)

    def test_write_is_sent_again_only_when_nothing_was_done(self):
        for status in (413, 429, 503):
            self.http.post(
                URL + '/x', [{'status_code': status}, {'json': {'b': 2}}]
            )
            self.assertEqual({'b': 2}, self.rest.write('POST', '/x', {}))
        for answer in (
            {'status_code': 502},
            {'exc': requests.exceptions.ConnectionError},
            {'exc': requests.exceptions.ReadTimeout},
        ):
            post = self.http.post(URL + '/x', [answer])
            self.refused(self.rest.write, 'POST', '/x', {})
            self.assertEqual(1, post.call_count, answer)

    def test_write_without_an_answer_to_read(self):
        self.http.delete(URL + '/x', status_code=204)
        self.assertEqual({}, self.rest.write('DELETE', '/x'))

    def test_answer_may_say_how_long_to_wait(self):
        wait = {'status_code': 429, 'headers': {'Retry-After': '7'}}
        self.get(wait, {'json': {}})
        self.assertEqual([7.0], self.paused())

    def test_too_long_to_wait(self):
        wait = {'status_code': 429, 'headers': {'Retry-After': '3600'}}
        self.assertEqual(3600, self.refused(self.get, wait).retry_after)
        self.assertEqual([], self.paused())

    def test_error_of_ours_stays(self):
        found = exceptions.NotFound('no such thing')
        with mock.patch.object(proxy.Proxy, 'request', side_effect=found):
            self.assertIs(
                found, self.assertRaises(exceptions.NotFound, self.get)
            )


class TestPages(RestTest):
    def pages(self, *bodies, key='things'):
        self.http.get(URL + '/x', [{'json': body} for body in bodies])
        return [item['id'] for item in self.rest.pages('/x', key, limit=2)]

    def test_follows_links(self):
        more = [{'rel': 'next', 'href': 'x'}]
        self.assertEqual(
            [1, 2, 3],
            self.pages(
                {'things': [{'id': 1}, {'id': 2}], 'thing_links': more},
                {'things': [{'id': 3}], 'things_links': []},
            ),
        )
        self.assertEqual('limit=2&marker=2', self.http.last_request.query)

    def test_empty_page_ends(self):
        more = [{'rel': 'next', 'href': 'x'}]
        self.assertEqual([], self.pages({'things': [], 'things_links': more}))

    def test_other_links_end(self):
        links = [{'rel': 'self', 'href': 'x'}]
        self.assertEqual([1], self.pages({'sheep': [{'id': 1}]}, key='sheep'))
        self.assertEqual(
            [1], self.pages({'things': [{'id': 1}], 'thing_links': links})
        )

    def test_marker_that_is_ignored(self):
        """The same page would come for ever."""
        more = [{'rel': 'next', 'href': 'x'}]
        body = {'things': [{'id': 1}, {'id': 2}], 'things_links': more}
        found = self.rest.pages('/x', 'things')
        self.http.get(URL + '/x', json=body)
        self.assertEqual([1, 2], [next(found)['id'], next(found)['id']])
        self.refused(next, found)

    def left(self, gone, status=404, size=16):
        """Read 64 things, of which some are deleted after the first page."""
        things = list(range(64))

        def answer(request, context):
            marker = int(request.qs.get('marker', ['-1'])[0])
            if marker >= 0 and marker not in things:
                context.status_code = status
                return {}
            found = [item for item in things if item > marker]
            links = [{'rel': 'next'}] if found[size:] else []
            return {
                'things': [{'id': item} for item in found[:size]],
                'things_links': links,
            }

        self.http.get(URL + '/x', json=answer)
        found = []
        for item in self.rest.pages('/x', 'things'):
            found.append(item['id'])
            if len(found) == size:
                things[:] = [item for item in things if item not in gone]
        return found

    def test_marker_that_is_gone(self):
        """What is deleted meanwhile takes no other item with it."""
        for gone in ({15}, {14, 15, 16}, set(range(9, 20)), set(range(40))):
            for status in (400, 404):
                expected = [
                    item for item in range(64) if item < 16 or item not in gone
                ]
                self.assertEqual(expected, self.left(gone, status))

    def test_refusal_is_not_repeated(self):
        self.refused(self.left, {15}, 403)

        def answer(request, context):
            context.status_code = 400 if 'marker' in request.qs else 200
            return {'things': [{'id': 1}], 'things_links': [{'rel': 'next'}]}

        self.http.get(URL + '/x', json=answer)
        before = self.http.call_count
        found = self.rest.pages('/x', 'things')
        # The page came again, and it is no end.
        self.refused(list, found)
        self.assertLess(self.http.call_count - before, 5)

    def test_odd_bodies(self):
        for body in ({}, {'things': {}}, {'things': ['x']}, {'things': [{}]}):
            self.refused(self.pages, body)


class TestRetryAfter(testtools.TestCase):
    def test_seconds(self):
        self.assertEqual(5.0, rest.retry_after('5'))
        self.assertEqual(0.0, rest.retry_after('-5'))

    def test_moment(self):
        now = datetime.datetime.now(datetime.UTC)
        later = now + datetime.timedelta(seconds=100)
        for text in (
            email.utils.format_datetime(later, usegmt=True),
            email.utils.format_datetime(later.replace(tzinfo=None)),
        ):
            self.assertAlmostEqual(100, rest.retry_after(text), delta=5)

    def test_nothing(self):
        for text in (None, '', 'soon'):
            self.assertIsNone(rest.retry_after(text))
