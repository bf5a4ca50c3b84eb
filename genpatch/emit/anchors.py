# SPDX-License-Identifier: GPL-2.0-or-later
"""Anchors: the one place in a file where an edit goes, named by what stands there and never by its line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from .csource import STATEMENT_KINDS, Span, parse
from .errors import AnchorError
from .kbuild import assignments, blocks, kconfig_symbols

__all__ = [
    "Anchor",
    "AsmFunction",
    "AsmLabel",
    "AsmMacro",
    "Comment",
    "Commented",
    "Conditional",
    "Function",
    "Include",
    "KconfigLine",
    "KconfigSymbolBlock",
    "Lines",
    "Macro",
    "MakeAssignment",
    "MakeBlock",
    "Member",
    "Statement",
    "locate",
]


class Anchor(Protocol):
    """A place in a text; ``str()`` of it is its name in messages."""

    def places(self, text: str) -> list[Span]:
        """Return every place that fits."""
        ...


def locate(text: str, anchor: Anchor, path: str) -> Span:
    """Return the one place of an anchor.

    Raises:
        AnchorError: there is none, or more than one.
    """
    found = anchor.places(text)
    if len(found) != 1:
        raise AnchorError(path, str(anchor), len(found))
    return found[0]


@dataclass(frozen=True)
class Function:
    """The definition of a C function."""

    name: str

    def __str__(self) -> str:
        return f"function {self.name}()"

    def places(self, text: str) -> list[Span]:
        """Return its definitions."""
        return parse(text).functions(self.name)


@dataclass(frozen=True)
class Statement:
    """A statement of a C function: the innermost one of a kind that uses certain names.

    Args:
        function: that it stands in.
        kind: one of STATEMENT_KINDS.
        names: identifiers that it holds.
        condition: identifiers that its condition holds.
        only_condition: the place is the condition, without its parentheses.
    """

    function: str
    kind: str
    names: tuple[str, ...] = ()
    condition: tuple[str, ...] = ()
    only_condition: bool = False

    def __post_init__(self) -> None:
        assert self.kind in STATEMENT_KINDS, self.kind

    def __str__(self) -> str:
        parts = [f"the {self.kind} in {self.function}()"]
        if self.names:
            parts.append(f"that uses {', '.join(self.names)}")
        if self.condition:
            parts.append(f"that tests {', '.join(self.condition)}")
        return " ".join(parts)

    def places(self, text: str) -> list[Span]:
        """Return where it is, in each definition of the function; each is parsed alone."""
        found: list[Span] = []
        for body in parse(text).functions(self.function):
            inside = parse(body.of(text)).statements(self.kind, frozenset(self.names), frozenset(self.condition))
            for whole, condition in inside:
                span = condition if self.only_condition else whole
                if span is not None:
                    found.append(Span(body.start + span.start, body.start + span.end))
        return found


@dataclass(frozen=True)
class Macro:
    """The definition of a C macro."""

    name: str

    def __str__(self) -> str:
        return f"macro {self.name}"

    def places(self, text: str) -> list[Span]:
        """Return its definitions."""
        return parse(text).macros(self.name)


@dataclass(frozen=True)
class Include:
    """The line that includes a header."""

    path: str

    def __str__(self) -> str:
        return f"#include of {self.path}"

    def places(self, text: str) -> list[Span]:
        """Return such lines."""
        return parse(text).includes(self.path)


@dataclass(frozen=True)
class Member:
    """The declaration of a member of a struct."""

    struct: str
    name: str

    def __str__(self) -> str:
        return f"member {self.name} of struct {self.struct}"

    def places(self, text: str) -> list[Span]:
        """Return its declarations."""
        return parse(text).members(self.struct, self.name)


@dataclass(frozen=True)
class KconfigSymbolBlock:
    """A symbol of a Kconfig file with all that belongs to it."""

    name: str

    def __str__(self) -> str:
        return f"config {self.name}"

    def places(self, text: str) -> list[Span]:
        """Return its blocks."""
        return [symbol.span for symbol in kconfig_symbols(text) if symbol.name == self.name]


@dataclass(frozen=True)
class KconfigLine:
    """A line of a symbol: ``select X`` by the symbol selected, ``depends on`` by a symbol it names.

    Args:
        keyword: ``select``, ``imply`` or ``depends on``.
        target: the symbol.
        symbol: whose line; any symbol's if empty.
    """

    keyword: str
    target: str
    symbol: str = ""

    def __str__(self) -> str:
        return f"{self.keyword} {self.target}" + (f" of config {self.symbol}" if self.symbol else "")

    def places(self, text: str) -> list[Span]:
        """Return such lines, without their indent."""
        between = r"[ \t]+" if self.keyword != "depends on" else r"[ \t]+(?:[^\n]*\W)?"
        keyword = self.keyword.replace(" ", "[ \t]+")
        pattern = re.compile(rf"^[ \t]+({keyword}{between}{self.target}(?!\w)(?:[^\n]*[^\s])?)", re.MULTILINE)
        return [
            Span(*match.span(1))
            for symbol in kconfig_symbols(text)
            if self.symbol in ("", symbol.name)
            for match in pattern.finditer(text, symbol.span.start, symbol.span.end)
        ]


@dataclass(frozen=True)
class MakeAssignment:
    """An assignment in a Makefile, by the conditionals it stands in.

    Args:
        variable: that is assigned to.
        under: the conditionals, outermost first, as `kbuild.Assignment` spells them.
    """

    variable: str
    under: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"assignment to {self.variable}" + (f" under {' / '.join(self.under)}" if self.under else "")

    def places(self, text: str) -> list[Span]:
        """Return such assignments."""
        return [each.span for each in assignments(text, self.variable) if each.conditions == self.under]


@dataclass(frozen=True)
class MakeBlock:
    """A conditional in a Makefile that holds every assignment to a variable under some others.

    Args:
        condition: what it opens with.
        under: the conditionals it stands in.
    """

    condition: str
    under: tuple[str, ...] = ()
    holds: str = ""

    def __str__(self) -> str:
        parts = [self.condition]
        if self.under:
            parts.append(f"under {' / '.join(self.under)}")
        if self.holds:
            parts.append(f"that assigns to {self.holds}")
        return " ".join(parts)

    def places(self, text: str) -> list[Span]:
        """Return such conditionals."""
        assigned = assignments(text, self.holds) if self.holds else []
        return [
            block.span
            for block in blocks(text)
            if (block.condition, block.conditions) == (self.condition, self.under)
            and (not self.holds or any(block.span in each.blocks for each in assigned))
        ]


@dataclass(frozen=True)
class AsmLabel:
    """The line of a label in assembly."""

    name: str

    def __str__(self) -> str:
        return f"label {self.name}"

    def places(self, text: str) -> list[Span]:
        """Return where it is defined."""
        pattern = re.compile(rf"^[ \t]*({re.escape(self.name)}:)", re.MULTILINE)
        return [Span(*match.span(1)) for match in pattern.finditer(text)]


@dataclass(frozen=True)
class AsmMacro:
    """A macro in assembly, from ``.macro`` to ``.endm``."""

    name: str

    def __str__(self) -> str:
        return f".macro {self.name}"

    def places(self, text: str) -> list[Span]:
        """Return its definitions."""
        pattern = re.compile(rf"^([ \t]*)\.macro[ \t]+{re.escape(self.name)}\b.*?^[ \t]*\.endm\b", re.M | re.S)
        return [Span(match.start() + len(match[1]), match.end()) for match in pattern.finditer(text)]


@dataclass(frozen=True)
class AsmFunction:
    """A function in assembly, from ``SYM_..._START(name)`` or ``ENTRY(name)`` to its end."""

    name: str

    def __str__(self) -> str:
        return f"assembly function {self.name}"

    def places(self, text: str) -> list[Span]:
        """Return its definitions."""
        name = re.escape(self.name)
        start = rf"^(?:SYM_(?:TYPED_)?(?:FUNC|CODE)_START(?:_\w+)?|ENTRY)\({name}\)"
        end = rf"^(?:SYM_(?:FUNC|CODE)_END|ENDPROC|END)\({name}\)"
        return [Span(*match.span()) for match in re.finditer(rf"{start}.*?{end}", text, re.M | re.S)]


@dataclass(frozen=True)
class Comment:
    """A block comment that holds certain words.

    Args:
        words: all of them stand in it.
    """

    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"the comment that has {', '.join(self.words)}"

    def places(self, text: str) -> list[Span]:
        """Return such comments."""
        found = [Span(*match.span()) for match in re.finditer(r"/\*.*?\*/", text, re.DOTALL)]
        return [span for span in found if all(word in span.of(text) for word in self.words)]


@dataclass(frozen=True)
class Commented:
    """A place with the block comment that ends on the line above it, if there is one.

    Args:
        inner: the place.
        blank: with the empty line behind it, or, where none follows, the one before it.
    """

    inner: Anchor
    blank: bool = False

    def __str__(self) -> str:
        return str(self.inner)

    def places(self, text: str) -> list[Span]:
        """Return each place, widened."""
        return [self._wider(text, span) for span in self.inner.places(text)]

    def _wider(self, text: str, span: Span) -> Span:
        start, end = text.rfind("\n", 0, span.start) + 1, span.end
        if text[:start].endswith("*/\n"):
            opens = text.rfind("/*", 0, start)
            first = text.rfind("\n", 0, opens) + 1
            start = first if not text[first:opens].strip() else start
        if self.blank and text[end:].startswith("\n\n"):
            return Span(start, end + 1)
        return Span(start - 1 if self.blank and text[:start].endswith("\n\n") else start, end)


@dataclass(frozen=True)
class Conditional:
    """A conditional of the preprocessor from its first line to its ``#endif``: the innermost that holds a text.

    Args:
        opening: its first line without ``#`` and comment: ``ifdef CONFIG_X``.
        holds: the text.
    """

    opening: str
    holds: str = ""

    def __str__(self) -> str:
        return f"#{self.opening}" + (f" that holds {self.holds}" if self.holds else "")

    def places(self, text: str) -> list[Span]:
        """Return such conditionals."""
        found: list[Span] = []
        stack: list[tuple[int, str]] = []
        for match in re.finditer(r"^#[ \t]*((?:if|ifdef|ifndef)\b[^\n]*|endif\b)[^\n]*", text, re.MULTILINE):
            if match[1] != "endif":
                stack.append((match.start(), " ".join(match[1].partition("/*")[0].split())))
            elif stack:
                start, opening = stack.pop()
                found += [Span(start, match.end())] if opening == self.opening else []
        found = [span for span in found if self.holds in span.of(text)]
        return [one for one in found if not any(one != other and _is_in(other, one) for other in found)]


@dataclass(frozen=True)
class Lines:
    """Whole lines that a pattern fits, without the last line's end.

    Args:
        pattern: a regular expression; ``^`` and ``$`` are those of lines.
        name: in messages.
    """

    pattern: str
    name: str

    def __str__(self) -> str:
        return self.name

    def places(self, text: str) -> list[Span]:
        """Return them."""
        return [Span(*match.span()) for match in re.finditer(f"^(?:{self.pattern})$", text, re.MULTILINE)]


def _is_in(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end
