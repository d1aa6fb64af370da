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

"""libvirt-python, as far as it is used, with hosts that a test arranges."""

import types

import fixtures

GUEST = """<domain type='kvm'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='KiB'>262144</memory>
  <vcpu placement='static'>1</vcpu>
  <os><type arch='x86_64' machine='pc-7.2'>hvm</type></os>
  <cpu mode='custom' match='exact'><model>EPYC</model></cpu>
  <devices>
    <emulator>/usr/bin/qemu</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='{disk}'/>
      <backingStore type='file'><source file='/i/base'/></backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'/>
  </devices>
</domain>"""

CAPABILITIES = """<capabilities><host>
  <uuid>{uuid}</uuid><cpu><arch>x86_64</arch><model>EPYC</model></cpu>
</host></capabilities>"""

MODELS = """<domainCapabilities><cpu><mode name='custom' supported='yes'>
  <model usable='yes'>EPYC</model><model usable='yes'>qemu64</model>
</mode></cpu></domainCapabilities>"""


class Error(Exception):
    """What libvirt raises, with its code."""

    def __init__(self, text='what libvirt says', code=1):
        super().__init__(text)
        self.code = code

    def get_error_code(self):
        return self.code


class Guest:
    """A domain.

    :ivar number: of one that runs; -1 for others
    :ivar state_: state and reason
    :ivar jobs: statistics of what goes on, the last for ever
    :ivar control: state of the interface to it; 2 is occupied
    :ivar rates: answers about dirty pages, the last for ever
    """

    def __init__(self, uuid, name='instance-00000001'):
        self.uuid, self.name_ = uuid, name
        self.number = 1
        self.disk = '/i/disk'
        self.state_ = [1, 1]
        self.jobs = [{'type': 0}]
        self.control = 0
        self.rates = [
            {'dirtyrate.calc_status': 1},
            {
                'dirtyrate.calc_status': 2,
                'dirtyrate.megabytes_per_second': 3,
            },
        ]

    def name(self):
        return self.name_

    def UUIDString(self):
        return self.uuid

    def ID(self):
        return self.number

    def state(self):
        if isinstance(self.state_, Exception):
            raise self.state_
        return self.state_

    def controlInfo(self):
        return [self.control, 0, 0]

    def XMLDesc(self, flags):
        return GUEST.format(name=self.name_, uuid=self.uuid, disk=self.disk)

    def blockInfo(self, target):
        return [1 << 30, 1 << 20, 1 << 21]

    def jobStats(self, flags):
        return _next(self.jobs)

    def startDirtyRateCalc(self, seconds, flags):
        if isinstance(self.rates, Exception):
            raise self.rates


class Host:
    """A connection; what is an exception here is raised.

    :ivar guests: UUID -> Guest
    :ivar compared: results of compareHypervisorCPU, the last for ever
    """

    def __init__(self, name, *guests):
        self.name = name
        self.guests = {guest.uuid: guest for guest in guests}
        self.refuses = None
        self.capabilities = CAPABILITIES.format(uuid=f'of-{name}')
        self.memory = {'free': 1 << 20, 'cached': 1}
        self.compared = [1]
        self.models = MODELS
        self.closed = 0

    def close(self):
        self.closed += 1
        raise Error('it is gone already')

    def getCapabilities(self):
        return _raise(self.capabilities)

    def getHostname(self):
        return self.name

    def getLibVersion(self):
        return 9000000

    def getVersion(self):
        return 7002022

    def getMemoryStats(self, cell, flags):
        return _raise(self.memory)

    def compareHypervisorCPU(self, *arguments):
        return _next(self.compared)

    def getDomainCapabilities(self, *arguments):
        return _raise(self.models)

    def lookupByUUIDString(self, uuid):
        if uuid not in self.guests:
            raise Error('Domain not found', 42)
        return self.guests[uuid]

    def listAllDomains(self, flags):
        return list(self.guests.values())

    def domainListGetStats(self, guests, stats, flags):
        (guest,) = guests
        return [(guest, _next(guest.rates))]


def _raise(answer):
    if isinstance(answer, Exception):
        raise answer
    return answer


def _next(answers):
    return _raise(answers.pop(0) if len(answers) > 1 else answers[0])


class Library(fixtures.Fixture):
    """In place of the module; the host is the path of a URI.

    :ivar hosts: URI -> Host
    """

    def __init__(self, **hosts):
        self.hosts = {f'test:///{name}': item for name, item in hosts.items()}

    def _setUp(self):
        # The names and numbers of libvirt-domain.h and libvirt-host.h.
        self.module = types.SimpleNamespace(
            libvirtError=Error,
            open=self.open,
            VIR_DOMAIN_RUNNING=1,
            VIR_DOMAIN_BLOCKED=2,
            VIR_DOMAIN_PAUSED=3,
            VIR_DOMAIN_PAUSED_MIGRATION=2,
            VIR_DOMAIN_PAUSED_STARTING_UP=11,
            VIR_DOMAIN_PAUSED_POSTCOPY=12,
            VIR_DOMAIN_PAUSED_POSTCOPY_FAILED=13,
            VIR_DOMAIN_XML_MIGRATABLE=8,
            VIR_DOMAIN_CONTROL_OK=0,
            VIR_DOMAIN_JOB_NONE=0,
            VIR_DOMAIN_JOB_STATS_COMPLETED=1,
            VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED=2,
            VIR_DOMAIN_STATS_DIRTYRATE=256,
            VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE=2,
        )
        self.useFixture(
            fixtures.MonkeyPatch(
                'osc_lab.access.libvirt.library', lambda: self.module
            )
        )

    def open(self, uri):
        host = self.hosts[uri]
        if host.refuses:
            raise host.refuses
        return host
