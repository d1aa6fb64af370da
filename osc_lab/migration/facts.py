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

"""Facts about a live migration: frozen, plain, gathered elsewhere.

A fact that is not known is a :class:`Gap`, which says why and what would
help.  Sizes are in the unit that the name says: ``_mib`` is 2**20 bytes.
"""

import collections.abc
import dataclasses
import enum

from osc_lab.i18n import _


@dataclasses.dataclass(frozen=True)
class Gap:
    """A fact that is missing.

    :param message: why, one line
    :param remedy: what would make it known
    :param asked: True when it was looked for and could not be had (the
        answer is ``unknown``), False when nothing enabled the look
        (``skipped``)
    """

    message: str
    remedy: str = ''
    asked: bool = True


class Storage(enum.StrEnum):
    """How disks on the hosts' file systems travel."""

    AUTO = 'auto'
    BLOCK = 'block'
    SHARED = 'shared'


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user asked for.

    :param host: destination by name; None lets the scheduler choose
    :param storage: with or without copying disks
    :param bandwidth_mib_s: bandwidth to assume for the forecast
    :param forecast: measure dirty pages; takes seconds
    """

    host: str | None = None
    storage: Storage = Storage.AUTO
    bandwidth_mib_s: float | None = None
    forecast: bool = False


@dataclasses.dataclass(frozen=True)
class Flavor:
    """The flavor as the server holds it (embedded from 2.47 on)."""

    name: str = ''
    vcpus: int = 0
    ram_mib: int = 0
    disk_gib: int = 0
    ephemeral_gib: int = 0
    swap_mib: int = 0
    extra_specs: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )

    @property
    def tpm_security(self) -> str:
        """Who keeps the secret of a TPM; an image cannot say that."""
        return self.extra_specs.get('hw:tpm_secret_security', 'user')


@dataclasses.dataclass(frozen=True)
class Server:
    """A server as Nova shows it to an administrator.

    :param pinned_zone: zone asked for at creation; None is none, a Gap
        below microversion 2.96
    :param image_properties: from 2.98; a Gap below, and for a server that
        was booted from a volume
    """

    id: str
    name: str
    status: str
    vm_state: str
    task_state: str | None
    power_state: int
    locked: bool
    locked_reason: str
    host: str
    zone: str
    project_id: str
    flavor: Flavor
    image_id: str | None = None
    pinned_zone: 'str | Gap | None' = None
    image_properties: 'collections.abc.Mapping[str, str] | Gap' = (
        dataclasses.field(default_factory=dict)
    )
    volume_ids: tuple[str, ...] = ()
    group_ids: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Caller:
    """Who asks, from the token."""

    user_id: str
    project_id: str
    roles: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Service:
    """A nova-compute service."""

    up: bool
    enabled: bool
    forced_down: bool
    disabled_reason: str
    zone: str


@dataclasses.dataclass(frozen=True)
class Hypervisor:
    """A compute node.

    :param id: also the UUID of its resource provider
    :param version: of the hypervisor, as Nova encodes it
        (major * 1000000 + minor * 1000 + release)
    :param free_ram_mib: below microversion 2.88 only, else None
    :param disk_available_gib: physical space that Nova saw, less what
        disks may still grow; below 2.88 only
    """

    id: str
    hostname: str
    type: str
    version: int
    address: str
    free_ram_mib: int | None = None
    free_vcpus: int | None = None
    disk_available_gib: int | None = None


@dataclasses.dataclass(frozen=True)
class Inventory:
    """One resource class of a provider."""

    total: int
    reserved: int
    ratio: float
    max_unit: int
    used: int

    @property
    def free(self) -> int:
        return int((self.total - self.reserved) * self.ratio) - self.used


@dataclasses.dataclass(frozen=True)
class Provider:
    """Placement's books of one compute node."""

    inventories: collections.abc.Mapping[str, Inventory]
    traits: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Granular:
    """What one provider of the tree must give: the bandwidth of a port.

    :param id: names the group in the query
    """

    id: str
    resources: collections.abc.Mapping[str, int]
    required: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Demand:
    """What the scheduler asks Placement for.

    :param groups: each from one provider, beside the rest
    :param same_subtree: ids of groups that belong together
    :param fallback: what it asks for besides, of hosts that tell no PCPU
    """

    resources: collections.abc.Mapping[str, int]
    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()
    groups: tuple['Granular', ...] = ()
    same_subtree: tuple[tuple[str, ...], ...] = ()
    fallback: 'Demand | None' = None


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """A host aggregate."""

    name: str
    hosts: frozenset[str]
    metadata: collections.abc.Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Group:
    """A server group.

    :param member_hosts: other members' server id -> compute host
    """

    name: str
    policy: str
    max_per_host: int
    member_hosts: collections.abc.Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Port:
    """A port of the server and what its networks need on a host.

    :param physical_network: of the segment; empty for tunnels
    :param segments: (network type, physical network) of each, where the
        network has several; both of its own are empty then
    :param admin_up: whether it shall be up
    :param network_type: vlan, flat, vxlan, geneve, ...; empty when the
        caller may not see it
    :param groups: what its QoS policy asks of Placement
    :param same_subtree: ids of its groups that belong together
    """

    id: str
    description: str
    status: str
    vnic_type: str
    vif_type: str
    host: str
    network_type: str
    physical_network: str
    segments: tuple[tuple[str, str], ...] = ()
    groups: tuple[Granular, ...] = ()
    same_subtree: tuple[str, ...] = ()
    admin_up: bool = True

    @property
    def late(self) -> bool:
        """Whether it is not up although it shall be."""
        return self.admin_up and self.status != 'ACTIVE'


