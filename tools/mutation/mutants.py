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

"""Mutants of a module: each is the module with one small change.

The changes are mutmut's.  Its own runner is not used: it leaves out text by
whole lines, with the decisions that share them, and changes neither
decorated functions nor what stands outside of functions.

These are left out, for no test should notice them: type hints, imports,
asserts that narrow types, docstrings, decorators, what is logged, and
translated text; what is put into that text stays in.  A string is changed in
one way, and False does not become None, which is as false.
"""

import collections.abc
import dataclasses
import itertools
import pathlib
import typing

import libcst
from libcst import matchers
from libcst import metadata
from mutmut.mutation import mutators

#: How many words are shown before and after a change.
AROUND = 3

_LOG = matchers.Name('LOG')
_HINTS = (
    matchers.Name('dict')
    | matchers.Name('tuple')
    | matchers.Attribute(matchers.Name('typing'))
    | matchers.Attribute(
        matchers.Attribute(matchers.Name('collections'), matchers.Name('abc'))
    )
)
_VARIABLE = matchers.Attribute(
    matchers.Name('typing'), matchers.Name('TypeVar')
)
_LEFT_OUT = (
    # Type hints, and asserts, which narrow types.
    matchers.Annotation()
    | matchers.Assign(value=matchers.Subscript(_HINTS))
    | matchers.Assign(value=matchers.Call(_VARIABLE))
    | matchers.If(matchers.Attribute(attr=matchers.Name('TYPE_CHECKING')))
    | matchers.Assert()
    # No behaviour.
    | matchers.Import()
    | matchers.ImportFrom()
    | matchers.Decorator()
    | matchers.Expr(matchers.SimpleString())
    # What is logged.
    | matchers.Expr(matchers.Call(matchers.Attribute(_LOG)))
    | matchers.Assign([matchers.AssignTarget(_LOG)])
    # Translated text.
    | matchers.Call(matchers.Name('_'))
)
_FALSE = matchers.Assign(value=matchers.Name('False')) | matchers.AnnAssign(
    value=matchers.Name('False')
)


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change of one module.

    :param path: of the module
    :param function: the name of the method or function; empty outside
    :param line: where the change is
    :param lines: those of the function's body; empty outside of functions
    """

    path: pathlib.Path
    function: str
    line: int
    lines: range
    tree: libcst.Module = dataclasses.field(repr=False)
    parent: libcst.CSTNode = dataclasses.field(repr=False)
    before: libcst.CSTNode = dataclasses.field(repr=False)
    after: libcst.CSTNode = dataclasses.field(repr=False)

    def code(self) -> str:
        """Return the source of the changed module.

        The tree is changed and changed back: a copy takes far longer.
        """
        name, held, changed = self._held()
        object.__setattr__(self.parent, name, changed)
        try:
            code: str = self.tree.code
        finally:
            object.__setattr__(self.parent, name, held)
        return code

    def _held(self) -> tuple[str, typing.Any, typing.Any]:
        """Return where the node is held, as what, and what to hold then."""
        for field in dataclasses.fields(self.parent):
            held = getattr(self.parent, field.name)
            if held is self.before:
                return field.name, held, self.after
            if isinstance(held, list | tuple) and self.before in held:
                changed = [
                    self.after if item is self.before else item
                    for item in held
                ]
                return field.name, held, changed
        raise LookupError(self.before)

    def change(self) -> str:
        """Return what is changed, on one line, without line numbers."""
        before, after = _differing(self.tree.code, self.code())
        return f'{self.function or "module"}: {before} -> {after}'


def of(path: pathlib.Path) -> list[Mutant]:
    """Return all mutants of a module."""
    wrapper = metadata.MetadataWrapper(
        libcst.parse_module(path.read_text(encoding='utf-8'))
    )
    positions = wrapper.resolve(metadata.PositionProvider)
    found = []
    queue: list[tuple[libcst.CSTNode, libcst.CSTNode, str, int, range]] = [
        (wrapper.module, wrapper.module, '', 1, range(0))
    ]
    while queue:
        parent, node, name, line, lines = queue.pop()
        if matchers.matches(node, _LEFT_OUT):
            continue
        place = positions.get(node)
        if place is not None:
            line = place.start.line
        for after in _changed(node):
            found.append(
                Mutant(
                    path,
                    name,
                    line,
                    lines,
                    wrapper.module,
                    parent,
                    node,
                    after,
                )
            )
        if isinstance(node, libcst.ClassDef | libcst.FunctionDef):
            name = f'{name}.{node.name.value}'.lstrip('.')
        body = getattr(node, 'body', None)
        for child in node.children:
            inside = lines
            if isinstance(node, libcst.FunctionDef) and child is body:
                place = positions[child]
                inside = range(place.start.line, place.end.line + 1)
            queue.append((node, child, name, line, inside))
    return sorted(found, key=lambda mutant: mutant.line)


def _changed(
    node: libcst.CSTNode,
) -> collections.abc.Iterator[libcst.CSTNode]:
    for kind, operator in mutators.mutation_operators:
        if isinstance(node, kind) and not (
            operator is mutators.operator_assignment
            and matchers.matches(node, _FALSE)
        ):
            one = kind is libcst.BaseString
            yield from itertools.islice(operator(node), 1 if one else None)


def _differing(before: str, after: str) -> tuple[str, str]:
    """Return the words of two texts that differ, and some around them."""
    words, others = before.split(), after.split()
    start = _common(words, others)
    end = _common(words[start:][::-1], others[start:][::-1])
    first, last = max(0, start - AROUND), max(0, end - AROUND)
    return (
        ' '.join(words[first : len(words) - last]),
        ' '.join(others[first : len(others) - last]),
    )


def _common(some: list[str], others: list[str]) -> int:
    pairs = enumerate(zip(some, others, strict=False))
    return next(
        (index for index, (one, other) in pairs if one != other),
        min(len(some), len(others)),
    )
