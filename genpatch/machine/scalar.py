# SPDX-License-Identifier: GPL-2.0-or-later
"""An instruction's semantics as Python source on int.

A value is a Python int that equals the 64-bit value modulo 2**64, with bounds that are known when the source is
written; it is wrapped only where that shows: in a register, an unsigned comparison, a right shift, an address
that is kept. Constants are folded.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..isa.semantics import statements_of
from ..units import MASK64
from . import arith
from .outcome import Cause, Trap

__all__ = ["HELPERS", "Printer", "Value", "constant", "unsigned"]

SIGN = 1 << 63
LIMIT = 1 << 64

HELPERS = {
    **{name: getattr(arith, name) for name in ("div", "divu", "rem", "remu", "ctz", "orcb", "rev8")},
    "Trap": Trap,
    "FETCH_MISALIGNED": Cause.FETCH_MISALIGNED,
}
"""Names that printed source refers to."""

_LOADS = {1: ("B", 0), 2: ("H", 1), 4: ("I", 2), 8: ("Q", 3)}


@dataclass(frozen=True, slots=True)
class Value:
    """A printed expression.

    Args:
        text: Python source, one operand of any operator.
        low: least value it can have.
        high: greatest value.
        is_signed: compares and shifts as it is, without being wrapped first.
        biased: of a signed value, Python source of it plus 2**63, if that is shorter.
    """

    text: str
    low: int
    high: int
    is_signed: bool = False
    biased: str = ""

    @property
    def const(self) -> int | None:
        """The value if there is only one."""
        return self.low if self.low == self.high else None

    def within(self, low: int, high: int) -> bool:
        """Tell whether the value is known to be in [low, high]."""
        return low <= self.low and self.high <= high


def constant(value: int) -> Value:
    """Return a Value that is known."""
    return Value(f"({value})" if value < 0 else str(value), value, value)


def unsigned(text: str, bits: int = 64) -> Value:
    """Return a Value of which it is known that it has so many bits."""
    return Value(text, 0, (1 << bits) - 1)


TRUTH = (0, 1)


def wrapped(value: Value) -> Value:
    """Return the value as the 64 bits of a register."""
    if value.within(0, MASK64):
        return Value(value.text, value.low, value.high)
    if value.const is not None:
        return constant(value.const & MASK64)
    return Value(f"({value.text} & {MASK64})", 0, MASK64)


def masked(value: Value, bits: int) -> Value:
    """Return the low bits."""
    mask = (1 << bits) - 1
    if value.within(0, mask):
        return value
    if value.const is not None:
        return constant(value.const & mask)
    return Value(f"({value.text} & {mask})", 0, mask)


def sign_extended(value: Value, bits: int) -> Value:
    """Return the low bits as two's complement."""
    sign = 1 << (bits - 1)
    if value.within(-sign, sign - 1):
        return Value(value.text, value.low, value.high)
    if value.const is not None:
        return constant(((value.const & (2 * sign - 1)) ^ sign) - sign)
    low_bits = masked(value, bits).text
    return Value(f"(({low_bits} ^ {sign}) - {sign})", -sign, sign - 1)


