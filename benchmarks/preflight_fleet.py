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

"""Preflight a whole fleet: requests, wall time and memory.

A fake API answers each request after 10 ms; a libvirtd of our own, with
its test driver on loopback, stands for every host, and a socket that
accepts and never answers for a dead one.  Prints one line a case and fails
when a bar is missed:

    python -m benchmarks.preflight_fleet
"""

import http.server
import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from osc_lab.tests.unit import fake_cloud

DELAY = 0.01
DEADLINE = 5.0
#: The guest of libvirt's test driver.
GUEST = '6695eb01-f6a4-8304-79aa-97f2502e193f'

#: hosts, share of dead ones, most seconds beyond start-up
CASES = (
    (50, 0.0, 0.6),
    (200, 0.0, 2.0),
    (1000, 0.05, DEADLINE + 10.0),
)
MOST_REQUESTS = 15
MOST_MEMORY_MIB = 300


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = 1024 * 1024

    def answer(self):
        time.sleep(DELAY)
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

    def route(self, name, path, query, body):
        cloud, url = self.server.cloud, self.server.url
        if not name:
            return 404, {}, {}
        if name == 'identity':
            if path.endswith('/tokens'):
                token = fake_cloud.token(cloud, lambda item: f'{url}/{item}')
                return 201, token, {'X-Subject-Token': 't'}
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

    def log_message(self, *args):
        pass


def serve(cloud):
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    server.cloud, server.count = cloud, 0
    server.url = f'http://127.0.0.1:{server.server_address[1]}'
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def libvirtd(folder, port):
    """Start a libvirtd for the test driver, on loopback alone."""
    path = pathlib.Path(folder, 'libvirtd.conf')
    path.write_text(
        f'listen_tls = 0\nlisten_tcp = 1\ntcp_port = "{port}"\n'
        'listen_addr = "127.0.0.1"\nauth_tcp = "none"\n'
        f'unix_sock_dir = "{folder}"\nauth_unix_ro = "none"\n'
        'auth_unix_rw = "none"\nmax_clients = 4000\n'
        'max_queued_clients = 4000\nmax_workers = 20\n'
    )
    process = subprocess.Popen(
        [
            shutil.which('libvirtd', path='/usr/sbin:/usr/bin'),
            *('--listen', '-f', str(path)),
            *('-p', str(pathlib.Path(folder, 'pid'))),
        ],
        env={
            **os.environ,
            'XDG_RUNTIME_DIR': folder,
            'XDG_CONFIG_HOME': folder,
            'XDG_CACHE_HOME': folder,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _attempt in range(100):
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            return process
        except OSError:
            time.sleep(0.1)
    process.terminate()
    raise SystemExit('libvirtd does not listen')


def case(folder, port, hosts, dead, limit):
    cloud = fake_cloud.Cloud(hosts)
    cloud.server['id'] = fake_cloud.SERVER = GUEST
    count = int(hosts * dead)
    for index, item in enumerate(cloud.hypervisors):
        item['host_ip'] = (
            '127.0.0.2' if index >= hosts - count else ('127.0.0.1')
        )
    server = serve(cloud)
    clouds = pathlib.Path(folder, 'clouds.yaml')
    entry = {
        'auth': {
            'auth_url': f'{server.url}/identity/v3',
            'username': 'u',
            'password': 'p',
            'project_name': 'p',
            'user_domain_id': 'default',
            'project_domain_id': 'default',
        },
        'region_name': 'R',
        'osc_lab': {'libvirt_uri': f'test+tcp://{{host_ip}}:{port}/default'},
    }
    clouds.write_text(json.dumps({'clouds': {'fleet': entry}}))
    env = {
        **os.environ,
        'OS_CLIENT_CONFIG_FILE': str(clouds),
        'OS_CLOUD': 'fleet',
    }
    argv = [sys.executable, '-m', 'openstackclient.shell']
    argv += ['server', 'migrate', 'live']
    base = min(timed([*argv, '--list-checks'], env)[0] for _i in range(3))
    wall, memory, output = timed(
        [*argv, GUEST, '--preflight', '-f', 'json'], env
    )
    rows = [r for r in json.loads(output) if r['Check'] == 'candidate']
    pages = hosts // 1000
    beyond = wall - base
    good = (
        beyond <= limit
        and server.count <= MOST_REQUESTS + pages
        and memory <= MOST_MEMORY_MIB
        and len(rows) == hosts - 1
    )
    print(
        f'{hosts} hosts, {count} dead: {server.count} requests, '
        f'{beyond:.2f} s beyond the start-up of {base:.2f} s (bar {limit} s), '
        f'{memory:.0f} MiB, {len(rows)} ranked: {"ok" if good else "MISSED"}',
        flush=True,
    )
    server.shutdown()
    return good


def timed(argv, env):
    """Return (seconds, MiB, standard output) of a program."""
    code = (
        'import resource, runpy, sys\n'
        'sys.argv = sys.argv[1:]\n'
        'try:\n'
        '    runpy.run_module("openstackclient.shell", run_name="__main__")\n'
        'finally:\n'
        '    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,'
        ' file=sys.stderr)\n'
    )
    started = time.monotonic()
    done = subprocess.run(
        [argv[0], '-c', code, 'openstack', *argv[3:]],
        env=env,
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - started
    if 'Traceback' in done.stderr or not done.stdout:
        raise SystemExit(done.stderr)
    return seconds, int(done.stderr.split()[-1]) / 1024, done.stdout


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as hole:
        hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hole.bind(('127.0.0.2', port))
        hole.listen(1000)
        daemon = libvirtd(folder, port)
        try:
            results = [case(folder, port, *item) for item in CASES]
        finally:
            daemon.terminate()
            daemon.wait()
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())
