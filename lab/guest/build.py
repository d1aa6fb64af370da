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

"""Builds the guest's disk images, once, into the cache folder.

A disk has one FAT partition with syslinux, a Debian kernel and an initial
RAM disk of busybox, a few virtio modules, ``init`` and ``dirty``.  Debian
packages that are needed for their files alone are downloaded and
unpacked, not installed.
"""

import collections.abc
import fcntl
import gzip
import hashlib
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile

#: Image name -> (MiB that are being dirtied, MiB a second; 0: no limit).
VARIANTS = {'guest': (0, 0), 'guest-dirty': (64, 20), 'guest-busy': (160, 0)}

#: Size of an image in MiB.
SIZE = 32

_SECTOR = 512
_MIB = 1024 * 1024
_START = _MIB  # of the partition, in bytes

_HERE = pathlib.Path(__file__).parent

_KERNEL = 'linux-image-cloud-amd64'

_MODULES = (
    'drivers/virtio/virtio',
    'drivers/virtio/virtio_ring',
    'drivers/virtio/virtio_pci_modern_dev',
    'drivers/virtio/virtio_pci_legacy_dev',
    'drivers/virtio/virtio_pci',
    'drivers/virtio/virtio_balloon',
    'drivers/block/virtio_blk',
    'drivers/net/net_failover',
    'drivers/net/virtio_net',
    'net/core/failover',
)

_SYSLINUX = """\
DEFAULT lab
PROMPT 0
LABEL lab
  KERNEL vmlinuz
  APPEND initrd=initrd.gz {arguments}
"""

_ARGUMENTS = (
    'console=ttyS0 quiet panic=-1 mitigations=off nokaslr'
    ' lab.dirty={dirty} lab.rate={rate}'
)


class GuestError(Exception):
    """A tool failed while an image was being built."""


class ListError(GuestError):
    """apt does not know a package, or no longer where it is."""


