# SPDX-License-Identifier: GPL-2.0-or-later
"""C and assembly as the preprocessor leaves them in one configuration, line for line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from .source import code_of

__all__ = ["Taken", "options_tested", "preprocess"]

_DIRECTIVE = re.compile(r"[ \t]*#[ \t]*(if|ifdef|ifndef|elif|else|endif|define|undef)\b[ \t]*(.*)$", re.S)
_OPTION = re.compile(r"\bCONFIG_\w+\b(?!\s*(?:[<>]|[=!]=))")  # that are compared have numbers
_TOKEN = re.compile(r"\s*(\|\||&&|[=!<>]=|[!()<>]|\w+|\S)")
_DEFINE = re.compile(r"(\w+)(\([^)]*\))?[ \t]*(.*)$", re.S)
_MOST_TOKENS = 200


@dataclass(frozen=True, eq=False)
class Taken:
    """A text in one configuration; one is equal to itself alone.

    Args:
        lines: with empty ones for what is left out, for comments and for directives.
        macros: values of those without arguments, by name; of the text and of what it was given.
        functions: names of macros with arguments.
        defined_at: line of each macro.
    """

    lines: tuple[str, ...]
    macros: Mapping[str, str]
    functions: frozenset[str]
    defined_at: Mapping[str, int]

    @cached_property
    def text(self) -> str:
        """The lines as one."""
        return "\n".join(self.lines)


@lru_cache(maxsize=128)
def options_tested(text: str) -> frozenset[str]:
    """Return the options (``CONFIG_X``) that the conditionals of a text ask for."""
    found: set[str] = set()
    for line in _logical(text):
        if (match := _DIRECTIVE.match(line)) is not None and match[1] in ("if", "ifdef", "ifndef", "elif"):
            found |= set(_OPTION.findall(match[2]))
    return frozenset(found)


@lru_cache(maxsize=128)
def _logical(text: str) -> tuple[str, ...]:
    """Return the lines of code; a line that goes on behind a backslash stands with what follows, then empty ones."""
    found: list[str] = []
    waiting = 0
    for line in code_of(text).split("\n"):
        if waiting:
            found[-waiting] += f"\n{line}"
            found.append("")
            waiting = waiting + 1 if line.endswith("\\") else 0
            continue
        found.append(line)
        waiting = 1 if line.endswith("\\") else 0
    return tuple(found)


@lru_cache(maxsize=128)
def _directives(text: str) -> tuple[tuple[int, re.Match[str] | None], ...]:
    """Return line and match of each directive, then the line behind the last one."""
    lines = _logical(text)
    matches = ((at, _DIRECTIVE.match(line)) for at, line in enumerate(lines, 1) if "#" in line)
    return (*((at, match) for at, match in matches if match is not None), (len(lines) + 1, None))


def preprocess(text: str, options: Mapping[str, bool], given: Mapping[str, str] | None = None) -> Taken:
    """Return a text as it is in a configuration.

    Args:
        text: C or assembly.
        options: whether options are on; others are off.
        given: macros that are defined before it.
    """
    macros: dict[str, str] = dict(given or {})
    functions: set[str] = set()
    defined_at: dict[str, int] = {}
    out: list[str] = []
    stack: list[tuple[bool, bool, bool]] = []  # is taken, one was taken, what is around is taken
    lines = _logical(text)
    for number, match in _directives(text):
        is_taken = not stack or stack[-1][0]
        out += lines[len(out) : number - 1] if is_taken else [""] * (number - 1 - len(out))
        if match is None:
            break
        out.append("")
        if match[1] in ("define", "undef"):
            if is_taken:
                _define(match, macros, functions, defined_at, number)
        else:
            _branch(stack, match, options, macros.keys() | functions)
    return Taken(tuple(out), macros, frozenset(functions), defined_at)


def _define(
    match: re.Match[str], macros: dict[str, str], functions: set[str], defined_at: dict[str, int], number: int
) -> None:
    parts = _DEFINE.match(match[2])
    if parts is None:
        return
    if match[1] == "undef":
        macros.pop(parts[1], None)
        return
    defined_at.setdefault(parts[1], number)
    if parts[2]:
        functions.add(parts[1])
    else:
        macros[parts[1]] = parts[3].replace("\\\n", " ").strip()


def _branch(
    stack: list[tuple[bool, bool, bool]], match: re.Match[str], options: Mapping[str, bool], defined: Iterable[str]
) -> None:
    word, rest = match[1], match[2]
    if word in ("if", "ifdef", "ifndef"):
        around = not stack or stack[-1][0]
        expression = rest if word == "if" else f"defined({rest.split()[0] if rest.split() else ''})"
        on = around and _Test(expression, options, frozenset(defined)).value() != (word == "ifndef")
        stack.append((on, on, around))
    elif not stack:
        return
    elif word == "endif":
        stack.pop()
    else:
        _, was, around = stack[-1]
        on = around and not was and (word == "else" or _Test(rest, options, frozenset(defined)).value())
        stack[-1] = (on, was or on, around)


class _Test:
    """The condition of an #if; what cannot be told holds."""

    def __init__(self, text: str, options: Mapping[str, bool], defined: frozenset[str]) -> None:
        self.tokens = _TOKEN.findall(text.replace("\\\n", " "))[:_MOST_TOKENS]
        self.options, self.defined = options, defined

    def value(self) -> bool:
        try:
            return self._either()
        except (IndexError, RecursionError):
            return True

    def _takes(self, token: str) -> bool:
        if self.tokens[:1] == [token]:
            del self.tokens[0]
            return True
        return False

    def _either(self) -> bool:
        value = self._both()
        while self._takes("||"):
            value = self._both() or value
        return value

    def _both(self) -> bool:
        value = self._one()
        while self._takes("&&"):
            value = self._one() and value
        return value

    def _one(self) -> bool:
        token = self.tokens.pop(0)
        if token == "!":
            return not self._one()
        if token == "(":
            value = self._either()
            self._takes(")")
            return value
        if token in ("defined", "IS_ENABLED", "IS_BUILTIN", "IS_REACHABLE"):
            has_paren = self._takes("(")
            name = self.tokens.pop(0)
            if has_paren:
                self._takes(")")
            return self._is_on(name)
        if self.tokens[:1] and re.fullmatch(r"[=!<>]=|[<>]", self.tokens[0]):
            del self.tokens[:2]
            return True
        return token not in ("0", "0L", "0UL") if token[0].isdigit() else self._is_on(token)

    def _is_on(self, name: str) -> bool:
        return self.options.get(name, False) if name.startswith("CONFIG_") else name in self.defined
