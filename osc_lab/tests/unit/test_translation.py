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

"""What is offered to translators: all that people read, and no commands."""

import ast
import re

import testtools

from osc_lab import exceptions
from osc_lab.tests.unit import test_layout as layout

#: What takes text for people; a type of error takes nothing else.
FOR_PEOPLE = {
    'Gap',
    'Late',
    *(
        name
        for name, item in vars(exceptions).items()
        if isinstance(item, type) and issubclass(item, exceptions.LabError)
    ),
}

#: How a command begins that a user is to type.
COMMAND = re.compile('(openstack|nova-manage|virsh|ovs-vsctl) ')

#: What only a sentence has.
PROSE = re.compile('[,;"]|[.]$|[a-z] (that|which|with|shows?|says?) ')


def calls(wanted):
    """Yield (module, call) of the functions and types of these names."""
    for module, tree in layout.modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).rpartition('.')[2]
                if name in wanted:
                    yield module, node


def is_prose(node):
    """Tell whether an argument is text that nobody can translate."""
    if isinstance(node, ast.BinOp):
        return is_prose(node.left)
    if isinstance(node, ast.IfExp):
        return is_prose(node.body) or is_prose(node.orelse)
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    text = ''.join(
        str(part.value) if isinstance(part, ast.Constant) else 'x'
        for part in parts
    )
    # Values without words between them are no text.
    return not COMMAND.match(text) and re.search('[a-z]{2} [a-z]{2}', text)


class TestTranslation(testtools.TestCase):
    def test_people_read_their_language(self):
        found = [
            f'{module}:{node.lineno}'
            for module, node in calls(FOR_PEOPLE)
            for item in (*node.args, *(part.value for part in node.keywords))
            if is_prose(item)
        ]
        self.assertEqual([], found)

    def test_commands_are_the_same_in_each(self):
        found = [
            f'{module}:{node.lineno}'
            for module, node in calls({'_'})
            if COMMAND.match(node.args[0].value)
            and not PROSE.search(node.args[0].value)
        ]
        self.assertEqual([], found)
