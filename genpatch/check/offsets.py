# SPDX-License-Identifier: GPL-2.0-or-later
"""Which bytes of a site ftrace.c reads and writes, in one configuration, counted from the function's entry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from .preprocess import Taken
from .source import calls, constant, functions_of

__all__ = ["ROOTS", "Touch", "touches"]

ROOTS = ("ftrace_init_nop", "ftrace_make_call", "ftrace_make_nop", "ftrace_modify_call")
"""The functions of an architecture that change a site."""
_ENTRY = 1 << 20  # where the function is thought to be; on any alignment that is asked for
_WRITES = frozenset(("patch_insn_write", "patch_text_nosync", "patch_text"))
_READS = frozenset(("copy_from_kernel_nofault",))
_CAST = re.compile(
    r"\(\s*(?:const\s+)?(?:unsigned\s+)?(?:long|int|char|void|u8|u16|u32|u64|uintptr_t|size_t)\s*\**\s*\)"
)
_ALIGNS = re.compile(r"\b(?:ALIGN_DOWN|round_down|PTR_ALIGN_DOWN)\(")
_SIZEOF = re.compile(r"sizeof\(\s*([^()]*?)\s*\)")
_SITE = re.compile(r"\b\w+->ip\b")
_SETS = re.compile(r"(?<![\w.>])(\w+)\s*([-+]?=)(?!=)\s*")
_ENCODES = re.compile(r"\bto_(?:auipc|jalr)\w*\(\s*(\w+)\s*\)")
_HEAD = re.compile(r"\(([^;{}]*)\)[^;{}]*\{")
_PLAIN_HEAD = re.compile(r"\(([^;{}()]*)\)\s*\{")
_DEEPEST = 5
_MOST = 400


class Touch(NamedTuple):
    """A place that a function reads, writes, or counts distances from.

    Args:
        root: the function of ROOTS.
        kind: ``write``, ``read``, ``literal`` (a write of the pointer to a tracer's ops) or ``base``.
        at: bytes from the function's entry.
        size: bytes; 0 for a base.
        lines: of what decides it, in ftrace.c.
    """

    root: str
    kind: str
    at: int
    size: int
    lines: tuple[int, ...]


def touches(source: Taken, macros: Mapping[str, str], site: int) -> list[Touch]:
    """Return what the functions of ROOTS touch, as far as it is plain.

    Args:
        source: ftrace.c.
        macros: constants of its headers.
        site: rec->ip, counted from the function's entry [bytes].
    """
    return list(_touches(source, frozenset({**macros, **source.macros}.items()), site))


@lru_cache(maxsize=128)
def _touches(source: Taken, macros: frozenset[tuple[str, str]], site: int) -> tuple[Touch, ...]:
    reader = _Reader(source, dict(macros), site)
    for root in ROOTS:
        if root in reader.functions:
            reader.root = root
            reader.read(root, {}, (), 0)
    return tuple(dict.fromkeys(reader.found))


class _Reader:
    def __init__(self, source: Taken, macros: Mapping[str, str], site: int) -> None:
        self.text, self.macros, self.site = source.text, macros, site
        self.functions = functions_of(self.text)
        self.found: list[Touch] = []
        self.root = ""

    def read(self, name: str, given: Mapping[str, int | None], above: tuple[int, ...], depth: int) -> None:
        """Read a function; what its parameters are is given."""
        body = self.functions[name].bodies[0]
        start = self.text.find(body)
        known: dict[str, int | None] = dict(given)
        lines: dict[str, int] = {}
        assigned: dict[str, str] = {}
        for at, what in list(_events(body))[:_MOST]:
            line = self.text.count("\n", 0, start + at) + 1 if start >= 0 else self.functions[name].line
            if isinstance(what, re.Match):
                variable, expression = what[1], _upto(body, what.end())
                value = self.value(expression, known)
                if what[2] != "=":
                    old = known.get(variable)
                    sign = -1 if what[2] == "-=" else 1
                    value = old + sign * value if old is not None and value is not None else None
                known[variable], lines[variable], assigned[variable] = value, line, expression
            else:
                used = tuple(lines[word] for word in re.findall(r"\w+", " ".join(what[1])) if word in lines)
                self._call(name, what[0], what[1], known, (*used, line, *above), depth)
        self._bases(body, assigned, known, lines, above)

    def _call(
        self,
        caller: str,
        name: str,
        args: tuple[str, ...],
        known: Mapping[str, int | None],
        lines: tuple[int, ...],
        depth: int,
    ) -> None:
        if name in _WRITES and len(args) == 3:
            kind = "literal" if self._is_ops(args[1], caller) else "write"
            self._add(kind, self.value(args[0], known), self._size(args[2], caller), lines)
        elif name in _READS and len(args) == 3:
            self._add("read", self.value(args[1], known), self._size(args[2], caller), lines)
        elif name.startswith("make_call") and args:
            self._add("base", self.value(args[0], known), 0, lines)
        elif name in self.functions and name not in ROOTS and depth < _DEEPEST:
            given = dict(zip(self._parameters(name), (self.value(a, known) for a in args), strict=False))
            self.read(name, given, lines, depth + 1)
        elif name in self.functions and name != caller and depth == 0 and name in ROOTS:
            self.read(name, {}, lines, depth + 1)

    def _bases(
        self,
        body: str,
        assigned: Mapping[str, str],
        known: Mapping[str, int | None],
        lines: Mapping[str, int],
        above: tuple[int, ...],
    ) -> None:
        """Add what distances are counted from: ``b`` in ``offset = a - b`` where offset is encoded."""
        for variable in dict.fromkeys(_ENCODES.findall(body)):
            _, minus, last = assigned.get(variable, "").rpartition(" - ")
            if minus:
                also = tuple(lines[word] for word in re.findall(r"\w+", last) if word in lines)
                self._add("base", self.value(last, known), 0, (*also, lines[variable], *above))

    def _add(self, kind: str, at: int | None, size: int | None, lines: tuple[int, ...]) -> None:
        if at is not None and size is not None:
            self.found.append(Touch(self.root, kind, at - _ENTRY, size, tuple(dict.fromkeys(lines))))

    def _is_ops(self, data: str, function: str) -> bool:
        """Tell whether what is written is a pointer to a tracer's ops."""
        name = data.removeprefix("&").strip()
        head = _head(self.text, function, _HEAD)
        around = (head[1] if head else "") + self.functions[function].bodies[0]
        return re.search(rf"struct\s+ftrace_ops\s*\*\s*(?:const\s+)?{re.escape(name)}\b", around) is not None

    def _parameters(self, name: str) -> list[str]:
        head = _head(self.text, name, _HEAD)
        return [words[-1] for part in (head[1] if head else "").split(",") if (words := re.findall(r"\w+", part))]

    def value(self, expression: str, known: Mapping[str, int | None]) -> int | None:
        """Return an address or a number; None if it is not so plain."""
        text = _SITE.sub(str(_ENTRY + self.site), _CAST.sub(" ", expression))
        if len(text) > 500:
            return None
        while (aligns := _ALIGNS.search(text)) is not None:
            parts = arguments(text, aligns.end())
            end = _end(text, aligns.end())
            number, unit = (self.value(part, known) for part in parts) if len(parts) == 2 else (None, None)
            if number is None or not unit:
                return None
            text = f"{text[: aligns.start()]}{number // unit * unit}{text[end:]}"
        names = {**self.macros, **{name: str(value) for name, value in known.items() if value is not None}}
        for name, value in known.items():
            if value is None:
                names.pop(name, None)
        return constant(text, names, {})

    def _size(self, expression: str, function: str) -> int | None:
        head = _head(self.text, function, _PLAIN_HEAD)
        parameters = head[1].replace(",", ";") if head is not None else ""
        declared = f"{parameters};{self.functions[function].bodies[0]}"

        def size(match: re.Match[str]) -> str:
            return str(_sizeof(match[1], declared))

        return constant(_SIZEOF.sub(size, expression), self.macros, {})


@lru_cache(maxsize=256)
def _head(text: str, name: str, behind: re.Pattern[str]) -> re.Match[str] | None:
    """Return what stands behind a name where that is a function's, from the parenthesis on."""
    at = text.find(f"{name}(")
    while at >= 0:
        is_whole = at == 0 or not (text[at - 1].isalnum() or text[at - 1] == "_")
        if is_whole and (match := behind.match(text, at + len(name))) is not None:
            return match
        at = text.find(f"{name}(", at + 1)
    return None


def _sizeof(what: str, declared: str) -> int:
    """Return the size of a variable or parameter of a function, or of a type, of those that patching uses."""
    if what in ("u32", "unsigned int", "int") or what.endswith("*"):
        return 8 if what.endswith("*") else 4
    name = re.escape(what.lstrip("*&"))
    word = re.search(rf"\b(?:unsigned int|u32|int)\s[^;()]*\b{name}\b(?:\[(\d{{1,3}})\])?", declared)
    if word is not None:
        return 4 * int(word[1] or 1)
    return 8


def _events(body: str) -> Iterator[tuple[int, re.Match[str] | tuple[str, tuple[str, ...]]]]:
    """Yield assignments and calls of a body in order; a call counts where it ends, as its arguments come first."""
    found: list[tuple[int, int, re.Match[str] | tuple[str, tuple[str, ...]]]] = []
    for match in _SETS.finditer(body):
        found.append((match.start(1), match.start(1), match))
    for name, at in calls(body):
        start = body.index("(", at) + 1
        found.append((at, at, (name, tuple(arguments(body, start)))))
    for _, at, what in sorted(found, key=lambda each: each[0]):
        yield at, what


def arguments(text: str, start: int) -> list[str]:
    """Return the arguments of a call, from behind its opening parenthesis."""
    inside = text[start : max(start, _end(text, start) - 1)]
    found, depth, part = [], 0, ""
    for letter in inside:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            found.append(part.strip())
            part = ""
        else:
            part += letter
    return [*found, part.strip()] if part.strip() or found else []


def _end(text: str, start: int) -> int:
    """Return the place behind the parenthesis that closes one just before a place."""
    depth = 1
    for at in range(start, min(len(text), start + 2000)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at + 1
    return min(len(text), start + 2000)


def _upto(text: str, start: int) -> str:
    """Return an expression up to the comma or semicolon that ends it."""
    depth = 0
    for at in range(start, min(len(text), start + 2000)):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if depth < 0 or (depth == 0 and text[at] in ",;"):
            return text[start:at]
    return text[start : start + 2000]


__all__ += ["arguments"]
