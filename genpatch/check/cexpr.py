# SPDX-License-Identifier: GPL-2.0-or-later
"""Constant expressions and simple macros of C, computed in 64 bits without a sign."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

__all__ = ["MacroFunction", "computed", "macro_functions"]

_TOKEN = re.compile(r"\s*(?:(0[xX][0-9a-fA-F]+|\d+)[uUlL]*|(\w+)|(<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>?:(),]))")
_RANKS = {
    operator: rank
    for rank, operators in enumerate(
        (
            ("||",),
            ("&&",),
            ("|",),
            ("^",),
            ("&",),
            ("==", "!="),
            ("<", ">", "<=", ">="),
            ("<<", ">>"),
            ("+", "-"),
            ("*",),
        )
    )
    for operator in operators
}
"""How tightly operators of two operands bind."""
_MASK = (1 << 64) - 1
_DEEPEST = 12
_MOST_TOKENS = 400
_FUNCTION = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)\(([\w, \t]*)\)((?:[^\n\\]|\\\n|\\[^\n])*)", re.M)


class MacroFunction(NamedTuple):
    """A macro with arguments.

    Args:
        line: of its name.
    """

    parameters: tuple[str, ...]
    body: str
    line: int


def macro_functions(code: str) -> dict[str, MacroFunction]:
    """Return the macros with arguments of a text without comments, the first definition of each."""
    found: dict[str, MacroFunction] = {}
    for match in _FUNCTION.finditer(code):
        names = tuple(part.strip() for part in match[2].split(",") if part.strip())
        body = match[3].replace("\\\n", " ").strip()
        found.setdefault(match[1], MacroFunction(names, body, code.count("\n", 0, match.start(1)) + 1))
    return found


def computed(text: str, names: Mapping[str, str | int]) -> int | None:
    """Return the value of an expression, modulo 2**64; None if it is not so plain."""
    try:
        return _value(text, names, _DEEPEST)
    except (IndexError, ValueError, RecursionError):
        return None


@lru_cache(maxsize=512)
def _tokens(text: str) -> tuple[str, ...]:
    tokens: list[str] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or len(tokens) > _MOST_TOKENS:
            raise ValueError(text)
        tokens.append(match[1] or match[2] or match[3])
        at = match.end()
    return tuple(tokens)


def _value(text: str, names: Mapping[str, str | int], depth: int) -> int:
    if depth <= 0:
        raise ValueError(text)
    parser = _Parser(_tokens(text), names, depth)
    value = parser.choice()
    if parser.at < len(parser.tokens):
        raise ValueError(text)
    return value & _MASK


class _Parser:
    def __init__(self, tokens: Sequence[str], names: Mapping[str, str | int], depth: int) -> None:
        self.tokens, self.names, self.depth = tokens, names, depth
        self.at = 0

    def _takes(self, *tokens: str) -> str:
        if self.at < len(self.tokens) and self.tokens[self.at] in tokens:
            self.at += 1
            return self.tokens[self.at - 1]
        return ""

    def _needs(self, token: str) -> None:
        if not self._takes(token):
            raise ValueError(token)

    def choice(self) -> int:
        value = self._ranked(0)
        if not self._takes("?"):
            return value
        first = self.choice()
        self._needs(":")
        other = self.choice()
        return first if value else other

    def _ranked(self, lowest: int) -> int:
        """Return the value of operands that operators join which bind as tightly as a rank, or more."""
        value = self._one()
        while self.at < len(self.tokens):
            operator = self.tokens[self.at]
            rank = _RANKS.get(operator, -1)
            if rank < lowest:
                break
            self.at += 1
            value = _apply(operator, value, self._ranked(rank + 1)) & _MASK
        return value

    def _one(self) -> int:
        if operator := self._takes("-", "~", "!", "+"):
            value = self._one()
            return {"-": -value, "~": ~value, "!": int(not value), "+": value}[operator] & _MASK
        if self._takes("("):
            value = self.choice()
            self._needs(")")
            return value
        token = self.tokens[self.at]
        self.at += 1
        if token[0].isdigit():
            return int(token, 0)
        if token in ("BIT", "GENMASK"):
            return self._bits(token)
        known = self.names.get(token)
        if known is None:
            raise ValueError(token)
        return known if isinstance(known, int) else _value(known, self.names, self.depth - 1)

    def _bits(self, token: str) -> int:
        self._needs("(")
        high = low = self.choice()
        if token == "GENMASK":
            self._needs(",")
            low = self.choice()
        self._needs(")")
        if not low <= high < 64:
            raise ValueError(token)
        return (1 << (high + 1)) - (1 << low)


def _apply(operator: str, one: int, other: int) -> int:
    if other > 63 and operator in ("<<", ">>"):
        raise ValueError(operator)
    return _RESULTS[operator](one, other)


_RESULTS: dict[str, Callable[[int, int], int]] = {
    "||": lambda one, other: int(bool(one or other)),
    "&&": lambda one, other: int(bool(one and other)),
    "|": lambda one, other: one | other,
    "^": lambda one, other: one ^ other,
    "&": lambda one, other: one & other,
    "==": lambda one, other: int(one == other),
    "!=": lambda one, other: int(one != other),
    "<": lambda one, other: int(one < other),
    ">": lambda one, other: int(one > other),
    "<=": lambda one, other: int(one <= other),
    ">=": lambda one, other: int(one >= other),
    "<<": lambda one, other: one << other,
    ">>": lambda one, other: one >> other,
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
}
