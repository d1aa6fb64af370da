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

"""A Cinder driver whose encrypted volumes start without a header.

Block storage behaves so: Cinder hands out a blank device, and Nova writes
the LUKS header at the first attach.  The NFS driver formats the file
itself with qemu-img.  This one leaves that out and is the NFS driver in
all the rest.  cinder-volume loads it; nothing else of the lab does.
"""

import typing

from cinder.volume.drivers import nfs


class BlankDriver(nfs.NfsDriver):  # type: ignore[misc]
    """Files that are blank until the first attach."""

    def _create_encrypted_volume_file(
        self,
        path: str,
        size_gb: int,
        encryption: dict[str, typing.Any],
        context: typing.Any,
    ) -> None:
        self._create_sparsed_file(path, size_gb)

    def _update_volume_stats(self) -> None:
        super()._update_volume_stats()
        # Whoever asks the scheduler must not take it for the NFS driver.
        self._stats['storage_protocol'] = 'blank'