@dataclass
class Printer:
    """Prints statements of the notation; one printer for one instruction.

    Args:
        operands: what the names rs1, rs2, rd, imm, csr, pc, next, ... stand for.
        assign: called with ``rd`` or ``rd_odd`` and the wrapped value; returns the line that writes it, or "".
        temp: prefix of names for intermediate values.
        checks_target: print a check that jump targets are multiples of 4.

    Attributes:
        lines: source lines, without indentation.
        target: where the instruction goes on, if it says so.
        condition: printed truth of a goto under an ``if``, else "".
    """

    operands: Mapping[str, Value]
    assign: Callable[[str, Value], str]
    temp: str = "t"
    checks_target: bool = False
    lines: list[str] = field(default_factory=list)
    target: Value | None = None
    condition: Value | None = None

    def __post_init__(self) -> None:
        self._names: dict[str, Value] = dict(self.operands)
        self._count = 0

    def print(self, run: str) -> None:
        """Print the statements of one instruction."""
        for statement in statements_of(run):
            self._statement(statement)

    # -- statements

    def _statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=[ast.Name(id=("rd" | "rd_odd") as name)], value=node):
                line = self.assign(name, wrapped(self._value(node)))
                if line:
                    self.lines.append(line)
            case ast.Assign(targets=[ast.Name(id=name)], value=node):
                self._names[name] = self._bound(self._value(node))
            case ast.Expr(value=ast.Call(func=ast.Name(id="goto"), args=[node])):
                self._goto(self._value(node))
            case ast.Expr(value=ast.Call() as call):
                self._value(call)
            case ast.If(test=test, body=[ast.Expr(value=ast.Call(func=ast.Name(id="goto"), args=[node]))]):
                self.condition = self._truth(test)
                self._goto(self._value(node))
            case ast.If(test=test, body=[ast.Expr(value=ast.Call(func=ast.Name(id="store"), args=args))]):
                values = ", ".join(wrapped(self._value(arg)).text for arg in args)
                self.lines.append(f"if {self._truth(test).text}: m.store({values})")

    def _goto(self, target: Value) -> None:
        self.target = wrapped(target)
        if self.target.const is None:
            self.target = self._bound(self.target)
        if self.checks_target and not (self.target.const is not None and self.target.const & 2 == 0):
            test = f"{self.condition.text} and " if self.condition else ""
            text = self.target.text
            self.lines.append(f"if {test}{text} & 2: raise Trap(FETCH_MISALIGNED, {text})")

    def _bound(self, value: Value) -> Value:
        """Give a value a name, so that it is computed once."""
        if value.const is not None or value.text.isidentifier():
            return value
        name = self._new_name()
        self.lines.append(f"{name} = {value.text}")
        return Value(name, value.low, value.high, value.is_signed)

    def _new_name(self) -> str:
        self._count += 1
        return f"{self.temp}{self._count}"

    # -- expressions

    def _value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=int(value)):
                return constant(value)
            case ast.Name(id=name):
                return self._names[name]
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(op, self._value(left), self._value(right))
            case ast.UnaryOp(op=op, operand=operand):
                return _unary(op, self._value(operand))
            case ast.Compare():
                truth = self._truth(node)
                return truth if truth.const is not None else Value(f"(1 if {truth.text} else 0)", 0, 1)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._choice(self._truth(test), self._value(body), self._value(orelse))
            case ast.Call(func=ast.Name(id=name), args=args):
                return self._call(name, args)
            case _:
                raise ValueError(ast.dump(node))

    def _binary(self, op: ast.operator, left: Value, right: Value) -> Value:
        if isinstance(op, ast.RShift) and not left.is_signed:
            left = wrapped(left)
        if isinstance(op, ast.BitAnd) and left.low < 0 and right.low < 0:
            left = wrapped(left)
        fold, symbol, bounds = _OPERATORS[type(op)]
        if left.const is not None and right.const is not None:
            return constant(fold(left.const, right.const))
        identity = _identity(symbol, left, right)
        if identity is not None:
            return identity
        low, high = bounds(left, right)
        return Value(f"({left.text} {symbol} {right.text})", low, high, left.is_signed and symbol == ">>")

    def _truth(self, node: ast.expr) -> Value:
        """Print a comparison, to stand behind `if`; low == high if the result is known."""
        if not isinstance(node, ast.Compare):
            value = wrapped(self._value(node))
            return value if value.const is not None else Value(f"{value.text} != 0", *TRUTH)
        left, right = self._value(node.left), self._value(node.comparators[0])
        symbol = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.GtE: ">="}[type(node.ops[0])]
        if not (left.is_signed and right.is_signed):
            left, right = wrapped(left), wrapped(right)
        if left.const is not None and right.const is not None:
            return constant(int(_COMPARE[symbol](left.const, right.const)))
        if left.text == right.text:
            return constant(int(symbol in ("==", ">=")))
        return Value(_compared(left, symbol, right), *TRUTH)

    def _choice(self, test: Value, body: Value, orelse: Value) -> Value:
        if test.const is not None:
            return body if test.const else orelse
        low, high = min(body.low, orelse.low), max(body.high, orelse.high)
        return Value(f"({body.text} if {test.text} else {orelse.text})", low, high)

    def _call(self, name: str, args: list[ast.expr]) -> Value:
        if name == "sext" and isinstance(args[0], ast.Call) and args[0].func.id == "load":  # type: ignore[attr-defined]
            return self._load(args[0].args, signed=True)
        if name == "load":
            return self._load(args, signed=False)
        values = [self._value(arg) for arg in args]
        if name == "store":
            return self._store(*values)
        if name in _PURE:
            return _PURE[name](*values)
        arguments = ", ".join(wrapped(value).text for value in values)
        return self._bound(Value(f"m.{name}({arguments})", 0, MASK64))

    # -- memory

    def _address(self, value: Value) -> str:
        """Return an address's text, a name or a constant."""
        return str(value.const & MASK64) if value.const is not None else self._bound(value).text

    def _load(self, args: list[ast.expr], *, signed: bool) -> Value:
        width = args[0].value  # type: ignore[attr-defined]
        code, shift = _LOADS[width]
        at = self._address(self._value(args[1]))
        bits = 8 * width
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        code = code.lower() if signed else code
        name = self._new_name()
        if width == 1:
            self.lines.append(f"{name} = L{code}[{at} >> 12][{at} & 4095]")
        else:
            slow = f"m.load_signed({width}, {at})" if signed else f"m.load({width}, {at})"
            fast = f"L{code}[{at} >> 12][({at} & 4095) >> {shift}]"
            self.lines.append(f"{name} = {slow} if {at} & {width - 1} else {fast}")
        return Value(name, low, high)

    def _store(self, width: Value, address: Value, value: Value) -> Value:
        size = width.low
        code, shift = _LOADS[size]
        at = self._address(address)
        text = masked(value, 8 * size).text
        if size == 1:
            self.lines.append(f"S{code}[{at} >> 12][{at} & 4095] = {text}")
        else:
            self.lines.append(f"if {at} & {size - 1}: m.store({size}, {at}, {text})")
            self.lines.append(f"else: S{code}[{at} >> 12][({at} & 4095) >> {shift}] = {text}")
        return Value("None", 0, 0)


