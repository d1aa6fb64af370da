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

"""What a command starts, and leaves on the disk, holds no secret."""

import json
import os
import re
import shutil
import subprocess
import sys

from osc_lab.tests.unit import canary
from osc_lab.tests.unit.commands import mirrors
from osc_lab.tests.unit.commands import secrecy
from osc_lab.tests.unit import served


class TestProcess(mirrors.MirrorTest):
    """The shell in a process, and programs that tell what they are given."""

    #: What is started here, or by the local shell of the last command.
    PROGRAMS = ('ssh', 'dot', 'wireshark', 'sh', 'python3', 'virsh')

    def setUp(self):
        super().setUp()
        self.canaries = canary.Canaries()
        self.server = self.enter(served.serve(self.cloud))
        self.server.token = self.canaries['token']
        self.home = self.folder / 'home'
        self.home.mkdir()
        self.record = self.folder / 'record'
        self.record.touch()
        (self.folder / 'told').mkdir()
        drain = self.folder / 'drain'
        drain.write_text('#!/bin/sh\nexec cat >/dev/null\n')
        drain.chmod(0o755)
        for name in self.PROGRAMS:
            self.stand_in(name)
        self.configuration = self.folder / 'nova.conf'
        values = {
            name: self.canaries[name]
            for name in re.findall(r'{(\w+)}', secrecy.NOVA_CONF)
        }
        self.configuration.write_text(secrecy.NOVA_CONF.format_map(values))
        self.packets()

    def enter(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def stand_in(self, name):
        program = shutil.which(name) or self.folder / 'drain'
        path = self.folder / 'told' / name
        path.write_text(
            canary.STAND_IN.format(record=self.record, program=program)
        )
        path.chmod(0o755)

    def environment(self, **access):
        secret = self.canaries
        auth = {
            'auth_url': f'{self.server.url}/identity/v3',
            'username': 'u',
            'project_name': 'p',
            'user_domain_id': 'default',
            'project_domain_id': 'default',
            'password': secret['clouds-yaml'],
        }
        clouds = {
            'test': {'auth': auth, 'region_name': 'R', 'osc_lab': access}
        }
        path = self.folder / 'clouds.yaml'
        path.write_text(json.dumps({'clouds': clouds}))
        return {
            **os.environ,
            'PATH': f'{self.folder}/told:{os.environ["PATH"]}',
            'HOME': str(self.home),
            'TMPDIR': str(self.home),
            'OS_CLIENT_CONFIG_FILE': str(path),
            'OS_CLOUD': 'test',
            'OS_PASSWORD': secret['OS_PASSWORD'],
        }

    def look(self, *argv, status=0, **access):
        log = self.home / 'log'
        done = subprocess.run(
            [
                *(sys.executable, '-m', 'openstackclient.shell'),
                *('--debug', '--log-file', str(log), *argv),
            ],
            env=self.environment(**access),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual(status, done.returncode, done.stderr[-3000:])
        texts = [done.stdout, done.stderr, self.record.read_text()]
        texts += [
            path.read_text(errors='replace')
            for path in self.home.rglob('*')
            if path.is_file()
        ]
        for text in texts:
            for line in text.splitlines():
                self.assertEqual(set(), self.canaries.found(line), line)
        return self.record.read_text()

    def test_programs(self):
        told = self.look(
            *('port', 'mirror', 'capture', 'one', '--wireshark'),
            **self.settings,
        )
        told += self.look(
            *('port', 'topology', 'show', 'one', '--graph-format', 'svg'),
            **self.settings,
        )
        for program in ('ssh', 'wireshark', 'dot'):
            self.assertIn(f'{self.folder}/told/{program}', told)
        self.assertNotIn('OS_CLOUD', told)

    def test_probe_on_this_machine(self):
        told = self.look(
            *('server', 'migrate', 'live', 'vm', '--preflight'),
            status=3,
            ssh='local',
            host_timeout=20,
            config_files={
                name: [str(self.configuration)] for name in self.HOSTS
            },
        )
        self.assertIn(f'{self.folder}/told/python3', told)
        self.assertIn('qemu+tcp://nova@host2/system', told)
