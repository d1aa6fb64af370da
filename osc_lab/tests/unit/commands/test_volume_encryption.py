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

"""The preset commands, through the whole shell, at the HTTP level."""

import re

import testtools

from osc_lab.encryption import mark
from osc_lab.encryption import model
from osc_lab.encryption import scratch
from osc_lab.tests.unit import cinder
from osc_lab.tests.unit.commands import presets

GOOD = {
    'provider': 'luks',
    'cipher': 'aes-xts-plain64',
    'key_size': 256,
    'control_location': 'front-end',
}


class TestLuks(presets.PresetTest):
    def test_makes_the_type(self):
        result = self.luks('-f', 'json').json
        (item,) = self.cloud.types.values()
        self.assertEqual(item['id'], result['id'])
        self.assertEqual('LUKS', item['name'])
        self.assertTrue(item['is_public'])
        self.assertIsNone(mark.read(item['description']))
        self.assertEqual(
            GOOD,
            {key: self.cloud.encryptions[item['id']][key] for key in GOOD},
        )
        self.assertEqual(GOOD, {key: result[key] for key in GOOD})
        self.assertTrue(result['changed'])

    def test_order_of_writes(self):
        self.luks()
        type_id = next(iter(self.cloud.types))
        self.assertEqual(
            [
                ('POST', '/types'),
                ('POST', f'/types/{type_id}/encryption'),
                ('POST', '/volumes'),
                ('DELETE', '/volumes/-'),
                ('PUT', f'/types/{type_id}'),
            ],
            [
                (method, re.sub('/volumes/.+', '/volumes/-', path))
                for method, path in self.cloud.writes
            ],
        )

    def test_second_run_changes_nothing_and_says_so(self):
        self.luks()
        self.cloud.log.clear()
        run = self.luks('-f', 'json')
        self.assertEqual([], self.cloud.writes)
        self.assertFalse(run.json['changed'])
        self.assertIn('nothing was changed', run.stderr)

    def test_difference_is_reported_by_field_and_left_alone(self):
        self.cloud.add('LUKS', '', False, **{**GOOD, 'key_size': 128})
        run = self.luks(status=3)
        self.assertIn('key_size is "128", not "256"', run.stderr)
        self.assertIn('is_public is "False", not "True"', run.stderr)
        self.assertEqual([], self.cloud.writes)
        self.assertEqual('', run.stdout)

    def test_name_in_other_letters(self):
        """The database of Cinder may take it for the same."""
        self.cloud.add('luks', **GOOD)
        run = self.luks(status=3)
        self.assertIn('Volume type "luks" exists, and to Cinder', run.stderr)
        self.assertIn('--name', run.stderr)
        self.assertEqual([('POST', '/types')], self.cloud.writes)

    def test_legacy_provider_is_no_difference(self):
        self.cloud.add('LUKS', **{**GOOD, 'provider': 'LuksEncryptor'})
        self.luks()
        self.assertEqual([], self.cloud.writes)

    def test_twins_are_a_conflict(self):
        self.cloud.add('LUKS', **GOOD)
        self.cloud.add('LUKS', **GOOD)
        self.assertIn('There are 2 volume types', self.luks(status=3).stderr)

    def test_private_with_project(self):
        self.luks('--private', '--project', 'two')
        (item,) = self.cloud.types.values()
        self.assertFalse(item['is_public'])
        self.assertEqual({'p2'}, self.cloud.access[item['id']])
        self.cloud.log.clear()
        self.luks('--private', '--project', 'two')
        self.assertEqual([], self.cloud.writes)

    def test_dry_run_of_what_is_there(self):
        self.luks()
        run = self.luks('--dry-run', '-f', 'json')
        self.assertEqual([], run.json['plan'])

    def test_dry_run_shows_the_plan_and_writes_nothing(self):
        run = self.luks('--dry-run', '-f', 'json')
        self.assertEqual([], self.cloud.writes)
        self.assertIn(
            'openstack volume type create --private LUKS',
            [step['command'] for step in run.json['plan']],
        )
        self.assertIn('1. create the private', self.luks('--dry-run').stdout)

    def test_options(self):
        result = self.luks(
            *('--name', 'a b', '--key-size', '512'),
            *('--description', 'for all', '-f', 'json'),
        ).json
        (item,) = self.cloud.types.values()
        self.assertEqual(
            ('a b', 'for all'), (item['name'], item['description'])
        )
        self.assertEqual(512, result['key_size'])

    def test_other_presets(self):
        self.run_(*presets.LUKS[:-1], 'luks-aes256')
        self.run_(*presets.LUKS[:-1], 'luks2')
        made = {
            item['name']: self.cloud.encryptions[item['id']]
            for item in self.cloud.types.values()
        }
        self.assertEqual(512, made['LUKS-AES256']['key_size'])
        self.assertEqual('luks2', made['LUKS2']['provider'])

    def test_unfinished_type_of_a_dead_run_is_replaced(self):
        left = self.cloud.add('LUKS', str(mark.new(_host(), 2**22 + 1)), False)
        self.luks()
        self.assertNotIn(left['id'], self.cloud.types)
        self.assertEqual(1, len(self.cloud.types))

    def test_waits_for_a_run_that_is_alive(self):
        left = self.cloud.add('LUKS', str(mark.new(_host(), 1)), False)

        def finish(seconds):
            left.update(description='', is_public=True)
            left['os-volume-type-access:is_public'] = True
            self.cloud.encryptions[left['id']] = {'encryption_id': 'e', **GOOD}

        self.sleep.side_effect = finish
        run = self.luks('-f', 'json')
        self.assertEqual([], self.cloud.writes)
        self.assertIn('Waiting for process 1', run.stderr)


