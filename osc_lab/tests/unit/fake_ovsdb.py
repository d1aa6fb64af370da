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

"""An OVSDB server in this process, on a Unix socket.

It speaks the protocol of RFC 7047 as far as the program does: select,
insert, mutate and wait, all or nothing; rows that nothing refers to go,
and weak references with them.  In place of ovs-vswitchd it gives every
new interface a number.
"""

import copy
import json
import os
import socketserver
import threading
import uuid

import fixtures

#: Columns and their kinds; what ends in "?" is optional.
SCHEMA = {
    'Open_vSwitch': {'other_config': 'map'},
    'Bridge': {
        'name': 'text',
        'datapath_type': 'text',
        'fail_mode': 'set',
        'ports': 'set',
        'mirrors': 'set',
    },
    'Port': {
        'name': 'text',
        'tag': 'set',
        'trunks': 'set',
        'interfaces': 'set',
        'other_config': 'map',
        'external_ids': 'map',
    },
    'Interface': {
        'name': 'text',
        'type': 'text',
        'ofport': 'set',
        'error': 'set',
        'mtu': 'set',
        'mtu_request': 'set',
        'link_state': 'set',
        'external_ids': 'map',
        'options': 'map',
        'statistics': 'map',
    },
    'Mirror': {
        'name': 'text',
        'select_all': 'flag',
        'select_src_port': 'set',
        'select_dst_port': 'set',
        'select_vlan': 'set',
        'output_port': 'set',
        'output_vlan': 'set',
        'snaplen': 'set',
        'statistics': 'map',
        'external_ids': 'map',
    },
}
_EMPTY = {'text': '', 'flag': False, 'set': [], 'map': {}}

#: Table -> where a row must be referred to, to stay.
_HELD = {
    'Port': ('Bridge', 'ports'),
    'Interface': ('Port', 'interfaces'),
    'Mirror': ('Bridge', 'mirrors'),
}
_WEAK = ('select_src_port', 'select_dst_port', 'output_port')


class _Refused(Exception):
    pass


