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

"""libvirt on hosts: one connection each, and never longer than agreed.

libvirt has no deadline of its own for opening a connection, and a call
that hangs cannot be ended.  So the socket is tried first, and everything
else runs in threads that can be left behind: see :mod:`osc_lab.workers`.
"""

import dataclasses
import socket
import threading
import time
import typing
import urllib.parse

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.migration import domain_xml
from osc_lab.migration import facts
from osc_lab.migration import nova_options
from osc_lab.migration import reach

#: Transports to a port of libvirt's own.  What a name means to OpenSSH, and
#: how it gets there, is in the user's configuration.
_OWN = ('tcp', 'tls')

#: Seconds that a host may take to confirm that a connection is closed.
GOODBYE = 0.5

_NO_DOMAIN = 42
_NOT_RUNNING = 55
_INVALID_ARGUMENT = 8
_UNSUPPORTED = 67
_CPU_INCOMPATIBLE = 91

_COMPARED = {0: 'incompatible', 1: 'identical', 2: 'superset'}


def library() -> typing.Any:
    """Return libvirt's module, silent on standard error.

    :raises MissingLibrary: when it is not installed
    """
    try:
        import libvirt
    except ImportError as error:
        raise exceptions.MissingLibrary(
            _('libvirt-python is not installed'),
            _('Install osc-lab[libvirt], or leave --libvirt-uri out.'),
        ) from error
    libvirt.registerErrorHandler(lambda context, error: None, None)
    return libvirt


def probe(uri: str, deadline: float) -> facts.Attempt:
    """Connect to the socket behind a URI, if it has one, and hang up.

    :param deadline: seconds
    :raises AccessError: when it is no URI
    """
    try:
        parts = urllib.parse.urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise exceptions.AccessError(
            _('--libvirt-uri: "%(uri)s" cannot be used: %(why)s')
            % {'uri': uri, 'why': error},
            _('Write it like qemu+tls://{host}/system.'),
        ) from error
    transport = parts.scheme.partition('+')[2]
    started = time.monotonic()
    outcome, text = facts.Reach.OPEN, ''
    if parts.hostname and transport in _OWN:
        try:
            socket.create_connection(
                (parts.hostname, port or nova_options.PORTS[transport]),
                deadline,
            ).close()
        except TimeoutError:
            outcome, text = facts.Reach.TIMEOUT, 'timed out'
        except socket.gaierror as error:
            outcome, text = facts.Reach.UNRESOLVED, str(error.strerror)
        except OSError as error:
            text = str(error.strerror or error)
            outcome = reach.of_number(error.errno)
    return facts.Attempt('', uri, outcome, text, time.monotonic() - started)


def silent(uri: str) -> str:
    """Return a URI with which OpenSSH does not ask.

    It would ask at the terminal, for passwords and host keys, out of a
    thread; libvirt takes parameters without regard to case (viruri.c).
    """
    parts = urllib.parse.urlsplit(uri)
    given = urllib.parse.parse_qsl(
        parts.query.replace(';', '&'), keep_blank_values=True
    )
    if parts.scheme.partition('+')[2].lower() != 'ssh' or any(
        name.lower() == 'no_tty' for name, _value in given
    ):
        return uri
    return f'{uri}{"&" if "?" in uri else "?"}no_tty=1'


