# SPDX-License-Identifier: GPL-2.0-or-later
"""An instruction's semantics as Python source on numpy arrays: the sibling of `scalar`.

A printed value is uint64, int64 (behind ``signed()``) or bool; an array of one element a lane, or one np
scalar if it is the same in all lanes. Constants are np.uint64 objects of the namespace, for an int beside
uint64 would make float64 of both. One function is compiled for each record, when it is first needed; it serves
one word for all lanes and many words of one record alike.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from ..isa.insn import Spec
from ..isa.semantics import EFFECTS, calls_of, statements_of
from ..units import MASK64
from . import lane_arith

__all__ = ["Compiled", "compiled"]

OPERANDS = ("rs1", "rs2", "rd", "imm", "csr", "rs1_is_x0", "pc", "next")
"""Operands that a compiled function may ask for."""

_UNSIGNED, _SIGNED, _BOOL = "uint64", "int64", "bool"
_WHOLE = tuple(name for name in lane_arith.__all__)
_NAMES: dict[str, Any] = {
    **{name: getattr(lane_arith, name) for name in _WHOLE},
    **{f"sext{bits}": lane_arith.extender(kind) for bits, kind in ((8, np.int8), (16, np.int16), (32, np.int32))},
    **{name: getattr(np, name) for name in ("uint64", "int64", "where")},
}
_OPERATORS: dict[type[ast.operator], tuple[str, str, Callable[[int, int], int]]] = {
    ast.Add: ("+", "add", operator.add),
    ast.Sub: ("-", "subtract", operator.sub),
    ast.Mult: ("*", "multiply", operator.mul),
    ast.BitAnd: ("&", "bitwise_and", operator.and_),
    ast.BitOr: ("|", "bitwise_or", operator.or_),
    ast.BitXor: ("^", "bitwise_xor", operator.xor),
    ast.LShift: ("<<", "left_shift", operator.lshift),
    ast.RShift: (">>", "right_shift", operator.rshift),
}
"""Symbol, ufunc, and the operation on int."""
_NAMES |= {name: getattr(np, name) for _, name, _ in _OPERATORS.values()}
_SYMBOLS: dict[type[ast.cmpop], str] = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.GtE: ">="}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A record's function.

    Args:
        function: called with (effects, out, *values of the operands). Without a jump it returns the value for
            rd, None if there is none; an unconditional jump (target, value for rd); a branch
            (condition, target). `out` is None or an array that the value for rd may be written to.
        operands: names of the values that it takes, of OPERANDS.
        writes_rd: whether there is a value for rd.
        jumps: whether it says where to go on.
        branches: whether it does so under a condition.
        acts: whether it has an effect beyond rd and a jump, or may fault.
        source: what was compiled.
    """

    function: Callable[..., Any]
    operands: tuple[str, ...]
    writes_rd: bool
    jumps: bool
    branches: bool
    acts: bool
    source: str


@dataclass(frozen=True, slots=True)
class _Value:
    """A printed expression: its source, its type, and the number that it is if that is known."""

    text: str
    kind: str = _UNSIGNED
    const: int | None = None

    @property
    def unsigned(self) -> str:
        """Source of the value as uint64."""
        return {_UNSIGNED: self.text, _SIGNED: f"{self.text}.view(uint64)", _BOOL: f"{self.text}.astype(uint64)"}[
            self.kind
        ]

    @property
    def signed(self) -> str:
        """Source of the value as int64."""
        return self.text if self.kind == _SIGNED else f"{self.unsigned}.view(int64)"


