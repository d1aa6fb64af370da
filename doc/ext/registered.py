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

"""Writes pages of what the plugin registers.

A check documents itself: its question, its reason and its remedy are what
``--list-checks`` shows; a preset, a command and an option of the access to
hosts do with their descriptions.  The pages come from the same attributes,
so none can be missing or say something else.
"""

import collections.abc
import importlib.metadata
import pathlib
import re
import typing

from docutils import nodes
import sphinx.application
import sphinx.errors
import sphinx.util.docutils

from osc_lab import channels
from osc_lab.encryption import presets
from osc_lab import exceptions
from osc_lab.preflight import check
from osc_lab.preflight import registry

FOLDER = 'cli/registered'

SOURCES = {
    'api': 'the API of the cloud',
    'libvirt': 'libvirt on the hosts',
    'ovsdb': 'the Open vSwitch database of the hosts',
    'shell': 'the hosts themselves, through a shell',
}

CHECK = """\
.. _check-{id}:

{line}
{id}
{line}

{question}

Why it matters
==============

{reason}

How to mend it
==============

{remedy}

Where it looks
==============

It asks {source}.{channel}
"""

CHECKS = """\
================
Preflight checks
================

What is asked before a live migration.  Each answer is a finding: ``ok``,
``warning``, ``failed``, ``unknown`` when the check wanted to look and could
not, or ``skipped`` when the channel that it needs is not enabled.  Unknown and
skipped never count as passed.

.. list-table::
   :header-rows: 1
   :widths: 30 50 20

   * - Check
     - Question
     - Looks at
{rows}
.. toctree::
   :hidden:

{pages}
"""

PRESETS = """\
==================
Encryption presets
==================

What ``openstack volume encryption preset`` offers; each is a command of that
name.

.. list-table::
   :header-rows: 1
   :widths: 14 14 10 18 10 14 20

   * - Preset
     - Volume type
     - Provider
     - Cipher
     - Key size
     - Control location
     - Description
{rows}"""


def escape(text: str) -> str:
    """Return text in which nothing is markup."""
    return re.sub(r'([\\*`|_<>])', r'\\\1', text)


def ours(group: str) -> set[str]:
    """Return the names that this distribution registers in a group."""
    return {
        point.name
        for point in importlib.metadata.entry_points(group=group)
        if point.value.startswith('osc_lab.')
    }


def checks() -> tuple[check.Check[typing.Any], ...]:
    """Return our own checks, and stop when one cannot be loaded."""
    loaded = registry.load()
    names = ours(registry.GROUP)
    broken = [item for item in loaded.broken if item.check in names]
    if broken or not names:
        raise sphinx.errors.ExtensionError(f'checks: {broken}')
    return tuple(item for item in loaded.checks if item.id in names)


def page(item: check.Check[typing.Any]) -> str:
    channel = ''
    if item.channel:
        channel = (
            f'  Without ``{item.channel}`` the answer is ``skipped``; see '
            ':doc:`/user/hosts`.'
        )
    return CHECK.format(
        id=item.id,
        line='=' * len(item.id),
        question=escape(item.question),
        reason=escape(item.reason),
        remedy=escape(item.remedy),
        source=SOURCES[item.source],
        channel=channel,
    )


def preset_rows(items: collections.abc.Iterable[presets.Preset]) -> str:
    rows = ''
    for item in items:
        cells = (
            item.name,
            item.type_name,
            item.encryption.provider,
            item.encryption.cipher,
            item.encryption.key_size,
            item.encryption.control_location,
            item.description,
        )
        for number, cell in enumerate(cells):
            rows += f'   {" " if number else "*"} - {escape(str(cell))}\n'
    return rows


def commands() -> str:
    """Return a definition list of all commands."""
    text = ''
    group = importlib.metadata.entry_points(group='openstack.lab.v1')
    for point in sorted(group, key=lambda item: item.name):
        description = point.load()(None, None).get_description()
        # More may follow.
        description = description.partition('\n')[0].rstrip('.')
        name = point.name.replace('_', ' ')
        text += f'**openstack {name}**\n    {escape(description)}\n\n'
    return text


def environment() -> str:
    """Return a definition list of the variables of the access to hosts."""
    return ''.join(
        f'**{option.variable}**, **{escape(option.flag)}** '
        f'*{escape(option.metavar)}*\n    {escape(option.help)}\n\n'
        for option in channels.ALL
    )


def index(items: tuple[check.Check[typing.Any], ...]) -> str:
    rows = ''.join(
        f'   * - :ref:`{item.id} <check-{item.id}>`\n'
        f'     - {escape(item.question)}\n'
        f'     - {item.source.value}\n'
        for item in items
    )
    pages = '\n'.join(f'   {item.id}' for item in items)
    return CHECKS.format(rows=rows, pages=pages)


def write(app: sphinx.application.Sphinx, _config: typing.Any) -> None:
    """Write the pages that changed, and remove those of no check."""
    folder = pathlib.Path(app.srcdir, FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    items = checks()
    texts = {f'{item.id}.rst': page(item) for item in items}
    texts['checks.rst'] = index(items)
    texts['presets.rst'] = PRESETS.format(
        rows=preset_rows(
            item
            for item in presets.load().presets
            if item.name in ours(presets.GROUP)
        )
    )
    for path in folder.iterdir():
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding='utf-8') != text:
            path.write_text(text, encoding='utf-8')


def unlink(_app: sphinx.application.Sphinx, doctree: nodes.document) -> None:
    """Show "root@{host}" in help texts as text, not as an address."""
    for node in list(doctree.findall(nodes.reference)):
        if node.get('refuri', '').startswith('mailto:'):
            node.parent.replace(node, node.children)


class Commands(sphinx.util.docutils.SphinxDirective):
    """``.. registered-commands::`` stands for a list of all commands."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(commands())


class ExitCodes(sphinx.util.docutils.SphinxDirective):
    """``.. registered-exit-codes::`` stands for what they mean."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(
            ''.join(
                f'**{code:d}**\n    {escape(code.meaning)}\n\n'
                for code in exceptions.ExitCode
            )
        )


class Options(sphinx.util.docutils.SphinxDirective):
    """``.. registered-options::`` stands for the access to hosts."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(environment())


def setup(app: sphinx.application.Sphinx) -> dict[str, typing.Any]:
    app.add_directive('registered-commands', Commands)
    app.add_directive('registered-exit-codes', ExitCodes)
    app.add_directive('registered-options', Options)
    app.connect('config-inited', write)
    app.connect('doctree-read', unlink)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
