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

"""Files and folders as the services of a host see them."""

import os

import fixtures

from osc_lab.access import remote_probe
from osc_lab.tests.unit.access import probing


class TestFiles(probing.ProbeTest):
    def setUp(self):
        super().setUp()
        self.only()

    def contained(self, name, root):
        """Start a service that sees other files than this process."""
        self.service(name)
        self.useFixture(
            fixtures.MonkeyPatch(
                'osc_lab.access.remote_probe.container', lambda _pid: root
            )
        )

    def test_space(self):
        found = remote_probe.space(str(self.folder))
        self.assertGreater(found['free'], 0)
        gone = remote_probe.space(str(self.folder / 'none'))
        self.assertEqual({'error': 'No such file or directory'}, gone)

    def test_identities(self):
        one = self.write('1', '')
        linked = str(self.folder / 'linked')
        os.link(one, linked)
        other, gone = self.write('2', ''), str(self.folder / 'none')
        found = remote_probe.identities([one, linked, other, gone, f'{one}/x'])
        self.assertEqual(found[one], found[linked])
        self.assertNotEqual(found[one], found[other])
        self.assertEqual('', found[gone])
        self.assertEqual('', found[f'{one}/x'])

    def test_what_nobody_can_see_is_not_gone(self):
        one, gone = self.write('1', ''), str(self.folder / 'none')
        loop = self.folder / 'loop'
        loop.symlink_to(loop)
        self.assertEqual(
            {gone: ''}, remote_probe.identities([str(loop), gone])
        )

        def refuse(path):
            raise PermissionError(path)

        self.useFixture(fixtures.MonkeyPatch('os.statvfs', refuse))
        self.assertEqual({}, remote_probe.identities([one, gone]))

    def test_files_of_nova_compute_in_a_container(self):
        root = self.folder / 'root'
        (root / 'i').mkdir(parents=True)
        (root / 'i' / 'disk').write_text('')
        self.contained('nova-compute', str(root))
        found = remote_probe.identities(['/i/disk', '/none', str(self.folder)])
        inode = (root / 'i' / 'disk').stat().st_ino
        self.assertEqual(str(inode), found['/i/disk'].partition(':')[2])
        self.assertEqual(['', ''], [*found.values()][1:])
        self.assertGreater(remote_probe.space('/i')['free'], 0)
        self.assertIn('error', remote_probe.space(str(self.folder)))

    def test_files_of_nova_compute_where_nobody_may_look(self):
        one = self.write('1', '')
        self.contained('nova-compute', None)
        self.assertNotIn('', remote_probe.identities([one]).values())
        self.assertGreater(remote_probe.space(one)['free'], 0)

    def test_links_stay_in_the_container(self):
        root = self.folder / 'root'
        (root / 'a' / 'b').mkdir(parents=True)
        for name, target in (
            ('one', '/a/b'),
            ('two', '/one'),
            ('a/here', 'b'),
            ('no-such-loop', '/no-such-loop'),
        ):
            (root / name).symlink_to(target)
        for path, expected in (
            ('/one/c', '/a/b/c'),
            ('/two', '/a/b'),
            ('/a/here/c', '/a/here/c'),
            ('/none/c', '/none/c'),
        ):
            self.assertEqual(
                f'{root}{expected}', remote_probe.inside(str(root), path)
            )
        self.assertEqual(f'{root}/one', remote_probe.inside('', f'{root}/one'))
        self.contained('nova-compute', str(root))
        self.assertEqual(
            {'/no-such-loop': ''}, remote_probe.identities(['/no-such-loop'])
        )

    def test_no_private_key_leaves(self):
        block = '-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----'
        path = self.write(
            'both.pem',
            f'{block.format("one")}\n-----BEGIN PRIVATE KEY-----\nsecret\n'
            f'-----END PRIVATE KEY-----\n{block.format("two")}\n',
        )
        gone = str(self.folder / 'none')
        loop = self.folder / 'loop'
        loop.symlink_to(loop)
        found = remote_probe.certificates([path, gone, f'{path}/x', str(loop)])
        self.assertEqual(
            f'{block.format("one")}\n{block.format("two")}',
            found[path]['pem'],
        )
        self.assertEqual(({}, {}), (found[gone], found[f'{path}/x']))
        self.assertEqual(
            {'error': 'Too many levels of symbolic links'}, found[str(loop)]
        )

    def test_certificates_of_libvirt_in_a_container(self):
        root = self.folder / 'root'
        root.mkdir()
        path = root / 'cert.pem'
        path.write_text('x')
        for name in ('libvirtd', 'virtqemud', 'virtproxyd'):
            self.contained(name, str(root))
            self.assertEqual(
                {'/cert.pem': {'pem': ''}, str(path): {}},
                remote_probe.certificates(['/cert.pem', str(path)]),
            )

    def test_certificates_of_libvirt_where_nobody_may_look(self):
        """One of the host is taken for its own; that there is none is not."""
        path, gone = self.write('cert.pem', 'x'), str(self.folder / 'none')
        self.contained('libvirtd', None)
        found = remote_probe.certificates([path, gone])
        self.assertIn('pem', found[path])
        self.assertEqual(
            {'error': 'libvirt may be in a container'}, found[gone]
        )

    def test_certificates_that_a_guest_sees(self):
        uuid, block = 'guest-of-this-test', '-----{} CERTIFICATE-----'
        path = self.write(
            'cert.pem', f'{block.format("BEGIN")}\n{block.format("END")}\n'
        )
        gone = str(self.folder / 'none')

        def look():
            return remote_probe.guest_certificates(uuid, [path, gone])

        self.assertIsNone(look())
        self.service('qemu', '-uuid', uuid)
        found = look()
        self.assertIn('CERTIFICATE', found[path]['pem'])
        self.assertEqual({}, found[gone])
        # It was started before its container got the file.
        root = self.folder / 'root'
        root.mkdir()
        for view, expected in (
            (str(root), {}),
            (None, {'error': 'only root may see the files of QEMU'}),
        ):
            self.useFixture(
                fixtures.MonkeyPatch(
                    'osc_lab.access.remote_probe.container',
                    lambda _pid, view=view: view,
                )
            )
            self.assertEqual({path: expected, gone: expected}, look())

    def test_userfaultfd(self):
        setting, device = self.folder / 'setting', self.folder / 'device'

        def look():
            return remote_probe.userfaultfd(str(setting), str(device))

        self.assertTrue(look())
        for text, expected in (('1\n', True), ('0\n', False)):
            setting.write_text(text)
            self.assertIs(expected, look())
        device.touch()
        self.assertTrue(look())
        # The container of libvirt has none.
        for root, expected in ((str(self.folder / 'no'), False), (None, True)):
            self.contained('libvirtd', root)
            self.assertIs(expected, look())
