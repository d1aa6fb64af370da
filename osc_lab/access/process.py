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

"""The process that runs a command, and others of this machine."""

import os

from osc_lab.encryption import reconcile

_NAMESPACE = '/proc/self/ns/pid'


def actor() -> reconcile.Actor:
    """Return who this process is, for the mark of what it makes.

    A container may have the host's name and process ids of its own
    (pid_namespaces(7)): it is another machine then.
    """
    # A mark holds 64 characters, and its end must not be cut off.
    name = os.uname().nodename[:48]
    try:
        name += f'-{os.stat(_NAMESPACE).st_ino}'
    except OSError:
        # Only Linux has such namespaces.
        pass
    return reconcile.Actor(name, os.getpid(), runs)


def runs(process: int) -> bool:
    """Return whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        # It belongs to somebody else, or nobody can tell.
        return True
    return True
