# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions of a C text, run step by step with numbers and a host that answers for everything else.

What is not understood ends the run with NotRun: a rule that asks has then nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .ctree import Expr, FunctionTree, Stmt

__all__ = ["Host", "Interpreter", "NotRun", "Obj", "Ref", "signed"]

MOST_STEPS = 60_000
MOST_DEPTH = 24
_BITS = {
    "u8": 8,
    "unsigned char": 8,
    "u16": 16,
    "unsigned short": 16,
    "u32": 32,
    "unsigned int": 32,
    "unsigned": 32,
    "uint32_t": 32,
}
_SIGNED = {"s8": 8, "signed char": 8, "s16": 16, "short": 16, "s32": 32, "int": 32}


class NotRun(Exception):  # noqa: N818 - no error of the user's
    """Something that this does not understand, in words."""


class Obj:
    """A struct or an array: values by field or index."""

    def __init__(self, kind: str = "", size: int | None = None) -> None:
        self.kind = kind
        self.size = size
        self.fields: dict[Any, Any] = {}


class Ref:
    """The address of a variable.

    Args:
        names: of the function that it is in.
        name: its own.
    """

    def __init__(self, names: dict[str, Any], name: str) -> None:
        self.names = names
        self.name = name


class Host:
    """What a run asks of its surroundings."""

    def ident(self, name: str) -> Any:
        """Return what a name stands for that no function declares."""
        raise NotRun(f"{name} is not known")

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        """Return what a function gives that the text does not define, or NotImplemented if it is to be run."""
        raise NotRun(f"{name}() is not known")

    def field(self, base: Any, name: str) -> Any:
        """Return a field of something that is no Obj."""
        raise NotRun(f"the field {name} is not known")

    def store(self, base: int, value: Any) -> None:
        """Take note of a store to an address; unless a host cares, it goes nowhere."""


