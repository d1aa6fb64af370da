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

"""Mirrors of others on the integration bridge of a host."""

from osc_lab.tests.functional import pair


class ForeignTest(pair.PairTest):
    """Has two mirrors of others beside what a test makes.

    ``theirs`` is what a person makes with ovs-vsctl, ``ovn`` is one of
    ovn-controller: a tunnel, and the mark that it knows its rows by.
    """

    HOST = 'hosta'
    THEIRS = ('theirs', 'ovn')

    def add_foreign(self):
        """Mirror the server's port twice; undone at the end."""
        self.addCleanup(self._remove_foreign)
        self._add('theirs', 'theirs0', 'type=internal')
        self._add(
            *('ovn', 'ovn-ovn', 'type=gre', 'options:remote_ip=192.0.2.9'),
            *('options:key=9', 'external_ids:ovn-owned=true'),
        )
        for name in self.THEIRS:
            self.growing(name)
        self.foreign = self.rows(self.HOST)

    def _add(self, name, device, *columns):
        marks = [item for item in columns if item.startswith('external_ids')]
        tap = f'tap{self.ports[self.HOST][:11]}'
        self.on(
            self.HOST,
            *('ovs-vsctl', '--', '--id=@i', 'create', 'Interface'),
            *(f'name={device}', *columns, '--', '--id=@p', 'create', 'Port'),
            *(f'name={device}', 'interfaces=@i', *marks, '--', '--id=@s'),
            *('get', 'Port', tap, '--', '--id=@m', 'create', 'Mirror'),
            *(f'name={name}', 'select_src_port=@s', 'select_dst_port=@s'),
            *('output_port=@p', *marks, '--', 'add', 'Bridge', 'br-int'),
            *('ports', '@p', '--', 'add', 'Bridge', 'br-int', 'mirrors', '@m'),
        )

    def _remove_foreign(self):
        for name, device in (('theirs', 'theirs0'), ('ovn', 'ovn-ovn')):
            self.on(
                self.HOST,
                *('ovs-vsctl', '--if-exists', 'del-port', 'br-int', device),
                *('--', '--id=@m', 'get', 'Mirror', name),
                *('--', 'remove', 'Bridge', 'br-int', 'mirrors', '@m'),
                status=None,
            )

    def copied(self, name):
        """Return how many packets a mirror has copied."""
        text = self.on(
            self.HOST,
            *('ovs-vsctl', '--if-exists', 'get', 'Mirror', name),
            'statistics:tx_packets',
        )
        # Nothing is there before the first interval is over.
        return int(text.strip() or 0)

    def growing(self, name):
        """Wait until a mirror has copied more than it has now."""
        before = self.copied(name)
        pair.wait_until(
            f'a packet at {name}', lambda: self.copied(name) > before
        )

    def assert_foreign(self):
        """See that no row of others has changed, and that copies flow."""
        rows = self.rows(self.HOST)
        for key, before in self.foreign.items():
            after = rows.get(key)
            if key[0] == 'Bridge':
                # What is ours is beside theirs.
                for column in ('ports', 'mirrors'):
                    self.assertLessEqual(
                        _set(before, column), _set(after, column)
                    )
                    before = {**before, column: after[column]}
            self.assertEqual(before, after)
        for name in self.THEIRS:
            self.growing(name)


def _set(row, column):
    kind, value = row[column]
    return {value} if kind == 'uuid' else {item[1] for item in value}