class TestProof(presets.PresetTest):
    """The volume that proves a type, through the API."""

    def test_says_where_the_key_is(self):
        """The id alone does not tell whose it is."""
        for services, secrets, refused, manager in (
            (('key-manager',), [self.cloud.key_id], {}, 'barbican'),
            (('key-manager',), [], {}, 'unknown'),
            (('key-manager',), [], {('GET', '/secrets/'): 500}, 'unknown'),
            ((), [self.cloud.key_id], {}, 'unknown'),
        ):
            cloud = self.useFixture(
                cinder.Cloud(services=('block-storage', *services))
            )
            cloud.key_id = self.cloud.key_id
            cloud.secrets, cloud.refused = list(secrets), refused
            result = self.luks('-f', 'json').json
            self.assertEqual(manager, result['key_manager'])
            self.assertEqual('api', result['verified'])

    def test_warns_about_the_fixed_key(self):
        self.cloud.key_id = model.ZERO_KEY
        run = self.luks('-f', 'json')
        self.assertEqual('fixed-key', run.json['key_manager'])
        self.assertIn('opens every volume', run.stderr)

    def test_says_when_nothing_is_formatted_yet(self):
        told = 'is not formatted until its first attach'
        for protocol, said in (('iSCSI', True), ('ceph', False)):
            self.cloud.pools = [protocol]
            run = self.luks('--name', protocol)
            self.assertEqual(said, told in run.stderr, str(run))
        run = self.luks('--name', 'x', '--no-verify')
        self.assertNotIn(told, run.stderr)

    def test_pools_that_fail_are_no_failure_of_the_proof(self):
        self.cloud.http.get(
            cinder.CINDER + '/scheduler-stats/get_pools',
            status_code=403,
            json={},
        )
        self.luks()

    def test_no_key_undoes_the_type(self):
        self.cloud.key_id = None
        self.assertIn('has no key', self.luks(status=5).stderr)
        self.assertEqual({}, self.cloud.types)

    def test_volume_that_fails_undoes_the_type(self):
        self.cloud.volume_status = 'error'
        self.assertIn('no key', self.luks(status=5).stderr)
        self.assertEqual({}, self.cloud.types)

    def test_volume_encrypted_otherwise_undoes_the_type(self):
        self.cloud.volume_encryption = {'cipher': None}
        self.assertIn('cipher is "None"', self.luks(status=5).stderr)
        self.assertEqual({}, self.cloud.types)

    def test_existing_type_is_proven_on_demand(self):
        self.luks('--no-verify')
        result = self.luks('--verify', '-f', 'json').json
        self.assertEqual(
            ('api', False), (result['verified'], result['changed'])
        )

    def test_existing_type_is_proven_when_its_twin_is_removed(self):
        self.luks('--no-verify')
        left = self.cloud.add('LUKS', str(mark.new(_host(), 2**22 + 1)), False)
        run = self.luks('--verify', '-f', 'json')
        self.assertEqual(
            ('api', True), (run.json['verified'], run.json['changed'])
        )
        self.assertNotIn(left['id'], self.cloud.types)
        self.assertNotIn('nothing was changed', run.stderr)
        left = self.cloud.add('LUKS', str(mark.new(_host(), 2**22 + 1)), False)
        self.assertEqual('no', self.luks('-f', 'json').json['verified'])

    def test_new_type_is_proven_once(self):
        self.luks('--verify')
        made = [path for _method, path in self.cloud.writes]
        self.assertEqual(1, made.count('/volumes'))

    def scratch(self, type_id, **more):
        """Have the volume of a run that was killed."""
        self.cloud.handle(
            'POST',
            '/volumes',
            {
                'volume': {
                    'name': 'osc-lab-proof-x',
                    'size': 1,
                    'volume_type': type_id,
                    'metadata': {scratch.MARK: type_id},
                }
            },
        )
        (volume,) = self.cloud.volumes.values()
        volume.update(more)
        return volume['id']

    def test_scratch_volume_of_a_killed_run_goes_with_its_type(self):
        left = self.cloud.add('LUKS', str(mark.new(_host(), 2**22 + 1)), False)
        self.scratch(left['id'])
        self.luks('--no-verify')
        self.assertNotIn(left['id'], self.cloud.types)

    def test_scratch_volume_of_another_project(self):
        left = self.cloud.add('LUKS', str(mark.new(_host(), 2**22 + 1)), False)
        self.scratch(left['id'], **{cinder.TENANT: 'p9'})
        self.luks('--no-verify')
        self.assertNotIn(left['id'], self.cloud.types)

    def test_scratch_volume_that_is_attached(self):
        """What to do is said, and the next run goes on."""
        left = self.cloud.add('LUKS', str(mark.new(_host(), 2**22 + 1)), False)
        volume = self.scratch(
            left['id'], status='in-use', attachments=[{'server_id': 's9'}]
        )
        run = cinder.Run(*presets.LUKS)
        self.assertEqual(3, run.status, str(run))
        for command in (
            f'openstack server remove volume s9 {volume}',
            f'openstack volume delete {volume}',
        ):
            self.assertIn(command, run.stderr)
        self.cloud.volumes[volume]['status'] = 'available'
        self.luks('--no-verify')
        self.assertNotIn(left['id'], self.cloud.types)

    def test_scratch_volume_that_cinder_does_not_delete(self):
        """The command that is named is not the one that was refused."""
        left = self.cloud.add('LUKS', str(mark.new(_host(), 2**22 + 1)), False)
        volume = self.scratch(left['id'], status='error_deleting')
        run = cinder.Run(*presets.LUKS)
        self.assertEqual(3, run.status, str(run))
        self.assertIn(f'openstack volume delete --force {volume}', run.stderr)
        self.cloud.volumes.clear()

    def test_scratch_volume_of_a_finished_type_is_named(self):
        self.luks('--no-verify')
        (type_id,) = self.cloud.types
        volume = self.scratch(type_id)
        run = cinder.Run(*presets.LUKS, '--verify')
        self.assertEqual(0, run.status, str(run))
        self.assertIn(f'openstack volume delete {volume}', run.stderr)
        self.assertEqual([volume], list(self.cloud.volumes))
        self.cloud.volumes.clear()

    def test_level_without_the_option(self):
        self.assertIn('"api" belongs to no', self.luks('api', status=2).stderr)

    def test_levels(self):
        run = self.luks('--verify', 'much', status=2)
        self.assertIn('"much" is not known', run.stderr)
        run = self.luks('--verify', '--no-verify', status=2)
        self.assertIn('--no-verify', run.stderr)

    def test_attach_needs_a_server(self):
        run = self.luks('--verify', 'attach', status=2)
        self.assertIn('--server', run.stderr)


