# SPDX-License-Identifier: GPL-2.0-or-later
"""C source as rules look at it: functions by the kernel's way to set braces, calls, constants."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Function", "calls", "code_of", "constant", "functions_of", "line_at", "macros_of"]

_NOT_CODE = re.compile(r"/\*.*?(?:\*/|\Z)|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", re.S)
_ONE_LINE = re.compile(r"^[A-Za-z_][^;\n{}=]{0,200}?\b(\w{1,100})\([^;{}\n]{0,200}\)[ \t]*\{[^\n]*\}[ \t]*$", re.M)
_BRACED = re.compile(r"^[A-Za-z_][^\n{]*\{[^\n]*\}[ \t]*$", re.M)
"""What may be one, found in less time."""
_NAME = re.compile(r"\b(\w+)\(")
_LONGEST_HEAD = 2000
_KEYWORDS = frozenset(("if", "for", "while", "switch", "return", "sizeof", "do", "defined"))


class Function(NamedTuple):
    """A function of a file, all its definitions taken together.

    Args:
        name: its own.
        is_static: nothing outside of the file calls it by name.
        bodies: of its definitions, without comments and strings.
        line: of the first definition's name.
    """

    name: str
    is_static: bool
    bodies: tuple[str, ...]
    line: int

    @property
    def body(self) -> str:
        """All bodies as one."""
        return "\n".join(self.bodies)


def line_at(text: str, at: int) -> int:
    """Return the line of a character, the first is 1."""
    return text.count("\n", 0, at) + 1


@lru_cache(maxsize=64)
def code_of(text: str) -> str:
    """Return C text with spaces for comments and the insides of strings."""

    def blank(match: re.Match[str]) -> str:
        kept = match[0][0] if match[0][0] in "\"'" else " "
        return kept + re.sub(r"[^\n]", " ", match[0][1:-1]) + (kept if len(match[0]) > 1 else "")

    return _NOT_CODE.sub(blank, text)


@lru_cache(maxsize=64)
def functions_of(text: str) -> Mapping[str, Function]:
    """Return the functions that a C text defines, by name."""
    code = code_of(text)
    found: dict[str, Function] = {}
    end = 0
    while (start := code.find("\n{\n", end)) >= 0 and (last := code.find("\n}", start)) >= 0:
        low = max(0, start - _LONGEST_HEAD)
        head_at = max(low, *(code.rfind(mark, low, start) + 1 for mark in ("\n\n", ";\n", "}\n")))
        head = re.sub(r"^[ \t]*#[^\n]*", lambda line: " " * len(line[0]), code[head_at:start], flags=re.M)
        end = last + 2
        if (name := _NAME.search(head)) is not None and "=" not in head:
            _add(found, name[1], head, code[start + 1 : end], line_at(code, head_at + name.start(1)))
    likely = (_ONE_LINE.match(code, each.start()) for each in _BRACED.finditer(code))
    for match in filter(None, likely):
        body = match[0][match[0].index("{") :]
        _add(found, match[1], match[0][: match.start(1) - match.start()], body, line_at(code, match.start(1)))
    return found


def _add(found: dict[str, Function], name: str, head: str, body: str, line: int) -> None:
    old = found.get(name)
    is_static = re.search(r"\bstatic\b", head) is not None
    if old is not None:
        found[name] = Function(name, old.is_static and is_static, (*old.bodies, body), min(line, old.line))
    else:
        found[name] = Function(name, is_static, (body,), line)


@lru_cache(maxsize=1024)
def calls(body: str) -> Sequence[tuple[str, int]]:
    """Return (name, place) of everything that looks like a call, in order."""
    return [(match[1], match.start()) for match in _NAME.finditer(body) if match[1] not in _KEYWORDS]


@lru_cache(maxsize=64)
def macros_of(text: str) -> Mapping[str, tuple[str, int]]:
    """Return value and line of each macro without arguments; the first definition counts."""
    found: dict[str, tuple[str, int]] = {}
    code = code_of(text)
    for match in re.finditer(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+([^\n]*[^\s\\])[ \t]*$", code, re.M):
        found.setdefault(match[1], (match[2].strip(), line_at(code, match.start(1))))
    return found


_TOKEN = re.compile(r"\s*(?:(0[xX][0-9a-fA-F]+|\d+)[uUlL]*|IS_ENABLED\((\w+)\)|(\w+)|([-+*()?:!]))")


def constant(text: str, names: Mapping[str, str], options: Mapping[str, bool], depth: int = 0) -> int | None:
    """Return the value of an expression of numbers, macros and IS_ENABLED(); None if it is not so plain."""
    if text.isdecimal():
        return int(text) if depth <= 8 else None
    tokens: list[str] = []
    parts = _parts(text)
    if parts is None or depth > 8:
        return None
    for kind, part in parts:
        if len(tokens) > 200:
            return None
        if kind == 2:
            tokens.append(str(int(options.get(part, False))))
        elif kind == 3:
            inner = constant(names[part], names, options, depth + 1) if part in names else None
            if inner is None:
                return None
            tokens += ["(", *(["-"] if inner < 0 else []), str(abs(inner)), ")"]
        else:
            tokens.append(part)
    parser = _Expression(tokens)
    try:
        value = parser.choice()
    except (IndexError, ValueError):
        return None
    return value if parser.at == len(tokens) else None


@lru_cache(maxsize=1024)
def _parts(text: str) -> tuple[tuple[int, str], ...] | None:
    """Return kind (1 number, 2 option, 3 name, 4 operator) and text of each token; None if one is something else."""
    found: list[tuple[int, str]] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or len(found) > 200:
            return None
        kind = match.lastindex or 0
        part = match[kind]
        found.append((kind, str(int(part, 0 if part[:2].lower() == "0x" else 10)) if kind == 1 else part))
        at = match.end()
    return tuple(found)


class _Expression:
    """Tokens, read from the left."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0

    def _takes(self, token: str) -> bool:
        taken = self.at < len(self.tokens) and self.tokens[self.at] == token
        self.at += taken
        return taken

    def choice(self) -> int:
        value = self._sum()
        if not self._takes("?"):
            return value
        first = self.choice()
        if not self._takes(":"):
            raise ValueError
        other = self.choice()
        return first if value else other

    def _sum(self) -> int:
        value = self._product()
        while True:
            if self._takes("+"):
                value += self._product()
            elif self._takes("-"):
                value -= self._product()
            else:
                return value

    def _product(self) -> int:
        value = self._one()
        while self._takes("*"):
            value *= self._one()
        return value

    def _one(self) -> int:
        if self._takes("-"):
            return -self._one()
        if self._takes("!"):
            return int(not self._one())
        if self._takes("("):
            value = self.choice()
            if not self._takes(")"):
                raise ValueError
            return value
        self.at += 1
        return int(self.tokens[self.at - 1])
