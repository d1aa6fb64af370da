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

"""Secrets that nobody could guess, and a look for them everywhere.

A watch plants them where secrets come in, spoils answers so that they
repeat what they were sent, and afterwards looks at all that went out:
output, logs, errors, the processes that were started, and files.
"""

import base64
import json
import logging
import os
import pathlib
import re
import secrets
import stat
import subprocess
import urllib.parse

import fixtures
import requests
import requests_mock

#: What the stock shell logs before any command of a plugin runs; it shows
#: the command line and clouds.yaml, but for what is called a password.
SHELL_LINES = re.compile(
    r'START with options: |options: Namespace\(|auth_config_hook\(\): '
    r'|cloud cfg: '
)

FAULTS = ('refused', 'timeout', 401, 403, 500, 'not-json', 'plain-text')

#: Runs a program, and tells what it is asked and what surrounds it.
STAND_IN = """#!/bin/sh
{{ tr '\\0' '\\n' </proc/$$/cmdline; tr '\\0' '\\n' </proc/$$/environ; }} \\
    >>{record}
exec {program} "$@"
"""


class Canaries:
    """The secrets by name.

    :ivar values: name -> secret
    """

    def __init__(self):
        self.values = {}

    def __getitem__(self, name):
        """Return the secret of a name, made when it is asked for."""
        if name not in self.values:
            self.values[name] = f'canary-{name}-{secrets.token_hex(12)}'
        return self.values[name]

    def key(self, name, size=64):
        """Return a secret that is a key in hexadecimal."""
        self.values[name] = secrets.token_hex(size // 2)
        return self.values[name]

    def found(self, text):
        """Return the names of the secrets that are in a text."""
        if isinstance(text, bytes):
            text = text.decode('utf-8', 'replace')
        text = text.lower()
        return {
            name
            for name, value in self.values.items()
            if any(form.lower() in text for form in _forms(value))
        }


def _forms(value):
    """Yield how a secret can look; a part of it is enough."""
    part = value[-20:]
    yield part
    yield part.encode().hex()
    for lost in range(3):
        # Wherever it stands in what was encoded.
        coded = base64.b64encode(b'x' * lost + part.encode()).decode()
        yield coded[4:-4]
        yield coded[4:-4].replace('+', '-').replace('/', '_')


class Watch(fixtures.Fixture):
    """Plants secrets for a cloud of tests, and looks where they went.

    :ivar fault: one of FAULTS, or None
    :ivar first: number of the request (from 1) that meets it first
    :ivar keystone: what log-ins meet: one of FAULTS, or None
    :ivar echoed: secrets that services repeat with what they are sent
    :ivar count: requests to services so far
    """

    def __init__(self, canaries):
        self.canaries = canaries
        self.fault, self.first, self.count = None, 1, 0
        self.keystone = None
        self.echoed = ('token', 'OS_PASSWORD')
        self.errors, self.children = [], []

    def _setUp(self):
        self.home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for name in ('HOME', 'TMPDIR'):
            self.useFixture(fixtures.EnvironmentVariable(name, str(self.home)))
        self.useFixture(fixtures.MonkeyPatch('tempfile.tempdir', None))
        self._login()
        send = requests_mock.Adapter.send
        self.useFixture(
            fixtures.MonkeyPatch(
                'requests_mock.Adapter.send',
                lambda adapter, request, **kwargs: self._send(
                    lambda: send(adapter, request, **kwargs), request
                ),
            )
        )
        start = subprocess.Popen.__init__

        def popen(process, args, *rest, **kwargs):
            self.children.append((args, kwargs.get('env') or os.environ))
            start(process, args, *rest, **kwargs)

        self.useFixture(
            fixtures.MonkeyPatch('subprocess.Popen.__init__', popen)
        )
        handler = _Errors(self.errors)
        logging.getLogger().addHandler(handler)
        self.addCleanup(logging.getLogger().removeHandler, handler)

    def _login(self):
        """Put secrets into clouds.yaml, secure.yaml and the environment."""
        path = pathlib.Path(os.environ['OS_CLIENT_CONFIG_FILE'])
        clouds = json.loads(path.read_text())
        cloud = clouds['clouds']['test']
        cloud['auth']['password'] = self.canaries['clouds-yaml']
        cloud['auth']['auth_url'] = self._with_password(
            cloud['auth']['auth_url']
        )
        path.write_text(json.dumps(clouds))
        secure = {'auth': {'password': self.canaries['secure-yaml']}}
        (path.parent / 'secure.yaml').write_text(
            json.dumps({'clouds': {'test': secure}})
        )
        for name, value in (
            ('OS_CLIENT_SECURE_FILE', str(path.parent / 'secure.yaml')),
            ('OS_PASSWORD', self.canaries['OS_PASSWORD']),
        ):
            self.useFixture(fixtures.EnvironmentVariable(name, value))

    def _with_password(self, url):
        scheme, _sep, rest = url.partition('://')
        return f'{scheme}://user:{self.canaries["auth-url"]}@{rest}'

    # -- answers

    def _send(self, send, request):
        parts = urllib.parse.urlsplit(request.url)
        request.url = parts._replace(
            netloc=parts.netloc.rpartition('@')[2]
        ).geturl()
        if parts.path.endswith('/auth/tokens'):
            if self.keystone:
                answer = self._spoiled(request, self.keystone)
            else:
                answer = send()
            answer.headers['X-Subject-Token'] = self.canaries['token']
        elif 'keystone' in parts.netloc or parts.path.strip('/') == '':
            answer = send()
        else:
            self.count += 1
            spoiled = self.fault and self.count >= self.first
            answer = self._spoiled(request, self.fault) if spoiled else send()
        # Bodies of this type are logged.
        answer.headers.setdefault('Content-Type', 'application/json')
        answer.headers['Set-Cookie'] = (
            f'session={self.canaries["cookie"]}; HttpOnly; Path=/'
        )
        return answer

    def _spoiled(self, request, fault):
        if fault == 'refused':
            raise requests.exceptions.ConnectionError(
                f'{request.url}: {request.headers}'
            )
        if fault == 'timeout':
            raise requests.exceptions.ReadTimeout(f'{request.headers}')
        said = [self.canaries[name] for name in self.echoed]
        # The client sends back the cookies that it gets.
        headers = {**request.headers, 'Cookie': self.canaries['cookie']}
        text = f'{headers}; {json.dumps(headers)}; {said}; {request.body}'
        if isinstance(fault, int):
            return requests_mock.create_response(
                request,
                status_code=fault,
                json={'error': {'message': text, 'code': fault}},
                headers={
                    'Content-Type': 'application/json',
                    'Retry-After': '0',
                },
            )
        kind = 'text/html' if fault == 'not-json' else 'text/plain'
        return requests_mock.create_response(
            request, text=text, headers={'Content-Type': kind}
        )

    # -- what went out

    def leaks(self, *texts, allowed=()):
        """Return where secrets are that should not be there.

        :param texts: output; lines of the shell itself may show those of
            ``allowed``
        """
        found = set()
        for text in texts:
            for line in text.splitlines():
                names = self.canaries.found(line)
                if SHELL_LINES.search(line):
                    names -= set(allowed)
                found |= {(name, 'output', line[:300]) for name in names}
        for error in self.errors:
            for said in (str(error), repr(error), repr(error.args)):
                found |= {
                    (name, 'error', said) for name in self.canaries.found(said)
                }
        for argv, environ in self.children:
            told = json.dumps([argv, dict(environ)], default=str)
            found |= {
                (name, 'process', str(argv)[:300])
                for name in self.canaries.found(told)
            }
        return found | self._in_files()

    def _in_files(self):
        found = set()
        for path in self.home.rglob('*'):
            if path.is_file():
                found |= {
                    (name, 'file', f'{path} {stat.filemode(mode)}')
                    for name in self.canaries.found(path.read_bytes())
                    if (mode := path.stat().st_mode)
                }
        return found


class _Errors(logging.Handler):
    """Keeps the errors of this package that reach the top."""

    def __init__(self, errors):
        super().__init__(logging.DEBUG)
        self._kept = errors

    def emit(self, record):
        error = record.exc_info[1] if record.exc_info else None
        while error is not None:
            if type(error).__module__.startswith('osc_lab'):
                self._kept.append(error)
            error = error.__cause__ or error.__context__