def _host():
    from osc_lab.access import process

    return process.actor().host


class TestBadInput(presets.PresetTest):
    BAD = (
        (('--cipher', 'rot13'), 'algorithm-mode-iv'),
        (('--cipher', 'rot13-xts-plain64'), '"rot13"'),
        (('--cipher', 'aes-ecb-plain'), '"ecb"'),
        (('--cipher', 'aes-xts-essiv:sha256'), '"essiv:sha256"'),
        (('--cipher', ''), 'algorithm-mode-iv'),
        (('--key-size', '0'), '256 (AES-128), 512 (AES-256)'),
        (('--key-size=-1',), '"-1"'),
        (('--key-size', 'abc'), '"abc"'),
        (('--key-size', '128'), '"128"'),
        (('--key-size', '384'), '"384"'),
        (('--key-size', '9' * 5000), 'not a key size'),
        (('--key-size', '\u0662\u0665\u0666'), 'not a key size'),
        (('--name', ''), '--name: it is empty'),
        (('--name', '   '), '--name: it is empty'),
        (('--name', 'x' * 300), '300 characters'),
        (('--name', 'a\x1b[2Jb'), 'a\\x1b[2Jb'),
        (('--name', 'a\nb'), 'control characters'),
        (('--name', ' a'), 'blank'),
        (('--description', 'x' * 256), '256 characters'),
        (('--description', str(mark.new('h', 1))), 'marks unfinished'),
        (('--provider', 'plain'), '--allow-plain'),
        (('--provider', 'NoOpEncryptor'), 'does not encrypt'),
        (('--provider', 'luks3'), '"luks3" is not known'),
        (('--provider', ''), '"" is not known'),
        (('--control-location', 'back-end'), '--allow-back-end'),
        (('--control-location', 'middle'), '"middle"'),
        (('--project', 'two'), '--private'),
    )

    def test_one_line_and_no_request(self):
        for argv, text in self.BAD:
            run = self.luks(*argv, status=2)
            self.assertIn(text, run.stderr)
            lines = run.stderr.strip().splitlines()
            self.assertEqual(1, len(lines), run.stderr)
            self.assertNotIn('\x1b', run.stderr)
            self.assertEqual(0, self.cloud.http.call_count)

    def test_legacy_provider_is_mapped_with_a_warning(self):
        run = self.luks('--provider', 'LuksEncryptor')
        self.assertIn('legacy name', run.stderr)
        (made,) = self.cloud.encryptions.values()
        self.assertEqual('luks', made['provider'])

    def test_allowed_with_a_warning(self):
        run = self.luks('--control-location', 'back-end', '--allow-back-end')
        self.assertIn('never formats a volume', run.stderr)
        self.luks('--provider', 'plain', '--allow-plain', '--name', 'p')
        run = self.luks('--cipher', 'aes-cbc-essiv:sha256', '--name', 'c')
        self.assertIn('use XTS', run.stderr)

    def test_no_admin_role(self):
        self.cloud.admin = False
        run = self.luks(status=1)
        self.assertIn('admin role', run.stderr)
        self.assertEqual({}, self.cloud.types)

    def test_unknown_preset(self):
        run = self.run_(*presets.LUKS[:-1], 'show', 'nope', status=1)
        self.assertIn('preset list', run.stderr)

    def test_project_of_a_domain(self):
        keystone = 'http://keystone.test/v3'
        self.cloud.http.get(
            f'{keystone}/domains/d1', json={'domain': {'id': 'd1'}}
        )
        for project in ('p4', 'p5'):
            self.cloud.http.get(
                f'{keystone}/projects?domain_id=d1&name={project}-name',
                json={'projects': [{'id': project}]},
            )
        self.luks(
            *('--private', '--project-domain', 'd1'),
            *('--project', 'p4-name', '--project', 'p5-name'),
        )
        self.assertEqual([{'p4', 'p5'}], list(self.cloud.access.values()))

    def test_unknown_project(self):
        self.cloud.http.get(
            'http://keystone.test/v3/projects', json={'projects': []}
        )
        run = self.luks('--private', '--project', 'nobody', status=1)
        self.assertIn('openstack project list', run.stderr)
        self.assertEqual([], self.cloud.writes)


class TestNoCinder(testtools.TestCase):
    def test_one_line_with_the_remedy(self):
        self.useFixture(cinder.Cloud(services=('compute',)))
        run = cinder.Run(*presets.LUKS)
        self.assertEqual(1, run.status, str(run))
        self.assertIn('openstack catalog list', run.stderr)
        self.assertEqual(1, len(run.stderr.strip().splitlines()), run.stderr)
