# SPDX-License-Identifier: GPL-2.0-or-later
"""The layout of plain C structs, and what asm-offsets.c says of them, for 64 bits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from .preprocess import Taken

__all__ = ["OFFSETS", "PTRACE", "Struct", "Symbolic", "offsets_of", "structs_of"]

OFFSETS = "arch/riscv/kernel/asm-offsets.c"
PTRACE = "arch/riscv/include/asm/ptrace.h"
STACK_ALIGN = 16
_HEAD = re.compile(r"\bstruct\s+(\w+)\s*\{")
_MEMBER = re.compile(
    r"\s*(?:(?:unsigned|signed)\s+)?(?:(?P<long>long|u64|s64|size_t|uintptr_t|(?:const\s+)?(?:struct\s+)?\w+\s*\*)|"
    r"(?P<int>int|u32|s32))\s*(?:unsigned\s*)?(?:int\s+)?\b(?P<name>\w+)\s*(?:\[(?P<count>\d{1,4})\])?\s*;"
)
_INNER = re.compile(r"\s*(struct|union)\s*\{|\s*struct_group\w*\(\s*(\w+)\s*,")
_CLOSE = re.compile(r"\s*\}\s*(\w*)\s*(?:__\w+\s*)?;|\s*\)\s*;")
_MOST = 400
_DEFINE = re.compile(r"\bDEFINE\(\s*(\w+)\s*,\s*(.*?)\)\s*;")
_OFFSET = re.compile(r"\bOFFSET\(\s*(\w+)\s*,\s*(\w+)\s*,\s*([\w.\[\]]+)\s*\)\s*;")
_OFFSETOF = re.compile(r"offsetof\(\s*struct\s+(\w+)\s*,\s*([\w.\[\]]+)\s*\)$")
_SIZEOF = re.compile(r"(ALIGN\(\s*)?sizeof\(\s*struct\s+(\w+)\s*\)(?:\s*,\s*(STACK_ALIGN|\d{1,4})\s*\))?$")


@dataclass(frozen=True, eq=False)
class Struct:
    """A struct; one is equal to itself alone.

    Args:
        name: its tag.
        size: bytes, with its padding.
        members: offset of each [bytes]; those of nameless parts are its own.
        line: where it starts.
    """

    name: str
    size: int
    members: Mapping[str, int]
    line: int

    def at(self, offset: int) -> list[str]:
        """Return the members that start at an offset, those that are no arrays first."""
        return [name for name, place in self.members.items() if place == offset]


def structs_of(taken: Taken) -> dict[str, Struct]:
    """Return the structs of a text that are nothing but words, pointers, arrays of them and nameless parts."""
    text = taken.text
    found: dict[str, Struct] = {}
    for head in list(_HEAD.finditer(text))[:_MOST]:
        last = text.find("\n};", head.end())
        members = _read(text[head.end() : last + len("\n};")]) if last >= 0 else None
        members = members or _read(text[head.end() :])
        if members is not None:
            line = text.count("\n", 0, head.start()) + 1
            found.setdefault(head[1], _struct(head[1], *members, line))
    return found


@lru_cache(maxsize=512)
def _read(text: str) -> tuple[int, tuple[tuple[str, int], ...]] | None:
    """Return the size of what stands behind the head of a struct, and its members; None if it was not understood."""
    reader = _Reader(text, 0)
    return (-(-reader.end // 8) * 8, tuple(reader.members.items())) if reader.whole() else None


@lru_cache(maxsize=512)
def _struct(name: str, size: int, members: tuple[tuple[str, int], ...], line: int) -> Struct:
    """Return a struct, the same one for the same content."""
    return Struct(name, size, dict(members), line)


class _Reader:
    """Members, read one after the other."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at
        self.members: dict[str, int] = {}
        self.end = 0

    def whole(self) -> bool:
        """Read up to the end of the struct; tell whether all of it was understood."""
        end = self._part(0, is_union=False, depth=0)
        self.end = end if end is not None else 0
        return end is not None and bool(self.members)

    def _part(self, start: int, *, is_union: bool, depth: int) -> int | None:
        """Read members up to a closing brace; return the offset behind them."""
        here = highest = start
        for _ in range(_MOST):
            size: int | None
            if (close := _CLOSE.match(self.text, self.at)) is not None:
                self.at = close.end()
                return highest
            if (inner := _INNER.match(self.text, self.at)) is not None and depth < 4:
                self.at = inner.end()
                if inner[2]:
                    self.members[inner[2]] = here
                end = self._part(here, is_union=inner[1] == "union", depth=depth + 1)
            elif (member := _MEMBER.match(self.text, self.at)) is not None:
                self.at = member.end()
                size = 8 if member["long"] else 4
                at = -(-here // size) * size
                self.members[member["name"]] = at
                end = at + size * int(member["count"] or 1)
            else:
                return None
            if end is None:
                return None
            highest = max(highest, end)
            here = start if is_union else highest
        return None


class Symbolic(NamedTuple):
    """A constant of asm-offsets.c.

    Args:
        name: of the constant.
        struct: that it is about.
        member: whose offset it is; empty for a size.
        value: None if it cannot be told.
        line: where it is made.
    """

    name: str
    struct: str
    member: str
    value: int | None
    line: int


def offsets_of(taken: Taken, structs: Mapping[str, Struct]) -> dict[str, Symbolic]:
    """Return the constants that asm-offsets.c makes."""
    found: dict[str, Symbolic] = {}
    for number, line in enumerate(taken.lines, 1):
        if "(" in line and (said := _said(line)) is not None:
            name, tag, member, align = said
            struct = structs.get(tag)
            value = None
            if struct is not None:
                value = struct.members.get(member) if member else -(-struct.size // align) * align
            found[name] = _symbolic(name, tag, member, value, number)
    return found


_symbolic = lru_cache(maxsize=4096)(Symbolic)


@lru_cache(maxsize=4096)
def _said(line: str) -> tuple[str, str, str, int] | None:
    """Return name, struct, member and alignment of a constant that a line makes; a size has no member."""
    if (plain := _OFFSET.search(line)) is not None:
        return plain[1], plain[2], plain[3], 1
    if (define := _DEFINE.search(line)) is None:
        return None
    value = define[2].strip()
    if (member := _OFFSETOF.match(value)) is not None:
        return define[1], member[1], member[2], 1
    if (size := _SIZEOF.match(value)) is not None:
        return define[1], size[2], "", {None: 1, "STACK_ALIGN": STACK_ALIGN}.get(size[3]) or int(size[3])
    return define[1], "", "", 1
