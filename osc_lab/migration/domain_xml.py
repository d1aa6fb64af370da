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

"""XML of libvirt, read so that a hostile document does no harm.

No document type is accepted, so there are no entities to blow up, and
what is read has limits of length, depth and number of elements.
"""

import re
import typing
import xml.etree.ElementTree as ET
import xml.parsers.expat

from osc_lab.migration import facts

#: Characters; capabilities of a large host have about one million.
LIMIT = 4 * 1024 * 1024
ELEMENTS = 200_000
DEPTH = 64

#: What binds a guest to a part of its host, see facts.Domain.
_PLACES = ('memoryBacking/hugepages', 'numatune', 'cputune/vcpupin')

#: Digits of a number that libvirt would write.
_DIGITS = re.compile('[0-9]{1,18}')

_UNITS = {
    'b': 1,
    'bytes': 1,
    'KB': 1000,
    'k': 1024,
    'KiB': 1024,
    'MB': 1000**2,
    'M': 1024**2,
    'MiB': 1024**2,
    'GB': 1000**3,
    'G': 1024**3,
    'GiB': 1024**3,
    'TiB': 1024**4,
}


class InvalidDocument(ValueError):
    """The document is not what libvirt would send."""


def parse(text: str) -> ET.Element:
    """Return the root element of a document.

    :raises InvalidDocument: when it is too large, not well formed, or has
        a document type
    """
    if len(text) > LIMIT:
        raise InvalidDocument(f'{len(text)} characters are too many')
    builder = ET.TreeBuilder()
    # Whatever encoding the document names, here it is text already.
    parser = xml.parsers.expat.ParserCreate('utf-8')
    parser.buffer_text = True
    count = depth = 0

    def refuse(*args: typing.Any) -> None:
        raise InvalidDocument('a document type is not expected')

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count, depth
        count, depth = count + 1, depth + 1
        if count > ELEMENTS or depth > DEPTH:
            raise InvalidDocument('too many elements')
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(text.encode('utf-8', 'replace'), True)
    except xml.parsers.expat.ExpatError as error:
        raise InvalidDocument(str(error)) from error
    return builder.close()


def domain(text: str) -> facts.Domain:
    """Return the guest that a domain's XML describes.

    :raises InvalidDocument: when it describes none
    """
    root = parse(text)
    if root.tag != 'domain':
        raise InvalidDocument(f'<{root.tag}> instead of <domain>')
    kind = root.find('os/type')
    cpu = root.find('cpu')
    backing = root.find('memoryBacking')
    return facts.Domain(
        name=root.findtext('name', ''),
        uuid=root.findtext('uuid', ''),
        type=root.get('type', ''),
        arch='' if kind is None else kind.get('arch', ''),
        machine='' if kind is None else kind.get('machine', ''),
        emulator=root.findtext('devices/emulator', ''),
        memory_kib=_size(root.find('memory')) // 1024,
        vcpus=_number(root.findtext('vcpu', '')) or 1,
        cpu_xml=''
        if cpu is None
        else ET.tostring(cpu, encoding='unicode').strip(),
        cpu_model='' if cpu is None else cpu.findtext('model', ''),
        cpu_mode='' if cpu is None else cpu.get('mode', ''),
        disks=tuple(_disk(item) for item in root.findall('devices/disk')),
        hostdevs=tuple(
            item.get('type', '') for item in root.findall('devices/hostdev')
        ),
        filesystems=tuple(
            _filesystem(item) for item in root.findall('devices/filesystem')
        ),
        tpm=_attribute(root, 'devices/tpm/backend', 'type'),
        launch_security=_attribute(root, 'launchSecurity', 'type'),
        hugepages=backing is not None
        and backing.find('hugepages') is not None,
        interfaces=tuple(
            item.get('type', '') for item in root.findall('devices/interface')
        ),
        placed=tuple(
            name.rpartition('/')[2]
            for name in _PLACES
            if root.find(name) is not None
        ),
    )


def _disk(element: ET.Element) -> facts.Disk:
    kind = element.get('type', '')
    source = element.find('source')
    path = ''
    if source is not None:
        path = (
            source.get('file') or source.get('dev') or source.get('name') or ''
        )
    serial = element.findtext('serial', '')
    return facts.Disk(
        device=element.get('device', 'disk'),
        kind=kind,
        target=_attribute(element, 'target', 'dev'),
        source=path,
        format=_attribute(element, 'driver', 'type'),
        readonly=element.find('readonly') is not None,
        shareable=element.find('shareable') is not None,
        encrypted=element.find('source/encryption') is not None
        or element.find('encryption') is not None,
        # Nova gives volumes alone a serial, the id of the volume.
        volume_id=serial,
        backing=tuple(
            found.get('file', '')
            for found in element.findall('.//backingStore/source')
            if found.get('file')
        ),
    )


def _filesystem(element: ET.Element) -> str:
    driver = _attribute(element, 'driver', 'type')
    return driver if driver == 'virtiofs' else '9p'


def _attribute(element: ET.Element, path: str, name: str) -> str:
    found = element.find(path)
    return '' if found is None else found.get(name, '')


def _size(element: ET.Element | None) -> int:
    """Return bytes; libvirt's default unit is KiB."""
    if element is None:
        return 0
    unit = _UNITS.get(element.get('unit', 'KiB'), 1)
    return _number(element.text or '') * unit


def _number(text: str) -> int:
    """Return a number, 0 for anything else."""
    return int(text) if _DIGITS.fullmatch(text.strip()) else 0


def cpu_models(text: str) -> frozenset[str]:
    """Return the named CPU models of a domain's capabilities.

    :raises InvalidDocument: when it is no such document
    """
    root = parse(text)
    if root.tag != 'domainCapabilities':
        raise InvalidDocument(f'<{root.tag}> instead of <domainCapabilities>')
    return frozenset(
        (item.text or '').strip()
        for item in root.findall("cpu/mode[@name='custom']/model")
    )


class Capabilities(typing.NamedTuple):
    """What a host's capabilities tell.

    :param cpu_xml: ``<cpu>`` of the host
    """

    host_uuid: str
    cpu_xml: str


def capabilities(text: str) -> Capabilities:
    """Return who a host is and which CPU it has.

    :raises InvalidDocument: when it is no capabilities document
    """
    root = parse(text)
    if root.tag != 'capabilities':
        raise InvalidDocument(f'<{root.tag}> instead of <capabilities>')
    cpu = root.find('host/cpu')
    return Capabilities(
        root.findtext('host/uuid', ''),
        '' if cpu is None else ET.tostring(cpu, encoding='unicode').strip(),
    )
