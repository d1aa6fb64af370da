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

"""What documents show of commands was recorded, not typed."""

import re

import testtools

from osc_lab.tests.unit import test_documentation as documents


def recordings():
    """Return the name of each recording -> its text."""
    return {
        path.name: path.read_text(encoding='utf-8')
        for path in documents.RECORDED.glob('*.txt')
    }


def included():
    """Yield (page, recording, options) of each literalinclude."""
    for path, text in documents.pages():
        for name, lines in re.findall(
            r'literalinclude:: /recorded/(\S+)\n((?: {3}:.*\n)*)', text
        ):
            options = dict(re.findall(r'^ {3}:([a-z-]+): (.*)$', lines, re.M))
            yield path.name, name, options


class TestRecordings(testtools.TestCase):
    def test_each_is_shown(self):
        shown = {name for _page, name, _options in included()}
        self.assertEqual(set(recordings()), shown)

    def test_pages_cut_them_where_there_is_such_a_line(self):
        texts = recordings()
        for page, name, options in included():
            lines = texts[name].splitlines()
            for key in ('start-at', 'end-before'):
                part = options.get(key, lines[0])
                found = [line for line in lines if part in line]
                self.assertNotEqual([], found, f'{page}: {part}')

    def test_no_part_is_left_out(self):
        """Each command of a recording is on a page."""
        texts = recordings()
        shown = {name: '' for name in texts}
        for _page, name, options in included():
            text = texts[name]
            if 'start-at' in options:
                text = text[text.index(options['start-at']) :]
            if 'end-before' in options:
                text = text[: text.index(options['end-before'])]
            shown[name] += text
        for name, text in texts.items():
            for line in re.findall(r'^\$ .*$', text, re.M):
                self.assertIn(line, shown[name].splitlines(), name)

    def test_nothing_of_the_machine_is_in_them(self):
        for name, text in recordings().items():
            self.assertEqual([], re.findall(r'/(?:root|home|tmp)/', text))
            self.assertNotIn('Traceback', text, name)


class TestTypedBlocks(testtools.TestCase):
    """Blocks that stand in a page itself, README's among them."""

    def test_output_was_recorded(self):
        texts = list(recordings().values())
        count = 0
        for path, command, output in documents.blocks():
            offline = documents.TestOutput.OFFLINE
            if not output or command.startswith(
                tuple(f'openstack {line}' for line in offline)
            ):
                continue
            count += 1
            block = f'$ {command}\n{output}\n'
            found = [text for text in texts if block in text]
            self.assertNotEqual([], found, f'{path.name}: {command}')
        self.assertGreater(count, 2)