def _compared(left: Value, symbol: str, right: Value) -> str:
    """Print a comparison of two values that are either both signed or both unsigned."""
    if left.biased and right.const == 0 and symbol in ("<", ">="):
        return f"{left.biased[1 : -len(_BIAS) - 1]} {'>=' if symbol == '<' else '<'} {SIGN}"
    if left.biased or right.biased:
        return f"{_with_bias(left)} {symbol} {_with_bias(right)}"
    return f"{left.text} {symbol} {right.text}"


_BIAS = f" ^ {SIGN}"


def _with_bias(value: Value) -> str:
    if value.const is not None:
        return str(value.const + SIGN)
    return value.biased or f"({value.text} + {SIGN})"


def _identity(symbol: str, left: Value, right: Value) -> Value | None:
    """Return the operand that is the result, if one of them is 0."""
    if right.const == 0 and symbol in ("+", "-", "|", "^", "<<", ">>"):
        return left
    if left.const == 0 and symbol in ("+", "|", "^"):
        return right
    if 0 in (left.const, right.const) and symbol in ("&", "*"):
        return constant(0)
    return None


def _unary(op: ast.unaryop, value: Value) -> Value:
    if isinstance(op, ast.Invert):
        return constant(~value.low) if value.const is not None else Value(f"(~{value.text})", ~value.high, ~value.low)
    return constant(-value.low) if value.const is not None else Value(f"(-{value.text})", -value.high, -value.low)


