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

"""Sort the words of a failed connection by their cause.

libvirt, virsh and OpenSSH name a cause in text alone; the texts are those
of libvirt 9 to 12 (src/rpc/virnetsocket.c, virnettlscontext.c,
virnetsaslcontext.c) and of the C library in the C locale.
"""

import errno
import re

from osc_lab.migration import facts

_TEXTS = (
    (
        facts.Reach.UNRESOLVED,
        r'Unable to resolve address|Name or service not known|'
        r'name resolution|could not resolve',
    ),
    (
        facts.Reach.TLS,
        r'certificate|TLS confirmation|TLS handshake|Unable to set x509',
    ),
    (
        facts.Reach.AUTH,
        r'authentication failed|SASL|authentication cancelled|'
        r'Permission denied|Host key verification failed',
    ),
    (facts.Reach.REFUSED, r'Connection refused'),
    (facts.Reach.TIMEOUT, r'timed out|no answer within|did not answer'),
    (
        facts.Reach.UNREACHABLE,
        r'No route to host|Network is unreachable|Host is down',
    ),
)


_NUMBERS = {
    errno.ECONNREFUSED: facts.Reach.REFUSED,
    errno.ETIMEDOUT: facts.Reach.TIMEOUT,
    errno.EHOSTUNREACH: facts.Reach.UNREACHABLE,
    errno.ENETUNREACH: facts.Reach.UNREACHABLE,
    errno.EHOSTDOWN: facts.Reach.UNREACHABLE,
}


def of_number(number: int | None) -> facts.Reach:
    """Return what kind of failure an error of a socket is, by its number."""
    return _NUMBERS.get(number or 0, facts.Reach.ERROR)


def classify(text: str) -> facts.Reach:
    """Return what kind of failure a text tells of."""
    for reach, pattern in _TEXTS:
        if re.search(pattern, text, re.IGNORECASE):
            return reach
    return facts.Reach.ERROR
