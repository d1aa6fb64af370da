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

"""A Nova that answers what a test has laid down."""

from osc_lab.migration import facts
from osc_lab.tests.unit.migration import samples


class Nova:
    """Answers one after the other, the last for ever; errors are raised.

    :ivar records: the newest migration, a list of more, or None
    :ivar asked: what was asked for, but looks
    :ivar meant: the migrations that it was asked for
    """

    def __init__(self, *records):
        self.records = list(records)
        self.refusal = None
        self.abortable = self.forcible = True
        self.actions = [None]
        self.servers = [samples.server(host='b').server]
        self.asked = []
        self.meant = set()

    def _ask(self, what, server_id, migration_id):
        assert server_id == 's1', server_id
        self.asked.append(what)
        self.meant.add(migration_id)

    def _next(self, answers):
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def live_migrate(self, server_id, host, storage):
        assert (server_id, host, storage) == ('s1', 'b', facts.Storage.AUTO)
        self.asked.append('migrate')
        if self.refusal:
            raise self.refusal
        return 'req-1'

    def migrations(self, most=1000, **filters):
        # Whether another one came is asked of all kinds.
        kind = {} if most == 1 else {'migration_type': 'live-migration'}
        assert filters == {'instance_uuid': 's1', **kind}, filters
        found = self._next(self.records)
        if not isinstance(found, list):
            found = [found] if found else []
        return iter(found)

    def progress(self, server_id):
        assert server_id == 's1', server_id

    def abort(self, server_id, migration_id):
        self._ask('abort', server_id, migration_id)
        return self.abortable

    def force_complete(self, server_id, migration_id):
        self._ask('force', server_id, migration_id)
        return self.forcible

    def action(self, server_id, request_id):
        assert (server_id, request_id) == ('s1', 'req-1')
        return self._next(self.actions)

    def server(self, reference):
        assert reference == 's1', reference
        return self._next(self.servers)
