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

"""Measure ``openstack volume encryption audit`` on many volumes.

A simulated Keystone and Cinder on loopback; the real shell in a process
of its own.

    python -m benchmarks.volume_audit
"""

import argparse
import collections.abc
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import typing
import urllib.parse

from benchmarks import results
from osc_lab.tests.unit import served

VOLUMES = (1_000, 10_000, 100_000)

#: MiB of resident memory that the shell may take.
MEMORY_MIB = 300

#: Requests beside the pages of volumes.
REQUESTS = 10

#: What Cinder gives at most in one answer (osapi_max_limit).
PAGE = 1000

GOOD = {
    'encryption_id': 'e',
    'provider': 'luks',
    'cipher': 'aes-xts-plain64',
    'key_size': 256,
    'control_location': 'front-end',
}


class Cloud(http.server.ThreadingHTTPServer):
    """Answers like Keystone and Cinder.

    :param volumes: how many there are; each thousandth is plain although
        its type encrypts
    """

    daemon_threads = True

    def __init__(self, volumes: int) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.volumes = volumes
        self.requests: list[str] = []
        self.url = f'http://127.0.0.1:{self.server_address[1]}'

    def volume(self, number: int) -> dict[str, typing.Any]:
        plain = number % 1000 == 0
        return {
            'id': f'00000000-0000-4000-8000-{number:012d}',
            'name': f'volume-{number}',
            'status': 'in-use',
            'size': 10,
            'volume_type': 'LUKS',
            'volume_type_id': 't1',
            'encrypted': not plain,
            'encryption_key_id': None if plain else f'key-{number}',
            'os-vol-tenant-attr:tenant_id': f'project-{number % 50}',
            'metadata': {},
            'attachments': [{'server_id': 's' * 36, 'device': '/dev/vda'}],
            'description': 'x' * 60,
            'created_at': '2026-01-01T00:00:00.000000',
        }


class Handler(http.server.BaseHTTPRequestHandler):
    server: Cloud
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args: typing.Any) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers['Content-Length']))
        catalog = [
            {
                'type': kind,
                'name': kind,
                'id': kind,
                'endpoints': [
                    {
                        'interface': 'public',
                        'region': 'R',
                        'region_id': 'R',
                        'url': f'{self.server.url}/{path}',
                        'id': kind,
                    }
                ],
            }
            for kind, path in (('identity', 'v3'), ('block-storage', 'c/v3'))
        ]
        body = {
            'token': {
                'methods': ['password'],
                'user': {
                    'id': 'u',
                    'name': 'u',
                    'domain': {'id': 'default', 'name': 'Default'},
                },
                'project': {
                    'id': 'p',
                    'name': 'p',
                    'domain': {'id': 'default', 'name': 'Default'},
                },
                'roles': [{'id': 'r', 'name': 'admin'}],
                'expires_at': '2099-01-01T00:00:00.000000Z',
                'issued_at': '2026-01-01T00:00:00.000000Z',
                'catalog': catalog,
            }
        }
        self._send(201, body, {'X-Subject-Token': 'x'})

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path.startswith('/c/v3/'):
            self.server.requests.append(self.path)
        self._send(200, self._answer(url.path, query))

    def _answer(self, path: str, query: dict[str, str]) -> typing.Any:
        root = self.server.url
        if re.fullmatch('/v3/?', path):
            link = [{'rel': 'self', 'href': f'{root}/v3/'}]
            return {
                'version': {'id': 'v3.14', 'status': 'stable', 'links': link}
            }
        if re.fullmatch('/c/v3/?', path):
            link = [{'rel': 'self', 'href': f'{root}/c/v3/'}]
            return {
                'versions': [
                    {
                        'id': 'v3.0',
                        'status': 'CURRENT',
                        'version': '3.71',
                        'min_version': '3.0',
                        'links': link,
                    }
                ]
            }
        if path == '/c/v3/types':
            return {
                'volume_types': [
                    {'id': 't1', 'name': 'LUKS', 'is_public': True}
                ]
            }
        if path == '/c/v3/types/t1/encryption':
            return GOOD
        if path == '/c/v3/types/default':
            return {'volume_type': {'id': 't1'}}
        if path == '/c/v3/volumes/detail':
            return self._volumes(query)
        return {'default_types': [], 'backups': []}

    def _volumes(self, query: dict[str, str]) -> typing.Any:
        limit = min(PAGE, int(query.get('limit', PAGE)))
        first = 0
        if 'marker' in query:
            first = int(query['marker'].rpartition('-')[2]) + 1
        last = min(first + limit, self.server.volumes)
        body: dict[str, typing.Any] = {
            'volumes': [self.server.volume(n) for n in range(first, last)]
        }
        if last < self.server.volumes:
            body['volumes_links'] = [{'rel': 'next', 'href': 'x'}]
        return body

    def _send(
        self,
        status: int,
        body: typing.Any,
        headers: dict[str, str] | None = None,
    ) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def run(cloud: Cloud) -> tuple[int, list[typing.Any], float, float]:
    """Return exit status, findings, seconds and MiB of one audit."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, 'clouds.yaml')
        auth = {
            'auth_url': f'{cloud.url}/v3',
            'username': 'u',
            'password': 'p',
            'project_name': 'p',
            'user_domain_id': 'default',
            'project_domain_id': 'default',
        }
        path.write_text(
            json.dumps({'clouds': {'b': {'auth': auth, 'region_name': 'R'}}})
        )
        began = time.monotonic()
        done = subprocess.run(
            [
                *(sys.executable, '-c', served.SHELL, 'openstack'),
                *('volume', 'encryption', 'audit', '--all-projects'),
                *('-f', 'json'),
            ],
            env={
                **os.environ,
                'OS_CLOUD': 'b',
                'OS_CLIENT_CONFIG_FILE': str(path),
            },
            capture_output=True,
            check=False,
        )
        return (
            done.returncode,
            json.loads(done.stdout),
            time.monotonic() - began,
            int(done.stderr.split()[-1]) / 1024,
        )


def measure(
    _args: argparse.Namespace,
) -> collections.abc.Iterator[results.Row]:
    for volumes in VOLUMES:
        cloud = Cloud(volumes)
        threading.Thread(target=cloud.serve_forever, daemon=True).start()
        try:
            status, findings, seconds, memory = run(cloud)
        finally:
            cloud.shutdown()
            cloud.server_close()
        name = f'{volumes:,} volumes'
        pages = sum('/volumes/detail' in item for item in cloud.requests)
        planted, needed = -(-volumes // 1000), -(-volumes // PAGE)
        yield results.Row(
            name, 'planted defects found', len(findings), planted, planted
        )
        yield results.Row(name, 'exit status', status, 3, 3)
        yield results.Row(name, 'pages of volumes', pages, needed, needed)
        yield results.Row(
            name, 'other requests', len(cloud.requests) - pages, REQUESTS
        )
        yield results.Row(name, 'memory, MiB', memory, MEMORY_MIB)
        yield results.Row(name, 'seconds, with the start', seconds)


if __name__ == '__main__':
    sys.exit(results.main(measure, __doc__))
