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

"""Services at their microversions, and what is told when they fail."""

import argparse
import re
from unittest import mock
import urllib.parse

import fixtures
from keystoneauth1 import exceptions as ksa
from keystoneauth1 import fixture as ksa_fixture
import openstack
from openstack import exceptions as sdk_errors
from osc_lib import exceptions as osc
import requests
import requests_mock
import testtools

from osc_lab.access import caller
from osc_lab.access import cloud
from osc_lab.access import hosts
from osc_lab.access import identity
from osc_lab.access import service
from osc_lab.access import settings
from osc_lab import channels
from osc_lab import exceptions
from osc_lab.tests.unit import cinder

URL = cinder.NOVA
NEW = (2, 99)


class ServiceTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(
            cinder.Cloud(services=('block-storage', 'compute'))
        )
        self.http = self.cloud.http
        self.sdk = self.connect()
        self.nova = service.Service(self.sdk.compute, 5)

    def connect(self):
        found = openstack.connect(cloud='test')
        self.addCleanup(found.close)
        return found

    def refused(self, call, *args, kind=exceptions.ServiceError, **kwargs):
        return str(self.assertRaises(kind, call, *args, **kwargs))


class TestService(ServiceTest):
    def test_version_that_there_is(self):
        self.assertEqual((2, 96), self.nova.maximum)
        self.assertEqual((2, 96), self.nova.at(NEW))
        self.assertEqual((2, 1), self.nova.at((2, 1)))

    def versions(self, *answers):
        """Return a service whose version document comes like this."""
        for url in (URL, 'http://nova.test/'):
            self.http.get(url, list(answers))
        self.sleep = self.useFixture(fixtures.MockPatch('time.sleep')).mock
        return service.Service(self.connect().compute, 5)

    def document(self, **versions):
        found = ksa_fixture.DiscoveryList(v2=False, v3=False)
        found.add_microversion(href=URL + '/', id='v2.1', **versions)
        return {'json': found}

    def test_service_without_versions(self):
        self.assertEqual((0, 0), self.versions(self.document()).at(NEW))

    def test_service_that_does_not_tell_its_versions(self):
        """That is not one without versions, which forces a host."""
        for answer in (
            {'status_code': 500},
            {'json': {}},
            {'exc': requests.exceptions.ReadTimeout},
        ):
            nova = self.versions(answer)
            text = self.refused(nova.at, NEW)
            self.assertIn('"compute" does not tell its versions', text)
            self.assertEqual(3, self.sleep.call_count)

    def test_service_that_tells_its_versions_later(self):
        told = self.document(min_version='2.1', max_version='2.50')
        nova = self.versions({'status_code': 503}, told)
        self.assertEqual((2, 50), nova.at(NEW))
        self.assertEqual([mock.call(0.5)], self.sleep.mock_calls)

    def test_service_that_does_not_answer(self):
        for url in (cinder.AUTH, cinder.AUTH + '/auth/tokens'):
            self.http.register_uri(
                requests_mock.ANY, url, exc=requests.exceptions.ConnectTimeout
            )
        self.sdk.session.invalidate()
        self.refused(lambda: self.nova.maximum, kind=exceptions.AccessError)

    def test_header_says_which_version(self):
        self.http.get(URL + '/x', json={'a': 1})
        self.assertEqual(1, self.nova.value('/x', 'a', (2, 53), b=2))
        headers = self.http.last_request.headers
        self.assertEqual('compute 2.53', headers['OpenStack-API-Version'])
        self.assertEqual('b=2', self.http.last_request.query)
        self.nova.value('/x', 'a', (0, 0))
        headers = self.http.last_request.headers
        self.assertNotIn('OpenStack-API-Version', headers)

    def test_answer_without_what_was_asked_for(self):
        self.http.get(URL + '/x', json={'b': 1})
        text = self.refused(self.nova.value, '/x', 'a')
        self.assertIn('not what the API documents', text)

    def test_what_may_be_absent(self):
        self.http.get(URL + '/x', status_code=404)
        self.assertIsNone(self.nova.maybe('/x'))
        self.http.get(URL + '/x', status_code=403)
        self.assertIsNone(self.nova.maybe('/x', absent=(403, 404)))
        self.refused(self.nova.maybe, '/x')

    def test_post_is_sent_once(self):
        self.http.post(URL + '/x', headers={'x-openstack-request-id': 'req-1'})
        self.assertEqual('req-1', self.nova.post('/x', {'a': 1}))
        self.http.post(URL + '/x', status_code=503)
        before = self.http.call_count
        self.refused(self.nova.post, '/x', {})
        self.assertEqual(before + 1, self.http.call_count)

    def test_post_of_which_there_were_too_many(self):
        """Nothing was done then, and the service says when to come again."""
        sent = {'headers': {'x-openstack-request-id': 'req-1'}}
        sleep = self.useFixture(fixtures.MockPatch('time.sleep')).mock
        for status in (413, 429):
            wait = {'status_code': status, 'headers': {'Retry-After': '7'}}
            self.http.post(URL + '/x', [wait, sent])
            sleep.reset_mock()
            self.assertEqual('req-1', self.nova.post('/x', {}))
            sleep.assert_called_once_with(7.0)

    def listed(self, *pages, **kwargs):
        self.http.get(URL + '/x', [{'json': page} for page in pages])
        return list(self.nova.listed('/x', 'xs', NEW, **kwargs))

    def test_pages_by_another_marker(self):
        more = {'xs_links': [{'rel': 'next'}]}
        first, second, last = ({'id': n, 'uuid': f'u{n}'} for n in range(3))
        found = self.listed(
            {'xs': [first, second], **more}, {'xs': [last]}, marker='uuid'
        )
        self.assertEqual([first, second, last], found)
        query = self.http.last_request.qs
        self.assertEqual((['u1'], ['1000']), (query['marker'], query['limit']))

    def test_pages_end(self):
        more = {'xs_links': [{'rel': 'next'}]}
        first = {'xs': [{'id': 'a'}, {'id': 'b'}], **more}
        self.assertEqual(1, len(self.listed(first, most=1)))
        self.assertEqual(2, len(self.listed(first, {'xs': [], **more})))
        before = {'xs_links': [{'rel': 'previous'}, 'next']}
        last = {'xs': [{'id': 'c'}], **before}
        self.assertEqual(3, len(self.listed(first, last, {'xs': 'text'})))

    def test_pages_that_are_odd(self):
        self.refused(self.listed, {'xs': 'text'})
        self.refused(self.listed, {'xs': ['text']})

    def test_tried(self):
        """The body is not read, whatever it is."""
        self.http.get(URL + '/x', status_code=418, text='secret')
        self.assertEqual(
            {'status': 418, 'url': URL + '/x'}, self.nova.tried('/x')
        )
        self.http.get(URL + '/x', exc=requests.exceptions.ReadTimeout)
        self.refused(self.nova.tried, '/x', kind=exceptions.AccessError)


