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

"""libvirt's documents, good ones and hostile ones."""

import resource
import subprocess
import sys

import hypothesis
from hypothesis import strategies as st
import testtools

from osc_lab.migration import domain_xml
from osc_lab.migration import facts
from osc_lab.tests import thorough

GUEST = """<?xml version='1.0' encoding='{encoding}'?>
<domain type='kvm'>
  <name>instance-1</name>
  <uuid>11111111-aaaa-4aaa-8aaa-111111111111</uuid>
  <memory unit='{unit}'>{memory}</memory>
  <vcpu placement='static'>{vcpu}</vcpu>
  <memoryBacking><hugepages/></memoryBacking>
  <cputune><vcpupin vcpu='0' cpuset='1'/></cputune>
  <numatune><memory mode='strict' nodeset='0'/></numatune>
  <os><type arch='x86_64' machine='pc-7.2'>hvm</type></os>
  <cpu mode='custom' match='exact'><model>EPYC</model></cpu>
  <devices>
    <emulator>/usr/bin/qemu</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='/i/disk'>
        <encryption format='luks'/>
      </source>
      <backingStore type='file'>
        <source file='/i/base'/>
        <backingStore/>
      </backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='network' device='disk'>
      <source protocol='rbd' name='volumes/v'/>
      <target dev='vdb'/><shareable/><serial>v1</serial>
    </disk>
    <disk type='file' device='cdrom'><target dev='hda'/><readonly/></disk>
    <hostdev mode='subsystem' type='pci'/>
    <filesystem><driver type='virtiofs'/></filesystem>
    <filesystem/>
    <interface type='bridge'/>
    <tpm model='tpm-crb'><backend type='emulator'/></tpm>
  </devices>
  <launchSecurity type='sev'/>
</domain>
"""
CAPABILITIES = """<capabilities>
  <host>
    <uuid>u1</uuid>
    <cpu><arch>x86_64</arch><model>EPYC</model></cpu>
    <migration_features><uri_transports>
      <uri_transport>tcp</uri_transport>
    </uri_transports></migration_features>
  </host>
  <guest><os_type>hvm</os_type><arch name='x86_64'>
    <machine canonical='pc-7.2'>pc</machine><machine/>
  </arch></guest>
  <guest><arch name='riscv64'><machine>virt</machine></arch></guest>
</capabilities>
"""


def guest(encoding='UTF-8', unit='KiB', memory='262144', vcpu='2'):
    return GUEST.format(encoding=encoding, unit=unit, memory=memory, vcpu=vcpu)


class TestDomain(testtools.TestCase):
    def test_everything_is_read(self):
        found = domain_xml.domain(guest())
        self.assertEqual(
            ('instance-1', 'kvm', 'x86_64', 'pc-7.2', 262144, 2, 'EPYC'),
            (
                found.name,
                found.type,
                found.arch,
                found.machine,
                found.memory_kib,
                found.vcpus,
                found.cpu_model,
            ),
        )
        disk, volume, cdrom = found.disks
        self.assertTrue(disk.copied and disk.encrypted)
        self.assertEqual(('/i/base',), disk.backing)
        self.assertEqual('volumes/v', volume.source)
        self.assertFalse(volume.copied or volume.local)
        self.assertFalse(cdrom.copied)
        self.assertEqual(('pci',), found.hostdevs)
        self.assertEqual(('virtiofs', '9p'), found.filesystems)
        self.assertEqual('emulator', found.tpm)
        self.assertEqual('sev', found.launch_security)
        self.assertTrue(found.hugepages)
        self.assertEqual(('hugepages', 'numatune', 'vcpupin'), found.placed)

    def test_almost_nothing(self):
        found = domain_xml.domain('<domain/>')
        self.assertEqual(
            (0, 1, '', (), ()),
            (
                *(found.memory_kib, found.vcpus, found.machine),
                *(found.disks, found.placed),
            ),
        )

    def test_units_and_nonsense_numbers(self):
        for unit, memory, kib in (
            ('KiB', ' 1024 ', 1024),
            ('MiB', '2', 2048),
            ('b', '2048', 2),
            ('what', '2048', 2),
            ('KiB', '-5', 0),
            ('KiB', '9' * 5000, 0),
            ('KiB', '²', 0),
        ):
            found = domain_xml.domain(guest(unit=unit, memory=memory))
            self.assertEqual(kib, found.memory_kib, (unit, memory))
        self.assertEqual(1, domain_xml.domain(guest(vcpu='many')).vcpus)

    def test_encoding_that_it_names_does_not_matter(self):
        for encoding in ('utf-16', 'EBCDIC-37', 'no-such', 'iso-8859-1'):
            found = domain_xml.domain(guest(encoding=encoding))
            self.assertEqual('instance-1', found.name)

    def test_capabilities(self):
        found = domain_xml.capabilities(CAPABILITIES)
        self.assertEqual('u1', found.host_uuid)
        self.assertIn('<model>EPYC</model>', found.cpu_xml)

    def test_cpu_models(self):
        text = (
            "<domainCapabilities><cpu><mode name='host-model'>"
            "<model>EPYC-Rome</model></mode><mode name='custom'>"
            "<model usable='yes'>qemu64</model><model>EPYC</model></mode>"
            '</cpu></domainCapabilities>'
        )
        self.assertEqual({'qemu64', 'EPYC'}, domain_xml.cpu_models(text))