class Database:
    """The rows, and what can be done with them.

    :ivar works: whether the switch makes ports
    :ivar before: called with each list of operations before it is done
    """

    def __init__(self):
        self.tables = {table: {} for table in SCHEMA}
        self.works = True
        self.before = lambda operations: None
        self._lock = threading.RLock()
        self._ofport = 0
        self.add('Open_vSwitch')

    def add(self, table, **columns):
        """Add a row as tests write it; return its UUID."""
        row = {
            column: copy.copy(_EMPTY[kind])
            for column, kind in SCHEMA[table].items()
        }
        row.update(columns)
        if table == 'Interface' and self.works:
            self._ofport += 1
            row['ofport'] = [self._ofport]
        found = str(uuid.uuid4())
        self.tables[table][found] = row
        return found

    def bridge(self, name='br-int'):
        return self.add('Bridge', name=name, datapath_type='netdev')

    def plug(self, bridge, name, tag=None, **interface):
        """Add a port and its interface; return the port's UUID."""
        made = self.add('Interface', name=name, **interface)
        port = self.add(
            'Port',
            name=name,
            interfaces=[['uuid', made]],
            tag=[] if tag is None else [tag],
        )
        self.tables['Bridge'][bridge]['ports'].append(['uuid', port])
        return port

    def unplug(self, port):
        for bridge in self.tables['Bridge'].values():
            if ['uuid', port] in bridge['ports']:
                bridge['ports'].remove(['uuid', port])
        self._collect()

    def mirror(self, bridge, name, **columns):
        made = self.add('Mirror', name=name, **columns)
        self.tables['Bridge'][bridge]['mirrors'].append(['uuid', made])
        return made

    def rows(self):
        with self._lock:
            return copy.deepcopy(self.tables)

    # -- the protocol

    def transact(self, operations):
        with self._lock:
            self.before(operations)
            saved, names = copy.deepcopy(self.tables), {}
            for operation in operations:
                if 'uuid-name' in operation:
                    names[operation['uuid-name']] = str(uuid.uuid4())
            results = []
            for operation in operations:
                try:
                    results.append(self._do(operation, names))
                except _Refused as error:
                    self.tables = saved
                    name, _colon, details = str(error).partition(': ')
                    results.append({'error': name, 'details': details})
                    return results
            self._collect()
            return results

    def _do(self, operation, names):
        kind = operation['op']
        if kind == 'comment':
            return {}
        table = operation['table']
        return getattr(self, f'_{kind}')(table, operation, names)

    def _column(self, table, column):
        if column == '_uuid':
            return 'uuid'
        if column not in SCHEMA[table]:
            raise _Refused(
                f'unknown column: No column {column} in table {table}.'
            )
        return SCHEMA[table][column]

    def _read(self, table, column, value, names):
        kind = self._column(table, column)
        if kind == 'map':
            return dict(value[1])
        if kind == 'set':
            whole = isinstance(value, list) and value[0] == 'set'
            items = value[1] if whole else [value]
            return [self._atom(item, names) for item in items]
        return value

    def _atom(self, item, names):
        if isinstance(item, list) and item[0] == 'named-uuid':
            return ['uuid', names[item[1]]]
        return item

    def _write(self, table, column, value):
        kind = self._column(table, column)
        if kind == 'map':
            return ['map', [list(pair) for pair in value.items()]]
        if kind == 'set':
            return value[0] if len(value) == 1 else ['set', value]
        return value

    def _where(self, table, operation):
        for found, row in list(self.tables[table].items()):
            if all(
                self._holds(table, found, row, condition)
                for condition in operation['where']
            ):
                yield found, row

    def _holds(self, table, found, row, condition):
        column, function, value = condition
        if column == '_uuid':
            return value == ['uuid', found]
        have = row[column]
        if function == 'includes' and isinstance(have, dict):
            return dict(value[1]).items() <= have.items()
        if function == 'includes':
            return value in have
        return have == self._read(table, column, value, {})

    def _select(self, table, operation, names):
        columns = operation.get('columns') or ['_uuid', *SCHEMA[table]]
        return {
            'rows': [
                {
                    column: ['uuid', found]
                    if column == '_uuid'
                    else self._write(table, column, row[column])
                    for column in columns
                }
                for found, row in self._where(table, operation)
            ]
        }

    def _insert(self, table, operation, names):
        row = {
            column: self._read(table, column, value, names)
            for column, value in operation['row'].items()
        }
        made = self.add(table, **row)
        wanted = names.get(operation.get('uuid-name'), made)
        self.tables[table][wanted] = self.tables[table].pop(made)
        return {'uuid': ['uuid', wanted]}

    def _mutate(self, table, operation, names):
        count = 0
        for _found, row in self._where(table, operation):
            count += 1
            for column, mutator, value in operation['mutations']:
                items = self._read(table, column, value, names)
                kept = [item for item in row[column] if item not in items]
                row[column] = kept + (items if mutator == 'insert' else [])
        return {'count': count}

    def _wait(self, table, operation, names):
        (wanted,) = operation['rows']
        rows = [row for _found, row in self._where(table, operation)]
        for column, value in wanted.items():
            expected = self._read(table, column, value, names)
            for row in rows or [{}]:
                have = row.get(column)
                if isinstance(have, list):
                    have, expected = sorted(have), sorted(expected)
                if have != expected:
                    raise _Refused('timed out: the rows differ')
        return {}

    def _collect(self):
        for table in ('Port', 'Interface', 'Mirror'):
            holder, column = _HELD[table]
            held = {
                item[1]
                for row in self.tables[holder].values()
                for item in row[column]
            }
            for found in set(self.tables[table]) - held:
                del self.tables[table][found]
        for row in self.tables['Mirror'].values():
            for column in _WEAK:
                row[column] = [
                    item
                    for item in row[column]
                    if item[1] in self.tables['Port']
                ]


class _Handler(socketserver.BaseRequestHandler):
    def handle(self):
        text = ''
        while data := self.request.recv(65536):
            text += data.decode()
            while text.strip():
                try:
                    message, end = json.JSONDecoder().raw_decode(text)
                except ValueError:
                    break
                text = text[end:]
                # What has no method is an answer to a question of ours.
                if 'method' in message:
                    self.answer(message)

    def answer(self, message):
        result = self.server.database.transact(message['params'][1:])
        # A server may ask whether anybody is there.
        echo = {'method': 'echo', 'params': ['?'], 'id': 'echo'}
        reply = {'id': message['id'], 'error': None, 'result': result}
        self.request.sendall(json.dumps(echo).encode())
        self.request.sendall(json.dumps(reply).encode())


class Server(fixtures.Fixture):
    """Serves a database below a folder, at ``HOST.sock``."""

    def __init__(self, folder, host):
        self.path = os.path.join(folder, f'{host}.sock')
        self.database = Database()

    def _setUp(self):
        server = socketserver.ThreadingUnixStreamServer(self.path, _Handler)
        server.daemon_threads = True
        # A client that is gone again must not hold up the end.
        server.socket.settimeout(1)
        server.database = self.database
        thread = threading.Thread(
            target=server.serve_forever, args=(0.02,), daemon=True
        )
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
