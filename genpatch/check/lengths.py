# SPDX-License-Identifier: GPL-2.0-or-later
"""How many bytes calls compare or write, and how many there are, where a C text says both in plain numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .ctree import Expr, FunctionTree, Trees, expression, parts_of
from .source import macros_of

__all__ = ["WRITES", "Use", "all_uses", "constants", "uses_of"]

WRITES = {
    "patch_text": (1, 2),
    "patch_text_nosync": (1, 2),
    "patch_insn_write": (1, 2),
    "__patch_insn_write": (1, 2),
    "copy_to_kernel_nofault": (1, 2),
    "bpf_arch_text_copy": (1, 2),
}
"""What copies bytes to text: places of the argument that they are taken from, and of their number."""
_READS = {"memcmp": (1, 2), "copy_from_kernel_nofault": (0, 2)}
_SIZES = {
    "u8": 1,
    "char": 1,
    "u16": 2,
    "short": 2,
    "u32": 4,
    "int": 4,
    "unsigned int": 4,
    "unsigned": 4,
    "uint32_t": 4,
    "u64": 8,
    "s64": 8,
    "long": 8,
    "unsigned long": 8,
    "unsigned long long": 8,
}
_POINTER = 8
_MOST_DEPTH = 8


class Use(NamedTuple):
    """A call that is given bytes and their number.

    Args:
        function: that makes it.
        callee: what it calls.
        source: the variable that the bytes are taken from; empty if it is none of the function's.
        has: bytes that the variable has; None if unknown.
        elements: how many it has if it is an array; else 0.
        takes: bytes that the call takes; None if unknown.
        of_pointer: the number is the size of a pointer, and the bytes are what it points to.
        line: of the call.
    """

    function: str
    callee: str
    source: str
    has: int | None
    elements: int
    takes: int | None
    of_pointer: bool
    line: int


@dataclass(frozen=True, slots=True)
class _Variable:
    """A variable: bytes of one element, number of elements (0 if it is no array, None if unknown), pointer or not."""

    size: int | None
    count: int | None
    is_pointer: bool


def constants(*texts: str | None) -> Mapping[str, str]:
    """Return the values of plain macros of some texts, by name."""
    found: dict[str, str] = {}
    for text in texts:
        if text is not None:
            found |= {name: value for name, (value, _) in macros_of(text).items()}
    return found


def all_uses(trees: Trees, macros: Mapping[str, str]) -> Iterator[Use]:
    """Yield the calls of all functions of a text that take bytes and their number."""
    for name in trees.saying((*WRITES, *_READS)):
        yield from uses_of(trees[name], macros)


def uses_of(tree: FunctionTree, macros: Mapping[str, str]) -> Iterator[Use]:
    """Yield the calls of a function that take bytes and their number."""
    known = WRITES | _READS
    calls = [call for call in tree.calls if call[1] in known and len(call[2]) > max(known[call[1]])]
    names = _variables(tree, macros) if calls else {}
    for call in calls:
        source, length = known[call[1]]
        yield _use(tree.name, call, call[2][source], call[2][length], names, macros)


def _use(
    function: str, call: Expr, source: Expr, length: Expr, names: Mapping[str, _Variable], macros: Mapping[str, str]
) -> Use:
    name, has, elements = _object(source, names, macros)
    of_pointer = (
        length[0] == "sizeof"
        and length[1][0] == "id"
        and length[1] == source
        and length[1][1] in names
        and names[length[1][1]].is_pointer
    )
    return Use(function, call[1], name, has, elements, _number(length, names, macros, 0), of_pointer, call[3])


def _variables(tree: FunctionTree, macros: Mapping[str, str]) -> dict[str, _Variable]:
    found = {}
    for name, kind in zip(tree.parameters, tree.types, strict=True):
        found[name] = _Variable(_size(kind), 0, kind.endswith("*"))
    for stmt in tree.body:
        for part in parts_of(stmt):
            if part[0] == "var":
                _, name, shape, size, _, kind = part
                count: int | None = 0
                if shape == "array":
                    count = _number(size, found, macros, 0) if size is not None else None
                found[name] = _Variable(_size(kind), count, kind.endswith("*"))
    return found


def _size(kind: str) -> int | None:
    return _POINTER if kind.endswith("*") else _SIZES.get(kind)


def _object(source: Expr, names: Mapping[str, _Variable], macros: Mapping[str, str]) -> tuple[str, int | None, int]:
    """Return (name, bytes, elements) of what bytes are taken from."""
    while source[0] == "cast":
        source = source[2]
    if source[0] == "addr" and source[1][0] == "id" and source[1][1] in names:
        variable = names[source[1][1]]
        return source[1][1], variable.size if variable.count == 0 else None, 0
    ahead = 0
    if source[0] == "bin" and source[1] == "+" and source[2][0] == "id":
        moved = _number(source[3], names, macros, 0)
        if moved is None:
            return "", None, 0
        ahead, source = moved, source[2]
    if source[0] != "id" or source[1] not in names:
        return "", None, 0
    variable = names[source[1]]
    if not variable.count or variable.size is None:
        return source[1], None, 0
    return source[1], max(0, variable.count - ahead) * variable.size, max(0, variable.count - ahead)


def _number(expr: Expr, names: Mapping[str, _Variable], macros: Mapping[str, str], depth: int) -> int | None:
    """Return the value of an expression of numbers, macros and sizes; None if it is not so plain."""
    if depth > _MOST_DEPTH:
        return None
    kind = expr[0]
    if kind == "num":
        return int(expr[1])
    if kind == "id":
        if expr[1] in names or expr[1] not in macros:
            return None
        return _number(expression(macros[expr[1]]), {}, macros, depth + 1)
    if kind == "cast":
        return _number(expr[2], names, macros, depth + 1)
    if kind == "sizeof":
        return _sizeof(expr, names)
    if kind == "bin":
        left, right = (_number(each, names, macros, depth + 1) for each in expr[2:])
        return None if left is None or right is None else _combined(str(expr[1]), left, right)
    return None


def _combined(op: str, left: int, right: int) -> int | None:
    if op == "/":
        return left // right if right else None
    if op == "<<":
        return left << right if 0 <= right < 32 else None
    return {"+": left + right, "-": left - right, "*": left * right}.get(op)


def _sizeof(expr: Expr, names: Mapping[str, _Variable]) -> int | None:
    inner, text = expr[1], expr[2]
    if inner[0] == "addr":
        return _POINTER
    if inner[0] == "id" and inner[1] in names:
        variable = names[inner[1]]
        if variable.count is None or variable.size is None:
            return None
        return variable.size * (variable.count or 1)
    if inner[0] == "unknown":
        return _size(text)
    return None
