# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions of a C text as small trees of tuples, made from the grammar's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from .source import calls, code_of, functions_of

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["Expr", "FunctionTree", "Stmt", "Trees", "calls_in", "expression", "parts_of", "same_code", "trees_of"]

Expr = tuple[Any, ...]
"""(kind, parts...): num, id, bin, un, cond, cast, call, field, sub, deref, addr, sizeof, list, str, comma, step, assign
or unknown; inside of others: var, pair or case."""
Stmt = tuple[Any, ...]
"""(kind, parts...): block, expr, decl, if, for, do, switch, label, return, goto, break, continue or nothing."""
MOST_DEPTH = 60
_GONE = "\x00"  # stands for a body that is taken out
_MACRO = re.compile(r"^[ \t]*#[ \t]*define\b(?:[^\n\\]|\\\n|\\[^\n])*", re.M)


class _Unreadable(Exception):  # noqa: N818
    pass


@dataclass(frozen=True, slots=True, eq=False)
class FunctionTree:
    """A function.

    Args:
        name: its own.
        parameters: their names.
        types: theirs, as ``u32`` or ``void *``.
        body: its statements.
        unreadable: why there is no body, or nothing.
        line: where it starts.
        end: its last line.
        calls: in its body, in order.
    """

    name: str
    parameters: tuple[str, ...]
    types: tuple[str, ...]
    body: tuple[Stmt, ...]
    unreadable: str
    line: int
    end: int
    calls: tuple[Expr, ...] = ()


class Trees(Mapping[str, FunctionTree]):
    """The functions of a text; each is read when it is asked for.

    Which there are is told by a text without their bodies, which takes a fraction of the time; the lines are the same.
    """

    def __init__(self, text: str) -> None:
        self._code = code_of(text)
        self._texts: dict[str, str] = {}
        self._made: dict[str, FunctionTree] = {}

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return _defined(_without_bodies(self._code))

    @cached_property
    def _lines(self) -> list[str]:
        return self._code.split("\n")

    def __getitem__(self, name: str) -> FunctionTree:
        if name not in self._made:
            node, text = self._nodes[name], self.text_of(name)
            is_whole = node.text == text.encode()
            self._made[name] = _function(name, node) if is_whole else _alone(name, node.start_point[0], text)
        return self._made[name]

    def parameters_of(self, name: str) -> tuple[str, ...]:
        """Return the names of a function's parameters, without reading its body."""
        return _function(name, self._nodes[name]).parameters

    def text_of(self, name: str) -> str:
        """Return a function as it is written, without comments and the insides of strings; "" if there is none."""
        if name not in self._texts:
            node = self._nodes.get(name)
            self._texts[name] = self._between(node.start_point, node.end_point) if node is not None else ""
        return self._texts[name]

    def _between(self, start: tuple[int, int], end: tuple[int, int]) -> str:
        """Return what stands between two places: rows, and columns in bytes."""
        (first, left), (last, right) = start, end
        if first == last:
            return self._lines[first].encode()[left:right].decode()
        lines = (self._lines[first].encode()[left:], self._lines[last].encode()[:right])
        return "\n".join((lines[0].decode(), *self._lines[first + 1 : last], lines[1].decode()))

    def saying(self, words: Iterable[str]) -> Iterator[str]:
        """Yield the functions in whose text one of some words is: only they can call what is named so."""
        words = tuple(words)
        for name in self._nodes if any(word in self._code for word in words) else ():
            text = self.text_of(name)
            if any(word in text for word in words):
                yield name

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)


def _parsed(code: str) -> Node:
    from ..emit.csource import c_parser

    return c_parser().parse(code.encode()).root_node


@lru_cache(maxsize=32)
def _defined(code: str) -> dict[str, Node]:
    """Return the definitions of functions by name; many a patch leaves them the same, without their bodies."""
    found: dict[str, Node] = {}
    for node in _definitions(_parsed(code)):
        name = _declared(node.child_by_field_name("declarator"))
        if name is not None:
            found.setdefault(name, node)
    return found


