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

"""Keeps secrets out of what is logged, printed or raised.

Requests and answers are logged by keystoneauth under ``--debug``, and a
service may repeat in its error what it was sent; both pass here.
"""

import collections.abc
import contextlib
import json
import logging
import re
import typing
import urllib.parse

_MASK = '***'

#: A shorter one, or one that is a word, may be part of any text, and that it
#: is hidden there would tell it.
_SHORTEST = 8
_LONGEST_WORD = 15

#: Names of options of log-ins that hold a secret have one of these in them.
_SECRET = ('password', 'token', 'secret', 'passcode')

#: Headers whose value is as good as a password.
_HEADERS = 'cookie2?|openstack-auth-receipt|x-(?:auth|subject|service)-token'

_PATTERNS = (
    # The password of a URI, RFC 3986, 3.2.1.
    (
        re.compile(r'(\w://[^\s/?#"\'<>@:]*):[^\s/?#"\'<>]*@'),
        rf'\1:{_MASK}@',
    ),
    # RFC 7617 and RFC 6750, as a service may repeat it.
    (
        re.compile(r'(?i)(authorization\\*["\']?: ?\\*["\']?\w+ )[\w+/=.~-]+'),
        rf'\1{_MASK}',
    ),
    # Headers as keystoneauth logs them, one after the other on one line;
    # of some it writes a digest.
    (
        re.compile(
            rf'(?i)\b({_HEADERS}): (?!\{{SHA256\}})'
            r'.*?(?=\s[a-z][a-z0-9-]*: |"(?:\s|$)|$)',
            re.MULTILINE,
        ),
        rf'\1: {_MASK}',
    ),
    # The same in JSON, also in JSON that is text in JSON, and in Python.
    (
        re.compile(
            rf'(?i)\b({_HEADERS})(\\*["\']): ?(\\*["\'])'
            # A backslash goes with the next character and has no other way
            # to be taken, for all ways would be tried.
            r'(?:(?!\3)(?:\\.|[^\\\n]))*\\?\3'
        ),
        rf'\1\2: \3{_MASK}\3',
    ),
)

_known: set[str] = set()


def learn(values: collections.abc.Iterable[object]) -> None:
    """Hide these from now on, wherever hidden() sees them."""
    for value in values:
        text = str(value or '')
        if len(text) < _SHORTEST:
            continue
        if len(text) > _LONGEST_WORD or not text.isalpha():
            _known.update(
                (
                    text,
                    json.dumps(text)[1:-1],
                    repr(text)[1:-1],
                    urllib.parse.quote(text, safe=''),
                )
            )


def of_login(
    options: collections.abc.Mapping[str, typing.Any],
) -> collections.abc.Iterator[object]:
    """Yield the secrets among the options of a log-in."""
    for name, value in options.items():
        if any(word in name for word in _SECRET):
            yield value


def hidden(text: object) -> str:
    """Return text without the secrets that are known or evident."""
    found = str(text)
    for secret in sorted(_known, key=len, reverse=True):
        found = found.replace(secret, _MASK)
    for pattern, mask in _PATTERNS:
        found = pattern.sub(mask, found)
    return found


class _Filter(logging.Filter):
    """Hides the secrets of a record, and of its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = hidden(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(
                record.exc_info
            )
        if record.exc_text:
            record.exc_text = hidden(record.exc_text)
        return True


@contextlib.contextmanager
def kept() -> collections.abc.Iterator[None]:
    """Let no handler of the shell write a secret meanwhile."""
    handlers = list(logging.getLogger().handlers)
    keeper = _Filter()
    for handler in handlers:
        handler.addFilter(keeper)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(keeper)
