# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions of a C text, run step by step with numbers and a host that answers for everything else.

What is not understood ends the run with NotRun: a rule that asks has then nothing to say. Each function is made into
Python's closures once, as the same ones are run for many settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
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
_HOLDS = {name: (bits, False) for name, bits in _BITS.items()} | {name: (bits, True) for name, bits in _SIGNED.items()}
_HOLDS |= dict.fromkeys(("unsigned long", "unsigned long long", "u64", "uintptr_t", "size_t"), (64, False))
_LETTERS = 20  # of a part of an expression, about
_HALF, _WHOLE = 1 << 63, 1 << 64


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
        names: of the function that it is in, or an array's elements.
        name: its own, or an element's number.
    """

    def __init__(self, names: dict[Any, Any], name: str | int) -> None:
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

    def place(self, base: Any, name: str) -> Any:
        """Return the address of a field of something that is no Obj, or its value where these are not told apart."""
        return self.field(base, name)

    def store(self, base: int, value: Any) -> None:
        """Take note of a store to an address; unless a host cares, it goes nowhere."""


def signed(value: int, bits: int = 64) -> int:
    """Return the number that the low bits of another make, the highest of them being the sign."""
    half = 1 << (bits - 1)
    return ((value + half) & ((half << 1) - 1)) - half


class Interpreter:
    """Runs functions.

    Args:
        functions: of the text, by name.
        host: answers for the rest.
        typed: variables hold what their types can hold; else they hold any number of 64 bits with a sign.
    """

    def __init__(self, functions: Mapping[str, FunctionTree], host: Host, *, typed: bool = False) -> None:
        self.functions = functions
        self.host = host
        self.steps = 0
        self.depth = 0
        self.names: dict[str, Any] = {}
        self.typed = typed
        self.types: dict[str, str] = {}

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
        types = self.types
        if self.typed:
            self.types = dict(zip(tree.parameters, tree.types, strict=True))
            self.names = {name: self.held(name, value) for name, value in self.names.items()}
        self.depth += 1
        try:
            end = _made(tree)(self)
        except RecursionError:
            raise NotRun("nested too deep") from None
        finally:
            self.names, self.types = outer, types
            self.depth -= 1
        if end is None:
            return 0
        if end[0] != "return":
            raise NotRun(f"{name}() leaves a loop that is not there")
        return end[1]

    def held(self, name: str, value: Any) -> Any:
        """Return what a variable has when a value is stored in it."""
        kind = _HOLDS.get(self.types.get(name, ""))
        if kind is None or not isinstance(value, int):
            return value
        bits, has_sign = kind
        return signed(value, bits) if has_sign else value & ((1 << bits) - 1)

    def value(self, expr: Expr) -> Any:
        """Return the value of an expression: a number, an Obj or a Ref."""
        return _expression(expr)(self)

    def count(self, steps: int) -> None:
        """Count steps.

        Raises:
            NotRun: there are too many.
        """
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise NotRun("it takes too long")


_Value = Callable[[Interpreter], Any]
_End = tuple[str, Any] | None
"""How a statement ends: ("return", value), ("goto", label), ("break", None), ("continue", None), or it goes on."""
_Does = Callable[[Interpreter], _End]


def _weight(*exprs: Expr | None) -> int:
    """Return the steps that expressions count for, by their length as text: it is the quickest measure of a tuple."""
    return len(repr(exprs)) // _LETTERS


@lru_cache(maxsize=1024)
def _made(tree: FunctionTree) -> _Does:
    """Return a function's body."""
    body = [_statement(stmt) for stmt in tree.body]
    labels = {stmt[1]: at for at, stmt in reversed([*enumerate(tree.body)]) if stmt[0] == "label"}

    def run(rt: Interpreter) -> _End:
        at = 0
        while True:
            end = None
            for each in body[at:] if at else body:
                end = each(rt)
                if end is not None:
                    break
            if end is None or end[0] != "goto":
                return end
            rt.count(1)
            if end[1] not in labels:
                raise NotRun(f"the label {end[1]} is not at the top of its function")
            at = labels[end[1]]

    return run


def _statement(stmt: Stmt) -> _Does:
    return _STATEMENTS[stmt[0]](stmt)


def _all_of(stmts: Sequence[Stmt]) -> _Does:
    made = [_statement(each) for each in stmts]
    if len(made) == 1:
        return made[0]

    def run(rt: Interpreter) -> _End:
        for each in made:
            end = each(rt)
            if end is not None:
                return end
        return None

    return run


def _s_expr(stmt: Stmt) -> _Does:
    value, steps = _expression(stmt[1]), 1 + _weight(stmt[1])

    def run(rt: Interpreter) -> _End:
        rt.count(steps)
        value(rt)
        return None

    return run