def signed(value: int, bits: int = 64) -> int:
    """Return the number that the low bits of another make, the highest of them being the sign."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


class _Return(Exception):  # noqa: N818
    def __init__(self, value: Any) -> None:
        self.value = value


class _Goto(Exception):  # noqa: N818
    def __init__(self, label: str) -> None:
        self.label = label


class _Break(Exception):  # noqa: N818
    pass


class _Continue(Exception):  # noqa: N818
    pass


def _same(left: Any, right: Any) -> bool:
    return bool(left is right if isinstance(left, Obj | Ref) or isinstance(right, Obj | Ref) else left == right)


def _divided(left: int, right: int) -> int:
    if right == 0:
        raise NotRun("a division by 0")
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


def _shift(count: int) -> int:
    if not 0 <= count < 64:
        raise NotRun("a shift by more than 63")
    return count


_BINARY: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: signed(a + b),
    "-": lambda a, b: signed(a - b),
    "*": lambda a, b: signed(a * b),
    "/": _divided,
    "%": lambda a, b: a - b * _divided(a, b),
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "<<": lambda a, b: signed(a << _shift(b)),
    ">>": lambda a, b: a >> _shift(b),
    "<": lambda a, b: int(a < b),
    ">": lambda a, b: int(a > b),
    "<=": lambda a, b: int(a <= b),
    ">=": lambda a, b: int(a >= b),
}


class Interpreter:
    """Runs functions.

    Args:
        functions: of the text, by name.
        host: answers for the rest.
    """

    def __init__(self, functions: Mapping[str, FunctionTree], host: Host) -> None:
        self.functions = functions
        self.host = host
        self.steps = 0
        self.depth = 0
        self.names: dict[str, Any] = {}
        self._statements: dict[str, Callable[[Stmt], None]] = {
            "block": self._block,
            "expr": lambda stmt: self._drop(stmt[1]),
            "decl": self._declare,
            "if": self._if,
            "for": self._for,
            "do": self._do,
            "switch": self._switch,
            "label": lambda stmt: self._run(stmt[2]),
            "nothing": lambda stmt: None,
        }

    def run(self, name: str, args: Sequence[Any]) -> Any:
        """Return what a function gives.

        Raises:
            NotRun: it cannot be run.
        """
        tree = self.functions.get(name)
        if tree is None or tree.unreadable or len(tree.parameters) != len(args):
            raise NotRun(f"{name}() is not there, or not as expected")
        if self.depth >= MOST_DEPTH:
            raise NotRun("calls nested too deep")
        outer, self.names = self.names, dict(zip(tree.parameters, args, strict=True))
        self.depth += 1
        try:
            self._body(tree.body)
        except _Return as done:
            return done.value
        except RecursionError:
            raise NotRun("nested too deep") from None
        except (_Break, _Continue):
            raise NotRun(f"{name}() leaves a loop that is not there") from None
        finally:
            self.names = outer
            self.depth -= 1
        return 0

    def _body(self, body: Sequence[Stmt]) -> None:
        at = 0
        for _ in range(MOST_STEPS):
            try:
                for stmt in body[at:]:
                    self._run(stmt)
                return
            except _Goto as jump:
                places = [i for i, stmt in enumerate(body) if stmt[0] == "label" and stmt[1] == jump.label]
                if not places:
                    raise NotRun(f"the label {jump.label} is not at the top of its function") from None
                at = places[0]

    def _run(self, stmt: Stmt) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise NotRun("it takes too long")
        kind = stmt[0]
        if kind == "return":
            raise _Return(self.value(stmt[1]) if stmt[1] is not None else 0)
        if kind == "goto":
            raise _Goto(stmt[1])
        if kind == "break":
            raise _Break
        if kind == "continue":
            raise _Continue
        self._statements[kind](stmt)

    def _drop(self, expr: Expr) -> None:
        self.value(expr)

    def _block(self, stmt: Stmt) -> None:
        for each in stmt[1]:
            self._run(each)

    def _declare(self, stmt: Stmt) -> None:
        for _, name, kind, size, init, _ in stmt[1]:
            if kind != "plain":
                length = self.value(size) if size is not None else None
                self.names[name] = Obj(kind, length if isinstance(length, int) else None)
                if init is not None and init[0] == "list":
                    self._fill(self.names[name], init)
            elif init is not None:
                self.names[name] = self.value(init)
            else:
                self.names[name] = 0

    def _fill(self, obj: Obj, init: Expr) -> None:
        for _, key, expr in init[1]:
            obj.fields[key] = self.value(expr)

    def _if(self, stmt: Stmt) -> None:
        if self.truth(stmt[1]):
            self._run(stmt[2])
        elif stmt[3] is not None:
            self._run(stmt[3])

    def _for(self, stmt: Stmt) -> None:
        _, init, test, step, body = stmt
        if init is not None:
            self._run(init)
        while test is None or self.truth(test):
            try:
                self._run(body)
            except _Break:
                return
            except _Continue:
                pass
            if step is not None:
                self.value(step)

    def _do(self, stmt: Stmt) -> None:
        _, body, test = stmt
        while True:
            try:
                self._run(body)
            except _Break:
                return
            except _Continue:
                pass
            if not self.truth(test):
                return

    def _switch(self, stmt: Stmt) -> None:
        _, expr, cases = stmt
        value = self.value(expr)
        at = next((i for i, (_, case, _) in enumerate(cases) if case is not None and self.value(case) == value), None)
        if at is None:
            at = next((i for i, (_, case, _) in enumerate(cases) if case is None), len(cases))
        try:
            for _, _, body in cases[at:]:
                for each in body:
                    self._run(each)
        except _Break:
            pass

    def truth(self, expr: Expr) -> bool:
        """Tell whether an expression is not 0."""
        value = self.value(expr)
        return bool(value) if isinstance(value, int) else True

    def number(self, expr: Expr) -> int:
        """Return the value of an expression that is a number.

        Raises:
            NotRun: it is something else.
        """
        value = self.value(expr)
        if not isinstance(value, int):
            raise NotRun("a number is expected")
        return value

    def value(self, expr: Expr) -> Any:
        """Return the value of an expression: a number, an Obj or a Ref."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise NotRun("it takes too long")
        kind = expr[0]
        if kind == "num":
            return expr[1]
        if kind == "id":
            return self.names[expr[1]] if expr[1] in self.names else self.host.ident(expr[1])
        evaluate = getattr(self, f"_e_{kind}", None)
        if evaluate is None:
            raise NotRun(f"an expression of the kind {kind}: {expr[1:]}")
        return evaluate(expr)

    def _e_bin(self, expr: Expr) -> Any:
        _, op, left, right = expr
        if op == "&&":
            return int(self.truth(left) and self.truth(right))
        if op == "||":
            return int(self.truth(left) or self.truth(right))
        return self._binary(op, self.value(left), self.value(right))

    def _binary(self, op: str, left: Any, right: Any) -> Any:
        if op in ("==", "!="):
            return int(_same(left, right) == (op == "=="))
        if not isinstance(left, int) or not isinstance(right, int):
            raise NotRun(f"{op} of what is no number")
        return _BINARY[op](left, right)

    def _e_un(self, expr: Expr) -> Any:
        _, op, inner = expr
        if op == "!":
            return int(not self.truth(inner))
        value = self.number(inner)
        return {"-": signed(-value), "~": ~value, "+": value}[op]

    def _e_cond(self, expr: Expr) -> Any:
        _, test, first, other = expr
        value = self.value(test)
        if value if isinstance(value, int) else True:
            return value if first is None else self.value(first)
        return self.value(other)

    def _e_cast(self, expr: Expr) -> Any:
        _, name, inner = expr
        value = self.value(inner)
        if isinstance(value, int) and name in _BITS:
            return value & ((1 << _BITS[name]) - 1)
        if isinstance(value, int) and name in _SIGNED:
            return signed(value, _SIGNED[name])
        return value

    def _e_call(self, expr: Expr) -> Any:
        _, name, arguments, line = expr
        args = [self.value(each) if each[0] != "unknown" else None for each in arguments]
        given = self.host.call(name, args, line)
        return self.run(name, args) if given is NotImplemented else given

    def _e_field(self, expr: Expr) -> Any:
        _, inner, name = expr
        base = self.value(inner)
        if isinstance(base, Obj):
            return base.fields[name] if name in base.fields else self.host.field(base, name)
        return self.host.field(base, name)

    def _e_sub(self, expr: Expr) -> Any:
        base, index = self.value(expr[1]), self.number(expr[2])
        if isinstance(base, Obj):
            return base.fields[index] if index in base.fields else self.host.field(base, str(index))
        return self.host.field(base, f"[{index}]")

    def _e_deref(self, expr: Expr) -> Any:
        base = self.value(expr[1])
        if isinstance(base, Ref):
            return base.names[base.name]
        if isinstance(base, Obj):
            return base.fields[0] if 0 in base.fields else self.host.field(base, "0")
        return self.host.field(base, "*")

    def _e_addr(self, expr: Expr) -> Any:
        inner = expr[1]
        if inner[0] == "id" and inner[1] in self.names:
            value = self.names[inner[1]]
            return value if isinstance(value, Obj) else Ref(self.names, inner[1])
        if inner[0] in ("field", "sub"):
            return self.value(inner)
        return self.value(inner)

    def _e_sizeof(self, expr: Expr) -> Any:
        inner = expr[1]
        if inner[0] == "id" and isinstance(obj := self.names.get(inner[1]), Obj) and obj.kind == "array":
            if obj.size is None:
                raise NotRun("an array without a size")
            return 4 * obj.size
        return self.host.call("sizeof", [expr[2]], 0)

    def _e_list(self, expr: Expr) -> Any:
        obj = Obj("list")
        self._fill(obj, expr)
        return obj

    def _e_str(self, expr: Expr) -> Any:
        return 0

    def _e_comma(self, expr: Expr) -> Any:
        self.value(expr[1])
        return self.value(expr[2])

    def _e_step(self, expr: Expr) -> Any:
        _, op, target, is_post = expr
        old = self.value(target)
        if not isinstance(old, int):
            return old
        new = old + (1 if op == "++" else -1)
        self._store(target, new)
        return old if is_post else new

    def _e_assign(self, expr: Expr) -> Any:
        _, op, target, source = expr
        value = self.value(source)
        if op != "=":
            value = self._binary(op[:-1], self.value(target), value)
        self._store(target, value)
        return value

    def _store(self, target: Expr, value: Any) -> None:
        kind = target[0]
        if kind == "id":
            self.names[target[1]] = value
            return
        if kind == "field":
            base, key = self.value(target[1]), target[2]
        elif kind == "sub":
            base, key = self.value(target[1]), self.number(target[2])
        elif kind == "deref":
            base, key = self.value(target[1]), 0
        else:
            raise NotRun(f"a store to an expression of the kind {kind}")
        if isinstance(base, Obj):
            base.fields[key] = value
        elif isinstance(base, Ref):
            base.names[base.name] = value
        elif isinstance(base, int):
            self.host.store(base, value)
