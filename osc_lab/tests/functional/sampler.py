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

"""Looks for public volume types that do not encrypt, again and again.

A process of its own, so that nothing in the tests holds it up.  It reads
its orders from standard input, as JSON in one line, and goes on until
that is closed; then it prints when it looked and what it saw.
"""

import contextlib
import http.client
import itertools
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse

#: Seconds between two looks of one sampler.
PERIOD = 0.005

_QUERY = (
    'SELECT COUNT(*) FROM volume_types t WHERE t.deleted = 0 AND '
    't.is_public = 1 AND t.id NOT IN ({known}) AND NOT EXISTS (SELECT 1 FROM '
    'encryption e WHERE e.volume_type_id = t.id AND e.deleted = 0);\n'
)


def database(orders):
    """Ask the database: what the API shows comes from there."""
    known = ', '.join(f"'{item}'" for item in orders['known'])
    query = _QUERY.format(known=known)
    with subprocess.Popen(
        orders['mariadb'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as client:

        def look():
            client.stdin.write(query)
            client.stdin.flush()
            return int(client.stdout.readline())

        yield look
        client.stdin.close()


def api(orders):
    """Ask the API, as "openstack volume type list --encryption-type"."""
    url = urllib.parse.urlsplit(orders['url'])

    def get(path):
        web = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        with contextlib.closing(web):
            headers = {'X-Auth-Token': orders['token']}
            web.request('GET', url.path + path, headers=headers)
            answer = web.getresponse()
            return answer.status, json.loads(answer.read() or b'null')

    def public():
        _status, body = get('/types?is_public=None')
        return {
            item['id']
            for item in body['volume_types']
            if item['is_public'] and item['id'] not in orders['known']
        }

    def plain(type_id):
        status, found = get(f'/types/{type_id}/encryption')
        return status == 200 and not found

    def look():
        suspects = {item for item in public() if plain(item)}
        # What was deleted between two answers was not plain.
        return len(suspects and suspects & public())

    yield look


KINDS = {'database': database, 'api': api}


def main():
    os.nice(-20)
    orders = json.loads(sys.stdin.readline())
    done = threading.Event()
    threading.Thread(
        target=lambda: (sys.stdin.read(), done.set()), daemon=True
    ).start()
    times, dangerous = [], 0
    for look in KINDS[orders['kind']](orders):
        while not done.is_set():
            began = time.monotonic()
            dangerous += bool(look())
            times.append(time.monotonic())
            done.wait(max(0.0, PERIOD - (time.monotonic() - began)))
    print(json.dumps({'times': times, 'dangerous': dangerous}))


class Sampler:
    """Runs main() in the background.

    :param orders: what it is to do, with "kind"
    """

    def __init__(self, **orders):
        self._process = subprocess.Popen(
            [sys.executable, '-m', __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._process.stdin.write(json.dumps(orders) + '\n')
        self._process.stdin.flush()
        self._answer = None

    def stop(self):
        """Return {'times': [...], 'dangerous': number of bad looks}."""
        if self._answer is None:
            out, _err = self._process.communicate()
            self._answer = json.loads(out)
        return self._answer


def gaps(times):
    """Return the seconds between two looks, the longest last."""
    return sorted(b - a for a, b in itertools.pairwise(times))


if __name__ == '__main__':
    main()