@dataclass
class _Printer:
    """Prints the statements of one record."""

    lines: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    locals: dict[str, _Value] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)

    def print(self, run: str) -> None:
        """Print all statements."""
        statements = statements_of(run)
        for statement in statements:
            self._statement(statement, is_last=statement is statements[-1])

    def _statement(self, statement: ast.stmt, *, is_last: bool) -> None:
        match statement:
            case ast.Assign(targets=[ast.Name(id="rd")], value=node):
                self._result("rd", self._written(node) if is_last else self._value(node).unsigned)
            case ast.Assign(targets=[ast.Name(id=name)], value=node) if name not in ("rd_odd", *OPERANDS):
                value = self._value(node)
                self.lines.append(f"v_{name} = {value.text}")
                self.locals[name] = _Value(f"v_{name}", value.kind)
            case ast.Expr(value=ast.Call(func=ast.Name(id="goto"), args=[node])):
                self._result("target", self._value(node).unsigned)
            case ast.Expr(value=ast.Call() as call):
                self.lines.append(self._value(call).text)
            case ast.If(test=test, body=[ast.Expr(value=ast.Call(func=ast.Name(id="goto"), args=[node]))]):
                self._result("condition", self._truth(test))
                self._result("target", self._value(node).unsigned)
            case ast.If(test=test, body=[ast.Expr(value=ast.Call(func=ast.Name(id="store"), args=args))]):
                self.lines.append(f"m.store({self._arguments(args)}, {self._truth(test)})")
            case _:
                raise ValueError(f"{ast.unparse(statement)!r} cannot be printed for lanes")

    def _result(self, name: str, text: str) -> None:
        self.lines.append(f"{name} = {text}")
        self.results[name] = name

    def _written(self, node: ast.expr) -> str:
        """Print the value for rd so that its last operation writes it where it is wanted, if it can."""
        match node:
            case ast.BinOp(left=left, op=op, right=right) if (value := self._value(node)).kind == _UNSIGNED:
                if value.const is not None:
                    return value.text
                ufunc = _OPERATORS[type(op)][1]
                return f"{ufunc}({self._value(left).unsigned}, {self._value(right).unsigned}, out)"
            case ast.Call(func=ast.Name(id="sext"), args=[inner, ast.Constant(value=int(bits))]):
                return f"sext{bits}({self._value(inner).unsigned}, out)"
            case ast.Call(func=ast.Name(id="load"), args=args):
                return f"m.load({self._arguments(args)}, out)"
            case _:
                return self._value(node).unsigned

    # -- expressions

    def _value(self, node: ast.expr) -> _Value:
        match node:
            case ast.Constant(value=int(number)):
                return self._constant(number)
            case ast.Name(id=name):
                return self.locals.get(name) or self._operand(name)
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(op, self._value(left), self._value(right))
            case ast.UnaryOp(op=op, operand=operand):
                return self._unary(op, self._value(operand))
            case ast.Compare():
                return _Value(self._truth(node), _BOOL)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                body_text, orelse_text = self._value(body).unsigned, self._value(orelse).unsigned
                return _Value(f"where({self._truth(test)}, {body_text}, {orelse_text})")
            case ast.Call(func=ast.Name(id=name), args=args):
                return self._call(name, args)
            case _:
                raise ValueError(f"{ast.unparse(node)!r} cannot be printed for lanes")

    def _constant(self, number: int) -> _Value:
        number &= MASK64
        name = f"c_{number:x}"
        _NAMES[name] = np.uint64(number)
        return _Value(name, const=number)

    def _operand(self, name: str) -> _Value:
        if name not in OPERANDS:
            raise ValueError(f"operand {name} is not known to the lanes")
        self.used.add(name)
        return _Value(name)

    def _binary(self, op: ast.operator, left: _Value, right: _Value) -> _Value:
        symbol, _, fold = _OPERATORS[type(op)]
        if left.const is not None and right.const is not None:
            return self._constant(fold(left.const, right.const))
        if left.kind == _SIGNED and symbol == ">>":
            return _Value(f"({left.text} >> {right.signed})", _SIGNED)
        return _Value(f"({left.unsigned} {symbol} {right.unsigned})")

    def _unary(self, op: ast.unaryop, value: _Value) -> _Value:
        if value.const is not None:
            return self._constant(~value.const if isinstance(op, ast.Invert) else -value.const)
        return _Value(f"(~{value.unsigned})" if isinstance(op, ast.Invert) else f"(-{value.unsigned})")

    def _truth(self, node: ast.expr) -> str:
        if not isinstance(node, ast.Compare):
            value = self._value(node)
            return value.text if value.kind == _BOOL else f"({value.unsigned} != {self._constant(0).text})"
        left, right = self._value(node.left), self._value(node.comparators[0])
        symbol = _SYMBOLS[type(node.ops[0])]
        if left.kind == right.kind == _SIGNED:
            return f"({left.text} {symbol} {right.text})"
        return f"({left.unsigned} {symbol} {right.unsigned})"

    def _call(self, name: str, args: list[ast.expr]) -> _Value:
        if name in EFFECTS:
            return _Value(f"m.{name}({self._arguments(args)})")
        value = self._value(args[0])
        if name == "signed":
            return _Value(value.signed, _SIGNED)
        if name in ("sext", "zext"):
            bits: int = args[1].value  # type: ignore[attr-defined]
            mask = self._constant((1 << bits) - 1).text
            return _Value(f"sext{bits}({value.unsigned})" if name == "sext" else f"({value.unsigned} & {mask})")
        return _Value(f"{name}({', '.join(self._value(arg).unsigned for arg in args)})")

    def _arguments(self, args: list[ast.expr]) -> str:
        """Print what an effect is called with; numbers such as a width stay Python's."""
        texts = (ast.unparse(arg) if isinstance(arg, ast.Constant) else self._value(arg).unsigned for arg in args)
        return ", ".join(texts)


@cache
def compiled(spec: Spec) -> Compiled:
    """Return the function of a record that is no compressed one.

    Raises:
        ValueError: its semantics use what the lanes do not have.
    """
    printer = _Printer()
    printer.print(spec.run)
    operands = tuple(name for name in OPERANDS if name in printer.used)
    results = [printer.results.get(name, "None") for name in ("condition", "target", "rd")]
    jumps, branches = results[1] != "None", results[0] != "None"
    shown = ", ".join(results[:2] if branches else results[1:]) if jumps else results[2]
    body = "".join(f"    {line}\n" for line in (*printer.lines, f"return {shown}"))
    name = "".join(char if char.isalnum() else "_" for char in spec.name)
    source = f"def run_{name}({', '.join(('m', 'out', *operands))}):\n{body}"
    scope: dict[str, Any] = {}
    exec(compile(source, f"<lanes: {spec.name}>", "exec"), _NAMES, scope)  # our own records, printed above
    acts = bool(calls_of(spec.run) & EFFECTS.keys() - {"goto"})
    return Compiled(scope[f"run_{name}"], operands, results[2] != "None", jumps, branches, acts, source)