@dataclasses.dataclass(frozen=True)
class Agent:
    """A network agent or chassis."""

    type: str
    host: str
    alive: bool
    admin_up: bool
    bridge_mappings: frozenset[str]
    device_mappings: frozenset[str]
    tunnel_types: frozenset[str]


#: port id -> (host, status) of each binding
Bindings = collections.abc.Mapping[str, tuple[tuple[str, str], ...]]


@dataclasses.dataclass(frozen=True)
class Network:
    """The network side of the server."""

    ports: tuple[Port, ...]
    agents: 'tuple[Agent, ...] | Gap'
    bindings: 'Bindings | Gap' = dataclasses.field(default_factory=dict)

    @property
    def late(self) -> bool:
        return any(port.late for port in self.ports)

    def inactive(self) -> tuple[tuple[str, str], ...]:
        """Return (port id, host) of the bindings that are not active."""
        if isinstance(self.bindings, Gap):
            return ()
        return tuple(
            (port, host)
            for port, found in self.bindings.items()
            for host, status in found
            if status != 'ACTIVE'
        )


class Access(enum.StrEnum):
    """Whether the caller can read the secret of a volume."""

    ALLOWED = 'allowed'
    DENIED = 'denied'
    ABSENT = 'absent'
    FIXED_KEY = 'fixed_key'


@dataclasses.dataclass(frozen=True)
class Secret:
    """A volume's key in the key manager; never the key itself."""

    id: str
    href: str
    access: Access


@dataclasses.dataclass(frozen=True)
class Volume:
    """A volume of the server.

    :param attached_to: ids of servers, one for each attachment
    :param hosts: where each of these attachments is
    """

    id: str
    name: str
    status: str
    encrypted: bool
    multiattach: bool
    project_id: str
    attached_to: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    secret: 'Secret | Gap | None' = None


@dataclasses.dataclass(frozen=True)
class Mirror:
    """A port mirror that copies a port of the server.

    :param follows: it moves with the port, as those of OVN do
    """

    name: str
    port_id: str
    host: str
    follows: bool


@dataclasses.dataclass(frozen=True)
class Disk:
    """A disk of the running guest.

    :param source: file or device path, or the name of a network disk
    :param local: a file or block device of the host, not a volume
    :param size: virtual size, bytes; None when not asked
    :param allocation: bytes used at the source
    :param length: bytes of the file; of a device 0, as stat tells
    """

    device: str
    kind: str
    target: str
    source: str
    format: str
    readonly: bool
    shareable: bool
    encrypted: bool
    volume_id: str
    backing: tuple[str, ...] = ()
    size: int | None = None
    allocation: int | None = None
    length: int | None = None

    @property
    def local(self) -> bool:
        return self.kind in ('file', 'block') and not self.volume_id

    @property
    def copied(self) -> bool:
        """Whether Nova copies it in a block migration."""
        return (
            self.local
            and bool(self.source)
            and self.device == 'disk'
            and not self.readonly
            and not self.shareable
        )


