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

"""No secret of a real cloud comes out of the real shell.

Its processes are watched in /proc, and programs stand in for those that
it starts and tell what they were given.
"""

import base64
import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

import fixtures
from lab.services import cinder

from osc_lab.tests.functional import base
from osc_lab.tests.functional import volumes
from osc_lab.tests.unit import canary

KEY = ('volume', 'encryption', 'key')

#: A token of Keystone; the lab has Fernet tokens.
TOKEN = re.compile(r'gAAAA[\w-]{60,}')

#: Runs on this machine what OpenSSH would run on a host.
SSH = '#!/bin/sh\nfor command; do :; done\nexec sh -c "$command"\n'


class Processes:
    """What /proc shows of all processes below one, as often as it can."""

    def __init__(self, root):
        self.seen = {}
        self._root = root
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        self._over.set()
        self._thread.join()

    def _run(self):
        while not self._over.is_set():
            parents = {}
            for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
                with contextlib.suppress(OSError):
                    fields = path.read_text().rpartition(')')[2].split()
                    parents[int(path.parent.name)] = int(fields[1])
            for pid in parents:
                above = parents.get(pid)
                while above and above != self._root:
                    above = parents.get(above)
                if above:
                    self._keep(pathlib.Path('/proc', str(pid)))

    def _keep(self, path):
        with contextlib.suppress(OSError):
            told = (path / 'cmdline').read_bytes()
            # Until exec() it is a copy of the shell, and has its variables.
            if b'openstackclient' not in told:
                told += (path / 'environ').read_bytes()
                self.seen[path.name, told] = told.decode('utf-8', 'replace')


class Payloads:
    """Learns the keys that Barbican has meanwhile, as soon as it has."""

    def __init__(self, sdk, canaries):
        self._sdk, self._canaries = sdk, canaries
        self.count = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        self._over.set()
        self._thread.join()

    def _run(self):
        known = set()
        while not self._over.wait(0.02):
            body = self._sdk.key_manager.get('/secrets?limit=100').json()
            for item in body['secrets']:
                secret = item['secret_ref'].rpartition('/')[2]
                if secret in known:
                    continue
                answer = self._sdk.key_manager.get(
                    f'/secrets/{secret}/payload',
                    headers={'Accept': 'application/octet-stream'},
                )
                if answer.status_code == 200:
                    known.add(secret)
                    self._learn(secret, answer.content)

    def _learn(self, secret, payload):
        self.count += 1
        values = self._canaries.values
        values[f'key {secret}'] = payload.hex()
        values[f'coded {secret}'] = base64.b64encode(payload).decode()


