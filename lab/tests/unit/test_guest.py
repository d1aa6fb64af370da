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

"""The guest's build: what needs no tools, and the rest with small ones."""

import concurrent.futures
import pathlib
import struct
import tempfile
import unittest
from unittest import mock

from lab.guest import build

APT_CACHE = """#!/bin/sh
[ "$LC_ALL" = C ] && word=Depends || word='Hängt ab von'
echo "$2"
echo "  $word: linux-image-6.1.0-1-cloud-amd64"
"""

#: Two labs are at it at once.
APT_GET = """#!/bin/sh
sleep 0.2
touch some.deb
"""

#: The lists name a kernel that is no longer in the archive.
OLD_APT_CACHE = """#!/bin/sh
[ -e {folder}/updated ] && number=2 || number=1
echo "  Depends: linux-image-6.1.0-$number-cloud-amd64"
"""
OLD_APT_GET = """#!/bin/sh
case $* in
    *update) echo update >> {folder}/updated ;;
    *-1-*) echo 404 Not Found >&2; exit 100 ;;
    *) touch some.deb ;;
esac
"""

NO_APT_GET = """#!/bin/sh
case $* in
    *update) echo update >> {folder}/asked ;;
    *) echo download >> {folder}/asked; echo not found >&2; exit 100 ;;
esac
"""

DPKG_DEB = f"""#!/bin/sh
mkdir -p "$3" && cd "$3"
mkdir -p boot usr/lib/syslinux/mbr
touch boot/vmlinuz-1 usr/lib/syslinux/mbr/mbr.bin
for module in {' '.join(build._MODULES)}; do
    mkdir -p "$(dirname lib/modules/1/kernel/$module)"
    touch lib/modules/1/kernel/$module.ko
done
"""

GCC = """#!/bin/sh
for last; do :; done
touch "$last"
"""

CPIO = """#!/bin/sh
for word; do
    case $word in --file=*) cat > "${word#--file=}" ;; esac
done
"""

#: What builds an image, by name.
TOOLS = {
    'apt-cache': APT_CACHE,
    'apt-get': APT_GET,
    'busybox': '',
    'cpio': CPIO,
    'dpkg-deb': DPKG_DEB,
    'gcc': GCC,
    **dict.fromkeys(('mcopy', 'mformat', 'syslinux'), '#!/bin/sh\n'),
}


class BootSectorTest(unittest.TestCase):
    def test_one_active_partition_to_the_end_of_the_disk(self) -> None:
        sector = build.boot_sector(b'\x90' * 440)
        self.assertEqual(512, len(sector))
        self.assertEqual(b'\x55\xaa', sector[510:])
        self.assertEqual(0x80, sector[446])
        first, count = struct.unpack_from('<II', sector, 454)
        self.assertEqual(build.SIZE * 2048, first + count)
        self.assertEqual(bytes(48), sector[462:510])

    def test_code_that_does_not_fit_is_refused(self) -> None:
        with self.assertRaises(build.GuestError):
            build.boot_sector(b'\x90' * 447)


class KernelTest(unittest.TestCase):
    def test_the_versioned_package_is_found(self) -> None:
        listing = 'linux-image-x\n  Depends: linux-image-6.1.0-1-cloud\n'
        self.assertEqual(
            'linux-image-6.1.0-1-cloud', build.kernel_package(listing)
        )

    def test_no_package_list_is_said_with_the_remedy(self) -> None:
        with self.assertRaisesRegex(build.GuestError, 'apt-get update'):
            build.kernel_package('')


class ImagesTest(unittest.TestCase):
    """With tools of a few lines."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        for name, script in TOOLS.items():
            self.program(name, script)
        patch = mock.patch.dict(
            'os.environ',
            PATH=f'{self.folder}:/usr/bin:/bin',
            LANG='de_DE.UTF-8',
            LANGUAGE='de',
        )
        patch.start()
        self.addCleanup(patch.stop)

    def program(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(script, encoding='utf-8')
        path.chmod(0o755)

    def test_apt_answers_in_english(self) -> None:
        with mock.patch.dict('os.environ', LC_ALL='de_DE.UTF-8'):
            found = build.images(self.folder)
        self.assertEqual(build.VARIANTS.keys(), found.keys())

    def test_lists_that_are_too_old_are_renewed(self) -> None:
        self.program('apt-cache', OLD_APT_CACHE.format(folder=self.folder))
        self.program('apt-get', OLD_APT_GET.format(folder=self.folder))
        cache = self.folder / 'cache'
        self.assertTrue(build.ensure(cache))
        for path in build.images(cache).values():
            self.assertTrue(path.exists())
        self.assertEqual('update\n', (self.folder / 'updated').read_text())

    def test_a_package_that_cannot_be_had_is_tried_twice(self) -> None:
        self.program('apt-get', NO_APT_GET.format(folder=self.folder))
        with self.assertRaisesRegex(build.GuestError, 'not found'):
            build.ensure(self.folder / 'cache')
        self.assertEqual(
            ['download', 'update', 'download'],
            (self.folder / 'asked').read_text().split(),
        )

    def test_two_labs_at_once_build_one_set(self) -> None:
        cache = self.folder / 'cache'
        with concurrent.futures.ThreadPoolExecutor() as pool:
            labs = [pool.submit(build.ensure, cache) for _ in range(2)]
        self.assertEqual([False, True], sorted(lab.result() for lab in labs))
        for path in build.images(cache).values():
            self.assertEqual(build.SIZE * 2**20, path.stat().st_size)
        self.assertFalse(build.ensure(cache))


if __name__ == '__main__':
    unittest.main()