BOMB = (
    '<!DOCTYPE x [<!ENTITY a0 "ha">'
    + ''.join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    + ']>'
)


class TestHostile(testtools.TestCase):
    def assertRefused(self, text):
        for read in (
            domain_xml.domain,
            domain_xml.capabilities,
            domain_xml.cpu_models,
        ):
            self.assertRaises(domain_xml.InvalidDocument, read, text)

    def test_entities(self):
        self.assertRefused(BOMB + '<domain><name>&a11;</name></domain>')
        self.assertRefused(
            '<!DOCTYPE domain SYSTEM "file:///etc/passwd"><domain/>'
        )
        self.assertRefused('<domain>&undefined;</domain>')

    def test_nothing_and_nonsense(self):
        for text in ('', ' ', 'text', '<', '<a>', '<a/><b/>', '\0', '<x/>'):
            self.assertRefused(text)
        self.assertRefused('<domain>\udcff\x01</domain>')

    def test_depth(self):
        self.assertRefused(
            '<domain>' + '<a>' * 1000 + '</a>' * 1000 + '</domain>'
        )

    def test_large_ones_need_little_memory_and_time(self):
        # In a process of its own, for the peak is what counts.
        code = (
            'from osc_lab.migration import domain_xml\n'
            'def read(text):\n'
            '    try:\n'
            '        domain_xml.domain(text)\n'
            '    except domain_xml.InvalidDocument:\n'
            '        return\n'
            '    raise SystemExit("taken")\n'
            'million = 1000000\n'
            'read("<domain>" + "x" * 50 * million + "</domain>")\n'
            'read("<domain>" + "<a/>" * million + "</domain>")\n'
            'read("<domain>" + "<a b=\'c\'/>" * 300000 + "</domain>")\n'
            'read("<domain " + " ".join('
            'f"a{n}=\'\'" for n in range(million)) + "/>")\n'
            # What getrusage() tells has the peak of who forked, too.
            'status = open("/proc/self/status").read()\n'
            'print(status.partition("VmHWM:")[2].split()[0])\n'
        )
        done = subprocess.run(
            [sys.executable, '-c', code],
            check=True,
            capture_output=True,
            text=True,
            # Time on the clock says nothing on a busy machine.
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_CPU, (10, 10)
            ),
        )
        self.assertLess(int(done.stdout), 200 * 1024)


def mangled(document):
    """Return strategies for a document with pieces cut, put in, changed."""
    piece = st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            ['<', '>', '&', '&a;', ']]>', '<!--', '<?', BOMB, '\0', "'", '/>']
        ),
    )

    @st.composite
    def build(draw):
        text = document
        for _change in range(draw(st.integers(1, 4))):
            start = draw(st.integers(0, len(text)))
            end = min(len(text), start + draw(st.integers(0, 30)))
            text = text[:start] + draw(piece) + text[end:]
        return text

    return build()


class TestFuzz(testtools.TestCase):
    @thorough.prop(100)
    @hypothesis.given(st.one_of(mangled(guest()), st.text()))
    def test_domain(self, text):
        try:
            found = domain_xml.domain(text)
        except domain_xml.InvalidDocument:
            return
        self.assertIsInstance(found, facts.Domain)
        self.assertGreaterEqual(found.memory_kib, 0)
        self.assertGreaterEqual(found.vcpus, 1)

    @thorough.prop(100)
    @hypothesis.given(st.one_of(mangled(CAPABILITIES), st.text()))
    def test_capabilities(self, text):
        try:
            found = domain_xml.capabilities(text)
        except domain_xml.InvalidDocument:
            return
        self.assertIsInstance(found.host_uuid, str)