def _corners(fold: Callable[[int, int], int]) -> Callable[[Value, Value], tuple[int, int]]:
    def bounds(left: Value, right: Value) -> tuple[int, int]:
        values = [fold(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
        return min(values), max(values)

    return bounds


def _shift_bounds(fold: Callable[[int, int], int]) -> Callable[[Value, Value], tuple[int, int]]:
    def bounds(left: Value, right: Value) -> tuple[int, int]:
        amounts = (max(right.low, 0), min(right.high, 63))
        values = [fold(a, b) for a in (left.low, left.high) for b in amounts]
        return min(values), max(values)

    return bounds


def _and_bounds(left: Value, right: Value) -> tuple[int, int]:
    return 0, min(value.high for value in (left, right) if value.low >= 0)


def _or_bounds(left: Value, right: Value) -> tuple[int, int]:
    bits = max(abs(bound).bit_length() for value in (left, right) for bound in (value.low, value.high))
    return (-(1 << bits) if min(left.low, right.low) < 0 else 0), (1 << bits) - 1


_OPERATORS: dict[
    type[ast.operator], tuple[Callable[[int, int], int], str, Callable[[Value, Value], tuple[int, int]]]
] = {
    ast.Add: (lambda a, b: a + b, "+", _corners(lambda a, b: a + b)),
    ast.Sub: (lambda a, b: a - b, "-", _corners(lambda a, b: a - b)),
    ast.Mult: (lambda a, b: a * b, "*", _corners(lambda a, b: a * b)),
    ast.BitAnd: (lambda a, b: a & b, "&", _and_bounds),
    ast.BitOr: (lambda a, b: a | b, "|", _or_bounds),
    ast.BitXor: (lambda a, b: a ^ b, "^", _or_bounds),
    ast.LShift: (lambda a, b: a << b, "<<", _shift_bounds(lambda a, b: a << b)),
    ast.RShift: (lambda a, b: a >> b, ">>", _shift_bounds(lambda a, b: a >> b)),
}
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
}


def _signed(value: Value) -> Value:
    if value.within(-SIGN, SIGN - 1):
        return Value(value.text, value.low, value.high, is_signed=True)
    whole = wrapped(value)
    if whole.const is not None:
        folded = constant((whole.const ^ SIGN) - SIGN)
        return Value(folded.text, folded.low, folded.high, is_signed=True)
    biased = f"({whole.text}{_BIAS})"
    return Value(f"({biased} - {SIGN})", -SIGN, SIGN - 1, is_signed=True, biased=biased)


def _helper(name: str, *, signed: bool) -> Callable[[Value, Value], Value]:
    def print_call(left: Value, right: Value) -> Value:
        convert = _signed if signed else wrapped
        return Value(f"{name}({convert(left).text}, {convert(right).text})", -SIGN, LIMIT - 1)

    return print_call


def _product_high(left: Value, right: Value) -> Value:
    return Value(f"({left.text} * {right.text} >> 64)", -SIGN if left.low < 0 or right.low < 0 else 0, MASK64)


def _bits(text: str) -> Callable[[Value], Value]:
    return lambda value: Value(text.format(wrapped(value).text), 0, 64)


def _whole(name: str) -> Callable[[Value], Value]:
    return lambda value: Value(f"{name}({wrapped(value).text})", 0, MASK64)


_PURE: dict[str, Callable[..., Value]] = {
    "signed": _signed,
    "sext": lambda value, bits: sign_extended(value, bits.low),
    "zext": lambda value, bits: masked(value, bits.low),
    "mulh": lambda left, right: _product_high(_signed(left), _signed(right)),
    "mulhu": lambda left, right: _product_high(wrapped(left), wrapped(right)),
    "mulhsu": lambda left, right: _product_high(_signed(left), wrapped(right)),
    "div": _helper("div", signed=True),
    "divu": _helper("divu", signed=False),
    "rem": _helper("rem", signed=True),
    "remu": _helper("remu", signed=False),
    "clz": _bits("(64 - ({}).bit_length())"),
    "ctz": _bits("ctz({})"),
    "cpop": _bits("({}).bit_count()"),
    "orcb": _whole("orcb"),
    "rev8": _whole("rev8"),
}
