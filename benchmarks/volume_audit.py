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

"""Measure ``openstack volume encryption audit`` on many volumes, and on none.

A simulated Keystone and Cinder on loopback; the real shell in a process
of its own.

    python -m benchmarks.volume_audit
"""

import argparse
import collections.abc
import contextlib
import http.server
import json
import re
import sys
import tempfile
import threading
import typing
import urllib.parse

from benchmarks import results
from osc_lab.tests.unit import fake_cloud
from osc_lab.tests.unit import served

VOLUMES = (1_000, 10_000, 100_000)

#: MiB of resident memory that the shell may take.
MEMORY_MIB = 300

#: Requests beside the pages of volumes.
REQUESTS = 10

#: What Cinder gives at most in one answer (osapi_max_limit).
PAGE = 1000

#: The command, and a stock one that does little but start and ask once.
AUDIT = (
    *('volume', 'encryption', 'audit', '--all-projects'),
    *('-f', 'json'),
)
STOCK = ('keypair', 'list', '-f', 'json')

#: How many times as long as that it may take when there is nothing to audit,
#: and how often both run.
STOCK_TIMES, ROUNDS = 1.05, 15

GOOD = {
    'encryption_id': 'e',
    'provider': 'luks',
    'cipher': 'aes-xts-plain64',
    'key_size': 256,
    'control_location': 'front-end',
}


class Cloud(http.server.ThreadingHTTPServer):
    """Answers like Keystone and Cinder, and like Nova without key pairs.

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
    # Headers and body in one segment: two would cost 40 ms each time.
    wbufsize = 1024 * 1024

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
            for kind, path in (
                ('identity', 'identity/v3'),
                ('block-storage', 'c/v3'),
                ('compute', 'n/v2.1'),
            )
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
        if re.fullmatch('/identity/v3/?', path):
            link = [{'rel': 'self', 'href': f'{root}/identity/v3/'}]
            return {
                'version': {'id': 'v3.14', 'status': 'stable', 'links': link}
            }
        if re.fullmatch('/n/v2.1/?', path):
            return fake_cloud.discovery('compute', f'{root}/n')
        if path == '/n/v2.1/os-keypairs':
            return {'keypairs': []}
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


@contextlib.contextmanager
def serve(cloud: Cloud) -> typing.Iterator[Cloud]:
    thread = threading.Thread(target=cloud.serve_forever, daemon=True)
    thread.start()
    try:
        yield cloud
    finally:
        cloud.shutdown()
        cloud.server_close()
        thread.join()


def share(folder: str) -> float:
    """Return how many times as long as a stock command an audit takes.

    Of an empty cloud, so that little is left but the start; the shortest of
    both, for what else a machine does makes none shorter.
    """
    with serve(Cloud(0)) as cloud:
        shell = served.Shell(folder, cloud.url, {})
        times: dict[tuple[str, ...], list[float]] = {}
        for _round in range(ROUNDS):
            for line in (STOCK, AUDIT):
                run = shell.run(*line)
                if run.status:
                    raise SystemExit(f'{line} ended with {run.status}')
                times.setdefault(line, []).append(run.seconds)
        return min(times[AUDIT]) / min(times[STOCK])


def measure(
    _args: argparse.Namespace,
) -> collections.abc.Iterator[results.Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield results.Row(
            '0 volumes',
            'times the time of openstack keypair list',
            share(folder),
            STOCK_TIMES,
        )
        for volumes in VOLUMES:
            yield from rows(folder, volumes)


def rows(folder: str, volumes: int) -> collections.abc.Iterator[results.Row]:
    with serve(Cloud(volumes)) as cloud:
        run = served.Shell(folder, cloud.url, {}).run(*AUDIT)
    findings = json.loads(run.output)
    name = f'{volumes:,} volumes'
    pages = sum('/volumes/detail' in item for item in cloud.requests)
    planted, needed = -(-volumes // 1000), -(-volumes // PAGE)
    yield results.Row(
        name, 'planted defects found', len(findings), planted, planted
    )
    yield results.Row(name, 'exit status', run.status, 3, 3)
    yield results.Row(name, 'pages of volumes', pages, needed, needed)
    yield results.Row(
        name, 'other requests', len(cloud.requests) - pages, REQUESTS
    )
    yield results.Row(name, 'memory, MiB', run.memory, MEMORY_MIB)
    yield results.Row(name, 'seconds, with the start', run.seconds)


if __name__ == '__main__':
    sys.exit(results.main(measure, __doc__))