class TestSecrets(volumes.VolumesTest):
    def setUp(self):
        super().setUp()
        self.canaries = canary.Canaries()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.record = self.folder / 'record'
        self.record.touch()
        self.home = self.folder / 'home'
        self.home.mkdir()
        (self.folder / 'bin').mkdir()
        for name in ('sh', 'ssh'):
            self.stand_in(name)
        words = dataclasses.asdict(self.context().passwords)
        for name, value in words.items():
            if isinstance(value, str):
                self.canaries.values[name] = value
        self.environ = {
            'PATH': f'{self.folder}/bin:{os.environ["PATH"]}',
            'HOME': str(self.home),
            'TMPDIR': str(self.home),
            'OS_PASSWORD': words['admin'],
            'OS_CLOUD': self.ADMIN,
        }

    def stand_in(self, name):
        program = shutil.which(name)
        if name == 'ssh':
            program = self.folder / 'on-this-machine'
            program.write_text(SSH)
            program.chmod(0o755)
        path = self.folder / 'bin' / name
        path.write_text(
            canary.STAND_IN.format(record=self.record, program=program)
        )
        path.chmod(0o755)

    def look(self, *argv, status=0, allowed=(), **environ):
        """Run a command and insist that nothing comes out."""
        log = self.home / 'log'
        with subprocess.Popen(
            [
                *(sys.executable, '-m', 'openstackclient.shell'),
                *('--debug', '--log-file', str(log), *argv),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors='replace',
            env={**os.environ, **self.environ, **environ},
        ) as process:
            watch = Processes(process.pid)
            try:
                out, err = process.communicate(timeout=300)
            finally:
                watch.close()
        run = base.Run(argv, process.returncode, out, err)
        if status is not None:
            self.assertEqual(status, run.status, str(run)[-3000:])
        self.assertIn('END return value', log.read_text())
        self.assertEqual([], self.leaks(run, watch, allowed))
        return run

    def leaks(self, run, watch, allowed):
        found = []
        texts = {'stdout': run.stdout, 'stderr': run.stderr}
        texts['programs'] = self.record.read_text(errors='replace')
        texts['processes'] = '\n'.join(watch.seen.values())
        for path in self.home.rglob('*'):
            if path.is_file():
                texts[str(path)] = path.read_text(errors='replace')
                path.unlink()
        for place, text in texts.items():
            for line in text.splitlines():
                names = self.canaries.found(line)
                names |= set(TOKEN.findall(line))
                if canary.SHELL_LINES.search(line):
                    names -= set(allowed)
                found += [(place, name, line[:300]) for name in names]
        return found

    def barbican(self):
        """Return a context in which its keys are learned."""
        if not self.has_barbican():
            return contextlib.nullcontext()
        return contextlib.closing(Payloads(self.sdk, self.canaries))

    def test_preset(self):
        with self.barbican() as payloads:
            run = self.look(
                *(*volumes.LUKS, '--name', self.name, '--verify', 'api'),
                *('-f', 'json'),
            )
            limit = time.monotonic() + 10
            while payloads and not payloads.count:
                self.assertLess(time.monotonic(), limit, 'no key was seen')
                time.sleep(0.1)
        self.assertEqual(
            'barbican' if payloads else 'fixed-key', run.json()['key_manager']
        )
        self.look(*volumes.LUKS, '--name', self.name, '--dry-run')
        self.look('volume', 'encryption', 'audit', '--long', status=None)

    def test_faults(self):
        web, environ = self.proxy(api_timeout=2)
        for fault in ('reset-before', 'hang-after', 401, 403, 500, 'not-json'):
            web.log.clear()
            web.struck = False
            web.hang = 3
            web.faults = {2: fault}
            self.look(
                *(*volumes.LUKS, '--name', self.name, '--no-verify'),
                status=None,
                **environ,
            )
            self.assertTrue(web.struck, fault)
            web.faults = {}
            self.remove_types()

    def test_key_check(self):
        """The configuration of the real services is read."""
        # The stand-in looks here, where not all hosts are the same.
        run = self.look(*(*KEY, 'check', '--long', '-f', 'json'), status=None)
        self.assertTrue(run.json())
        _web, environ = self.proxy(local_hosts=[])
        self.look(
            *(*KEY, 'check', '--host', cinder.HOST, '--ssh', '{host}'),
            status=None,
            **environ,
        )
        told = self.record.read_text(errors='replace')
        self.assertIn('StrictHostKeyChecking=yes', told)

    def test_key_generate(self):
        folder = self.folder / 'keys'
        self.look(*KEY, 'generate', '--output', str(folder))
        text = (folder / 'nova-key-manager.conf').read_text()
        self.canaries.values['made'] = text.split()[-1]
        self.assertEqual(64, len(self.canaries['made']))
        self.look(*KEY, 'generate', '--output', str(folder), status=2)

    def test_log_in_that_is_refused(self):
        self.look(
            *(*volumes.LUKS, '--name', self.name),
            status=1,
            OS_PASSWORD=self.canaries['wrong'],
        )
        self.look(
            *(*volumes.LUKS, '--name', self.name),
            status=1,
            allowed=('wrong', 'url'),
            OS_AUTH_URL=f'http://u:{self.canaries["url"]}@127.0.0.1:1/v3',
        )