class TestSettings(ServiceTest):
    def with_settings(self, **osc_lab):
        self.cloud.settings(**osc_lab)
        return self.connect()

    def test_time_to_answer(self):
        sdk = self.with_settings(api_timeout='7.5')
        self.assertEqual(7.5, settings.api_timeout(sdk))
        for bad in ('soon', -1, 0, 3601, [1]):
            text = self.refused(
                settings.api_timeout,
                self.with_settings(api_timeout=bad),
                kind=exceptions.InvalidInput,
            )
            self.assertIn('between 0 and 3600', text)

    def test_host_with_a_hyphen(self):
        """The SDK changes the keys of clouds.yaml."""
        name = 'cmp-1.my-cloud'
        found = settings.cloud(
            self.with_settings(
                ovsdb='tcp:{host_ip}:6640',
                host_addresses={name: '192.0.2.8', 'cmp': 'no'},
                config_files={name: ['/a', '/b'], 'cmp': ['no']},
            )
        )
        reach = channels.resolve(argparse.Namespace(), {}, found)
        self.assertEqual('tcp:192.0.2.8:6640', reach.host(name).ovsdb)
        shell = hosts.Hosts(reach, settings.config_files(found)).shell_of(
            channels.Host(name, name, 'local')
        )
        self.assertEqual(['/a', '/b'], shell.configuration()['files'])

    def test_no_mapping(self):
        sdk = self.connect()
        sdk.config.config['osc_lab'] = ['x']
        text = self.refused(settings.cloud, sdk, kind=exceptions.InvalidInput)
        self.assertIn('not a mapping', text)
        sdk.config.config['osc_lab'] = None
        self.assertEqual({}, settings.cloud(sdk))


