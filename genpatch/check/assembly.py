# SPDX-License-Identifier: GPL-2.0-or-later
"""Assembly functions of a preprocessed text: macros expanded, labels found, operands evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from .preprocess import Taken
from .source import constant

__all__ = ["REGISTERS", "Insn", "Routine", "number", "operand", "routines_of"]

_BEGINS = re.compile(r"\s*(?:SYM_(?:TYPED_)?(?:FUNC|CODE)_START(?:_\w+)?|ENTRY|WEAK)\(\s*(\w+)\s*\)\s*$")
_ENDS = re.compile(r"\s*(?:SYM_(?:FUNC|CODE)_END(?:_\w+)?|ENDPROC|END)\(\s*(\w+)\s*\)\s*$")
_INNER = re.compile(r"\s*SYM_INNER_LABEL\w*\(\s*(\w+)\s*(?:,[^)]*)?\)\s*$")
_LABEL = re.compile(r"\s*([\w.$]+):\s*")
_MACRO = re.compile(r"\s*\.macro\s+(\w+)[\s,]*(.*)$")
_ENDM = re.compile(r"\s*\.endm\b")
_WORDS = re.compile(r"\s*([\w.]+)\s*(.*?)\s*$")
_MEMORY = re.compile(r"(.*)\(\s*(\w+)\s*\)$", re.S)
_PLAIN: list[str] = re.findall(
    r"\S+",
    "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6",
)
REGISTERS = {name: name for name in _PLAIN} | {f"x{n}": name for n, name in enumerate(_PLAIN)} | {"fp": "s0"}
"""A register's name in the calling convention by each name it has."""
_MOST_INSNS = 4000
_DEEPEST = 8


class Insn(NamedTuple):
    """An instruction.

    Args:
        op: its mnemonic.
        args: its operands.
        line: where it stands, in a macro perhaps.
        used: where the outermost macro is used; the same line if it stands in none.
    """

    op: str
    args: tuple[str, ...]
    line: int
    used: int


@dataclass
class Routine:
    """A function.

    Args:
        name: its own.
        line: where it starts.
        insns: in order.
        labels: index of the instruction behind each; a numeric one may be there several times.
        odd: what in it was not understood.
    """

    name: str
    line: int
    insns: list[Insn] = field(default_factory=list)
    labels: dict[str, list[int]] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)

    def target(self, label: str, at: int) -> int | None:
        """Return the index of what a branch at an index goes to; None if it is not of the function."""
        if re.fullmatch(r"\d+[bf]", label):
            places = self.labels.get(label[:-1], [])
            near = [p for p in places if (p <= at) == label.endswith("b")]
            return (max(near) if label.endswith("b") else min(near)) if near else None
        places = self.labels.get(label, [])
        return places[0] if len(places) == 1 else None


class _Macro(NamedTuple):
    parameters: tuple[tuple[str, str], ...]
    body: tuple[tuple[int, str], ...]


def routines_of(taken: Taken) -> dict[str, Routine]:
    """Return the functions of a text by name."""
    macros: dict[str, _Macro] = {}
    found: dict[str, Routine] = {}
    now: Routine | None = None
    lines = list(enumerate(taken.lines, 1))
    at = 0
    while at < len(lines):
        number_, line = lines[at]
        at += 1
        if (macro := _MACRO.match(line)) is not None:
            end = next((n for n in range(at, len(lines)) if _ENDM.match(lines[n][1])), len(lines))
            macros[macro[1]] = _Macro(_parameters(macro[2]), tuple(lines[at:end]))
            at = end + 1
        elif (begins := _BEGINS.match(line)) is not None:
            now = Routine(begins[1], number_)
        elif (ends := _ENDS.match(line)) is not None:
            if now is not None and now.name == ends[1]:
                found.setdefault(now.name, now)
            now = None
        elif now is not None:
            _take(now, line, (number_, number_), macros, 0)
    return found


def _parameters(text: str) -> tuple[tuple[str, str], ...]:
    parts = [part.partition("=") for part in re.split(r"[\s,]+", text.strip()) if part]
    return tuple((name.split(":")[0], default) for name, _, default in parts)


def _take(now: Routine, line: str, place: tuple[int, int], macros: Mapping[str, _Macro], depth: int) -> None:
    for part in line.split(";"):
        while (label := _LABEL.match(part)) is not None:
            now.labels.setdefault(label[1], []).append(len(now.insns))
            part = part[label.end() :]
        if (inner := _INNER.match(part)) is not None:
            now.labels.setdefault(inner[1], []).append(len(now.insns))
            continue
        words = _WORDS.match(part)
        if words is None or words[1].startswith("."):
            continue
        if words[1] in macros and depth < _DEEPEST:
            _expand(now, macros[words[1]], words[2], place, macros, depth)
        elif len(now.insns) >= _MOST_INSNS or words[2].startswith("(") or not words[1].islower():
            _upper(now, words[1], words[2], place)
        else:
            now.insns.append(Insn(words[1], _arguments(words[2]), *place))


def _upper(now: Routine, word: str, rest: str, place: tuple[int, int]) -> None:
    """Take in what is written in capitals: loads and stores of a register's width, and macros of headers."""
    if word in ("REG_S", "REG_L", "REG_SC") and len(now.insns) < _MOST_INSNS:
        now.insns.append(Insn(word, _arguments(rest), *place))
    elif not word.startswith(("SYM_", "EXPORT_", "ASM_NOKPROBE", "_ASM_NOKPROBE", "STACK_FRAME", "UNWIND_HINT")):
        now.odd.append(f"{word} at line {place[0]}")


def _expand(
    now: Routine, macro: _Macro, given: str, place: tuple[int, int], macros: Mapping[str, _Macro], depth: int
) -> None:
    values = dict(macro.parameters)
    for (name, _), value in zip(macro.parameters, _arguments(given), strict=False):
        values[name] = value
    for line, text in macro.body:
        expanded = re.sub(r"\\(\w+)(?:\\\(\))?", lambda match: values.get(match[1], match[0]), text)
        _take(now, expanded, (line, place[1]), macros, depth + 1)


@lru_cache(maxsize=2048)
def _arguments(text: str) -> tuple[str, ...]:
    """Return operands, split at commas outside of parentheses."""
    if "(" not in text and ")" not in text:
        return tuple(each for part in text.split(",") if (each := part.strip()))
    found: list[str] = []
    depth, part = 0, ""
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            found.append(part.strip())
            part = ""
        else:
            part += letter
    return tuple(each for each in [*found, part.strip()] if each)


def number(text: str, names: Mapping[str, str]) -> int | None:
    """Return the value of a constant operand; an empty one is 0."""
    return constant(text, names, {}) if text.strip() else 0


def operand(text: str) -> tuple[str, str] | None:
    """Return the offset, as it is written, and the register of ``8(sp)``."""
    match = _MEMORY.match(text)
    if match is None or match[2] not in REGISTERS:
        return None
    return match[1].strip(), REGISTERS[match[2]]


def names_used(routine: Routine) -> Iterator[tuple[str, Insn]]:
    """Yield the names in the constants of a function, each with the instruction."""
    for insn in routine.insns:
        for arg in insn.args:
            memory = operand(arg)
            for name in re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", memory[0] if memory is not None else arg):
                yield name, insn
