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

"""What is known about volume types and volumes.  Pure data."""

import collections.abc
import dataclasses
import types
import typing

#: What stands for the fixed key of nova.conf and cinder.conf (castellan
#: and the services' ConfKeyManager use it for every volume).
ZERO_KEY = '00000000-0000-0000-0000-000000000000'


@dataclasses.dataclass(frozen=True)
class Encryption:
    """The encryption of a volume type; the API's fields.

    :param provider: 'luks', 'luks2', 'plain', or what somebody wrote
    :param cipher: as dm-crypt writes it: algorithm-mode-iv
    :param key_size: bits
    :param control_location: 'front-end' or 'back-end'
    """

    provider: str | None
    cipher: str | None
    key_size: int | None
    control_location: str | None


@dataclasses.dataclass(frozen=True)
class VolumeType:
    """A volume type.

    :param is_public: None when the caller may not know
    :param encryption: None for a type that does not encrypt, or when
        nobody has looked yet
    :param projects: ids of projects with access to a private type; None
        when nobody has looked
    """

    id: str
    name: str
    description: str | None = None
    is_public: bool | None = True
    extra_specs: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({})
    )
    encryption: Encryption | None = None
    projects: frozenset[str] | None = None


@dataclasses.dataclass(frozen=True)
class Default:
    """What Cinder says about the default type of the caller.

    :param type_id: None when there is none
    :param failed: Cinder could not tell, as when cinder.conf names a type
        that does not exist (VolumeTypeDefaultMisconfiguredError)
    """

    type_id: str | None = None
    failed: bool = False


@dataclasses.dataclass(frozen=True)
class Wish:
    """The volume type that the user wants.

    :param description: None: any; a new type gets one of its own
    :param projects: ids of projects that a private type is shared with
    :param properties: extra specs
    """

    name: str
    encryption: Encryption
    description: str | None = None
    is_public: bool = True
    projects: frozenset[str] = frozenset()
    properties: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({})
    )

    @property
    def final_description(self) -> str:
        if self.description is not None:
            return self.description
        made = self.encryption
        return (
            f'Encrypted: {made.provider}, {made.cipher}, '
            f'{made.key_size} bits, {made.control_location}'
        )


@dataclasses.dataclass(frozen=True)
class Volume:
    """A volume.

    :param size: GiB, as the API counts
    :param type_id: of its type
    :param encrypted: what the API claims: that it has a key
    :param key_id: of the key manager; None for a plain volume, and for
        one with the fixed key, whose id Cinder hides
    :param pool: where it is; None when the caller may not know
    :param created: seconds since 1970, by Cinder's clock; None: not told
    :param servers: ids of the servers that it is attached to
    """

    id: str
    name: str
    status: str
    size: int = 1
    type_id: str | None = None
    encrypted: bool = False
    key_id: str | None = None
    project_id: str | None = None
    metadata: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({})
    )
    pool: str | None = None
    created: float | None = None
    servers: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Backup:
    """A backup of a volume.

    :param key_id: of the key manager; None without a key, and with the
        fixed key, whose id Cinder hides
    """

    id: str
    name: str
    volume_id: str
    key_id: str | None = None
    status: str = 'available'


@dataclasses.dataclass(frozen=True)
class Pool:
    """A place where volumes can be.

    :param name: host@backend#pool
    :param protocol: as its driver reports it, such as 'ceph' or 'iSCSI'
    """

    name: str
    protocol: str


class Difference(typing.NamedTuple):
    """A field whose value is not the wished one."""

    field: str
    found: str
    wished: str
