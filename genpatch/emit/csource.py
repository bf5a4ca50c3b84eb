# SPDX-License-Identifier: GPL-2.0-or-later
"""C text seen through its grammar; the one place where the parser is made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from tree_sitter import Language, Node, Parser

__all__ = ["CSource", "Span", "c_parser", "names_in", "parse"]

_STATEMENTS = {
    "if": "if_statement",
    "for": "for_statement",
    "while": "while_statement",
    "do": "do_statement",
    "switch": "switch_statement",
    "return": "return_statement",
    "declaration": "declaration",
    "expression": "expression_statement",
}
STATEMENT_KINDS = tuple(_STATEMENTS)
_NAMES = frozenset(("identifier", "field_identifier", "type_identifier", "statement_identifier", "primitive_type"))


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A part of a text, in characters.

    Args:
        start: of its first character.
        end: behind its last.
    """

    start: int
    end: int

    def of(self, text: str) -> str:
        """Return the part."""
        return text[self.start : self.end]


@cache
def c_parser() -> Parser:
    """Return the parser of C, made once."""
    import tree_sitter_c

    return Parser(Language(tree_sitter_c.language()))


def _walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it, in order; text may be nested deeper than Python calls."""
    waiting = [node]
    while waiting:
        yield (at := waiting.pop())
        waiting += reversed(at.children)


def names_in(node: Node) -> set[str]:
    """Return the identifiers in a part of the grammar's tree."""
    return {(each.text or b"").decode() for each in _walk(node) if each.type in _NAMES}


class CSource:
    """One C text, parsed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._data = text.encode()
        self.root = c_parser().parse(self._data).root_node
        self._nodes = list(_walk(self.root))

    def span(self, node: Node) -> Span:
        """Return where a node is, without line ends behind it."""
        if len(self._data) == len(self.text):
            start, end = node.start_byte, node.end_byte
        else:
            start, end = (len(self._data[:byte].decode()) for byte in (node.start_byte, node.end_byte))
        return Span(start, start + len(self.text[start:end].rstrip()))

    @property
    def errors(self) -> int:
        """In how many places the grammar does not fit; kernel macros make some."""
        return sum(node.type == "ERROR" or node.is_missing for node in self._nodes)

    def functions(self, name: str) -> list[Span]:
        """Return the definitions of a function."""
        found = [
            self.span(node) for node in self._nodes if node.type == "function_definition" and _defined(node) == name
        ]
        return [self._from_line(span) for span in found] or _functions_by_lines(self.text, name)

    def _from_line(self, span: Span) -> Span:
        """Return a span from where its line starts: a macro among a function's qualifiers hides those before it."""
        first = self.text.rfind("\n", 0, span.start) + 1
        return Span(first, span.end) if re.fullmatch(r"[\w \t*]*", self.text[first : span.start]) else span

    def function_names(self) -> list[str]:
        """Return the names of all functions defined, in order."""
        names = [_defined(node) for node in self._nodes if node.type == "function_definition"]
        return [name for name in names if name]

    def macros(self, name: str) -> list[Span]:
        """Return the definitions of a macro, continued lines and all."""
        kinds = ("preproc_def", "preproc_function_def")
        return [self.span(node) for node in self._nodes if node.type in kinds and _field(node, "name") == name]

    def includes(self, path: str) -> list[Span]:
        """Return the lines that include a header."""
        wanted = (f"<{path}>", f'"{path}"')
        return [self.span(n) for n in self._nodes if n.type == "preproc_include" and _field(n, "path") in wanted]

    def members(self, struct: str, name: str) -> list[Span]:
        """Return the declarations of a member of a struct, those in its nameless parts too."""
        bodies = [
            body
            for node in self._nodes
            if node.type in ("struct_specifier", "union_specifier") and _field(node, "name") == struct
            if (body := node.child_by_field_name("body")) is not None
        ]
        return [
            self.span(node)
            for body in bodies
            for node in _walk(body)
            if node.type == "field_declaration"
            and any(_declared(each) == name for each in node.children_by_field_name("declarator"))
        ]

    def statements(self, kind: str, names: frozenset[str], condition: frozenset[str]) -> list[tuple[Span, Span | None]]:
        """Return the innermost statements of a kind that use all of some names; the second span is the condition's.

        Args:
            names: that the statement must hold.
            condition: names that its condition must hold.
        """
        found: list[Node] = []
        for node in self._nodes:
            if node.type != _STATEMENTS[kind] or not names <= names_in(node):
                continue
            test = node.child_by_field_name("condition")
            if condition and (test is None or not condition <= names_in(test)):
                continue
            found.append(node)
        inner = [node for node in found if not any(_is_within(other, node) for other in found if other is not node)]
        return [(self.span(node), self._condition(node)) for node in inner]

    def _condition(self, node: Node) -> Span | None:
        test = node.child_by_field_name("condition")
        if test is None:
            return None
        span = self.span(test)
        return Span(span.start + 1, span.end - 1) if span.of(self.text).startswith("(") else span


@lru_cache(maxsize=64)
def parse(text: str) -> CSource:
    """Return C text, parsed; the same text is parsed once."""
    return CSource(text)


def _is_within(inner: Node, outer: Node) -> bool:
    return outer.start_byte <= inner.start_byte and inner.end_byte <= outer.end_byte


def _field(node: Node, name: str) -> str:
    found = node.child_by_field_name(name)
    return (found.text or b"").decode().strip() if found is not None else ""


def _declared(node: Node) -> str:
    """Return the name in the depth of a declarator."""
    at: Node | None = node
    while at is not None and at.type not in ("identifier", "field_identifier"):
        following = at.child_by_field_name("declarator")
        at = following or next((each for each in at.named_children if each.type.endswith(("declarator", "ier"))), None)
    return (at.text or b"").decode() if at is not None else ""


def _defined(node: Node) -> str:
    declarator = node.child_by_field_name("declarator")
    return _declared(declarator) if declarator is not None else ""


def _functions_by_lines(text: str, name: str) -> list[Span]:
    """Return definitions that the grammar has lost in a macro, by the way the kernel sets its braces."""
    pattern = rf"^(?:[A-Za-z_][\w \t*]*[ \t*\n])?{re.escape(name)}\([^;{{}}]*\n\{{\n(?:.*\n)*?\}}$"
    return [Span(*match.span()) for match in re.finditer(pattern, text, re.MULTILINE)]