@dataclasses.dataclass(frozen=True)
class Domain:
    """The running guest, from its live migratable XML.

    :param placed: elements that bind it to NUMA nodes, processors or large
        pages of its host; Nova writes them for a topology alone
        (nova.virt.libvirt.driver, _get_guest_numa_config)
    """

    name: str
    uuid: str
    type: str
    arch: str
    machine: str
    emulator: str
    memory_kib: int
    vcpus: int
    cpu_xml: str
    cpu_model: str
    cpu_mode: str
    disks: tuple[Disk, ...] = ()
    hostdevs: tuple[str, ...] = ()
    filesystems: tuple[str, ...] = ()
    tpm: str = ''
    launch_security: str = ''
    hugepages: bool = False
    interfaces: tuple[str, ...] = ()
    placed: tuple[str, ...] = ()

    @property
    def cpu_of_host(self) -> bool:
        """Whether it has all that its host's CPU has (libvirt, cpu mode)."""
        return self.cpu_mode in ('host-passthrough', 'maximum') and (
            self.type == 'kvm'
        )


class Reach(enum.StrEnum):
    """How an attempt to connect ended."""

    OPEN = 'open'
    REFUSED = 'refused'
    TIMEOUT = 'timeout'
    UNRESOLVED = 'unresolved'
    UNREACHABLE = 'unreachable'
    AUTH = 'auth'
    TLS = 'tls'
    ERROR = 'error'


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One attempt to connect.

    :param origin: host name, or '' for this machine
    :param target: what was connected to
    """

    origin: str
    target: str
    reach: Reach
    text: str = ''
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Conflict:
    """A domain at the destination with the guest's name or UUID."""

    name: str
    uuid: str
    active: bool