@lru_cache(maxsize=2048)
def _alone(name: str, row: int, text: str) -> FunctionTree:
    """Return a function that starts in a row, the first is 0; one that a patch leaves alone is read once."""
    root = _parsed("\n" * row + text)
    return _function(name, next(_definitions(root), root))


def _without_bodies(code: str) -> str:
    """Return C with nothing in the bodies of functions but their lines; what a conditional cuts up is left there."""
    parts: list[str] = []
    end = 0
    while (start := code.find("\n{\n", end)) >= 0 and (last := code.find("\n}", start)) >= 0:
        body = code[start + 2 : last]
        is_whole = "\n#" not in body and all(body.count(one) == body.count(other) for one, other in ("{}", "()"))
        parts += [code[end : start + 2], "\n" * body.count("\n") if is_whole else body]
        end = last
    return "".join((*parts, code[end:]))


@lru_cache(maxsize=32)
def trees_of(text: str) -> Trees:
    """Return the functions of a text by name; the first definition counts."""
    return Trees(text)


@lru_cache(maxsize=512)
def expression(text: str) -> Expr:
    """Return an expression that stands alone, such as the value of a macro; ("unknown", ...) if it is none."""
    from ..emit.csource import c_parser

    root = c_parser().parse(f"int x = ({text});".encode()).root_node
    if root.has_error:
        return ("unknown", text)
    declared = root.children[0].child_by_field_name("declarator")
    value = declared.child_by_field_name("value") if declared is not None else None
    try:
        return _expr(value, 0) if value is not None else ("unknown", text)
    except _Unreadable:
        return ("unknown", text)


def same_code(one: str, other: str, roots: Iterable[str]) -> bool:
    """Tell whether some functions of two texts, all that they call, and what is outside of functions are the same.

    What a reader makes of these functions is then the same, but for the lines. No parser is asked: False may also
    mean that it is not sure.
    """
    if one == other:
        return True
    old, new = functions_of(one), functions_of(other)
    left, right = code_of(one), code_of(other)
    waiting, seen = [*roots, *(name for name, _ in calls("\n".join(_MACRO.findall(right))))], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or (name not in new and name not in old):
            continue
        seen.add(name)
        if name not in new or name not in old or _words(old[name].body) != _words(new[name].body):
            return False
        waiting += [callee for callee, _ in calls(new[name].body)]
    for name in (old.keys() & new.keys()) - seen:
        if old[name].bodies != new[name].bodies:
            for body in old[name].bodies:
                left = left.replace(body, "", 1)
            for body in new[name].bodies:
                right = right.replace(body, "", 1)
    for name in (old.keys() - new.keys()) - seen:
        left = _without(left, name, old[name].bodies)
    for name in (new.keys() - old.keys()) - seen:
        right = _without(right, name, new[name].bodies)
    return left == right or _words(left) == _words(right)


def _without(code: str, name: str, bodies: Iterable[str]) -> str:
    """Return a text without a function."""
    for body in bodies:
        code = code.replace(body, _GONE, 1)
    head = rf"^[A-Za-z_][^;{{}}()#{_GONE}]{{0,300}}\b{re.escape(name)}\([^;{{}}{_GONE}]{{0,1000}}\)\s*{_GONE}"
    return re.sub(head, "", code, flags=re.M)


def _words(text: str) -> str:
    return " ".join(text.split())