def _s_return(stmt: Stmt) -> _Does:
    if stmt[1] is None:
        return lambda rt: ("return", 0)
    value, steps = _expression(stmt[1]), 1 + _weight(stmt[1])

    def run(rt: Interpreter) -> _End:
        rt.count(steps)
        return "return", value(rt)

    return run


def _s_jump(stmt: Stmt) -> _Does:
    end = (stmt[0], stmt[1] if len(stmt) > 1 else None)
    return lambda rt: end


def _s_decl(stmt: Stmt) -> _Does:
    made = [(*_variable(each), each[5] if each[2] == "plain" else "") for each in stmt[1]]
    steps = 1 + _weight(*stmt[1])

    def run(rt: Interpreter) -> _End:
        rt.count(steps)
        for name, value, kind in made:
            if rt.typed:
                rt.types[name] = kind
                rt.names[name] = rt.held(name, value(rt))
            else:
                rt.names[name] = value(rt)
        return None

    return run


def _variable(var: Expr) -> tuple[str, _Value]:
    """Return a variable's name, and what makes its first value."""
    _, name, kind, size, init, _ = var
    if kind == "plain":
        return name, _expression(init) if init is not None else lambda rt: 0
    length = _expression(size) if size is not None else None
    fields = _fields(init) if init is not None and init[0] == "list" else []

    def value(rt: Interpreter) -> Any:
        bound = length(rt) if length is not None else None
        rt.names[name] = obj = Obj(kind, bound if isinstance(bound, int) else None)
        for key, each in fields:
            obj.fields[key] = each(rt)
        return obj

    return name, value


def _fields(init: Expr) -> list[tuple[Any, _Value]]:
    return [(key, _expression(expr)) for _, key, expr in init[1]]


def _s_if(stmt: Stmt) -> _Does:
    test, then, steps = _truth(stmt[1]), _statement(stmt[2]), 1 + _weight(stmt[1])
    other = _statement(stmt[3]) if stmt[3] is not None else None

    def run(rt: Interpreter) -> _End:
        rt.count(steps)
        if test(rt):
            return then(rt)
        return other(rt) if other is not None else None

    return run


def _s_for(stmt: Stmt) -> _Does:
    _, first, condition, last, inner = stmt
    init = _statement(first) if first is not None else None
    test = _truth(condition) if condition is not None else None
    step = _expression(last) if last is not None else None
    body, steps = _statement(inner), 1 + _weight(condition, last)

    def run(rt: Interpreter) -> _End:
        if init is not None:
            init(rt)
        while True:
            rt.count(steps)
            if test is not None and not test(rt):
                return None
            end = body(rt)
            if end is not None and end[0] != "continue":
                return None if end[0] == "break" else end
            if step is not None:
                step(rt)

    return run


def _s_do(stmt: Stmt) -> _Does:
    body, test, steps = _statement(stmt[1]), _truth(stmt[2]), 1 + _weight(stmt[2])

    def run(rt: Interpreter) -> _End:
        while True:
            rt.count(steps)
            end = body(rt)
            if end is not None and end[0] != "continue":
                return None if end[0] == "break" else end
            if not test(rt):
                return None

    return run


def _s_switch(stmt: Stmt) -> _Does:
    _, asked, listed = stmt
    value, steps = _expression(asked), 1 + _weight(asked) + len(listed)
    cases = [(_expression(case) if case is not None else None, _all_of(body)) for _, case, body in listed]
    default = next((at for at, (case, _) in enumerate(cases) if case is None), len(cases))

    def run(rt: Interpreter) -> _End:
        rt.count(steps)
        wanted = value(rt)
        at = next((i for i, (case, _) in enumerate(cases) if case is not None and case(rt) == wanted), default)
        for _, body in cases[at:]:
            end = body(rt)
            if end is not None:
                return None if end[0] == "break" else end
        return None

    return run


def _nothing(rt: Interpreter) -> _End:
    return None


_STATEMENTS: dict[str, Callable[[Stmt], _Does]] = {
    "block": lambda stmt: _all_of(stmt[1]),
    "expr": _s_expr,
    "decl": _s_decl,
    "if": _s_if,
    "for": _s_for,
    "do": _s_do,
    "switch": _s_switch,
    "label": lambda stmt: _statement(stmt[2]),
    "nothing": lambda stmt: _nothing,
    "return": _s_return,
    "goto": _s_jump,
    "break": _s_jump,
    "continue": _s_jump,
}


def _truth(expr: Expr | None) -> Callable[[Interpreter], bool]:
    """Return what tells whether an expression is not 0."""
    value = _expression(expr)

    def truth(rt: Interpreter) -> bool:
        found = value(rt)
        return found != 0 if isinstance(found, int) else True

    return truth


def _number(expr: Expr) -> Callable[[Interpreter], int]:
    """Return what gives a number, or raises NotRun where it is something else."""
    value = _expression(expr)

    def number(rt: Interpreter) -> int:
        found = value(rt)
        if not isinstance(found, int):
            raise NotRun("a number is expected")
        return found

    return number


