# SPDX-License-Identifier: GPL-2.0-or-later
"""Makefiles and Kconfig files as far as edits need them: assignments in their conditionals, symbols, selects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from .csource import Span

__all__ = ["Assignment", "Block", "KconfigSymbol", "assignments", "blocks", "is_balanced", "kconfig_symbols"]

_OPENS = re.compile(r"[ \t]*(ifeq|ifneq|ifdef|ifndef)\b[ \t]*(.*?)[ \t]*(?:#.*)?$")
_ELSE = re.compile(r"[ \t]*else\b[ \t]*((?:ifeq|ifneq|ifdef|ifndef)\b.*?)?[ \t]*(?:#.*)?$")
_ENDIF = re.compile(r"[ \t]*endif\b")
_DEFINE = re.compile(r"[ \t]*(define|endef)\b")
_ASSIGNS = re.compile(
    r"[ \t]*(?:export[ \t]+|override[ \t]+)*([^\s:=+?!#]+)[ \t]*(:=|::=|\+=|\?=|!=|=)[ \t]*(.*)", re.S
)


@dataclass(frozen=True, slots=True)
class Assignment:
    """An assignment in a Makefile.

    Args:
        variable: its name.
        operator: ``:=``, ``=``, ``+=`` or ``?=``.
        value: without the space around it.
        conditions: the conditionals it stands in, outermost first: ``ifeq ($(CONFIG_X),y)``; the other branch of
            one is ``else of ifeq ($(CONFIG_X),y)``.
        span: its lines, without the last line's end.
        blocks: the same conditionals as places, from the opening word to behind ``endif``.
    """

    variable: str
    operator: str
    value: str
    conditions: tuple[str, ...]
    span: Span
    blocks: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A conditional of a Makefile, from its first word to behind ``endif``.

    Args:
        condition: what it opens with.
        conditions: those it stands in.
        span: where it is.
    """

    condition: str
    conditions: tuple[str, ...]
    span: Span


@dataclass
class _Open:
    first: str
    start: int
    branch: str


def _lines(text: str) -> list[tuple[int, str]]:
    """Return (start, logical line): a line that ends in a backslash goes on."""
    found: list[tuple[int, str]] = []
    at = 0
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if found and found[-1][1].endswith("\\\n"):
            found[-1] = (found[-1][0], found[-1][1] + line)
        else:
            found.append((at, line))
        at += len(line)
    return found


def _plain(condition: str) -> str:
    """Return a condition with the space in it that everybody writes."""
    word, _, rest = re.sub(r"[ \t]+", " ", condition.strip()).partition(" ")
    if rest.startswith("(") and rest.endswith(")"):
        rest = f"({rest[1:-1].strip()})"
    return f"{word} {re.sub(r' ?, ?', ',', rest)}"


def _scan(text: str) -> tuple[list[Assignment], list[Block], bool]:
    stack: list[_Open] = []
    waiting: list[tuple[re.Match[str], int, int, tuple[_Open, ...], tuple[str, ...]]] = []
    ends: dict[int, int] = {}
    found: list[Block] = []
    depth, is_sound = 0, True
    for at, line in _lines(text):
        if (word := _DEFINE.match(line)) is not None:
            depth += 1 if word[1] == "define" else -1
        elif depth > 0:
            continue
        elif (opens := _OPENS.match(line)) is not None:
            condition = _plain(f"{opens[1]} {opens[2]}")
            stack.append(_Open(condition, at, condition))
        elif (other := _ELSE.match(line)) is not None:
            if not stack:
                is_sound = False
                continue
            stack[-1].branch = f"else of {stack[-1].first}" + (f", {_plain(other[1])}" if other[1] else "")
        elif _ENDIF.match(line):
            if not stack:
                is_sound = False
                continue
            closed = stack.pop()
            ends[closed.start] = at + len(line.rstrip())
            found.append(
                Block(closed.first, tuple(each.branch for each in stack), Span(closed.start, ends[closed.start]))
            )
        elif (assigns := _ASSIGNS.match(line)) is not None and not line.lstrip().startswith("#"):
            end = at + len(line.rstrip())
            waiting.append((assigns, at, end, tuple(stack), tuple(each.branch for each in stack)))
    made = [
        Assignment(
            match[1],
            match[2],
            match[3].strip(),
            branches,
            Span(at, end),
            tuple(Span(each.start, ends.get(each.start, len(text))) for each in opened),
        )
        for match, at, end, opened, branches in waiting
    ]
    return made, sorted(found, key=lambda block: block.span), is_sound and not stack and not depth


def assignments(text: str, variable: str) -> list[Assignment]:
    """Return the assignments to a variable."""
    return [each for each in _scan(text)[0] if each.variable == variable]


def blocks(text: str) -> list[Block]:
    """Return the conditionals of a Makefile, in order."""
    return _scan(text)[1]


def is_balanced(text: str) -> bool:
    """Tell whether every conditional of a Makefile ends."""
    return _scan(text)[2]


@dataclass(frozen=True, slots=True)
class KconfigSymbol:
    """A block of a Kconfig file.

    Args:
        name: of the symbol, without CONFIG_.
        span: from ``config`` to behind its last line.
    """

    name: str
    span: Span


_ENTRY = re.compile(
    r"^(?:(?:menu)?config[ \t]+(\w+)|choice\b|endchoice\b|menu\b|endmenu\b|if\b|endif\b|source\b|comment\b)"
)


def kconfig_symbols(text: str) -> list[KconfigSymbol]:
    """Return the symbols that a Kconfig file defines or adds to, in order."""
    marks: list[tuple[int, str]] = []
    at = 0
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if (entry := _ENTRY.match(line)) is not None:
            marks.append((at, entry[1] or ""))
        at += len(line)
    marks.append((len(text), ""))
    return [
        KconfigSymbol(name, Span(start, start + len(text[start:end].rstrip())))
        for (start, name), (end, _) in pairwise(marks)
        if name
    ]
