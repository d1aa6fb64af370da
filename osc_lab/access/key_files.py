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

"""Write configuration snippets that hold a key."""

import contextlib
import os

from osc_lab.encryption import shared_key
from osc_lab import exceptions
from osc_lab.i18n import _

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW

SERVICES = ('nova', 'cinder')


def write(folder: str, bits: int) -> list[str]:
    """Write a snippet for nova and one for cinder, with a new key.

    :param folder: made, for its owner alone, when it does not exist
    :param bits: size of the key
    :returns: the paths
    :raises InvalidInput: when a file is there already, or the folder is
        not one; nothing was written
    """
    key = shared_key.new_key(bits)
    paths: list[str] = []
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        for service in SERVICES:
            path = os.path.join(folder, f'{service}-key-manager.conf')
            _write(path, shared_key.snippet(service, key), paths)
    except BaseException as error:
        for path in paths:
            with contextlib.suppress(OSError):
                os.unlink(path)
        if not isinstance(error, OSError):
            raise
        raise exceptions.InvalidInput(
            _('--output: %(path)s: %(why)s')
            % {'path': error.filename or folder, 'why': error.strerror},
            _('Use a directory without such files; none is overwritten.'),
        ) from error
    return paths


def _write(path: str, text: str, made: list[str]) -> None:
    handle = os.open(path, _FLAGS, 0o600)
    made.append(path)
    with os.fdopen(handle, 'w') as stream:
        # A umask can only take rights away; this sets them whatever it is.
        os.fchmod(handle, 0o600)
        stream.write(text)
        stream.flush()
        os.fsync(handle)
