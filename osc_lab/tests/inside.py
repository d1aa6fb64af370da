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


"""Run the openstack shell in the process of the test, which is faster."""

import contextlib
import io
import logging

from openstackclient import shell


def openstack(*argv, encoding='utf-8'):
    """Run the whole shell; return (status, stdout, stderr).

    :param encoding: of the user's locale

    A shell adds its handlers to those of the log, for its process ends with
    it; here they go when it has run.
    """
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding, errors, write_through=True)
        # As Python opens them.
        for errors in ('strict', 'backslashreplace')
    )
    root = logging.getLogger()
    handlers = list(root.handlers)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = shell.OpenStackShell().run([str(word) for word in argv])
    except SystemExit as error:
        status = error.code
    finally:
        root.handlers = handlers
    return status, *(
        stream.buffer.getvalue().decode(errors='replace')
        for stream in (out, err)
    )