@dataclasses.dataclass(frozen=True)
class Libvirt:
    """What libvirt says about a host.

    :param version: libvirt, major * 1000000 + minor * 1000 + release
    :param qemu_version: the same encoding
    :param free_kib: memory free now, with what caches can give back; None
        when the driver does not say
    :param cpu_models: that QEMU there knows for the guest's machine type;
        empty when libvirt does not say
    :param cpu: result of the comparison with the guest's CPU
    :param cpu_text: libvirt's words when it refuses
    """

    hostname: str
    host_uuid: str
    version: int
    qemu_version: int
    free_kib: int | None = None
    host_cpu_xml: str = ''
    cpu: 'str | Gap | None' = None
    cpu_text: str = ''
    host_cpu: 'str | Gap | None' = None
    cpu_models: frozenset[str] = frozenset()
    machine_ok: 'bool | Gap | None' = None
    conflicts: tuple[Conflict, ...] | Gap = ()
    domain: 'Domain | Gap | None' = None


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A certificate, of a file on a host.

    :param stack: libvirt or qemu
    :param role: ca, server or client
    :param names: DNS names and addresses that it is for
    :param not_after: POSIX time
    :param key_id: digest of the certificate
    :param signed_by: digest of the CA certificate beside it that signed
        it; empty when none did
    """

    path: str
    stack: str
    role: str
    names: frozenset[str]
    not_before: float
    not_after: float
    key_id: str
    signed_by: str


@dataclasses.dataclass(frozen=True)
class Build:
    """What a QEMU can do, asked without a guest."""

    capabilities: frozenset[str]
    commands: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Shell:
    """What the shell of a host says.

    :param options: section -> option -> value of nova.conf, only those
        that matter here and never a secret
    :param config_files: where they stand
    :param unread: files of nova-compute that could not be read
    :param cell: a digest of the message queue's address, equal within a
        cell; empty when unknown
    :param free_bytes: of the file system under instances_path
    :param files: path of the guest -> what tells the file from its
        namesake on another host; '' when it is not here
    :param unseen: (stack, role) -> why nobody knows whether there is such
        a certificate
    :param guest_certificates: that the guest's QEMU sees and will use; None
        when the guest does not run here
    :param userfaultfd: whether QEMU may have one without privileges, which
        post-copy takes, as far as can be seen
    """

    options: collections.abc.Mapping[str, collections.abc.Mapping[str, str]]
    config_files: tuple[str, ...]
    cell: str
    free_bytes: int | None = None
    files: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )
    certificates: 'tuple[Certificate, ...] | Gap' = ()
    unseen: collections.abc.Mapping[tuple[str, str], Gap] = dataclasses.field(
        default_factory=dict
    )
    guest_certificates: 'tuple[Certificate, ...] | Gap | None' = None
    qemu: 'Build | Gap | None' = None
    userfaultfd: bool = True
    unread: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Way:
    """The way that a migration takes, tried from the source.

    :param uri: what the source's libvirt connects to
    :param libvirt: how that ended
    :param complete: whether virsh spoke to libvirt, not only to a socket
    :param unguarded: it answers without a password, too
    :param data_address: where QEMU connects to; a name is as libvirt there
        calls itself
    :param data_resolved: its address at the source, empty when unknown
    :param data: attempt at a port of QEMU's migrations
    :param listening: whether something listened there for the attempt
    :param host: name or address in the URI
    """

    uri: str
    libvirt: Attempt
    complete: bool
    unguarded: bool
    data_address: str
    data_resolved: str
    data: Attempt
    listening: bool
    host: str = ''


@dataclasses.dataclass(frozen=True)
class Host:
    """A compute host, the source or a possible destination.

    :param reach: how libvirt was reached from this machine; None when
        no libvirt channel is set
    """

    name: str
    service: Service | Gap
    hypervisor: Hypervisor | Gap
    provider: Provider | Gap | None = None
    libvirt: Libvirt | Gap = Gap(
        _('No libvirt channel is set.'), _('Use --libvirt-uri.'), asked=False
    )
    reach: Attempt | None = None
    shell: Shell | Gap = Gap(
        _('No shell channel is set.'), _('Use --ssh.'), asked=False
    )
    way: Way | Gap = Gap(
        _('No shell channel to the source is set.'),
        _('Use --ssh.'),
        asked=False,
    )

    @property
    def address(self) -> str:
        known = self.hypervisor
        return '' if isinstance(known, Gap) else known.address

    @property
    def guest(self) -> Domain | Gap:
        """The guest that runs here, or why it is not known."""
        known = self.libvirt
        if isinstance(known, Gap):
            return known
        return known.domain or Gap(_('The guest was not looked at.'))


@dataclasses.dataclass(frozen=True)
class Measured:
    """Windows of page sampling, and a bandwidth.

    :param windows: (seconds, distinct pages dirtied) each
    :param total_pages: all pages of the guest
    :param touched_pages: that QEMU holds memory for; the others are zero
    :param bandwidth_mib_s: given or configured; None when unknown
    :param link_mib_s: given, while Nova's limit is lower; QEMU uses it
        when the guest is paused
    """

    windows: tuple[tuple[float, float], ...]
    total_pages: int
    page_size: int = 4096
    touched_pages: int | None = None
    bandwidth_mib_s: float | None = None
    link_mib_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Facts:
    """Everything that the checks judge.

    :param destinations: hosts to judge, the named one alone with --host
    :param candidates: ids of hypervisors that Placement would allow
    :param fallback: of those that it would allow for what the scheduler
        asks besides
    :param shares: ids of those that are attached
    """

    server: Server
    request: Request
    caller: Caller
    source: Host
    destinations: tuple[Host, ...]
    demand: Demand | Gap
    candidates: frozenset[str] | Gap
    aggregates: tuple[Aggregate, ...] | Gap
    groups: tuple[Group, ...] | Gap
    network: Network | Gap
    volumes: tuple[Volume, ...] | Gap
    shares: tuple[str, ...] | Gap
    mirrors: tuple[Mirror, ...] | Gap = Gap(
        _('Port mirrors were not looked for.'), asked=False
    )
    measured: Measured | Gap = Gap(
        _('Dirty pages were not measured.'),
        _('Use --forecast.'),
        asked=False,
    )
    fallback: frozenset[str] | Gap = frozenset()
    microversion: tuple[int, int] = (2, 1)
    now: float = 0.0

    def destination(self, name: str) -> Host | None:
        for host in self.destinations:
            if host.name == name:
                return host
        return None