def _definitions(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.type == "function_definition":
            yield node
        elif node.type in ("translation_unit", "linkage_specification") or node.type.startswith("preproc"):
            waiting += reversed(node.named_children)


def _text(node: Node | None) -> str:
    return (node.text or b"").decode() if node is not None else ""


def _declared(node: Node | None) -> str | None:
    """Return the name that a declarator declares."""
    while node is not None and node.type not in ("identifier", "field_identifier"):
        node = node.child_by_field_name("declarator") or next(
            (each for each in node.named_children if each.type == "identifier"), None
        )
    return _text(node) or None


def _function(name: str, node: Node) -> FunctionTree:
    line, end = node.start_point[0] + 1, node.end_point[0] + 1
    declarator = node.child_by_field_name("declarator")
    while declarator is not None and declarator.type != "function_declarator":
        declarator = declarator.child_by_field_name("declarator")
    listed = declarator.child_by_field_name("parameters") if declarator is not None else None
    body = node.child_by_field_name("body")
    if listed is None or body is None:
        return FunctionTree(name, (), (), (), "no plain function", line, end)
    declared = [_declared(each.child_by_field_name("declarator")) for each in listed.named_children]
    parameters = tuple(each for each in declared if each is not None)
    types = tuple(
        _type(each.child_by_field_name("type"), each.child_by_field_name("declarator"))
        for each, found in zip(listed.named_children, declared, strict=True)
        if found is not None
    )
    try:
        made = tuple(_statements(body, 0))
        calls = tuple(call for stmt in made for call in calls_in(stmt))
        return FunctionTree(name, parameters, types, made, "", line, end, calls)
    except _Unreadable as why:
        return FunctionTree(name, parameters, types, (), str(why), line, end)


def _statements(node: Node, depth: int) -> Iterator[Stmt]:
    for each in node.named_children:
        if each.type != "comment":
            yield _stmt(each, depth + 1)


def _stmt(node: Node, depth: int) -> Stmt:
    if depth > MOST_DEPTH:
        raise _Unreadable("nested too deep")
    kind = node.type
    line = node.start_point[0] + 1
    if kind == "compound_statement":
        return ("block", tuple(_statements(node, depth)))
    if kind == "expression_statement":
        return ("expr", _expr(node.named_children[0], depth), line) if node.named_children else ("nothing",)
    if kind == "declaration":
        return ("decl", tuple(_declarations(node, depth)), line)
    if kind == "return_statement":
        return ("return", _expr(node.named_children[0], depth) if node.named_children else None, line)
    if kind == "goto_statement":
        return ("goto", _text(node.child_by_field_name("label")), line)
    if kind in ("break_statement", "continue_statement"):
        return (kind.removesuffix("_statement"),)
    if kind == "labeled_statement":
        inner = [each for each in node.named_children[1:] if each.type != "comment"]
        return (
            "label",
            _text(node.child_by_field_name("label")),
            _stmt(inner[0], depth + 1) if inner else ("nothing",),
        )
    return _compound(node, kind, depth)


def _compound(node: Node, kind: str, depth: int) -> Stmt:
    def part(name: str) -> Expr | None:
        child = node.child_by_field_name(name)
        return _expr(child, depth + 1) if child is not None else None

    def inner(name: str) -> Stmt:
        child = node.child_by_field_name(name)
        if child is None:
            raise _Unreadable(f"a {kind} without {name}")
        return _stmt(child, depth + 1)

    if kind == "if_statement":
        other = node.child_by_field_name("alternative")
        if other is not None and other.type == "else_clause":
            other = next((each for each in other.named_children if each.type != "comment"), None)
        return ("if", part("condition"), inner("consequence"), _stmt(other, depth + 1) if other is not None else None)
    if kind == "while_statement":
        return ("for", None, part("condition"), None, inner("body"))
    if kind == "do_statement":
        return ("do", inner("body"), part("condition"))
    if kind == "for_statement":
        start = node.child_by_field_name("initializer")
        first: Stmt | None = None
        if start is not None:
            first = _stmt(start, depth) if start.type == "declaration" else ("expr", _expr(start, depth), 0)
        return ("for", first, part("condition"), part("update"), inner("body"))
    if kind == "switch_statement":
        body = node.child_by_field_name("body")
        return ("switch", part("condition"), tuple(_cases(body, depth)) if body is not None else ())
    if kind in ("type_definition", "attributed_statement"):
        return ("nothing",)
    raise _Unreadable(f"a {kind} in line {node.start_point[0] + 1}")


def _cases(body: Node, depth: int) -> Iterator[Stmt]:
    """Yield ("case", value, statements); the default has no value."""
    for each in body.named_children:
        if each.type == "comment":
            continue
        if each.type != "case_statement":
            raise _Unreadable(f"a {each.type} in a switch")
        value = each.child_by_field_name("value")
        rest = [one for one in each.named_children if one != value and one.type != "comment"]
        made = _expr(value, depth) if value is not None else None
        yield "case", made, tuple(_stmt(one, depth + 1) for one in rest)


def _declarations(node: Node, depth: int) -> Iterator[Expr]:
    """Yield ("var", name, kind, size, value, type): the kind is plain, array or struct, a pointer's type has a star."""
    base = node.child_by_field_name("type")
    is_struct = base is not None and base.type in ("struct_specifier", "union_specifier")
    for each in node.children_by_field_name("declarator"):
        init = each.child_by_field_name("value") if each.type == "init_declarator" else None
        inner = each.child_by_field_name("declarator") if each.type == "init_declarator" else each
        name = _declared(inner)
        if name is None or inner is None:
            raise _Unreadable("a declaration without a name")
        size: Expr | None = None
        kind = "struct" if is_struct and inner.type == "identifier" else "plain"
        if inner.type == "array_declarator":
            kind = "array"
            bound = inner.child_by_field_name("size")
            size = _expr(bound, depth) if bound is not None else None
        yield "var", name, kind, size, _expr(init, depth) if init is not None else None, _type(base, inner)


def _type(base: Node | None, declarator: Node | None) -> str:
    """Return a type's name, with a star if what is declared is a pointer."""
    is_pointer = False
    while declarator is not None and declarator.type != "identifier":
        is_pointer |= declarator.type == "pointer_declarator"
        declarator = declarator.child_by_field_name("declarator")
    return f"{_text(base)} *" if is_pointer else _text(base)


def _expr(node: Node, depth: int) -> Expr:
    if depth > MOST_DEPTH:
        raise _Unreadable("nested too deep")
    kind = node.type
    if kind == "parenthesized_expression":
        inner = [each for each in node.named_children if each.type != "comment"]
        return _expr(inner[0], depth + 1) if inner else ("unknown", "()")
    if kind == "number_literal":
        return _number(_text(node))
    if kind == "identifier":
        return ("id", _text(node))
    if kind in ("true", "false", "null"):
        return ("num", int(kind == "true"))
    if kind == "call_expression":
        return _call(node, depth)
    make = _MAKERS.get(kind)
    return make(node, depth + 1) if make is not None else ("unknown", kind)


def _number(text: str) -> Expr:
    match = re.fullmatch(r"([-+]?)(0[xX][0-9a-fA-F]+|\d+)[uUlL]*", text)
    if match is None:
        return ("unknown", text)
    sign, digits = match[1], match[2]
    base = 16 if digits[:2].lower() == "0x" else 8 if digits.startswith("0") else 10
    try:
        return ("num", int(sign + digits, base))
    except ValueError:
        return ("unknown", text)


def _call(node: Node, depth: int) -> Expr:
    function = node.child_by_field_name("function")
    listed = node.child_by_field_name("arguments")
    if function is None or listed is None:
        return ("unknown", "call")
    args = tuple(_expr(each, depth + 1) for each in listed.named_children if each.type != "comment")
    if (guard := re.fullmatch(r"(guard)\((\w+)\)", _text(function))) is not None:
        return ("call", guard[1], (("id", guard[2]), *args), node.start_point[0] + 1)
    if len(args) == 1 and re.fullmatch(r"(?:\(\w+\)){1,3}", _text(function)):
        made: Expr = args[0]  # the grammar cannot know that a name is a type's
        for name in reversed(re.findall(r"\w+", _text(function))):
            made = ("cast", name, made)
        return made
    if function.type != "identifier":
        return ("unknown", "call")
    return ("call", _text(function), args, node.start_point[0] + 1)


def _two(node: Node, first: str, second: str, depth: int) -> tuple[Expr, Expr]:
    left, right = node.child_by_field_name(first), node.child_by_field_name(second)
    if left is None or right is None:
        raise _Unreadable(f"a {node.type} that is cut off")
    return _expr(left, depth), _expr(right, depth)


def _one(node: Node, name: str, depth: int) -> Expr:
    child = node.child_by_field_name(name)
    if child is None:
        raise _Unreadable(f"a {node.type} that is cut off")
    return _expr(child, depth)


def _operator(node: Node) -> str:
    return _text(node.child_by_field_name("operator"))


def _cond(node: Node, depth: int) -> Expr:
    first = node.child_by_field_name("consequence")
    test, other = _two(node, "condition", "alternative", depth)
    return ("cond", test, _expr(first, depth) if first is not None else None, other)


def _cast(node: Node, depth: int) -> Expr:
    name = _text(node.child_by_field_name("type"))
    return ("cast", name.removeprefix("const ").strip(), _one(node, "value", depth))


def _sizeof(node: Node, depth: int) -> Expr:
    value = node.child_by_field_name("value")
    if value is not None:
        text = _text(value)
        return ("sizeof", _expr(value, depth), text.strip("()") if text.startswith("(") else text)
    return ("sizeof", ("unknown", "type"), _text(node.child_by_field_name("type")))


def _pointer(node: Node, depth: int) -> Expr:
    return ("deref" if _operator(node) == "*" else "addr", _one(node, "argument", depth))


def _step(node: Node, depth: int) -> Expr:
    return ("step", _operator(node), _one(node, "argument", depth), _text(node).endswith(("++", "--")))


def _listed(node: Node, depth: int) -> Expr:
    """Return the values of an initializer as pairs of a field's name, or an index, and a value."""
    pairs: list[Expr] = []
    for each in node.named_children:
        if each.type == "comment":
            continue
        if each.type == "initializer_pair":
            named = next((one for one in each.named_children if one.type == "field_designator"), None)
            value = each.child_by_field_name("value")
            if named is None or value is None:
                return ("unknown", "list")
            pairs.append(("pair", _text(named).lstrip("."), _expr(value, depth)))
        else:
            pairs.append(("pair", len(pairs), _expr(each, depth)))
    return ("list", tuple(pairs))


_MAKERS: dict[str, Callable[[Node, int], Expr]] = {
    "binary_expression": lambda node, depth: ("bin", _operator(node), *_two(node, "left", "right", depth)),
    "unary_expression": lambda node, depth: ("un", _operator(node), _one(node, "argument", depth)),
    "assignment_expression": lambda node, depth: ("assign", _operator(node), *_two(node, "left", "right", depth)),
    "conditional_expression": _cond,
    "cast_expression": _cast,
    "field_expression": lambda node, depth: (
        "field",
        _one(node, "argument", depth),
        _text(node.child_by_field_name("field")),
    ),
    "subscript_expression": lambda node, depth: ("sub", *_two(node, "argument", "index", depth)),
    "pointer_expression": _pointer,
    "update_expression": _step,
    "sizeof_expression": _sizeof,
    "offsetof_expression": lambda node, depth: ("call", "offsetof", (), node.start_point[0] + 1),
    "comma_expression": lambda node, depth: ("comma", *_two(node, "left", "right", depth)),
    "compound_literal_expression": lambda node, depth: _one(node, "value", depth),
    "initializer_list": _listed,
    "string_literal": lambda node, depth: ("str",),
    "concatenated_string": lambda node, depth: ("str",),
    "char_literal": lambda node, depth: ("unknown", "char"),
}


def parts_of(stmt: Stmt) -> Iterator[Stmt | Expr]:
    """Yield a statement or an expression and all in it, in the order of the text."""
    waiting: list[Any] = [stmt]
    while waiting:
        node = waiting.pop()
        if node and node[0].__class__ is str:
            yield node
        for each in reversed(node):
            if each.__class__ is tuple:
                waiting.append(each)


def calls_in(stmt: Stmt) -> Iterator[Expr]:
    """Yield the calls in a statement, in the order of the text."""
    return (each for each in parts_of(stmt) if each[0] == "call")