@lru_cache(maxsize=4096)
def _expression(expr: Expr | None) -> _Value:
    if expr is None:
        return _raises("an expression is missing")
    make = _EXPRESSIONS.get(expr[0])
    return make(expr) if make is not None else _raises(f"an expression of the kind {expr[0]}: {expr[1:]}")


def _raises(why: str) -> _Value:
    def value(rt: Interpreter) -> Any:
        raise NotRun(why)

    return value


def _constant(found: Any) -> _Value:
    return lambda rt: found


def _e_id(expr: Expr) -> _Value:
    name = expr[1]

    def value(rt: Interpreter) -> Any:
        names = rt.names
        return names[name] if name in names else rt.host.ident(name)

    return value


def _same(left: Any, right: Any) -> bool:
    if left.__class__ is int and right.__class__ is int:
        return bool(left == right)
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
    "+": lambda a, b: (a + b + _HALF) % _WHOLE - _HALF,
    "-": lambda a, b: (a - b + _HALF) % _WHOLE - _HALF,
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


def _combined(op: str) -> Callable[[Any, Any], Any]:
    if op in ("==", "!="):
        wanted = op == "=="
        return lambda left, right: int(_same(left, right) == wanted)
    combine = _BINARY.get(op)

    def combined(left: Any, right: Any) -> Any:
        if left.__class__ is int and right.__class__ is int and combine is not None:
            return combine(left, right)
        if isinstance(right, int) and not isinstance(left, int) and op in ("+", "-"):
            return _moved(left, right if op == "+" else -right)
        if combine is None or not isinstance(left, int) or not isinstance(right, int):
            raise NotRun(f"{op} of what is no number")
        return combine(left, right)

    return combined


def _moved(base: Any, by: int) -> Ref:
    """Return the address of an element some elements further."""
    if isinstance(base, Obj) and base.kind == "array":
        return Ref(base.fields, by)
    if isinstance(base, Ref) and isinstance(base.name, int):
        return Ref(base.names, base.name + by)
    raise NotRun("an address that is moved")


def _e_bin(expr: Expr) -> _Value:
    _, op, first, other = expr
    if op in ("&&", "||"):
        one, two = _truth(first), _truth(other)
        if op == "&&":
            return lambda rt: int(one(rt) and two(rt))
        return lambda rt: int(one(rt) or two(rt))
    left, right, combine = _expression(first), _expression(other), _combined(op)
    return lambda rt: combine(left(rt), right(rt))


def _e_un(expr: Expr) -> _Value:
    _, op, inner = expr
    if op == "!":
        truth = _truth(inner)
        return lambda rt: int(not truth(rt))
    number = _number(inner)
    change: dict[str, Callable[[int], int]] = {"-": lambda n: signed(-n), "~": lambda n: ~n, "+": lambda n: n}
    made = change.get(op)
    if made is None:
        return _raises(f"the operator {op} is not known")
    return lambda rt: made(number(rt))


def _e_cond(expr: Expr) -> _Value:
    test, other = _expression(expr[1]), _expression(expr[3])
    first = _expression(expr[2]) if expr[2] is not None else None

    def value(rt: Interpreter) -> Any:
        found = test(rt)
        if found != 0 if isinstance(found, int) else True:
            return found if first is None else first(rt)
        return other(rt)

    return value


def _e_cast(expr: Expr) -> _Value:
    _, name, inner = expr
    made = _expression(inner)
    mask, bits = (1 << _BITS[name]) - 1 if name in _BITS else 0, _SIGNED.get(name, 0)
    if not mask and not bits:
        return made

    def value(rt: Interpreter) -> Any:
        found = made(rt)
        if not isinstance(found, int):
            return found
        return found & mask if mask else signed(found, bits)

    return value


def _e_call(expr: Expr) -> _Value:
    _, name, arguments, line = expr
    made = [_expression(each) if each[0] != "unknown" else _constant(None) for each in arguments]

    def value(rt: Interpreter) -> Any:
        args = [each(rt) for each in made]
        given = rt.host.call(name, args, line)
        return rt.run(name, args) if given is NotImplemented else given

    return value


def _e_field(expr: Expr) -> _Value:
    base, name = _expression(expr[1]), expr[2]

    def value(rt: Interpreter) -> Any:
        found = base(rt)
        if isinstance(found, Obj) and name in found.fields:
            return found.fields[name]
        return rt.host.field(found, name)

    return value


def _e_sub(expr: Expr) -> _Value:
    base, number = _expression(expr[1]), _number(expr[2])

    def value(rt: Interpreter) -> Any:
        found, index = base(rt), number(rt)
        if isinstance(found, Obj):
            return found.fields[index] if index in found.fields else rt.host.field(found, str(index))
        return rt.host.field(found, f"[{index}]")

    return value


