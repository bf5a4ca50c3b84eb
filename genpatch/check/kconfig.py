# SPDX-License-Identifier: GPL-2.0-or-later
"""What Kconfig files allow, in logic of three values: a symbol is on, off, or it cannot be told."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

__all__ = ["ARCH", "FILES", "Kconfig", "Symbol", "Tri", "read_kconfig"]

ARCH = "arch/riscv/Kconfig"
FILES = (ARCH, "arch/Kconfig", "kernel/trace/Kconfig")
"""Files that say which tracers there are."""
Tri = bool | None
_DEEPEST = 24
_MOST_ROUNDS = 6
_MOST_TOKENS = 200
_TOKEN = re.compile(r"\s*(\|\||&&|!=|<=|>=|[!()=<>]|\"[^\"]*\"|[\w./$-]+)")
_ENTRY = re.compile(r"(?:menu)?config\s+(\w+)\s*$")
_OTHER = re.compile(r"(?:choice|endchoice|menu|endmenu|source|comment|mainmenu)\b")
_LINE = re.compile(r"\s+(depends on|select|def_bool|default|bool|tristate|prompt|int|hex|string|help)\b\s*(.*)$")


@dataclass
class Symbol:
    """A symbol, all its definitions taken together.

    Args:
        name: without CONFIG_.
        has_prompt: somebody is asked.
        depends: what each definition depends on.
        defaults: (value, condition), each an expression.
        selected: (symbol, condition) of what selects it.
    """

    name: str
    has_prompt: bool = False
    is_defined: bool = False
    depends: list[str] = field(default_factory=list)
    defaults: list[tuple[str, str]] = field(default_factory=list)
    selected: list[tuple[str, str]] = field(default_factory=list)


class Kconfig:
    """Some Kconfig files.

    Args:
        texts: of the files.
    """

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.symbols: dict[str, Symbol] = {}
        self._about: dict[str, frozenset[str]] = {}
        self._derived: dict[tuple[str, frozenset[tuple[str, bool]]], Tri] = {}
        self._wanted: dict[str, tuple[tuple[str, bool], ...]] = {}
        for text in texts:
            self._read(text)

    def _symbol(self, name: str) -> Symbol:
        return self.symbols.setdefault(name, Symbol(name))

    def _read(self, text: str) -> None:
        around: list[str] = []
        now: Symbol | None = None
        depends: list[str] = []
        is_help = False
        for line in [*text.replace("\\\n", " ").split("\n"), "comment"]:
            if (is_help or now is None) and line[:1].isspace():
                continue
            code = line.split("#")[0].rstrip() if "$(" not in line else line.rstrip()
            if not code:
                continue
            if not code[0].isspace():
                if now is not None:
                    now.depends.append(_all(depends))
                now, depends, is_help = None, list(around), False
                if (entry := _ENTRY.match(code)) is not None:
                    now = self._symbol(entry[1])
                    now.is_defined = True
                elif code.startswith("if "):
                    around.append(code[3:])
                elif code == "endif" and around:
                    around.pop()
                continue
            if now is not None and (part := _LINE.match(code)) is not None:
                is_help = self._line(now, part[1], part[2], depends)

    def _line(self, now: Symbol, word: str, rest: str, depends: list[str]) -> bool:
        """Take in a line of a symbol; tell whether it starts its help."""
        value, _, condition = rest.partition(" if ")
        if word == "depends on":
            depends.append(rest)
        elif word == "select":
            self._symbol(value.strip()).selected.append((now.name, condition))
        elif word in ("def_bool", "default"):
            now.defaults.append((value, condition))
        elif word in ("bool", "tristate", "prompt", "int", "hex", "string"):
            now.has_prompt |= '"' in rest
        return word == "help"

    def value(self, name: str, assumed: Mapping[str, bool]) -> Tri:
        """Return what a symbol is where some are known."""
        if name in assumed:
            return assumed[name]
        return _Reader(self, assumed).symbol(name, _DEEPEST)

    def derived(self, name: str, assumed: Mapping[str, bool]) -> Tri:
        """Return what a symbol is by what it depends on and by what selects it, whatever is assumed of itself."""
        about = self._reached(name) & assumed.keys()
        key = (name, frozenset([(each, assumed[each]) for each in about if each != name]))
        if key not in self._derived:
            self._derived[key] = _Reader(self, dict(key[1])).symbol(name, _DEEPEST)
        return self._derived[key]

    def _reached(self, name: str) -> frozenset[str]:
        """Return the words in what a symbol is made of, and in what those are made of."""
        if name not in self._about:
            found: set[str] = set()
            waiting = [name]
            while waiting:
                word = waiting.pop()
                symbol = self.symbols.get(word)
                if word in found:
                    continue
                found.add(word)
                if symbol is None:
                    continue
                texts = [*symbol.depends, *itertools.chain(*symbol.selected, *symbol.defaults)]
                waiting += [each for text in texts for each in _words(text)]
            self._about[name] = frozenset(found)
        return self._about[name]

    def closed(self, assumed: Mapping[str, bool]) -> dict[str, bool] | None:
        """Return an assumption with what follows from it; None if it cannot be."""
        known = dict(assumed)
        if known.get("CC_IS_CLANG") and known.get("CC_IS_GCC"):
            return None
        last = known
        for _ in range(_MOST_ROUNDS):
            more: dict[str, bool] = {}
            for name, state in last.items():
                for other, wanted in self._needed(name) if state else ():
                    if known.get(other, wanted) != wanted or more.get(other, wanted) != wanted:
                        return None
                    more[other] = wanted
            if more.keys() <= known.keys():
                break
            last = {name: state for name, state in more.items() if name not in known}
            known |= more
        return None if any(self.derived(name, known) is (not state) for name, state in known.items()) else known

    def _needed(self, name: str) -> tuple[tuple[str, bool], ...]:
        if name not in self._wanted:
            self._wanted[name] = tuple(self._needs(name))
        return self._wanted[name]

    def _needs(self, name: str) -> Iterator[tuple[str, bool]]:
        """Yield what must be on or off where a symbol is on."""
        symbol = self.symbols.get(name)
        if symbol is None or not symbol.is_defined:
            return
        if len(symbol.depends) == 1 and (symbol.has_prompt or symbol.defaults):
            yield from _conjuncts(symbol.depends[0])
        if not symbol.has_prompt and not symbol.defaults and len(symbol.selected) == 1:
            yield symbol.selected[0][0], True
            yield from _conjuncts(symbol.selected[0][1])


def _all(parts: list[str]) -> str:
    return " && ".join(f"({part})" for part in parts)


@lru_cache(maxsize=4096)
def _conjuncts(expression: str) -> tuple[tuple[str, bool], ...]:
    """Return (symbol, state) of an expression that is symbols joined by ``&&``, as far as it is."""
    depth, part, parts = 0, "", []
    found: list[tuple[str, bool]] = []
    for token in _TOKEN.findall(expression):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "&&" and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += token
    for each in [*parts, part]:
        if re.fullmatch(r"!?\w+", each):
            found.append((each.lstrip("!"), not each.startswith("!")))
        elif each.startswith("(") and each.endswith(")") and "||" not in each:
            found += _conjuncts(each[1:-1].replace("&&", " && "))
    return tuple(found)


@lru_cache(maxsize=4096)
def _words(expression: str) -> frozenset[str]:
    return frozenset(_tokens(expression))


class _Reader:
    """Expressions, evaluated under an assumption."""

    def __init__(self, kconfig: Kconfig, assumed: Mapping[str, bool]) -> None:
        self.kconfig = kconfig
        self.known: dict[str, Tri] = dict(assumed)

    def symbol(self, name: str, depth: int) -> Tri:
        if name in self.known:
            return self.known[name]
        if name in ("y", "n", "m"):
            return name != "n"
        if depth <= 0:
            return None
        self.known[name] = None  # while it is asked for by what it needs itself
        found = self.known[name] = self._symbol(name, depth - 1)
        return found

    def _symbol(self, name: str, depth: int) -> Tri:
        symbol = self.kconfig.symbols.get(name)
        if symbol is None or not (symbol.is_defined or symbol.selected):
            return None
        selected: Tri = False
        for by, condition in symbol.selected:
            selected = _or(selected, _and(self.symbol(by, depth), self.of(condition, depth)))
        if selected is True or not symbol.is_defined:
            return selected if selected is True else None
        depends: Tri = False
        for each in symbol.depends:
            depends = _or(depends, self.of(each, depth))
        default: Tri = None if symbol.has_prompt else False
        for value, condition in symbol.defaults if not symbol.has_prompt else ():
            default = _or(default, _and(self.of(value, depth), self.of(condition, depth)))
        return _or(selected, _and(depends, default))

    def of(self, expression: str, depth: int) -> Tri:
        """Evaluate an expression; an empty one is y."""
        return self._of(_parsed(expression), depth)

    def _of(self, expr: _Expr, depth: int) -> Tri:
        kind = expr[0]
        if kind == "symbol":
            return self.symbol(expr[1], depth)
        if kind == "compare":
            return self.known.get(expr[1])
        if kind == "not":
            value = self._of(expr[1], depth)
            return None if value is None else not value
        if kind == "known":
            return True if expr[1] else None
        join = _or if kind == "or" else _and
        return join(self._of(expr[1], depth), self._of(expr[2], depth))


_Expr = tuple[Any, ...]
"""("symbol", name), ("compare", words), ("not", expression), ("or", two of them), ("and", the same), ("known", yes)."""


@lru_cache(maxsize=4096)
def _parsed(expression: str) -> _Expr:
    """Return an expression, parsed; what is none cannot be told."""
    if not expression.strip():
        return ("known", True)
    try:
        return _Parser(list(_tokens(expression))).either()
    except IndexError:
        return ("known", False)


@lru_cache(maxsize=4096)
def _tokens(expression: str) -> tuple[str, ...]:
    """Return the words of an expression; a call of a macro is one."""
    text = expression
    macros: dict[str, str] = {}
    while (start := text.find("$(")) >= 0 and len(macros) < 50:
        end = _closing(text, start + 1)
        macros[f"macro{len(macros)}$"] = text[start:end]
        text = f"{text[:start]} macro{len(macros) - 1}$ {text[end:]}"
    return tuple(macros.get(each, each) for each in _TOKEN.findall(text)[:_MOST_TOKENS])


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def either(self) -> _Expr:
        value = self.both()
        while self.tokens[:1] == ["||"]:
            del self.tokens[0]
            value = ("or", value, self.both())
        return value

    def both(self) -> _Expr:
        value = self.one()
        while self.tokens[:1] == ["&&"]:
            del self.tokens[0]
            value = ("and", value, self.one())
        return value

    def one(self) -> _Expr:
        token = self.tokens.pop(0)
        if token == "!":
            return ("not", self.one())
        if token == "(":
            value = self.either()
            del self.tokens[0]
            return value
        if self.tokens[:1] and self.tokens[0] in ("=", "!=", "<", "<=", ">", ">="):
            return ("compare", " ".join([token, self.tokens.pop(0), self.tokens.pop(0)]))
        return ("symbol", token)


def _closing(text: str, start: int) -> int:
    """Return the place behind the parenthesis that closes the one at a place."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at + 1
    return len(text)


def _or(one: Tri, other: Tri) -> Tri:
    if one is True or other is True:
        return True
    return None if one is None or other is None else False


def _and(one: Tri, other: Tri) -> Tri:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


@lru_cache(maxsize=8)
def read_kconfig(texts: tuple[str, ...]) -> Kconfig:
    """Return Kconfig files, read; the same texts are read once."""
    return Kconfig(texts)