class TestIdentity(ServiceTest):
    URL = 'http://keystone.test/v3/projects'

    def project(self, name, *named, every=(), missing=404):
        """Look in a Keystone that lists but what is asked for by name."""

        def listed(request, context):
            self.assertIn('name', request.qs)
            found = [{'id': item} for item in named]
            return {'projects': found, 'truncated': True}

        def one(request, context):
            wanted = urllib.parse.unquote(request.path.rpartition('/')[2])
            for item in every:
                # So do some databases.
                if item.casefold() == wanted.casefold():
                    return {'project': {'id': item}}
            context.status_code = missing
            return {'error': {'message': 'no', 'code': missing}}

        self.http.get(self.URL, json=listed)
        self.http.get(re.compile(f'^{self.URL}/.'), json=one)
        return identity.project_id(self.sdk, name)

    def test_name_or_id(self):
        self.assertEqual('p2', self.project('two', 'p2'))
        self.assertEqual('p3', self.project('p3', every=('p2', 'p3')))
        self.assertEqual('a/b', self.project('a/b', every=('a/b',)))
        self.assertEqual('p2', self.project('two', 'p2', missing=403))
        # The name of one is the id of another one.
        self.assertEqual('p3', self.project('p3', 'p2', every=('p3',)))
        self.assertEqual('p2', self.project('P3', 'p2', every=('p3',)))

    def in_domain(self, domain, *named, forbidden=0):
        """Look for "two" in a Keystone with the domain "d1" alone."""

        def projects(request, context):
            asked.append(request.qs)
            return {'projects': [{'id': 'p2'}]}

        def domains(request, context):
            context.status_code = forbidden or 200
            one = request.path.rpartition('/')[2]
            if one == 'd1':
                return {'domain': {'id': 'd1'}}
            if one != 'domains':
                context.status_code = forbidden or 404
            return {'domains': [{'id': item} for item in named]}

        asked = []
        self.http.get(re.compile(f'^{self.URL}/.'), status_code=404)
        self.http.get(self.URL, json=projects)
        self.http.get(re.compile('/v3/domains'), json=domains)
        self.assertEqual('p2', identity.project_id(self.sdk, 'two', domain))
        (found,) = asked
        return found

    def test_domain_of_a_project(self):
        wanted = {'name': ['two'], 'domain_id': ['d1']}
        self.assertEqual(wanted, self.in_domain('d1'))
        self.assertEqual(wanted, self.in_domain('blue', 'd1'))
        # Who may see no domain can have the id of one.
        self.assertEqual(wanted, self.in_domain('d1', forbidden=403))
        wanted['domain_id'] = ['blue']
        self.assertEqual(wanted, self.in_domain('blue', forbidden=403))

    def test_domain_that_is_not_there(self):
        text = self.refused(self.in_domain, 'blue', kind=exceptions.NotFound)
        self.assertIn('--project-domain: there is no domain "blue"', text)
        self.refused(
            *(self.in_domain, 'blue'),
            forbidden=500,
            kind=exceptions.ServiceError,
        )

    def test_answer_that_is_no_project(self):
        """To a client ".." is another path."""
        for body in ({'projects': []}, {'project': None}):
            self.http.get(re.compile(f'^{self.URL}/x'), json=body)
            self.http.get(self.URL, json={'projects': [{'id': 'p2'}]})
            self.assertEqual('p2', identity.project_id(self.sdk, 'x'))

    def test_keystone_that_fails(self):
        self.refused(
            self.project, 'x', missing=500, kind=exceptions.ServiceError
        )

    def test_none_or_several(self):
        for named in ((), ('p2', 'p3')):
            text = self.refused(
                self.project, 'x', *named, kind=exceptions.NotFound
            )
            self.assertIn(f'there are {len(named)} projects', text)

    def test_caller_that_cannot_log_in(self):
        self.http.post(cinder.AUTH + '/auth/tokens', status_code=401)
        self.refused(
            caller.of, self.connect().session, kind=exceptions.AccessError
        )


class TestExplain(testtools.TestCase):
    """Each family of errors says what to do, on one line."""

    def test_log_in(self):
        for error, text in (
            (ksa.Unauthorized(), 'refused the user name or the password'),
            (ksa.ConnectFailure('a\nb'), 'Keystone does not answer: a.'),
            (ksa.DiscoveryFailure(), 'Check auth_url'),
            (sdk_errors.ConfigException('no cloud x'), 'no cloud x'),
            (ksa.MissingRequiredOptions([]), '--os-cloud'),
            (osc.CommandError('no auth'), 'Not enough to log in with'),
            (KeyError('x'), "Unexpected KeyError: 'x'"),
        ):
            found = cloud.explain_login(error)
            self.assertIn(text, str(found))
            self.assertNotIn('\n', str(found))

    def test_requests(self):
        for error, text in (
            (ksa.EndpointNotFound('x'), 'does not offer this service: x'),
            (ksa.Unauthorized('x'), 'The token was refused: x'),
            (ksa.ConnectTimeout('x'), 'A service does not answer: x'),
            (
                sdk_errors.ForbiddenException('x', http_status=403),
                'The cloud refused: x',
            ),
            (
                sdk_errors.HttpException('x', http_status=500),
                'The cloud answered 500: x',
            ),
            (sdk_errors.SDKException('x'), 'x. See with --debug'),
            (ValueError(), 'Unexpected ValueError: ValueError'),
            (
                ksa.Unauthorized('no (Request-ID: req-1)'),
                'was refused: no (HTTP 401). Log in',
            ),
        ):
            self.assertIn(text, str(cloud.explain(error)))

    def test_no_whole_pages(self):
        """Nor does it take long to look at one."""
        self.useFixture(fixtures.Timeout(10, gentle=True))
        for text in ('x' * 300000, ' ' * 300000 + 'x', '<p>\n' * 100000):
            for error in (
                sdk_errors.HttpException(text, http_status=502),
                sdk_errors.ForbiddenException(text, http_status=403),
                ksa.ConnectFailure(text),
                ValueError(text),
            ):
                self.assertLess(len(str(cloud.explain(error))), 1500)

    def test_our_own_stay(self):
        error = exceptions.NotFound('x')
        self.assertIs(error, cloud.explain(error))
