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

from unittest import mock

import testtools

from osc_lab.access import attachment
from osc_lab.tests.unit.access import test_disk
from osc_lab.tests.unit import cinder
from osc_lab.tests.unit import clock

ATTACH = (
    *('volume', 'encryption', 'preset', 'luks', '--key-size', '512'),
    *('--verify', 'attach', '--server', 's1', '-f', 'json'),
)


class TestAttach(testtools.TestCase):
    """The whole shell; this machine is the server's host."""

    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(
            cinder.Cloud(services=('block-storage', 'compute'))
        )
        self.cloud.settings(ssh='local')
        self.host = self.useFixture(test_disk.Host())
        self.useFixture(NamedDisk(self.cloud, self.host))
        self.size = 2**30 - test_disk.PAYLOAD
        self.host.block({'image': {'virtual-size': self.size}})
        patcher = mock.patch('time.sleep')
        patcher.start()
        self.addCleanup(patcher.stop)

    def run_(self, *argv, status=0):
        run = cinder.Run(*ATTACH, *argv)
        self.assertNotIn('Traceback', str(run))
        self.assertEqual(status, run.status, str(run))
        self.assertEqual([], self.cloud.dangerous())
        return run

    def fails(self, text, status=5):
        run = self.run_(status=status)
        self.assertIn(text, run.stderr)
        self.assertEqual({}, self.cloud.types)
        self.assertEqual({}, self.cloud.volumes)
        return run

    def test_proven(self):
        run = self.run_()
        self.assertEqual('attach', run.json['verified'])
        self.assertIn('LUKS header on the host: aes-xts', run.stderr)
        self.assertEqual({}, self.cloud.volumes)

    def test_address_that_nova_tells(self):
        self.cloud.settings(ssh='root@{host_ip}')
        self.cloud.hypervisor('hosta', '192.0.2.7')
        self.host.write('ssh', '#!/bin/sh\nexit 255\n')
        (self.host.folder / 'ssh').chmod(0o755)
        self.fails('root@192.0.2.7 -- true', status=1)

    def test_volume_that_shrinks(self):
        self.host.block({'image': {'virtual-size': 2**18}})
        self.fails('shrank')

    def test_volume_that_is_not_attached(self):
        for status, text in (
            ('error_attaching', 'is "error_attaching"'),
            ('error', 'is "error"'),
        ):
            self.cloud.attaching = status
            self.fails(text)

    def test_attach_that_fails_while_the_volume_is_reserved(self):
        """Nova has reserved it by then, so available is the end of it."""
        self.cloud.attaching = 'available'
        for looks in (0, 1):
            self.cloud.looks = looks
            # Of the module alone: subprocess sleeps until a program ends.
            passed = clock.Clock()
            with mock.patch.object(attachment, 'time', passed):
                self.fails('The volume is "available", not "in-use"')
            self.assertLess(passed.now, 5)

    def test_volume_that_never_comes(self):
        self.cloud.attaching = 'attaching'
        with mock.patch.object(attachment, 'PATIENCE', 0):
            self.fails('The volume is "attaching", not "in-use"')

    def test_nova_refuses(self):
        self.cloud.refused = {('POST', 'os-volume_attachments'): 409}
        self.fails('cannot be attached')

    def test_lost_answer(self):
        """Nobody knows whether it was attached: it is looked at."""
        self.cloud.refused = {('POST', 'os-volume_attachments'): 500}
        passed = self.useFixture(clock.Clock())
        with mock.patch.object(attachment, 'PATIENCE', 60):
            self.fails('The volume is "available", not "in-use"')
        self.assertGreater(passed.now, 60)

    def test_volume_that_cannot_be_detached(self):
        self.cloud.refused = {('DELETE', 'os-volume_attachments'): 403}
        run = self.run_(status=5)
        (volume,) = self.cloud.volumes
        self.assertIn(
            f'openstack server remove volume s1 {volume}', run.stderr
        )
        self.assertIn(f'openstack volume delete --force {volume}', run.stderr)
        (type_id,) = self.cloud.types
        self.assertIn(f'openstack volume type delete {type_id}', run.stderr)

    def test_answers_to_the_detach_that_were_lost(self):
        nova = self.cloud._nova
        for second, status in ((400, 0), (404, 0), (403, 5)):
            self.cloud.types.clear()
            answers = [500, second]

            def detach(request, context, answers=answers):
                body = nova(request, context)
                if request.method == 'DELETE' and answers:
                    context.status_code = answers.pop(0)
                return body

            self.cloud._nova = detach
            self.cloud.register()
            self.run_(status=status)
            self.assertEqual([], answers)
            self.assertEqual(bool(status), bool(self.cloud.volumes))

    def test_detach_that_is_asked_for_too_early(self):
        """Nova attaches the volume although nobody waits any more."""
        for status in ('reserved', 'attaching'):
            self.cloud.looks = 6

            def interrupt(number, status=status):
                for volume in self.cloud.volumes.values():
                    if volume['status'] == status:
                        self.cloud.before = None
                        raise KeyboardInterrupt

            self.cloud.before = interrupt
            self.fails('', status=130)
            self.assertIsNone(self.cloud.before)

    def test_attach_that_arrives_after_the_detach(self):
        """Nova knows nothing of it while the conductor is at work."""
        nova = self.cloud._nova
        for coming in (
            ['reserved', 'attaching', 'in-use'],
            ['available', 'available', 'reserved', 'in-use'],
        ):

            def interrupt(request, context, coming=coming):
                if request.method == 'POST':
                    (volume,) = self.cloud.volumes
                    self.cloud._coming = {volume: list(coming)}
                    self.cloud._move(volume)
                    raise KeyboardInterrupt
                left = any(self.cloud._coming.values())
                if request.method == 'DELETE' and left:
                    context.status_code = 404
                    return {'itemNotFound': {'message': 'not attached'}}
                return nova(request, context)

            self.cloud._nova = interrupt
            self.cloud.register()
            with mock.patch.object(attachment, 'PATIENCE', 5):
                self.fails('', status=130)

    def test_volume_that_is_never_attached_nor_detached(self):
        self.cloud.looks = 10**5
        with mock.patch.object(attachment, 'PATIENCE', 0.2):
            run = self.run_(status=5)
        self.assertIn("status must be 'in-use'", run.stderr)
        self.assertIn('openstack server remove volume s1', run.stderr)

    def test_detach_that_never_works(self):
        self.cloud.refused = {('DELETE', 'os-volume_attachments'): 500}
        run = self.run_(status=5)
        self.assertIn('openstack server remove volume s1', run.stderr)

    def test_volume_that_stays_attached(self):
        self.cloud.detaching = 'detaching'
        with mock.patch.object(attachment, 'PATIENCE', 0):
            run = self.run_(status=5)
        self.assertIn('it is still "detaching"', run.stderr)
        self.assertIn('openstack server remove volume s1', run.stderr)

    def test_server_that_cannot_be_used(self):
        self.cloud.server['status'] = 'SHUTOFF'
        self.fails('web is SHUTOFF', status=2)
        self.cloud.server.update(status='ACTIVE')
        del self.cloud.server['OS-EXT-SRV-ATTR:host']
        self.fails('on host "?"', status=2)
        self.assertEqual([], self.cloud.writes)

    def test_no_way_to_the_host(self):
        self.cloud.settings()
        self.fails('--ssh', status=1)
        self.assertEqual([], self.cloud.writes)


class NamedDisk(test_disk.fixtures.Fixture):
    """Lets libvirt show the volume that was made."""

    def __init__(self, cloud, host):
        self.cloud, self.host = cloud, host

    def _setUp(self):
        original = self.cloud.handle

        def handle(method, path, body):
            found = original(method, path, body)
            if (method, path) == ('POST', '/volumes'):
                (volume,) = self.cloud.volumes
                self.host.domain(
                    test_disk.DOMAIN.replace('>v1<', f'>{volume}<')
                )
            return found

        self.cloud.handle = handle