def _e_deref(expr: Expr) -> _Value:
    base = _expression(expr[1])

    def value(rt: Interpreter) -> Any:
        found = base(rt)
        if isinstance(found, Ref):
            return found.names[found.name]
        if isinstance(found, Obj):
            return found.fields[0] if 0 in found.fields else rt.host.field(found, "0")
        return rt.host.field(found, "*")

    return value


def _e_addr(expr: Expr) -> _Value:
    inner = expr[1]
    made = _expression(inner)
    if inner[0] == "sub":
        return _element(inner, made)
    if inner[0] == "field":
        return _member(inner, made)
    if inner[0] != "id":
        return made
    name = inner[1]

    def value(rt: Interpreter) -> Any:
        if name not in rt.names:
            return made(rt)
        found = rt.names[name]
        return found if isinstance(found, Obj) else Ref(rt.names, name)

    return value


def _member(expr: Expr, made: _Value) -> _Value:
    """Return what gives the address of a field of a struct at an address, else its value."""
    base, name = _expression(expr[1]), expr[2]

    def value(rt: Interpreter) -> Any:
        found = base(rt) if rt.typed else None
        return rt.host.place(found, name) if isinstance(found, int) else made(rt)

    return value


def _element(expr: Expr, made: _Value) -> _Value:
    """Return what gives the address of an array's element, or its value where addresses are not told from values."""
    base, number = _expression(expr[1]), _number(expr[2])

    def value(rt: Interpreter) -> Any:
        return _moved(base(rt), number(rt)) if rt.typed else made(rt)

    return value


def _e_sizeof(expr: Expr) -> _Value:
    inner, text = expr[1], expr[2]
    name = inner[1] if inner[0] == "id" else ""

    def value(rt: Interpreter) -> Any:
        found = rt.names.get(name)
        if isinstance(found, Obj) and found.kind == "array":
            if found.size is None:
                raise NotRun("an array without a size")
            return 4 * found.size
        return rt.host.call("sizeof", [text], 0)

    return value


def _e_list(expr: Expr) -> _Value:
    fields = _fields(expr)

    def value(rt: Interpreter) -> Any:
        obj = Obj("list")
        for key, each in fields:
            obj.fields[key] = each(rt)
        return obj

    return value


def _e_comma(expr: Expr) -> _Value:
    first, last = _expression(expr[1]), _expression(expr[2])

    def value(rt: Interpreter) -> Any:
        first(rt)
        return last(rt)

    return value


def _e_step(expr: Expr) -> _Value:
    _, op, target, is_post = expr
    read, store, by = _expression(target), _store(target), 1 if op == "++" else -1

    def value(rt: Interpreter) -> Any:
        old = read(rt)
        if not isinstance(old, int):
            return old
        store(rt, old + by)
        return old if is_post else old + by

    return value


def _e_assign(expr: Expr) -> _Value:
    _, op, target, source = expr
    made, store = _expression(source), _store(target)
    read, combine = (_expression(target), _combined(op[:-1])) if op != "=" else (None, None)

    def value(rt: Interpreter) -> Any:
        found = made(rt)
        if read is not None and combine is not None:
            found = combine(read(rt), found)
        store(rt, found)
        return found

    return value


def _store(target: Expr) -> Callable[[Interpreter, Any], None]:
    """Return what stores a value to an expression."""
    kind = target[0]
    if kind == "id":
        name = target[1]

        def to_name(rt: Interpreter, value: Any) -> None:
            rt.names[name] = rt.held(name, value) if rt.typed else value

        return to_name
    if kind not in ("field", "sub", "deref"):
        return lambda rt, value: _raises(f"a store to an expression of the kind {kind}")(rt)
    base = _expression(target[1])
    index = _number(target[2]) if kind == "sub" else _constant(target[2] if kind == "field" else 0)

    def to_place(rt: Interpreter, value: Any) -> None:
        found, key = base(rt), index(rt)
        if isinstance(found, Obj):
            found.fields[key] = value
        elif isinstance(found, Ref):
            found.names[found.name] = value
        elif isinstance(found, int):
            rt.host.store(found, value)

    return to_place


_EXPRESSIONS: dict[str, Callable[[Expr], _Value]] = {
    "num": lambda expr: _constant(expr[1]),
    "id": _e_id,
    "bin": _e_bin,
    "un": _e_un,
    "cond": _e_cond,
    "cast": _e_cast,
    "call": _e_call,
    "field": _e_field,
    "sub": _e_sub,
    "deref": _e_deref,
    "addr": _e_addr,
    "sizeof": _e_sizeof,
    "list": _e_list,
    "str": lambda expr: _constant(0),
    "comma": _e_comma,
    "step": _e_step,
    "assign": _e_assign,
}
