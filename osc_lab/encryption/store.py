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

"""What this package needs from block storage; access/ provides it."""

import collections.abc
import typing

from osc_lab.encryption import model

#: Pauses in seconds between looks for what was asked for with a request
#: that may still be under way.
LATE = (0.5, 1.0, 2.0, 2.0)


class TypeStore(typing.Protocol):
    """Volume types.  Every method raises ServiceError.

    A status of None or 5xx in the error means that nobody knows whether
    a write was carried out.
    """

    def types(self) -> collections.abc.Iterator[model.VolumeType]:
        """Yield all types that the caller may see, without encryption."""

    def encryption(self, type_id: str) -> model.Encryption | None:
        """Return what a type encrypts with."""

    def projects(self, type_id: str) -> frozenset[str]:
        """Return the ids of projects with access to a private type."""

    def create_type(
        self,
        name: str,
        description: str,
        properties: collections.abc.Mapping[str, str],
    ) -> None:
        """Create a private type."""

    def create_encryption(
        self, type_id: str, encryption: model.Encryption
    ) -> None:
        """Add encryption to a type that has none."""

    def share(self, type_id: str, project_id: str) -> None:
        """Give a project access to a private type."""

    def publish(self, type_id: str, description: str, is_public: bool) -> None:
        """Set description and visibility in one request."""

    def delete_type(self, type_id: str) -> None:
        """Delete a type and its encryption."""


class VolumeStore(typing.Protocol):
    """Volumes.  Every method raises ServiceError."""

    def create_volume(
        self,
        name: str,
        type_id: str,
        size: int,
        metadata: collections.abc.Mapping[str, str],
    ) -> None:
        """Ask for a volume of a type; it is there later."""

    def find_volumes(
        self, **filters: str
    ) -> collections.abc.Iterator[model.Volume]:
        """Yield volumes of all projects that the caller may see."""

    def volume(self, volume_id: str) -> model.Volume:
        """Return one volume."""

    def volume_encryption(
        self, volume_id: str
    ) -> tuple[model.Encryption | None, str | None]:
        """Return what a volume is encrypted with, and its key id."""

    def delete_volume(self, volume_id: str) -> None:
        """Ask to delete a volume; it is gone later."""

    def complaint(self, volume_id: str) -> str:
        """Return why a volume failed, as far as the API tells."""

    def pools(self) -> list[model.Pool]:
        """Return all places for volumes; only an administrator may ask."""


class Store(TypeStore, VolumeStore, typing.Protocol):
    """Block storage."""
