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

"""A private Open vSwitch: real daemons, no root, no kernel, no network.

``--enable-dummy=override`` makes every device one that exists inside the
daemon only; packets are put into a device with ``ovs-appctl``, and what
leaves one is written to a file.
"""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import time

import fixtures

from osc_lab.access import ovsdb
from osc_lab import channels
from osc_lab.mirroring import host as host_

SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'
HOST = 'cmp1'

#: Columns that the daemon writes by itself.
_VOLATILE = {
    'Interface': ('statistics', 'status', 'link_resets', 'duplex'),
    'Mirror': ('statistics',),
    'Port': ('statistics', 'status'),
    'Bridge': ('status',),
}


def ready(what, check, seconds=120):
    """Wait until a check is true."""
    limit = time.monotonic() + seconds
    while not check():
        if time.monotonic() > limit:
            raise AssertionError(f'{what} took more than {seconds} s')
        time.sleep(0.05)


class Switch(fixtures.Fixture):
    """ovsdb-server and ovs-vswitchd in a folder of their own.

    :param daemon: False for the database alone
    :param schema: path of the schema of the database
    """

    def __init__(self, daemon=True, schema=SCHEMA):
        super().__init__()
        self.daemon = daemon
        self.schema = schema

    def _setUp(self):
        # Paths of sockets are short: not below the folder of the tests.
        folder = fixtures.TempDir()
        self.useFixture(folder)
        self.folder = pathlib.Path(folder.path)
        self.socket = self.folder / 'db.sock'
        self.remote = f'unix:{self.socket}'
        self.env = {
            **os.environ,
            'OVS_RUNDIR': folder.path,
            'OVS_LOGDIR': folder.path,
            'OVS_DBDIR': folder.path,
            'PATH': f'{os.environ["PATH"]}:/usr/sbin:/sbin',
        }
        database = self.folder / 'conf.db'
        self.run('ovsdb-tool', 'create', str(database), str(self.schema))
        self.start_database()
        self.vsctl('--no-wait', 'init')
        if not self.daemon:
            self.vsctl('--no-wait', 'add-br', 'br-int')
            return
        self._start(
            'ovs-vswitchd',
            '--enable-dummy=override',
            '--disable-system',
            self.remote,
        )
        self.vsctl(
            *('add-br', 'br-int', '--', 'set', 'bridge', 'br-int'),
            *('datapath_type=dummy', 'fail-mode=standalone'),
        )

    def start_database(self):
        self._server = self._start(
            'ovsdb-server',
            f'--remote=p{self.remote}',
            str(self.folder / 'conf.db'),
        )
        ready('ovsdb-server', self.socket.exists)

    def restart_database(self):
        """Kill the server of the database, and start another one."""
        self.stop_database()
        self.start_database()

    def stop_database(self):
        self._server.kill()
        self._server.wait()
        self.socket.unlink()
        (self.folder / 'ovsdb-server.ctl').unlink()

    def control(self, command, *argv):
        """Tell the server of the database something."""
        self.run(
            *('ovs-appctl', '-t', f'{self.folder}/ovsdb-server.ctl'),
            *(f'ovsdb-server/{command}', *argv),
        )

    def listen_tls(self, certificate, key, authority):
        """Let the database listen with a certificate; return its port."""
        with socket.create_server(('127.0.0.1', 0)) as free:
            port = free.getsockname()[1]
        self._start(
            'ovsdb-server',
            f'--remote=pssl:{port}:127.0.0.1',
            f'--certificate={certificate}',
            f'--private-key={key}',
            f'--ca-cert={authority}',
            str(self._copy(port)),
        )

        def listens():
            with socket.socket() as probe:
                return not probe.connect_ex(('127.0.0.1', port))

        ready('TLS', listens)
        return port

    def _copy(self, number):
        """Return a copy of the database: a file has one server."""
        path = self.folder / f'{number}.db'
        path.write_text(
            self.run('ovsdb-client', 'backup', self.remote, 'Open_vSwitch')
        )
        return path

    def _start(self, program, *argv):
        control = self.folder / f'{program}.ctl'
        if control.exists():
            control = self.folder / f'{program}-tls.ctl'
        log = open(control.with_suffix('.out'), 'wb')
        self.addCleanup(log.close)
        path = shutil.which(program, path=self.env['PATH'])
        process = subprocess.Popen(
            [
                *(path or program, *argv, '-vsyslog:off'),
                f'--unixctl={control}',
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=self.env,
            cwd=self.folder,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def run(self, *argv):
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=180,
            env=self.env,
            cwd=self.folder,
        )
        if done.returncode:
            raise AssertionError(f'{argv}: {done.stderr}')
        return done.stdout

    def vsctl(self, *argv):
        return self.run(
            'ovs-vsctl', f'--db={self.remote}', '--timeout=120', *argv
        )

    def add_port(self, name, iface_id='', *others):
        """Add a device; what the switch sends to it goes to a file.

        :param iface_id: port of Neutron, which its agent gives a VLAN
        :param others: more for ovs-vsctl, in the same transaction
        """
        tag, more = (), ()
        if iface_id:
            tag = ('tag=3',)
            more = (f'external_ids:iface-id={iface_id}',)
        self.vsctl(
            *('add-port', 'br-int', name, *tag),
            *('--', 'set', 'Interface', name),
            *('type=dummy', f'options:tx_pcap={name}.pcap', *more),
            *others,
        )

    def send(self, device, number, source, destination):
        """Let a device receive a frame with a number in it."""
        frame = bytes.fromhex(destination + source + '88b5')
        frame += struct.pack('!I', number).ljust(60, b'\0')
        self.run(
            *('ovs-appctl', '-t', f'{self.folder}/ovs-vswitchd.ctl'),
            *('netdev-dummy/receive', device, frame.hex()),
        )

    def sent(self, device):
        """Return the numbers of the frames that went to a device."""
        data = (self.folder / f'{device}.pcap').read_bytes()[24:]
        numbers = []
        while len(data) >= 16:
            (size,) = struct.unpack('=I', data[8:12])
            frame, data = data[16 : 16 + size], data[16 + size :]
            at = 14
            if frame[12:14] == b'\x81\x00':
                at = 18
            if frame[at - 2 : at] == b'\x88\xb5':
                numbers.append(struct.unpack('!I', frame[at : at + 4])[0])
        return numbers

    def rows(self, *tables):
        """Return (table, UUID) -> row, without what changes by itself."""
        found = {}
        for table in tables or ('Bridge', 'Port', 'Interface', 'Mirror'):
            text = self.run(
                *('ovsdb-client', '-f', 'json', 'dump'),
                *(self.remote, 'Open_vSwitch', table),
            )
            data = json.loads(text)
            for values in data['data']:
                row = dict(zip(data['headings'], values, strict=True))
                for column in _VOLATILE[table]:
                    row.pop(column, None)
                found[table, row['_uuid'][1]] = row
        return found

    @contextlib.contextmanager
    def host(self, deadline=60.0):
        """Connect as the commands do, without a shell channel."""
        settings = channels.Channels(ovsdb=self.remote, deadline=deadline)
        with ovsdb.connect(settings.host(HOST), settings) as database:
            yield host_.Host(HOST, database)
