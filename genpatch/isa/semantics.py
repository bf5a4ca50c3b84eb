# SPDX-License-Identifier: GPL-2.0-or-later
"""What an instruction does, as a line of text in its record: the notation, read and checked.

``rd = rs1 + rs2``, ``if rs1 == rs2: goto(pc + imm)``, ``target = (rs1 + imm) & ~1; goto(target); rd = next``.
The notation has Python's grammar. One tree is made of it, from which each engine prints its own code (the
scalar hart Python on int, the lanes numpy on arrays), so that no instruction is written down twice.

Values are 64 bits wide and unsigned; arithmetic wraps; a comparison is 0 or 1; ``signed(x)`` makes a
comparison or a right shift a signed one. Names that hold values:

    rs1 rs2 rd      the registers, before the instruction (rd for the few that read it)
    rd_odd rs2_odd  the second registers of the pairs that amocas.q has
    imm csr         operands as `Insn` has them, imm sign-extended
    rs1_is_x0       1 if the operand rs1 is x0
    pc next         the instruction's own address, and the one behind it

A statement assigns one of ``rd``, ``rd_odd`` or a name of its own, calls an effect, or does so under an ``if``.
The functions below compute, the effects act on the machine, in the order in which they stand.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

__all__ = ["EFFECTS", "FUNCTIONS", "OPERANDS", "SYSTEM", "calls_of", "statements_of"]

OPERANDS = frozenset(
    {"rs1", "rs2", "rd", "rd_odd", "rs2_odd", "imm", "csr", "rs1_is_x0", "pc", "next"},
)
"""Names that have a value before the first statement."""

FUNCTIONS = {
    "signed": 1,  # (x): x as two's complement, for a comparison or >>
    "sext": 2,  # (x, bits): the low bits, sign-extended
    "zext": 2,  # (x, bits): the low bits, zero-extended
    "mulh": 2,  # (x, y): upper 64 bits of the product, both signed
    "mulhu": 2,  # ... both unsigned
    "mulhsu": 2,  # ... x signed
    "div": 2,  # (x, y): signed quotient, towards zero; all ones for y == 0; x for the one that overflows
    "divu": 2,  # unsigned quotient; all ones for y == 0
    "rem": 2,  # signed remainder, of x's sign; x for y == 0
    "remu": 2,  # unsigned remainder; x for y == 0
    "clz": 1,  # (x): leading zero bits of 64
    "ctz": 1,  # trailing zero bits, 64 for 0
    "cpop": 1,  # bits that are 1
    "orcb": 1,  # each byte 0xff if any of its bits is 1
    "rev8": 1,  # bytes in the other order
}
"""Functions of values, and how many they take."""

EFFECTS = {
    "load": 2,  # (width in bytes, address): zero-extended
    "store": 3,  # (width, address, value)
    "goto": 1,  # (address): where the hart goes on
    "reserve": 2,  # (width, address): a load that registers a reservation
    "conditional": 3,  # (width, address, value): 0 if the reservation held and the value is stored, else 1
    "atomic": 2,  # (width, address): the load of a read-modify-write; its store() follows
    "fence": 1,  # (fm << 8 | pred << 4 | succ)
    "fence_i": 0,
    "sfence": 2,  # (address, asid): of sfence.vma and its kin
    "cache_block": 2,  # (operation, address): cbo.*, the operation by its imm12
    "zero_block": 1,  # (address): cbo.zero
    "csr_swap": 2,  # (csr, value): the old value
    "csr_set": 3,  # (csr, bits, write): the old value
    "csr_clear": 3,  # (csr, bits, write): the old value
    "ecall": 0,
    "ebreak": 0,
    "sret": 0,  # (): where the trap had come from
    "mret": 0,
    "wfi": 0,
}
"""What acts on the machine, and how many values it takes."""

SYSTEM = frozenset(
    {"fence_i", "sfence", "csr_swap", "csr_set", "csr_clear", "ecall", "ebreak", "sret", "mret", "wfi"},
)
"""Effects that need the machine in order: nothing is translated across them."""

_BINARY = (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift)
_COMPARED = (ast.Eq, ast.NotEq, ast.Lt, ast.GtE)


@cache
def statements_of(run: str) -> tuple[ast.stmt, ...]:
    """Return the statements of an instruction's `run`, checked.

    Raises:
        ValueError: it is not in the notation, and why.
    """
    try:
        module = ast.parse(run)
    except SyntaxError as error:
        raise ValueError(f"{run!r}: {error.msg}") from error
    known = set(OPERANDS)
    for statement in module.body:
        _check_statement(statement, known)
    return tuple(module.body)


@cache
def calls_of(run: str) -> frozenset[str]:
    """Return the functions and effects that `run` uses, by name."""
    return frozenset(
        node.func.id
        for statement in statements_of(run)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )


def _check_statement(statement: ast.stmt, known: set[str]) -> None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            _check(value, known)
            known.add(name)
        case ast.Expr(value=ast.Call() as call):
            _check(call, known)
        case ast.If(test=test, body=[ast.Expr(value=ast.Call() as call)], orelse=[]):
            _check(test, known)
            _check(call, known)
        case _:
            raise ValueError(f"{ast.unparse(statement)!r} is no statement of the notation")


def _check(node: ast.expr, known: set[str]) -> None:
    for part in _parts(node, known):
        _check(part, known)


def _parts(node: ast.expr, known: set[str]) -> Iterator[ast.expr]:
    """Yield the operands of an expression whose own kind is right."""
    match node:
        case ast.Constant(value=int()):
            pass
        case ast.Name(id=name) if name in known:
            pass
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _BINARY):
            yield from (left, right)
        case ast.UnaryOp(op=ast.Invert() | ast.USub(), operand=operand):
            yield operand
        case ast.Compare(left=left, ops=[op], comparators=[right]) if isinstance(op, _COMPARED):
            yield from (left, right)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield from (test, body, orelse)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if len(args) == (FUNCTIONS | EFFECTS).get(name):
            yield from args
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not in the notation")
