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

"""The rules of dependency: who may import what, and when."""

import ast
import pathlib
import subprocess
import sys

import testtools

import osc_lab
from osc_lab.tests.unit import test_entry_points as points

ROOT = pathlib.Path(osc_lab.__file__).parent

#: Packages that decide and never do I/O.
PURE = ('encryption', 'mirroring', 'migration', 'preflight', 'plan')

#: What reaches the outside world; pure packages import none of it.
OUTSIDE = {
    'asyncio',
    'http',
    'keystoneauth1',
    'libvirt',
    'openstack',
    'openstackclient',
    'oslo_config',
    'ovs',
    'ovsdbapp',
    'requests',
    'select',
    'socket',
    'ssl',
    'subprocess',
    'urllib',
}

#: What a command module may import at its top, beside light modules of
#: this package: the shell imports it on every call.
COMMAND_TOP = {
    'argparse',
    'cliff',
    'collections',
    'logging',
    'osc_lab',
    'osc_lib',
    'typing',
}
COMMAND_TOP_OURS = {
    'osc_lab.channels',
    'osc_lab.command',
    'osc_lab.exceptions',
    'osc_lab.i18n',
    'osc_lab.plan',
}

#: Third-party libraries by family; an access module uses one family.
FAMILIES = {
    'keystoneauth1': 'cloud',
    'openstack': 'cloud',
    'osc_lib': 'cloud',
    'requests': 'cloud',
    'libvirt': 'libvirt',
    'libvirt_qemu': 'libvirt',
    'oslo_config': 'oslo.config',
    'ovs': 'ovs',
    'ovsdbapp': 'ovs',
}


def modules():
    """Yield (dotted name, syntax tree) of each module but the tests."""
    for path in sorted(ROOT.rglob('*.py')):
        parts = path.relative_to(ROOT.parent).with_suffix('').parts
        if 'tests' in parts:
            continue
        name = '.'.join(parts).removesuffix('.__init__')
        yield name, ast.parse(path.read_text(encoding='utf-8'))


def command_modules():
    """Return the modules that the shell imports for our commands.

    Other modules of their package are imported when a command is used.
    """
    return sorted(
        {
            reference.partition(':')[0]
            for group, _name, reference in points.entry_points()
            if group == 'openstack.lab.v1'
        }
    )


def is_type_checking(node):
    return isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(
        node.test
    )


def imports(tree, top_only=False):
    """Yield full names that a tree imports, but not for types alone."""
    queue = list(ast.iter_child_nodes(tree))
    while queue:
        node = queue.pop()
        if is_type_checking(node):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f'{node.module}.{alias.name}' for alias in node.names)
        elif not (
            top_only
            and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ):
            queue.extend(ast.iter_child_nodes(node))


def package(name):
    parts = name.split('.')
    return parts[1] if len(parts) > 1 else ''


class TestDependencies(testtools.TestCase):
    def test_decisions_know_nothing_of_the_outside(self):
        for name, tree in modules():
            if package(name) not in PURE:
                continue
            for target in imports(tree):
                self.assertNotIn(
                    target.split('.')[0], OUTSIDE, f'{name}: {target}'
                )
                self.assertFalse(
                    target.startswith(('osc_lab.access', 'osc_lab.commands')),
                    f'{name}: {target}',
                )

    def test_commands_are_light_at_their_top(self):
        for name, tree in modules():
            if name not in command_modules():
                continue
            for target in imports(tree, top_only=True):
                self.assertIn(
                    target.split('.')[0], COMMAND_TOP, f'{name}: {target}'
                )
                if target.startswith('osc_lab.commands.'):
                    continue
                if target.startswith('osc_lab.'):
                    self.assertIn(
                        '.'.join(target.split('.')[:2]),
                        COMMAND_TOP_OURS,
                        f'{name}: {target}',
                    )

    def test_access_modules_use_one_library_each(self):
        for name, tree in modules():
            if not name.startswith('osc_lab.access.'):
                continue
            families = {
                FAMILIES[target.split('.')[0]]
                for target in imports(tree)
                if target.split('.')[0] in FAMILIES
            }
            self.assertLessEqual(len(families), 1, f'{name}: {families}')

    def test_third_parties_are_imported_at_the_edge_only(self):
        allowed = ('osc_lab.access', 'osc_lab.command', 'osc_lab.commands')
        for name, tree in modules():
            if name.startswith(allowed):
                continue
            for target in imports(tree):
                self.assertNotIn(
                    target.split('.')[0],
                    set(FAMILIES) - {'osc_lib'},
                    f'{name}: {target}',
                )

    def test_nothing_heavy_is_loaded_with_the_commands(self):
        names = command_modules()
        code = (
            'import importlib, sys\n'
            'import openstackclient.shell\n'
            'before = set(sys.modules)\n'
            'import osc_lab.plugin\n'
            f'for name in {names!r}: importlib.import_module(name)\n'
            'print(*sorted(set(sys.modules) - before))\n'
        )
        output = subprocess.run(
            [sys.executable, '-c', code],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        foreign = [name for name in output if name.split('.')[0] != 'osc_lab']
        self.assertEqual([], foreign)
        self.assertLessEqual(len(output), 12, output)