class Connection:
    """One host's libvirt.  Every method may hang: see the module.

    :param uri: of any transport
    :raises AccessError: when libvirt refuses
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._found: facts.Libvirt | None = None
        self._libvirt = library()
        try:
            self._conn = self._libvirt.open(silent(uri))
        except self._libvirt.libvirtError as error:
            raise exceptions.AccessError(str(error)) from error

    def close(self) -> None:
        """Close it, and wait for no answer for long: all has been told."""
        closing = threading.Thread(target=self._close, daemon=True)
        closing.start()
        closing.join(GOODBYE)

    def _close(self) -> None:
        try:
            self._conn.close()
        except self._libvirt.libvirtError:
            return

    def source(self, domain_uuid: str) -> facts.Libvirt:
        """Return what the source tells, with the running guest."""
        domain = self._guarded(lambda: self._domain(domain_uuid))
        return dataclasses.replace(self.host(), domain=domain)

    def destination(
        self, domain: facts.Domain | None, host_cpu: str
    ) -> facts.Libvirt:
        """Return what a destination tells about a guest.

        :param domain: the guest, None when it is not known
        :param host_cpu: CPU element of the source's capabilities
        """
        found = self.host()
        if domain is None:
            return found
        cpu: typing.Any = None
        # The XML of a guest with its host's CPU does not say which that is.
        wanted = host_cpu if domain.cpu_of_host else domain.cpu_xml
        if wanted or not domain.cpu_of_host:
            cpu = self._guarded(lambda: self._compare(domain, wanted))
        text = ''
        if isinstance(cpu, tuple):
            cpu, text = cpu
        other: typing.Any = None
        if domain.type == 'kvm' and host_cpu:
            other = self._guarded(lambda: self._compare(domain, host_cpu))
            if isinstance(other, tuple):
                other = other[0]
        models = self._guarded(lambda: self._cpu_models(domain))
        return dataclasses.replace(
            found,
            cpu=cpu,
            cpu_text=text,
            host_cpu=other,
            cpu_models=models
            if isinstance(models, frozenset)
            else frozenset(),
            machine_ok=models
            if isinstance(models, facts.Gap)
            else models is not None,
            conflicts=self._guarded(lambda: self._conflicts(domain)),
        )

    def host(self) -> facts.Libvirt:
        """Return what it tells of itself; it is asked once.

        :raises AccessError: when libvirt refuses
        """
        if self._found is None:
            self._found = self._host()
        return self._found

    def _host(self) -> facts.Libvirt:
        try:
            known = domain_xml.capabilities(self._conn.getCapabilities())
            return facts.Libvirt(
                hostname=self._conn.getHostname(),
                host_uuid=known.host_uuid,
                version=self._conn.getLibVersion(),
                qemu_version=self._conn.getVersion(),
                free_kib=self._free_kib(),
                host_cpu_xml=known.cpu_xml,
            )
        except (
            self._libvirt.libvirtError,
            domain_xml.InvalidDocument,
        ) as error:
            raise exceptions.AccessError(str(error)) from error

    def _free_kib(self) -> int | None:
        try:
            memory = self._conn.getMemoryStats(-1, 0)
        except self._libvirt.libvirtError:
            # Not every driver knows.
            return None
        return int(
            memory.get('free', 0)
            + memory.get('buffers', 0)
            + memory.get('cached', 0)
        )

    def _guarded(self, call: typing.Callable[[], typing.Any]) -> typing.Any:
        try:
            return call()
        except (
            self._libvirt.libvirtError,
            domain_xml.InvalidDocument,
        ) as error:
            return facts.Gap(str(error))

    def _domain(self, uuid: str) -> facts.Domain:
        lib = self._libvirt
        domain = self._conn.lookupByUUIDString(uuid)
        found = domain_xml.domain(
            domain.XMLDesc(lib.VIR_DOMAIN_XML_MIGRATABLE)
        )
        live = domain_xml.domain(domain.XMLDesc(0))
        chains = {disk.target: disk.backing for disk in live.disks}
        disks = []
        for disk in found.disks:
            size = allocation = length = None
            if disk.copied:
                size, allocation, length = domain.blockInfo(disk.target)
            disks.append(
                dataclasses.replace(
                    disk,
                    backing=chains.get(disk.target, ()),
                    size=size,
                    allocation=allocation,
                    length=0 if disk.kind == 'block' else length,
                )
            )
        return dataclasses.replace(found, disks=tuple(disks))

    def _compare(
        self, domain: facts.Domain, cpu: str
    ) -> str | tuple[str, str]:
        if not cpu or 'model' not in cpu:
            # Without a model QEMU takes its own default, the same anywhere.
            return 'identical'
        arguments = (
            None,
            domain.arch,
            domain.machine,
            domain.type,
            cpu,
        )
        lib = self._libvirt
        try:
            result = self._conn.compareHypervisorCPU(*arguments, 0)
            if result == 0:
                # Ask again for the names of what is missing.
                self._conn.compareHypervisorCPU(
                    *arguments, lib.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE
                )
        except lib.libvirtError as error:
            if error.get_error_code() == _CPU_INCOMPATIBLE:
                return 'incompatible', str(error)
            raise
        return _COMPARED.get(result, 'incompatible')

    def _cpu_models(self, domain: facts.Domain) -> frozenset[str] | None:
        """Return CPU models; None when the machine type is not there."""
        lib = self._libvirt
        try:
            text = self._conn.getDomainCapabilities(
                None, domain.arch, domain.machine, domain.type, 0
            )
        except lib.libvirtError as error:
            if error.get_error_code() in (_INVALID_ARGUMENT, _UNSUPPORTED):
                return None
            raise
        return domain_xml.cpu_models(text)

    def _conflicts(self, domain: facts.Domain) -> tuple[facts.Conflict, ...]:
        # One question for all of them, and no error in the host's log, as
        # those for a name and a UUID that are free would leave there.
        return tuple(
            facts.Conflict(other.name(), other.UUIDString(), other.ID() >= 0)
            for other in self._conn.listAllDomains(0)
            if other.name() == domain.name or other.UUIDString() == domain.uuid
        )

    # What follows is for a migration under way, and after it.

    def runs(self, domain_uuid: str) -> bool:
        """Return whether the guest runs here.

        One that QEMU waits for, or has just given away, does not.

        :raises AccessError: when libvirt does not say
        """
        lib = self._libvirt
        try:
            domain = self._conn.lookupByUUIDString(domain_uuid)
            state, reason = domain.state()
        except lib.libvirtError as error:
            if error.get_error_code() == _NO_DOMAIN:
                return False
            raise exceptions.AccessError(str(error)) from error
        if state == lib.VIR_DOMAIN_PAUSED:
            return reason not in (
                lib.VIR_DOMAIN_PAUSED_MIGRATION,
                lib.VIR_DOMAIN_PAUSED_STARTING_UP,
                lib.VIR_DOMAIN_PAUSED_POSTCOPY,
                lib.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED,
            )
        return state in (lib.VIR_DOMAIN_RUNNING, lib.VIR_DOMAIN_BLOCKED)

    def job(
        self, domain_uuid: str, completed: bool = False
    ) -> dict[str, typing.Any] | None:
        """Return the statistics of a guest's job, empty without one.

        None when libvirt does not say, for one as its daemon is restarted.

        :param completed: of the last one that ended, seen at the
            destination
        """
        lib = self._libvirt
        flags = 0
        if completed:
            flags = (
                lib.VIR_DOMAIN_JOB_STATS_COMPLETED
                | lib.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
            )
        try:
            domain = self._conn.lookupByUUIDString(domain_uuid)
            found = domain.jobStats(flags)
        except lib.libvirtError as error:
            gone = error.get_error_code() in (_NO_DOMAIN, _NOT_RUNNING)
            return {} if gone else None
        if found.get('type') == lib.VIR_DOMAIN_JOB_NONE:
            return {}
        return dict(found)

    def moving(self, domain_uuid: str) -> bool:
        """Return whether a migration of the guest still goes on here.

        Statistics are not to be had while libvirt waits for QEMU to connect.

        :raises AccessError: when libvirt does not know
        """
        lib = self._libvirt
        try:
            domain = self._conn.lookupByUUIDString(domain_uuid)
            if domain.controlInfo()[0] != lib.VIR_DOMAIN_CONTROL_OK:
                return True
            found = domain.jobStats(0)
        except lib.libvirtError as error:
            if error.get_error_code() == _NO_DOMAIN:
                return False
            raise exceptions.AccessError(str(error)) from error
        return bool(found.get('type') != lib.VIR_DOMAIN_JOB_NONE)

    def dirty_pages(self, domain_uuid: str, seconds: int) -> float:
        """Measure the distinct pages that the guest writes in a time.

        Page sampling alone: a dirty bitmap ends a guest without hardware
        acceleration.

        :param seconds: 1 to 60
        :returns: pages of 4 KiB; 0 means that QEMU does not know
        :raises AccessError: when it cannot be measured
        """
        lib = self._libvirt
        try:
            domain = self._conn.lookupByUUIDString(domain_uuid)
            domain.startDirtyRateCalc(seconds, 0)
            limit = time.monotonic() + seconds + 10
            while time.monotonic() < limit:
                time.sleep(0.2)
                [(_dom, stats)] = self._conn.domainListGetStats(
                    [domain], lib.VIR_DOMAIN_STATS_DIRTYRATE, 0
                )
                if stats.get('dirtyrate.calc_status') == 2:
                    rate = float(
                        stats.get('dirtyrate.megabytes_per_second', 0)
                    )
                    return rate * 256.0 * seconds
        except lib.libvirtError as error:
            raise exceptions.AccessError(str(error)) from error
        raise exceptions.AccessError(
            _('QEMU did not finish measuring dirty pages')
        )
