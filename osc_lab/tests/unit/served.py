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

"""A simulated cloud on loopback, and the real shell that asks it."""

import contextlib
import dataclasses
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import typing
import urllib.parse

from osc_lab.tests.unit import fake_cloud

#: Runs the shell and says last on standard error what memory it took.
SHELL = """
import resource, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module('openstackclient.shell', run_name='__main__')
finally:
    print(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr
    )
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    # Headers and body in one segment: two would cost 40 ms each time.
    wbufsize = 1024 * 1024
    server: 'Server'

    def answer(self) -> None:
        time.sleep(self.server.delay)
        self.server.count += 1
        length = int(self.headers.get('Content-Length') or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        parts = urllib.parse.urlsplit(self.path)
        name, _slash, path = parts.path.strip('/').partition('/')
        status, found, headers = self.route(
            name, '/' + path, dict(urllib.parse.parse_qsl(parts.query)), body
        )
        data = json.dumps(found).encode()
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer

    def route(
        self, name: str, path: str, query: dict[str, str], body: typing.Any
    ) -> tuple[int, typing.Any, dict[str, str]]:
        cloud, url = self.server.cloud, self.server.url
        if not name:
            return 404, {}, {}
        if name == 'identity':
            if path.endswith('/tokens'):
                token = fake_cloud.token(cloud, lambda item: f'{url}/{item}')
                return 201, token, {'X-Subject-Token': self.server.token}
            version = {
                'id': 'v3.14',
                'status': 'stable',
                'links': [{'rel': 'self', 'href': f'{url}/identity/v3'}],
            }
            return 200, {'version': version}, {}
        rest = path.removeprefix(fake_cloud.PREFIX[name])
        if rest in ('', '/'):
            return 200, fake_cloud.discovery(name, f'{url}/{name}'), {}
        return cloud.answer(name, self.command, rest, query, body)

    def log_message(self, *args: typing.Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """Answers for a cloud, each time after a while.

    :param delay: seconds
    :ivar count: the requests so far
    """

    daemon_threads = True
    token = 't'

    def __init__(self, cloud: fake_cloud.Cloud, delay: float) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.cloud, self.delay, self.count = cloud, delay, 0
        self.url = f'http://127.0.0.1:{self.server_address[1]}'


@contextlib.contextmanager
def serve(
    cloud: fake_cloud.Cloud, delay: float = 0.0
) -> typing.Iterator[Server]:
    server = Server(cloud, delay)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclasses.dataclass(frozen=True)
class Run:
    """One call of the shell: seconds, MiB, standard output, exit status."""

    seconds: float
    memory: float
    output: str
    status: int


class Shell:
    """The openstack shell in processes of its own.

    :param access: the mapping osc_lab of the cloud
    """

    def __init__(
        self, folder: str, url: str, access: dict[str, typing.Any]
    ) -> None:
        path = pathlib.Path(folder, 'clouds.yaml')
        auth = {
            'auth_url': f'{url}/identity/v3',
            'username': 'u',
            'password': 'p',
            'project_name': 'p',
            'user_domain_id': 'default',
            'project_domain_id': 'default',
        }
        entry = {'auth': auth, 'region_name': 'R', 'osc_lab': access}
        path.write_text(json.dumps({'clouds': {'bench': entry}}))
        self._env = {
            **os.environ,
            'OS_CLIENT_CONFIG_FILE': str(path),
            'OS_CLOUD': 'bench',
        }

    def run(self, *argv: str) -> Run:
        """Run a command.

        :raises SystemExit: it ends in a traceback, or says nothing
        """
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, '-c', SHELL, 'openstack', *argv],
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        seconds = time.monotonic() - began
        if 'Traceback' in done.stderr or not done.stdout:
            raise SystemExit(done.stderr)
        memory = int(done.stderr.split()[-1]) / 1024
        return Run(seconds, memory, done.stdout, done.returncode)

    def start(self, *argv: str, rounds: int = 3) -> float:
        """Return the shortest time of a command that asks nobody."""
        return min(self.run(*argv).seconds for _round in range(rounds))