def _run(*argv: str, cwd: pathlib.Path | None = None, stdin: str = '') -> str:
    try:
        done = subprocess.run(
            argv,
            check=False,
            cwd=cwd,
            # What is read of the output is English.
            env={**os.environ, 'LC_ALL': 'C'},
            input=stdin,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise GuestError(f'{argv[0]} is not installed') from None
    if done.returncode:
        raise GuestError(f'{argv[0]}: {done.stderr.strip()}')
    return done.stdout


def _apt(*argv: str, cwd: pathlib.Path | None = None) -> str:
    try:
        return _run(*argv, cwd=cwd)
    except GuestError as error:
        raise ListError(str(error)) from None


def kernel_package(listing: str) -> str:
    """The versioned package in the output of ``apt-cache depends``.

    :raises ListError: there is none
    """
    found = re.search(r'Depends: (linux-image-\S+)', listing)
    if not found:
        raise ListError(f'{_KERNEL} names no kernel: run apt-get update')
    return found.group(1)


def _unpack(package: str, folder: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        place = pathlib.Path(scratch)
        # As root, apt-get would drop to a user who cannot write here.
        option = ('-o', 'APT::Sandbox::User=root')
        _apt('apt-get', '-qq', *option, 'download', package, cwd=place)
        (archive,) = place.glob('*.deb')
        _run('dpkg-deb', '-x', str(archive), str(folder))


def _one(folder: pathlib.Path, pattern: str) -> pathlib.Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise GuestError(f'no {pattern} in the unpacked packages')
    return found[0]


def _initrd(unpacked: pathlib.Path, work: pathlib.Path) -> bytes:
    root = work / 'root'
    for name in ('bin', 'lib', 'proc', 'sys', 'dev', 'tmp'):
        (root / name).mkdir(parents=True)
    busybox = shutil.which('busybox')
    if busybox is None:
        raise GuestError('busybox is not installed')
    shutil.copy(busybox, root / 'bin' / 'busybox')
    tree = _one(unpacked, 'lib/modules/*/kernel')
    for module in _MODULES:
        source = tree / f'{module}.ko'
        shutil.copy(source, root / 'lib' / source.name)
    _run(
        *('gcc', '-O2', '-static', '-s', str(_HERE / 'dirty.c')),
        *('-o', str(root / 'bin' / 'dirty')),
    )
    shutil.copy(_HERE / 'init', root / 'init')
    (root / 'init').chmod(0o755)
    names = sorted(p.relative_to(root) for p in root.rglob('*'))
    _run(
        *('cpio', '--create', '--format=newc', '--quiet', '--owner=0:0'),
        f'--file={work / "initrd"}',
        cwd=root,
        stdin='\n'.join(['.', *map(str, names)]) + '\n',
    )
    return gzip.compress((work / 'initrd').read_bytes())


def boot_sector(code: bytes) -> bytes:
    """A master boot record with one active FAT partition to the end.

    :param code: at most 440 bytes that load the partition's first sector
    """
    first = _START // _SECTOR
    count = SIZE * _MIB // _SECTOR - first
    entry = struct.pack(
        '<B3sB3sII', 0x80, b'\xfe\xff\xff', 0x0E, b'\xfe\xff\xff', first, count
    )
    head = code.ljust(446, b'\0')
    if len(head) != 446:
        raise GuestError('the boot code is too long')
    return head + entry + bytes(48) + b'\x55\xaa'


def _write_disk(
    path: pathlib.Path,
    code: bytes,
    files: collections.abc.Mapping[str, bytes],
    work: pathlib.Path,
) -> None:
    with open(path, 'wb') as disk:
        disk.write(boot_sector(code))
        disk.truncate(SIZE * _MIB)
    partition = f'{path}@@{_START}'
    sectors = (SIZE * _MIB - _START) // _SECTOR
    _run(
        *('mformat', '-i', partition, '-T', str(sectors), '-h', '16'),
        *('-s', '63', '-H', str(_START // _SECTOR), '::'),
    )
    for name, content in files.items():
        source = work / name
        source.write_bytes(content)
        _run('mcopy', '-i', partition, str(source), f'::{name}')
    _run('syslinux', '--install', '--offset', str(_START), str(path))


def _key(package: str) -> str:
    digest = hashlib.sha256(package.encode())
    for name in ('build.py', 'dirty.c', 'init'):
        digest.update((_HERE / name).read_bytes())
    return digest.hexdigest()[:16]


def _folder(cache: pathlib.Path) -> tuple[str, pathlib.Path]:
    """The kernel's package, and where images with it are kept."""
    package = kernel_package(_apt('apt-cache', 'depends', _KERNEL))
    return package, cache / 'guest' / _key(package)


def images(cache: pathlib.Path) -> dict[str, pathlib.Path]:
    """Image name -> raw image; see ``ensure``."""
    _, folder = _folder(cache)
    return {name: folder / f'{name}.raw' for name in VARIANTS}


def _build(package: str, folder: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        work = pathlib.Path(scratch)
        unpacked, done = work / 'unpacked', work / 'done'
        done.mkdir()
        _unpack(package, unpacked)
        _unpack('syslinux-common', unpacked)
        code = _one(unpacked, 'usr/lib/syslinux/mbr/mbr.bin').read_bytes()
        files = {
            'vmlinuz': _one(unpacked, 'boot/vmlinuz-*').read_bytes(),
            'initrd.gz': _initrd(unpacked, work),
        }
        for name, (dirty, rate) in VARIANTS.items():
            text = _SYSLINUX.format(
                arguments=_ARGUMENTS.format(dirty=dirty, rate=rate)
            )
            files['syslinux.cfg'] = text.encode()
            _write_disk(done / f'{name}.raw', code, files, work)
        # One rename: the cache never holds half a set.
        done.rename(folder)


def _ensure(cache: pathlib.Path) -> bool:
    package, folder = _folder(cache)
    if folder.exists():
        return False
    _build(package, folder)
    return True


def ensure(cache: pathlib.Path) -> bool:
    """Build the images unless the cache has them; one lab at a time does.

    :returns: False when nothing was to be done
    :raises GuestError: a tool is missing or failed
    """
    place = cache / 'guest'
    place.mkdir(parents=True, exist_ok=True)
    with open(place / 'lock', 'w') as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            return _ensure(cache)
        except ListError:
            # Where nothing was to be installed, the lists may be older than
            # the archive, which keeps the newest kernel alone.
            _run('apt-get', '-qq', 'update')
            return _ensure(cache)
